/**
 * Why allocations fail. The kernel has one counter, `uz_fails`; here each place that counts a
 * failure names its reason too, in a record per zone and CPU that only that CPU writes.
 *
 * The step that finds out (no pages, the reserve, init refused) lies deeper than the one that
 * counts: it leaves the reason in `uma.why`, which nothing else reads. A failing request whose fill
 * of a bucket fails and whose single item fails as well counts twice, as in the kernel (2.4b, 2.5).
 */

import { CacheRecord, EventRecord, ZoneRecord } from '../layout.ts';
import type { Uma } from '../uma.ts';
import type { ZoneStatistics } from '../zone-statistics.ts';
import type { UmaView } from './view.ts';

const E = EventRecord.fields;
const FAILS = CacheRecord.fields.fails.at;
const ZONE = CacheRecord.fields.zone.at;
const EVENTS = ZoneRecord.fields.events.at;

export type FailureName =
  | 'limit'
  | 'pages'
  | 'novm'
  | 'reserve'
  | 'init'
  | 'zinit'
  | 'ctor'
  | 'import'
  | 'busy'
  | 'timeout'
  | 'tableFull';

/** Word offset in `EventRecord` of the reason's counter. */
export const FailureReason: Readonly<Record<FailureName, number>> = {
  limit: E.limit.at,
  pages: E.pages.at,
  novm: E.novm.at,
  reserve: E.reserve.at,
  init: E.init.at,
  zinit: E.zinit.at,
  ctor: E.ctor.at,
  import: E.import.at,
  busy: E.busy.at,
  timeout: E.timeout.at,
  tableFull: E.tableFull.at,
};

/** Counts a failed allocation of the zone whose cache on this CPU is `cache`; see `uma.failed`. */
export function countFailure(uma: Uma, cache: number, reason: number): void {
  const { words, longs } = uma;
  uma.failed = reason;
  const total = (cache + FAILS) >> 1;
  const own = (zoneEvents(words, words[cache + ZONE]!, uma.cpu.number) + reason) >> 1;
  // straight: a reader may see one without the other for a moment, a death leaves both or none
  longs[total]! += 1n;
  longs[own]! += 1n;
  // end
}

/** Counts a bucket that `zone` asked for and did not get; its items move one by one then. */
export function countNoBucket(uma: Uma, zone: number): void {
  const record = zoneEvents(uma.words, zone, uma.cpu.number);
  uma.longs[(record + E.bucket.at) >> 1]! += 1n;
}

/** Word index of a zone's event record for one CPU. */
export function zoneEvents(words: Int32Array, zone: number, cpu: number): number {
  return words[zone + EVENTS]! + cpu * EventRecord.words;
}

export interface ZoneFailures {
  /** By reason, over all CPUs; they add up to `ZoneStatistics.fails` when the zone is at rest. */
  readonly reasons: Readonly<Record<FailureName, bigint>>;
  /** Buckets that were not to be had. No failure by itself. */
  readonly bucket: bigint;
}

/** Failures of a zone by reason, read without stopping anyone. */
export function readZoneFailures(view: UmaView, zone: number): ZoneFailures {
  const reasons: Partial<Record<FailureName, bigint>> = {};
  for (const name of Object.keys(FailureReason) as FailureName[]) {
    reasons[name] = sumEvents(view, zone, FailureReason[name]);
  }
  return {
    reasons: reasons as Record<FailureName, bigint>,
    bucket: sumEvents(view, zone, E.bucket.at),
  };
}

/** Every counted failure has one reason; for fsck, so at rest. */
export function failureViolations(
  view: UmaView,
  zone: number,
  { name, fails }: Pick<ZoneStatistics, 'name' | 'fails'>,
): string[] {
  const reasons = Object.values(readZoneFailures(view, zone).reasons);
  const sum = Number(reasons.reduce((all, count) => all + count, 0n));
  return sum === fails ? [] : [`5: zone ${name}: ${fails} failures, ${sum} with a reason`];
}

/** Sum over CPUs of the 64-bit counter at word `field` of the zone's event records. */
export function sumEvents(view: UmaView, zone: number, field: number): bigint {
  let sum = 0n;
  for (let cpu = 0; cpu < view.arena.cpus; cpu++) {
    sum += Atomics.load(view.longs, (zoneEvents(view.words, zone, cpu) + field) >> 1);
  }
  return sum;
}
