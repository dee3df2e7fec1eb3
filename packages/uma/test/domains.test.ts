/**
 * NUMA domains: which memory a CPU gets, where another domain's items go when they are freed, how
 * ROUNDROBIN zones spread, and what happens when a domain is exhausted (spec 1.9, 2.3, 2.4b, 2.7, 2.8).
 */
import { expect, test } from 'vitest';
import { answerRequests, ArgumentError, domainOfPage, freePageCount } from '@umbuf/memory';
import {
  BucketHeader,
  CacheRecord,
  defineZone,
  fsck,
  M_NOWAIT,
  reclaim,
  type Uma,
  type Zone,
  zoneCache,
  ZoneDomain,
  zoneDomain,
  ZoneFlag,
} from '../src/index.ts';
import { emptiestDomain, fullestDomain } from '../src/domain-policy.ts';
import { cacheOf, queueOf } from './support/inspect.ts';
import { allocAll, expectClean, leave, takeAllPages, virtualCpus } from './support/virtual.ts';

const items = defineZone({ name: 'items', size: 2048 });
const spread = defineZone({ name: 'spread', size: 2048, flags: ZoneFlag.ROUNDROBIN });

function domainOf(uma: Uma, item: number): number {
  return domainOfPage(uma.arena, item >> 12);
}

function crossOf(zone: Zone): { bucket: number; count: number } {
  const { words } = zone.uma;
  const C = CacheRecord.fields;
  const cache = zoneCache(zone.record, zone.uma.cpu.number);
  return { bucket: words[cache + C.crossBucket.at]!, count: words[cache + C.crossCount.at]! };
}

/** Items in the partial bucket of a domain. */
function partialOf(zone: Zone, domain: number): number {
  const { words, uma } = { words: zone.uma.words, uma: zone.uma };
  const bucket = words[zoneDomain(uma, zone.record, domain) + ZoneDomain.fields.cross.at]!;
  return bucket === 0 ? 0 : words[bucket + BucketHeader.fields.count.at]!;
}

test('a zone is FIRSTTOUCH unless it asks for ROUNDROBIN', () => {
  const { umas } = virtualCpus(1, { domains: 2 });
  expect(umas[0]!.open(items).definition.flags).toBe(undefined);
  const flagsOf = (zone: Zone): number => zone.uma.words[zone.record + 3]!;
  const both = ZoneFlag.FIRSTTOUCH | ZoneFlag.ROUNDROBIN;
  expect(flagsOf(umas[0]!.open(items)) & both).toBe(ZoneFlag.FIRSTTOUCH);
  expect(flagsOf(umas[0]!.open(spread)) & both).toBe(ZoneFlag.ROUNDROBIN);
});

test.each([2, 3, 8])('each CPU gets memory of its own domain (%i domains)', (domains) => {
  const { umas } = virtualCpus(domains + 1, { domains, bytes: 2 << 20 });
  for (const uma of umas) {
    const zone = uma.open(items);
    for (const item of allocAll(zone, 20)) {
      expect(domainOf(uma, item)).toBe(uma.cpu.number % domains);
      zone.free(item);
    }
    expect(zone.statistics().cached).toBeGreaterThan(0);
    leave(uma);
  }
  expectClean(...umas);
});

test('ROUNDROBIN: a bucket is striped over the domains', () => {
  const { umas } = virtualCpus(1, { domains: 4, bytes: 2 << 20 });
  const zone = umas[0]!.open(spread);
  zone.free(zone.alloc(M_NOWAIT));
  const { alloc } = cacheOf(zone);
  expect(alloc.count).toBe(8);
  const found = Array.from({ length: 8 }, (_, index) =>
    domainOf(umas[0]!, umas[0]!.words[alloc.bucket + BucketHeader.words + index]!),
  );
  // A fill of eight begins at the domain behind the iterator, two of each.
  expect(found.toSorted((left, right) => left - right)).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
  expectClean(umas[0]!);
});

test('ROUNDROBIN: full buckets go to the emptiest queue, and come from the fullest', () => {
  const { umas } = virtualCpus(1, { domains: 2, bytes: 2 << 20 });
  const zone = umas[0]!.open(spread);
  const held = allocAll(zone, 48);
  for (const item of held.splice(0)) zone.free(item);
  expect(queueOf(zone, 0)).toEqual([8, 8]);
  expect(queueOf(zone, 1)).toEqual([8, 8]);
  expectClean(umas[0]!);
});

test.each([
  [[10, 0], 0, 0],
  [[10, 20], 0, 1],
  [[255, 400], 0, 0],
  [[254, 400], 0, 1],
  [[5, 9, 9], 0, 1],
])('the fullest of %j, preferring %i, is %i', (counts, preferred, expected) => {
  expect(fullestDomain(counted(counts), zoneOf, preferred)).toBe(expected);
});

