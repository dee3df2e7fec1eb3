/**
 * ctor, dtor, init, fini, zinit, zfini: when each runs, what a refusal and a throw undo, and what
 * is reported when. After each failure the hand stack is empty and fsck clean.
 */
import { expect, test } from 'vitest';
import { NULL } from '@umbuf/memory';
import {
  AsyncCallbackError,
  defineZone,
  itemsPerSlab,
  M_NOWAIT,
  reclaim,
  type Uma,
  type Zone,
  type ZoneDefinition,
  ZoneFlag,
} from '../src/index.ts';
import { kegCallbacks, queueOf } from './support/inspect.ts';
import {
  allocAll,
  enter,
  expectClean,
  handTop,
  leave,
  thrownBy,
  virtualCpus,
} from './support/virtual.ts';

type Name = 'ctor' | 'dtor' | 'init' | 'fini' | 'zinit' | 'zfini';
const names = ['ctor', 'dtor', 'init', 'fini', 'zinit', 'zfini'] as const;

/** A definition whose callbacks count, and do what the test says at their n-th call. */
class Spy {
  readonly calls: Record<Name, number> = { ctor: 0, dtor: 0, init: 0, fini: 0, zinit: 0, zfini: 0 };
  readonly log: string[] = [];
  on: Partial<Record<Name, (call: number, zone: Zone, item: number) => unknown>> = {};

  definition(base: Omit<ZoneDefinition, Name>): ZoneDefinition {
    const callbacks = Object.fromEntries(
      names.map((name) => [
        name,
        (zone: Zone, item: number) => {
          this.log.push(name);
          const call = ++this.calls[name];
          return this.on[name]?.(call, zone, item) ?? 0;
        },
      ]),
    );
    return defineZone({ ...base, ...callbacks } as ZoneDefinition);
  }

  /** Each layer's pairs differ by what is on its far side (invariant 10). */
  check(zone: Zone, live: number): void {
    const { calls } = this;
    expect(calls.init - calls.fini).toBe(kegItems(zone));
    expect(calls.zinit - calls.zfini).toBe(kegItems(zone) - zone.statistics().kegFree);
    expect(kegCallbacks(zone)).toEqual({ inits: calls.init, finis: calls.fini });
    expect(zone.statistics().live).toBe(live);
  }
}

function kegItems(zone: Zone): number {
  const { pages } = zone.statistics();
  return (pages * 4096 * itemsPerSlab(zone)) / slabBytes(zone);
}

function slabBytes(zone: Zone): number {
  return zone.uma.words[zone.keg + 5 - 1]! * 4096; // ppera
}

const levels = ['none', 'checks', 'invariants'] as const;

function setUp(level: (typeof levels)[number], base: Partial<ZoneDefinition> = {}) {
  const { umas } = virtualCpus(2, { level });
  const spy = new Spy();
  const definition = spy.definition({ name: 'z', size: 1000, ...base });
  leave(umas[1]!);
  return { umas, uma: umas[0]!, spy, definition, zone: umas[0]!.open(definition) };
}

test.each(levels)('each callback runs once per step of its layer at level %s', (level) => {
  const { umas, uma, spy, zone } = setUp(level, { size: 4096 });
  const item = zone.alloc(M_NOWAIT);
  // A bucket of two is filled from two slabs of one, then the first is handed out.
  expect(spy.log).toEqual(['init', 'init', 'zinit', 'zinit', 'ctor']);
  zone.free(item);
  expect(spy.log.slice(5)).toEqual(['dtor']);
  zone.free(zone.alloc(M_NOWAIT));
  expect(spy.log.slice(6)).toEqual(['ctor', 'dtor']);
  reclaim(uma, 'drain-cpu', zone.record);
  expect(spy.log.slice(8)).toEqual(['zfini', 'zfini', 'fini', 'fini']);
  spy.check(zone, 0);
  expectClean(...umas);
});

test('a secondary zone has its own cache and callbacks on the primary’s keg, and ctor on top', () => {
  const { umas } = virtualCpus(1, { level: 'invariants' });
  const uma = umas[0]!;
  const log: string[] = [];
  const note =
    (name: string) =>
    (_zone: Zone, item: number): void => {
      uma.words[item >> 2] = 7; // what a packet zone does: state in the cached item
      log.push(name);
    };
  const primary = defineZone({ name: 'primary', size: 256 });
  const secondary = defineZone({
    name: 'secondary',
    size: 256,
    primary,
    zinit: note('zinit'),
    zfini: note('zfini'),
    ctor: note('ctor'),
    dtor: note('dtor'),
  });
  const packets = uma.open(secondary);
  const mbufs = uma.open(primary);
  expect(packets.keg).toBe(mbufs.keg);
  const packet = packets.alloc(M_NOWAIT);
  expect(log.at(-1)).toBe('ctor');
  expect(log.filter((name) => name === 'zinit').length).toBe(packets.statistics().cached + 1);
  packets.free(packet);
  reclaim(uma, 'drain-cpu', packets.record);
  expect(log.filter((name) => name === 'zfini').length).toBe(
    log.filter((name) => name === 'zinit').length,
  );
  // Items that the secondary zone has written pass the primary's check for writes after free.
  const all = allocAll(mbufs, 60);
  for (const item of all) mbufs.free(item);
  expect(expectClean(...umas)).toMatchObject({ primary: 0, secondary: 0 });
  reclaim(uma, 'drain-cpu');
  expect(mbufs.statistics().pages).toBe(0);
  expectClean(...umas);
});

