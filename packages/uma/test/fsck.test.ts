/**
 * The checker itself: an arena in use is clean, and each kind of damage, planted by hand, is named
 * with the number of its invariant. (A checker that cannot fail proves nothing.)
 */
import { expect, test } from 'vitest';
import { PAGE_SHIFT, PageEntry, PagePool } from '@umbuf/memory';
import {
  BucketHeader,
  CacheRecord,
  defineZone,
  fsck,
  itemEntry,
  KegDomain,
  KegRecord,
  SlabHeader,
  type Uma,
  type Zone,
  ZoneDomain,
  ZoneFlag,
  zoneCache,
  zoneDomain,
} from '../src/index.ts';
import { cacheOf, kegDomainOf, slabsOf } from './support/inspect.ts';
import { allocAll, virtualCpus } from './support/virtual.ts';

interface Patient {
  readonly uma: Uma;
  /** 4 KiB items: buckets of two, offpage slabs of one. */
  readonly pages: Zone;
  /** 1000-byte items: slabs of four. */
  readonly zone: Zone;
  /** 1000-byte items past the cache: a slab of four, two of them live. */
  readonly loose: Zone;
  readonly held: number[];
}

/** Full, partial and free slabs, loaded and queued buckets, live items. */
function patient(): Patient {
  const { umas } = virtualCpus(1, { level: 'invariants' });
  const uma = umas[0]!;
  const zone = uma.open(defineZone({ name: 'z', size: 1000 }));
  const pages = uma.open(defineZone({ name: 'p', size: 4096 }));
  const items = allocAll(zone, 47);
  const held = items.splice(0, 20);
  for (const item of items) zone.free(item);
  for (const item of allocAll(pages, 9)) pages.free(item);
  const loose = uma.open(defineZone({ name: 'l', size: 1000, flags: ZoneFlag.NOBUCKET }));
  allocAll(loose, 2);
  return { uma, pages, zone, loose, held };
}

const C = CacheRecord.fields;
const Q = ZoneDomain.fields;
const D = KegDomain.fields;
const S = SlabHeader.fields;
const B = BucketHeader.fields;

