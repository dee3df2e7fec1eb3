/** The tagged stack between four real threads over pools so small that nodes come back at once. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterEach, expect, test } from 'vitest';
import { taggedChanges, taggedInit, taggedPop, taggedPush } from '@umbuf/memory';
import type { TaggedStackReport, TaggedStackWorkerData } from '../fixtures/tagged-stack-worker.ts';

const SEED = Number(process.env['UMBUF_SEED'] ?? 0x5eed_0006);
const THREADS = 4;
const OPERATIONS = 200_000;
const HEAD = 16;
const START_LINE = 0;
const FIRST_NODE = 1024;
const NODE_BYTES = 64;
const LINK = 8;
const OWNER = 16;
const workers: Worker[] = [];

afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.terminate()));
});

test.each([
  [2, 1],
  [3, 2],
  [8, 3],
  [64, 8],
])(
  `%s nodes, up to %s in each of four hands: each in exactly one place (seed ${SEED})`,
  async (nodes, held) => {
    const buffer = new SharedArrayBuffer(FIRST_NODE + nodes * NODE_BYTES);
    const words = new Int32Array(buffer);
    const longs = new BigInt64Array(buffer);
    taggedInit(longs, HEAD);
    const all = Array.from({ length: nodes }, (_, i) => FIRST_NODE + i * NODE_BYTES);
    for (const node of all) taggedPush(longs, words, HEAD, node, LINK);

    const reports = await Promise.all(
      Array.from({ length: THREADS }, async (_, index) => {
        const workerData: TaggedStackWorkerData = {
          buffer,
          head: HEAD,
          linkOffset: LINK,
          ownerOffset: OWNER,
          startLine: START_LINE,
          threads: THREADS,
          self: index + 1,
          operations: OPERATIONS,
          held,
          seed: SEED + index,
        };
        const worker = new Worker(
          new URL('../dist/fixtures/tagged-stack-worker.js', import.meta.url),
          { workerData },
        );
        workers.push(worker);
        return (await once(worker, 'message'))[0] as TaggedStackReport;
      }),
    );

    expect(reports.map((report) => report.violation)).toEqual([null, null, null, null]);
    const changes = reports.reduce((sum, report) => sum + report.changes, nodes);
    expect(taggedChanges(longs, HEAD)).toBe(changes);
    const left: number[] = [];
    for (let i = 0; i <= nodes; i++) left.push(taggedPop(longs, words, HEAD, LINK));
    expect(left.pop()).toBe(0);
    expect(left.sort((a, b) => a - b)).toEqual(all);
  },
);
