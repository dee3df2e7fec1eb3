/**
 * Limits under real workers: few units, many takers, timeouts, aborts and deaths. What must hold:
 * the count never exceeds the maximum, every unit comes back, nobody sleeps for ever (a watchdog
 * bounds each wait), and blocking sleepers are granted in the order of their arrival.
 */

import {
  Arena,
  checkLimit,
  claimCpu,
  type Cpu,
  CpuRecord,
  enterCpu,
  limitCount,
  limitInit,
  LimitRecord,
  limitSleepers,
  limitWords,
  lockRegistry,
  markDead,
  recoverLimit,
  releaseSlot,
  releaseUnits,
  reserveSlot,
  reserveUnits,
  setLimitMax,
  STATIC_NEXT,
  stateIncarnation,
  staticSpace,
  unlockRegistry,
} from '@umbuf/memory';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LimitReport, LimitWorkerData } from '../fixtures/limit-worker.ts';
import {
  allReady,
  allResults,
  recoverUntilDone,
  sleep,
  type StartedWorker,
  startWorkers,
  stopWorkers,
  terminateAndRecover,
  testSeed,
  watchdog,
} from '../support/workers.ts';

const CPUS = 4;
const UNITS = 2;
const WATCHDOG_SECONDS = 20;
const SEED = testSeed(20261124);
/** The fixture's `Board`; importing it would run the worker's code here. */
const STOP = 0;
const MOST = 2;
const ORDER = 3;
const REQUESTS = 16;

let arena: Arena;
let main: Cpu;
let limit: number;
let board: Int32Array<SharedArrayBuffer>;

beforeEach(() => {
  arena = Arena.create({ bytes: 1 << 20, cpus: CPUS + 1 });
  main = claimCpu(arena, { number: 0, mayBlock: false, manualLeave: true });
  enterCpu(main);
  lockRegistry(main);
  const bytes = limitWords(16) * 4;
  const address = staticSpace(main, bytes);
  limit = address >> 2;
  limitInit(main, limit, UNITS, 16);
  main.words[STATIC_NEXT] = address + bytes;
  unlockRegistry(main);
  board = new Int32Array(new SharedArrayBuffer(256));
  arena.hooks.cacheRepairs.push((cpu, dead) => {
    const state = Atomics.load(arena.words, arena.cpuTable + dead * CpuRecord.words);
    recoverLimit(cpu, limit, dead, stateIncarnation(state));
  });
});

afterEach(stopWorkers);

/** One worker as CPU `cpu`; its seed differs with `life`. */
function start(cpu: number, work: Partial<LimitWorkerData>, life = 0): StartedWorker {
  const data: LimitWorkerData = {
    arena: arena.handle(),
    cpu,
    seed: SEED + cpu + life * 1000,
    limit,
    board,
    mode: 'blocking',
    requests: 0,
    sum: false,
    ...work,
  };
  return startWorkers('limit-worker', [data])[0]!;
}

async function startCrew(work: Partial<LimitWorkerData>, cpus = CPUS): Promise<StartedWorker[]> {
  const crew = Array.from({ length: cpus }, (_, index) => start(index + 1, work));
  await watchdog(arena, WATCHDOG_SECONDS, allReady(crew));
  return crew;
}

/** Polls until `condition`; the watchdog names it when it never comes. */
async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + WATCHDOG_SECONDS * 1000;
  while (!condition()) {
    if (performance.now() > deadline) {
      throw new Error(`seed ${SEED}: no ${what}; limit: ${checkLimit(main, limit).join(', ')}`);
    }
    await sleep(1);
  }
}

function expectQuiet(): void {
  expect(limitCount(arena, limit)).toBe(0);
  expect(limitSleepers(arena, limit)).toBe(0);
  expect(checkLimit(main, limit)).toEqual([]);
}

const statistic = (name: 'sleeps' | 'timeouts'): number =>
  Number(arena.longs[(limit + LimitRecord.fields[name].at) >> 1]);

function stop(): void {
  Atomics.store(board, STOP, 1);
  Atomics.notify(board, STOP);
}

