/**
 * Standing still: while one CPU reads under `quiesce`, what it gets as exact was there at one moment,
 * whether the others were idle, entered meanwhile, or came to a checkpoint in the middle of a long job.
 */
import { check } from '@umbuf/interleave/vitest';
import { checkpoint, CpuRecord, enterCpu, leaveCpu, type Quiesced, quiesce } from '@umbuf/memory';
import { areHandsEmpty, BUDGET_MS, type Machine, machine } from './support/arena.ts';
import { ArenaWords } from './support/words.ts';

const C = CpuRecord.fields;
/** From the scratch page on: two statistics of CPU 0 that move together, and two of CPU 1. */
const PAIR = {
  name: 'pair',
  words: 2,
  fields: {
    first: { at: 0, type: 'i32', kind: 'statistic', what: 'pairs begun' },
    second: { at: 1, type: 'i32', kind: 'statistic', what: 'pairs ended' },
  },
} as const;

interface Context extends Machine {
  readonly results: Quiesced<readonly [number, number]>[];
}

function prepare(words: ArenaWords, cpus: number): Machine {
  const made = machine(words, { cpus });
  words.place(PAIR, made.scratch, 'pair');
  return made;
}

const setup = (made: Machine): Context => ({ ...made, results: [] });

/** Both statistics, one behind the other: they differ only if somebody moved between the reads. */
function ask(c: Context, by: number): void {
  const { words } = c.arena;
  const read = (): readonly [number, number] => {
    const first = Atomics.load(words, c.scratch);
    return [first, Atomics.load(words, c.scratch + 1)];
  };
  c.results.push(quiesce(c.cpus[by]!, read, Number.POSITIVE_INFINITY));
  leaveCpu(c.cpus[by]!);
}

function move({ arena, scratch }: Machine): void {
  arena.words[scratch]! += 1;
  arena.words[scratch + 1]! += 1;
}

/** A short job. */
function work(c: Machine, number: number): void {
  enterCpu(c.cpus[number]!);
  move(c);
  leaveCpu(c.cpus[number]!);
}

/** A long one, which answers in its middle. */
function loop(c: Machine, number: number): void {
  const cpu = c.cpus[number]!;
  enterCpu(cpu);
  move(c);
  checkpoint(cpu);
  move(c);
  leaveCpu(cpu);
}

const isExact = (c: Context): boolean =>
  areHandsEmpty(c) &&
  c.results.every(({ exact, value, unanswered }) => {
    return exact && unanswered.length === 0 && value[0] === value[1];
  });
const got = (c: Context): number => c.results[0]!.value[0];
const enters = (c: Machine, number: number): bigint =>
  c.arena.longs[(c.arena.cpuTable + number * CpuRecord.words + C.enters.at) >> 1]!;

const short = new ArenaWords(true);
check(
  'quiesce: short jobs, before, behind and between two readings',
  {
    prepare: () => prepare(short, 2),
    setup,
    cpus: { worker: [(c) => work(c, 0), (c) => work(c, 0)], asker: (c) => ask(c, 1) },
    final: (c) => isExact(c) && c.results.length === 1,
    reachable: {
      'before both': (c) => got(c) === 0,
      'between them': (c) => got(c) === 1,
      'behind both': (c) => got(c) === 2,
    },
    words: short.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const long = new ArenaWords(true);
check(
  'quiesce: a long job stands still at its checkpoint',
  {
    prepare: () => prepare(long, 2),
    setup,
    cpus: { worker: (c) => loop(c, 0), asker: (c) => ask(c, 1) },
    final: (c) => isExact(c) && c.results.length === 1,
    reachable: { 'in its middle': (c) => got(c) === 1 && enters(c, 0) === 2n },
    words: long.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const both = new ArenaWords(true);
check(
  'quiesce: two askers, one behind the other, and a worker',
  {
    prepare: () => prepare(both, 3),
    setup,
    cpus: { worker: (c) => work(c, 0), first: (c) => ask(c, 1), second: (c) => ask(c, 2) },
    final: (c) => isExact(c) && c.results.length === 2,
    reachable: {
      'between the two': (c) => got(c) !== c.results[1]!.value[0],
    },
    words: both.lookup,
  },
  { budgetMs: BUDGET_MS },
);
