/**
 * Units of a zone's limit for items on their way out of the keg (`zone_alloc_limit`, spec 2.6). A
 * unit stands in a hand slot of kind units from the reservation until the straight line in which
 * its item leaves the keg (keg.ts): so at every point of death the limit's count is the items
 * outside plus the units in hands and in granted wait cells, and recovery has nothing to guess.
 *
 * Called by the slow paths of allocation only.
 */

import { HandKind, releaseUnits, reserveUnits } from '@umbuf/memory';
import { M_WAITOK } from '../flags.ts';
import { giveBack } from '../hands.ts';
import { FailureSite, injected } from '../inject.ts';
import { ZoneRecord } from '../layout.ts';
import { FailureReason } from '../statistics/failures.ts';
import type { Uma } from '../uma.ts';
import { gatherStranded } from './flush.ts';
import { queueMaxaction } from './maxaction.ts';
import { sleepForItem } from './sleep.ts';
import { warnOfLimit } from './warning.ts';

const LIMIT = ZoneRecord.fields.limit.at;
const HITS = ZoneRecord.fields.limitHits.at;
const ID = ZoneRecord.fields.id.at;

/**
 * Bit of an allocation's flags, ours: the request will wait by itself if the limit is met, which is
 * then no failure (async.ts).
 */
export const M_LATER = 0x10000;

/** Word index of the zone's limit record, 0 while it has none. */
export function zoneLimit(uma: Pick<Uma, 'words'>, zone: number): number {
  return Atomics.load(uma.words, zone + LIMIT);
}

/** Up to `want` (>= 1) units of `limit` into the void slot `units`, without sleeping; 0: none. */
export function reserveForBucket(uma: Uma, limit: number, want: number, units: number): number {
  const granted = injected(uma, FailureSite.fillUnits)
    ? 0
    : reserveUnits(uma.cpu, limit, want, units);
  if (granted === 0) uma.why = FailureReason.limit;
  return granted;
}

/**
 * One unit of `limit` into the void slot `units`, asleep if the request may sleep. False, with the
 * reason in `uma.why`, when there is none to be had.
 */
export function reserveForItem(
  uma: Uma,
  zone: number,
  limit: number,
  units: number,
  flags: number,
): boolean {
  if (!injected(uma, FailureSite.itemUnit) && reserveUnits(uma.cpu, limit, 1, units) === 1) {
    return true;
  }
  noteHit(uma, zone);
  if ((flags & M_WAITOK) !== 0) return sleepForItem(uma, zone, limit, units);
  uma.why = FailureReason.limit;
  return (
    (flags & M_LATER) === 0 &&
    gatherStranded(uma, zone, limit) &&
    reserveUnits(uma.cpu, limit, 1, units) === 1
  );
}

/** What every request does that meets the limit, before it fails or sleeps. */
function noteHit(uma: Uma, zone: number): void {
  const { words, longs, opened } = uma;
  Atomics.add(longs, (zone + HITS) >> 1, 1n);
  warnOfLimit(uma, zone);
  const open = opened[words[zone + ID]!];
  if (open?.maxaction !== undefined) queueMaxaction(open);
}

/** Gives back slot `units`, and to the limit what is left in it. */
export function releaseRest(uma: Uma, units: number): void {
  const { words, cpu } = uma;
  if (words[units] === HandKind.units) {
    releaseUnits(cpu, words[units + 1]!, words[units + 2]!, units);
  }
  giveBack(cpu, units);
}
