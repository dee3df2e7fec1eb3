/**
 * `pnpm test:mutants --generated`: mutants made from the syntax tree of our concurrency sources
 * (operators.mjs), each run against the checks that concern its file (child.mjs), and docs/interleave-mutants-generated.md written from it.
 * Fails when a survivor has no explanation in generated-survivors.json, or an explained mutant of the
 * sample is killed (the explanation is wrong, or out of date).
 *
 *   --all         every mutant; otherwise a sample that depends on a mutant's id only (RATES)
 *   --again       only the survivors of the last run, and what the last run did not have
 *   --keep        only what the last run did not have: checks, then unit tests
 *   --list        prints the sample, runs nothing
 *   --unit        runs the survivors against the unit tests of their package as well
 *   words         mutants whose id contains all of them
 *
 * UMBUF_MUTANT_RUNS: schedules of each of a check's two searches, 300 when absent;
 * UMBUF_MUTANT_BUDGET_MS bounds each in time as well (1500); UMBUF_MUTANT_JOBS: processes (2).
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { page } from './document.mjs';
import { mutantsOf } from './operators.mjs';
import { JOBS, runAll } from './pool.mjs';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const cache = join(root, 'node_modules/.cache/umbuf-generated-mutants.json');
const explanations = join(root, 'test/interleave/mutate/generated-survivors.json');
const document = join(root, 'docs/interleave-mutants-generated.md');

/**
 * Of a hundred mutants of a kind, how many are in the sample. The last three change what a single
 * thread does: above `memory` they are left to the unit tests (and to `--all`).
 */
const RATES = {
  drop: 75,
  swap: 75,
  split: 75,
  plain: 50,
  flag: 75,
  boundary: 30,
  negate: 10,
  'drop-plain': 10,
};
const SEQUENTIAL = new Set(['boundary', 'negate', 'drop-plain']);

function isInSample({ id, file, operator }) {
  if (SEQUENTIAL.has(operator) && !file.startsWith('packages/memory/')) return false;
  return percentile(id) < RATES[operator];
}

/** Which checks concern which sources; the first list whose pattern fits, cheapest check first. */
const RELEVANT = [
  [/sync\/mutex/, ['mutex', 'obstruction', 'recover', 'death']],
  [/sync\/ring/, ['ring', 'ring-waits']],
  [/sync\/tagged-stack/, ['tagged-stack', 'obstruction']],
  [/sync\/refcount/, ['refcount', 'obstruction', 'external']],
  [/sync\/limit-recover/, ['limit-death']],
  [/sync\/(limit|wait-cell)/, ['limit', 'limit-death']],
  [/memory\/src\/cpu\/recover/, ['recover', 'death', 'limit-death']],
  [/memory\/src\/cpu/, ['cpu', 'attach', 'recover', 'death']],
  [/memory\/src\/page/, ['pages', 'death', 'recover']],
  [/uma\/src\/recover/, ['death']],
  [/uma\/src\/create/, ['create']],
  [/uma\/src/, ['uma', 'drain', 'death']],
  [/mbuf\/src/, ['external', 'mbuf']],
];

/** The sources: those with protocols between CPUs. */
const FILES = [
  ...['mutex', 'ring', 'tagged-stack', 'refcount'].map((f) => `memory/src/sync/${f}`),
  ...['limit', 'limit-sleep', 'wait-cell', 'limit-recover'].map((f) => `memory/src/sync/${f}`),
  ...['cpu', 'protocol', 'drain', 'recover', 'hand-stack'].map((f) => `memory/src/cpu/${f}`),
  'memory/src/page/page-pool',
  ...['zone-domain', 'keg', 'slab', 'cache-slow', 'bucket'].map((f) => `uma/src/${f}`),
  ...['recover', 'reclaim'].map((f) => `uma/src/${f}`),
  ...['attach', 'last-reference', 'reference'].map((f) => `mbuf/src/external/${f}`),
].map((file) => `packages/${file}.ts`);

const flags = new Set(process.argv.slice(2).filter((word) => word.startsWith('--')));
const words = process.argv.slice(2).filter((word) => !word.startsWith('--'));

