/**
 * A zone's limit without waiting (spec 2.6, 3.4): what counts, what it does to buckets, and that it
 * is exact whenever it is set.
 */
import { describe, expect, test } from 'vitest';
import { ArgumentError, HandKind, LIMIT_MAX, reserveSlot, TableFullError } from '@umbuf/memory';
import {
  defineZone,
  fsck,
  M_NOWAIT,
  reclaim,
  type Zone,
  type ZoneDefinition,
  ZoneFlag,
  ZoneRecord,
} from '../src/index.ts';
import { cacheOf, queueOf } from './support/inspect.ts';
import {
  allocAll,
  expectClean,
  handTop,
  leave,
  takeAllPages,
  thrownBy,
  virtualCpus,
} from './support/virtual.ts';

const Z = ZoneRecord.fields;
const definition: ZoneDefinition = defineZone({ name: 'z', size: 100 });

function zones(
  cpus: number,
  base: Partial<ZoneDefinition> = {},
  options: Parameters<typeof virtualCpus>[1] = {},
): Zone[] {
  const { umas } = virtualCpus(cpus, options);
  const wanted = defineZone({ ...definition, ...base });
  return umas.map((uma) => uma.open(wanted));
}

/** Allocates until the zone is exhausted. */
function allocUntilNull(zone: Zone): number[] {
  const items: number[] = [];
  for (let item = zone.alloc(M_NOWAIT); item !== 0; item = zone.alloc(M_NOWAIT)) items.push(item);
  return items;
}

function freeAll(zone: Zone, items: readonly number[]): void {
  for (const item of items) zone.free(item);
}

describe('set_maxcache vectors', () => {
  test.each([
    [0, 0, 0],
    [7, 0, 7],
    [8, 1, 0],
    [10, 1, 2],
    [16, 1, 8],
    [32, 2, 16],
    [100, 6, 52],
    [1000, 62, 504],
    [4064, 254, 2032],
    [100_000, 254, 97_968],
  ])('%i items over 4 CPUs: buckets of %i, queues of %i', (items, bucketSize, bucketMax) => {
    const [zone] = zones(4);
    const { words } = zone!.uma;
    zone!.setMaxcache(items);
    expect(words[zone!.record + Z.bucketSize.at]).toBe(bucketSize);
    expect(words[zone!.record + Z.bucketSizeMax.at]).toBe(bucketSize);
    expect(words[zone!.record + Z.bucketSizeMin.at]).toBe(Math.min(bucketSize, 126));
    expect(zone!.limitStatistics().bucketMax).toBe(bucketMax);
    expect(zone!.getMax()).toBe(0);
  });

  test.each([
    [32, 1, 6],
    [100, 1, 74],
    [1000, 19, 506],
  ])('%i items, 8 CPUs, 2 domains, FIRSTTOUCH: buckets of %i, queues of %i', (items, size, max) => {
    const [zone] = zones(8, { flags: ZoneFlag.FIRSTTOUCH }, { domains: 2, bytes: 2 << 20 });
    expect(zone!.setMax(items)).toBe(items);
    expect(zone!.uma.words[zone!.record + Z.bucketSize.at]).toBe(size);
    expect(zone!.limitStatistics()).toMatchObject({ max: items, bucketMax: max, items: 0 });
  });
});

describe.each(['none', 'checks', 'invariants'] as const)('level %s', (level) => {
  test.each([1, 2, 7, 8, 10, 33, 100])('a limit of %i is reached exactly, by one CPU', (max) => {
    const [zone] = zones(2, {}, { level });
    zone!.setMax(max);
    const items = allocUntilNull(zone!);
    expect(items).toHaveLength(max);
    expect(zone!.getCur()).toBe(max);
    expect(zone!.limitStatistics()).toMatchObject({ max, items: max, sleepers: 0 });
    expectClean(zone!.uma);
    freeAll(zone!, items);
    expect(allocUntilNull(zone!)).toHaveLength(max);
    expectClean(zone!.uma);
  });

  test('the items in the caches count, and never more than the limit are outside', () => {
    const [one, two] = zones(2, {}, { level });
    one!.setMax(16);
    const items = allocAll(one!, 9);
    freeAll(one!, items.splice(0, 4));
    for (let turn = 0; turn < 40; turn++) {
      const item = two!.alloc(M_NOWAIT);
      if (item !== 0) items.push(item);
      const { items: count } = one!.limitStatistics();
      expect(count).toBeLessThanOrEqual(16);
      expect(count).toBeGreaterThanOrEqual(items.length);
    }
    expectClean(one!.uma, two!.uma);
  });
});

