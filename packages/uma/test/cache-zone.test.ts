/** Cache zones (spec 3.1): items from import, back by release, cached like any others between. */
import { expect, test } from 'vitest';
import { ArgumentError, answerRequests, markDead, recover } from '@umbuf/memory';
import {
  defineZone,
  fsck,
  ImportError,
  InternalFlag,
  M_NOWAIT,
  M_ZERO,
  readZoneFailures,
  reclaim,
  type Uma,
  type Zone,
  type ZoneDefinition,
  ZoneFlag,
  ZoneRecord,
} from '../src/index.ts';
import { deathPoints, mark, restore, spread } from './support/death.ts';
import { allocAll, expectClean, leave, thrownBy, virtualCpus } from './support/virtual.ts';

/** Numbers from 1 to `most`, in a test's own set; what is not in it is the zone's. */
interface Stock {
  readonly free: Set<number>;
  readonly calls: string[];
  readonly definition: ZoneDefinition;
}

function stock(most: number, more: Partial<ZoneDefinition> = {}): Stock {
  const free = new Set(Array.from({ length: most }, (_, index) => index + 1));
  const calls: string[] = [];
  const definition = defineZone({
    name: 'numbers',
    size: 512,
    importItems(_zone, store, count, domain, flags) {
      calls.push(`import ${count} domain ${domain} flags ${flags}`);
      let got = 0;
      for (const item of free) {
        if (got === count) break;
        mark();
        store[got++] = item;
        free.delete(item);
      }
      return got;
    },
    releaseItems(_zone, store, count) {
      calls.push(`release ${count}`);
      for (const item of store.subarray(0, count)) free.add(item);
    },
    ...more,
  });
  return { free, calls, definition };
}

function open(
  { definition }: Stock,
  level: 'none' | 'checks' | 'invariants' = 'none',
): [Zone, Uma[]] {
  const { umas } = virtualCpus(2, { level });
  return [umas[0]!.open(definition), umas as Uma[]];
}

test.each(['none', 'checks', 'invariants'] as const)(
  'level %s: buckets are imported, cached, and released by a drain',
  (level) => {
    const numbers = stock(100);
    const [zone, umas] = open(numbers, level);
    const held = allocAll(zone, 5);
    expect(new Set(held).size).toBe(5);
    // A bucket of 30 for items of 512 bytes.
    expect(numbers.calls).toEqual([`import 30 domain -1 flags ${M_NOWAIT}`]);
    expect(numbers.free.size).toBe(70);
    expect(zone.uma.words[zone.record + ZoneRecord.fields.flags.at]! & InternalFlag.CACHE).not.toBe(
      0,
    );
    expectClean(...umas);
    for (const item of held) zone.free(item);
    reclaim(zone.uma, 'drain-cpu', zone.record);
    expect(numbers.calls.at(-1)).toBe('release 30');
    expect(numbers.free.size).toBe(100);
    expect(zone.statistics()).toMatchObject({ live: 0, cached: 0, queued: 0, pages: 0 });
    expectClean(...umas);
  },
);

test('an import that brings nothing is a failure with its own reason', () => {
  const numbers = stock(3);
  const [zone, umas] = open(numbers);
  const held = allocAll(zone, 3);
  expect(zone.alloc(M_NOWAIT)).toBe(0);
  expect(readZoneFailures(zone.uma, zone.record).reasons.import).toBe(2n);
  expectClean(...umas);
  for (const item of held) zone.free(item);
  expect(allocAll(zone, 3).toSorted((left, right) => left - right)).toEqual([1, 2, 3]);
  expectClean(...umas);
});

test('NOBUCKET: items are imported and released one by one; FIRSTTOUCH names the domain', () => {
  const numbers = stock(9, { flags: ZoneFlag.NOBUCKET | ZoneFlag.FIRSTTOUCH });
  const [zone, umas] = open(numbers);
  const item = zone.alloc(M_NOWAIT | M_ZERO);
  zone.free(item);
  expect(numbers.calls).toEqual([`import 1 domain 0 flags ${M_NOWAIT | M_ZERO}`, 'release 1']);
  expectClean(...umas);
});

test('zinit sees what was imported, zfini what is released, ctor and dtor every allocation', () => {
  const seen: string[] = [];
  const numbers = stock(4, {
    flags: ZoneFlag.NOBUCKET,
    zinit: (_zone, item) => void seen.push(`zinit ${item}`),
    ctor: (_zone, item) => (item === 2 ? 1 : void seen.push(`ctor ${item}`)),
    dtor: (_zone, item) => void seen.push(`dtor ${item}`),
    zfini: (_zone, item) => void seen.push(`zfini ${item}`),
  });
  const [zone, umas] = open(numbers);
  const item = zone.alloc(M_NOWAIT);
  expect(zone.alloc(M_NOWAIT)).toBe(0);
  zone.free(item);
  expect(seen).toEqual(['zinit 1', 'ctor 1', 'zinit 2', 'zfini 2', 'dtor 1', 'zfini 1']);
  expect(numbers.free.size).toBe(4);
  expectClean(...umas);
});

