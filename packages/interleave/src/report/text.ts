/**
 * The failure report as text, in this order: verdict, the two source lines of a race, the lanes,
 * the history, the counts, and the one line that replays it.
 */
import { describeHistory } from '../oracle/linearizability.ts';
import type { CheckReport } from './report.ts';
import { fold, type FoldedEvent } from './fold.ts';
import { thrownAt } from './stack.ts';
import type { Trace, TraceEvent } from './trace.ts';

/** What one event did, without its place. */
export function action(event: TraceEvent): string {
  const { kind, word, old, now, result, changes } = event;
  if (kind === 'load' || kind === 'read') return `${kind} ${word} = ${result}`;
  if (kind === 'compareExchange') {
    return event.failed
      ? `CAS ${word} fails (${old}, not ${event.expected})`
      : `CAS ${word} ${old} -> ${now}`;
  }
  if (kind === 'wait' || kind === 'waitAsync') return `${kind} ${word} (${old}) ${result}`;
  if (kind === 'notify') return `notify ${word} wakes ${result}`;
  if (kind === 'dies') return 'DIES';
  if (changes.length > 0) {
    const [first] = changes;
    const more = changes.length > 1 ? `, ${changes.length - 1} more` : '';
    return `${kind} ${first?.word} ${first?.old} -> ${first?.now}${more}`;
  }
  if (kind.startsWith('get')) return `${kind} ${word} = ${result}`;
  return old !== '' || now !== '' ? `${kind} ${word} ${old} -> ${now}` : `${kind} ${word}`;
}

/** What one event says in its lane. */
export function cell(event: FoldedEvent): string {
  const again = event.round === 1 ? ` x${event.repeats}` : '';
  return `${action(event)}${again}  ${event.where.replace(/^.*\//, '')}`;
}

/** What stands under a folded round of several events; '' elsewhere. */
export function roundNote({ round, repeats }: FoldedEvent): string {
  return round < 2 ? '' : `these ${round} events ${repeats} times`;
}

/** A lane for each CPU that did anything. */
export function lanes(trace: Trace): string {
  const events = fold(trace.events);
  const used = trace.cpus.map((_, c) => c).filter((c) => events.some(({ cpu }) => cpu === c));
  const widths = used.map((c) =>
    Math.max(
      (trace.cpus[c] as string).length,
      ...events
        .filter(({ cpu }) => cpu === c)
        .map((event) => Math.max(cell(event).length, roundNote(event).length)),
    ),
  );
  const line = (step: string, cells: string[]): string =>
    `${step.padStart(5)}  ${cells.map((text, i) => text.padEnd(widths[i] as number)).join(' | ')}`.trimEnd();
  const inLane = (cpu: number, text: string): string[] => used.map((c) => (c === cpu ? text : ''));
  const rows = [
    line(
      'step',
      used.map((c) => trace.cpus[c] as string),
    ),
  ];
  for (const event of events) {
    rows.push(line(String(event.step), inLane(event.cpu, cell(event))));
    const note = roundNote(event);
    if (note !== '') rows.push(line('', inLane(event.cpu, note)));
  }
  return rows.join('\n');
}

/** The counts: what was explored and what was not. */
export function coverage(report: CheckReport): string {
  const rows = report.phases.map(({ name, runs, complete, redundant, ms }) => {
    const extra = redundant > 0 ? `, ${redundant} redundant` : '';
    return `  ${name}: ${runs} schedules${complete ? ', complete' : ''}${extra}, ${ms.toFixed(0)} ms`;
  });
  return [`${report.runs} schedules, ${report.steps} steps; ${report.covered}`, ...rows].join('\n');
}

/** The whole report. */
export function text(report: CheckReport): string {
  const parts: string[] = [];
  const { failure } = report;
  if (failure === null) {
    parts.push(`ok: ${report.name}`);
  } else {
    const verdict = `${failure.kind}: ${report.name}\n${failure.message}`;
    parts.push([verdict, ...thrownAt(failure.error)].join('\n'));
    const { trace } = failure;
    if (trace !== null) {
      for (const race of trace.races) {
        parts.push(
          [
            `${race.mixed ? 'different widths of' : 'unordered accesses to'} ${race.word}${
              race.tears ? ' (8 bytes: the read may tear)' : ''
            }`,
            `  ${race.earlier}`,
            `  ${race.later}`,
          ].join('\n'),
        );
      }
      parts.push(lanes(trace));
      if (trace.history.length > 0) {
        parts.push(describeHistory(trace.history, (c) => trace.cpus[c] as string).join('\n'));
      }
    }
    if (failure.scenario !== '') parts.push(`smallest scenario found:\n${failure.scenario}`);
  }
  parts.push(coverage(report));
  if (Object.keys(report.outcomes).length > 0) {
    const rows = Object.entries(report.outcomes).map(
      ([id, { count, expect }]) => `  ${String(count).padStart(8)}  ${expect.padEnd(12)} ${id}`,
    );
    parts.push(['outcomes', ...rows].join('\n'));
  }
  const reached = Object.entries(report.reachable);
  if (reached.length > 0) {
    parts.push(reached.map(([name, n]) => `reached ${n} times: ${name}`).join('\n'));
  }
  if (report.notes.length > 0) parts.push(report.notes.map((note) => `note: ${note}`).join('\n'));
  if (failure !== null && failure.replay !== '') parts.push(`replay: ${failure.replay}`);
  return parts.join('\n\n');
}
