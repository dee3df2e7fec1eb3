/**
 * Shrinks a scenario: drops bodies, and CPUs that have none left, as long as a short search still
 * finds the same kind of failure. Only for scenarios of which every part is a valid scenario.
 */
import { Machine } from '../runtime/machine.ts';
import type { FailureKind, Outcome, Program, RunOptions } from '../runtime/program.ts';
import { without } from '../scenario.ts';
import { type Judge, search, type SearchOptions } from './portfolio.ts';

/** A smaller program that fails in the same way, on its machine. */
export interface Small {
  program: Program;
  machine: Machine;
  failing: { outcome: Outcome; choices: number[] };
}

/** Drops bodies as long as a short search still finds the same kind of failure. */
export function minimise(
  program: Program,
  options: RunOptions,
  kind: FailureKind,
  settings: SearchOptions,
  judge: Judge,
): Small | null {
  const until = performance.now() + 1000;
  let best: Small | null = null;
  let improved = true;
  while (improved && performance.now() < until) {
    improved = false;
    const current: Program = best?.program ?? program;
    for (let c = 0; c < current.cpus.length && !improved; c++) {
      const { bodies } = current.cpus[c] as Program['cpus'][number];
      for (let i = 0; i < bodies.length && !improved; i++) {
        const candidate = without(current, c, i);
        if (candidate === null || performance.now() > until) continue;
        const machine = new Machine(candidate, options);
        const { failure } = search(machine, { ...settings, stored: [], budgetMs: 100 }, judge);
        if (failure === null || failure.outcome.kind !== kind) continue;
        best = { program: candidate, machine, failing: failure };
        improved = true;
      }
    }
  }
  return best;
}
