/**
 * Merging of reports: of the shards of a campaign, or of the scenarios that `check.ops` has
 * generated. Counts add up; what is said to be covered was covered by all parts together; a part
 * that is missing is a failure.
 */
import type { Phase } from '../search/portfolio.ts';
import { page } from './page/page.ts';
import type { CheckFailure, CheckReport } from './report.ts';
import { text } from './text.ts';

/**
 * Adds up the reports of one check: of shards, of several seeds, or of generated scenarios. The first
 * failure wins; `reachable` is reached when any part reached it. A shard that is missing fails the
 * merge (`'incomplete'`). Throws a TypeError for reports that do not belong together.
 */
export function mergeReports(
  reports: readonly CheckReport[],
  generated: boolean = false,
): CheckReport {
  const [first] = reports;
  if (first === undefined) throw new TypeError('interleave: no reports to merge');
  const shards = generated ? 1 : shardsOf(reports);
  const reachable: Record<string, number> = {};
  const outcomes: Record<string, { count: number; expect: string }> = {};
  for (const report of reports) {
    for (const [what, n] of Object.entries(report.reachable)) {
      reachable[what] = (reachable[what] ?? 0) + n;
    }
    for (const [id, { count, expect }] of Object.entries(report.outcomes)) {
      const row = (outcomes[id] ??= { count: 0, expect });
      row.count += count;
    }
  }
  const phases = sumPhases(reports, shards);
  const sum = (pick: (report: CheckReport) => number): number =>
    reports.reduce((total, report) => total + pick(report), 0);
  const failing = reports.filter(({ failure }) => failure !== null && isOfARun(failure));
  const missing = absent(reports, shards);
  const failure =
    failing[0]?.failure ??
    incomplete(missing, shards) ??
    endless(reports) ??
    unreached(reachable, reports);
  const exhaustive = exhaustiveness(reports, missing, generated);
  const notes = [...new Set(reports.flatMap((r) => r.notes))];
  if (shards > 1 && failing.length > 1) {
    notes.push(`${failing.length} of ${shards} shards failed; shown is the first`);
  }
  const some = missing.length > 0 ? `${reports.length} of ${shards}` : `${reports.length}`;
  const what = `${some} ${generated ? 'generated scenarios' : 'shards'}`;
  const merged: CheckReport = {
    ...first,
    shard: generated ? first.shard : [0, 1],
    ok: failure === null,
    failure,
    phases,
    runs: sum((r) => r.runs),
    steps: sum((r) => r.steps),
    ms: sum((r) => r.ms),
    cut: sum((r) => r.cut),
    folded: sum((r) => r.folded),
    exhaustive,
    covered: `${what}: ${coveredByAll(reports, phases, exhaustive, generated)}`,
    reachable,
    outcomes,
    notes,
    stored: generated ? null : (reports.find((r) => r.stored !== null)?.stored ?? null),
    text: () => text(merged),
    html: (read) => page(merged, read),
  };
  return merged;
}

function isOfARun({ kind }: CheckFailure): boolean {
  return kind !== 'unreachable' && kind !== 'incomplete';
}

/** How many shards the reports say there are; throws when they are not of one campaign. */
function shardsOf(reports: readonly CheckReport[]): number {
  const [first] = reports as [CheckReport];
  const [, shards] = first.shard;
  const seen = new Set<number>();
  for (const { name, shard } of reports) {
    if (name !== first.name) {
      throw new TypeError(`interleave: reports of '${first.name}' and of '${name}' do not merge`);
    }
    if (shard[1] !== shards) {
      throw new TypeError(
        `interleave: '${name}': shards of ${shards} and of ${shard[1]} do not merge`,
      );
    }
    if (shards > 1 && seen.has(shard[0])) {
      throw new TypeError(`interleave: '${name}': shard ${shard[0] + 1}/${shards} is there twice`);
    }
    seen.add(shard[0]);
  }
  return shards;
}

/** The shards that no report is of. */
function absent(reports: readonly CheckReport[], shards: number): number[] {
  if (shards === 1) return [];
  return Array.from({ length: shards }, (_, i) => i).filter(
    (i) => !reports.some(({ shard }) => shard[0] === i),
  );
}

