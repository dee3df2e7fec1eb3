/**
 * Limits and wait cells: units are handed over, never lost, whoever comes, gives up or goes first.
 */
import { check } from '@umbuf/interleave/vitest';
import {
  checkLimit,
  leaveCpu,
  LimitRecord,
  limitCount,
  limitInit,
  releaseSlot,
  releaseUnits,
  reserveSlot,
  reserveUnits,
  setLimitMax,
  SleepFailure,
  sleepForUnits,
  WaitCell,
} from '@umbuf/memory';
import { areHandsEmpty, BUDGET_MS, type Machine, machine } from './support/arena.ts';
import { ArenaWords } from './support/words.ts';

const L = LimitRecord.fields;

interface Context extends Machine {
  /** What each request got, by CPU. */
  readonly got: number[];
}

function prepare(words: ArenaWords, cpus: number, max: number, taken: number): Machine {
  const made = machine(words, { cpus });
  const limit = made.scratch;
  words.place(LimitRecord, limit, 'limit');
  for (let cell = 0; cell < cpus; cell++) {
    words.place(WaitCell, limit + LimitRecord.words + cell * WaitCell.words, `cell ${cell}`);
  }
  limitInit(made.cpus[0]!, limit, max, cpus);
  // Units that are out before the first step, in nobody's slot.
  if (taken > 0) Atomics.store(made.arena.words, limit + L.items.at, taken);
  return made;
}

/** Takes `n` units without waiting, or asleep for at most `timeoutMs`. */
function take({ cpus, scratch, got }: Context, number: number, n: number, timeoutMs: number): void {
  const cpu = cpus[number]!;
  const slot = reserveSlot(cpu);
  let units = reserveUnits(cpu, scratch, n, slot);
  if (units === 0) units = sleepForUnits(cpu, scratch, n, slot, timeoutMs);
  got[number] = units;
  // From the slot into the caller's own record.
  cpu.words[slot] = 0;
  releaseSlot(cpu, slot);
  leaveCpu(cpu);
}

function give({ cpus, scratch }: Context, number: number, n: number): void {
  releaseUnits(cpus[number]!, scratch, n);
  leaveCpu(cpus[number]!);
}

/** The limit's own invariants, nobody asleep, and the count is what the requests say. */
function isWhole(c: Context, count: number): boolean {
  const wrong = checkLimit(c.cpus[0]!, c.scratch);
  if (wrong.length > 0) throw new Error(wrong.join('; '));
  return limitCount(c.cpus[0]!, c.scratch) === count && areHandsEmpty(c);
}

const slept = (c: Context): bigint => c.arena.longs[(c.scratch + L.sleeps.at) >> 1]!;
const timeouts = (c: Context): bigint => c.arena.longs[(c.scratch + L.timeouts.at) >> 1]!;
const setup = (made: Machine): Context => ({ ...made, got: [] });

for (const spurious of [false, true]) {
  const words = new ArenaWords();
  check(
    `limit: two sleepers, one unit at a time${spurious ? ', spurious wake-ups' : ''}`,
    {
      prepare: () => prepare(words, 3, 1, 1),
      setup,
      cpus: {
        a: (c) => {
          take(c, 0, 1, Number.POSITIVE_INFINITY);
          give(c, 0, 1);
        },
        b: (c) => {
          take(c, 1, 1, Number.POSITIVE_INFINITY);
          give(c, 1, 1);
        },
        holder: (c) => give(c, 2, 1),
      },
      final: (c) => isWhole(c, 0) && c.got.join() === '1,1',
      reachable: {
        'both slept': (c) => slept(c) === 2n,
        'nobody slept': (c) => slept(c) === 0n,
      },
      words: words.lookup,
    },
    { budgetMs: BUDGET_MS, spurious },
  );
}

const timed = new ArenaWords();
check(
  'limit: a sleeper gives up while its unit comes',
  {
    prepare: () => prepare(timed, 3, 1, 1),
    setup,
    cpus: {
      // No time at all: it registers, and gives up unless it is granted at once.
      hasty: (c) => take(c, 0, 1, 0),
      patient: (c) => take(c, 1, 1, Number.POSITIVE_INFINITY),
      holder: (c) => {
        give(c, 2, 1);
        // One unit for each, so that the patient one gets its own whatever the hasty one does.
        setLimitMax(c.cpus[2]!, c.scratch, 2);
        leaveCpu(c.cpus[2]!);
      },
    },
    final: (c) => c.got[1] === 1 && isWhole(c, c.got[0] === 1 ? 2 : 1),
    reachable: {
      'it gave up': (c) => c.got[0] === SleepFailure.timeout && timeouts(c) === 1n,
      'it registered and was granted': (c) => c.got[0] === 1 && c.got[1] === 1 && slept(c) === 2n,
    },
    words: timed.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const two = new ArenaWords();
check(
  'limit: two CPUs give while one sleeps, nothing is counted twice',
  {
    prepare: () => prepare(two, 3, 2, 2),
    setup,
    cpus: {
      sleeper: (c) => take(c, 0, 1, Number.POSITIVE_INFINITY),
      a: (c) => give(c, 1, 1),
      b: (c) => give(c, 2, 1),
    },
    final: (c) => isWhole(c, 1) && c.got[0] === 1,
    reachable: { 'it slept': (c) => slept(c) === 1n, 'it did not': (c) => slept(c) === 0n },
    words: two.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const last = new ArenaWords();
check(
  'limit: one gives up at the moment at which the other gives',
  {
    prepare: () => prepare(last, 2, 1, 1),
    setup,
    cpus: {
      hasty: (c) => take(c, 0, 1, 0),
      holder: (c) => give(c, 1, 1),
    },
    final: (c) => isWhole(c, c.got[0] === 1 ? 1 : 0),
    reachable: {
      'it gave up': (c) => c.got[0] === SleepFailure.timeout,
      'it slept and was granted': (c) => c.got[0] === 1 && slept(c) === 1n,
    },
    words: last.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const bulk = new ArenaWords();
check(
  'limit: never more units out than the maximum, requests of two included',
  {
    prepare: () => prepare(bulk, 2, 2, 0),
    setup,
    cpus: {
      a: (c) => {
        take(c, 0, 2, Number.POSITIVE_INFINITY);
        give(c, 0, c.got[0]!);
      },
      b: (c) => {
        take(c, 1, 2, Number.POSITIVE_INFINITY);
        give(c, 1, c.got[1]!);
      },
    },
    always: (c) => (Atomics.load(c.arena.words, c.scratch + L.items.at) & 0x3fff_ffff) <= 2,
    final: (c) => isWhole(c, 0),
    reachable: { 'one slept': (c) => slept(c) === 1n },
    words: bulk.lookup,
  },
  { budgetMs: BUDGET_MS },
);
