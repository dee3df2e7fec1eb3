/**
 * Recovery that is not alone: two CPUs recover the same dead one, and a CPU that wants the dead one's
 * lock takes it over meanwhile. The dead is made so beforehand, at its worst: with a lock and two runs
 * of pages in its hands, a claim on another CPU and a request unanswered.
 */
import { check } from '@umbuf/interleave/vitest';
import {
  checkPagePool,
  claimedState,
  CpuRecord,
  type CpuOptions,
  CpuState,
  enterCpu,
  freePageCount,
  leaveCpu,
  lockMutex,
  markDead,
  MutexRecord,
  putPages,
  recover,
  type RecoverResult,
  releaseSlot,
  reserveSlot,
  STATE_KIND_MASK,
  takePages,
  unlockMutex,
} from '@umbuf/memory';
import { areHandsEmpty, BUDGET_MS, type Machine, machine } from './support/arena.ts';
import { ArenaWords } from './support/words.ts';

const DEAD = 0;
const C = CpuRecord.fields;

interface Context extends Machine {
  readonly free: number;
  readonly results: RecoverResult[];
}

function stateOf({ arena }: Machine, number: number): number {
  return arena.cpuTable + number * CpuRecord.words;
}

/** CPU 0 has gone without a word; the mutex at `scratch` is its. */
function prepare(
  words: ArenaWords,
  cpus: number,
  options: readonly CpuOptions[] = [],
): Omit<Context, 'results'> {
  const made = machine(words, { bytes: 131_072, cpus }, options);
  words.place(MutexRecord, made.scratch, 'lock');
  const free = freePageCount(made.arena);
  const cpu = made.cpus[DEAD]!;
  enterCpu(cpu);
  takePages(cpu, 2, 0, reserveSlot(cpu));
  takePages(cpu, 1, 0, reserveSlot(cpu));
  lockMutex(cpu, made.scratch);
  // A request that it has not answered.
  Atomics.add(made.arena.words, stateOf(made, DEAD) + C.posted.at, 1);
  return { ...made, free };
}

/** As a supervisor does, until it is done. */
function superviseUntilDone(c: Context, number: number): void {
  const cpu = c.cpus[number]!;
  const { incarnation } = c.cpus[DEAD]!;
  markDead(cpu, DEAD, incarnation);
  let result = recover(cpu, DEAD, incarnation);
  // Ends: what makes a recovery busy is another CPU's progress.
  while (result === 'busy') result = recover(cpu, DEAD, incarnation);
  c.results.push(result);
  leaveCpu(cpu);
}

/** The dead is offline, with nothing in its hands, nothing unanswered, and everything is back. */
function isRecovered(c: Context): boolean {
  const { words } = c.arena;
  const base = stateOf(c, DEAD);
  if ((Atomics.load(words, base) & STATE_KIND_MASK) !== CpuState.offline) return false;
  if (Atomics.load(words, base + C.posted.at) !== Atomics.load(words, base + C.answered.at)) {
    return false;
  }
  if (Atomics.load(words, c.scratch) !== 0 || words[base + C.entered.at] !== 0) return false;
  const wrong = checkPagePool(c.cpus[1]!, 0);
  if (wrong.length > 0) throw new Error(wrong.join('; '));
  return areHandsEmpty(c) && freePageCount(c.arena) === c.free;
}

function isIdle(c: Context, number: number): boolean {
  return (Atomics.load(c.arena.words, stateOf(c, number)) & STATE_KIND_MASK) === CpuState.idle;
}

const setup = (made: Omit<Context, 'results'>): Context => ({ ...made, results: [] });

