/** The end of a period: who does it, what it does, and what of missed ones. */
import { Arena, claimCpu, leaveCpu, releaseCpu } from '@umbuf/memory';
import { afterEach, expect, it, vi } from 'vitest';
import {
  defineZone,
  endPeriods,
  IDLE_PERIODS,
  M_NOWAIT,
  MISSED_PERIODS_MAX,
  PERIOD_MS,
  setTrimPeriod,
  Uma,
  UmaRoot,
  updateWorkingSet,
  watchPeriods,
  WorkingSet,
  type Zone,
  ZoneDomain,
  ZoneFlag,
  zoneDomain,
} from '../src/index.ts';
import { updateBucketDisable } from '../src/page-shortage.ts';
import { allocAll, attachCpu, enter, expectClean, leave, virtualCpus } from './support/virtual.ts';

afterEach(() => {
  vi.useRealTimers();
});

const R = UmaRoot.fields;
const PAGE = defineZone({ name: 'page', size: 4096 });

function began({ longs, root }: Uma): number {
  return Number(Atomics.load(longs, (root + R.periodBegan.at) >> 1));
}

/** Ends the periods that are over `periods` after the begin of this one. */
function pass(uma: Uma, periods: number): number {
  return endPeriods(uma, began(uma) + periods * PERIOD_MS);
}

function estimate({ uma, record }: Zone): number[] {
  const at = zoneDomain(uma, record, 0) + ZoneDomain.fields.nitems.at;
  return [...uma.words.subarray(at, at + 7)];
}

/** Puts `count` items into the zone's queue and caches. */
function cache(zone: Zone, count: number): void {
  for (const item of allocAll(zone, count)) zone.free(item);
}

it('nothing is over before the first 20 s are', () => {
  const { umas } = virtualCpus(1);
  const zone = umas[0]!.open(PAGE);
  cache(zone, 20);
  const before = estimate(zone);
  expect(endPeriods(umas[0]!)).toBe(0);
  expect(endPeriods(umas[0]!, began(umas[0]!) + PERIOD_MS - 1)).toBe(0);
  expect(estimate(zone)).toEqual(before);
});

it('one CPU ends a period, the others find it ended', () => {
  const { umas } = virtualCpus(3);
  const zone = umas[0]!.open(PAGE);
  cache(zone, 20);
  leave(umas[0]!);
  const expected = estimate(zone);
  const model = new Int32Array(32);
  model.set(expected);
  updateWorkingSet(model, 0);
  const now = began(umas[0]!) + PERIOD_MS + 5;
  const ended = umas.map((uma) => {
    const periods = endPeriods(uma, now);
    leaveCpu(uma.cpu);
    return periods;
  });
  expect(ended).toEqual([1, 0, 0]);
  expect(estimate(zone)).toEqual([...model.subarray(0, 7)]);
  // The grid stays where it was.
  expect(began(umas[0]!)).toBe(now - 5);
});

it('missed periods are made up for, up to an hour of them', () => {
  const { umas } = virtualCpus(1);
  const zone = umas[0]!.open(PAGE);
  cache(zone, 20);
  const model = new Int32Array(32);
  model.set(estimate(zone));
  expect(pass(umas[0]!, 7.5)).toBe(7);
  for (let period = 0; period < 7; period++) updateWorkingSet(model, 0);
  expect(estimate(zone)).toEqual([...model.subarray(0, 7)]);
  expect(pass(umas[0]!, 100_000)).toBe(MISSED_PERIODS_MAX);
  expect(umas[0]!.words[umas[0]!.root + R.periods.at]).toBe(7 + MISSED_PERIODS_MAX);
  expect(pass(umas[0]!, 1)).toBe(1);
});

it('gives back a quarter of what was idle for more than 15 minutes, and its slabs', () => {
  const { umas } = virtualCpus(1, { bytes: 8 << 20 });
  const uma = umas[0]!;
  const zone = uma.open(PAGE);
  cache(zone, 1000);
  const { queued, cached } = zone.statistics();
  const idle = (): number => estimate(zone)[WorkingSet.timin]!;
  while (idle() < IDLE_PERIODS) pass(uma, 1);
  expect(zone.statistics()).toMatchObject({ queued, pages: 1000 });
  pass(uma, 1);
  const limin = estimate(zone)[WorkingSet.limin]!;
  const after = zone.statistics();
  expect(after.queued).toBeLessThan(queued);
  // What is left of the surplus, and what was freed, were one before: a quarter, whole buckets of two.
  const freed = queued - after.queued;
  expect(freed).toBe(Math.floor(Math.floor((limin + freed) / 4) / 2) * 2);
  expect(after).toMatchObject({ cached, pages: 1000 - freed });
  // Hours later nearly everything is back.
  for (let hour = 0; hour < 24; hour++) pass(uma, MISSED_PERIODS_MAX);
  expect(zone.statistics().queued).toBeLessThan(20);
  expectClean(uma);
});

it('leaves alone what is in use, and what is UNMANAGED', () => {
  const { umas } = virtualCpus(1, { bytes: 8 << 20 });
  const uma = umas[0]!;
  const used = uma.open(PAGE);
  const unmanaged = uma.open(
    defineZone({ name: 'unmanaged', size: 4096, flags: ZoneFlag.UNMANAGED }),
  );
  cache(used, 500);
  cache(unmanaged, 500);
  const left = unmanaged.statistics().queued;
  for (let period = 0; period < 120; period++) {
    pass(uma, 1);
    cache(used, 500);
  }
  expect(used.statistics().pages).toBe(500);
  expect(unmanaged.statistics().queued).toBe(left);
  expect(estimate(unmanaged)[WorkingSet.timin]).toBe(0);
});

