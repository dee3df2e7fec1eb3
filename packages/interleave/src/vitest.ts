/**
 * `@umbuf/interleave/vitest`: the same `check`, each call a vitest test that fails with the report.
 *
 * Failing schedules go to `__schedules__/<test file>.json` beside the test and run first from then
 * on; a page to step through goes next to them. Environment: `EXPLORE_REPLAY='name:0x5.1x9'`
 * follows one schedule; `EXPLORE_BUDGET=ms`, `EXPLORE_SEED=n` and `EXPLORE_SHARD=i/n` override the
 * options of every check (shards from 1, as vitest's own); `EXPLORE_REPORT=directory` writes each
 * report as JSON, for `interleave merge directory`. On CI (`CI` set) nothing else is written.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { check as explore } from './check.ts';
import type { Operations, OperationsOptions } from './generate.ts';
import type { CheckOptions, Expectation } from './options.ts';
import type { CheckReport } from './report/report.ts';
import { serializeReport } from './report/json.ts';
import type { End, Scenario } from './scenario.ts';
import type { StoredSchedule } from './search/store.ts';

export type { Operations, OperationsOptions } from './generate.ts';
export type { CheckOptions, CrashMode, CrashOptions, Expectation } from './options.ts';
export type { CheckReport } from './report/report.ts';
export { type CollectionOptions, model } from './oracle/models.ts';
export { op } from './runtime/hand.ts';
export type { Scenario } from './scenario.ts';

type Stored = Record<string, StoredSchedule[]>;

/** Replays of one name at most, newest first. */
const KEEP = 8;

function file(): string {
  const path = expect.getState().testPath ?? 'check';
  return join(dirname(path), '__schedules__', `${basename(path)}.json`);
}

function load(): Stored {
  try {
    return JSON.parse(readFileSync(file(), 'utf8')) as Stored;
  } catch {
    return {};
  }
}

function save(name: string, report: CheckReport): void {
  if (process.env['CI'] || report.stored === null) return;
  const all = load();
  const { stored } = report;
  const others = (all[name] ?? []).filter(({ schedule }) => schedule !== stored.schedule);
  all[name] = [stored, ...others].slice(0, KEEP);
  mkdirSync(dirname(file()), { recursive: true });
  writeFileSync(file(), `${JSON.stringify(all, null, 1)}\n`);
  const page = join(dirname(file()), `${fileName(`${basename(file(), '.json')}.${name}`)}.html`);
  writeFileSync(page, report.html(sourceOf));
}

/** For the page: the sources of the accesses that it shows. */
function sourceOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** One file for each check and shard, named after the test file too. */
function write(name: string, report: CheckReport): void {
  const { EXPLORE_REPORT } = process.env;
  if (!EXPLORE_REPORT) return;
  mkdirSync(EXPLORE_REPORT, { recursive: true });
  const [i, n] = report.shard;
  const shard = n === 1 ? '' : `.${i + 1}-of-${n}`;
  const path = expect.getState().testPath ?? 'check';
  const file = `${fileName(basename(path))}.${fileName(name)}${shard}.json`;
  writeFileSync(join(EXPLORE_REPORT, file), serializeReport(report));
}

/** `i/n`, from 1 as vitest's own `--shard`; throws when it is not one. */
function shardOf(text: string): readonly [number, number] {
  const [, i, n] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  if (Number(i) < 1 || Number(i) > Number(n) || n === undefined) {
    throw new RangeError(`EXPLORE_SHARD is '${text}', not one of 1/n to n/n`);
  }
  return [Number(i) - 1, Number(n)];
}

function numberOf(variable: string, text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value)) throw new RangeError(`${variable} is '${text}', not a number`);
  return value;
}

function fileName(name: string): string {
  return name.replace(/[^\w.-]+/g, '-');
}

