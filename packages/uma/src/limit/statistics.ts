/** Reading a zone's limit (spec 5.2, `vm.uma.<zone>.limit`): without stopping anyone. */

import { limitCount, limitMax, limitSleepers, LimitRecord } from '@umbuf/memory';
import { ZoneRecord } from '../layout.ts';
import type { UmaView } from '../statistics/view.ts';

const L = LimitRecord.fields;
const Z = ZoneRecord.fields;

export interface LimitStatistics {
  /** `uz_max_items`; 0 = no limit. */
  readonly max: number;
  /** The count of `uz_items`: items outside the keg; 0 without limit. */
  readonly items: number;
  /** `uz_bucket_max`: items on each domain's queue. */
  readonly bucketMax: number;
  /** Requests that wait now, and that ever waited. */
  readonly sleepers: number;
  readonly sleeps: number;
  /** Waits that ended without an item: time, abort, death. */
  readonly gaveUp: number;
  /** Requests that found all wait cells taken. */
  readonly tableFull: number;
  /** Requests that met the limit, whether or not they then waited. */
  readonly hits: number;
}

/** The limit of the zone at word index `zone`. */
export function readLimitStatistics(view: UmaView, zone: number): LimitStatistics {
  const { words, longs } = view;
  const limit = Atomics.load(words, zone + Z.limit.at);
  const bucketMax = Atomics.load(words, zone + Z.bucketMax.at);
  const hits = Number(Atomics.load(longs, (zone + Z.limitHits.at) >> 1));
  if (limit === 0) {
    const none = { max: 0, items: 0, sleepers: 0, sleeps: 0, gaveUp: 0, tableFull: 0 };
    return { ...none, bucketMax, hits };
  }
  const long = (at: number): number => Number(Atomics.load(longs, (limit + at) >> 1));
  return {
    max: limitMax(view, limit),
    items: limitCount(view, limit),
    bucketMax,
    sleepers: limitSleepers(view, limit),
    sleeps: long(L.sleeps.at),
    gaveUp: long(L.timeouts.at),
    tableFull: long(L.tableFull.at),
    hits,
  };
}
