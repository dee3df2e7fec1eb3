import { ArgumentError } from '@umbuf/memory';
import { describe, expect, it } from 'vitest';
import {
  BUCKET_HEADER_BYTES,
  BUCKET_MAX,
  BUCKET_ZONES,
  bucketAllocRow,
  bucketSelect,
  bucketSizeAfterContention,
  bucketSizeAfterReclaim,
  bucketSizeBeforeCpuDrain,
  bucketSizesAfterMaxCache,
  bucketZoneLookup,
  initialBucketSizes,
  maxCache,
} from '../src/bucket-ladder.ts';
import { ZoneDefinitionError } from '../src/errors.ts';
import { InternalFlag, ZoneFlag } from '../src/flags.ts';

describe('the ladder of bucket zones', () => {
  it('holds a header and 8 bytes per entry in every row', () => {
    for (const { bytes, entries } of BUCKET_ZONES) {
      expect(bytes).toBe(BUCKET_HEADER_BYTES + 8 * entries);
    }
    expect(BUCKET_ZONES.at(-1)!.entries).toBe(BUCKET_MAX);
  });

  it.each([
    [64, 254],
    [65, 126],
    [129, 62],
    [257, 30],
    [513, 16],
    [1025, 8],
    [2049, 4],
    [3073, 2],
    [4096, 2],
    [4097, 1],
    [9216, 1],
  ])('starts items of %i bytes at buckets of %i', (size, entries) => {
    expect(bucketSelect(size)).toBe(entries);
  });

  it('looks up the first row that is large enough, else the last', () => {
    expect([1, 2, 3, 30, 31, 254, 255].map(bucketZoneLookup)).toEqual([0, 0, 1, 4, 5, 7, 7]);
  });

  it('never takes a bucket for a bucket zone from itself, except in the last row', () => {
    expect(bucketAllocRow(8, -1)).toBe(2);
    expect(bucketAllocRow(8, 2)).toBe(3);
    expect(bucketAllocRow(254, 7)).toBe(7);
  });
});

describe('bucket size auto-tuning', () => {
  it('starts from flags, else from the item size', () => {
    const sizes = (flags: number): number[] => Object.values(initialBucketSizes(flags, 2048));
    expect(sizes(0)).toEqual([8, 8, 254]);
    expect(sizes(ZoneFlag.MAXBUCKET)).toEqual([254, 254, 254]);
    expect(sizes(ZoneFlag.NOBUCKET)).toEqual([0, 0, 254]);
    expect(sizes(InternalFlag.INTERNAL)).toEqual([0, 0, 0]);
  });

  it('refuses MAXBUCKET together with NOBUCKET', () => {
    const both = ZoneFlag.MAXBUCKET | ZoneFlag.NOBUCKET;
    expect(() => initialBucketSizes(both, 64)).toThrow(ZoneDefinitionError);
  });

  it('moves between minimum and maximum', () => {
    expect([253, 254].map((n) => bucketSizeAfterContention(n, 254))).toEqual([254, 254]);
    expect([9, 8].map((n) => bucketSizeAfterReclaim(n, 8))).toEqual([8, 8]);
    expect(bucketSizeBeforeCpuDrain(17, 8)).toBe(12);
  });

  it('lets a large limit raise the current size and a small one lower the minimum', () => {
    const start = initialBucketSizes(0, 2048);
    expect(Object.values(bucketSizesAfterMaxCache(start, 254))).toEqual([254, 8, 254]);
    expect(Object.values(bucketSizesAfterMaxCache(start, 1))).toEqual([1, 1, 1]);
  });
});

describe('maxCache', () => {
  it.each([
    [0, 0, 0],
    [7, 0, 7],
    [8, 1, 0],
    [10, 1, 2],
    [16, 1, 8],
    [32, 2, 16],
    [100, 6, 52],
    [1000, 62, 504],
    [4064, 254, 2032],
    [100000, 254, 97968],
  ])('splits %i items over 4 CPUs into buckets of %i and %i in the domain', (n, size, max) => {
    expect(maxCache(n, 4, 1, false)).toEqual({ bucketSize: size, bucketMax: max });
    expect(maxCache(n, 4, 1, true)).toEqual({ bucketSize: size, bucketMax: max });
  });

  it.each([
    [32, 1, 6],
    [100, 1, 74],
    [1000, 19, 506],
  ])('counts cross buckets: %i items, 8 CPUs, 2 domains, FIRSTTOUCH', (n, size, max) => {
    expect(maxCache(n, 8, 2, true)).toEqual({ bucketSize: size, bucketMax: max });
  });

  it.each([
    [-1, 4, 1],
    [1.5, 4, 1],
    [8, 0, 1],
    [8, 4, 0],
  ])('refuses %d items, %d CPUs, %d domains', (items, cpus, domains) => {
    expect(() => maxCache(items, cpus, domains, false)).toThrow(ArgumentError);
  });
});
