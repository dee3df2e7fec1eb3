/** Results as people read them, and as programs do. */

import { machineInfo } from './machine-info.ts';
import type { Measurement, Result, Row } from './row.ts';

/** The object of `--json` for a measured row. */
export function resultOf(row: Row, measured: Measurement): Result {
  const { min, median, baseline, ratio } = measured;
  const within = row.foundation === null || (ratio !== null && ratio <= row.foundation);
  return {
    name: row.name,
    unit: 'ns',
    min: round(min),
    median: round(median),
    baseline:
      baseline === null
        ? null
        : { name: baseline.name, min: round(baseline.min), median: round(baseline.median) },
    ratio: ratio === null ? null : round(ratio),
    target: row.foundation,
    ok: within && measured.holds !== false,
  };
}

/** Three decimals below 100, one above. */
function round(value: number): number {
  return Number(value.toFixed(Math.abs(value) < 100 ? 3 : 1));
}

/** Head of the table, printed before the first row. */
export function tableHead(): string {
  const columns = line('name', 'min ns', 'median', 'base min', 'ratio', 'target', 'final', '');
  return [...machineInfo(), '', columns, '-'.repeat(columns.length)].join('\n');
}

/** One row of the table, with its baseline and what there is to say about it. */
export function tableRow(row: Row, result: Result, note: string | undefined): string {
  const { baseline, ratio } = result;
  const verdict = row.foundation === null && result.ok ? '' : result.ok ? 'ok' : 'MISSED';
  const figures = line(
    row.name,
    number(result.min),
    number(result.median),
    baseline === null ? '-' : number(baseline.min),
    ratio === null ? '-' : ratio.toFixed(ratio < 0.1 ? 3 : 2),
    row.foundation === null ? '-' : `<= ${row.foundation}`,
    row.final === null ? '-' : `<= ${row.final}`,
    verdict,
  );
  const against = baseline === null ? '' : `, against ${baseline.name}`;
  const notes = note === undefined ? '' : `\n    ${note}`;
  return `${figures}\n    ${row.what}${against}${notes}`;
}

function number(value: number): string {
  return value.toFixed(Math.abs(value) < 100 ? 2 : 0);
}

function line(name: string, ...columns: string[]): string {
  return `${name.padEnd(26)}${columns.map((column) => column.padStart(10)).join('')}`.trimEnd();
}
