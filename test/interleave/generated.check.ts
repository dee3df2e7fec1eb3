/**
 * Generated scenarios: short random programs of operations on the ring, the tagged stack, the limit
 * and the mutex, zones and shared mbufs, each against a sequential model. They look for what nobody
 * thought of writing down as a scenario. `UMBUF_EXPLORE_BUDGET_MS` makes more of them (nightly).
 */
import { check } from '@umbuf/interleave/vitest';
import {
  initRing,
  leaveCpu,
  LimitRecord,
  limitCount,
  limitInit,
  LockBusyError,
  lockMutex,
  MutexRecord,
  releaseSlot,
  releaseUnits,
  reserveSlot,
  reserveUnits,
  RING_EMPTY,
  ringPop,
  ringPopMany,
  ringPush,
  ringPushMany,
  RingRecord,
  taggedInit,
  taggedPop,
  taggedPush,
  taggedTop,
  unlockMutex,
  WaitCell,
} from '@umbuf/memory';
import { BUDGET_MS, machine, type Machine } from './support/arena.ts';
// @ts-expect-error -- the query is the explorer's; the types are those of ./models.ts
import { models as native } from './support/models.ts?native';
import { ArenaWords } from './support/words.ts';

const models: typeof import('./support/models.ts').models = native;

/** A scenario gets a hundred milliseconds, whatever the budget. */
const SCENARIOS: number = Math.max(1, Math.round(BUDGET_MS / 100));

const ringWords = new ArenaWords();
ringWords.place(RingRecord, 0, 'ring');

interface Ring {
  readonly words: Int32Array<SharedArrayBuffer>;
  /** The next value to push: all differ. */
  readonly next: { value: number };
}

check.ops(
  'ring of 2: generated pushes and pops, one by one and in batches',
  {
    setup: (): Ring => {
      const words = new Int32Array(new SharedArrayBuffer(512));
      initRing(words, 0, 2);
      return { words, next: { value: 1 } };
    },
    operations: {
      push: {
        cpus: [0],
        run: ({ words, next }: Ring) => {
          const value = next.value++;
          return [value, ringPush(words, 0, value) ? 1 : 0];
        },
      },
      pushMany: {
        cpus: [0],
        args: (random) => [1 + random.below(3)],
        run: ({ words, next }: Ring, count: number) => {
          const first = next.value;
          const values = new Int32Array(3);
          for (let i = 0; i < 3; i++) values[i] = next.value++;
          return [first, ringPushMany(words, 0, values, 0, count)];
        },
      },
      pop: {
        cpus: [1],
        run: ({ words }: Ring) => {
          const value = ringPop(words, 0);
          return value === RING_EMPTY ? '' : String(value);
        },
      },
      popMany: {
        cpus: [1],
        args: (random) => [1 + random.below(3)],
        run: ({ words }: Ring, count: number) => {
          const values = new Int32Array(3);
          const got = ringPopMany(words, 0, values, 0, count);
          return values.subarray(0, got).join();
        },
      },
    },
    linearizable: models.ring,
    reachable: {
      'a push met a full ring': (_, { history }) =>
        history.some(({ name, result }) => name === 'push' && (result as number[])[1] === 0),
      'a pop met an empty one': (_, { history }) =>
        history.some(({ name, result }) => name === 'pop' && result === ''),
      'a batch of two was taken': (_, { history }) =>
        history.some(({ name, result }) => name === 'popMany' && String(result).includes(',')),
    },
    words: ringWords.lookup,
  },
  { budgetMs: BUDGET_MS, iterations: SCENARIOS, opsPerThread: 4 },
);

interface Stack {
  readonly longs: BigInt64Array<SharedArrayBuffer>;
  readonly words: Int32Array<SharedArrayBuffer>;
  /** Nodes that each CPU has popped, and may push. */
  readonly held: number[][];
}

for (const threads of [2, 3]) {
  check.ops(
    `tagged stack: generated pops and pushes of what was popped, ${threads} CPUs`,
    {
      setup: (): Stack => {
        const buffer = new SharedArrayBuffer(80);
        const longs = new BigInt64Array(buffer);
        const words = new Int32Array(buffer);
        taggedInit(longs, 0);
        for (const node of [48, 32, 16]) taggedPush(longs, words, 0, node, 0);
        return { longs, words, held: [[], [], []] };
      },
      operations: {
        pop: {
          args: (_, cpu) => [cpu],
          run: ({ longs, words, held }: Stack, cpu: number) => {
            const node = taggedPop(longs, words, 0, 0);
            if (node !== 0) held[cpu]!.push(node);
            return node;
          },
        },
        // The oldest first, so that nodes come back in another order: the ground of ABA.
        push: {
          args: (_, cpu) => [cpu],
          run: ({ longs, words, held }: Stack, cpu: number) => {
            const node = held[cpu]!.shift() ?? 0;
            if (node === 0) taggedTop(longs, 0);
            else taggedPush(longs, words, 0, node, 0);
            return node;
          },
        },
      },
      linearizable: models.stack,
      reachable: {
        'a CPU popped what the other had pushed': (_, { history }) =>
          history.some(({ name, cpu, result }) =>
            history.some(
              (o) => name === 'push' && o.name === 'pop' && o.cpu !== cpu && o.result === result,
            ),
          ),
      },
      words: { 0: 'head: node', 4: 'head: tag', 16: 'link 16', 32: 'link 32', 48: 'link 48' },
    },
    { budgetMs: BUDGET_MS, iterations: SCENARIOS, threads, opsPerThread: 3 },
  );
}

