/**
 * Options of a check, with their defaults, and what they mean for the machine and the search.
 */
import type { RunOptions } from './runtime/program.ts';
import type { SearchOptions } from './search/portfolio.ts';
import { parse } from './search/schedule.ts';
import type { StoredSchedule } from './search/store.ts';

/** How an outcome of a table is judged; one that is not listed is forbidden. */
export type Expectation = 'acceptable' | 'interesting' | 'forbidden';

/**
 * Where CPUs die: where V8 can stop a worker (function entries, loop back edges, waits, and the entry
 * of every Atomics call but notify, before its effect), or anywhere.
 */
export type CrashMode = 'interrupt-points' | 'any';

/** Deaths in a run. */
export interface CrashOptions {
  readonly mode: CrashMode;
  /** Deaths in a run, at most. Default 1. */
  readonly max?: number;
  /**
   * The recoverer (`onDeath`) may die too; a fresh one takes over. It is told of the recoverer's
   * death first, then of those whose recovery was not finished. Default false.
   */
  readonly recoverer?: boolean;
}

/** How to explore. Every field has a default. */
export interface CheckOptions {
  /** Milliseconds of search. Default 2000. */
  readonly budgetMs?: number;
  /**
   * Times the budget that the search may go on for while a `reachable` outcome is missing and nothing
   * has failed. Default 8: a busy machine gets through fewer schedules in the same time.
   */
  readonly patience?: number;
  /** Largest preemption bound, -1 for none. Default 2. */
  readonly preemptions?: number;
  /** Partial-order reduction. Default true. */
  readonly reduction?: boolean;
  /** PCT and uniform random. Default true. */
  readonly random?: boolean;
  /** Runs at most. Default: no limit. */
  readonly maxRuns?: number;
  /** Seed of the random strategies; printed. Default 1. */
  readonly seed?: number;
  /** Data race detection. Default true; off, plain accesses are scheduling points. */
  readonly race?: boolean;
  /** Scheduling steps of a run before it is cut (and counted). Default 2000. */
  readonly stepLimit?: number;
  /** Rounds of a spin loop without effect before it is folded. Default 2. */
  readonly spinLimit?: number;
  /** Waits may return without a notify. Default false: the specification has no such wake-up. */
  readonly spurious?: boolean;
  /** Which sleeper a notify wakes. Default 'fifo', as specified. */
  readonly notifyOrder?: 'fifo' | 'any';
  /** CPUs that die. A mode alone means one death in a run, never of the recoverer. Default 'none'. */
  readonly crash?: 'none' | CrashMode | CrashOptions;
  /** Expectations of a table of outcomes. */
  readonly outcomes?: Readonly<Record<string, Expectation>>;
  /** The i-th (from 0) of n parts of the search. Default [0, 1]. A RangeError when there is none. */
  readonly shard?: readonly [number, number];
  /** Follow this schedule only. */
  readonly replay?: string;
  /** Schedules that failed before; run first. */
  readonly stored?: readonly StoredSchedule[];
  /** Shrink the schedule of a failure. Default true. */
  readonly shrink?: boolean;
  /**
   * Drop operations and CPUs that the failure does not need. Default: for races and
   * linearizability, where every part of a scenario is a valid scenario.
   */
  readonly minimise?: boolean;
}

/** How runs are made. */
export function runOptions(options: CheckOptions): RunOptions {
  const race = options.race ?? true;
  const crash = crashOptions(options.crash ?? 'none');
  return {
    race,
    plainPoints: !race,
    stepLimit: options.stepLimit ?? 2000,
    spinLimit: options.spinLimit ?? 2,
    spurious: options.spurious ?? false,
    notifyOrder: options.notifyOrder ?? 'fifo',
    crash: crash?.mode ?? 'none',
    deaths: crash?.max ?? 1,
    recovererDies: crash?.recoverer ?? false,
  };
}

function crashOptions(crash: NonNullable<CheckOptions['crash']>): CrashOptions | null {
  if (crash === 'none') return null;
  if (typeof crash === 'string') return { mode: crash };
  const { max = 1 } = crash;
  if (!Number.isInteger(max) || max < 1 || max > 8) {
    throw new RangeError(`interleave: crash.max is a number of deaths from 1 to 8, not ${max}`);
  }
  return crash;
}

/** `patience` where nothing is said. */
export const PATIENCE = 8;

/** How far to search. */
export function searchOptions(options: CheckOptions): SearchOptions {
  return {
    budgetMs: options.budgetMs ?? 2000,
    patience: Math.max(1, options.patience ?? PATIENCE),
    preemptions: options.preemptions ?? 2,
    reduction: options.reduction ?? true,
    random: options.random ?? true,
    seed: options.seed ?? 1,
    maxRuns: options.maxRuns ?? Number.POSITIVE_INFINITY,
    shard: part(options.shard ?? [0, 1]),
    stored: (options.stored ?? []).map(({ schedule }) => parse(schedule)),
  };
}

/** A shard that exists: one that does not would explore nothing, and say that all is well. */
function part(shard: readonly [number, number]): readonly [number, number] {
  const [i, n] = shard;
  if (!Number.isInteger(i) || !Number.isInteger(n) || i < 0 || i >= n) {
    throw new RangeError(`interleave: there is no part ${i} of ${n} (parts count from 0)`);
  }
  return shard;
}
