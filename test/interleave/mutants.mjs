/**
 * `pnpm test:mutants`: does each check find what it says it finds? mutants.json holds one-line
 * changes of production sources, and for each check those that it must kill. Each mutant is applied in
 * memory to a run of the checks that name it (mutate/child.mjs); each of them must fail, with a
 * verdict of the explorer (an unreached `reachable` or an error outside a run is none).
 * Without a mutant every check must pass, and every check must be in the table, with two mutants at
 * least. The survivors listed there, which docs/interleave-mutants.md explains, must survive.
 *
 * Arguments: words that a mutant's name must contain; `--generated` runs generated mutants instead
 * (mutate/generated.mjs). UMBUF_MUTANT_BUDGET_MS: search for each check, 5000 when absent (a kill
 * ends it).
 */
import { readFileSync } from 'node:fs';
import { runAll } from './mutate/pool.mjs';

if (process.argv.includes('--generated')) {
  await import('./mutate/generated.mjs');
  process.exit();
}

const table = JSON.parse(readFileSync(new URL('mutants.json', import.meta.url), 'utf8'));
const budgetMs = Number(process.env.UMBUF_MUTANT_BUDGET_MS ?? 5000);
const words = process.argv.slice(2);

/** Verdicts of a run that count as a kill. */
const KILLS = /^(race|deadlock|livelock|exception|always|final|linearizability|outcome|leak)$/;

const jobs = [];
const wanted = (id) => words.every((word) => id.includes(word));

function groupBy(items, key) {
  const groups = new Map();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group === undefined) groups.set(key(item), [item]);
    else group.push(item);
  }
  return groups;
}

if (words.length === 0) {
  for (const [file, checks] of groupBy(table.checks, ({ file }) => file)) {
    const names = checks.map(({ name }) => name);
    jobs.push({ id: 'unmutated', files: [file], names, expect: 'pass', budgetMs });
  }
}
for (const id of Object.keys(table.mutants).filter(wanted)) {
  const checks = table.checks.filter(({ kills }) => kills.includes(id));
  for (const [file, list] of groupBy(checks, ({ file }) => file)) {
    const names = list.map(({ name }) => name);
    const change = table.mutants[id];
    jobs.push({ id, files: [file], names, change, expect: 'kill', budgetMs });
  }
}
for (const { mutant: id, file, name } of table.survivors.filter(({ mutant }) => wanted(mutant))) {
  const change = table.mutants[id];
  jobs.push({ id, files: [file], names: [name], change, expect: 'pass', budgetMs });
}

let failures = 0;
for (const { name, kills: list } of table.checks) {
  if (list.length >= 2) continue;
  console.log(`FAIL ${name}: ${list.length} mutants`);
  failures++;
}
let kills = 0;
const begin = performance.now();
await runAll(jobs, ({ id, names, expect }, { verdicts, error }) => {
  for (const name of new Set([...names, ...Object.keys(verdicts)])) {
    const verdict = verdicts[name];
    let shown = verdict === '' ? 'passed' : (verdict ?? `not run ${error ?? ''}`);
    let good = expect === 'kill' ? KILLS.test(shown) : verdict === '';
    if (!names.includes(name)) {
      shown = 'not in the table';
      good = false;
    }
    if (good && expect === 'kill') kills++;
    if (!good) failures++;
    console.log(`${good ? 'ok  ' : 'FAIL'} ${id} | ${name}: ${shown}`);
  }
});
const seconds = Math.round((performance.now() - begin) / 1000);
console.log(
  `${kills} kills, ${failures} not as the table says, of ${jobs.length} runs in ${seconds} s`,
);
process.exitCode = failures === 0 ? 0 : 1;
