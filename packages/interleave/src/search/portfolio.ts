/**
 * The portfolio: stored failures, preemption bounds 0 to 2 (iterative), partial-order reduction,
 * then PCT of depth 2 to 5 and uniform random in turn, until something fails, everything is
 * explored, or the budget is used. Says what was covered and what was not.
 */
import type { Machine } from '../runtime/machine.ts';
import type { Outcome } from '../runtime/program.ts';
import { BoundedSearch } from './bounded.ts';
import { PartialOrderSearch } from './dpor.ts';
import { PriorityWalk, RandomWalk } from './random.ts';
import { Follow } from './schedule.ts';
import { type Strategy } from './strategy.ts';

/** How far to search. */
export interface SearchOptions {
  /** Milliseconds for everything. */
  readonly budgetMs: number;
  /** Times the budget while `wanting`. */
  readonly patience: number;
  /** Largest preemption bound; -1: none. */
  readonly preemptions: number;
  readonly reduction: boolean;
  readonly random: boolean;
  readonly seed: number;
  /** Runs at most, over all phases. */
  readonly maxRuns: number;
  readonly shard: readonly [number, number];
  /** Schedules to run first. */
  readonly stored: readonly (readonly number[])[];
}

/** What one strategy did. */
export interface Phase {
  readonly name: string;
  runs: number;
  steps: number;
  ms: number;
  /** Explored all it is meant to. */
  complete: boolean;
  /** Runs given up as equivalent to others. */
  redundant: number;
}

/** The result of a search. */
export interface SearchResult {
  readonly phases: Phase[];
  readonly failure: { readonly outcome: Outcome; readonly choices: number[] } | null;
  runs: number;
  steps: number;
  /** Runs cut at the step limit. */
  cut: number;
  /** Runs in which a spin loop was folded. */
  folded: number;
  /** Every schedule, or one of every class, was explored. */
  exhaustive: '' | 'schedules' | 'classes';
}

/** Judges a run that ended well so far: linearizability, outcomes, leaks, reachability. */
export type Judge = (machine: Machine) => Outcome | null;

/**
 * Searches until failure, completeness or the end of the budget; while `wanting` says that something is
 * still to be seen, at random for some times the budget.
 */
export function search(
  machine: Machine,
  options: SearchOptions,
  judge: Judge,
  wanting: () => boolean = () => false,
): SearchResult {
  const result = {
    phases: [] as Phase[],
    failure: null as SearchResult['failure'],
    runs: 0,
    steps: 0,
    cut: 0,
    folded: 0,
    exhaustive: '' as SearchResult['exhaustive'],
  };
  // What is made once for all runs is no part of the search.
  if (machine.program.prepare !== undefined) machine.start();
  const begin = performance.now();

  /** True when the search is over. */
  const phase = (make: () => Strategy, until: number, into?: Phase): boolean => {
    let strategy = make();
    const from = performance.now();
    const entry = into ?? {
      name: strategy.name,
      runs: 0,
      steps: 0,
      ms: 0,
      complete: false,
      redundant: 0,
    };
    if (into === undefined) result.phases.push(entry);
    let over = false;
    for (let i = 0; ; i++) {
      // A look at the clock costs a fraction of a run; every eighth is enough.
      if ((i & 7) === 7 && performance.now() - begin > until) break;
      if (result.runs >= options.maxRuns) {
        over = true;
        break;
      }
      if (!strategy.begin()) {
        entry.complete = true;
        break;
      }
      let outcome = machine.run(strategy);
      if (machine.learned) {
        // A loop turned out to have no bound: what was explored assumed otherwise.
        if (into !== undefined) continue;
        strategy = make();
        result.runs -= entry.runs;
        entry.runs = 0;
        continue;
      }
      const redundant = strategy.end(machine);
      entry.steps += machine.steps;
      result.steps += machine.steps;
      if (machine.folded > 0) result.folded++;
      if (redundant) {
        entry.redundant++;
        continue;
      }
      entry.runs++;
      result.runs++;
      if (outcome === null) outcome = judge(machine);
      if (outcome === null) continue;
      if (outcome.kind === 'step limit') {
        result.cut++;
        continue;
      }
      result.failure = { outcome, choices: machine.choices.slice() };
      over = true;
      break;
    }
    entry.ms += performance.now() - from;
    return over;
  };

  const { budgetMs } = options;
  const { crash, notifyOrder } = machine.options;
  const [shard, shards] = options.shard;
  for (const stored of options.stored) {
    if (phase(() => new Follow(stored), budgetMs)) return result;
  }
  const third = budgetMs / 3;
  for (let bound = 0; bound <= options.preemptions; bound++) {
    let strategy = new BoundedSearch(bound);
    const make = (): Strategy => {
      strategy = new BoundedSearch(bound);
      strategy.shard(shard, shards);
      return strategy;
    };
    if (phase(make, third)) return result;
    const last = result.phases.at(-1) as Phase;
    if (!last.complete) break;
    if (!strategy.cut) {
      // Of a shard: all of its part.
      result.exhaustive = 'schedules';
      return result;
    }
  }
  if (options.reduction && crash === 'none' && notifyOrder === 'fifo' && shard === 0) {
    if (phase(() => new PartialOrderSearch(machine.n), performance.now() - begin + third))
      return result;
    if ((result.phases.at(-1) as Phase).complete && result.cut === 0) {
      result.exhaustive = 'classes';
      return result;
    }
  }
  if (!options.random) return result;
  const seed = (options.seed + shard * 0x9e3779b9) | 0;
  const walks: Strategy[] = [];
  for (let depth = 2; depth <= 5; depth++) {
    walks.push(new PriorityWalk(seed + depth, depth), new RandomWalk(seed + 16 + depth));
  }
  const entries = new Map<string, Phase>();
  const end = (): number => (wanting() ? budgetMs * options.patience : budgetMs);
  while (performance.now() - begin < end() && result.runs < options.maxRuns) {
    for (const walk of walks) {
      let entry = entries.get(walk.name);
      if (entry === undefined) {
        entry = { name: walk.name, runs: 0, steps: 0, ms: 0, complete: false, redundant: 0 };
        entries.set(walk.name, entry);
        result.phases.push(entry);
      }
      if (phase(() => new Batch(walk, 64), end(), entry)) return result;
      entry.complete = false;
      if (performance.now() - begin >= end()) break;
    }
  }
  return result;
}

/** So many runs of a strategy that never ends. */
class Batch implements Strategy {
  readonly name: string;
  readonly #inner: Strategy;
  #left: number;

  constructor(inner: Strategy, runs: number) {
    this.#inner = inner;
    this.#left = runs;
    this.name = inner.name;
  }

  begin(): boolean {
    return this.#left-- > 0 && this.#inner.begin();
  }

  pick(machine: Machine, enabled: number): number {
    return this.#inner.pick(machine, enabled);
  }

  end(machine: Machine): boolean {
    return this.#inner.end(machine);
  }
}