describe(`four CPUs over two units (seed ${SEED})`, () => {
  for (const mode of ['blocking', 'mixed'] as const) {
    it(`take and return them, ${mode}: no overshoot, no loss, no lost wake-up`, async () => {
      const requests = mode === 'blocking' ? 3000 : 500;
      const crew = await startCrew({ mode, requests, sum: true });
      const reports = await watchdog(arena, WATCHDOG_SECONDS, allResults<LimitReport>(crew));
      const total = (name: keyof LimitReport): number =>
        reports.reduce((sum, report) => sum + report[name], 0);
      expect(Atomics.load(board, MOST)).toBe(UNITS);
      expect(total('granted')).toBeGreaterThan(requests);
      expect(total('timeouts')).toBeGreaterThan(0);
      expect(total('full')).toBe(0);
      if (mode === 'mixed') expect(total('aborts')).toBeGreaterThan(0);
      expect(statistic('sleeps')).toBeGreaterThan(requests);
      // Every timeout abandoned a cell; an abort did unless the grant came first.
      expect(statistic('timeouts')).toBeGreaterThanOrEqual(total('timeouts'));
      expect(statistic('timeouts')).toBeLessThanOrEqual(total('timeouts') + total('aborts'));
      expectQuiet();
    });
  }
});

describe('blocking sleepers', () => {
  it('are granted in the order of their arrival', async () => {
    const crew = await startCrew({ mode: 'queue' });
    const slot = reserveSlot(main);
    setLimitMax(main, limit, CPUS);
    for (let round = 0; round < 20; round++) {
      Atomics.store(board, STOP, 0);
      Atomics.store(board, ORDER, 0);
      expect(reserveUnits(main, limit, CPUS, slot)).toBe(CPUS);
      const arrivals = shuffled(round);
      for (const [ahead, index] of arrivals.entries()) {
        crew[index]!.worker.postMessage('go');
        await until('registration', () => limitSleepers(arena, limit) === ahead + 1);
      }
      // One unit at a time, so that the order of the stamps is the order of the grants.
      for (let granted = 1; granted <= CPUS; granted++) {
        releaseUnits(main, limit, 1, slot);
        await until('grant', () => Atomics.load(board, ORDER) === granted);
      }
      stop();
      await until('return', () => limitCount(arena, limit) === 0);
      await until('note', () => crew.every((member) => member.notes.length === round + 1));
      expect(arrivals.map((index) => crew[index]!.notes[round])).toEqual([0, 1, 2, 3]);
    }
    releaseSlot(main, slot);
    expectQuiet();
  });
});

/** A permutation of the crew that depends on seed and round alone. */
function shuffled(round: number): number[] {
  const order = Array.from({ length: CPUS }, (_, index) => index);
  let state = SEED + round * 7919;
  for (let last = CPUS - 1; last > 0; last--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const other = state % (last + 1);
    [order[last], order[other]] = [order[other]!, order[last]!];
  }
  return order;
}

