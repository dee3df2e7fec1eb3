/**
 * Zones at their limits under real workers: blocked allocators are woken in the order of arrival,
 * waits end when they are bounded, nobody sleeps beside a free item, and never more is out than the
 * limit. The main thread is a CPU that may not block. Deaths: zone-limit.death.test.ts.
 */
import { Arena, checkpoint, claimCpu } from '@umbuf/memory';
import { fsck, M_NOWAIT, Uma, type Zone } from '@umbuf/uma';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ZoneLimitReport, ZoneLimitWorkerData } from '../fixtures/zone-limit-worker.ts';
import {
  Board,
  BOARD_BYTES,
  CPUS,
  limitedZones,
  openLimitedZones,
} from '../support/limited-zones.ts';
import {
  allReady,
  allResults,
  sleep,
  type StartedWorker,
  startWorkers,
  stopWorkers,
  stressMs,
  testSeed,
  watchdog,
} from '../support/workers.ts';

const SEED = testSeed(0x115);
const SECONDS = 30;
/** Places in `limitedZones`. */
const CACHED = 0;
const TIGHT = 2;

let arena: Arena;
let uma: Uma;
let zones: Zone[];
let board: Int32Array<SharedArrayBuffer>;

beforeEach(() => {
  arena = Arena.create({ bytes: 2 << 20, cpus: CPUS, level: 'checks' });
  uma = Uma.attach(claimCpu(arena, { number: 0, mayBlock: false }));
  zones = openLimitedZones(uma);
  board = new Int32Array(new SharedArrayBuffer(BOARD_BYTES));
});
afterEach(stopWorkers);

async function startCrew(
  work: Partial<ZoneLimitWorkerData>,
  cpus: number,
): Promise<StartedWorker[]> {
  const crew = startWorkers(
    'zone-limit-worker',
    Array.from({ length: cpus }, (_, index) => ({
      arena: arena.handle(),
      cpu: index + 1,
      seed: SEED + index,
      role: 'churn' as const,
      board,
      sum: true,
      ...work,
    })),
  );
  await watchdog(arena, SECONDS, allReady(crew));
  return crew;
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + SECONDS * 1000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`no ${what}, seed ${SEED}`);
    await sleep(1);
  }
}

function stop(): void {
  Atomics.store(board, Board.stop, 1);
  Atomics.notify(board, Board.stop);
}

/** Everything freed, nobody waiting, fsck content. */
function expectQuiet(): void {
  expect(fsck(uma).violations).toEqual([]);
  for (const zone of zones) {
    expect(zone.getCur(), zone.name).toBe(0);
    expect(zone.limitStatistics().sleepers, zone.name).toBe(0);
  }
}

test(`four CPUs allocate in every way there is (seed ${SEED})`, async () => {
  const crew = await startCrew({}, 4);
  await sleep(Math.max(800, stressMs / 2));
  stop();
  const reports = await watchdog(arena, SECONDS, allResults<ZoneLimitReport>(crew));
  expect(reports.flatMap(({ wrong }) => wrong)).toEqual([]);
  const total = (name: 'allocs' | 'nulls' | 'timeouts' | 'aborts'): number =>
    reports.reduce((sum, report) => sum + report[name], 0);
  expect(total('allocs')).toBeGreaterThan(200);
  expect(total('nulls')).toBeGreaterThan(0);
  expect(total('timeouts')).toBeGreaterThan(0);
  expect(total('aborts')).toBeGreaterThan(0);
  const sleeps = zones.reduce((sum, zone) => sum + zone.limitStatistics().sleeps, 0);
  expect(sleeps).toBeGreaterThan(20);
  await watchdog(arena, SECONDS, Promise.all(crew.map(({ exited }) => exited)));
  expectQuiet();
});