function percentile(id) {
  return createHash('sha256').update(id).digest().readUInt16BE(0) % 100;
}

function checksFor(file) {
  const names = RELEVANT.find(([pattern]) => pattern.test(file))?.[1] ?? [];
  return names
    .map((name) => `test/interleave/${name}.check.ts`)
    .filter((path) => existsSync(root + path));
}

/** Whether the unit tests of the mutant's package fail; a run that hangs fails. */
function unitTestsFail(change) {
  const vitest = createRequire(import.meta.url).resolve('vitest/package.json');
  const suite = change.file.split('/').slice(0, 2).join('/');
  return new Promise((resolve) => {
    const child = spawn(
      process.execPath,
      [join(dirname(vitest), 'vitest.mjs'), 'run', '--project=unit', '--bail=1', suite],
      { cwd: root, env: { ...process.env, UMBUF_MUTANT: JSON.stringify(change) }, stdio: 'ignore' },
    );
    const timer = setTimeout(() => child.kill('SIGKILL'), 180_000);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve(code !== 0);
    });
  });
}

const all = FILES.filter((file) => existsSync(root + file)).flatMap((file) =>
  mutantsOf(file, readFileSync(root + file, 'utf8')),
);
const wanted = all.filter(
  (mutant) =>
    (flags.has('--all') || isInSample(mutant)) && words.every((word) => mutant.id.includes(word)),
);
const last = existsSync(cache) ? JSON.parse(readFileSync(cache, 'utf8')) : { results: {} };
const results = flags.has('--again') || flags.has('--keep') ? last.results : {};
const todo = wanted.filter(({ id }) => {
  if (flags.has('--keep') && results[id] !== undefined) return false;
  return !results[id]?.kill && !results[id]?.unit;
});
console.log(`${all.length} mutants, ${wanted.length} in this run, ${todo.length} to do`);
if (flags.has('--list')) {
  for (const { id, line } of wanted) console.log(`${line}\t${id}`);
  process.exit(0);
}

const begin = performance.now();
const store = () => {
  mkdirSync(dirname(cache), { recursive: true });
  writeFileSync(cache, JSON.stringify({ results }, null, 1));
};

// Without a mutant everything passes; else kills would mean nothing.
const files = [...new Set(todo.flatMap(({ file }) => checksFor(file)))];
let broken = 0;
const cutAnyway = [];
await runAll(
  files.map((file) => ({ id: file, files: [file] })),
  (job, { kill, check, cut, ms }) => {
    if (kill !== '') broken++;
    cutAnyway.push(...cut);
    console.log(
      `${kill === '' ? 'ok  ' : 'FAIL'} unmutated ${job.id}: ${kill} ${check} (${ms} ms)`,
    );
  },
);
if (broken > 0) process.exit(1);

await runAll(
  todo.map((change) => ({ id: change.id, change, files: checksFor(change.file), cutAnyway })),
  (job, result) => {
    results[job.id] = result;
    store();
    const verdict = result.kill === '' ? 'SURVIVES' : `${result.kill} (${result.check})`;
    console.log(`${job.change.line}\t${job.id}: ${verdict} ${result.ms} ms`);
  },
);

if (flags.has('--unit')) {
  const survivors = wanted.filter(({ id }) => results[id].kill === '' && !results[id].unit);
  let next = 0;
  const serve = async () => {
    while (next < survivors.length) {
      const change = survivors[next++];
      results[change.id].unit = await unitTestsFail(change);
      store();
      console.log(
        `${change.line}\t${change.id}: unit tests ${results[change.id].unit ? 'fail' : 'pass'}`,
      );
    }
  };
  await Promise.all(Array.from({ length: JOBS }, serve));
}

const explained = JSON.parse(readFileSync(explanations, 'utf8'));
const { text, unexplained, wrong } = page({ all, wanted, results, explained, files: FILES });
if (words.length === 0) writeFileSync(document, text);
for (const id of unexplained) console.log(`not explained: ${id}`);
for (const id of wrong) console.log(`explained, but killed: ${id}`);
console.log(`${Math.round((performance.now() - begin) / 1000)} s`);
process.exitCode = unexplained.length + wrong.length === 0 ? 0 : 1;
