/**
 * What a bucket's move does to the working-set estimate (spec 1.8), as plain functions: the vectors
 * of the specification are run on these, and zone-domain.ts is compared with them.
 */

import { WorkingSet } from '../../src/working-set.ts';

/**
 * A bucket of `count` items is put on the queue (`zone_put_bucket`). False, and nothing changed,
 * if the domain would then hold `bucketMax` items or more: the bucket goes down to the keg.
 * `workingSet` is false for drains, migrations and lost races, which shift the bounds instead.
 */
export function putItems(
  words: Int32Array,
  at: number,
  count: number,
  bucketMax: number,
  workingSet: boolean,
): boolean {
  const nitems = words[at + WorkingSet.nitems]! + count;
  if (nitems >= bucketMax) return false;
  if (workingSet) {
    raisePeakTo(words, at, nitems);
  } else {
    Atomics.add(words, at + WorkingSet.imax, count);
    words[at + WorkingSet.imin] = words[at + WorkingSet.imin]! + count;
    words[at + WorkingSet.bimin] = words[at + WorkingSet.bimin]! + count;
    words[at + WorkingSet.limin] = words[at + WorkingSet.limin]! + count;
  }
  Atomics.store(words, at + WorkingSet.nitems, nitems);
  return true;
}

/**
 * `zone_domain_imax_set`. At a new peak the finished batch is folded into the estimate, and the
 * minimum of the next batch starts at the new count. The loop ends: each failure means that
 * another CPU raised `imax`, which passes `nitems` sooner or later.
 */
function raisePeakTo(words: Int32Array, at: number, nitems: number): void {
  let peak = Atomics.load(words, at + WorkingSet.imax);
  for (;;) {
    if (peak >= nitems) return;
    const seen = Atomics.compareExchange(words, at + WorkingSet.imax, peak, nitems);
    if (seen === peak) break;
    peak = seen;
  }
  const batch = peak - words[at + WorkingSet.bimin]!;
  if (words[at + WorkingSet.wss]! < batch) words[at + WorkingSet.wss] = batch;
  words[at + WorkingSet.bimin] = nitems;
}

/** A bucket of `count` items leaves the queue for an allocation (`zone_fetch_bucket`). */
export function fetchItems(words: Int32Array, at: number, count: number): void {
  const nitems = words[at + WorkingSet.nitems]! - count;
  Atomics.store(words, at + WorkingSet.nitems, nitems);
  if (words[at + WorkingSet.bimin]! > nitems) {
    words[at + WorkingSet.bimin] = nitems;
    if (words[at + WorkingSet.imin]! > nitems) words[at + WorkingSet.imin] = nitems;
  }
}

/** A bucket of `count` items leaves the queue for a reclaim: the bounds move with it. */
export function reclaimItems(words: Int32Array, at: number, count: number): void {
  const { bimin, imin, limin, timin, imax } = WorkingSet;
  const shift = Math.min(words[at + bimin]!, count);
  Atomics.store(words, at + WorkingSet.nitems, words[at + WorkingSet.nitems]! - count);
  Atomics.sub(words, at + imax, shift);
  words[at + bimin] = words[at + bimin]! - shift;
  words[at + imin] = words[at + imin]! - Math.min(words[at + imin]!, count);
  if (words[at + limin]! >= count) {
    words[at + limin] = words[at + limin]! - count;
  } else {
    words[at + limin] = 0;
    words[at + timin] = 0;
    words[at + WorkingSet.liminFraction] = 0;
  }
}

/**
 * A freshly imported bucket of `count` items was loaded straight into a CPU cache. Needs no lock:
 * one atomic add, and raising the peak can break no bound.
 */
export function raisePeakUnlocked(words: Int32Array, at: number, count: number): void {
  Atomics.add(words, at + WorkingSet.imax, count);
}