for (const level of levels) {
  for (const flags of [0, ZoneFlag.NOBUCKET]) {
    const where = `${flags === 0 ? 'with buckets' : 'NOBUCKET'} at level ${level}`;

    test(`a refusing ctor is NULL, counted as a failure and as a free (D1), ${where}`, () => {
      const { umas, spy, zone } = setUp(level, { flags });
      const held = allocAll(zone, 3);
      spy.on.ctor = () => 1;
      expect(zone.alloc(M_NOWAIT)).toBe(NULL);
      expect(zone.alloc(M_NOWAIT)).toBe(NULL);
      const statistics = zone.statistics();
      expect(statistics.fails).toBe(2);
      expect(statistics.live).toBe(3);
      // The item went back by zone fini, without a dtor (2.2).
      expect(spy.calls.dtor).toBe(0);
      expect(spy.calls.zfini).toBe(2);
      spy.check(zone, 3);
      expect(expectClean(...umas)['z']).toBe(held.length);
    });

    test.each(['ctor', 'zinit', 'init'] as const)(
      `a throwing %s is undone and rethrown, ${where}`,
      (name) => {
        // Enough items that a refill is due, at each of the calls that one refill makes.
        for (const at of [1, 2, 3]) {
          const { umas, spy, zone } = setUp(level, { flags });
          const error = new Error(`${name} call ${at}`);
          spy.on[name] = (call) => {
            if (call === at) throw error;
          };
          const held: number[] = [];
          let caught: unknown;
          for (let index = 0; index < 40 && caught === undefined; index++) {
            try {
              held.push(zone.alloc(M_NOWAIT));
            } catch (thrown) {
              caught = thrown;
            }
          }
          expect(caught).toBe(error);
          expect(handTop(zone.uma)).toBe(0);
          expect(expectClean(...umas)['z']).toBe(held.length);
          // The failing call of init, zinit counts as not done.
          spy.on = {};
          spy.calls[name] -= name === 'ctor' ? 0 : 1;
          spy.check(zone, held.length);
          // The zone goes on.
          held.push(...allocAll(zone, 20));
          for (const item of held) zone.free(item);
          expect(expectClean(...umas)['z']).toBe(0);
        }
      },
    );

    test.each(['zinit', 'init'] as const)(
      `a refusing %s is NULL with nothing left, ${where}`,
      (name) => {
        const { umas, spy, zone } = setUp(level, { flags });
        spy.on[name] = () => 12;
        for (let index = 0; index < 5; index++) expect(zone.alloc(M_NOWAIT)).toBe(NULL);
        expect(zone.statistics().live).toBe(0);
        expect(zone.statistics().fails).toBeGreaterThanOrEqual(5);
        expect(spy.calls.zfini).toBe(0);
        if (name === 'init') expect(zone.statistics().pages).toBe(0);
        expectClean(...umas);
        spy.on = {};
        spy.calls[name] = spy.calls.fini = 0;
        spy.calls.init = kegCallbacks(zone).inits - kegCallbacks(zone).finis;
        zone.free(zone.alloc(M_NOWAIT));
        expectClean(...umas);
      },
    );

    test.each(['dtor', 'zfini', 'fini'] as const)(
      `a throwing %s does not stop the operation and is reported once, ${where}`,
      (name) => {
        const { umas, uma, spy, zone } = setUp(level, { flags });
        const held = allocAll(zone, 20);
        const error = new Error('first');
        let first = true;
        spy.on[name] = () => {
          const thrown = first ? error : new Error('later');
          first = false;
          throw thrown;
        };
        let reports = 0;
        for (const item of held) {
          try {
            zone.free(item);
          } catch (thrown) {
            if (reports++ === 0) expect(thrown).toBe(error);
          }
        }
        expect(zone.statistics().live).toBe(0);
        expect(handTop(uma)).toBe(0);
        if (name !== 'fini') expect(reports).toBe(name === 'dtor' ? 20 : flags === 0 ? 0 : 20);
        if (name === 'fini' || (name === 'zfini' && flags === 0))
          expect(thrownBy(() => reclaim(uma, 'drain-cpu'))).toBeInstanceOf(Error);
        spy.on = {};
        expect(() => reclaim(uma, 'drain-cpu')).not.toThrow();
        expect(zone.statistics().pages).toBe(0);
        spy.check(zone, 0);
        expectClean(...umas);
      },
    );
  }
}

