/** Allocation and free through the per-CPU cache: what a user of one zone sees. */
import { expect, test } from 'vitest';
import { freePageCount, NULL } from '@umbuf/memory';
import {
  defineZone,
  isLive,
  itemEntry,
  itemGeneration,
  itemHolder,
  itemsPerSlab,
  M_NOWAIT,
  M_ZERO,
  TRASH_WORD,
  ZoneFlag,
} from '../src/index.ts';
import { cacheOf, kegLists, queueOf } from './support/inspect.ts';
import { allocAll, expectClean, leave, takeAllPages, virtualCpus } from './support/virtual.ts';

const levels = ['none', 'checks', 'invariants'] as const;

test.each(levels)('items are distinct, aligned and inside the arena at level %s', (level) => {
  const { arena, umas } = virtualCpus(1, { level });
  const zone = umas[0]!.open(defineZone({ name: 'z', size: 100, align: 31 }));
  const items = allocAll(zone, 500);
  expect(new Set(items).size).toBe(500);
  for (const item of items) {
    expect(item % 32).toBe(0);
    expect(item).toBeGreaterThan(4095);
    expect(item + 100).toBeLessThanOrEqual(arena.bytes.length);
  }
  const sorted = items.toSorted((a, b) => a - b);
  sorted.forEach((item, index) => {
    if (index > 0) expect(item - sorted[index - 1]!).toBeGreaterThanOrEqual(100);
  });
  expect(expectClean(...umas)['z']).toBe(500);
  for (const item of items) zone.free(item);
  expect(expectClean(...umas)['z']).toBe(0);
});

test('M_ZERO clears the whole item, without it the last user is seen', () => {
  const { arena, umas } = virtualCpus(1);
  const zone = umas[0]!.open(defineZone({ name: 'z', size: 24 }));
  const item = zone.alloc(M_NOWAIT);
  arena.bytes.fill(7, item, item + 24);
  zone.free(item);
  expect(zone.alloc(M_NOWAIT)).toBe(item);
  expect([...arena.bytes.subarray(item, item + 24)]).toEqual(Array(24).fill(7));
  zone.free(item);
  expect(zone.alloc(M_NOWAIT | M_ZERO)).toBe(item);
  expect([...arena.bytes.subarray(item, item + 24)]).toEqual(Array(24).fill(0));
  expectClean(...umas);
});

test.each(levels)('freeing NULL is a no-op at level %s', (level) => {
  const { umas } = virtualCpus(1, { level });
  const zone = umas[0]!.open(defineZone({ name: 'z', size: 24 }));
  zone.free(NULL);
  expect(zone.statistics().frees).toBe(0);
  expectClean(...umas);
});

test('the last item freed is the next one allocated', () => {
  const { umas } = virtualCpus(1);
  const zone = umas[0]!.open(defineZone({ name: 'z', size: 64 }));
  const [a, b, c] = allocAll(zone, 3) as [number, number, number];
  zone.free(b);
  zone.free(a);
  zone.free(c);
  expect([zone.alloc(M_NOWAIT), zone.alloc(M_NOWAIT), zone.alloc(M_NOWAIT)]).toEqual([c, a, b]);
});

test('an empty alloc bucket is swapped with a free bucket that has items, without a lock', () => {
  const { umas } = virtualCpus(1);
  const uma = umas[0]!;
  const zone = uma.open(defineZone({ name: 'z', size: 4096 }));
  // Bucket size 2: fill both buckets, then empty the alloc side.
  const items = allocAll(zone, 4);
  for (const item of items) zone.free(item);
  const before = cacheOf(zone);
  expect([before.alloc.count, before.free.count]).toEqual([2, 2]);
  allocAll(zone, 2);
  const refills = zone.statistics().refills;
  zone.alloc(M_NOWAIT);
  const after = cacheOf(zone);
  expect(after.alloc.bucket).toBe(before.free.bucket);
  expect(after.free.bucket).toBe(before.alloc.bucket);
  expect(zone.statistics().refills).toBe(refills);
  expectClean(...umas);
});

