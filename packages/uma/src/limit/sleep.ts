/**
 * Sleeping for one unit of a zone's limit (`zone_alloc_limit_hard`, spec 2.6): the blocking form,
 * from within an allocation with M_WAITOK. Memory's sync/limit-sleep.ts has the queue; this file
 * brings what the zone adds: the flush, the bound, and why it failed. async.ts has the other form.
 */

import { SleepFailure, sleepForUnits, WouldBlockError } from '@umbuf/memory';
import { ZoneRecord } from '../layout.ts';
import { FailureReason } from '../statistics/failures.ts';
import type { Uma } from '../uma.ts';
import { recallCached } from './flush.ts';
import { runMaxaction } from './maxaction.ts';

/**
 * Sleeps until a unit is granted into the void slot `units`, in order of arrival. False, with the
 * reason in `uma.why`, when the time that `allocWait` gave is up or all wait cells are taken. Throws
 * `WouldBlockError` where the thread may not block, or has asynchronous requests of its own in the
 * queue: it would sleep behind them, and they need this thread to go on.
 */
export function sleepForItem(uma: Uma, zone: number, limit: number, units: number): boolean {
  const { cpu } = uma;
  const opened = uma.opened[uma.words[zone + ZoneRecord.fields.id.at]!];
  if (!cpu.mayBlock) {
    throw new WouldBlockError(
      `zone ${uma.zoneName(zone)} is at its limit and CPU ${cpu.number} may not block: use allocAsync`,
    );
  }
  if (opened !== undefined && opened.asyncWaits > 0) {
    throw new WouldBlockError(
      `zone ${uma.zoneName(zone)} is at its limit and ${opened.asyncWaits} allocAsync of this thread wait for it: blocking would wait for itself`,
    );
  }
  // Nobody else would run it while this thread sleeps.
  if (opened !== undefined) runMaxaction(opened);
  const left = uma.waitUntil === Infinity ? Infinity : uma.waitUntil - performance.now();
  const flush = (): boolean => recallCached(uma, zone);
  const granted = sleepForUnits(cpu, limit, 1, units, left, flush);
  if (granted > 0) return true;
  const full = granted === SleepFailure.tableFull;
  uma.why = full ? FailureReason.tableFull : FailureReason.timeout;
  return false;
}
