/** The page pools between real threads: nobody gets a page twice, and all pages come back. */
import { afterEach, expect, test } from 'vitest';
import { Arena, checkPagePool, claimCpu, freePageCount, largestFreeRun } from '@umbuf/memory';
import type { PageWorkerData } from '../fixtures/page-worker.ts';
import {
  allReady,
  allResults,
  scratchPage,
  sleep,
  startWorkers,
  stopWorkers,
  stressMs,
  testSeed,
  watchdog,
} from '../support/workers.ts';

const SEED = testSeed(0x9a6e5);

afterEach(stopWorkers);

test(`four CPUs take and put random runs of two domains (seed ${SEED})`, async () => {
  const arena = Arena.create({ bytes: 2 << 20, cpus: 5, domains: 2 });
  const supervisor = claimCpu(arena, { number: 0, mayBlock: false });
  const stop = scratchPage(supervisor);
  const [free, largest] = [freePageCount(arena), largestFreeRun(supervisor)];
  const workers = startWorkers<PageWorkerData>(
    'page-worker',
    [1, 2, 3, 4].map((cpu) => ({ arena: arena.handle(), cpu, seed: SEED + cpu, stop })),
  );
  await watchdog(arena, 20, allReady(workers));
  await sleep(stressMs / 2);
  Atomics.store(arena.words, stop, 1);
  const reports = await watchdog(
    arena,
    20,
    allResults<{ taken: number; refused: number }>(workers),
  );
  for (const { taken } of reports) expect(taken).toBeGreaterThan(100);
  expect(
    reports.some(({ refused }) => refused > 0),
    'the pools must run dry',
  ).toBe(true);
  for (const domain of [0, 1]) expect(checkPagePool(supervisor, domain)).toEqual([]);
  expect([freePageCount(arena), largestFreeRun(supervisor)]).toEqual([free, largest]);
});
