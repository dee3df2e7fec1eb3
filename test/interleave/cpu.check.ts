/**
 * Who may touch a per-CPU cache: enter, leave, claim, requests and answers (docs/decisions/0007),
 * over a cache of one plain word for each CPU and a list of one counter. What a drain reports as
 * drained must be on the list.
 */
import { check } from '@umbuf/interleave/vitest';
import {
  claimCpu,
  claimedState,
  type Cpu,
  CpuRecord,
  CpuUnavailableError,
  drainCpu,
  type DrainResult,
  enterCpu,
  leaveCpu,
  lockMutex,
  MutexRecord,
  unlockMutex,
} from '@umbuf/memory';
import { areHandsEmpty, BUDGET_MS, type Machine, machine } from './support/arena.ts';
import { ArenaWords } from './support/words.ts';

const C = CpuRecord.fields;
/** From the scratch page on: the list's mutex, the list, a cache word for each CPU. */
const LIST = 32;
const CACHES = 64;

interface Context extends Machine {
  readonly results: DrainResult[];
  /** What was on the list when a drain returned, by drainer. */
  readonly found: number[];
}

/** As uma's answer: the cache of this CPU goes to the list, under the list's lock. */
function answer(cpu: Cpu): void {
  const { words } = cpu;
  const scratch = (cpu.arena.pages - 1) << 10;
  lockMutex(cpu, scratch);
  words[scratch + LIST]! += words[scratch + CACHES + cpu.number]!;
  words[scratch + CACHES + cpu.number] = 0;
  unlockMutex(cpu, scratch);
}

/** As uma's claim: one line from the compare-exchange to the store of the state. */
function claim(cpu: Cpu, target: number, seen: number): boolean {
  const { words } = cpu;
  const scratch = (cpu.arena.pages - 1) << 10;
  const state = cpu.arena.cpuTable + target * CpuRecord.words;
  const claimed = claimedState(seen, cpu.number);
  lockMutex(cpu, scratch);
  const won = Atomics.compareExchange(words, state, seen, claimed) === seen;
  if (won) {
    words[scratch + LIST]! += words[scratch + CACHES + target]!;
    words[scratch + CACHES + target] = 0;
    Atomics.store(words, state, seen);
    Atomics.notify(words, state);
  }
  unlockMutex(cpu, scratch);
  return won;
}

function prepare(words: ArenaWords, cpus: number): Machine {
  const made = machine(words, { cpus });
  words.place(MutexRecord, made.scratch, 'list lock');
  made.arena.hooks.answers.push(answer);
  return made;
}

/** A job: puts one item into the own cache. */
function work({ cpus, scratch }: Machine, number: number): void {
  const cpu = cpus[number]!;
  enterCpu(cpu);
  cpu.words[scratch + CACHES + number]! += 1;
  leaveCpu(cpu);
}

function drain(c: Context, by: number, target: number, timeoutMs: number): void {
  const cpu = c.cpus[by]!;
  const result = drainCpu(cpu, target, claim, timeoutMs);
  lockMutex(cpu, c.scratch);
  const found = cpu.words[c.scratch + LIST]!;
  unlockMutex(cpu, c.scratch);
  c.results.push(result);
  c.found[by] = found;
  leaveCpu(cpu);
}

/** Every item is in one place, and everybody is idle. */
function isWhole(c: Context, items: number): boolean {
  const { words, cpus, cpuTable } = c.arena;
  let total = words[c.scratch + LIST]!;
  for (let number = 0; number < cpus; number++) {
    total += words[c.scratch + CACHES + number]!;
    if ((Atomics.load(words, cpuTable + number * CpuRecord.words) & 0xf) !== 1) return false;
  }
  return total === items && areHandsEmpty(c);
}

const statistic = (c: Machine, at: number, number: number): bigint =>
  c.arena.longs[(c.arena.cpuTable + number * CpuRecord.words + at) >> 1]!;
const setup = (made: Machine): Context => ({ ...made, results: [], found: [] });

