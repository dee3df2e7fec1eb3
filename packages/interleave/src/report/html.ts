/**
 * A self-contained page (no network, no build) to step through a failing run: a lane per CPU, the
 * event under the cursor with its source, and the values of all words up to it.
 */
import type { CheckReport } from './report.ts';
import { cell } from './text.ts';
import { fold } from './trace.ts';

function escape(value: string): string {
  return value.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
}

const STYLE = `
:root { color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif; }
body { margin: 1.5rem; max-width: 90rem; }
code, td, pre { font-family: ui-monospace, monospace; }
table { border-collapse: collapse; }
td, th { padding: 0.15rem 0.75rem; text-align: left; border-right: 1px solid #8884; white-space: nowrap; }
tr.now { background: #fa03; } tr.after { opacity: 0.35; }
.panes { display: grid; grid-template-columns: minmax(0, 3fr) minmax(14rem, 1fr); gap: 2rem; }
.lanes { overflow: auto; max-height: 75vh; }
.changed { font-weight: bold; color: #c40; }
button { font: inherit; padding: 0.2rem 0.8rem; }
`;

const SCRIPT = `
const data = JSON.parse(document.getElementById('data').textContent);
let at = 0;
const rows = [...document.querySelectorAll('tbody.events tr')];
function show() {
  rows.forEach((row, i) => { row.className = i === at ? 'now' : i > at ? 'after' : ''; });
  rows[at]?.scrollIntoView({ block: 'nearest' });
  const words = new Map();
  for (let i = 0; i <= at; i++) {
    const e = data.events[i];
    if (e && e.word !== '' && e.now !== '') words.set(e.word, { value: e.now, changed: i === at && e.old !== e.now });
  }
  const table = document.getElementById('words');
  table.replaceChildren(...[...words].map(([name, { value, changed }]) => {
    const row = document.createElement('tr');
    for (const text of [name, value]) {
      const td = document.createElement('td');
      td.textContent = text;
      if (changed) td.className = 'changed';
      row.append(td);
    }
    return row;
  }));
  const e = data.events[at];
  document.getElementById('source').textContent = e ? e.where + (e.function ? ' in ' + e.function : '') + '\\n' + e.text : '';
  document.getElementById('position').textContent = (at + 1) + ' / ' + data.events.length;
}
function go(n) { at = Math.max(0, Math.min(data.events.length - 1, n)); show(); }
document.getElementById('first').onclick = () => go(0);
document.getElementById('back').onclick = () => go(at - 1);
document.getElementById('next').onclick = () => go(at + 1);
document.getElementById('end').onclick = () => go(data.events.length - 1);
rows.forEach((row, i) => { row.onclick = () => go(i); });
addEventListener('keydown', (e) => {
  if (e.key === 'ArrowDown' || e.key === 'j') { go(at + 1); e.preventDefault(); }
  if (e.key === 'ArrowUp' || e.key === 'k') { go(at - 1); e.preventDefault(); }
});
show();
`;

/** The page. A report without a recorded run gives its text only. */
export function html(report: CheckReport): string {
  const { failure } = report;
  const trace = failure?.trace ?? null;
  const events = trace === null ? [] : fold(trace.events);
  const cpus = trace?.cpus ?? [];
  const used = cpus.map((_, c) => c).filter((c) => events.some(({ cpu }) => cpu === c));
  const head = used.map((c) => `<th>${escape(cpus[c] as string)}</th>`).join('');
  const body = events
    .map((event) => {
      const cells = used.map((c) => `<td>${c === event.cpu ? escape(cell(event)) : ''}</td>`);
      return `<tr><td>${event.step}</td>${cells.join('')}</tr>`;
    })
    .join('\n');
  const verdict = failure === null ? 'ok' : `${failure.kind}: ${failure.message}`;
  const races = (trace?.races ?? [])
    .map((race) => `<pre>${escape(`${race.word}\n  ${race.earlier}\n  ${race.later}`)}</pre>`)
    .join('');
  const data = JSON.stringify({ events }).replaceAll('<', '\\u003c');
  const lanes =
    trace === null
      ? `<pre>${escape(report.text())}</pre>`
      : `<p><button id="first">first</button> <button id="back">back</button>
<button id="next">next</button> <button id="end">last</button> <span id="position"></span>
(arrow keys, or j and k)</p>
<div class="panes"><div class="lanes"><table><thead><tr><th>step</th>${head}</tr></thead>
<tbody class="events">
${body}
</tbody></table></div>
<div><h2>source</h2><pre id="source"></pre><h2>words</h2><table id="words"></table></div></div>
<p>replay: <code>${escape(failure?.replay ?? '')}</code></p>
<script type="application/json" id="data">${data}</script>
<script>${SCRIPT}</script>`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escape(report.name)}</title>
<style>${STYLE}</style></head><body>
<h1>${escape(report.name)}</h1>
<p><strong>${escape(verdict)}</strong></p>
${races}${lanes}
</body></html>
`;
}
