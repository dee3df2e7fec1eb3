/**
 * The action of a zone that meets its limit (`uma_zone_set_maxaction`, spec 3.4): a function of each
 * thread that has set one, run in a task of its own. In the whole arena at most one run per zone is
 * queued at a time; limit hits meanwhile only add to its `pending`.
 *
 * The word `maxaction` of the zone names the CPU that has a run queued, so that its recovery can
 * clear it (recover.ts).
 */

import { ZoneRecord } from '../layout.ts';
import type { Zone } from '../zone.ts';

const MAXACTION = ZoneRecord.fields.maxaction.at;

/** `pending`: how often this thread met the limit since the last run, at least 1. */
export type Maxaction = (zone: Zone, pending: number) => void;

/** Queues a run of the zone's action, unless one is queued somewhere. */
export function queueMaxaction(zone: Zone): void {
  if (zone.maxaction === undefined) return;
  const { words, cpu } = zone.uma;
  zone.maxactionPending++;
  if (Atomics.compareExchange(words, zone.record + MAXACTION, 0, cpu.lockWord) !== 0) return;
  queueMicrotask(() => runMaxaction(zone));
}

/**
 * Runs the action if this thread has a run queued; a thread that is about to sleep does not leave it
 * to the task. A hit during the run queues the next one. What the action throws is the caller's.
 */
export function runMaxaction(zone: Zone): void {
  const { words, cpu } = zone.uma;
  // Cleared before the run: what comes now is for the next one.
  if (Atomics.compareExchange(words, zone.record + MAXACTION, cpu.lockWord, 0) !== cpu.lockWord) {
    return;
  }
  const pending = zone.maxactionPending;
  zone.maxactionPending = 0;
  zone.maxaction?.(zone, pending);
}
