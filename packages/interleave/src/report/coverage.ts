/** What was covered, and what was not, in words. */
import type { Scenario } from '../scenario.ts';
import type { Phase } from '../search/portfolio.ts';
import type { CheckFailure, CheckReport } from './report.ts';

/** One sentence for the report. */
export function covered(
  scenario: Scenario,
  phases: readonly Phase[],
  failure: CheckFailure | null,
  exhaustive: CheckReport['exhaustive'],
  runs: number,
  cut: number,
  folded: number,
  seed: number,
  [shard, shards]: readonly [number, number],
): string {
  const parts: string[] = [];
  const share = shards === 1 ? '' : ` of the share of shard ${shard + 1}/${shards}`;
  const spins = folded > 0 ? ' (spin loops taken as awaits)' : '';
  if (failure !== null && failure.schedule !== '') parts.push('stopped at the first failure');
  else if (exhaustive === 'schedules') parts.push(`all ${runs} schedules${share} explored${spins}`);
  else if (exhaustive === 'classes') {
    const n = phases.at(-1)?.runs ?? 0;
    parts.push(`all ${n} equivalence classes explored${spins}`);
    const partial = [
      ...(scenario.always === undefined ? [] : ['always']),
      ...(scenario.linearizable === undefined ? [] : ['linearizable']),
    ];
    if (partial.length > 0) {
      parts.push(`${partial.join(' and ')} judged on one schedule of each class`);
    }
  } else {
    const bounds = phases.filter(({ name, complete }) => complete && name.startsWith('preemption'));
    parts.push(
      bounds.length > 0
        ? `not exhaustive: every schedule${share} within ${bounds.at(-1)?.name}, beyond it a sample`
        : 'not exhaustive: a sample',
    );
    if (phases.some(({ name }) => name.startsWith('PCT'))) parts.push(`seed ${seed}`);
  }
  if (cut > 0) parts.push(`${cut} schedules cut at the step limit, not judged`);
  return parts.join('; ');
}
