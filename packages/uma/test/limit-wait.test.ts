/**
 * Waiting for a zone's limit, as far as one thread can show it: bounds and reasons, asynchronous
 * requests of several virtual CPUs, order, aborts, and what a wait does to the caches of others.
 * Blocking threads: test/limits/zone-limit.test.ts.
 */
import { describe, expect, test, vi } from 'vitest';
import { Arena, ArgumentError, checkpoint, WouldBlockError } from '@umbuf/memory';
import {
  type AllocResult,
  defineZone,
  M_NOWAIT,
  M_WAITOK,
  reclaim,
  setZoneWarnings,
  type Uma,
  type Zone,
  type ZoneDefinition,
  ZoneFlag,
  zoneWarnings,
} from '../src/index.ts';
import {
  allocAll,
  attachCpu,
  expectClean,
  leave,
  thrownBy,
  virtualCpus,
} from './support/virtual.ts';

function zones(cpus: number, max: number, base: Partial<ZoneDefinition> = {}): Zone[] {
  const { umas } = virtualCpus(cpus);
  const definition = defineZone({ name: 'z', size: 100, ...base });
  const all = umas.map((uma) => uma.open(definition));
  all[0]!.setMax(max);
  return all;
}

/** Lets pending promises and microtasks run. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  await new Promise((resolve) => setTimeout(resolve, 0));
}

async function itemOf(result: Promise<AllocResult>): Promise<number> {
  const { item, failure } = await result;
  expect(failure).toBeUndefined();
  return item;
}

describe('bounded waits', () => {
  test('time that is up is a reason, counted once, and nothing is left of the wait', () => {
    const [zone] = zones(2, 3);
    const items = allocAll(zone!, 3);
    const before = performance.now();
    expect(zone!.allocWait(M_WAITOK, { timeoutMs: 20 })).toEqual({ item: 0, failure: 'timeout' });
    expect(performance.now() - before).toBeGreaterThanOrEqual(19);
    expect(zone!.limitStatistics()).toMatchObject({ sleeps: 1, gaveUp: 1, sleepers: 0, hits: 1 });
    expect(zone!.statistics().fails).toBe(1);
    expect(zone!.exhausted()).toBe(false);
    for (const item of items) zone!.free(item);
    expectClean(zone!.uma);
  });

  test('an item that is free is had without waiting, also with no time at all', () => {
    const [zone] = zones(2, 3);
    const { item, failure } = zone!.allocWait(0, { timeoutMs: 0 });
    expect(item).not.toBe(0);
    expect(failure).toBeUndefined();
    expect(zone!.limitStatistics().sleeps).toBe(0);
  });

  test('what another CPU has cached comes before the sleep', () => {
    const [one, two] = zones(2, 40);
    const held = allocAll(two!, 5);
    for (const item of held) two!.free(item);
    leave(two!.uma);
    allocAll(one!, 35);
    for (let left = 5; left > 0; left--) {
      expect(one!.allocWait(0, { timeoutMs: 0 }).failure).toBeUndefined();
    }
    expect(one!.allocWait(0, { timeoutMs: 0 }).failure).toBe('timeout');
    expectClean(one!.uma, two!.uma);
  });

  test('a bound holds for the waits of callbacks inside', () => {
    const { umas } = virtualCpus(2);
    const inner = umas[0]!.open(defineZone({ name: 'inner', size: 64 }));
    inner.setMax(1);
    inner.alloc(M_NOWAIT);
    const outer = umas[0]!.open(
      defineZone({ name: 'outer', size: 64, ctor: () => (inner.alloc(M_WAITOK) === 0 ? 1 : 0) }),
    );
    expect(outer.allocWait(0, { timeoutMs: 10 })).toEqual({ item: 0, failure: 'ctor' });
    expect(inner.limitStatistics().sleeps).toBe(1);
    expectClean(umas[0]!);
  });

  test.each([
    ['ctor', { ctor: () => 1 }],
    ['zinit', { zinit: () => 1, flags: ZoneFlag.NOBUCKET }],
    ['init', { init: () => 1 }],
  ] as const)('a refusing %s is the reason', (failure, base) => {
    const [zone] = zones(2, 30, base);
    expect(zone!.allocWait(0, { timeoutMs: 1000 })).toEqual({ item: 0, failure });
    expectClean(zone!.uma);
  });

  test.each([-1, Number.NaN])('timeoutMs %d is refused', (timeoutMs) => {
    const [zone] = zones(1, 3);
    expect(() => zone!.allocWait(0, { timeoutMs })).toThrow(ArgumentError);
    expect(() => zone!.allocAsync({ timeoutMs })).toThrow(ArgumentError);
  });
});

describe('threads that may not block', () => {
  function mayNotBlock(): [Uma, Zone] {
    const arena = Arena.create({ bytes: 1 << 20, cpus: 3 });
    const uma = attachCpu(arena, { mayBlock: false });
    return [uma, uma.open(defineZone({ name: 'z', size: 100 }))];
  }

  test('M_WAITOK is an error that names allocAsync where it would have to wait', () => {
    const [uma, zone] = mayNotBlock();
    zone.setMax(2);
    expect(zone.alloc(M_WAITOK)).not.toBe(0);
    expect(zone.alloc(M_WAITOK)).not.toBe(0);
    const error = thrownBy(() => zone.alloc(M_WAITOK));
    expect(error).toBeInstanceOf(WouldBlockError);
    expect(String(error)).toMatch(/zone z .* allocAsync/);
    expect(zone.limitStatistics()).toMatchObject({ sleeps: 0, items: 2 });
    expectClean(uma);
  });

  test('allocAsync gets the item that is freed', async () => {
    const [uma, zone] = mayNotBlock();
    zone.setMax(2);
    const items = allocAll(zone, 2);
    const waiting = zone.allocAsync();
    await settle();
    expect(zone.exhausted()).toBe(true);
    zone.free(items.pop()!);
    zone.free(await itemOf(waiting));
    zone.free(items.pop()!);
    expect(zone.limitStatistics()).toMatchObject({ sleeps: 1, gaveUp: 0, sleepers: 0 });
    expectClean(uma);
  });
});

describe('asynchronous requests', () => {
  test('are served in order of arrival, whoever frees', async () => {
    const all = zones(4, 3);
    const items = allocAll(all[0]!, 3);
    const order: number[] = [];
    const waiting = [1, 2, 3, 1, 2].map(async (cpu, place) => {
      const item = await itemOf(all[cpu]!.allocAsync());
      order.push(place);
      await settle();
      all[cpu]!.free(item);
      leave(all[cpu]!.uma);
    });
    await settle();
    expect(all[0]!.limitStatistics().sleepers).toBe(5);
    for (const item of items) all[0]!.free(item);
    leave(all[0]!.uma);
    await Promise.all(waiting);
    expect(order).toEqual([0, 1, 2, 3, 4]);
    expectClean(...all.map((zone) => zone.uma));
    expect(all[0]!.getCur()).toBe(0);
  });

  test('pass the argument to the ctor and M_ZERO to the item', async () => {
    const seen: number[] = [];
    const [zone] = zones(2, 1, { ctor: (_zone, _item, argument) => void seen.push(argument) });
    const { words } = zone!.uma;
    const item = zone!.alloc(M_NOWAIT, 1);
    words[item >> 2] = 7;
    const waiting = zone!.allocAsync({ argument: 2, flags: 0x100 });
    await settle();
    zone!.free(item);
    expect(words[(await itemOf(waiting)) >> 2]).toBe(0);
    expect(seen).toEqual([1, 2]);
  });

  test('give up when the time is up, and go out of the way of those behind them', async () => {
    const [one, two] = zones(2, 1);
    const item = one!.alloc(M_NOWAIT);
    const first = one!.allocAsync({ timeoutMs: 5 });
    const second = two!.allocAsync();
    expect(await first).toEqual({ item: 0, failure: 'timeout' });
    one!.free(item);
    two!.free(await itemOf(second));
    expect(one!.limitStatistics()).toMatchObject({ gaveUp: 1, sleepers: 0 });
    leave(two!.uma);
    expectClean(one!.uma, two!.uma);
  });

  test('reject with the reason of their signal, before and during the wait, and hold nothing', async () => {
    const [zone] = zones(2, 1);
    const item = zone!.alloc(M_NOWAIT);
    const early = AbortSignal.abort(new Error('early'));
    await expect(zone!.allocAsync({ signal: early })).rejects.toThrow('early');
    const abort = new AbortController();
    const waiting = zone!.allocAsync({ signal: abort.signal });
    const behind = zone!.allocAsync();
    await settle();
    abort.abort(new Error('late'));
    await expect(waiting).rejects.toThrow('late');
    zone!.free(item);
    zone!.free(await itemOf(behind));
    expect(zone!.asyncWaits).toBe(0);
    expectClean(zone!.uma);
  });

  test('that are granted and aborted in the same moment give the unit on', async () => {
    const [zone] = zones(2, 1);
    const item = zone!.alloc(M_NOWAIT);
    const abort = new AbortController();
    const waiting = zone!.allocAsync({ signal: abort.signal });
    const behind = zone!.allocAsync();
    await settle();
    zone!.free(item);
    abort.abort(new Error('now'));
    await expect(waiting).rejects.toThrow('now');
    zone!.free(await itemOf(behind));
    expectClean(zone!.uma);
  });

  test('beyond the wait cells are refused, and say so', async () => {
    const [zone] = zones(2, 1);
    const item = zone!.alloc(M_NOWAIT);
    const aborts = Array.from({ length: 67 }, () => new AbortController());
    const waiting = aborts.map(({ signal }) => zone!.allocAsync({ signal }));
    const ends = Promise.allSettled(waiting);
    expect(await waiting[66]).toEqual({ item: 0, failure: 'tableFull' });
    expect(zone!.limitStatistics()).toMatchObject({ sleepers: 66, tableFull: 1 });
    for (const abort of aborts) abort.abort();
    await ends;
    zone!.free(item);
    expectClean(zone!.uma);
  });

  test('a refusing ctor is the reason, and the unit goes to the next', async () => {
    let refuse = false;
    const [zone] = zones(2, 1, { ctor: () => (refuse ? 1 : 0) });
    const item = zone!.alloc(M_NOWAIT);
    const waiting = zone!.allocAsync();
    await settle();
    refuse = true;
    zone!.free(item);
    expect(await waiting).toEqual({ item: 0, failure: 'ctor' });
    refuse = false;
    expect(zone!.alloc(M_NOWAIT)).not.toBe(0);
    expectClean(zone!.uma);
  });

  test('what a ctor throws rejects the request', async () => {
    let broken = false;
    const [zone] = zones(2, 1, {
      ctor: () => {
        if (broken) throw new Error('broken');
      },
    });
    const item = zone!.alloc(M_NOWAIT);
    const waiting = zone!.allocAsync();
    await settle();
    broken = true;
    zone!.free(item);
    await expect(waiting).rejects.toThrow('broken');
    expect(zone!.limitStatistics().items).toBe(0);
    expectClean(zone!.uma);
  });

  test('a thread with requests in the queue does not block behind itself', async () => {
    const [zone] = zones(2, 1);
    const item = zone!.alloc(M_NOWAIT);
    const waiting = zone!.allocAsync();
    expect(() => zone!.alloc(M_WAITOK)).toThrow(WouldBlockError);
    zone!.free(item);
    zone!.free(await itemOf(waiting));
    expectClean(zone!.uma);
  });
});

describe('while somebody waits', () => {
  test('frees of every CPU go to the keg, and refills wait their turn', async () => {
    const all = zones(3, 60);
    const items = allocAll(all[0]!, 60);
    const waiting = [all[1]!.allocAsync(), all[1]!.allocAsync()];
    await settle();
    expect(all[2]!.alloc(M_NOWAIT)).toBe(0);
    all[2]!.free(items.pop()!);
    all[0]!.free(items.pop()!);
    expect(all[0]!.statistics()).toMatchObject({ cached: 0, queued: 0 });
    expect(await itemOf(waiting[0]!)).not.toBe(0);
    expect(await itemOf(waiting[1]!)).not.toBe(0);
    expect(all[0]!.statistics()).toMatchObject({ cached: 0, queued: 0 });
    expect(all[0]!.limitStatistics().items).toBe(60);
    // Nobody waits any more: cached again.
    all[0]!.free(items.pop()!);
    expect(all[0]!.statistics().cached).toBe(1);
    leave(all[1]!.uma);
    leave(all[2]!.uma);
    expectClean(...all.map((zone) => zone.uma));
  });

  test('a running CPU that has items cached brings them at its next checkpoint', async () => {
    const [one, two] = zones(2, 20);
    const held = allocAll(two!, 4);
    for (const item of held) two!.free(item); // two stays entered
    const cached = two!.statistics().cached;
    allocAll(one!, 20 - cached);
    const waiting = one!.allocAsync();
    await settle();
    expect(one!.exhausted()).toBe(true);
    checkpoint(two!.uma.cpu);
    expect(await itemOf(waiting)).not.toBe(0);
    leave(two!.uma);
    expectClean(one!.uma, two!.uma);
  });

  test.each([1, 2, 3])('what CPUs of %i domains have cached is brought home', async (domains) => {
    const { umas } = virtualCpus(4, { domains, bytes: 4 << 20 });
    const definition = defineZone({ name: 'z', size: 100, flags: ZoneFlag.FIRSTTOUCH });
    const all = umas.map((uma) => uma.open(definition));
    all[0]!.setMax(400);
    const items = all.flatMap((zone) => allocAll(zone, 60));
    for (const uma of umas) leave(uma);
    // Each CPU frees what others allocated: cross buckets, and sorted ones.
    items.forEach((item, index) => all[(index * 7) % 4]!.free(item));
    const waiting = Array.from({ length: 60 }, () => all[3]!.allocAsync());
    const got = [];
    for (let item = all[1]!.alloc(M_NOWAIT); item !== 0; item = all[1]!.alloc(M_NOWAIT)) {
      got.push(item);
    }
    for (const uma of umas) leave(uma);
    for (const one of waiting) got.push(await itemOf(one));
    const more = Array.from({ length: 400 - got.length }, () => all[2]!.allocAsync());
    for (const uma of umas) leave(uma);
    for (const one of more) got.push(await itemOf(one));
    for (const uma of umas) leave(uma);
    expect(got).toHaveLength(400);
    expect(all[0]!.statistics()).toMatchObject({ cached: 0, queued: 0, live: 400 });
    expectClean(...umas);
  });

  test('a raised limit serves as many as fit', async () => {
    const [zone] = zones(2, 2);
    allocAll(zone!, 2);
    const waiting = [zone!.allocAsync(), zone!.allocAsync(), zone!.allocAsync({ timeoutMs: 30 })];
    await settle();
    zone!.setMax(4);
    await itemOf(waiting[0]!);
    await itemOf(waiting[1]!);
    expect((await waiting[2])!.failure).toBe('timeout');
    expectClean(zone!.uma);
  });

  test('a reclaim by a thread that has not opened the zone wakes its sleepers to do it', async () => {
    const finished: number[] = [];
    const { umas } = virtualCpus(3);
    const definition = defineZone({
      name: 'z',
      size: 100,
      zinit: () => 0,
      zfini: (_zone, item) => void finished.push(item),
    });
    const [one, two] = [umas[0]!.open(definition), umas[1]!.open(definition)];
    one.setMax(20);
    const held = allocAll(two, 4);
    for (const item of held) two.free(item);
    allocAll(one, 20 - two.statistics().cached);
    const waiting = one.allocAsync();
    await settle();
    // Two goes idle with its request unanswered, as if it had died; three, without the callbacks,
    // flushes it.
    expect(one.exhausted()).toBe(true);
    reclaim(umas[2]!, 'drain-cpu', one.record);
    leave(two.uma);
    reclaim(umas[2]!, 'drain-cpu', one.record);
    expect(await itemOf(waiting)).not.toBe(0);
    expect(finished.length).toBeGreaterThan(0);
    leave(umas[2]!);
    expectClean(...umas);
  });
});

describe('SMR zones', () => {
  test('items that readers may see are waited for until they cannot', async () => {
    const all = zones(3, 24, { flags: ZoneFlag.SMR });
    const items = allocAll(all[0]!, 24);
    // Freed before anybody waits: into the free bucket, which readers may still see.
    const smr = all[2]!.getSmr()!;
    smr.enter();
    for (const item of items.splice(0, 2)) all[0]!.free(item);
    leave(all[0]!.uma);
    const waiting = all[1]!.allocAsync();
    await settle();
    expect(all[1]!.exhausted()).toBe(true);
    smr.exit();
    leave(all[2]!.uma);
    expect(await itemOf(waiting)).not.toBe(0);
    // Freed while somebody waits: past the cache, behind the readers.
    const rest = [all[1]!.allocAsync(), all[1]!.allocAsync()];
    await settle();
    all[0]!.free(items.pop()!);
    await itemOf(rest[0]!);
    all[0]!.free(items.pop()!);
    await itemOf(rest[1]!);
    for (const zone of all) leave(zone.uma);
    expectClean(...all.map((zone) => zone.uma));
  });
});

describe('zones whose cached items carry others', () => {
  function carriers(): { carrier: Zone; carried: Zone; umas: readonly Uma[] } {
    const { umas } = virtualCpus(2);
    const carried = umas[0]!.open(defineZone({ name: 'carried', size: 256 }));
    const { words } = umas[0]!;
    const carrier = umas[0]!.open(
      defineZone({
        name: 'carrier',
        size: 64,
        zinit(_zone, item, flags) {
          const other = carried.alloc(flags);
          words[item >> 2] = other;
          return other === 0 ? 1 : 0;
        },
        zfini: (_zone, item) => carried.free(words[item >> 2]!),
      }),
    );
    carrier.carries(carried);
    carried.setMax(10);
    return { carrier, carried, umas };
  }

  test('are emptied for those who wait, and freed past their caches', async () => {
    const { carrier, carried, umas } = carriers();
    const items = allocAll(carrier, 8);
    carrier.free(items.pop()!);
    while (carried.alloc(M_NOWAIT) !== 0);
    const waiting = [carried.allocAsync(), carried.allocAsync()];
    await settle();
    expect(await itemOf(waiting[0]!)).not.toBe(0); // from the carrier's cache
    carrier.free(items.pop()!);
    expect(await itemOf(waiting[1]!)).not.toBe(0);
    expectClean(umas[0]!);
  });

  test('a bucket of carriers never waits for what they carry, a single one does (D11)', () => {
    const { carrier, carried, umas } = carriers();
    expect(carrier.allocWait(0, { timeoutMs: 100 }).failure).toBeUndefined();
    const items = allocAll(carrier, 9);
    expect(carrier.allocWait(0, { timeoutMs: 10 })).toEqual({ item: 0, failure: 'zinit' });
    expect(carried.limitStatistics().sleeps).toBe(1);
    for (const item of items) carrier.free(item);
    expectClean(umas[0]!);
  });

  test('cannot carry each other, or a second kind', () => {
    const { carrier, carried, umas } = carriers();
    carrier.carries(carried);
    expect(() => carried.carries(carrier)).toThrow(ArgumentError);
    expect(() => carried.carries(carried)).toThrow(ArgumentError);
    const third = umas[0]!.open(defineZone({ name: 'third', size: 64 }));
    expect(() => carrier.carries(third)).toThrow(ArgumentError);
  });
});

describe('warnings', () => {
  test('are printed once per 300 seconds, by whichever CPU meets the limit', () => {
    vi.useFakeTimers({ toFake: ['performance'], now: 0 });
    try {
      const printed: string[] = [];
      vi.advanceTimersByTime(1_000_000);
      const [one, two] = zones(2, 1);
      for (const zone of [one!, two!]) zone.uma.warn = (text) => printed.push(text);
      one!.alloc(M_NOWAIT);
      expect(two!.alloc(M_NOWAIT)).toBe(0);
      one!.setWarning('kern.ipc.nmbufs limit reached: größer');
      const hit = (): void => {
        two!.alloc(M_NOWAIT);
        one!.alloc(M_NOWAIT);
      };
      hit();
      hit();
      const text = '[zone: z] kern.ipc.nmbufs limit reached: größer';
      expect(printed).toEqual([text]);
      vi.advanceTimersByTime(299_000);
      hit();
      expect(printed).toHaveLength(1);
      vi.advanceTimersByTime(1000);
      hit();
      expect(printed).toEqual([text, text]);
      expect(one!.limitStatistics().hits).toBe(9);
    } finally {
      vi.useRealTimers();
    }
  });

  test('are not printed while vm.zone_warnings is off, nor longer than 124 bytes', () => {
    const printed: string[] = [];
    const [zone] = zones(2, 1);
    zone!.uma.warn = (text) => printed.push(text);
    expect(() => zone!.setWarning('')).toThrow(ArgumentError);
    expect(() => zone!.setWarning('ü'.repeat(63))).toThrow(ArgumentError);
    zone!.setWarning('ü'.repeat(62));
    zone!.alloc(M_NOWAIT);
    setZoneWarnings(zone!.uma, false);
    zone!.alloc(M_NOWAIT);
    expect(printed).toEqual([]);
    setZoneWarnings(zone!.uma, true);
    expect(zoneWarnings(zone!.uma)).toBe(true);
    zone!.alloc(M_NOWAIT);
    zone!.setWarning('another');
    expect(printed).toEqual([`[zone: z] ${'ü'.repeat(62)}`]);
  });
});

describe('maxactions', () => {
  test('run in a job of their own, once for all hits before it', async () => {
    const [one, two] = zones(2, 1);
    const runs: [string, number][] = [];
    one!.setMaxaction((zone, pending) => runs.push([`one ${zone.name}`, pending]));
    two!.setMaxaction((zone, pending) => runs.push([`two ${zone.name}`, pending]));
    one!.alloc(M_NOWAIT);
    for (let turn = 0; turn < 3; turn++) one!.alloc(M_NOWAIT);
    // Coalesced: one run is queued in the arena.
    two!.alloc(M_NOWAIT);
    expect(runs).toEqual([]);
    await settle();
    expect(runs).toEqual([['one z', 3]]);
    two!.alloc(M_NOWAIT);
    await settle();
    expect(runs).toEqual([
      ['one z', 3],
      ['two z', 2],
    ]);
    leave(one!.uma);
    leave(two!.uma);
  });

  test('run before the thread sleeps, which their frees may spare it', async () => {
    const [zone] = zones(2, 2);
    const items = allocAll(zone!, 2);
    let runs = 0;
    zone!.setMaxaction(() => {
      runs++;
      zone!.free(items.pop()!);
    });
    expect(zone!.alloc(M_WAITOK)).not.toBe(0);
    expect(runs).toBe(1);
    await settle();
    expect(runs).toBe(1);
    expect(zone!.limitStatistics()).toMatchObject({ items: 2, sleepers: 0 });
    expectClean(zone!.uma);
  });
});
