/**
 * Waiting for pages: whoever puts a run back gives it to those who wait for one, who give up
 * meanwhile, or die; or dies himself at any point of it.
 */
import { check } from '@umbuf/interleave/vitest';
import {
  checkPagePool,
  type Cpu,
  enterCpu,
  freePageCount,
  leaveCpu,
  markDead,
  PageSleepFailure,
  PagePool,
  putPages,
  recover,
  releaseSlot,
  reserveSlot,
  sleepForPages,
  takePages,
} from '@umbuf/memory';
import { areHandsEmpty, BUDGET_MS, type Machine, machine } from './support/arena.ts';
import { ArenaWords } from './support/words.ts';

const FOREVER: number = Number.POSITIVE_INFINITY;

const NUMBERS: Readonly<Record<string, number>> = { a: 0, b: 1, holder: 2 };

interface Context extends Machine {
  /** Hand slots of the holder, CPU 2, with the runs that it puts back. */
  readonly runs: readonly number[];
  /** What each CPU's sleep returned. */
  readonly got: number[];
}

/**
 * No page is free: the holder has runs of these lengths, the last CPU, which supervises, all others.
 */
function exhausted(words: ArenaWords, lengths: readonly number[]): Context {
  const made = machine(words, { cpus: 4 });
  const holder = made.cpus[2]!;
  const runs: number[] = [];
  for (const length of lengths) {
    runs.push(reserveSlot(holder));
    takePages(holder, length, 0, runs.at(-1)!);
  }
  takePages(made.cpus[3]!, freePageCount(made.arena), 0, reserveSlot(made.cpus[3]!));
  return { ...made, runs, got: [] };
}

const setup = (made: Context): Context => ({ ...made, got: [] });

/** Waits, writes into the pages, and puts them back. */
function waitAndPut(c: Context, number: number, pages: number, timeoutMs: number): void {
  const cpu: Cpu = c.cpus[number]!;
  enterCpu(cpu);
  const slot = reserveSlot(cpu);
  const address = sleepForPages(cpu, pages, 0, slot, timeoutMs);
  c.got[number] = address;
  if (address > 0) {
    // Plain: nobody else may have the run.
    for (let page = 0; page < pages; page++) cpu.words[(address >> 2) + page * 1024] = number + 1;
    for (let page = 0; page < pages; page++) {
      if (cpu.words[(address >> 2) + page * 1024] !== number + 1)
        throw new Error('page was written');
    }
    putPages(cpu, slot);
  }
  releaseSlot(cpu, slot);
  leaveCpu(cpu);
}

function putRuns(c: Context): void {
  const cpu = c.cpus[2]!;
  enterCpu(cpu);
  // From the last: a slot is given back with those above it.
  for (const slot of [...c.runs].reverse()) {
    putPages(cpu, slot);
    releaseSlot(cpu, slot);
  }
  leaveCpu(cpu);
}

/** What a supervisor does after an exit event. */
function supervise(c: Context, name: string): void {
  const supervisor = c.cpus[3]!;
  const dead = NUMBERS[name]!;
  const { incarnation } = c.cpus[dead]!;
  markDead(supervisor, dead, incarnation);
  // Ends: what makes a recovery busy is another CPU's progress.
  while (recover(supervisor, dead, incarnation) === 'busy');
  leaveCpu(supervisor);
}

/** The pool is whole, its queue empty, and `free` pages are in it. */
function isWhole(c: Context, free: number): boolean {
  const wrong = checkPagePool(c.cpus.at(-1)!, 0);
  if (wrong.length > 0) throw new Error(wrong.join('; '));
  const waiters = c.arena.words[c.arena.poolTable + PagePool.fields.waitHead.at];
  if (waiters !== 0) throw new Error('somebody still waits');
  return areHandsEmpty({ ...c, cpus: c.cpus.slice(0, 3) }) && freePageCount(c.arena) === free;
}

const waits = (c: Context): bigint =>
  c.arena.longs[(c.arena.poolTable + PagePool.fields.waits.at) >> 1]!;

const two = new ArenaWords();
check(
  'pages: two wait for the run that a third puts back',
  {
    prepare: () => exhausted(two, [1]),
    setup,
    cpus: {
      a: (c) => waitAndPut(c, 0, 1, FOREVER),
      b: (c) => waitAndPut(c, 1, 1, FOREVER),
      holder: putRuns,
    },
    final: (c) => c.got[0]! > 0 && c.got[0] === c.got[1] && isWhole(c, 1),
    words: two.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const lengths = new ArenaWords();
check(
  'pages: a long run is not waited for by who wants a short one, and gets its pages in the end',
  {
    prepare: () => exhausted(lengths, [1, 1, 2]),
    setup,
    cpus: {
      a: (c) => waitAndPut(c, 0, 3, FOREVER),
      b: (c) => waitAndPut(c, 1, 1, FOREVER),
      holder: putRuns,
    },
    final: (c) => c.got[0]! > 0 && c.got[1]! > 0 && isWhole(c, 4),
    reachable: { 'both waited': (c) => waits(c) === 2n },
    words: lengths.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const timed = new ArenaWords();
check(
  'pages: a waiter gives up while its run comes',
  {
    prepare: () => exhausted(timed, [1]),
    setup,
    cpus: {
      // No time at all: it is in the queue, and gives up unless it was given the run there.
      hasty: (c) => waitAndPut(c, 0, 1, 0),
      patient: (c) => waitAndPut(c, 1, 1, FOREVER),
      holder: putRuns,
    },
    final: (c) => c.got[1]! > 0 && isWhole(c, 1),
    reachable: {
      'it gave up': (c) => c.got[0] === PageSleepFailure.timeout,
      'it was given the run': (c) => c.got[0]! > 0,
    },
    words: timed.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const deaths = new ArenaWords();
check(
  'death: of who waits for pages, and of who puts them back',
  {
    prepare: () => exhausted(deaths, [1]),
    setup,
    cpus: {
      a: (c) => waitAndPut(c, 0, 1, FOREVER),
      b: (c) => waitAndPut(c, 1, 1, FOREVER),
      holder: putRuns,
    },
    onDeath: supervise,
    final: (c, { dead }) =>
      (['a', 'b'] as const).every((name) => dead.includes(name) || c.got[NUMBERS[name]!]! > 0) &&
      isWhole(c, 1),
    reachable: {
      'a waiter died in the queue, or with the run': (c, { dead }) =>
        dead[0] === 'a' && waits(c) === 2n,
      'the holder died': (_, { dead }) => dead[0] === 'holder',
      'a waiter died with the run that it was given': (c, { dead }) =>
        dead[0] === 'a' && c.got[0]! > 0 && waits(c) === 2n,
    },
    words: deaths.lookup,
  },
  { budgetMs: BUDGET_MS, crash: 'interrupt-points' },
);
