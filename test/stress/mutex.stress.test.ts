/** The mutex between real threads: no increment is lost and its seven columns are plausible. */
import { afterEach, expect, test } from 'vitest';
import { Arena, claimCpu, MutexRecord } from '@umbuf/memory';
import type { MutexWorkerData } from '../fixtures/mutex-worker.ts';
import {
  allReady,
  allResults,
  progressOf,
  scratchPage,
  sleep,
  startWorkers,
  stopWorkers,
  stressMs,
  testSeed,
  watchdog,
} from '../support/workers.ts';

const M = MutexRecord.fields;
const SEED = testSeed(0x4d07);

afterEach(stopWorkers);

// Short sections are decided by spinning, long ones by sleeping.
test.each([
  ['short', 2, 40],
  ['long', 400, 20],
])(
  `four CPUs with %s critical sections lose no increment (seed ${SEED})`,
  async (_name, inside, outside) => {
    const arena = Arena.create({ bytes: 1 << 20, cpus: 5 });
    const supervisor = claimCpu(arena, { number: 0, mayBlock: false });
    const page = scratchPage(supervisor);
    const [lock, counter, stop] = [page, page + 64, page + 128];
    const cpus = [1, 2, 3, 4];
    const workers = startWorkers<MutexWorkerData>(
      'mutex-worker',
      cpus.map((cpu) => ({
        arena: arena.handle(),
        cpu,
        seed: SEED + cpu,
        lock,
        counter,
        stop,
        inside,
        outside,
      })),
    );
    await watchdog(arena, 20, allReady(workers));
    await sleep(stressMs / 2);
    Atomics.store(arena.words, stop, 1);
    const contended = (await watchdog(arena, 20, allResults<number>(workers))).reduce(
      (sum, count) => sum + count,
    );

    const count = arena.longs[counter >> 1]!;
    const long = (at: number): bigint => arena.longs[(lock + at) >> 1]!;
    expect(cpus.reduce((sum, cpu) => sum + progressOf(arena, cpu), 0n)).toBe(count);
    expect(count).toBeGreaterThan(1000n);
    expect(arena.words[lock], 'free at the end').toBe(0);
    expect(long(M.operations.at)).toBe(count);
    expect(long(M.spins.at) + long(M.waits.at), 'each contended take spun or slept').toBe(
      BigInt(contended),
    );
    expect(long(M.ownerSwitches.at)).toBeGreaterThanOrEqual(4n);
    expect(long(M.ownerSwitches.at)).toBeLessThanOrEqual(count);
    expect(arena.words[lock + M.waiting.at]).toBe(0);
    // Three, or four: who has just been given the lock counts until it has taken itself out.
    expect(arena.words[lock + M.maxThreads.at]).toBeLessThanOrEqual(4);
    expect(long(M.maxWaitNs.at)).toBeLessThanOrEqual(long(M.totalWaitNs.at));
    if (inside > 100) {
      expect(long(M.waits.at)).toBeGreaterThan(0n);
      expect(arena.words[lock + M.maxThreads.at]).toBeGreaterThanOrEqual(2);
      expect(long(M.totalWaitNs.at)).toBeGreaterThan(0n);
    }
  },
);
