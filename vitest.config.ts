/**
 * Two projects. `unit` resolves sibling packages to their TypeScript sources and starts no
 * worker; `cpus` runs what needs real workers (or crosses packages) against the built `dist`,
 * because a worker on Node 20 can load JavaScript only.
 */
import { defineConfig } from 'vitest/config';

const source = ['@umbuf/source'];
/** Where `.ci/run` wants the counts. */
const report = process.env['UMBUF_TEST_REPORT'];

export default defineConfig({
  test: {
    reporters: report === undefined ? ['default'] : ['default', 'json'],
    ...(report === undefined ? {} : { outputFile: { json: report } }),
    projects: [
      {
        resolve: { conditions: source },
        ssr: { resolve: { conditions: source } },
        test: {
          name: 'unit',
          pool: 'threads',
          include: ['packages/*/test/**/*.test.ts'],
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'cpus',
          pool: 'forks',
          include: ['test/**/*.test.ts'],
          exclude: ['**/dist/**', '**/node_modules/**'],
          testTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