test('an import that throws, or says other than it stored, fails its step; what it stored is released', () => {
  for (const [wrong, error] of [
    [(store: Int32Array): number => (store.set([1, 2]), 3), ImportError],
    [(store: Int32Array): number => (store.set([1, 0, 2]), 3), ImportError],
    [(store: Int32Array): number => (store.set([1]), -1), ImportError],
    [
      (store: Int32Array): number => {
        store.set([1, 2]);
        throw new RangeError('from import');
      },
      RangeError,
    ],
  ] as const) {
    for (const flags of [0, ZoneFlag.NOBUCKET]) {
      const released: number[] = [];
      const definition = defineZone({
        name: 'wrong',
        size: 512,
        flags,
        importItems: (_zone, store) => wrong(store),
        releaseItems: (_zone, store, count) => void released.push(...store.subarray(0, count)),
      });
      const { umas } = virtualCpus(1);
      const zone = umas[0]!.open(definition);
      if (flags === 0) {
        expect(thrownBy(() => zone.alloc(M_NOWAIT))).toBeInstanceOf(error);
        expect(released[0]).toBe(1);
      } else {
        // A store of one item is too short for some of them: a RangeError of its own.
        expect(thrownBy(() => zone.alloc(M_NOWAIT))).toBeInstanceOf(Error);
      }
      expectClean(umas[0]!);
    }
  }
});

test('a throwing release is reported at the end; its items are gone', () => {
  const numbers = stock(9, {
    flags: ZoneFlag.NOBUCKET,
    releaseItems: () => {
      throw new Error('from release');
    },
  });
  const [zone, umas] = open(numbers);
  const item = zone.alloc(M_NOWAIT);
  expect(() => zone.free(item)).toThrow('from release');
  expect(zone.statistics().live).toBe(0);
  expectClean(...umas);
});

test('a limit counts imported items', () => {
  const numbers = stock(100);
  const [zone, umas] = open(numbers);
  const first = allocAll(zone, 1);
  zone.setMax(40);
  const held: number[] = [];
  for (let item = zone.alloc(M_NOWAIT); item !== 0; item = zone.alloc(M_NOWAIT)) held.push(item);
  expect(held.length + 1).toBe(40);
  expectClean(...umas);
  for (const item of [...first, ...held]) zone.free(item);
  expectClean(...umas);
  reclaim(zone.uma, 'drain-cpu', zone.record);
  expect(numbers.free.size).toBe(100);
  expectClean(...umas);
});

test('a thread that has not opened the zone leaves its items alone', () => {
  const numbers = stock(50);
  const [zone, umas] = open(numbers);
  for (const item of allocAll(zone, 40)) zone.free(item);
  answerRequests(zone.uma.cpu);
  leave(zone.uma);
  expect(reclaim(umas[1]!, 'drain-cpu').needOpener).toEqual(['numbers']);
  expect(numbers.free.size).toBe(0);
  expectClean(...umas);
});

test('destroy releases what is cached and reports how many items are out', () => {
  const numbers = stock(50);
  const [zone, umas] = open(numbers);
  const held = allocAll(zone, 7);
  leave(umas[1]!);
  expect(zone.destroy()).toMatchObject({ complete: true, items: 7, pages: 0, leaked: [] });
  expect(numbers.free.size).toBe(43);
  expect(held.some((item) => numbers.free.has(item))).toBe(false);
  expectClean(...umas);
});

test.each([
  ['importItems alone', { releaseItems: undefined }, /come together/],
  ['init', { init: () => 0 }, /init and fini/],
  ['SMR', { flags: ZoneFlag.SMR }, /belong to a keg/],
  ['PCPU', { flags: ZoneFlag.PCPU }, /belong to a keg/],
  ['holders', { holders: true }, /belong to a keg/],
])('a definition with %s is refused', (_what, more, message) => {
  expect(() => stock(1, more as Partial<ZoneDefinition>)).toThrow(message);
});

test('reserve and prealloc belong to kegs', () => {
  const [zone] = open(stock(1));
  expect(() => zone.reserve(1)).toThrow(ArgumentError);
  expect(() => zone.prealloc(1)).toThrow(ArgumentError);
});

// Where death strikes, what the callback has stored is the zone's; the stock is the test's own memory.
test.each([
  ['a bucket', 0],
  ['single items', ZoneFlag.NOBUCKET],
])('death anywhere in an allocation and a free, %s: no item is lost or doubled', (_what, flags) => {
  const returned = new Set<number>();
  const definition = defineZone({
    name: 'numbers',
    size: 2048,
    flags,
    importItems(_zone, store, count) {
      for (let index = 0; index < count; index++) {
        store[index] = index + 1;
        mark();
      }
      return count;
    },
    releaseItems: (_zone, store, count) => {
      for (const item of store.subarray(0, count)) returned.add(item);
    },
  });
  for (const opened of [true, false]) {
    const { umas } = virtualCpus(2, { level: 'checks' });
    const [victim, supervisor] = umas as [Uma, Uma];
    const zone = victim.open(definition);
    if (opened) supervisor.open(definition);
    leave(supervisor);
    const held: number[] = [];
    const { points, error } = deathPoints(
      victim,
      () => {
        held.push(zone.alloc(M_NOWAIT));
        zone.free(held.pop()!);
        reclaim(victim, 'drain-cpu', zone.record);
      },
      () => held.length,
      200,
    );
    expect(error).toBeUndefined();
    expect(points.length).toBeGreaterThan(10);
    spread(points, 60).forEach((point, index) => {
      restore(victim, point);
      const { cpu } = victim;
      markDead(supervisor.cpu, cpu.number, cpu.incarnation);
      expect(recover(supervisor.cpu, cpu.number, cpu.incarnation)).toBe('recovered');
      const report = fsck(supervisor);
      expect(report.violations, `${opened}, point ${index}`).toEqual([]);
      const live = report.live['numbers']!;
      expect(live - point.owned).toBeGreaterThanOrEqual(0);
      expect(live - point.owned).toBeLessThanOrEqual(1);
    });
  }
  expect(returned.size).toBeGreaterThan(0);
});
