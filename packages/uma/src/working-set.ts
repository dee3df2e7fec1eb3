/**
 * The working-set estimator of a zone domain, over seven consecutive words of its record (`at` is
 * the index of the first). All in items, except `timin`. Plain synchronous functions.
 *
 *   imin <= bimin <= nitems <= imax, at every return
 *
 * Every function but `raisePeakUnlocked` is called with the zone-domain lock held.
 *
 * Kinds of words. `imax` is raised without the lock when a CPU loads a freshly imported bucket, so
 * it is an *atomic* word: every access, under the lock too, is an `Atomics` call, and the locked
 * side changes it only by add, sub and compare-exchange, so that a concurrent raise is never
 * lost. `nitems` is a *hint*: the empty test before the lock reads it plainly, so it is written by
 * `Atomics.store`; its writers are ordered by the lock. The other five are *locked*.
 *
 * Divergence D16, not taken yet: as in the kernel `limin` is an integer, so that its 1/256 steps
 * round to 0 below 256 items above the working set and small caches are never trimmed voluntarily.
 * The remedy is to keep `limin` in 1/256 items; both vectors of the specification would change.
 */

/** Word offsets from `at`; the order is that of `ZoneDomain` in layout.ts. */
export const WorkingSet = {
  nitems: 0,
  imax: 1,
  imin: 2,
  bimin: 3,
  wss: 4,
  limin: 5,
  timin: 6,
} as const;

/** Words that the estimator takes. */
export const WORKING_SET_WORDS = 7;

/** Periods of 20 s after which an idle surplus is freed voluntarily (`UMA_TIMIN`: 15 minutes). */
export const IDLE_PERIODS = 45;

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
  }
}

/**
 * A freshly imported bucket of `count` items was loaded straight into a CPU cache. Needs no lock:
 * one atomic add, and raising the peak can break no bound.
 */
export function raisePeakUnlocked(words: Int32Array, at: number, count: number): void {
  Atomics.add(words, at + WorkingSet.imax, count);
}

/**
 * End of a 20 s period, or any reclaim call (`zone_domain_update_wss`). `imax` is loaded once: a
 * raise between that load and the sub survives unhalved, which only delays its decay a period.
 */
export function updateWorkingSet(words: Int32Array, at: number): void {
  const nitems = words[at + WorkingSet.nitems]!;
  const peak = Atomics.load(words, at + WorkingSet.imax);
  const decayed = Math.floor((words[at + WorkingSet.wss]! * 3) / 4);
  const wss = Math.max(decayed, peak - words[at + WorkingSet.bimin]!);
  words[at + WorkingSet.wss] = wss;
  const surplus = words[at + WorkingSet.imin]! - wss;
  if (surplus >= 0) {
    const limin = words[at + WorkingSet.limin]!;
    words[at + WorkingSet.limin] =
      limin >= surplus ? surplus : Math.floor((surplus + 255 * limin) / 256);
    words[at + WorkingSet.timin] = words[at + WorkingSet.timin]! + 1;
  } else {
    words[at + WorkingSet.limin] = 0;
    words[at + WorkingSet.timin] = 0;
  }
  // Keep half of the peak, against effects of where the period ends.
  Atomics.sub(words, at + WorkingSet.imax, Math.floor((peak - nitems + 1) / 2));
  words[at + WorkingSet.imin] = nitems;
  words[at + WorkingSet.bimin] = nitems;
}

/**
 * Items that the voluntary trim leaves in the domain: all of them (nothing is due) until the
 * surplus has lasted for more than `IDLE_PERIODS`.
 */
export function idleTrimTarget(words: Int32Array, at: number): number {
  const nitems = words[at + WorkingSet.nitems]!;
  if (words[at + WorkingSet.timin]! <= IDLE_PERIODS) return nitems;
  return nitems - Math.floor(words[at + WorkingSet.limin]! / 4);
}