const one = new ArenaWords();
check(
  'drain: an owner that works and leaves is drained, by claim or by answer',
  {
    prepare: () => {
      const made = prepare(one, 2);
      // Cached before the drain begins: drained must find it.
      made.arena.words[made.scratch + CACHES] = 1;
      return made;
    },
    setup,
    cpus: {
      owner: [(c) => work(c, 0), (c) => work(c, 0)],
      drainer: (c) => drain(c, 1, 0, Number.POSITIVE_INFINITY),
    },
    final: (c) => isWhole(c, 3) && c.results.join() === 'drained' && c.found[1]! >= 1,
    reachable: {
      'by a claim': (c) => statistic(c, C.claims.at, 1) === 1n,
      'by an answer': (c) =>
        statistic(c, C.answers.at, 0) >= 1n && statistic(c, C.claims.at, 1) === 0n,
      'the owner met the claim': (c) =>
        statistic(c, C.claims.at, 1) === 1n && statistic(c, C.enters.at, 0) === 2n,
    },
    words: one.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const both = new ArenaWords();
check(
  'drain: two drainers, each gets its own answer',
  {
    prepare: () => {
      const made = prepare(both, 3);
      made.arena.words[made.scratch + CACHES] = 1;
      return made;
    },
    setup,
    cpus: {
      owner: (c) => work(c, 0),
      first: (c) => drain(c, 1, 0, Number.POSITIVE_INFINITY),
      second: (c) => drain(c, 2, 0, Number.POSITIVE_INFINITY),
    },
    final: (c) =>
      isWhole(c, 2) &&
      c.results.join() === 'drained,drained' &&
      c.found[1]! >= 1 &&
      c.found[2]! >= 1,
    reachable: {
      'both posted': (c) => Atomics.load(c.arena.words, c.arena.cpuTable + C.posted.at) === 2,
      'both claimed': (c) =>
        statistic(c, C.claims.at, 1) === 1n && statistic(c, C.claims.at, 2) === 1n,
    },
    words: both.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const mutual = new ArenaWords();
check(
  'drain: two CPUs drain each other',
  {
    prepare: () => {
      const made = prepare(mutual, 2);
      // Told apart in the sum.
      made.arena.words[made.scratch + CACHES] = 1;
      made.arena.words[made.scratch + CACHES + 1] = 16;
      return made;
    },
    setup,
    cpus: {
      a: (c) => drain(c, 0, 1, Number.POSITIVE_INFINITY),
      b: (c) => drain(c, 1, 0, Number.POSITIVE_INFINITY),
    },
    final: (c) =>
      isWhole(c, 17) &&
      c.results.join() === 'drained,drained' &&
      (c.found[0]! & 16) !== 0 &&
      (c.found[1]! & 1) !== 0,
    reachable: {
      'each found the other running': (c) =>
        Atomics.load(c.arena.words, c.arena.cpuTable + C.posted.at) === 1 &&
        Atomics.load(c.arena.words, c.arena.cpuTable + CpuRecord.words + C.posted.at) === 1,
    },
    words: mutual.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const bounded = new ArenaWords();
check(
  'drain: a drainer without time says so, and its request is answered later',
  {
    prepare: () => prepare(bounded, 2),
    setup,
    cpus: {
      owner: (c) => work(c, 0),
      drainer: (c) => drain(c, 1, 0, 0),
    },
    final: (c) => {
      const { words, cpuTable } = c.arena;
      const posted = Atomics.load(words, cpuTable + C.posted.at);
      const answered = Atomics.load(words, cpuTable + C.answered.at);
      // A claim answers nothing: it leaves the request to the owner's next look.
      return isWhole(c, 1) && (c.results[0] === 'drained' || answered === posted);
    },
    reachable: {
      unanswered: (c) => c.results[0] === 'unanswered',
      drained: (c) => c.results[0] === 'drained',
    },
    words: bounded.lookup,
  },
  { budgetMs: BUDGET_MS },
);

interface Claims {
  readonly made: Machine;
  readonly claimed: string[];
}

/** A thread that takes a number and uses it, or finds none. */
function claimAny({ made, claimed }: Claims): void {
  try {
    const cpu = claimCpu(made.arena, { manualLeave: true });
    claimed.push(`${cpu.number}`);
    enterCpu(cpu);
    leaveCpu(cpu);
  } catch (error) {
    if (!(error instanceof CpuUnavailableError)) throw error;
    claimed.push('none');
  }
}

const numbers = new ArenaWords();
check(
  'claim: two threads never get one number',
  {
    prepare: () => {
      const made = machine(numbers, { cpus: 2 });
      // Both numbers offline again, as a fresh arena has them.
      for (let number = 0; number < 2; number++) {
        Atomics.store(made.arena.words, made.arena.cpuTable + number * CpuRecord.words, 0);
      }
      return made;
    },
    setup: (made: Machine): Claims => ({ made, claimed: [] }),
    cpus: { a: claimAny, b: claimAny, c: claimAny },
    final: ({ claimed }) => claimed.toSorted().join() === '0,1,none',
    reachable: {
      'the last came away with nothing': ({ claimed }) => claimed[2] === 'none',
    },
    words: numbers.lookup,
  },
  { budgetMs: BUDGET_MS },
);
