/**
 * Three projects. `unit` resolves sibling packages to their TypeScript sources and starts no
 * worker; `cpus` runs what needs real workers (or crosses packages) against the built `dist`,
 * because a worker on Node 20 can load JavaScript only; `interleave` runs the sources on virtual
 * CPUs (test/interleave), transformed by the Vite plugin of `@umbuf/interleave`.
 */
import { fileURLToPath } from 'node:url';
import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { explore } from './packages/interleave/src/vite.ts';
import { mutated, sources } from './test/interleave/support/sources.ts';

const source = ['@umbuf/source'];
const dist = fileURLToPath(new URL('packages/interleave/dist/', import.meta.url));
/** Entries of `@umbuf/interleave` that checks and explored sources import. */
const explorer = [
  { find: /^@umbuf\/interleave$/, replacement: `${dist}index.js` },
  { find: /^@umbuf\/interleave\/vitest$/, replacement: `${dist}vitest.js` },
  { find: /^@umbuf\/interleave\/runtime$/, replacement: `${dist}runtime/index.js` },
  { find: /^@umbuf\/interleave\/guards$/, replacement: `${dist}transform/guards.js` },
];
/** Where `.ci/run` wants the counts. */
const report = process.env['UMBUF_TEST_REPORT'];

/** Files at once where no test needs the machine for itself; vitest would leave a core idle. */
const WORKERS = Math.max(2, availableParallelism() - 1);

export default defineConfig({
  test: {
    reporters: report === undefined ? ['default'] : ['default', 'json'],
    ...(report === undefined ? {} : { outputFile: { json: report } }),
    projects: [
      {
        // Nothing, but for generated mutants (test/interleave/mutate).
        plugins: [mutated()],
        resolve: { conditions: source },
        ssr: { resolve: { conditions: source } },
        test: {
          name: 'unit',
          pool: 'threads',
          maxWorkers: WORKERS,
          include: ['packages/*/test/**/*.test.ts'],
          testTimeout: 180_000,
        },
      },
      {
        test: {
          name: 'cpus',
          pool: 'forks',
          env: { UMBUF_STRESS_SECONDS: process.env['UMBUF_STRESS_SECONDS'] ?? '1' },
          include: ['test/**/*.test.ts'],
          exclude: ['**/dist/**', '**/node_modules/**'],
          testTimeout: 240_000,
          fileParallelism: false,
          // Alone: real workers share the machine with nobody.
          sequence: { groupOrder: 1 },
        },
      },
      {
        // What explored sources import from each other is explored too. The sources also hold what
        // no virtual CPU can run (async functions): that throws if a check reaches it.
        plugins: [
          sources(),
          explore({
            include: ['@umbuf/memory', '@umbuf/uma', '@umbuf/mbuf'],
            unsuspendable: 'guard',
          }),
        ],
        // The explorer itself is the built one, loaded by Node: Vitest's loader makes every import a
        // getter call, and a search eight times slower.
        resolve: { conditions: source, alias: explorer },
        ssr: { resolve: { conditions: source } },
        // The transform warns of each place that would throw.
        logLevel: 'error',
        test: {
          name: 'interleave',
          pool: 'threads',
          server: { deps: { external: [/\/packages\/interleave\/dist\//] } },
          maxWorkers: WORKERS,
          // Half of what CI has (.ci/run), so that the whole suite stays under six minutes.
          env: { UMBUF_EXPLORE_BUDGET_MS: process.env['UMBUF_EXPLORE_BUDGET_MS'] ?? '1000' },
          include: ['test/interleave/**/*.check.ts'],
        },
      },
    ],
  },
});