test('a full cache hands its free bucket to the queue, from which another CPU refills', () => {
  const { umas } = virtualCpus(2);
  const definition = defineZone({ name: 'z', size: 4096 });
  const [first, second] = [umas[0]!.open(definition), umas[1]!.open(definition)];
  const items = allocAll(first, 6);
  for (const item of items) first.free(item);
  // Two buckets of two in the cache, one bucket of two on the queue.
  expect(queueOf(first)).toEqual([2]);
  const pages = first.statistics().pages;
  const got = allocAll(second, 2);
  expect(got.every((item) => items.includes(item))).toBe(true);
  expect(queueOf(first)).toEqual([]);
  expect(second.statistics().pages).toBe(pages);
  expectClean(...umas);
});

test('a bucket is filled from the keg with as many items as the arena can still give', () => {
  const { umas } = virtualCpus(1, { bytes: 1 << 18 });
  const uma = umas[0]!;
  const zone = uma.open(defineZone({ name: 'z', size: 4096, flags: ZoneFlag.MAXBUCKET }));
  takeAllPages(uma, 20);
  const items: number[] = [zone.alloc(M_NOWAIT)];
  expect(cacheOf(zone).alloc.entries).toBe(254);
  for (let item = zone.alloc(M_NOWAIT); item !== 0; item = zone.alloc(M_NOWAIT)) items.push(item);
  // One refill gave all there was: every page that is no bucket's and no slab header's.
  expect(freePageCount(uma.arena)).toBe(0);
  expect(items.length).toBe(zone.statistics().pages);
  expect(items.length).toBeGreaterThan(10);
  expect(zone.statistics().perCpu[0]).toBe(items.length);
  expect(zone.statistics().fails).toBeGreaterThan(0);
  expect(expectClean(...umas)['z']).toBe(items.length);
  zone.free(items[0]!);
  expect(zone.alloc(M_NOWAIT)).toBe(items[0]);
});

test('slabs give their lowest free item, partial slabs come before free ones', () => {
  const { umas } = virtualCpus(1);
  const uma = umas[0]!;
  const zone = uma.open(defineZone({ name: 'z', size: 1000, flags: ZoneFlag.NOBUCKET }));
  const ipers = itemsPerSlab(zone);
  expect(ipers).toBe(4);
  const [a, b] = [allocAll(zone, ipers), allocAll(zone, ipers)];
  expect(a).toEqual(a.toSorted((x, y) => x - y));
  expect(kegLists(zone)).toEqual({ partial: [], free: [], full: [0, 0] });
  // b all free, a with its items 1 and 3 free: the next allocations are a's, lowest first.
  zone.free(a[3]!);
  for (const item of b) zone.free(item);
  zone.free(a[1]!);
  expect(kegLists(zone)).toEqual({ partial: [2], free: [4], full: [] });
  expect([zone.alloc(M_NOWAIT), zone.alloc(M_NOWAIT)]).toEqual([a[1], a[3]]);
  expect(zone.alloc(M_NOWAIT)).toBe(b[0]);
  expect(kegLists(zone)).toEqual({ partial: [3], free: [], full: [0] });
  expectClean(...umas);
});

test('a slab of one item goes from full to free and back', () => {
  const { umas } = virtualCpus(1);
  const zone = umas[0]!.open(defineZone({ name: 'z', size: 4096, flags: ZoneFlag.NOBUCKET }));
  const item = zone.alloc(M_NOWAIT);
  expect(kegLists(zone)).toEqual({ partial: [], free: [], full: [0] });
  zone.free(item);
  expect(kegLists(zone)).toEqual({ partial: [], free: [1], full: [] });
  expect(zone.alloc(M_NOWAIT)).toBe(item);
  expectClean(...umas);
});

test('items of several pages are found by the page map, wherever they start', () => {
  const { umas } = virtualCpus(1, { level: 'checks' });
  const zone = umas[0]!.open(defineZone({ name: 'z', size: 3000 }));
  const items = allocAll(zone, 40);
  for (const item of items.toReversed()) zone.free(item);
  expectClean(...umas);
});

test('an item may be freed by another CPU, and idle CPUs keep what they have cached', () => {
  const { umas } = virtualCpus(3, { level: 'invariants' });
  const definition = defineZone({ name: 'z', size: 256 });
  const zones = umas.map((uma) => uma.open(definition));
  for (let round = 0; round < 100; round++) {
    const items = allocAll(zones[0]!, 50);
    leave(umas[0]!);
    items.forEach((item, index) => zones[1 + (index % 2)]!.free(item));
    leave(umas[1]!);
  }
  expect(expectClean(...umas)['z']).toBe(0);
  const statistics = zones[0]!.statistics();
  expect(statistics.allocs).toBe(5000);
  expect(statistics.frees).toBe(5000);
  expect(statistics.perCpu).toEqual([5000, 0, 0]);
});

