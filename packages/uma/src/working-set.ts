/**
 * The working-set estimator of a zone domain at the end of a period (spec 1.8), over seven consecutive
 * words of its record (`at` is the index of the first) and one more. All in items, except `timin`. Called with the
 * zone-domain lock held; what a bucket's move does to the estimate is in zone-domain.ts, inside the
 * straight line of the move.
 *
 *   imin <= bimin <= nitems <= imax, at every return
 *
 * `imax` is raised without the lock when a CPU loads a freshly imported bucket, so every access to it
 * is an `Atomics` call, under the lock too, and the locked side changes it by add and sub only, so
 * that a concurrent raise is never lost. The others are written under the lock.
 *
 * Defect D16, built right: the kernel keeps `limin` in whole items, so that its steps of 1/256 round
 * to 0 below 256 items above the working set, and small caches are never trimmed voluntarily. Here
 * `limin` has a fraction of 1/256 items in a word of its own, so every other use of it is as it was.
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
  /** Behind what else the record has. */
  liminFraction: 11,
} as const;

/** Consecutive words of the estimator. */
export const WORKING_SET_WORDS = 7;

/** What `limin` is counted in: 1/256 items here, whole items in the kernel. */
export const LIMIN_UNITS = 256;
export const LIMIN_UNITS_KERNEL = 1;

/** Periods of 20 s after which an idle surplus is freed voluntarily (`UMA_TIMIN`: 15 minutes). */
export const IDLE_PERIODS = 45;

/**
 * End of a 20 s period, or any reclaim call (`zone_domain_update_wss`). `imax` is loaded once: a
 * raise between that load and the sub survives unhalved, which only delays its decay a period.
 * `units` per item are what `limin` is kept in.
 */
export function updateWorkingSet(words: Int32Array, at: number, units: number = LIMIN_UNITS): void {
  const nitems = words[at + WorkingSet.nitems]!;
  const peak = Atomics.load(words, at + WorkingSet.imax);
  const decayed = Math.floor((words[at + WorkingSet.wss]! * 3) / 4);
  const wss = Math.max(decayed, peak - words[at + WorkingSet.bimin]!);
  words[at + WorkingSet.wss] = wss;
  const surplus = words[at + WorkingSet.imin]! - wss;
  if (surplus >= 0) {
    const limin = words[at + WorkingSet.limin]!;
    if (limin >= surplus) {
      words[at + WorkingSet.limin] = surplus;
      words[at + WorkingSet.liminFraction] = 0;
    } else {
      // A step of 1/256 towards the surplus; exact, far below 2^53.
      const before = limin * units + words[at + WorkingSet.liminFraction]!;
      const after = Math.floor((surplus * units + 255 * before) / 256);
      words[at + WorkingSet.limin] = Math.floor(after / units);
      words[at + WorkingSet.liminFraction] = after % units;
    }
    words[at + WorkingSet.timin] = words[at + WorkingSet.timin]! + 1;
  } else {
    words[at + WorkingSet.limin] = 0;
    words[at + WorkingSet.liminFraction] = 0;
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