it('makes no bucket smaller', () => {
  const { umas } = virtualCpus(1);
  const zone = umas[0]!.open(PAGE);
  umas[0]!.words[zone.record + 8] = 100;
  pass(umas[0]!, 60);
  expect(umas[0]!.words[zone.record + 8]).toBe(100);
});

it('looks at the free pages', () => {
  const { umas } = virtualCpus(1);
  const uma = umas[0]!;
  updateBucketDisable(uma);
  Atomics.store(uma.words, uma.root + R.bucketDisable.at, 1);
  expect(uma.bucketsDisabled()).toBe(true);
  pass(uma, 1);
  expect(uma.bucketsDisabled()).toBe(false);
});

it('a zone whose callbacks this thread does not have is trimmed by one that has them', () => {
  const { umas } = virtualCpus(2, { bytes: 8 << 20 });
  const zone = umas[0]!.open(defineZone({ name: 'z', size: 4096, zfini: () => undefined }));
  cache(zone, 1000);
  const { queued } = zone.statistics();
  leave(umas[0]!);
  pass(umas[1]!, 60);
  leave(umas[1]!);
  expect(zone.statistics().queued).toBe(queued);
  enter(umas[0]!);
  cache(zone, 10);
  expect(zone.statistics().queued).toBeLessThan(queued - 20);
});

it('what a fini throws, the next operation without a result throws', () => {
  const { umas } = virtualCpus(1, { bytes: 8 << 20 });
  const uma = umas[0]!;
  const fini = (): void => {
    throw new Error('fini');
  };
  const zone = uma.open(defineZone({ name: 'z', size: 4096, fini }));
  cache(zone, 1000);
  expect(pass(uma, 60)).toBe(60);
  const item = zone.alloc(M_NOWAIT);
  expect(() => {
    for (let index = 0; index < 10; index++) zone.free(index === 0 ? item : zone.alloc(M_NOWAIT));
    for (const each of Array.from({ length: 10 }, () => zone.alloc(M_NOWAIT))) zone.free(each);
  }).toThrow('fini');
});

it('a busy lock costs the zone its turn, not the others theirs', () => {
  const arena = Arena.create({ bytes: 8 << 20, cpus: 2 });
  const holder = attachCpu(arena);
  const uma = attachCpu(arena, { mayBlock: false });
  const [first, second] = [
    holder.open(PAGE),
    holder.open(defineZone({ name: 'second', size: 4096 })),
  ];
  cache(first, 100);
  cache(second, 100);
  const before = estimate(first);
  const lock = zoneDomain(holder, first.record, 0);
  uma.words[lock] = holder.cpu.lockWord;
  expect(pass(uma, 3)).toBe(3);
  uma.words[lock] = 0;
  expect(estimate(first)).toEqual(before);
  expect(estimate(second)[WorkingSet.imin]).toBeGreaterThan(0);
  expectClean(uma);
});

it('a length of 0 switches it off, for every thread', () => {
  const { umas } = virtualCpus(2);
  setTrimPeriod(umas[0]!, 0);
  expect(umas.map((uma) => pass(uma, 10))).toEqual([0, 0]);
  setTrimPeriod(umas[1]!, 5);
  expect(endPeriods(umas[0]!, began(umas[0]!) + 5)).toBe(1);
  expect(() => setTrimPeriod(umas[0]!, -1)).toThrow(/periodMs: -1/);
});

it('a CPU that watches ends periods at its slow paths', () => {
  const { umas } = virtualCpus(1);
  const uma = umas[0]!;
  const zone = uma.open(PAGE);
  cache(zone, 20);
  Atomics.store(uma.longs, (uma.root + R.periodBegan.at) >> 1, BigInt(began(uma) - 3 * PERIOD_MS));
  cache(zone, 20);
  expect(uma.words[uma.root + R.periods.at]).toBe(0);
  const stop = watchPeriods(uma);
  cache(zone, 20);
  expect(uma.words[uma.root + R.periods.at]).toBe(3);
  // Known to be not over: no look at the shared word.
  expect(uma.nextPeriod).toBeGreaterThan(performance.now());
  stop();
  expect(uma.nextPeriod).toBe(Infinity);
});

it('a timer ends periods where nothing happens, and ends with its CPU', () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const arena = Arena.create({ bytes: 1 << 20, cpus: 1 });
  const cpu = claimCpu(arena, { manualLeave: true });
  const uma = Uma.attach(cpu);
  leaveCpu(cpu);
  setTrimPeriod(uma, 1);
  watchPeriods(uma);
  Atomics.store(uma.longs, (uma.root + R.periodBegan.at) >> 1, BigInt(began(uma) - 5));
  vi.advanceTimersByTime(PERIOD_MS);
  expect(uma.words[uma.root + R.periods.at]).toBeGreaterThanOrEqual(5);
  leaveCpu(cpu);
  releaseCpu(cpu);
  vi.advanceTimersByTime(PERIOD_MS);
  expect(vi.getTimerCount()).toBe(0);
});
