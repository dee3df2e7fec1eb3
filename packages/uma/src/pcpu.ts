/**
 * Per-CPU zones (`UMA_ZONE_PCPU`, spec 3.2, 3.3): an item is one copy per CPU, each in a page of its
 * own. The address that an allocation returns is CPU 0's copy; CPU c's is `PAGE_SIZE * c` further.
 * Whose copy is whose business to write is the user's; each is ordinary item memory.
 */

import { type Address, ArgumentError, PAGE_SIZE } from '@umbuf/memory';
import { defineZone, type ZoneDefinition } from './definition.ts';
import { InternalFlag, ZoneFlag } from './flags.ts';
import { ZoneRecord } from './layout.ts';
import type { Uma } from './uma.ts';
import type { Zone } from './zone.ts';

const Z = ZoneRecord.fields;

/** Address of CPU `cpu`'s copy of an item of a PCPU zone (`zpcpu_get_cpu`). No check. */
export function pcpuCopy(item: Address, cpu: number): Address {
  return (item + cpu * PAGE_SIZE) as Address;
}

/** Address of the calling CPU's copy (`zpcpu_get`). Throws `ArgumentError` for other zones. */
export function ownCopy(zone: Zone, item: Address): Address {
  const flags = zone.uma.words[zone.record + Z.flags.at]!;
  if ((flags & ZoneFlag.PCPU) === 0) throw new ArgumentError(`zone ${zone.name} is not PCPU`);
  return pcpuCopy(item, zone.uma.cpu.number);
}

/** M_ZERO: the item, all copies of a PCPU one; what a cache zone's items are nobody here knows. */
export function zeroItem(uma: Uma, zone: number, item: number): void {
  const { words, kernels, arena } = uma;
  const flags = words[zone + Z.flags.at]!;
  if ((flags & InternalFlag.CACHE) !== 0) return;
  const size = words[zone + Z.size.at]!;
  const copies = (flags & ZoneFlag.PCPU) !== 0 ? arena.cpus : 1;
  for (let cpu = 0; cpu < copies; cpu++) kernels.zero((item + cpu * PAGE_SIZE) as Address, size);
}

/** `pcpu_zone_4` to `pcpu_zone_64`: zones for counters and other small per-CPU items, by size. */
export const pcpuZones: Readonly<Record<4 | 8 | 16 | 32 | 64, ZoneDefinition>> = {
  4: definePcpu(4),
  8: definePcpu(8),
  16: definePcpu(16),
  32: definePcpu(32),
  64: definePcpu(64),
};

function definePcpu(size: number): ZoneDefinition {
  return defineZone({ name: `pcpu-${size}`, size, flags: ZoneFlag.PCPU });
}
