/** The ring in one thread: its contract, its wrapping positions, its waits, and a model. */
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { ArgumentError } from '../src/errors.ts';
import {
  initRing,
  RING_EMPTY,
  ringPop,
  ringPopMany,
  ringPush,
  ringPushMany,
  ringSize,
  ringTakeOverConsumer,
  ringTakeOverProducer,
  ringWaitNotEmpty,
  ringWaitNotFull,
} from '../src/sync/ring.ts';
import { RingRecord, ringWords } from '../src/sync/ring-layout.ts';

const SEED = 0x5eed_0002;
const RING = 32; // not 0, so that a forgotten base address shows
const { tail: TAIL, head: HEAD } = RingRecord.fields;

function makeRing(capacity: number): Int32Array<SharedArrayBuffer> {
  const words = new Int32Array(new SharedArrayBuffer((RING + ringWords(capacity)) * 4));
  words.fill(-1);
  initRing(words, RING, capacity);
  return words;
}

/** A ring whose positions are where they would be after `position` pushes and pops. */
function makeRingAt(capacity: number, position: number): Int32Array<SharedArrayBuffer> {
  const words = makeRing(capacity);
  Atomics.store(words, RING + TAIL.at, position << 1);
  Atomics.store(words, RING + HEAD.at, position << 1);
  ringTakeOverProducer(words, RING);
  ringTakeOverConsumer(words, RING);
  return words;
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('initRing', () => {
  test.each([0, -4, 3, 1.5, Number.NaN, 2 ** 29])('refuses a capacity of %s', (capacity) => {
    const words = new Int32Array(new SharedArrayBuffer(4096)).fill(7);
    expect(() => initRing(words, 0, capacity)).toThrow(ArgumentError);
    expect(words.every((word) => word === 7)).toBe(true);
  });

  test.each([1, 16, -32, 0.5])('refuses to stand at word %s', (ring) => {
    const words = new Int32Array(new SharedArrayBuffer(4096));
    expect(() => initRing(words, ring, 4)).toThrow(/no multiple of 32/);
  });

  test('refuses slots that do not fit the buffer', () => {
    const words = new Int32Array(new SharedArrayBuffer((96 + 32) * 4));
    initRing(words, 0, 32);
    expect(() => initRing(words, 0, 64)).toThrow(/64 slots at word 0 do not fit 128 words/);
  });
});

describe('one value at a time', () => {
  test('comes out in order, refuses when full, says empty when empty', () => {
    const words = makeRing(4);
    expect(ringPop(words, RING)).toBe(RING_EMPTY);
    for (const value of [10, 0, -1, 2 ** 31 - 1]) expect(ringPush(words, RING, value)).toBe(true);
    expect(ringPush(words, RING, 99)).toBe(false);
    expect(ringSize(words, RING)).toBe(4);
    expect([1, 2, 3, 4].map(() => ringPop(words, RING))).toEqual([10, 0, -1, 2 ** 31 - 1]);
    expect(ringPop(words, RING)).toBe(RING_EMPTY);
  });

  test('a ring of one slot holds one value', () => {
    const words = makeRing(1);
    for (let i = 0; i < 5; i++) {
      expect(ringPush(words, RING, i)).toBe(true);
      expect(ringPush(words, RING, 99)).toBe(false);
      expect(ringPop(words, RING)).toBe(i);
    }
  });

  test('the value that means empty is refused and changes nothing', () => {
    const words = makeRing(4);
    const before = words.slice();
    expect(() => ringPush(words, RING, RING_EMPTY)).toThrow(ArgumentError);
    const values = Int32Array.of(1, RING_EMPTY, 3);
    expect(() => ringPushMany(words, RING, values, 0, 3)).toThrow(ArgumentError);
    expect(ringSize(words, RING)).toBe(0);
    expect(words.subarray(RING, RING + 96)).toEqual(before.subarray(RING, RING + 96));
  });
});

test('pushMany takes what fits, popMany gives what there is', () => {
  const words = makeRing(8);
  const source = Int32Array.from({ length: 20 }, (_, i) => 100 + i);
  expect(ringPushMany(words, RING, source, 3, 5)).toBe(5);
  expect(ringPushMany(words, RING, source, 8, 12)).toBe(3);
  expect(ringPushMany(words, RING, source, 11, 1)).toBe(0);
  const target = new Int32Array(10);
  expect(ringPopMany(words, RING, target, 1, 6)).toBe(6);
  expect(ringPopMany(words, RING, target, 7, 3)).toBe(2);
  expect(ringPopMany(words, RING, target, 0, 1)).toBe(0);
  expect([...target]).toEqual([0, 103, 104, 105, 106, 107, 108, 109, 110, 0]);
});

test.each([0, 2 ** 30 - 3, 2 ** 31 - 3])(
  'agrees with a queue over any program, from position %s on',
  (position) => {
    const operation = fc.oneof(
      fc.record({ kind: fc.constant('push' as const), count: fc.constant(1) }),
      fc.record({ kind: fc.constant('pop' as const), count: fc.constant(1) }),
      fc.record({ kind: fc.constant('pushMany' as const), count: fc.integer({ min: 0, max: 9 }) }),
      fc.record({ kind: fc.constant('popMany' as const), count: fc.integer({ min: 0, max: 9 }) }),
      fc.record({ kind: fc.constant('succeed' as const), count: fc.constant(0) }),
    );
    const programs = fc.array(operation, { maxLength: 60 });
    fc.assert(
      fc.property(fc.constantFrom(1, 2, 8), programs, (capacity, program) => {
        const words = makeRingAt(capacity, position);
        const queue: number[] = [];
        let serial = 0;
        for (const { kind, count } of program) {
          if (kind === 'push') {
            const fits = queue.length < capacity;
            expect(ringPush(words, RING, serial)).toBe(fits);
            if (fits) queue.push(serial++);
          } else if (kind === 'pop') {
            expect(ringPop(words, RING)).toBe(queue.shift() ?? RING_EMPTY);
          } else if (kind === 'pushMany') {
            const values = Int32Array.from({ length: count }, (_, i) => serial + i);
            const fitting = Math.min(count, capacity - queue.length);
            expect(ringPushMany(words, RING, values, 0, count)).toBe(fitting);
            for (let i = 0; i < fitting; i++) queue.push(serial++);
          } else if (kind === 'popMany') {
            const target = new Int32Array(count);
            const popped = ringPopMany(words, RING, target, 0, count);
            expect([...target.subarray(0, popped)]).toEqual(queue.splice(0, count));
          } else {
            ringTakeOverProducer(words, RING);
            ringTakeOverConsumer(words, RING);
          }
          expect(ringSize(words, RING)).toBe(queue.length);
        }
      }),
      { seed: SEED, numRuns: 300 },
    );
  },
);

describe('waits', () => {
  test('return at once when there is nothing to wait for', () => {
    const words = makeRing(2);
    expect(ringWaitNotFull(words, RING, 0)).toBe(true);
    ringPush(words, RING, 1);
    expect(ringWaitNotEmpty(words, RING, 0)).toBe(true);
  });

  test('give up after their time', () => {
    const words = makeRing(1);
    const start = performance.now();
    expect(ringWaitNotEmpty(words, RING, 20)).toBe(false);
    ringPush(words, RING, 1);
    expect(ringWaitNotFull(words, RING, 20)).toBe(false);
    const took = performance.now() - start;
    expect(took).toBeGreaterThanOrEqual(39);
    expect(took).toBeLessThan(1000);
  });

  test('only a side that may be asleep is notified, and once', () => {
    const words = makeRing(4);
    const notify = vi.spyOn(Atomics, 'notify');
    ringPush(words, RING, 1);
    ringPop(words, RING);
    expect(notify).not.toHaveBeenCalled();
    ringWaitNotEmpty(words, RING, 0); // leaves its mark
    ringPush(words, RING, 2);
    expect(notify).toHaveBeenCalledExactlyOnceWith(words, RING + TAIL.at);
    ringPushMany(words, RING, Int32Array.of(3, 4, 5), 0, 3);
    expect(notify).toHaveBeenCalledTimes(1);
    ringWaitNotFull(words, RING, 0);
    expect(ringSize(words, RING)).toBe(4); // the mark is no part of the position
    ringPopMany(words, RING, new Int32Array(2), 0, 2);
    expect(notify).toHaveBeenCalledTimes(2);
    expect(notify).toHaveBeenLastCalledWith(words, RING + HEAD.at);
  });
});
