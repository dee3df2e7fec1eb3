/**
 * Counters under real workers: sums never go backwards for a reader, are exact at the end, and
 * what a killed CPU counted stays when its number is used again.
 */

import { Arena, claimCpu, type Cpu } from '@umbuf/memory';
import { counterFetch, counterFetchCpu, findCounters, listCounters } from '@umbuf/stats';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { CounterWorkerData } from '../fixtures/counter-worker.ts';
import {
  allReady,
  allResults,
  type StartedWorker,
  startWorkers,
  stopWorkers,
  terminateAndRecover,
  watchdog,
} from '../support/workers.ts';

const CPUS = 4;
const READS = 1_000_000;
const STEP = 4_294_967_291n;

let arena: Arena;
let main: Cpu;
let board: Int32Array<SharedArrayBuffer>;
let tally: BigInt64Array<SharedArrayBuffer>;

beforeEach(() => {
  arena = Arena.create({ bytes: 1 << 20, cpus: CPUS + 1 });
  main = claimCpu(arena, { number: 0, mayBlock: false });
  board = new Int32Array(new SharedArrayBuffer(16));
  tally = new BigInt64Array(new SharedArrayBuffer(64));
});

afterEach(stopWorkers);

function start(cpus: readonly number[], additions: number): StartedWorker[] {
  const data = cpus.map(
    (cpu): CounterWorkerData => ({ arena: arena.handle(), cpu, seed: 0, board, tally, additions }),
  );
  return startWorkers('counter-worker', data);
}

it('never go backwards for a reader, and are exact at the end', async () => {
  const crew = start([1, 2, 3, 4], 0);
  await watchdog(arena, 20, allReady(crew));
  expect(listCounters(arena)).toHaveLength(1);
  const [ones, many] = findCounters(arena, 'stress')!.words as [number, number];
  let lastOnes = 0n;
  let lastMany = 0n;
  let changes = 0;
  for (let read = 0; read < READS; read++) {
    const seenOnes = counterFetch(arena, ones);
    const seenMany = counterFetch(arena, many);
    if (seenOnes < lastOnes || seenMany < lastMany) {
      throw new Error(`read ${read}: ${lastOnes} ${lastMany}, then ${seenOnes} ${seenMany}`);
    }
    if (seenMany !== lastMany) changes++;
    lastOnes = seenOnes;
    lastMany = seenMany;
  }
  Atomics.store(board, 0, 1);
  const done = await watchdog(arena, 20, allResults<number>(crew));
  const total = BigInt(done.reduce((sum, each) => sum + each, 0));
  expect(changes).toBeGreaterThan(1000); // the reads did meet additions
  expect(counterFetch(arena, ones)).toBe(total);
  expect(counterFetch(arena, many)).toBe(total * STEP);
});

it('keep what a killed CPU counted, and its number goes on from there', async () => {
  for (let life = 0; life < 4; life++) {
    const [doomed] = start([1], 0) as [StartedWorker];
    await watchdog(arena, 20, doomed.ready);
    const [ones] = findCounters(arena, 'stress')!.words as [number];
    const before = Atomics.load(tally, 1);
    const deadline = performance.now() + 20_000;
    while (Atomics.load(tally, 1) - before < 1000n) {
      if (performance.now() > deadline) throw new Error('the worker does not count');
    }
    expect(await terminateAndRecover(main, doomed)).toBe('recovered');
    const atDeath = counterFetchCpu(arena, ones, 1);
    const tallied = Atomics.load(tally, 1);
    // It may have died between the addition and its tally.
    expect(atDeath - tallied === 0n || atDeath - tallied === 1n).toBe(true);
    const next = start([1], 5000);
    await watchdog(arena, 20, allResults(next));
    expect(counterFetchCpu(arena, ones, 1)).toBe(atDeath + 5000n);
    Atomics.store(tally, 1, atDeath + 5000n);
  }
});
