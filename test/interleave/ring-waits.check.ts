/**
 * Rings whose sides give up, and sides that die: a bounded wait leaves its bit behind and nothing else;
 * a successor that takes over goes on where the dead one had published.
 */
import { check } from '@umbuf/interleave/vitest';
import {
  initRing,
  RING_EMPTY,
  ringPop,
  ringPush,
  RingRecord,
  ringTakeOverConsumer,
  ringTakeOverProducer,
  ringWaitNotEmpty,
  ringWaitNotFull,
} from '@umbuf/memory';
import { BUDGET_MS } from './support/arena.ts';
import { ArenaWords } from './support/words.ts';

type Words = Int32Array<SharedArrayBuffer>;

const names = new ArenaWords();
names.place(RingRecord, 0, 'ring');

interface Context {
  readonly words: Words;
  readonly sent: number[];
  readonly got: number[];
  /** How often a side gave up. */
  readonly gaveUp: { producer: number; consumer: number };
}

function ring(capacity: number): Context {
  const words = new Int32Array(new SharedArrayBuffer(512));
  initRing(words, 0, capacity);
  return { words, sent: [], got: [], gaveUp: { producer: 0, consumer: 0 } };
}

/** Values `from` to `to`, noted as sent when the ring has them. */
function produce(
  { words, sent, gaveUp }: Context,
  from: number,
  to: number,
  timeout: number,
): void {
  for (let value = from; value <= to; value++) {
    // Ends: with no time it looks once more at most; else it sleeps until there is room.
    while (!ringPush(words, 0, value)) {
      if (ringWaitNotFull(words, 0, timeout)) continue;
      gaveUp.producer++;
      return;
    }
    sent.push(value);
  }
}

/** Up to `count` values. */
function consume({ words, got, gaveUp }: Context, count: number, timeout: number): void {
  for (let n = 0; n < count; n++) {
    let value = ringPop(words, 0);
    while (value === RING_EMPTY) {
      if (!ringWaitNotEmpty(words, 0, timeout)) {
        gaveUp.consumer++;
        return;
      }
      value = ringPop(words, 0);
    }
    got.push(value);
  }
}

/** What was sent arrives, in order; the rest is in the ring. */
function isWhole(c: Context): boolean {
  for (let value = ringPop(c.words, 0); value !== RING_EMPTY; value = ringPop(c.words, 0)) {
    if (c.got.push(value) > 9) return false;
  }
  return c.got.join() === c.sent.join();
}

const FOR_EVER = Number.POSITIVE_INFINITY;

check(
  'ring of 1: a producer that gives up leaves its bit, and nothing else',
  {
    setup: () => ring(1),
    cpus: {
      // The last finds its own bit, left on a full ring, when the consumer has gone.
      producer: [
        (c) => produce(c, 1, 2, 0),
        (c) => produce(c, 3, 4, 0),
        (c) => produce(c, 5, 6, 0),
      ],
      consumer: [(c) => consume(c, 1, FOR_EVER), (c) => consume(c, 2, 0)],
    },
    final: isWhole,
    reachable: {
      'it gave up, and went on': ({ gaveUp, sent }) => gaveUp.producer > 0 && sent.length > 1,
      'it gave up in every body': ({ gaveUp }) => gaveUp.producer === 3,
    },
    words: names.lookup,
  },
  { budgetMs: BUDGET_MS },
);

check(
  'ring of 2: a consumer that gives up leaves its bit, and nothing else',
  {
    setup: () => ring(2),
    cpus: {
      producer: (c) => produce(c, 1, 2, FOR_EVER),
      consumer: [(c) => consume(c, 1, 0), (c) => consume(c, 1, 0), (c) => consume(c, 2, 0)],
    },
    final: isWhole,
    reachable: {
      'it gave up, and went on': ({ gaveUp, got }) => gaveUp.consumer > 0 && got.length > 0,
    },
    words: names.lookup,
  },
  { budgetMs: BUDGET_MS },
);

/** Values that one side has published, by its position word. */
function published(words: Words, position: number): number {
  return Atomics.load(words, position) >> 1;
}

check(
  'ring of 1: a side dies, its successor goes on where it had published',
  {
    setup: () => ring(1),
    cpus: {
      producer: (c) => produce(c, 1, 2, FOR_EVER),
      consumer: (c) => consume(c, 2, FOR_EVER),
    },
    onDeath: (c, dead) => {
      if (dead === 'producer') {
        ringTakeOverProducer(c.words, 0);
        for (let n = published(c.words, RingRecord.fields.tail.at); n < 2; n++) {
          produce(c, 11 + n, 11 + n, FOR_EVER);
        }
      } else {
        ringTakeOverConsumer(c.words, 0);
        while (published(c.words, RingRecord.fields.head.at) < 2) consume(c, 1, FOR_EVER);
      }
    },
    // The n-th value is n, or 10 + n from the successor. A value that a dead consumer had taken and
    // not noted is gone, and nothing else.
    final: ({ got, words }, { dead }) => {
      const places = got.map((value) => value % 10).join();
      if (ringPop(words, 0) !== RING_EMPTY) return false;
      return places === '1,2' || (dead[0] === 'consumer' && (places === '1' || places === '2'));
    },
    reachable: {
      'the producer died behind one value': ({ got }) => got.join() === '1,12',
      'the producer died behind both': ({ got }, { dead }) =>
        dead[0] === 'producer' && got.join() === '1,2',
      'the consumer died with a value in its hands': ({ got }) => got.length === 1,
      'the consumer died behind none': ({ got }, { dead }) =>
        dead[0] === 'consumer' && got.join() === '1,2',
    },
    words: names.lookup,
  },
  // Anywhere: no hand slot and no straight line protects a ring, and none has to.
  { budgetMs: BUDGET_MS, crash: 'any' },
);
