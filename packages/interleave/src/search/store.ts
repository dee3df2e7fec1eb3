/**
 * Failing schedules as they are stored beside a check: the schedule, and what each step did, so
 * that a replay on changed code names the first place where it goes another way.
 */
import type { Trace } from '../report/trace.ts';
import { CPU_MASK, DIE } from '../runtime/choice.ts';

/** A stored failure. */
export interface StoredSchedule {
  readonly schedule: string;
  readonly kind: string;
  /** `cpu kind where word` of each event. */
  readonly steps: readonly string[];
  /** The same failure in the smallest part of the scenario that shows it, as its replay line has it. */
  readonly minimised?: { readonly replay: string; readonly steps: readonly string[] };
}

/** What to store of a failing run. */
export function signature(trace: Trace): StoredSchedule {
  return {
    schedule: trace.schedule,
    kind: trace.outcome?.kind ?? 'ok',
    steps: trace.events.map(
      ({ cpu, kind, where, word }) => `${trace.cpus[cpu] ?? cpu} ${kind} ${where} ${word}`,
    ),
  };
}

/** The events that a replay line was written for, if it is stored. */
export function stepsOf(
  stored: readonly StoredSchedule[],
  replay: string,
): readonly string[] | null {
  for (const { schedule, steps, minimised } of stored) {
    if (schedule === replay) return steps;
    if (minimised?.replay === replay) return minimised.steps;
  }
  return null;
}

/** The first choice that a replay could not make, and where its CPU stood; null: none. */
export function impossible(choices: readonly number[], trace: Trace): string | null {
  const { choices: made, cpus, events } = trace;
  const at = choices.findIndex((choice, i) => choice !== made[i]);
  if (at < 0) return null;
  const choice = choices[at] as number;
  const c = choice & CPU_MASK;
  const name = cpus[c];
  if (name === undefined) return `choice ${at + 1} is of CPU ${c}, and there are ${cpus.length}`;
  const what = (choice & DIE) === 0 ? `choice ${at + 1}, ${name},` : `the death of ${name}`;
  // Steps count from 1, so these are the events before it.
  const last = events.findLast(({ cpu, step }) => cpu === c && step <= at);
  const stands =
    last === undefined
      ? 'it has made no access yet'
      : `its last access is ${last.kind} ${last.word} at ${last.where}, step ${last.step}`;
  return `${what} cannot be made: ${stands}`;
}

/** The first step at which a run differs from a stored one; null: none. */
export function divergence(stored: Pick<StoredSchedule, 'steps'>, trace: Trace): string | null {
  const made = signature(trace).steps;
  const n = Math.max(made.length, stored.steps.length);
  for (let i = 0; i < n; i++) {
    if (made[i] === stored.steps[i]) continue;
    return `access ${i + 1}: expected ${stored.steps[i] ?? 'the end'}, got ${made[i] ?? 'the end'}`;
  }
  return null;
}