test('a fill takes what the limit leaves, and gives back what it did not use', () => {
  const [zone] = zones(2);
  zone!.setMax(100); // buckets of 12
  zone!.alloc(M_NOWAIT);
  expect(cacheOf(zone!).alloc).toMatchObject({ count: 11, entries: 12 });
  expect(zone!.limitStatistics().items).toBe(12);
  zone!.setMax(14);
  expect(zone!.limitStatistics().items).toBe(1); // the large bucket was drained
  expect(zone!.uma.words[zone!.record + Z.bucketSize.at]).toBe(1);
  expectClean(zone!.uma);
});

test('pages that run out inside a fill leave no unit behind', () => {
  const [zone] = zones(2, { size: 4000 });
  zone!.setMax(200);
  takeAllPages(zone!.uma, 12);
  const items = allocUntilNull(zone!);
  expect(items.length).toBeGreaterThan(2);
  expect(zone!.limitStatistics().items).toBe(items.length);
  freeAll(zone!, items);
  reclaim(zone!.uma, 'drain-cpu', zone!.record);
  expect(zone!.limitStatistics().items).toBe(0);
});

test('buckets hold no more than the limit gives them, and queues neither', () => {
  const [zone] = zones(2);
  zone!.setMax(40); // buckets of 5, 20 on the queue
  const items = allocAll(zone!, 40);
  freeAll(zone!, items);
  const { alloc, free } = cacheOf(zone!);
  expect([alloc.entries, free.entries]).toEqual([5, 5]);
  const queued = queueOf(zone!);
  expect(Math.max(...queued)).toBeLessThanOrEqual(5);
  expect(queued.reduce((sum, count) => sum + count, 0)).toBeLessThan(20);
  expectClean(zone!.uma);
});

test('a NOBUCKET zone has none with a limit either', () => {
  const [zone] = zones(2, { flags: ZoneFlag.NOBUCKET });
  expect(zone!.setMax(1000)).toBe(1000);
  expect(zone!.limitStatistics()).toMatchObject({ max: 1000, bucketMax: 1000 });
  const items = allocAll(zone!, 5);
  expect(zone!.limitStatistics().items).toBe(5);
  freeAll(zone!, items);
  expect(zone!.limitStatistics().items).toBe(0);
  expect(zone!.statistics()).toMatchObject({ cached: 0, queued: 0 });
});

test('a zone whose limit gives buckets of nothing caches nothing', () => {
  const [zone] = zones(2);
  zone!.setMax(3);
  const items = allocAll(zone!, 3);
  expect(zone!.alloc(M_NOWAIT)).toBe(0);
  freeAll(zone!, items);
  expect(zone!.statistics()).toMatchObject({ cached: 0, queued: 0 });
  expect(zone!.limitStatistics().items).toBe(0);
});

test('a limit set on a zone in use begins with what is outside (D15)', () => {
  const [one, two] = zones(2);
  const items = allocAll(one!, 30);
  const foreign = allocAll(two!, 200);
  freeAll(two!, foreign.splice(0, 150));
  leave(two!.uma);
  one!.setMax(500);
  const outside = one!.statistics();
  expect(one!.limitStatistics().items).toBe(outside.live + outside.cached + outside.queued);
  expectClean(one!.uma);
  freeAll(one!, items);
  freeAll(two!, foreign);
  leave(two!.uma);
  reclaim(one!.uma, 'drain-cpu', one!.record);
  expect(one!.limitStatistics().items).toBe(0);
  expectClean(one!.uma, two!.uma);
});

test('a limit below what is outside lets nothing out until enough has come back', () => {
  const [zone] = zones(2);
  const items = allocAll(zone!, 30);
  zone!.setMax(10);
  expect(zone!.limitStatistics().items).toBe(30);
  expect(zone!.alloc(M_NOWAIT)).toBe(0);
  expectClean(zone!.uma);
  freeAll(zone!, items.splice(0, 20));
  expect(zone!.statistics()).toMatchObject({ cached: 0, queued: 0 });
  expect(zone!.alloc(M_NOWAIT)).toBe(0);
  freeAll(zone!, items.splice(0, 3));
  expect(allocUntilNull(zone!)).toHaveLength(3);
  expectClean(zone!.uma);
  // From here on frees are cached again.
  freeAll(zone!, items.splice(0, 2));
  expect(zone!.statistics().cached).toBe(2);
  expectClean(zone!.uma);
});

test('what idle CPUs have cached is found before a request fails at the limit', () => {
  const [one, two, three] = zones(3);
  one!.setMax(120); // buckets of 10
  freeAll(two!, allocAll(two!, 10));
  freeAll(three!, allocAll(three!, 10));
  leave(two!.uma);
  leave(three!.uma);
  expect(allocUntilNull(one!)).toHaveLength(120);
  expectClean(one!.uma);
});

test('what running CPUs have cached is not found by a request that may not wait', () => {
  const [one, two] = zones(2);
  one!.setMax(80);
  freeAll(two!, allocAll(two!, 10));
  const cached = two!.statistics().cached;
  expect(cached).toBeGreaterThan(0);
  expect(allocUntilNull(one!)).toHaveLength(80 - cached);
  leave(two!.uma);
  expect(allocUntilNull(one!)).toHaveLength(cached);
  expectClean(one!.uma);
});