const damages: readonly (readonly [string, RegExp, (patient: Patient) => void])[] = [
  [
    'an allocation that was not counted',
    /^1: keg p/,
    ({ uma, pages }) => {
      uma.longs[(pages.cache + C.allocs.at) >> 1]! -= 1n;
    },
  ],
  [
    'a free count that does not match the bits',
    /^2: .*bits, free count/,
    ({ uma, loose }) => {
      uma.words[slabsOf(loose, 'partial')[0]! + S.freeCount.at]! -= 1;
    },
  ],
  [
    'a slab on the wrong list',
    /^2: .*wrong list/,
    ({ uma, pages }) => {
      const record = kegDomainOf(pages);
      const full = slabsOf(pages, 'full');
      expect(full.length).toBeGreaterThan(0);
      expect(uma.words[record + D.partial.at]).toBe(0);
      uma.words[record + D.partial.at] = full[0]!;
      uma.words[record + D.full.at] = uma.words[full[0]! + S.next.at]!;
      uma.words[full[0]! + S.next.at] = 0;
    },
  ],
  [
    'a broken back link',
    /^2: .*back link/,
    ({ uma, zone }) => {
      uma.words[slabsOf(zone, 'full')[1]! + S.previous.at] = 4;
    },
  ],
  [
    'a slab of another domain',
    /^2: .*wrong domain/,
    ({ uma, zone }) => {
      uma.words[slabsOf(zone, 'full')[0]! + S.domain.at] = 1;
    },
  ],
  [
    'a wrong counter of free slabs',
    /^2: .*free slabs, counter/,
    ({ uma, zone }) => {
      uma.words[kegDomainOf(zone) + D.freeSlabs.at]! += 1;
    },
  ],
  [
    'a wrong counter of free items',
    /^2: .*free items, counter/,
    ({ uma, zone }) => {
      uma.words[kegDomainOf(zone) + D.freeItems.at]! -= 1;
    },
  ],
  [
    'a wrong counter of pages',
    /^2: .*slabs, \d+ pages/,
    ({ uma, zone }) => {
      uma.words[kegDomainOf(zone) + D.pages.at]! += 1;
    },
  ],
  [
    'a page that maps to another slab',
    /^2: .*maps elsewhere/,
    ({ uma, held }) => {
      uma.words[entryOf(uma, held[0]!) + PageEntry.fields.slab.at]! += 64;
    },
  ],
  [
    'an item in a bucket twice',
    /^3: item \d+ in .* and in/,
    ({ uma, zone }) => {
      const { bucket } = cacheOf(zone).alloc;
      uma.words[bucket + BucketHeader.words] = uma.words[bucket + BucketHeader.words + 1]!;
    },
  ],
  [
    'an address in a bucket that is no item of the keg',
    /^3: .*no item of its keg/,
    ({ uma, zone }) => {
      uma.words[cacheOf(zone).alloc.bucket + BucketHeader.words] = 4096;
    },
  ],
  [
    'an address in a bucket that is no start of an item',
    /^3: .*no item's start/,
    ({ uma, zone }) => {
      uma.words[cacheOf(zone).alloc.bucket + BucketHeader.words]! += 8;
    },
  ],
  [
    'a cached item that is free in its slab',
    /^3: .*is free and in/,
    ({ uma, pages }) => {
      const item = uma.words[cacheOf(pages).alloc.bucket + BucketHeader.words]!;
      uma.words[
        slabsOf(pages, 'full').find((slab) => uma.words[slab + S.data.at] === item)! +
          SlabHeader.words
      ] = 1;
    },
  ],
  [
    'a cached item that is live',
    /^4: .*live and free/,
    ({ uma, zone }) => {
      uma.words[itemEntry(uma, zone.keg, cachedItem(zone))]! |= 1;
    },
  ],
  [
    'a live item without its bit',
    /^4: .*live bits/,
    ({ uma, zone, held }) => {
      uma.words[itemEntry(uma, zone.keg, held[0]!)]! &= ~1;
    },
  ],
  [
    'more frees than allocations',
    /^5: .*more frees than allocs/,
    ({ uma, zone }) => {
      uma.longs[(zone.cache + C.frees.at) >> 1]! += 1000n;
    },
  ],
  [
    'a bucket with more items than entries',
    /^8: .*entries in a bucket/,
    ({ uma, zone }) => {
      uma.words[zone.cache + C.allocCount.at] = cacheOf(zone).alloc.entries + 1;
    },
  ],
  [
    'items without a bucket',
    /^8: .*in no bucket/,
    ({ uma, zone }) => {
      uma.words[zone.cache + C.allocBucket.at] = 0;
    },
  ],
  [
    'a bucket in two places',
    /^8: .*is also in/,
    ({ uma, zone }) => {
      uma.words[zone.cache + C.freeBucket.at] = cacheOf(zone).alloc.bucket;
    },
  ],
  [
    'a bucket that is none',
    /^8: .*is no bucket/,
    ({ uma, zone, held }) => {
      uma.words[zone.cache + C.allocBucket.at] = held[0]! >> 2;
    },
  ],
  [
    'a bucket that nobody has',
    /^8: zone \d+ Bucket: \d+ items out/,
    ({ uma, zone }) => {
      uma.words[zone.cache + C.allocBucket.at] = 0;
      uma.words[zone.cache + C.allocCount.at] = 0;
    },
  ],
  [
    'a queue with a wrong tail',
    /^8: .*tail is not the last/,
    ({ uma, pages }) => {
      uma.words[zoneDomain(uma, pages.record, 0) + Q.tail.at]! += 4;
    },
  ],
  [
    'a queue with a wrong count of items',
    /^8: .*nitems/,
    ({ uma, pages }) => {
      uma.words[zoneDomain(uma, pages.record, 0) + Q.nitems.at]! += 1;
    },
  ],
  [
    'a queue with a wrong count of buckets',
    /^8: .*buckets, count/,
    ({ uma, pages }) => {
      uma.words[zoneDomain(uma, pages.record, 0) + Q.buckets.at]! += 1;
    },
  ],
  [
    'an empty bucket on the queue',
    /^8: .*empty bucket queued/,
    ({ uma, pages }) => {
      uma.words[uma.words[zoneDomain(uma, pages.record, 0) + Q.head.at]! + B.count.at] = 0;
    },
  ],
  [
    'an estimator out of order',
    /^9: .*imin/,
    ({ uma, pages }) => {
      uma.words[zoneDomain(uma, pages.record, 0) + Q.imin.at] = 1000;
    },
  ],
  [
    'a negative working set',
    /^9: .*negative/,
    ({ uma, pages }) => {
      uma.words[zoneDomain(uma, pages.record, 0) + Q.wss.at] = -1;
    },
  ],
  [
    'an item initialised once too often',
    /^10: keg z/,
    ({ uma, zone }) => {
      uma.longs[(zone.keg + KegRecord.fields.inits.at) >> 1]! += 1n;
    },
  ],
  [
    'a cached item that was written',
    /^12: cache of .*modified after free/,
    ({ uma, zone }) => {
      uma.words[(cachedItem(zone) >> 2) + 7] = 1;
    },
  ],
  [
    'a free item of a slab that was written',
    /^12: keg l.*modified after free/,
    ({ uma, loose }) => {
      const slab = slabsOf(loose, 'partial')[0]!;
      const index = 31 - Math.clz32(uma.words[slab + SlabHeader.words]!);
      uma.words[(uma.words[slab + S.data.at]! + index * 1000) >> 2] = 1;
    },
  ],
  [
    'a page that names a keg and is in none of its slabs',
    /^13: \d+ pages name a keg/,
    ({ uma }) => {
      uma.words[entryOf(uma, (uma.arena.pages - 1) << PAGE_SHIFT) + PageEntry.fields.keg.at] = 4;
    },
  ],
  [
    'a wrong counter of the page pool',
    /^13: domain 0/,
    ({ uma }) => {
      uma.words[uma.arena.poolTable + PagePool.fields.freePages.at]! -= 1;
    },
  ],
  [
    'a slab header that no slab uses',
    /^13: zone UMA Slabs 0/,
    ({ uma, pages }) => {
      const cache = zoneCache(uma.slabZones[0]!, 0);
      uma.longs[(cache + C.zoneAllocs.at) >> 1]! += 1n;
      void pages;
    },
  ],
  [
    'an item table that no slab uses',
    /^13: zone UMA Items/,
    ({ uma }) => {
      uma.longs[(zoneCache(uma.tableZones[0]!, 0) + C.zoneAllocs.at) >> 1]! += 1n;
    },
  ],
];

function entryOf(uma: Uma, address: number): number {
  return uma.arena.pageTable + (address >> PAGE_SHIFT) * PageEntry.words;
}

function cachedItem(zone: Zone): number {
  return zone.uma.words[cacheOf(zone).alloc.bucket + BucketHeader.words]!;
}

test('an arena in use is clean, and its live items are counted', () => {
  const { uma } = patient();
  const report = fsck(uma);
  expect(report.violations).toEqual([]);
  expect(report.live).toMatchObject({ z: 20, p: 0, l: 2 });
});

test.each(damages)('%s is found', (_name, expected, damage) => {
  const sick = patient();
  damage(sick);
  const { violations } = fsck(sick.uma);
  expect(
    violations.some((text) => expected.test(text)),
    violations.join('\n'),
  ).toBe(true);
});

test('every invariant that fsck claims to check has a damage here', () => {
  const claimed = [1, 2, 3, 4, 5, 8, 9, 10, 12, 13];
  const planted = new Set(damages.map(([, expected]) => Number(/\d+/.exec(expected.source)![0])));
  expect([...planted].toSorted((a, b) => a - b)).toEqual(claimed);
});
