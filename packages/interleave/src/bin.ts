#!/usr/bin/env node
/**
 * `interleave run [--shard i/n] [--budget ms] [--seed n] [--report directory] [vitest argument ...]`: vitest
 * with the settings of every check, as the variables of vitest.ts say them.
 *
 * `interleave merge [--html directory] <directory or file ...>`: adds up what the shards of a campaign
 * left behind (`EXPLORE_REPORT`), prints a report for each check, and exits with 1 when one of them
 * fails or a shard is missing.
 */

import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseReport } from './report/json.ts';
import { mergeReports } from './report/merge.ts';
import type { CheckReport } from './report/report.ts';

const USAGE = `usage: interleave run [--shard i/n] [--budget ms] [--seed n] [--report directory] [vitest argument ...]
       interleave merge [--html directory] <directory or file ...>`;

/** Options of `run`, and the variables that hold them for the checks. */
const SETTINGS = {
  shard: 'EXPLORE_SHARD',
  budget: 'EXPLORE_BUDGET',
  seed: 'EXPLORE_SEED',
  report: 'EXPLORE_REPORT',
} as const;

/** Runs the vitest of the current directory; its exit code. */
function run(
  values: Readonly<Record<string, string | boolean | undefined>>,
  args: readonly string[],
): number {
  const env: NodeJS.ProcessEnv = { ...process.env };
  for (const [option, variable] of Object.entries(SETTINGS)) {
    const value = values[option];
    if (typeof value === 'string') env[variable] = value;
  }
  const manifest = createRequire(join(process.cwd(), 'package.json')).resolve(
    'vitest/package.json',
  );
  const vitest = join(dirname(manifest), 'vitest.mjs');
  const { status } = spawnSync(process.execPath, [vitest, 'run', ...args], {
    stdio: 'inherit',
    env,
  });
  return status ?? 1;
}

/** The JSON files that the arguments name, directories searched. */
function filesOf(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (!statSync(path).isDirectory()) return [path];
    const names = readdirSync(path, { recursive: true, encoding: 'utf8' });
    return names.filter((name) => name.endsWith('.json')).map((name) => join(path, name));
  });
}

/** Reports by check: the file's name without its shard. */
function byCheck(files: readonly string[]): Map<string, CheckReport[]> {
  const checks = new Map<string, CheckReport[]>();
  for (const file of files.toSorted()) {
    let report: CheckReport;
    try {
      report = parseReport(readFileSync(file, 'utf8'));
    } catch (error) {
      throw new Error(`${file}: ${(error as Error).message}`, { cause: error });
    }
    const key = basename(file).replace(/(\.\d+-of-\d+)?\.json$/, '');
    checks.set(key, [...(checks.get(key) ?? []), report]);
  }
  return checks;
}

function sourceOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function merge(paths: readonly string[], html: string | undefined): number {
  const checks = byCheck(filesOf(paths));
  if (checks.size === 0) throw new Error('no reports there');
  let failed = 0;
  for (const [key, reports] of checks) {
    const merged = mergeReports(reports);
    if (!merged.ok) failed++;
    console.log(`${merged.text()}\n`);
    if (html === undefined || merged.failure === null) continue;
    mkdirSync(html, { recursive: true });
    writeFileSync(join(html, `${key}.html`), merged.html(sourceOf));
  }
  console.log(`${checks.size} ${checks.size === 1 ? 'check' : 'checks'}, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

try {
  const text = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    options: {
      html: text,
      shard: text,
      budget: text,
      seed: text,
      report: text,
      help: { type: 'boolean' },
    },
    allowPositionals: true,
  });
  const [command, ...rest] = positionals;
  if (values.help === true) console.log(USAGE);
  else if (command === 'run') process.exitCode = run(values, rest);
  else if (command === 'merge' && rest.length > 0) process.exitCode = merge(rest, values.html);
  else {
    console.error(USAGE);
    process.exitCode = 2;
  }
} catch (error) {
  console.error(`interleave: ${(error as Error).message}`);
  process.exitCode = 2;
}
