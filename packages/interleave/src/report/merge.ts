/** Merging of reports: of shards, or of the scenarios that `check.ops` has generated. */
import type { Phase } from '../search/portfolio.ts';
import { page } from './page/page.ts';
import type { CheckFailure, CheckReport } from './report.ts';
import { text } from './text.ts';

/**
 * Adds up the reports of one check: of shards, or of generated scenarios. The first failure wins;
 * `reachable` is reached when any part reached it.
 */
export function mergeReports(
  reports: readonly CheckReport[],
  generated: boolean = false,
): CheckReport {
  const first = reports[0];
  if (first === undefined) throw new TypeError('interleave: no reports to merge');
  const reachable: Record<string, number> = {};
  const outcomes: Record<string, { count: number; expect: string }> = {};
  const phases = new Map<string, Phase>();
  for (const report of reports) {
    for (const [what, n] of Object.entries(report.reachable)) {
      reachable[what] = (reachable[what] ?? 0) + n;
    }
    for (const [id, { count, expect }] of Object.entries(report.outcomes)) {
      const row = (outcomes[id] ??= { count: 0, expect });
      row.count += count;
    }
    for (const phase of report.phases) {
      const sum = phases.get(phase.name);
      if (sum === undefined) phases.set(phase.name, { ...phase });
      else {
        sum.runs += phase.runs;
        sum.steps += phase.steps;
        sum.ms += phase.ms;
        sum.redundant += phase.redundant;
        sum.complete &&= phase.complete;
      }
    }
  }
  const sum = (pick: (report: CheckReport) => number): number =>
    reports.reduce((total, report) => total + pick(report), 0);
  const missing = Object.entries(reachable).filter(([, n]) => n === 0);
  let failure: CheckFailure | null =
    reports.find((r) => r.failure !== null && r.failure.kind !== 'unreachable')?.failure ?? null;
  if (failure === null && missing.length > 0) {
    failure = reports.find((r) => r.failure !== null)?.failure ?? null;
  }
  const exhaustive = reports.every((r) => r.exhaustive !== '');
  const what = generated ? 'generated scenarios' : 'shards';
  const covered = exhaustive
    ? `${reports.length} ${what}, each explored completely`
    : `${reports.length} ${what}; ${reports.find((r) => r.exhaustive === '')?.covered}`;
  const merged: CheckReport = {
    ...first,
    ok: failure === null,
    failure,
    phases: [...phases.values()],
    runs: sum((r) => r.runs),
    steps: sum((r) => r.steps),
    ms: sum((r) => r.ms),
    cut: sum((r) => r.cut),
    folded: sum((r) => r.folded),
    exhaustive: generated && exhaustive ? 'classes' : '',
    covered,
    reachable,
    outcomes,
    notes: reports.flatMap((r) => r.notes),
    stored: generated ? null : (reports.find((r) => r.stored !== null)?.stored ?? null),
    text: () => text(merged),
    html: (read) => page(merged, read),
  };
  return merged;
}
