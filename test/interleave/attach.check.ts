/**
 * Numbers that come and go: a CPU is released while another drains it and a third wants its number.
 * Over the toy cache of one word for each CPU: what was cached is on the list, once, whoever put it there.
 */
import { check } from '@umbuf/interleave/vitest';
import {
  claimCpu,
  claimedState,
  type Cpu,
  CpuRecord,
  CpuUnavailableError,
  checkpoint,
  drainCpu,
  type DrainResult,
  enterCpu,
  leaveCpu,
  lockMutex,
  MutexRecord,
  releaseCpu,
  unlockMutex,
} from '@umbuf/memory';
import { BUDGET_MS, type Machine, machine } from './support/arena.ts';
import { ArenaWords } from './support/words.ts';

const C = CpuRecord.fields;
/** From the scratch page on: the list's mutex, the list, a cache word for each CPU. */
const LIST = 32;
const CACHES = 64;

interface Context {
  readonly made: Machine;
  readonly results: DrainResult[];
  /** What was on the list when the drain returned. */
  readonly found: number[];
  /** Numbers that newcomers got. */
  readonly claimed: string[];
}

function answer(cpu: Cpu): void {
  const { words } = cpu;
  const scratch = (cpu.arena.pages - 1) << 10;
  lockMutex(cpu, scratch);
  words[scratch + LIST]! += words[scratch + CACHES + cpu.number]!;
  words[scratch + CACHES + cpu.number] = 0;
  unlockMutex(cpu, scratch);
}

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

/** `cpus` numbers, the first of which has one thing cached. */
function prepare(words: ArenaWords, cpus: number): Machine {
  const made = machine(words, { cpus });
  words.place(MutexRecord, made.scratch, 'list lock');
  made.arena.hooks.answers.push(answer);
  made.arena.words[made.scratch + CACHES] = 1;
  return made;
}

function setup(made: Machine): Context {
  // `online` is the thread's own, and no part of the arena: a run before this one has cleared it.
  for (const cpu of made.cpus) cpu.online = true;
  return { made, results: [], found: [], claimed: [] };
}

/** Puts one thing into the own cache. */
function work(cpu: Cpu): void {
  if (cpu.words[cpu.entered] === 0) enterCpu(cpu);
  cpu.words[((cpu.arena.pages - 1) << 10) + CACHES + cpu.number]! += 1;
}

function drain(c: Context, by: number, target: number): void {
  const { cpus, scratch } = c.made;
  const cpu = cpus[by]!;
  c.results.push(drainCpu(cpu, target, claim, Number.POSITIVE_INFINITY));
  lockMutex(cpu, scratch);
  c.found.push(cpu.words[scratch + LIST]!);
  unlockMutex(cpu, scratch);
  leaveCpu(cpu);
}

/** A thread that wants number `wanted`, and uses it once. */
function attach(c: Context, wanted: number): void {
  try {
    const cpu = claimCpu(c.made.arena, { number: wanted, manualLeave: true });
    c.claimed.push(`${cpu.number}:${cpu.incarnation}`);
    work(cpu);
    releaseCpu(cpu);
  } catch (error) {
    if (!(error instanceof CpuUnavailableError)) throw error;
    c.claimed.push('none');
  }
}

/** Things on the list and in all caches, and every hand empty. */
function total({ made: { arena, scratch, cpus } }: Context): number {
  const { words } = arena;
  let sum = words[scratch + LIST]!;
  for (const { number, handTop } of cpus) {
    sum += words[scratch + CACHES + number]!;
    if (words[handTop] !== 0) throw new Error(`CPU ${number} holds something`);
  }
  return sum;
}

const kind = ({ made }: Context, number: number): number =>
  Atomics.load(made.arena.words, made.arena.cpuTable + number * CpuRecord.words) & 0xf;

const released = new ArenaWords();
check(
  'detach: a CPU is released while another drains it',
  {
    prepare: () => prepare(released, 2),
    setup,
    cpus: {
      owner: (c) => {
        work(c.made.cpus[0]!);
        releaseCpu(c.made.cpus[0]!);
      },
      drainer: (c) => drain(c, 1, 0),
    },
    final: (c) =>
      c.results[0] === 'drained' && c.found[0]! >= 1 && total(c) === 2 && kind(c, 0) === 0,
    reachable: {
      'it found the number offline': (c) => c.found[0] === 2,
      'it claimed the idle CPU': (c) => c.found[0] === 1,
    },
    words: released.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const reused = new ArenaWords();
check(
  'attach: a number is released, drained and taken again',
  {
    prepare: () => prepare(reused, 2),
    setup,
    cpus: {
      owner: (c) => {
        work(c.made.cpus[0]!);
        releaseCpu(c.made.cpus[0]!);
      },
      drainer: (c) => drain(c, 1, 0),
      newcomer: (c) => attach(c, 0),
    },
    final: (c) => {
      const [newcomer] = c.claimed;
      if (newcomer !== 'none' && newcomer !== '0:2') return false;
      const things = newcomer === 'none' ? 2 : 3;
      if (c.results[0] !== 'drained' || kind(c, 0) !== 0) return false;
      // Whoever goes offline takes nothing along.
      return total(c) === things && c.made.arena.words[c.made.scratch + CACHES] === 0;
    },
    reachable: {
      'the newcomer got the number, an incarnation on': (c) => c.claimed[0] === '0:2',
      'it came too early': (c) => c.claimed[0] === 'none',
    },
    words: reused.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const long = new ArenaWords();
check(
  'drain: an owner in a long loop answers each request once, at its checkpoint',
  {
    prepare: () => prepare(long, 2),
    setup,
    cpus: {
      owner: (c) => {
        const { cpus, scratch, arena } = c.made;
        work(cpus[0]!);
        // A loop of three rounds that ends early when the drainer is done.
        for (let n = 0; n < 3 && Atomics.load(arena.words, scratch + LIST + 16) === 0; n++) {
          checkpoint(cpus[0]!);
        }
        leaveCpu(cpus[0]!);
      },
      drainer: (c) => {
        const { cpus, scratch, arena } = c.made;
        // Only when the owner is in its loop, or there would be nothing to answer.
        if (kind(c, 0) === 2) drain(c, 1, 0);
        Atomics.store(arena.words, scratch + LIST + 16, 1);
        leaveCpu(cpus[1]!);
      },
    },
    final: (c) => {
      const { arena } = c.made;
      const posted = Atomics.load(arena.words, arena.cpuTable + C.posted.at);
      const answers = arena.longs[(arena.cpuTable + C.answers.at) >> 1]!;
      if (answers > BigInt(posted)) return false;
      return total(c) === 2 && (c.results.length === 0 || c.found[0] === 2);
    },
    reachable: {
      'it was drained by an answer': (c) =>
        c.results[0] === 'drained' &&
        c.made.arena.longs[(c.made.arena.cpuTable + CpuRecord.words + C.claims.at) >> 1] === 0n,
    },
    words: long.lookup,
  },
  { budgetMs: BUDGET_MS },
);
