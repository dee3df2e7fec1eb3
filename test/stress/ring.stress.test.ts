/** The ring between real threads: order, sleeping and waking, and the death of either side. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterEach, expect, test } from 'vitest';
import {
  initRing,
  RING_EMPTY,
  ringPop,
  ringPopMany,
  ringPush,
  ringSize,
  ringTakeOverConsumer,
  ringTakeOverProducer,
  ringWaitNotEmpty,
  ringWaitNotFull,
  ringWords,
} from '@umbuf/memory';
import type { RingReport, RingWorkerData } from '../fixtures/ring-worker.ts';

const SEED = Number(process.env['UMBUF_SEED'] ?? 0x5eed_0005);
const RING = 32;
const PROGRESS = 0;
const workers: Worker[] = [];

function makeRing(capacity: number): Int32Array<SharedArrayBuffer> {
  const words = new Int32Array(new SharedArrayBuffer((RING + ringWords(capacity)) * 4));
  initRing(words, RING, capacity);
  return words;
}

function start(
  words: Int32Array<SharedArrayBuffer>,
  data: Pick<RingWorkerData, 'role' | 'first' | 'count' | 'seed'>,
): Worker {
  const workerData: RingWorkerData = {
    buffer: words.buffer,
    ring: RING,
    progress: PROGRESS,
    ...data,
  };
  const worker = new Worker(new URL('../dist/fixtures/ring-worker.js', import.meta.url), {
    workerData,
  });
  workers.push(worker);
  return worker;
}

async function report(worker: Worker): Promise<RingReport> {
  return (await once(worker, 'message'))[0] as RingReport;
}

afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.terminate()));
});

// With few slots a value may cost a context switch: fewer of them there, the same paths.
test.each([
  [20_000, 1],
  [200_000, 8],
  [1_000_000, 1024],
])(
  `%s values pass in order through a ring of %s, random batches and sleeps (seed ${SEED})`,
  async (count, capacity) => {
    const words = makeRing(capacity);
    const producer = start(words, { role: 'producer', first: 0, count, seed: SEED + capacity });
    const consumer = start(words, { role: 'consumer', first: 0, count, seed: SEED - capacity });
    const [pushed, popped] = await Promise.all([report(producer), report(consumer)]);
    expect(popped).toEqual({ moved: count, disorder: null });
    expect(pushed.moved).toBe(count);
    expect(ringSize(words, RING)).toBe(0);
  },
);

test('a killed producer leaves what it published, in order, and its successor goes on', async () => {
  const words = makeRing(64);
  const target = new Int32Array(64);
  let expected = 0;
  const takeSome = () => {
    const popped = ringPopMany(words, RING, target, 0, 1 + (expected % 64));
    for (let i = 0; i < popped; i++) expect(target[i]).toBe(expected++);
  };
  for (let round = 0; round < 12; round++) {
    const producer = start(words, {
      role: 'producer',
      first: expected,
      count: Infinity,
      seed: SEED + round,
    });
    const enough = expected + 1 + ((round * 7919) % 5000);
    while (expected < enough) {
      expect(ringWaitNotEmpty(words, RING, 10_000)).toBe(true);
      takeSome();
    }
    const killed = producer.terminate();
    // Goes on taking while the producer dies, so that it dies in all parts of its loop.
    for (const end = performance.now() + round; performance.now() < end; ) takeSome();
    await killed;
    while (ringSize(words, RING) > 0) takeSome();
    expect(ringPop(words, RING)).toBe(RING_EMPTY);
    expect(ringWaitNotEmpty(words, RING, 1)).toBe(false);
  }
  ringTakeOverProducer(words, RING);
  for (let i = 0; i < 64; i++) expect(ringPush(words, RING, i)).toBe(true);
  expect(ringPush(words, RING, 64)).toBe(false);
});

test('a killed consumer leaves the rest in order, and a sleeping producer goes on', async () => {
  const words = makeRing(64);
  const count = 400_000;
  const producer = start(words, { role: 'producer', first: 0, count, seed: SEED });
  const finished = report(producer);
  const target = new Int32Array(64);
  let expected = 0;
  for (let round = 0; round < 8; round++) {
    const consumer = start(words, {
      role: 'consumer',
      first: expected,
      count: Infinity,
      seed: SEED + round,
    });
    Atomics.store(words, PROGRESS, 0);
    while (Atomics.load(words, PROGRESS) < 500 * (round + 1)) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    await consumer.terminate();
    // What it had published as taken and not yet counted is at most one batch.
    ringTakeOverConsumer(words, RING);
    expect(ringWaitNotEmpty(words, RING, 10_000)).toBe(true);
    const value = ringPop(words, RING);
    const counted = expected + Atomics.load(words, PROGRESS);
    expect(value).toBeGreaterThanOrEqual(counted);
    expect(value).toBeLessThanOrEqual(counted + 48);
    expected = value + 1;
  }
  while (expected < count) {
    expect(ringWaitNotEmpty(words, RING, 10_000)).toBe(true);
    const popped = ringPopMany(words, RING, target, 0, 64);
    for (let i = 0; i < popped; i++, expected++) {
      if (target[i] !== expected) expect(target[i]).toBe(expected);
    }
  }
  expect(await finished).toEqual({ moved: count, disorder: null });
});

test('a producer whose consumer is dead sees a full ring and gives up in time', async () => {
  const words = makeRing(8);
  const consumer = start(words, { role: 'consumer', first: 0, count: Infinity, seed: SEED });
  ringPush(words, RING, 0);
  while (Atomics.load(words, PROGRESS) === 0) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  await consumer.terminate();
  for (let i = 1; i <= 8; i++) expect(ringPush(words, RING, i)).toBe(true);
  expect(ringPush(words, RING, 9)).toBe(false);
  expect(ringWaitNotFull(words, RING, 5)).toBe(false);
});