describe('a worker that is killed', () => {
  it('while it sleeps leaves the queue to those behind it', async () => {
    const slot = reserveSlot(main);
    for (let round = 0; round < 5; round++) {
      reserveUnits(main, limit, UNITS, slot);
      const first = start(1, { mode: 'queue' }, round);
      const second = start(2, { mode: 'queue' }, round);
      await watchdog(arena, WATCHDOG_SECONDS, allReady([first, second]));
      Atomics.store(board, STOP, 0);
      Atomics.store(board, ORDER, 0);
      for (const [ahead, member] of [first, second].entries()) {
        member.worker.postMessage('go');
        await until('registration', () => limitSleepers(arena, limit) === ahead + 1);
      }
      expect(await terminateAndRecover(main, first)).toBe('recovered');
      expect(limitSleepers(arena, limit)).toBe(1);
      releaseUnits(main, limit, 1, slot);
      await until('grant', () => Atomics.load(board, ORDER) === 1);
      releaseUnits(main, limit, UNITS - 1, slot);
      stop();
      await until('return', () => limitCount(arena, limit) === 0);
      expect(await terminateAndRecover(main, second)).toBe('recovered');
      expectQuiet();
    }
    releaseSlot(main, slot);
  });

  it('right after it was granted hands the unit on', async () => {
    const slot = reserveSlot(main);
    for (let round = 0; round < 8; round++) {
      reserveUnits(main, limit, UNITS, slot);
      const first = start(1, { mode: 'queue' }, round);
      const second = start(2, { mode: 'queue' }, round);
      await watchdog(arena, WATCHDOG_SECONDS, allReady([first, second]));
      Atomics.store(board, STOP, 0);
      Atomics.store(board, ORDER, 0);
      for (const [ahead, member] of [first, second].entries()) {
        member.worker.postMessage('go');
        await until('registration', () => limitSleepers(arena, limit) === ahead + 1);
      }
      // The grant and the kill race: the unit is in the cell or in the hand of the dead.
      releaseUnits(main, limit, 1, slot);
      if (round % 2 === 1) await until('grant', () => Atomics.load(board, ORDER) === 1);
      const stamped = round % 2;
      await first.worker.terminate();
      await first.exited;
      const before = Atomics.load(board, ORDER);
      expect(before).toBeGreaterThanOrEqual(stamped);
      expect(await recoverUntilDone(main, first.cpu!, first.incarnation!)).toBe('recovered');
      await until('grant of the second', () => Atomics.load(board, ORDER) === before + 1);
      expect(limitCount(arena, limit)).toBe(UNITS);
      stop();
      await until('return', () => limitCount(arena, limit) === UNITS - 1);
      releaseUnits(main, limit, UNITS - 1, slot);
      expect(await terminateAndRecover(main, second)).toBe('recovered');
      expectQuiet();
    }
    releaseSlot(main, slot);
  });

  it('anywhere in its work stops nobody, and its units come back', async () => {
    const crew = await startCrew({ mode: 'mixed' });
    let state = SEED;
    for (let life = 1; life <= 16; life++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      const index = (state >>> 8) % CPUS;
      await sleep((state >>> 16) % 12);
      expect(await terminateAndRecover(main, crew[index]!)).toBe('recovered');
      expect(checkLimit(main, limit)).toEqual([]);
      crew[index] = start(index + 1, { mode: 'mixed' }, life);
      await watchdog(arena, WATCHDOG_SECONDS, crew[index].ready);
      await everyoneMakesARequest();
    }
    stop();
    await watchdog(arena, WATCHDOG_SECONDS, allResults(crew));
    expectQuiet();
  });

  it('together with another, each may hold what the recovery of the other needs', async () => {
    let crew = await startCrew({ mode: 'mixed' });
    for (let life = 1; life <= 4; life++) {
      await sleep(5);
      const dead = crew.slice(0, 2);
      await Promise.all(dead.map(({ worker }) => worker.terminate()));
      await Promise.all(dead.map(({ exited }) => exited));
      // All are marked before any is recovered.
      for (const { cpu, incarnation } of dead) markDead(main, cpu!, incarnation!);
      for (const { cpu, incarnation } of dead) {
        expect(await recoverUntilDone(main, cpu!, incarnation!)).toBe('recovered');
      }
      const born = dead.map(({ cpu }) => start(cpu!, { mode: 'mixed' }, life));
      crew = [...crew.slice(2), ...born];
      await watchdog(arena, WATCHDOG_SECONDS, allReady(born));
      await everyoneMakesARequest();
    }
    stop();
    await watchdog(arena, WATCHDOG_SECONDS, allResults(crew));
    expectQuiet();
  });
});

/** Nobody sleeps for ever: each CPU finishes a request that it may have begun before the call. */
async function everyoneMakesARequest(): Promise<void> {
  const before = Array.from({ length: CPUS }, (_, index) => requestsOf(index + 1));
  await until('progress of every CPU', () =>
    before.every((requests, index) => requestsOf(index + 1) > requests),
  );
}

function requestsOf(cpu: number): number {
  return Atomics.load(board, REQUESTS + cpu);
}