/** `name:schedule`; a schedule has no colon. */
function replayed(text: string): { readonly name: string; readonly schedule: string } {
  const colon = text.lastIndexOf(':');
  return { name: text.slice(0, Math.max(colon, 0)), schedule: text.slice(colon + 1) };
}

function settings<O extends CheckOptions>(name: string, options: O): O {
  const { EXPLORE_REPLAY, EXPLORE_BUDGET, EXPLORE_SEED, EXPLORE_SHARD } = process.env;
  return {
    ...options,
    stored: [...(options.stored ?? []), ...(load()[name] ?? [])],
    ...(EXPLORE_BUDGET ? { budgetMs: numberOf('EXPLORE_BUDGET', EXPLORE_BUDGET) } : {}),
    ...(EXPLORE_SEED ? { seed: numberOf('EXPLORE_SEED', EXPLORE_SEED) } : {}),
    ...(EXPLORE_SHARD ? { shard: shardOf(EXPLORE_SHARD) } : {}),
    ...(EXPLORE_REPLAY && replayed(EXPLORE_REPLAY).name === name
      ? { replay: replayed(EXPLORE_REPLAY).schedule }
      : {}),
  };
}

/** Throws the report of a check that failed, with the line that replays it. */
export function assertReport(report: CheckReport): void {
  const { failure } = report;
  if (failure === null) return;
  if (failure.replay !== '' && !failure.replay.startsWith('EXPLORE_REPLAY')) {
    const path = basename(expect.getState().testPath ?? '');
    const quoted = failure.replay.replaceAll("'", `'\\''`);
    failure.replay = `EXPLORE_REPLAY='${quoted}' npx vitest run ${path}`;
  }
  const error = new Error(report.text(), { cause: failure.error });
  error.name = `${failure.kind} in ${report.name}`;
  // The stack would be the explorer's; the report has the program's.
  error.stack = `${error.name}\n${error.message}`;
  throw error;
}

function register<O extends CheckOptions>(
  name: string,
  options: O,
  body: (options: O) => CheckReport,
): void {
  const budget = Number(process.env['EXPLORE_BUDGET'] ?? options.budgetMs ?? 2000);
  test(
    name,
    ({ skip }) => {
      const { EXPLORE_REPLAY } = process.env;
      // Skipped, not passed: a name that no check has shows.
      if (EXPLORE_REPLAY && replayed(EXPLORE_REPLAY).name !== name) skip('another is replayed');
      const report = body(settings(name, options));
      write(name, report);
      save(name, report);
      assertReport(report);
      if (process.env['EXPLORE_VERBOSE']) console.log(report.text());
    },
    budget * 2 + 20_000,
  );
}

/** As `check` of the main entry, each call a test. */
export interface CheckTest {
  <C, P>(name: string, scenario: Scenario<C, P>, options?: CheckOptions): void;
  generators<C, P>(name: string, scenario: Scenario<C, P>, options?: CheckOptions): void;
  outcomes<C>(
    name: string,
    scenario: Scenario<C> & { readonly outcome: (context: C, end: End) => string },
    table: Readonly<Record<string, Expectation>>,
    options?: CheckOptions,
  ): void;
  ops<C, P>(name: string, spec: Operations<C, P>, options?: OperationsOptions): void;
}

/** Registers a test that explores a scenario and fails with its report. */
export const check: CheckTest = Object.assign(
  ((name, scenario, options = {}) => {
    register(name, options, (o) => explore(name, scenario, o));
  }) as CheckTest,
  {
    generators: ((name, scenario, options = {}) => {
      register(name, options, (o) => explore.generators(name, scenario, o));
    }) as CheckTest['generators'],
    outcomes: ((name, scenario, table, options = {}) => {
      register(name, options, (o) => explore.outcomes(name, scenario, table, o));
    }) as CheckTest['outcomes'],
    ops: ((name, spec, options = {}) => {
      register(name, options, (o) => explore.ops(name, spec, o));
    }) as CheckTest['ops'],
  },
);