describe('blocked allocators', () => {
  /** Has the crew block in `order`; returns when all of it sleeps. */
  async function block(
    crew: readonly StartedWorker[],
    order: number[],
    zone: number,
  ): Promise<void> {
    for (const [ahead, index] of order.entries()) {
      crew[index]!.worker.postMessage(zone);
      await until('registration', () => zones[zone]!.limitStatistics().sleepers === ahead + 1);
    }
    expect(zones[zone]!.exhausted()).toBe(true);
  }

  test.each([CACHED, TIGHT])('are woken in the order of arrival (zone %i)', async (zone) => {
    const crew = await startCrew({ role: 'queue' }, 4);
    const { max } = limitedZones[zone]!;
    const target = zones[zone]!;
    for (const order of [
      [0, 1, 2, 3],
      [3, 1, 0, 2],
      [2, 3, 1, 0],
    ]) {
      Atomics.store(board, Board.stop, 0);
      Atomics.store(board, Board.order, 0);
      const items: number[] = [];
      for (let item = 0; items.length < max; ) {
        item = target.alloc(M_NOWAIT);
        if (item !== 0) items.push(item);
        else await sleep(1); // what the last round freed is cached by CPUs that have yet to leave
      }
      const wakes = order.slice(0, Math.min(4, max));
      const noted = crew.map(({ notes }) => notes.length);
      await block(crew, wakes, zone);
      for (let granted = 1; granted <= wakes.length; granted++) {
        target.free(items.pop()!);
        await until('grant', () => Atomics.load(board, Board.order) === granted);
      }
      stop();
      await until('note', () => wakes.every((index) => crew[index]!.notes.length > noted[index]!));
      expect(wakes.map((index) => crew[index]!.notes.at(-1))).toEqual(wakes.map((_, at) => at));
      for (const item of items) target.free(item);
      await until('frees', () => target.getCur() === 0);
    }
    await Promise.all(crew.map(({ worker }) => worker.terminate()));
  });

  test('are all served by a raised limit that has room for them', async () => {
    const crew = await startCrew({ role: 'queue' }, 4);
    const items = [1, 2, 3].map(() => zones[TIGHT]!.alloc(M_NOWAIT));
    await block(crew, [0, 1, 2, 3], TIGHT);
    zones[TIGHT]!.setMax(6);
    await until('three grants', () => Atomics.load(board, Board.order) === 3);
    expect(zones[TIGHT]!.limitStatistics()).toMatchObject({ sleepers: 1, items: 6 });
    zones[TIGHT]!.setMax(7);
    await until('the fourth', () => Atomics.load(board, Board.order) === 4);
    stop();
    for (const item of items) zones[TIGHT]!.free(item);
    await until('frees', () => zones[TIGHT]!.getCur() === 0);
    await Promise.all(crew.map(({ worker }) => worker.terminate()));
  });

  test('get what the main thread, which may not block, has cached', async () => {
    const crew = await startCrew({ role: 'queue' }, 2);
    const target = zones[CACHED]!;
    const items = Array.from({ length: 40 }, () => target.alloc(M_NOWAIT));
    expect(items).not.toContain(0);
    for (const item of items.splice(0, 2)) target.free(item);
    expect(target.statistics().cached).toBe(2);
    // This job goes on; its cache is its own until it answers.
    crew[0]!.worker.postMessage(CACHED);
    crew[1]!.worker.postMessage(CACHED);
    await until('two grants', () => {
      checkpoint(uma.cpu);
      return Atomics.load(board, Board.order) === 2;
    });
    stop();
    for (const item of items) target.free(item);
    await until('frees', () => target.getCur() === 0);
    await Promise.all(crew.map(({ worker }) => worker.terminate()));
  });
});

test('allocAsync in the main thread waits for what workers free, or for its signal', async () => {
  const crew = await startCrew({ role: 'queue' }, 3);
  for (const member of crew) member.worker.postMessage(TIGHT);
  await until('three items out', () => Atomics.load(board, Board.order) === 3);
  const target = zones[TIGHT]!;
  const abort = new AbortController();
  const first = target.allocAsync({ signal: abort.signal });
  const second = target.allocAsync({ timeoutMs: 20 });
  const third = target.allocAsync();
  expect(await second).toEqual({ item: 0, failure: 'timeout' });
  abort.abort(new Error('enough'));
  await expect(first).rejects.toThrow('enough');
  stop();
  const { item, failure } = await watchdog(arena, SECONDS, third);
  expect(failure).toBeUndefined();
  target.free(item);
  await until('frees', () => target.getCur() === 0);
  await Promise.all(crew.map(({ worker }) => worker.terminate()));
});
