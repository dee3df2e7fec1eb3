/**
 * The mutex: mutual exclusion over plain words, no lost wake-up, `LockBusyError` with nothing lost.
 */
import { check } from '@umbuf/interleave/vitest';
import { type Cpu, LockBusyError, lockMutex, MutexRecord, unlockMutex } from '@umbuf/memory';
import { areHandsEmpty, BUDGET_MS, type Machine, machine } from './support/arena.ts';
import { ArenaWords } from './support/words.ts';

const WAITS = MutexRecord.fields.waits.at;

/** A mutex at `scratch`, a plain word that it protects behind it. */
function prepare(words: ArenaWords, cpus: number): Machine {
  const made = machine(words, { cpus });
  words.place(MutexRecord, made.scratch, 'lock');
  return made;
}

/** One critical section: a plain read, modify and write. */
function increment(cpu: Cpu, lock: number): void {
  const { words } = cpu;
  lockMutex(cpu, lock);
  const value = words[lock + 32]!;
  words[lock + 32] = value + 1;
  unlockMutex(cpu, lock);
}

/** As `increment`; false, with nothing changed, when the lock is busy. */
function tryIncrement(cpu: Cpu, lock: number): boolean {
  try {
    increment(cpu, lock);
  } catch (error) {
    if (error instanceof LockBusyError) return false;
    throw error;
  }
  return true;
}

/** Free, nobody counted as waiting, all hands empty, and so many sections done. */
function isQuiet(made: Machine, sections: number): boolean {
  const { arena, scratch } = made;
  const { words } = arena;
  if (Atomics.load(words, scratch) !== 0) return false;
  if (Atomics.load(words, scratch + MutexRecord.fields.waiting.at) !== 0) return false;
  return words[scratch + 32] === sections && areHandsEmpty(made);
}

const slept = ({ arena, scratch }: Machine): boolean => arena.longs[(scratch + WAITS) >> 1]! > 0n;

const two = new ArenaWords();
check(
  'mutex: two CPUs, two sections each',
  {
    prepare: () => prepare(two, 2),
    setup: (made: Machine) => made,
    cpus: {
      a: [(m) => increment(m.cpus[0]!, m.scratch), (m) => increment(m.cpus[0]!, m.scratch)],
      b: [(m) => increment(m.cpus[1]!, m.scratch), (m) => increment(m.cpus[1]!, m.scratch)],
    },
    final: (m) => isQuiet(m, 4),
    reachable: { 'a CPU slept for the lock': slept },
    words: two.lookup,
  },
  { budgetMs: BUDGET_MS },
);

for (const spurious of [false, true]) {
  const words = new ArenaWords();
  check(
    `mutex: three CPUs, no wake-up is lost${spurious ? ', spurious ones come' : ''}`,
    {
      prepare: () => prepare(words, 3),
      setup: (made: Machine) => made,
      cpus: {
        a: (m) => increment(m.cpus[0]!, m.scratch),
        b: (m) => increment(m.cpus[1]!, m.scratch),
        c: (m) => increment(m.cpus[2]!, m.scratch),
      },
      final: (m) => isQuiet(m, 3),
      reachable: {
        'two CPUs slept at once': ({ arena, scratch }) =>
          arena.words[scratch + MutexRecord.fields.maxThreads.at] === 2,
      },
      words: words.lookup,
    },
    { budgetMs: BUDGET_MS, spurious },
  );
}

const busy = new ArenaWords();
check(
  'mutex: a CPU that may not block takes the lock or changes nothing',
  {
    prepare: () => {
      const made = machine(busy, { cpus: 2 }, [{}, { mayBlock: false }]);
      busy.place(MutexRecord, made.scratch, 'lock');
      return made;
    },
    setup: (made: Machine) => ({ made, taken: { count: 0 } }),
    cpus: {
      blocking: ({ made }) => increment(made.cpus[0]!, made.scratch),
      bounded: ({ made, taken }) => {
        if (tryIncrement(made.cpus[1]!, made.scratch)) taken.count++;
      },
    },
    final: ({ made, taken }) => isQuiet(made, 1 + taken.count),
    reachable: {
      'the lock was busy': ({ taken }) => taken.count === 0,
      'the lock was free': ({ taken }) => taken.count === 1,
    },
    words: busy.lookup,
  },
  { budgetMs: BUDGET_MS },
);
