/**
 * A process that runs checks against one mutant after another (fork of generated.mjs). One Vite
 * server serves all of them: only the mutated file is transformed again. Every mutant gets fresh
 * modules, so that nothing is left of the one before.
 *
 * The search is bounded by runs, not by time, so that a loaded machine has the same survivors: each
 * check twice, systematic and random, with a bound in time behind it for the largest.
 */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createServer, createServerModuleRunner } from 'vite';
import { explore } from '../../../packages/interleave/dist/vite.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const collector = fileURLToPath(new URL('collect.mjs', import.meta.url));
const LONG_SPIN = /^(const (?:SPINS_NO_BLOCK|CLAIM_LOOKS|CLAIM_LOOKS_NO_BLOCK)) = 100_000;$/m;

const RUNS = Number(process.env.UMBUF_MUTANT_RUNS ?? 300);
const MS = Number(process.env.UMBUF_MUTANT_BUDGET_MS ?? 1500);

/** The verdicts that say what went wrong; others say what was not reached. */
const KILLS = new Set([
  'race',
  'deadlock',
  'livelock',
  'exception',
  'always',
  'final',
  'linearizability',
  'outcome',
  'leak',
]);

let mutant;

const server = await createServer({
  configFile: false,
  root,
  logLevel: 'silent',
  appType: 'custom',
  server: { middlewareMode: true, hmr: false, watch: null, ws: false },
  optimizeDeps: { noDiscovery: true },
  resolve: { conditions: ['@umbuf/source'] },
  ssr: { resolve: { conditions: ['@umbuf/source'], externalConditions: ['@umbuf/source'] } },
  plugins: [
    {
      name: 'umbuf:collect-checks',
      enforce: 'pre',
      resolveId: (id) => (id === '@umbuf/interleave/vitest' ? collector : null),
      load(id) {
        const [file, query] = id.split('?');
        // The inspector stays as it is: it judges.
        if (query !== 'explore' || !file.startsWith(`${root}packages/`)) return null;
        let code = readFileSync(file, 'utf8');
        if (mutant !== undefined && file === root + mutant.file) code = mutate(code, mutant);
        return code.replace(LONG_SPIN, '$1 = 40;');
      },
    },
    explore({ include: ['@umbuf/memory', '@umbuf/uma', '@umbuf/mbuf'], unsuspendable: 'guard' }),
  ],
});
const { moduleGraph } = server.environments.ssr;
const runner = createServerModuleRunner(server.environments.ssr, { hmr: false });

/** The text must be where the mutant says, or, for one of the table, stand in the file once. */
function mutate(code, { file, before, after, start }) {
  if (start === undefined) {
    const parts = code.split(before);
    if (parts.length === 2) return parts.join(after);
    throw new Error(`${file}: ${parts.length - 1} occurrences of ${before}`);
  }
  if (!code.startsWith(before, start)) throw new Error(`${file} has changed`);
  return code.slice(0, start) + after + code.slice(start + before.length);
}

function invalidate(file) {
  for (const found of moduleGraph.getModulesByFile(root + file) ?? []) {
    moduleGraph.invalidateModule(found);
  }
}

/** The checks of one file, over fresh modules. */
async function checksOf(file) {
  const list = (globalThis.umbufCollectedChecks ??= []);
  list.length = 0;
  await runner.import(root + file);
  return list.slice();
}

/**
 * Verdict of one check: a kill, or what was not reached. `cut` are runs that were given up after 2,000
 * steps: an endless loop, where the check has none without the mutant.
 */
function verdictOf(run) {
  let unreached = '';
  let cut = 0;
  const systematic = { random: false, maxRuns: RUNS, budgetMs: MS, shrink: false, minimise: false };
  const sampled = { ...systematic, random: true, preemptions: -1, reduction: false };
  for (const options of [systematic, sampled]) {
    let report;
    try {
      report = run(options);
    } catch (error) {
      return {
        kill: `set-up: ${String(error?.message ?? error)
          .split('\n')[0]
          .slice(0, 120)}`,
      };
    }
    const { failure } = report;
    cut += report.cut;
    if (failure !== null && KILLS.has(failure.kind)) return { kill: failure.kind };
    if (options === sampled && failure?.kind === 'unreachable') unreached = failure.message;
  }
  return { unreached, cut };
}

async function runMutant({ id, change, files, cutAnyway = [] }) {
  mutant = change;
  if (change !== undefined) invalidate(change.file);
  const result = { id, kill: '', check: '', unreached: [], cut: [], checks: 0 };
  for (const file of files) {
    runner.clearCache();
    let checks;
    try {
      checks = await checksOf(file);
    } catch (error) {
      result.kill = `does not load: ${String(error?.message ?? error)
        .split('\n')[0]
        .slice(0, 120)}`;
      break;
    }
    for (const { name, run } of checks) {
      result.checks++;
      process.send({ alive: name });
      const { kill, unreached, cut } = verdictOf(run);
      if (cut > 0 && !cutAnyway.includes(name)) result.cut.push(name);
      if (unreached) result.unreached.push(`${name}: ${unreached}`);
      if (kill === undefined) continue;
      result.kill = kill;
      result.check = name;
      break;
    }
    if (result.kill !== '') break;
  }
  if (change !== undefined) invalidate(change.file);
  return result;
}

/** The verdict of each of the `names`, with the search that the tests have; '' for a pass. */
async function runNamed({ id, change, files, names, budgetMs }) {
  mutant = change;
  if (change !== undefined) invalidate(change.file);
  const verdicts = {};
  for (const file of files) {
    runner.clearCache();
    for (const { name, run } of await checksOf(file)) {
      // Without a mutant all are asked for, known or not.
      if (change !== undefined && !names.includes(name)) continue;
      process.send({ alive: name });
      try {
        const { failure } = run({ budgetMs, shrink: false, minimise: false });
        verdicts[name] = failure?.kind ?? '';
      } catch (error) {
        verdicts[name] = `error: ${String(error?.message ?? error)
          .split('\n')[0]
          .slice(0, 120)}`;
      }
    }
  }
  if (change !== undefined) invalidate(change.file);
  return { id, verdicts };
}

process.on('message', async (job) => {
  const begin = performance.now();
  let result;
  try {
    result = await (job.names === undefined ? runMutant(job) : runNamed(job));
  } catch (error) {
    result = { id: job.id, kill: '', verdicts: {}, error: String(error?.stack ?? error) };
  }
  process.send({ result: { ...result, ms: Math.round(performance.now() - begin) } });
});
process.on('disconnect', () => process.exit(0));
process.send({ ready: dirname(collector) });