function incomplete(missing: readonly number[], shards: number): CheckFailure | null {
  if (missing.length === 0) return null;
  const which = missing.map((i) => `${i + 1}/${shards}`).join(', ');
  return noRun('incomplete', `not explored, their reports are missing: shards ${which}`);
}

/** Nothing was judged: of no schedule of any shard did the end come. */
function endless(reports: readonly CheckReport[]): CheckFailure | null {
  if (reports.some(({ runs, cut }) => cut < runs)) return null;
  const runs = reports.reduce((total, report) => total + report.runs, 0);
  return runs === 0 ? null : noRun('step limit', `none of ${runs} schedules came to its end`);
}

function unreached(
  reachable: Readonly<Record<string, number>>,
  reports: readonly CheckReport[],
): CheckFailure | null {
  const missing = Object.keys(reachable).filter((what) => reachable[what] === 0);
  // A check that was not searched at all (no budget) has nothing to reach.
  if (missing.length === 0 || reports.every(({ runs }) => runs === 0)) return null;
  return noRun('unreachable', `no schedule reached: ${missing.join(', ')}`);
}

/** A failure that no run shows. */
export function noRun(
  kind: 'incomplete' | 'unreachable' | 'step limit',
  message: string,
): CheckFailure {
  return { kind, message, schedule: '', trace: null, scenario: '', replay: '' };
}

/** Phases by name; complete when every shard was. Reduction is not divided: one shard does it. */
function sumPhases(reports: readonly CheckReport[], shards: number): Phase[] {
  const phases = new Map<string, Phase & { parts: number }>();
  for (const phase of reports.flatMap((report) => report.phases)) {
    const sum = phases.get(phase.name);
    if (sum === undefined) {
      phases.set(phase.name, { ...phase, parts: 1 });
      continue;
    }
    sum.parts++;
    sum.runs += phase.runs;
    sum.steps += phase.steps;
    sum.ms += phase.ms;
    sum.redundant += phase.redundant;
    sum.complete &&= phase.complete;
  }
  return [...phases.values()].map(({ parts, ...phase }) => ({
    ...phase,
    complete: phase.complete && (!phase.name.startsWith('preemption') || parts >= shards),
  }));
}

function exhaustiveness(
  reports: readonly CheckReport[],
  missing: readonly number[],
  generated: boolean,
): CheckReport['exhaustive'] {
  if (generated) return reports.every((r) => r.exhaustive !== '') ? 'classes' : '';
  // One shard alone explores all classes.
  if (reports.some((r) => r.exhaustive === 'classes')) return 'classes';
  return missing.length === 0 && reports.every((r) => r.exhaustive === 'schedules')
    ? 'schedules'
    : '';
}

function coveredByAll(
  reports: readonly CheckReport[],
  phases: readonly Phase[],
  exhaustive: CheckReport['exhaustive'],
  generated: boolean,
): string {
  const notExhaustive = reports.find((r) => r.exhaustive === '');
  if (generated) return notExhaustive?.covered ?? 'each explored completely';
  const failed = reports.filter(({ failure }) => failure !== null && isOfARun(failure));
  if (failed.length > 0) {
    const which = failed.map(({ shard: [i, n] }) => `${i + 1}/${n}`).join(', ');
    return `stopped at the first failure (shard ${which})`;
  }
  const parts: string[] = [];
  if (exhaustive === 'schedules') {
    parts.push(`together all ${reports.reduce((n, { runs }) => n + runs, 0)} schedules explored`);
  } else if (exhaustive === 'classes') {
    parts.push(reports.find((r) => r.exhaustive === 'classes')?.covered ?? '');
  } else {
    const bound = phases.filter((p) => p.complete && p.name.startsWith('preemption')).at(-1);
    parts.push(
      bound === undefined
        ? 'not exhaustive: a sample'
        : `not exhaustive: together every schedule within ${bound.name}, beyond it a sample`,
    );
    if (phases.some(({ name }) => name.startsWith('PCT'))) {
      parts.push(`seeds ${[...new Set(reports.map((r) => r.seed))].join(', ')}`);
    }
  }
  const cut = reports.reduce((n, r) => n + r.cut, 0);
  if (cut > 0 && exhaustive !== 'classes') {
    parts.push(`${cut} schedules cut at the step limit, not judged`);
  }
  return parts.join('; ');
}