const twice = new ArenaWords();
check(
  'recovery: two CPUs recover one, what it held goes back once',
  {
    prepare: () => prepare(twice, 3),
    setup,
    cpus: {
      first: (c) => superviseUntilDone(c, 1),
      second: (c) => superviseUntilDone(c, 2),
    },
    final: (c) => isRecovered(c) && c.results.toSorted().join() === 'nothing,recovered',
    reachable: {
      'the second did it': (c) => c.results[0] === 'recovered' && c.results.length === 2,
    },
    words: twice.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const stolen = new ArenaWords();
check(
  "recovery: a CPU that wants the dead one's lock, and one that recovers it",
  {
    prepare: () => prepare(stolen, 3),
    setup,
    cpus: {
      wants: (c) => {
        const cpu = c.cpus[1]!;
        lockMutex(cpu, c.scratch);
        c.arena.words[c.scratch + MutexRecord.words]! += 1;
        unlockMutex(cpu, c.scratch);
      },
      recovers: (c) => {
        superviseUntilDone(c, 2);
        // The lock works, whoever freed it.
        lockMutex(c.cpus[2]!, c.scratch);
        c.arena.words[c.scratch + MutexRecord.words]! += 1;
        unlockMutex(c.cpus[2]!, c.scratch);
        leaveCpu(c.cpus[2]!);
      },
    },
    final: (c) => isRecovered(c) && c.arena.words[c.scratch + MutexRecord.words] === 2,
    reachable: {
      'the lock was taken over before the recovery freed it': (c) =>
        c.arena.words[c.scratch + MutexRecord.words] === 2 && c.results[0] === 'recovered',
    },
    words: stolen.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const two = new ArenaWords();
check(
  'recovery: of two dead, each with the lock that the recovery of the other needs',
  {
    prepare: () => {
      const made = machine(two, { bytes: 131_072, cpus: 4 });
      two.place(MutexRecord, made.scratch, 'lock');
      const free = freePageCount(made.arena);
      const [first, second] = made.cpus;
      enterCpu(first!);
      takePages(first!, 2, 0, reserveSlot(first!));
      enterCpu(second!);
      takePages(second!, 1, 0, reserveSlot(second!));
      // The second died in the page pool: whoever puts pages back meets its lock.
      lockMutex(second!, made.arena.poolTable);
      return { ...made, free };
    },
    setup,
    cpus: {
      recovers: (c) => {
        const cpu = c.cpus[2]!;
        for (const dead of [0, 1]) markDead(cpu, dead, c.cpus[dead]!.incarnation);
        for (const dead of [0, 1]) {
          while (recover(cpu, dead, c.cpus[dead]!.incarnation) === 'busy');
        }
        leaveCpu(cpu);
      },
      allocates: (c) => {
        const cpu = c.cpus[3]!;
        enterCpu(cpu);
        // Meets the lock of the dead too, and may take it over.
        c.results.push(takePages(cpu, 1, 0, reserveSlot(cpu)) === 0 ? 'nothing' : 'recovered');
        leaveCpu(cpu);
      },
    },
    final: (c) => {
      for (const dead of [0, 1]) {
        const kind = Atomics.load(c.arena.words, stateOf(c, dead)) & STATE_KIND_MASK;
        if (kind !== CpuState.offline) return false;
      }
      return (
        checkPagePool(c.cpus[2]!, 0).length === 0 &&
        freePageCount(c.arena) === c.free - 1 &&
        c.results[0] === 'recovered'
      );
    },
    reachable: { 'pages were allocated': (c) => c.results[0] === 'recovered' },
    words: two.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const claim = new ArenaWords();
check(
  'recovery: the claim of a dead CPU is ended, by its owner or by the recovery',
  {
    prepare: () => {
      const made = machine(claim, { bytes: 131_072, cpus: 3 });
      const free = freePageCount(made.arena);
      enterCpu(made.cpus[DEAD]!);
      // It died at the entry of the store that would have ended its claim on CPU 1.
      const state = stateOf(made, 1);
      const idle = Atomics.load(made.arena.words, state);
      Atomics.store(made.arena.words, state, claimedState(idle, DEAD));
      return { ...made, free };
    },
    setup,
    cpus: {
      claimed: (c) => {
        enterCpu(c.cpus[1]!);
        leaveCpu(c.cpus[1]!);
      },
      recovers: (c) => superviseUntilDone(c, 2),
    },
    final: (c) => isRecovered(c) && isIdle(c, 1) && isIdle(c, 2),
    reachable: { 'it was recovered': (c) => c.results[0] === 'recovered' },
    words: claim.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const busy = new ArenaWords();
check(
  'recovery: by a CPU that may not block, beside one that holds a lock which it needs',
  {
    prepare: () => prepare(busy, 3, [{}, {}, { mayBlock: false }]),
    setup,
    cpus: {
      allocates: (c) => {
        const cpu = c.cpus[1]!;
        const slot = reserveSlot(cpu);
        if (takePages(cpu, 1, 0, slot) !== 0) putPages(cpu, slot);
        releaseSlot(cpu, slot);
      },
      recovers: (c) => {
        const cpu = c.cpus[2]!;
        const { incarnation } = c.cpus[DEAD]!;
        let result = recover(cpu, DEAD, incarnation);
        // Ends: it is busy while the other holds the lock of the page pool.
        for (; result === 'busy'; result = recover(cpu, DEAD, incarnation)) c.results.push(result);
        c.results.push(result);
        leaveCpu(cpu);
      },
    },
    final: (c) => isRecovered(c) && c.results.at(-1) === 'recovered',
    reachable: {
      'it was busy, and began again': (c) => c.results[0] === 'busy',
      'it met no lock': (c) => c.results.length === 1,
    },
    words: busy.lookup,
  },
  { budgetMs: BUDGET_MS },
);
