/**
 * How full the partial slabs of a keg are: the picture of its fragmentation. Many nearly empty slabs
 * are memory that no reclaim can give back.
 *
 * The list is walked under the keg-domain lock, at most `SLABS_PER_WALK` slabs of it, so that nobody
 * waits long (10 microseconds, ten times that with cold caches); what was left out is said. In a dump no lock is taken:
 * nobody runs there.
 */

import { type Cpu, enterCpu, lockMutex, unlockMutex } from '@umbuf/memory';
import { kegDomain } from '../keg.ts';
import { KegDomain, KegRecord, SlabHeader } from '../layout.ts';
import { type UmaView, zoneKeg } from './view.ts';

/** Columns of the histogram: tenths of a slab in use. */
export const OCCUPANCY_BINS = 10;
/** Slabs that one walk looks at, per domain. */
export const SLABS_PER_WALK = 1024;

const K = KegRecord.fields;
const D = KegDomain.fields;

export interface Occupancy {
  readonly itemsPerSlab: number;
  /** Slabs in all, with no item in use, and with some. */
  readonly slabs: number;
  readonly freeSlabs: number;
  readonly partialSlabs: number;
  /** Partial slabs by tenths of their items in use: the first has up to 10 %, the last 90 % and more. */
  readonly histogram: readonly number[];
  /** Whether a list was longer than a walk: then the histogram is of its head, and so is the count. */
  readonly truncated: boolean;
}

/**
 * The occupancy of a zone's keg; undefined for a cache zone. `cpu` is the caller's, which takes the
 * lock of each domain in turn (throws `LockBusyError` on a CPU that may not block); undefined for an
 * arena that nobody runs in.
 */
export function readOccupancy(
  view: UmaView,
  zone: number,
  cpu: Cpu | undefined,
): Occupancy | undefined {
  const { words, arena } = view;
  const keg = zoneKeg(view, zone);
  if (keg === 0) return undefined;
  if (cpu !== undefined && words[cpu.entered] === 0) enterCpu(cpu);
  const histogram = Array.from({ length: OCCUPANCY_BINS }, () => 0);
  let slabs = 0;
  let freeSlabs = 0;
  let truncated = false;
  for (let domain = 0; domain < arena.domains; domain++) {
    const record = kegDomain(keg, domain);
    if (cpu !== undefined) lockMutex(cpu, record);
    // All under one lock: the parts are those of the sum.
    slabs += words[record + D.pages.at]! / words[keg + K.ppera.at]!;
    freeSlabs += words[record + D.freeSlabs.at]!;
    truncated = walkPartial(words, keg, record, histogram) || truncated;
    if (cpu !== undefined) unlockMutex(cpu, record);
  }
  return {
    itemsPerSlab: words[keg + K.ipers.at]!,
    slabs,
    freeSlabs,
    partialSlabs: histogram.reduce((sum, count) => sum + count, 0),
    histogram,
    truncated,
  };
}

/** Under the lock. True when the list goes on behind the walk's end. */
function walkPartial(words: Int32Array, keg: number, record: number, histogram: number[]): boolean {
  const ipers = words[keg + K.ipers.at]!;
  let slab = words[record + D.partial.at]!;
  for (let seen = 0; slab !== 0 && seen < SLABS_PER_WALK; seen++) {
    const used = ipers - words[slab + SlabHeader.fields.freeCount.at]!;
    const bin = Math.floor((used * OCCUPANCY_BINS) / ipers);
    // A dump of running CPUs may show a slab on its way to another list.
    histogram[Math.min(Math.max(bin, 0), OCCUPANCY_BINS - 1)]! += 1;
    slab = words[slab + SlabHeader.fields.next.at]!;
  }
  return slab !== 0;
}