test.each(names)('a %s that returns a promise is a typed error', (name) => {
  const { umas, uma, spy, zone } = setUp('checks', { flags: ZoneFlag.NOBUCKET });
  spy.on[name] = () => Promise.resolve();
  const error = thrownBy(() => {
    zone.free(zone.alloc(M_NOWAIT));
    reclaim(uma, 'drain');
  });
  expect(error).toBeInstanceOf(AsyncCallbackError);
  expect(String(error)).toContain(`zone z: ${name}`);
  expectClean(...umas);
});

test.each(['ctor', 'dtor', 'zinit', 'zfini', 'init', 'fini'] as const)(
  'a %s may use the same zone, other zones and reclaim',
  (name) => {
    const { umas, uma, spy, definition, zone } = setUp('invariants', { size: 4096 });
    const helper = uma.open(defineZone({ name: 'helper', size: 4096 }));
    const other = umas[1]!.open(definition);
    let depth = 0;
    let nested = 0;
    spy.on[name] = () => {
      if (depth > 0) return 0;
      depth++;
      nested++;
      const items = [zone.alloc(M_NOWAIT), zone.alloc(M_NOWAIT), zone.alloc(M_NOWAIT)];
      const helpers = allocAll(helper, 3);
      helper.freeMany(helpers, 0, 3);
      for (const item of items) zone.free(item);
      if (nested % 3 === 0) reclaim(uma, 'drain-cpu', zone.record);
      expect(uma.words[uma.cpu.entered]).toBe(1);
      depth--;
      return 0;
    };
    for (let round = 0; round < 12; round++) {
      const held = allocAll(zone, 7);
      const foreign = allocAll(other, 3);
      leave(umas[1]!);
      for (const item of [...held, ...foreign]) zone.free(item);
      reclaim(uma, round % 2 === 0 ? 'drain-cpu' : 'drain', zone.record);
      expect(expectClean(...umas)['z']).toBe(0);
      enter(umas[1]!);
    }
    expect(nested).toBeGreaterThan(3);
    spy.on = {};
    reclaim(uma, 'drain-cpu', zone.record);
    leave(umas[1]!);
    spy.check(zone, 0);
  },
);

test('an init that needs its own zone without end is a Panic, and the arena stays whole', () => {
  const { umas, spy, zone } = setUp('checks', { size: 4096 });
  spy.on.init = () => void zone.alloc(M_NOWAIT);
  expect(() => zone.alloc(M_NOWAIT)).toThrow(/hand stack full/);
  expect(expectClean(...umas)['z']).toBe(0);
  spy.on = {};
  zone.free(zone.alloc(M_NOWAIT));
  expectClean(...umas);
});

test('errors of an inner operation are its own: the outer one’s are reported at its end', () => {
  const { umas, spy, uma, zone } = setUp('checks', { flags: ZoneFlag.NOBUCKET });
  const other = uma.open(defineZone({ name: 'other', size: 64, zfini: () => {} }));
  const [item, spare] = [zone.alloc(M_NOWAIT), other.alloc(M_NOWAIT)];
  spy.on.dtor = () => {
    throw new Error('of the dtor');
  };
  let inner: unknown = 'nothing';
  spy.on.zfini = () => {
    try {
      other.free(spare);
    } catch (error) {
      inner = error;
    }
  };
  expect(() => zone.free(item)).toThrow('of the dtor');
  expect(inner).toBe('nothing');
  expectClean(...umas);
});

test('a zone opened again with other function objects runs the latest, through old objects too', () => {
  const { umas } = virtualCpus(1);
  const uma = umas[0]!;
  const ran: number[] = [];
  const define = (tag: number): ZoneDefinition =>
    defineZone({ name: 'z', size: 64, ctor: () => void ran.push(tag) });
  const first = uma.open(define(1));
  first.alloc(M_NOWAIT);
  const second = uma.open(define(2));
  expect(second.record).toBe(first.record);
  first.alloc(M_NOWAIT);
  second.alloc(M_NOWAIT);
  expect(ran).toEqual([1, 2, 2]);
  expectClean(...umas);
});

test('a thread that has not opened a zone with callbacks leaves its buckets, and says so', () => {
  const { umas } = virtualCpus(2, { level: 'checks' });
  const [opener, stranger] = umas as [Uma, Uma];
  const spy = new Spy();
  const zone = opener.open(spy.definition({ name: 'z', size: 4096 }));
  const items = allocAll(zone, 6);
  for (const item of items) zone.free(item);
  leave(opener);
  const result = reclaim(stranger, 'drain-cpu');
  expect(result.needOpener).toEqual(['z']);
  expect(spy.calls.zfini).toBe(0);
  // The idle CPU's cache was flushed all the same; the buckets wait on the queue.
  expect(queueOf(zone).reduce((sum, count) => sum + count, 0)).toBe(6);
  expect(expectClean(stranger, opener)['z']).toBe(0);
  leave(stranger);
  reclaim(opener, 'drain');
  expect(spy.calls.zfini).toBe(6);
  expect(zone.statistics().pages).toBe(0);
  spy.check(zone, 0);
});
