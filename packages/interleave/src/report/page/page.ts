/**
 * A self-contained page (no network, no build) to step through a failing run: a lane per CPU, the
 * event under the cursor with its source line, and the values of all words up to it.
 */
import { fold, type FoldedEvent } from '../fold.ts';
import type { CheckReport, ReadSource } from '../report.ts';
import { action, roundNote, text } from '../text.ts';
import type { Trace } from '../trace.ts';
import { SCRIPT } from './script.ts';
import { STYLE } from './style.ts';

function escape(value: string): string {
  return value.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** The page. A report without a recorded run gives its text only. */
export function page(report: CheckReport, read?: ReadSource): string {
  const { failure, name } = report;
  const trace = failure?.trace ?? null;
  const verdict = failure === null ? 'ok' : `${failure.kind}: ${failure.message}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(name)}</title>
<style>${STYLE}</style></head><body>
<h1>${escape(name)}</h1>
<p><strong>${escape(verdict)}</strong></p>
${trace === null || trace.events.length === 0 ? '' : stepper(trace, read)}
<h2>report</h2>
<pre class="box">${escape(text(report))}</pre>
</body></html>
`;
}

/** Lanes, source, words, and what moves through them. */
function stepper(trace: Trace, read: ReadSource | undefined): string {
  const events = fold(trace.events);
  const used = trace.cpus.map((_, c) => c).filter((c) => events.some(({ cpu }) => cpu === c));
  const head = used.map((c) => `<th scope="col">${escape(trace.cpus[c] as string)}</th>`).join('');
  const races = trace.races
    .map(({ word, earlier, later }) => `${word}\n  ${earlier}\n  ${later}`)
    .map((race) => `<pre class="box">${escape(race)}</pre>`);
  return `${races.join('\n')}
<p class="controls"><button id="first">first</button> <button id="back">back</button>
<button id="next">next</button> <button id="last">last</button>
<span id="position" aria-live="polite"></span> (arrow keys, Home, End)</p>
<div class="panes">
<table class="lanes"><thead><tr><th class="step" scope="col">step</th>${head}</tr></thead>
<tbody class="events">
${events.map((event) => row(event, used, trace.cpus)).join('\n')}
</tbody></table>
<div class="side"><h2 id="where">source</h2><pre class="source" id="source"></pre>
<h2>words</h2><table id="words"></table></div>
</div>
<script type="application/json" id="data">${data(events, read)}</script>
<script>${SCRIPT}</script>`;
}

function row(event: FoldedEvent, used: readonly number[], cpus: readonly string[]): string {
  const { cpu, step, where, repeats } = event;
  const note = roundNote(event);
  const again = event.round === 1 ? ` x${repeats}` : '';
  const place = `<span class="place">${escape(where.replace(/^.*\//, ''))}</span>`;
  // `->` would break into two.
  const did = (action(event) + again).replaceAll(' -> ', ' \u2192 ');
  const content = `${escape(did)} ${place}${note === '' ? '' : `<br>${note}`}`;
  const cells = used.map((c) =>
    c === cpu ? `<td data-cpu="${escape(cpus[c] as string)}">${content}</td>` : '<td></td>',
  );
  return `<tr><td class="step">${step}</td>${cells.join('')}</tr>`;
}

/** What the script needs, as JSON that cannot end the element it stands in. */
function data(events: readonly FoldedEvent[], read: ReadSource | undefined): string {
  const sources: Record<string, string> = {};
  for (const { file } of events) {
    const source = file === '' || file in sources ? undefined : read?.(file);
    if (source !== undefined) sources[file] = source;
  }
  const shown = events.map(({ word, old, now, changes, file, line, text, where, ...event }) => ({
    word,
    old,
    now,
    changes,
    file,
    line,
    text,
    where,
    function: event.function,
  }));
  return JSON.stringify({ events: shown, sources }).replaceAll('<', '\\u003c');
}
