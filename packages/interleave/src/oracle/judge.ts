/**
 * The oracles at the end of a run that went well so far: reachable states are counted, then
 * linearizability, leaks and the outcome are judged, in this order.
 */
import type { CheckOptions } from '../options.ts';
import type { Machine } from '../runtime/machine.ts';
import type { Outcome } from '../runtime/program.ts';
import type { End, Scenario } from '../scenario.ts';
import type { Judge } from '../search/portfolio.ts';
import { isLinearizable } from './linearizability.ts';

/** What is counted over all runs. */
export interface Tally {
  readonly reachable: Record<string, number>;
  readonly outcomes: Record<string, { count: number; expect: string }>;
}

/** The judge of a scenario; without a tally it only judges. */
export function judgeOf(scenario: Scenario, options: CheckOptions, tally: Tally | null): Judge {
  const { linearizable, leaks, outcome, reachable } = scenario;
  const predicates = Object.entries(reachable ?? {});
  if (tally !== null) for (const [name] of predicates) tally.reachable[name] = 0;
  return (machine: Machine): Outcome | null => {
    const end: End = { dead: machine.dead, history: machine.history };
    if (tally !== null) {
      for (const [name, holds] of predicates) {
        if (machine.runDirectly(holds(machine.context, end))) {
          tally.reachable[name] = (tally.reachable[name] ?? 0) + 1;
        }
      }
    }
    if (linearizable !== undefined && !isLinearizable(machine.history, linearizable)) {
      const message = `no order of the operations is that of a ${linearizable.name}`;
      return { kind: 'linearizability', message };
    }
    const lost = leaks === undefined ? undefined : machine.runDirectly(leaks(machine.context, end));
    if (typeof lost === 'string' && lost !== '') return { kind: 'leak', message: lost };
    if (outcome === undefined) return null;
    const id = String(machine.runDirectly(outcome(machine.context, end)));
    const expect = options.outcomes?.[id] ?? (options.outcomes ? 'forbidden' : 'acceptable');
    if (tally !== null) {
      const row = (tally.outcomes[id] ??= { count: 0, expect });
      row.count++;
    }
    return expect === 'forbidden' ? { kind: 'outcome', message: `forbidden outcome ${id}` } : null;
  };
}
