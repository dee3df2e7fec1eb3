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

const RUNS = Number(process.env.UMBUF_MUTANT_RUNS ?? 600);
const MS = Number(process.env.UMBUF_MUTANT_BUDGET_MS ?? 4000);

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
        if (mutant !== undefined && file === root + mutant.file) {
          code = code.slice(0, mutant.start) + mutant.after + code.slice(mutant.end);
        }
        return code.replace(LONG_SPIN, '$1 = 40;');
      },
    },
    explore({ include: ['@umbuf/memory', '@umbuf/uma', '@umbuf/mbuf'], unsuspendable: 'guard' }),
  ],
});
const { moduleGraph } = server.environments.ssr;
const runner = createServerModuleRunner(server.environments.ssr, { hmr: false });

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

/** Verdict of one check: a kill, '' for none, or what was not reached. */
function verdictOf(run) {
  let unreached = '';
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
    if (failure !== null && KILLS.has(failure.kind)) return { kill: failure.kind };
    if (options === sampled && failure?.kind === 'unreachable') unreached = failure.message;
  }
  return { unreached };
}

async function runMutant({ id, change, files }) {
  mutant = change;
  if (change !== undefined) invalidate(change.file);
  const result = { id, kill: '', check: '', unreached: [], checks: 0 };
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
      const { kill, unreached } = verdictOf(run);
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

process.on('message', async (job) => {
  const begin = performance.now();
  const result = await runMutant(job);
  process.send({ result: { ...result, ms: Math.round(performance.now() - begin) } });
});
process.on('disconnect', () => process.exit(0));
process.send({ ready: dirname(collector) });