test('a raised limit lets more out, a lowered one is no barrier for what is out', () => {
  const [zone] = zones(2);
  zone!.setMax(4);
  const items = allocUntilNull(zone!);
  zone!.setMax(6);
  items.push(...allocUntilNull(zone!));
  expect(items).toHaveLength(6);
  expect(zone!.setMax(5)).toBe(5);
  expect(zone!.limitStatistics()).toMatchObject({ max: 5, items: 6 });
  expectClean(zone!.uma);
});

test('a refusing ctor leaves no unit and no allocation behind (D1)', () => {
  let refuse = true;
  const [zone] = zones(2, { ctor: () => (refuse ? 1 : 0) });
  zone!.setMax(20);
  for (let turn = 0; turn < 50; turn++) expect(zone!.alloc(M_NOWAIT)).toBe(0);
  expect(zone!.getCur()).toBe(0);
  expectClean(zone!.uma);
  refuse = false;
  expect(allocUntilNull(zone!)).toHaveLength(20);
  expectClean(zone!.uma);
});

test.each(['zinit', 'init'] as const)(
  'a refusing or throwing %s leaves no unit behind',
  (which) => {
    let outcome: (() => number) | undefined;
    const [zone] = zones(2, { [which]: () => outcome?.() ?? 0 });
    zone!.setMax(40);
    const kept = allocAll(zone!, 3);
    reclaim(zone!.uma, 'drain-cpu', zone!.record);
    outcome = () => 1;
    if (which === 'zinit') expect(zone!.alloc(M_NOWAIT)).toBe(0);
    outcome = () => {
      throw new Error('no');
    };
    if (which === 'zinit') expect(() => zone!.alloc(M_NOWAIT)).toThrow('no');
    outcome = undefined;
    expect(zone!.limitStatistics().items).toBe(3);
    expectClean(zone!.uma);
    freeAll(zone!, kept);
    expect(allocUntilNull(zone!)).toHaveLength(40);
  },
);

test('the limit is of the zone, not of the keg', () => {
  const primary = defineZone({ name: 'primary', size: 256 });
  const { umas } = virtualCpus(2);
  const first = umas[0]!.open(primary);
  const second = umas[0]!.open(defineZone({ name: 'second', size: 256, primary }));
  first.setMax(5);
  second.setMax(7);
  expect(allocUntilNull(first)).toHaveLength(5);
  expect(allocUntilNull(second)).toHaveLength(7);
  expectClean(umas[0]!);
});

test.each([0, -1, 1.5, Number.NaN, LIMIT_MAX + 1])('setMax(%d) is refused', (max) => {
  const [zone] = zones(1);
  expect(() => zone!.setMax(max)).toThrow(ArgumentError);
  expect(zone!.getMax()).toBe(0);
  expect(zone!.setMax(LIMIT_MAX)).toBe(LIMIT_MAX);
});

test('a zone fini that throws while a limit shrinks the caches is reported, with the limit set', () => {
  let broken = false;
  const [zone] = zones(2, {
    zfini() {
      if (broken) throw new Error('zfini');
    },
  });
  freeAll(zone!, allocAll(zone!, 9));
  broken = true;
  expect(() => zone!.setMax(20)).toThrow('zfini');
  broken = false;
  expect(zone!.getMax()).toBe(20);
  expect(zone!.uma.words[zone!.record + Z.bucketSize.at]).toBe(2);
  expect(allocUntilNull(zone!)).toHaveLength(20);
  expectClean(zone!.uma);
});

test('a limit without pages for its record is an error, and the zone stays without', () => {
  const [zone] = zones(1, {}, { bytes: 1 << 18 });
  takeAllPages(zone!.uma, 0);
  // What is left of the static space takes a few records still.
  let made = 0;
  const error = thrownBy(() => {
    for (; made < 200; made++) {
      zone!.uma.open(defineZone({ name: `more ${made}`, size: 64 })).setMax(10);
    }
  });
  expect(error).toBeInstanceOf(TableFullError);
  expect(handTop(zone!.uma)).toBe(0);
});

test('fsck finds a count that is not what is outside', () => {
  const [zone] = zones(1);
  zone!.setMax(10);
  zone!.alloc(M_NOWAIT);
  const { words, cpu } = zone!.uma;
  const limit = words[zone!.record + Z.limit.at]!;
  words[limit + 32]! += 1;
  expect(fsck(zone!.uma).violations.join()).toMatch(/6: zone z: .* counted by the limit/);
  words[limit + 32]! -= 1;
  const slot = reserveSlot(cpu);
  words[slot] = HandKind.none;
  words[cpu.handTop]! -= 1;
  expect(fsck(zone!.uma).violations).toEqual([]);
});