interface Held extends Machine {
  readonly held: number[];
}

const limitWords = new ArenaWords();
check.ops(
  'limit of 2: generated reservations and releases, nobody waits',
  {
    prepare: () => {
      const made = machine(limitWords, { cpus: 3 });
      limitWords.place(LimitRecord, made.scratch, 'limit');
      limitWords.place(WaitCell, made.scratch + LimitRecord.words, 'cell');
      limitInit(made.cpus[0]!, made.scratch, 2, 1);
      return made;
    },
    setup: (made: Machine): Held => ({ ...made, held: [0, 0, 0] }),
    operations: {
      reserve: {
        args: (random, cpu) => [cpu, 1 + random.below(2)],
        run: ({ cpus, scratch, held }: Held, number: number, n: number) => {
          const cpu = cpus[number]!;
          const slot = reserveSlot(cpu);
          const units = reserveUnits(cpu, scratch, n, slot);
          held[number]! += units;
          // From the slot into the caller's own record.
          cpu.words[slot] = 0;
          releaseSlot(cpu, slot);
          leaveCpu(cpu);
          return units;
        },
      },
      release: {
        args: (_, cpu) => [cpu],
        run: ({ cpus, scratch, held }: Held, number: number) => {
          const cpu = cpus[number]!;
          const units = held[number]!;
          held[number] = 0;
          if (units === 0) limitCount(cpu, scratch);
          else releaseUnits(cpu, scratch, units);
          leaveCpu(cpu);
          return units;
        },
      },
    },
    // Exactly what was free at some moment, never more than the maximum out.
    linearizable: models.limit,
    always: (c) =>
      (Atomics.load(c.arena.words, c.scratch + LimitRecord.fields.items.at) & 0xff) <= 2,
    final: (c) => limitCount(c.arena, c.scratch) === c.held.reduce((a, b) => a + b),
    reachable: {
      'a request got less than it wanted': (_, { history }) =>
        history.some(
          ({ name, args, result }) => name === 'reserve' && result === 1 && args[1] === 2,
        ),
      'a request got nothing': (_, { history }) =>
        history.some(({ name, result }) => name === 'reserve' && result === 0),
    },
    words: limitWords.lookup,
  },
  { budgetMs: BUDGET_MS, iterations: SCENARIOS, threads: 3, opsPerThread: 3 },
);

/** One section under the lock; -1, with nothing changed, where a CPU may not block and it is busy. */
function section({ cpus, scratch }: Machine, number: number, add: number): number {
  const cpu = cpus[number]!;
  const { words } = cpu;
  try {
    lockMutex(cpu, scratch);
  } catch (error) {
    if (error instanceof LockBusyError) return -1;
    throw error;
  }
  const value = words[scratch + MutexRecord.words]!;
  words[scratch + MutexRecord.words] = value + add;
  unlockMutex(cpu, scratch);
  return value;
}

const mutexWords = new ArenaWords();
check.ops(
  'mutex: generated sections, one CPU of three may not block',
  {
    prepare: () => {
      const made = machine(mutexWords, { cpus: 3 }, [{}, {}, { mayBlock: false }]);
      mutexWords.place(MutexRecord, made.scratch, 'lock');
      return made;
    },
    setup: (made: Machine) => made,
    operations: {
      get: { args: (_, cpu) => [cpu, 0], run: section },
      add: { args: (random, cpu) => [cpu, 1 + random.below(9)], run: section },
    },
    linearizable: models.sections,
    final: ({ arena, scratch }) => Atomics.load(arena.words, scratch) === 0,
    reachable: {
      'the lock was busy for a CPU that may not block': (_, { history }) =>
        history.some(({ result }) => result === -1),
    },
    words: mutexWords.lookup,
  },
  { budgetMs: BUDGET_MS, iterations: SCENARIOS, threads: 3, opsPerThread: 2 },
);
