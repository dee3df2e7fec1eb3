/**
 * Shrinks a failing schedule: fewer switches, then fewer steps. Greedy over segments (maximal runs
 * of one CPU): swap neighbours, drop one, join one with the CPU's next. A candidate counts only if
 * it fails in the same way.
 */
import type { Machine } from '../runtime/machine.ts';
import type { Outcome } from '../runtime/program.ts';
import type { Judge } from './portfolio.ts';
import { Follow, switches } from './schedule.ts';

/** A schedule and how it ends. */
export interface Failing {
  readonly outcome: Outcome;
  readonly choices: number[];
}

function segments(schedule: readonly number[]): number[][] {
  const parts: number[][] = [];
  for (const choice of schedule) {
    const last = parts.at(-1);
    if (last !== undefined && last[0] === choice) last.push(choice);
    else parts.push([choice]);
  }
  return parts;
}

/** How a schedule ends; with the choices really made. */
export function replay(
  machine: Machine,
  schedule: readonly number[],
  judge: Judge,
): { outcome: Outcome | null; choices: number[] } {
  let outcome: Outcome | null;
  do {
    const follow = new Follow(schedule);
    follow.begin();
    outcome = machine.run(follow);
  } while (machine.learned);
  return { outcome: outcome ?? judge(machine), choices: machine.choices.slice() };
}

/** The smallest schedule found within `replays` attempts; never worse than the given one. */
export function shrink(
  machine: Machine,
  failing: Failing,
  judge: Judge,
  replays: number = 400,
): Failing {
  let best = failing;
  let left = replays;
  const better = (schedule: readonly number[]): boolean => {
    if (left-- <= 0) return false;
    const { outcome, choices: made } = replay(machine, schedule, judge);
    if (outcome === null || outcome.kind !== best.outcome.kind) return false;
    const gain = switches(best.choices) - switches(made);
    if (gain < 0 || (gain === 0 && made.length >= best.choices.length)) return false;
    best = { outcome, choices: made };
    return true;
  };
  let improved = true;
  while (improved && left > 0) {
    improved = false;
    const parts = segments(best.choices);
    for (let i = 0; i < parts.length && !improved; i++) {
      improved = better(parts.toSpliced(i, 1).flat());
      if (improved || i + 1 >= parts.length) continue;
      // Swap with the neighbour: both often melt into segments of their own CPU.
      const here = parts[i] as number[];
      const next = parts[i + 1] as number[];
      improved = better(parts.toSpliced(i, 2, next, here).flat());
      if (improved) break;
      const again = parts.findIndex((part, at) => at > i && part[0] === here[0]);
      if (again > i) {
        const moved = parts[again] as number[];
        const rest = parts.toSpliced(again, 1);
        improved = better(rest.toSpliced(i + 1, 0, moved).flat());
      }
      if (!improved && here.length > 1) {
        improved = better(parts.toSpliced(i, 1, here.slice(1)).flat());
      }
    }
  }
  return best;
}
