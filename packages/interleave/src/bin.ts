#!/usr/bin/env node
/**
 * `interleave merge [--html directory] <directory or file ...>`: adds up what the shards of a campaign
 * left behind (`EXPLORE_REPORT`), prints a report for each check, and exits with 1 when one of them
 * fails or a shard is missing.
 */

import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseReport } from './report/json.ts';
import { mergeReports } from './report/merge.ts';
import type { CheckReport } from './report/report.ts';

const USAGE = 'usage: interleave merge [--html directory] <directory or file ...>';

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
  console.log(`${checks.size} checks, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

try {
  const { values, positionals } = parseArgs({
    options: { html: { type: 'string' }, help: { type: 'boolean' } },
    allowPositionals: true,
  });
  const [command, ...paths] = positionals;
  if (values.help === true || command !== 'merge' || paths.length === 0) {
    console.log(USAGE);
    process.exitCode = values.help === true ? 0 : 2;
  } else process.exitCode = merge(paths, values.html);
} catch (error) {
  console.error(`interleave: ${(error as Error).message}`);
  process.exitCode = 2;
}
