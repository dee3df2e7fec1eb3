/**
 * `umbuf stress --self-check`: a stress run that cannot fail proves nothing. Six faults are planted
 * one after another, and each must be reported with its invariant within 5 s.
 */

import { type FaultName, faults } from './faults.ts';
import { runStress } from './run.ts';

export interface SelfCheckResult {
  readonly fault: FaultName;
  readonly found: boolean;
  /** The invariant of the first violation that names it. */
  readonly invariant: string;
  readonly message: string;
  readonly seconds: number;
}

/** Each within this time, workers' start included. */
const BOUND_S = 5;

/** Runs all six; `say` gets a line each. */
export async function selfCheck(
  seed: number,
  say: (text: string) => void,
): Promise<SelfCheckResult[]> {
  const results: SelfCheckResult[] = [];
  for (const fault of Object.keys(faults) as FaultName[]) {
    const from = performance.now();
    const report = await runStress({
      scenario: scenarioFor(fault),
      cpus: 2,
      seconds: fault === 'lost wake-up' ? 2 : 1,
      seed,
      // Without checks: the oracle and fsck must see it, not an error on the way.
      level: 'none',
      fault,
      stallMs: 3000,
    });
    const seconds = (performance.now() - from) / 1000;
    const wanted = faults[fault];
    const hit = report.violations.find(({ invariant }) =>
      wanted.some((number) => invariant === number || invariant.startsWith(`${number}:`)),
    );
    results.push({
      fault,
      found: hit !== undefined && seconds <= BOUND_S,
      invariant: hit?.invariant ?? '-',
      message: hit?.message ?? report.violations[0]?.message ?? 'nothing was reported',
      seconds,
    });
    const last = results.at(-1)!;
    say(`${fault}: ${last.found ? 'reported' : 'NOT reported'} (${last.message})`);
  }
  return results;
}

function scenarioFor(fault: FaultName): string {
  if (fault === 'lost wake-up') return 'limit';
  return fault === 'skipped lock' ? 'producer-consumer' : 'larson';
}
