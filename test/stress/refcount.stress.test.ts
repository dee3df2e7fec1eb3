/** The reference count between four real threads: one last release per object, and it sees all. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterEach, expect, test } from 'vitest';
import { refcountInit } from '@umbuf/memory';
import type { RefcountReport, RefcountWorkerData } from '../fixtures/refcount-worker.ts';

const SEED = Number(process.env['UMBUF_SEED'] ?? 0x5eed_0007);
const THREADS = 4;
const OBJECTS = 100_000;
const workers: Worker[] = [];

afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.terminate()));
});

test(`of ${OBJECTS} objects held by four threads each is freed exactly once (seed ${SEED})`, async () => {
  const counts = 32;
  const frees = counts + OBJECTS;
  const marks = frees + OBJECTS;
  const buffer = new SharedArrayBuffer((marks + OBJECTS * THREADS) * 4);
  const words = new Int32Array(buffer);
  for (let object = 0; object < OBJECTS; object++) refcountInit(words, counts + object, THREADS);

  const reports = await Promise.all(
    Array.from({ length: THREADS }, async (_, self) => {
      const workerData: RefcountWorkerData = {
        buffer,
        objects: OBJECTS,
        threads: THREADS,
        self,
        seed: SEED + self,
        startLine: 0,
        counts,
        frees,
        marks,
      };
      const worker = new Worker(new URL('../dist/fixtures/refcount-worker.js', import.meta.url), {
        workerData,
      });
      workers.push(worker);
      return (await once(worker, 'message'))[0] as RefcountReport;
    }),
  );

  expect(reports.map((report) => report.violation)).toEqual([null, null, null, null]);
  expect(reports.reduce((sum, report) => sum + report.last, 0)).toBe(OBJECTS);
  expect(words.subarray(frees, frees + OBJECTS).every((times) => times === 1)).toBe(true);
  expect(words.subarray(counts, counts + OBJECTS).every((count) => count === 0)).toBe(true);
});
