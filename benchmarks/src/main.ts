/**
 * `pnpm --silent bench [--quick] [--json] [--versus] [NAME...]`: the rows (all, or those named,
 * or those whose name begins with NAME and a dot), a process each. Exit code 1 when a row could
 * not be measured; a missed target is a result, not an error.
 */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { resultOf, tableHead, tableRow } from './lib/report.ts';
import {
  type Effort,
  FULL,
  type Measurement,
  QUICK,
  type Result,
  type Row,
  type SideName,
} from './lib/row.ts';
import { ROWS, VERSUS } from './lib/rows.ts';

const run = promisify(execFile);
const measureFile = fileURLToPath(new URL('./measure.js', import.meta.url));

const { values, positionals } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    versus: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});

const rows = chooseRows(values.versus ? [...ROWS, ...VERSUS] : ROWS, positionals);
const effort = values.quick ? QUICK : FULL;
const results: Result[] = [];
if (!values.json) console.log(tableHead());
for (const row of rows) {
  try {
    const measured = await measureRow(row, effort);
    const result = resultOf(row, measured);
    results.push(result);
    if (!values.json) console.log(tableRow(row, result, measured.note));
  } catch (error) {
    process.exitCode = 1;
    const failure = error as Error & { stderr?: string };
    console.error(`${row.name}: ${failure.stderr || failure.message}`);
  }
}
if (values.json) console.log(JSON.stringify(results, null, 2));

function chooseRows(all: readonly Row[], names: readonly string[]): readonly Row[] {
  for (const name of names) {
    if (!all.some((row) => matches(row, name))) {
      console.error(`no row ${name}; there are:\n  ${all.map((row) => row.name).join('\n  ')}`);
      process.exit(2);
    }
  }
  return names.length === 0 ? all : all.filter((row) => names.some((name) => matches(row, name)));
}

function matches(row: Row, name: string): boolean {
  return row.name === name || row.name.startsWith(`${name}.`);
}

/** The row in `effort.processes` processes; of each side the smallest minimum and median. */
async function measureRow(row: Row, effort: Effort): Promise<Measurement> {
  let best: Measurement | undefined;
  let failure: unknown;
  for (let turn = 0; turn < effort.processes; turn++) {
    try {
      const measured = row.apart
        ? await measureApart(row, effort)
        : await measureSide(row, effort, 'subject');
      best = best === undefined ? measured : better(best, measured);
    } catch (error) {
      failure = error;
    }
  }
  if (best === undefined) throw failure;
  return best;
}

async function measureApart(row: Row, effort: Effort): Promise<Measurement> {
  const subject = await measureSide(row, effort, 'subject');
  const { min, median } = await measureSide(row, effort, 'baseline');
  const baseline = { name: 'level none', min, median };
  return { ...subject, baseline, ratio: subject.min / min };
}

async function measureSide(row: Row, effort: Effort, side: SideName): Promise<Measurement> {
  const parts = [measureFile, row.name, JSON.stringify(effort), side];
  const { stdout } = await run(process.execPath, parts);
  return JSON.parse(stdout) as Measurement;
}

function better(left: Measurement, right: Measurement): Measurement {
  const min = Math.min(left.min, right.min);
  const median = Math.min(left.median, right.median);
  const holds = left.holds !== false && right.holds !== false;
  if (left.baseline === null || right.baseline === null) return { ...left, min, median, holds };
  const baseline = {
    name: left.baseline.name,
    min: Math.min(left.baseline.min, right.baseline.min),
    median: Math.min(left.baseline.median, right.baseline.median),
  };
  return { ...left, min, median, holds, baseline, ratio: min / baseline.min };
}
