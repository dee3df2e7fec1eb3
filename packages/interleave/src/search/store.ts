/**
 * Failing schedules as they are stored beside a check: the schedule, and what each step did, so
 * that a replay on changed code names the first place where it goes another way.
 */
import type { Trace } from '../report/trace.ts';

/** A stored failure. */
export interface StoredSchedule {
  readonly schedule: string;
  readonly kind: string;
  /** `cpu kind where word` of each event. */
  readonly steps: readonly string[];
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

/** The first step at which a run differs from a stored one; null: none. */
export function divergence(stored: StoredSchedule, trace: Trace): string | null {
  const made = signature(trace).steps;
  const n = Math.max(made.length, stored.steps.length);
  for (let i = 0; i < n; i++) {
    if (made[i] === stored.steps[i]) continue;
    return `access ${i + 1}: expected ${stored.steps[i] ?? 'the end'}, got ${made[i] ?? 'the end'}`;
  }
  return null;
}
