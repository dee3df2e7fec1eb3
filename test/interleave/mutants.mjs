/**
 * `pnpm test:mutants`: does each check find what it says it finds? mutants.json holds one-line
 * changes of production sources, and for each check those that it must kill. Each mutant is applied in
 * memory (support/sources.ts) to a vitest run of the checks that name it; each of them must fail,
 * with a verdict of the explorer (an unreached `reachable` or an error outside a run is none).
 * Without a mutant every check must pass. The survivors listed there, which docs/interleave-mutants.md
 * explains, must survive.
 *
 * Arguments: words that a mutant's name must contain. UMBUF_MUTANT_BUDGET_MS: search for each
 * check, 5000 when absent (a kill ends it).
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const table = JSON.parse(readFileSync(new URL('mutants.json', import.meta.url), 'utf8'));
const vitest = join(
  dirname(createRequire(import.meta.url).resolve('vitest/package.json')),
  'vitest.mjs',
);
const scratch = mkdtempSync(join(tmpdir(), 'umbuf-mutants-'));
const budget = process.env.UMBUF_MUTANT_BUDGET_MS ?? '5000';
const words = process.argv.slice(2);

/** Verdicts of a run that count as a kill. */
const KILLS = /^(race|deadlock|livelock|exception|always|final|linearizability|outcome|leak) in /;
/** Verdicts a check may also end with; not a kill. */
const OTHER = /^(unreachable|step limit) in /;

/** One vitest run: of each check's name, 'passed', the verdict, or what else went wrong. */
function run(id, file, names, mutant) {
  return new Promise((resolve) => {
    const output = join(scratch, `${id}.json`);
    const escaped = names.map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    const { EXPLORE_REPLAY: _, ...env } = process.env;
    const child = spawn(
      process.execPath,
      [
        vitest,
        'run',
        '--project=interleave',
        file,
        `--testNamePattern=^(${escaped.join('|')})$`,
        '--reporter=json',
        `--outputFile=${output}`,
      ],
      {
        cwd: root,
        env: {
          ...env,
          CI: '1', // stores no schedules
          EXPLORE_BUDGET: budget,
          UMBUF_MUTANT: mutant === undefined ? '' : JSON.stringify(mutant),
        },
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    let errors = '';
    child.stderr.on('data', (data) => (errors += data));
    child.on('close', () => {
      const results = new Map(names.map((name) => [name, `not run: ${errors.slice(-500)}`]));
      try {
        const report = JSON.parse(readFileSync(output, 'utf8'));
        for (const suite of report.testResults) {
          if (suite.assertionResults.length === 0 && suite.message) {
            for (const name of names) results.set(name, `not run: ${suite.message.slice(0, 500)}`);
          }
          for (const { title, status, failureMessages } of suite.assertionResults) {
            if (!results.has(title)) continue;
            const first = (failureMessages[0] ?? '').split('\n')[0];
            results.set(title, status === 'passed' ? 'passed' : first);
          }
        }
      } catch (error) {
        errors += String(error);
      }
      resolve(results);
    });
  });
}

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
    jobs.push({ what: 'unmutated', file, names: checks.map(({ name }) => name), expect: 'pass' });
  }
}
for (const id of Object.keys(table.mutants).filter(wanted)) {
  const checks = table.checks.filter(({ kills }) => kills.includes(id));
  for (const [file, list] of groupBy(checks, ({ file }) => file)) {
    const names = list.map(({ name }) => name);
    jobs.push({ what: id, file, names, mutant: table.mutants[id], expect: 'kill' });
  }
}
for (const { mutant: id, file, name } of table.survivors.filter(({ mutant }) => wanted(mutant))) {
  jobs.push({ what: id, file, names: [name], mutant: table.mutants[id], expect: 'pass' });
}

let failures = 0;
let kills = 0;
let next = 0;
async function work() {
  while (next < jobs.length) {
    const at = next++;
    const { what, file, names, mutant, expect } = jobs[at];
    for (const [name, verdict] of await run(at, file, names, mutant)) {
      const killed = KILLS.test(verdict);
      const good = expect === 'kill' ? killed : verdict === 'passed';
      if (good && killed) kills++;
      if (!good) failures++;
      const kind = killed || OTHER.test(verdict) ? verdict.split(' in ')[0] : verdict;
      console.log(`${good ? 'ok  ' : 'FAIL'} ${what} | ${name}: ${kind}`);
    }
  }
}
await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work));
rmSync(scratch, { recursive: true, force: true });
console.log(`${kills} kills, ${failures} not as the table says, of ${jobs.length} runs`);
process.exitCode = failures === 0 ? 0 : 1;