test('allocMany and freeMany move whole ranges, and say how many the arena had', () => {
  const { umas } = virtualCpus(1, { bytes: 1 << 18 });
  const zone = umas[0]!.open(defineZone({ name: 'z', size: 2048 }));
  const items = new Int32Array(400);
  expect(zone.allocMany(items, 3, 10, M_NOWAIT)).toBe(10);
  expect(items[2]).toBe(0);
  expect(items.subarray(3, 13).every((item) => item !== 0)).toBe(true);
  expect(items[13]).toBe(0);
  const got = zone.allocMany(items, 13, 300, M_NOWAIT);
  expect(got).toBeGreaterThan(20);
  expect(got).toBeLessThan(300);
  expect(expectClean(...umas)['z']).toBe(10 + got);
  zone.freeMany(items, 3, 10 + got);
  expect(expectClean(...umas)['z']).toBe(0);
});

test('bulk forms refuse ranges that are none, with nothing changed', () => {
  const { umas } = virtualCpus(1);
  const zone = umas[0]!.open(defineZone({ name: 'z', size: 2048 }));
  const items = new Int32Array(4);
  for (const [from, count] of [
    [-1, 1],
    [0, 5],
    [0.5, 1],
    [0, Number.NaN],
    [3, 2],
  ] as const) {
    expect(() => zone.allocMany(items, from, count, M_NOWAIT)).toThrow(/allocMany/);
    expect(() => zone.freeMany(items, from, count)).toThrow(/freeMany/);
    expect(() => zone.freeMany([1, 2, 3, 4], from, count)).toThrow(/freeMany/);
  }
  const plain: number[] = [];
  expect(zone.allocMany(plain, 0, 3, M_NOWAIT)).toBe(3);
  expect(plain).toHaveLength(3);
  expect(zone.statistics().live).toBe(3);
});

test('trash: a freed item holds 0xdeadc0de in every word, and one that changed is a Panic', () => {
  const { arena, umas } = virtualCpus(1, { level: 'invariants' });
  const zone = umas[0]!.open(defineZone({ name: 'z', size: 28 }));
  const item = zone.alloc(M_NOWAIT);
  arena.words.fill(1, item >> 2, (item >> 2) + 7);
  zone.free(item);
  // The last four bytes are no whole 64-bit word and stay.
  const words = [...arena.words.subarray(item >> 2, (item >> 2) + 7)];
  expect(words).toEqual([...Array(6).fill(TRASH_WORD), 1]);
  arena.words[(item >> 2) + 3] = 5;
  expect(() => zone.alloc(M_NOWAIT)).toThrow(
    `Memory modified after free ${item} (28, z) + 12 = 0x5`,
  );
  // The item went back as it should have been: the arena can be used on.
  expect(expectClean(...umas)['z']).toBe(0);
});

test('the item table tells who holds an item, since when, and its generation', () => {
  const { umas } = virtualCpus(2, { level: 'checks' });
  const definition = defineZone({ name: 'z', size: 64 });
  const [a, b] = umas.map((uma) => uma.open(definition)) as [
    ReturnType<(typeof umas)[0]['open']>,
    ReturnType<(typeof umas)[0]['open']>,
  ];
  const item = b.alloc(M_NOWAIT);
  const entry = itemEntry(umas[0]!, a.keg, item);
  expect(isLive(umas[0]!, entry)).toBe(true);
  expect(itemHolder(umas[0]!, entry)).toBe(1);
  a.adopt(item);
  expect(itemHolder(umas[0]!, entry)).toBe(0);
  const generation = itemGeneration(umas[0]!, entry);
  a.free(item);
  expect(isLive(umas[0]!, entry)).toBe(false);
  expect(itemHolder(umas[0]!, entry)).toBe(-1);
  expect(a.alloc(M_NOWAIT)).toBe(item);
  expect(itemGeneration(umas[0]!, entry)).toBe(generation + 1);
});