// D2: the preferred domain is left only when it holds at least twice the least.
test.each([
  [[0, 0], 0, 0],
  [[10, 6], 0, 0],
  [[10, 5], 0, 1],
  [[10, 0], 0, 1],
  [[0, 5], 0, 0],
  [[6, 7, 4], 0, 0],
  [[9, 7, 4], 0, 2],
  [[3, 100, 1], 1, 2],
])('the emptiest of %j, preferring %i, is %i', (counts, preferred, expected) => {
  expect(emptiestDomain(counted(counts), zoneOf, preferred)).toBe(expected);
});

let zoneOf = 0;

/** A zone whose queues are said to hold so many items. */
function counted(counts: readonly number[]): Uma {
  const { umas } = virtualCpus(1, { domains: counts.length });
  const zone = umas[0]!.open(spread);
  zoneOf = zone.record;
  counts.forEach((count, domain) => {
    const at = zoneDomain(umas[0]!, zone.record, domain) + ZoneDomain.fields.nitems.at;
    umas[0]!.words[at] = count;
  });
  return umas[0]!;
}

test("another domain's items gather in the cross bucket; a full one is queued at their home", () => {
  const { umas } = virtualCpus(2, { domains: 2, bytes: 2 << 20 });
  const [mine, other] = umas.map((uma) => uma.open(items)) as [Zone, Zone];
  const foreign = allocAll(other, 20);
  leave(umas[1]!);
  for (const item of foreign.slice(0, 8)) mine.free(item);
  expect(crossOf(mine).count).toBe(8);
  expect(cacheOf(mine).alloc.count + cacheOf(mine).free.count).toBe(0);
  mine.free(foreign[8]!);
  expect(crossOf(mine).count).toBe(1);
  expect(queueOf(mine, 0)).toEqual([]);
  expect(queueOf(mine, 1)).toContain(8);
  const { uma } = mine;
  const cross = mine.cache + CacheRecord.fields.crossFrees.at;
  expect(uma.longs[cross >> 1]).toBe(8n);
  // The other CPU gets them from its queue, whole buckets at a time.
  const before = other.statistics().pages;
  const again = allocAll(other, 12);
  expect(again.filter((item) => foreign.includes(item)).length).toBeGreaterThanOrEqual(8);
  expect(other.statistics().pages).toBe(before);
  expectClean(...umas);
});

test('with more than two domains they are sorted, one partial bucket per domain', () => {
  const { umas } = virtualCpus(4, { domains: 4, bytes: 2 << 20 });
  const zones = umas.map((uma) => uma.open(items));
  const held = zones.map((zone) => {
    const got = allocAll(zone, 12);
    leave(zone.uma);
    return got;
  });
  const [mine] = zones as [Zone];
  const mixed = Array.from({ length: 12 }, (_, index) => held.slice(1).map((got) => got[index]!));
  for (const item of mixed.flat()) mine.free(item);
  // 36 foreign items in buckets of 8: four are sorted, four items are in the cross bucket.
  expect(crossOf(mine).count).toBe(4);
  for (const domain of [1, 2, 3]) {
    expect(queueOf(mine, domain).filter((count) => count === 8).length).toBeGreaterThanOrEqual(1);
    for (const item of bucketItems(mine, domain)) expect(domainOf(umas[0]!, item)).toBe(domain);
  }
  expect(partialOf(mine, 1) + partialOf(mine, 2) + partialOf(mine, 3)).toBe(32 - 3 * 8);
  expect(partialOf(mine, 0)).toBe(0);
  expectClean(...umas);
  // A trim takes the partial buckets too, a drain-cpu everything.
  for (const item of held[0]!) mine.free(item);
  reclaim(umas[0]!, 'trim', mine.record);
  expect([1, 2, 3].map((domain) => partialOf(mine, domain))).toEqual([0, 0, 0]);
  reclaim(umas[0]!, 'drain-cpu');
  expect(mine.statistics()).toMatchObject({ cached: 0, queued: 0, pages: 0, live: 0 });
  expectClean(...umas);
});

/** Items of the queued buckets of a domain. */
function bucketItems(zone: Zone, domain: number): number[] {
  const { words } = zone.uma;
  const found: number[] = [];
  let bucket = words[zoneDomain(zone.uma, zone.record, domain) + ZoneDomain.fields.head.at]!;
  while (bucket !== 0) {
    const count = words[bucket + BucketHeader.fields.count.at]!;
    for (let at = 0; at < count; at++) found.push(words[bucket + BucketHeader.words + at]!);
    bucket = words[bucket + BucketHeader.fields.link.at]!;
  }
  return found;
}

