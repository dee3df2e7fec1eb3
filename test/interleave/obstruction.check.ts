/**
 * A CPU that stops outside a lock blocks nobody, and in a lock-free structure it blocks nobody anywhere:
 * it dies, nobody recovers it, and the others come to their ends all the same.
 */
import { check, model } from '@umbuf/interleave/vitest';
import {
  type Cpu,
  leaveCpu,
  lockMutex,
  markDead,
  MutexRecord,
  recover,
  refcountInit,
  refcountLoad,
  refcountRelease,
  taggedInit,
  taggedPop,
  taggedPush,
  unlockMutex,
} from '@umbuf/memory';
import { BUDGET_MS, type Machine, machine } from './support/arena.ts';
import { ArenaWords } from './support/words.ts';

const OPTIONS = { budgetMs: BUDGET_MS, crash: 'any' } as const;

function section(cpu: Cpu, lock: number): void {
  lockMutex(cpu, lock);
  cpu.words[lock + MutexRecord.words]! += 1;
  unlockMutex(cpu, lock);
}

const NUMBERS: Readonly<Record<string, number>> = { victim: 0, a: 1, b: 2 };

/** Whether the CPU holds the lock or waits for it: its hand slot says so. */
function isInside({ arena }: Machine, { handTop }: Cpu): boolean {
  return arena.words[handTop] !== 0;
}

const lock = new ArenaWords();
check(
  'obstruction: a CPU that stops outside the lock blocks nobody',
  {
    prepare: () => {
      const made = machine(lock, { cpus: 4 });
      lock.place(MutexRecord, made.scratch, 'lock');
      return made;
    },
    setup: (made: Machine) => ({ ...made, recoveries: { count: 0 } }),
    cpus: {
      victim: (c) => section(c.cpus[0]!, c.scratch),
      a: (c) => section(c.cpus[1]!, c.scratch),
      b: (c) => section(c.cpus[2]!, c.scratch),
    },
    // Who holds the lock, or waits for it and may have swallowed a wake-up, is recovered. Who stops
    // outside, nobody sees to.
    onDeath: (c, dead) => {
      const number = NUMBERS[dead]!;
      if (!isInside(c, c.cpus[number]!)) return;
      c.recoveries.count++;
      const { incarnation } = c.cpus[number]!;
      markDead(c.cpus[3]!, number, incarnation);
      // Ends: what makes a recovery busy is another CPU's progress.
      while (recover(c.cpus[3]!, number, incarnation) === 'busy');
      leaveCpu(c.cpus[3]!);
    },
    final: (c) => {
      const done = c.arena.words[c.scratch + MutexRecord.words]!;
      return Atomics.load(c.arena.words, c.scratch) === 0 && done >= 2 && done <= 3;
    },
    reachable: {
      'one stopped outside, and the others went on': (c, { dead }) =>
        dead.length === 1 && c.recoveries.count === 0,
      'one stopped inside': (c) => c.recoveries.count === 1,
    },
    words: lock.lookup,
  },
  { ...OPTIONS, crash: 'interrupt-points' },
);

interface Counted {
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly last: number[];
}

interface Stack {
  readonly longs: BigInt64Array<SharedArrayBuffer>;
  readonly words: Int32Array<SharedArrayBuffer>;
}

check(
  'obstruction: a CPU that stops anywhere in the tagged stack blocks nobody',
  {
    setup: (): Stack => {
      const buffer = new SharedArrayBuffer(80);
      const made = { longs: new BigInt64Array(buffer), words: new Int32Array(buffer) };
      taggedInit(made.longs, 0);
      taggedPush(made.longs, made.words, 0, 16, 0);
      return made;
    },
    operations: {
      push: ({ longs, words }: Stack, node: number) => taggedPush(longs, words, 0, node, 0),
      pop: ({ longs, words }: Stack) => taggedPop(longs, words, 0, 0),
    },
    cpus: {
      victim: [['pop'], ['push', 32]],
      other: [['push', 48], ['pop'], ['pop']],
    },
    // What the dead one had begun has happened, or has not.
    linearizable: { ...model.stack({ empty: 0 }), initial: [16] },
    reachable: {
      'the victim stopped in its push, which had no effect': (_, { dead, history }) =>
        dead[0] === 'victim' &&
        history.some(
          ({ name, returned, invoked, args }) =>
            name === 'push' && args[0] === 32 && invoked >= 0 && returned < 0,
        ),
      'nobody stopped': (_, { dead }) => dead.length === 0,
    },
    words: { 0: 'head: node', 4: 'head: tag', 16: 'link 16', 32: 'link 32', 48: 'link 48' },
  },
  OPTIONS,
);

check(
  'obstruction: a CPU that stops with its reference leaks the object, and no more',
  {
    setup: (): Counted => {
      const words = new Int32Array(new SharedArrayBuffer(16));
      refcountInit(words, 0, 3);
      return { words, last: [] };
    },
    cpus: Object.fromEntries(
      ['victim', 'a', 'b'].map((name, cpu) => [
        name,
        (o: Counted) => {
          if (refcountRelease(o.words, 0)) o.last.push(cpu);
        },
      ]),
    ),
    final: (o: Counted) => {
      const left = refcountLoad(o.words, 0);
      // The dead one released or did not; if it was the last it may have had no time to say so.
      return left === 0 ? o.last.length <= 1 : left === 1 && o.last.length === 0;
    },
    reachable: {
      'its reference stayed': (o: Counted) => refcountLoad(o.words, 0) === 1,
    },
    words: { 0: 'count' },
  },
  OPTIONS,
);
