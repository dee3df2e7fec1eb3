/**
 * Units of a zone's limit for items on their way out of the keg (`zone_alloc_limit`, spec 2.6). A
 * unit stands in a hand slot of kind units from the reservation until the straight line in which
 * its item leaves the keg (keg.ts): so at every point of death the limit's count is the items
 * outside plus the units in hands and in granted wait cells, and recovery has nothing to guess.
 *
 * Called by the slow paths of allocation only.
 */

import { HandKind, releaseUnits, reserveUnits } from '@umbuf/memory';
import { giveBack } from '../hands.ts';
import { FailureSite, injected } from '../inject.ts';
import { ZoneRecord } from '../layout.ts';
import { FailureReason } from '../statistics/failures.ts';
import type { Uma } from '../uma.ts';

const LIMIT = ZoneRecord.fields.limit.at;

/** Word index of the zone's limit record, 0 while it has none. */
export function zoneLimit(uma: Pick<Uma, 'words'>, zone: number): number {
  return Atomics.load(uma.words, zone + LIMIT);
}

/**
 * Units for a bucketful into the void slot `units`, without sleeping: up to `want` (>= 1), and
 * `want` where the zone has no limit (the slot stays void). 0 when none is free.
 */
export function reserveForBucket(uma: Uma, zone: number, want: number, units: number): number {
  const limit = zoneLimit(uma, zone);
  if (limit === 0) return want;
  const granted = injected(uma, FailureSite.fillUnits)
    ? 0
    : reserveUnits(uma.cpu, limit, want, units);
  if (granted === 0) uma.why = FailureReason.limit;
  return granted;
}

/** One unit of `limit` into the void slot `units`, or false. */
export function reserveForItem(uma: Uma, limit: number, units: number): boolean {
  if (!injected(uma, FailureSite.itemUnit) && reserveUnits(uma.cpu, limit, 1, units) === 1) {
    return true;
  }
  uma.why = FailureReason.limit;
  return false;
}

/** Gives back slot `units`, and to the limit what is left in it. */
export function releaseRest(uma: Uma, units: number): void {
  const { words, cpu } = uma;
  if (words[units] === HandKind.units) {
    releaseUnits(cpu, words[units + 1]!, words[units + 2]!, units);
  }
  giveBack(cpu, units);
}