test('the cross bucket of an idle CPU, and of one that answers, goes home in a drain', () => {
  const { umas } = virtualCpus(2, { domains: 2, bytes: 2 << 20 });
  const [mine, other] = umas.map((uma) => uma.open(items)) as [Zone, Zone];
  const foreign = allocAll(other, 6);
  for (const item of foreign.slice(0, 3)) mine.free(item);
  answerRequests(umas[0]!.cpu);
  expect(queueOf(mine, 1)[0]).toBe(3);
  for (const item of foreign.slice(3)) mine.free(item);
  leave(umas[0]!);
  reclaim(umas[1]!, 'drain-cpu', other.record);
  expect(other.statistics()).toMatchObject({ cached: 0, queued: 0, pages: 0, live: 0 });
  expectClean(...umas);
});

test('allocDomain gets memory of the domain that is named, from its queue or its keg', () => {
  const { umas } = virtualCpus(2, { domains: 2, bytes: 2 << 20 });
  const [mine, other] = umas.map((uma) => uma.open(items)) as [Zone, Zone];
  const first = mine.allocDomain(1, M_NOWAIT);
  expect(domainOf(umas[0]!, first)).toBe(1);
  const held = allocAll(other, 4);
  for (const item of held) other.free(item);
  answerRequests(umas[1]!.cpu);
  const queued = other.statistics().queued;
  const second = mine.allocDomain(1, M_NOWAIT);
  expect(held).toContain(second);
  expect(other.statistics().queued).toBe(queued - 1);
  expect(mine.statistics().live).toBe(2);
  expect(() => mine.allocDomain(2, M_NOWAIT)).toThrow(ArgumentError);
  expect(() => umas[0]!.open(spread).allocDomain(0, M_NOWAIT)).toThrow(/not FIRSTTOUCH/);
  expectClean(...umas);
  takeAllPages(umas[0]!, 0);
  const rest: number[] = [];
  for (let item = 1; item !== 0; rest.push(item)) item = mine.allocDomain(1, M_NOWAIT);
  for (const item of rest.slice(0, -1)) expect(domainOf(umas[0]!, item)).toBe(1);
});

test('an exhausted domain: single items of another one, never bucketfuls, until all are', () => {
  const { arena, umas } = virtualCpus(1, { domains: 2 });
  const zone = umas[0]!.open(items);
  const held: number[] = [];
  for (let item = zone.alloc(M_NOWAIT); item !== 0; item = zone.alloc(M_NOWAIT)) {
    held.push(item);
    const { alloc } = cacheOf(zone);
    for (let at = 0; at < alloc.count; at++) {
      expect(domainOf(umas[0]!, umas[0]!.words[alloc.bucket + BucketHeader.words + at]!)).toBe(0);
    }
  }
  const homes = held.map((item) => domainOf(umas[0]!, item));
  const firstForeign = homes.indexOf(1);
  expect(firstForeign).toBeGreaterThan(0);
  // Until that is full too, and the pages of the buckets are given up, which are in the first.
  const lastForeign = homes.lastIndexOf(1);
  const between = homes.slice(firstForeign, lastForeign + 1);
  expect(between.filter((home) => home === 1).length).toBeGreaterThan(between.length * 0.9);
  expect(freePageCount(arena)).toBeLessThan(4);
  for (const item of held) zone.free(item);
  reclaim(umas[0]!, 'drain-cpu');
  expect(zone.statistics().pages).toBe(0);
  expectClean(umas[0]!);
});

test('with trash and item tables: every item comes home clean, in any mixture', () => {
  const { umas } = virtualCpus(3, { domains: 3, level: 'invariants', bytes: 2 << 20 });
  const zones = umas.map((uma) => uma.open(defineZone({ name: 'small', size: 256 })));
  let seed = 12345;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return seed % below;
  };
  const held: number[] = [];
  for (let turn = 0; turn < 6000; turn++) {
    const zone = zones[random(3)]!;
    if (random(2) === 0 && held.length < 400) held.push(zone.alloc(M_NOWAIT));
    else if (held.length > 0) zone.free(held.splice(random(held.length), 1)[0]!);
    leave(zone.uma);
  }
  for (const item of held) zones[0]!.free(item);
  expect(fsck(umas[0]!).violations).toEqual([]);
  reclaim(umas[0]!, 'drain-cpu');
  expect(zones[0]!.statistics()).toMatchObject({ live: 0, pages: 0 });
  expectClean(...umas);
});
