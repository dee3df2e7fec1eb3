/**
 * The page's own script: moves a cursor over the events, and shows the source line under it and the
 * values that all words have by then. Plain text for the browser; it needs nothing but the page.
 */

export const SCRIPT = `
const { events, sources } = JSON.parse(document.getElementById('data').textContent);
const rows = [...document.querySelectorAll('.events tr')];
const element = (id) => document.getElementById(id);
const make = (tag, text, className) => {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
};
const context = matchMedia('(max-width: 640px)').matches ? 2 : 6;
let at = 0;

function changesOf(event) {
  if (event.changes.length > 0) return event.changes;
  return event.word !== '' && event.now !== '' ? [event] : [];
}

function showWords() {
  const words = new Map();
  for (let i = 0; i <= at; i++) {
    for (const { word, old, now } of changesOf(events[i])) {
      words.set(word, { now, old, isNew: i === at && old !== now });
    }
  }
  element('words').replaceChildren(...[...words].map(([word, { now, old, isNew }]) => {
    const row = document.createElement('tr');
    row.append(make('td', word), make('td', isNew ? old + ' \\u2192 ' + now : now, isNew ? 'changed' : ''));
    return row;
  }));
}

function showSource({ file, line, text, where, function: inside }) {
  element('where').textContent = where + (inside === '' ? '' : ' in ' + inside);
  const source = element('source');
  if (sources[file] === undefined) {
    source.replaceChildren(make('span', text, 'line now'));
    return;
  }
  const lines = sources[file].split('\\n');
  const from = Math.max(1, line - context);
  const to = Math.min(lines.length, line + context);
  const width = String(to).length;
  const shown = [];
  for (let n = from; n <= to; n++) {
    const row = make('span', '', n === line ? 'line now' : 'line');
    row.append(make('span', String(n).padStart(width) + '  ', 'number'), lines[n - 1]);
    shown.push(row);
  }
  source.replaceChildren(...shown);
}

function go(to) {
  at = Math.max(0, Math.min(events.length - 1, to));
  rows.forEach((row, i) => {
    row.className = i > at ? 'later' : '';
    if (i === at) row.setAttribute('aria-current', 'step');
    else row.removeAttribute('aria-current');
  });
  rows[at].scrollIntoView({ block: 'nearest' });
  element('position').textContent = (at + 1) + ' of ' + events.length;
  showSource(events[at]);
  showWords();
}

const moves = {
  first: () => 0, back: () => at - 1, next: () => at + 1, last: () => events.length - 1,
};
for (const [id, move] of Object.entries(moves)) element(id).onclick = () => go(move());
rows.forEach((row, i) => { row.onclick = () => go(i); });
const keys = {
  ArrowDown: 'next', ArrowRight: 'next', j: 'next', ArrowUp: 'back', ArrowLeft: 'back', k: 'back',
  Home: 'first', End: 'last',
};
addEventListener('keydown', (event) => {
  const move = event.ctrlKey || event.altKey || event.metaKey ? undefined : keys[event.key];
  if (move === undefined) return;
  event.preventDefault();
  go(moves[move]());
});
if (rows.length > 0) go(0);
`;
