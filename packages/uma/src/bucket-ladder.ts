/**
 * The ladder of bucket zones and every rule that sizes buckets: at creation, on contention, on
 * reclaim, and under a limit. Pure arithmetic in items; nothing here touches shared memory. All
 * results keep `bucketSize <= bucketSizeMax` (defect D10 is what happens otherwise).
 */

import { ArgumentError } from '@umbuf/memory';
import { ZoneDefinitionError } from './errors.ts';
import { InternalFlag, ZoneFlag } from './flags.ts';

/** Bytes before the entries of a bucket; an entry is 8 bytes (the kernel's LP64 sizes). */
export const BUCKET_HEADER_BYTES = 16;

/** `bucket_zones[]`: entries per bucket, bytes, and the largest item size a row is meant for. */
export const BUCKET_ZONES = [
  { name: '2 Bucket', entries: 2, bytes: 32, itemSizeMax: 4096 },
  { name: '4 Bucket', entries: 4, bytes: 48, itemSizeMax: 3072 },
  { name: '8 Bucket', entries: 8, bytes: 80, itemSizeMax: 2048 },
  { name: '16 Bucket', entries: 16, bytes: 144, itemSizeMax: 1024 },
  { name: '32 Bucket', entries: 30, bytes: 256, itemSizeMax: 512 },
  { name: '64 Bucket', entries: 62, bytes: 512, itemSizeMax: 256 },
  { name: '128 Bucket', entries: 126, bytes: 1024, itemSizeMax: 128 },
  { name: '256 Bucket', entries: 254, bytes: 2048, itemSizeMax: 64 },
] as const;

/** Entries of the largest bucket. */
export const BUCKET_MAX = 254;

/** `bucket_select`: the bucket size to start with for items of `size` bytes; at least 1. */
export function bucketSelect(size: number): number {
  const first = BUCKET_ZONES[0];
  if (size > first.itemSizeMax) {
    return Math.max(Math.floor((first.itemSizeMax * first.entries) / size), 1);
  }
  let entries: number = first.entries;
  for (const row of BUCKET_ZONES) if (row.itemSizeMax >= size) entries = row.entries;
  return entries;
}

/** `bucket_zone_lookup`: the first row that holds `entries`, else the last row. */
export function bucketZoneLookup(entries: number): number {
  const row = BUCKET_ZONES.findIndex((zone) => zone.entries >= entries);
  return row === -1 ? BUCKET_ZONES.length - 1 : row;
}

/**
 * The row from which `bucket_alloc` takes a bucket. `ownRow` is the row of the requesting zone if
 * it is itself a bucket zone, else -1: it takes the next row, where there is one.
 */
export function bucketAllocRow(bucketSize: number, ownRow: number): number {
  const row = bucketZoneLookup(bucketSize);
  return row === ownRow && row + 1 < BUCKET_ZONES.length ? row + 1 : row;
}

/** `uz_bucket_size`, `uz_bucket_size_min` and `uz_bucket_size_max` of a zone, in items. */
export interface BucketSizes {
  readonly bucketSize: number;
  readonly bucketSizeMin: number;
  readonly bucketSizeMax: number;
}

/**
 * Bucket sizes of a new zone (`zone_ctor`). INTERNAL zones never use buckets. The kernel sets
 * only their maximum to 0 and relies on them never taking the cached path; here all three are 0.
 * Throws `ZoneDefinitionError` for MAXBUCKET together with NOBUCKET.
 */
export function initialBucketSizes(flags: number, size: number): BucketSizes {
  const max = (flags & ZoneFlag.MAXBUCKET) !== 0;
  const none = (flags & ZoneFlag.NOBUCKET) !== 0;
  if (max && none) throw new ZoneDefinitionError('flags: MAXBUCKET excludes NOBUCKET');
  if ((flags & InternalFlag.INTERNAL) !== 0) {
    return { bucketSize: 0, bucketSizeMin: 0, bucketSizeMax: 0 };
  }
  const bucketSize = max ? BUCKET_MAX : none ? 0 : bucketSelect(size);
  return { bucketSize, bucketSizeMin: bucketSize, bucketSizeMax: BUCKET_MAX };
}

/** The zone-domain lock was found owned: one more, up to the maximum. */
export function bucketSizeAfterContention(bucketSize: number, bucketSizeMax: number): number {
  return bucketSize < bucketSizeMax ? bucketSize + 1 : bucketSize;
}

/** Any reclaim of the zone: one less, down to the minimum. */
export function bucketSizeAfterReclaim(bucketSize: number, bucketSizeMin: number): number {
  return bucketSize > bucketSizeMin ? bucketSize - 1 : bucketSize;
}

/** Before a DRAIN_CPU: halfway to the minimum, rounded down. */
export function bucketSizeBeforeCpuDrain(bucketSize: number, bucketSizeMin: number): number {
  return Math.floor((bucketSizeMin + bucketSize) / 2);
}

/** What `uma_zone_set_maxcache` makes of a number of items. */
export interface MaxCache {
  /** Items per bucket: current size and maximum. */
  readonly bucketSize: number;
  /** `uz_bucket_max`: items per zone domain, not counting those in CPU caches. */
  readonly bucketMax: number;
}

/**
 * `uma_zone_set_maxcache`: splits a cache of `items` into buckets of CPUs and room in the domains.
 * Two buckets per CPU; FIRSTTOUCH with several domains adds a cross bucket per CPU and one per
 * domain. Throws `ArgumentError` unless all counts are integers, `cpus` and `domains` at least 1.
 */
export function maxCache(
  items: number,
  cpus: number,
  domains: number,
  firstTouch: boolean,
): MaxCache {
  if (!Number.isSafeInteger(items) || items < 0) {
    throw new ArgumentError(`items: ${items} is no number of items`);
  }
  if (!Number.isInteger(cpus) || cpus < 1) throw new ArgumentError(`cpus: ${cpus} is below 1`);
  if (!Number.isInteger(domains) || domains < 1) {
    throw new ArgumentError(`domains: ${domains} is below 1`);
  }
  const cross = firstTouch && domains > 1;
  const buckets = cross ? 3 * cpus + domains : 2 * cpus;
  const share = Math.floor(items / buckets);
  const half = Math.min(Math.floor(share / 2), BUCKET_MAX);
  const bucketSize = half === 0 && share > 0 ? 1 : half;
  return { bucketSize, bucketMax: items - buckets * bucketSize };
}

/**
 * Bucket sizes after `uma_zone_set_maxcache`: the computed size is current and maximum, the
 * minimum is lowered to it. It can raise the current size, as in the kernel.
 */
export function bucketSizesAfterMaxCache(sizes: BucketSizes, bucketSize: number): BucketSizes {
  const bucketSizeMin = Math.min(sizes.bucketSizeMin, bucketSize);
  return { bucketSize, bucketSizeMin, bucketSizeMax: bucketSize };
}
