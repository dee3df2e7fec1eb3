/**
 * The assumption that every straight line rests on, measured on this Node with terminated workers:
 * a termination does not strike between two plain accesses, nor behind the effect of an `Atomics`
 * call; it does strike at the call, before its effect. So a line may have one `Atomics` call, first.
 */
import { afterEach, expect, test } from 'vitest';
import type { TearWorkerData } from '../fixtures/tear-worker.ts';
import { sleep, startWorkers, stopWorkers, stressMs } from '../support/workers.ts';

afterEach(stopWorkers);

/** Kills per line, four at a time. */
const KILLS = Math.max(16, Math.round((16 * stressMs) / 2000));
const BASE = 32;

/** Kills `KILLS` workers in the line; returns what each left in its five words. */
async function kill(line: TearWorkerData['line']): Promise<number[][]> {
  const left: number[][] = [];
  while (left.length < KILLS) {
    const data = Array.from({ length: 4 }, (_, index): TearWorkerData => {
      const copies = index % 2 === 0 ? 3 : 300;
      return { buffer: new SharedArrayBuffer(4096), line, copies };
    });
    const views = data.map(({ buffer }) => new Int32Array(buffer));
    const started = startWorkers('tear-worker', data);
    while (views.some((words) => Atomics.load(words, 0) === 0)) await sleep(1);
    await sleep(left.length % 7);
    await Promise.all(started.map((one) => one.worker.terminate()));
    await Promise.all(started.map((one) => one.exited));
    for (const words of views) left.push([...words.subarray(BASE, BASE + 5)]);
  }
  return left;
}

const torn = (words: readonly number[]): boolean => words.some((word) => word !== words[0]);

test.each(['plain', 'atomicFirst', 'exchangeFirst'] as const)(
  `a straight line of kind %s is never torn in ${KILLS} kills`,
  async (line) => {
    const left = await kill(line);
    expect(left.some((words) => words[0]! > 0)).toBe(true);
    expect(left.filter(torn)).toEqual([]);
  },
);

test('the same measurement shows tears where a line calls Atomics behind a plain write', async () => {
  expect((await kill('atomicLater')).filter(torn).length).toBeGreaterThan(0);
});
