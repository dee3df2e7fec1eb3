/**
 * The single-producer single-consumer ring: linearizable to a queue, bounded waits and endless ones
 * on both sides, batches that appear as a whole.
 */
import { check, model } from '@umbuf/interleave/vitest';
import {
  initRing,
  RING_EMPTY,
  ringPop,
  ringPopMany,
  ringPush,
  ringPushMany,
  RingRecord,
  ringWaitNotEmpty,
  ringWaitNotFull,
} from '@umbuf/memory';
import { BUDGET_MS } from './support/arena.ts';
import { ArenaWords } from './support/words.ts';

type Words = Int32Array<SharedArrayBuffer>;

const names = new ArenaWords();
names.place(RingRecord, 0, 'ring');

function ring(capacity: number): Words {
  const words = new Int32Array(new SharedArrayBuffer(512));
  initRing(words, 0, capacity);
  return words;
}

/** Pushes, asleep while the ring is full. */
function send(words: Words, value: number): void {
  while (!ringPush(words, 0, value)) ringWaitNotFull(words, 0, Number.POSITIVE_INFINITY);
}

/** Pops, asleep while the ring is empty. */
function receive(words: Words): number {
  for (;;) {
    const value = ringPop(words, 0);
    if (value !== RING_EMPTY) return value;
    ringWaitNotEmpty(words, 0, Number.POSITIVE_INFINITY);
  }
}

const operations = {
  push: (words: Words, value: number) => ringPush(words, 0, value),
  pop: (words: Words) => ringPop(words, 0),
};

for (const capacity of [1, 2]) {
  check(
    `ring of ${capacity}: push and pop are linearizable to a queue`,
    {
      setup: () => ring(capacity),
      operations,
      cpus: {
        producer: [
          ['push', 1],
          ['push', 2],
          ['push', 3],
        ],
        consumer: [['pop'], ['pop'], ['pop']],
      },
      linearizable: model.queue({ empty: RING_EMPTY, capacity }),
      reachable: {
        'the ring was full': (_, { history }) => history.some(({ result }) => result === false),
        'the ring was empty': (_, { history }) =>
          history.some(({ result }) => result === RING_EMPTY),
        'a slot was used again': (_, { history }) =>
          history.filter(({ name, result }) => name === 'push' && result === true).length >
          capacity,
      },
      words: names.lookup,
    },
    { budgetMs: BUDGET_MS },
  );
}

for (const spurious of [false, true]) {
  check(
    `ring of 1: both sides sleep, nothing is lost${spurious ? ', spurious wake-ups' : ''}`,
    {
      setup: () => ({ words: ring(1), got: [] as number[], slept: { full: 0, empty: 0 } }),
      cpus: {
        producer: ({ words, slept }) => {
          for (let value = 1; value <= 3; value++) {
            if (ringPush(words, 0, value)) continue;
            slept.full++;
            send(words, value);
          }
        },
        consumer: ({ words, got, slept }) => {
          for (let n = 0; n < 3; n++) {
            const value = ringPop(words, 0);
            if (value !== RING_EMPTY) {
              got.push(value);
              continue;
            }
            slept.empty++;
            got.push(receive(words));
          }
        },
      },
      final: ({ got }) => got.join() === '1,2,3',
      reachable: {
        'the producer slept': ({ slept }) => slept.full > 0,
        'the consumer slept': ({ slept }) => slept.empty > 0,
      },
      words: names.lookup,
    },
    { budgetMs: BUDGET_MS, spurious },
  );
}

check(
  'ring of 2: a batch appears as a whole',
  {
    setup: () => ({
      words: ring(2),
      source: [new Int32Array([1, 2]), new Int32Array([3, 4])],
      target: new Int32Array(4),
      counts: [] as number[],
    }),
    cpus: {
      producer: ({ words, source }) => {
        for (let batch = 0; batch < 2; batch++) {
          let sent = 0;
          while (sent < 2) {
            sent += ringPushMany(words, 0, source[batch]!, sent, 2 - sent);
            if (sent < 2) ringWaitNotFull(words, 0, Number.POSITIVE_INFINITY);
          }
        }
      },
      consumer: ({ words, target, counts }) => {
        let got = 0;
        while (got < 4) {
          const count = ringPopMany(words, 0, target, got, 4 - got);
          if (count > 0) counts.push(count);
          else ringWaitNotEmpty(words, 0, Number.POSITIVE_INFINITY);
          got += count;
        }
      },
    },
    final: ({ target, counts }) => target.join() === '1,2,3,4' && counts[0] === 2,
    reachable: {
      'both batches whole': ({ counts }) => counts.join() === '2,2',
    },
    words: names.lookup,
  },
  { budgetMs: BUDGET_MS },
);
