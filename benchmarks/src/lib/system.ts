/**
 * The arena that a row measures in. The zone of most rows has items of 256 bytes, the size of an
 * mbuf, and ZoneFlag.MAXBUCKET like the zone mbuf: buckets of 254, so that a batch of 128 stays in
 * the per-CPU cache. By their size alone such items would get buckets of 62, and the rows would
 * measure how buckets travel, which is zone.burst's.
 */

import { Arena, claimCpu, type Cpu, type DebugLevelName } from '@umbuf/memory';
import { Uma, type UmaOptions, type ZoneDefinition, ZoneFlag } from '@umbuf/uma';

export interface System {
  readonly arena: Arena;
  readonly cpu: Cpu;
  readonly uma: Uma;
}

export const ITEM_BYTES = 256;

export const itemZone: ZoneDefinition = {
  name: 'bench',
  size: ITEM_BYTES,
  flags: ZoneFlag.MAXBUCKET,
};

/** An arena of `megabytes` for two CPUs, with this thread as CPU 0. */
export function bootSystem(
  megabytes: number,
  level: DebugLevelName = 'none',
  options: UmaOptions = {},
): System {
  const arena = Arena.create({ bytes: megabytes << 20, cpus: 2, level });
  const cpu = claimCpu(arena, { number: 0 });
  return { arena, cpu, uma: Uma.attach(cpu, options) };
}
