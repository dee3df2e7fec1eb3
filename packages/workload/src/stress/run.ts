/** One stress run as `umbuf stress` reports it. */

import type { Violation } from '../scenario/scenario.ts';
import type { ZoneStatistics } from '@umbuf/uma';
import { type RunOptions, type RunOutcome, type SessionOptions, StressSession } from './session.ts';

export type StressOptions = RunOptions & Omit<SessionOptions, 'scenarios'>;

/** What `umbuf stress --json` prints. */
export interface StressReport {
  readonly ok: boolean;
  readonly scenario: string;
  readonly cpus: number;
  readonly seed: number;
  readonly level: string;
  readonly seconds: number;
  readonly allocs: number;
  readonly frees: number;
  /** Items still in users' hands at the end: allocs - frees. */
  readonly live: number;
  readonly violations: readonly Violation[];
  readonly perCpu: readonly {
    readonly cpu: number;
    readonly operations: number;
    readonly allocs: number;
    readonly frees: number;
    readonly operationsPerSecond: number;
    readonly heapUsed: number;
  }[];
  readonly zones: readonly ZoneStatistics[];
  /** After everything was given back and drained. */
  readonly pagesAtEnd: number;
  readonly largestFreeRunAtEnd: number;
}

/** Runs one scenario. Rejects only when it cannot run; what it finds is in the report. */
export async function runStress(options: StressOptions): Promise<StressReport> {
  await using session = await StressSession.open({
    scenarios: [options.scenario],
    cpus: options.cpus,
    level: options.level,
    divisor: options.divisor ?? 1,
  });
  const outcome = await session.run(options);
  return reportOf(options, outcome, session);
}

/** The report of one run of a session. */
export function reportOf(
  options: StressOptions,
  outcome: RunOutcome,
  session: StressSession,
): StressReport {
  const { results, violations, stalled } = outcome;
  const allocs = results.reduce((sum, result) => sum + result.takes, 0);
  const frees = results.reduce((sum, result) => sum + result.gives, 0);
  return {
    ok: violations.length === 0,
    scenario: outcome.scenario.name,
    cpus: options.cpus,
    seed: options.seed,
    level: options.level,
    seconds: outcome.seconds,
    allocs,
    frees,
    live: allocs - frees,
    violations,
    perCpu: results.map((result) => ({
      cpu: result.index,
      operations: result.operations,
      allocs: result.takes,
      frees: result.gives,
      operationsPerSecond: Math.round(result.operations / Math.max(result.seconds, 1e-3)),
      heapUsed: result.heapUsed,
    })),
    zones: outcome.zones,
    pagesAtEnd: stalled ? 0 : session.pagesInUse(),
    largestFreeRunAtEnd: stalled ? 0 : session.largestFreeRun(),
  };
}
