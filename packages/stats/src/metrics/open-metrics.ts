/**
 * OpenMetrics text, version 1.0.0 (what Prometheus scrapes), as a pure function of metric families.
 * Every rule of the format that a family can break is checked before a line is written: what comes
 * out is valid, or `MetricError` says why not.
 */

import {
  type HistogramFamily,
  MetricError,
  type MetricFamily,
  type MetricLabels,
  type MetricValue,
} from './family.ts';

/** The `Content-Type` of the text. */
export const OPEN_METRICS_TYPE = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL = /^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/;

/** Suffixes of the samples of each type: a family owns its name with each of them. */
const SUFFIXES: Readonly<Record<MetricFamily['type'], readonly string[]>> = {
  gauge: [''],
  counter: ['_total', '_created'],
  info: ['_info'],
  stateset: [''],
  histogram: ['_bucket', '_count', '_sum', '_created'],
};

/** The families as text, in their order, with `# EOF` at the end. Throws `MetricError`. */
export function formatOpenMetrics(families: readonly MetricFamily[]): string {
  checkFamilies(families);
  const lines = families.flatMap(linesOf);
  return `${[...lines, '# EOF'].join('\n')}\n`;
}

function linesOf(family: MetricFamily): string[] {
  const { name, type, unit, help } = family;
  const head = [`# TYPE ${name} ${type}`];
  if (unit !== undefined) head.push(`# UNIT ${name} ${unit}`);
  if (help !== '') head.push(`# HELP ${name} ${escape(help)}`);
  return [...head, ...samplesOf(family)];
}

function samplesOf(family: MetricFamily): string[] {
  const { name } = family;
  switch (family.type) {
    case 'gauge':
      return family.samples.map(({ labels, value }) => line(name, labels, value));
    case 'counter':
      return family.samples.map(({ labels, value }) => line(`${name}_total`, labels, value));
    case 'info':
      return family.samples.map(({ labels }) => line(`${name}_info`, labels, 1));
    case 'stateset':
      return family.samples.flatMap(({ labels, state }) =>
        family.states.map((each) =>
          line(name, { ...labels, [name]: each }, each === state ? 1 : 0),
        ),
      );
    case 'histogram':
      return histogramLines(family);
    default:
      throw new MetricError(`metric ${name}: no such type`);
  }
}

function histogramLines({ name, samples }: HistogramFamily): string[] {
  const lines: string[] = [];
  for (const { labels, buckets, above, sum } of samples) {
    let count = 0n;
    for (const bucket of buckets) {
      count += BigInt(bucket.count);
      lines.push(line(`${name}_bucket`, { ...labels, le: boundText(bucket.upTo) }, count));
    }
    count += BigInt(above);
    lines.push(line(`${name}_bucket`, { ...labels, le: '+Inf' }, count));
    lines.push(line(`${name}_count`, labels, count), line(`${name}_sum`, labels, sum));
  }
  return lines;
}

function line(name: string, labels: MetricLabels, value: MetricValue): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escape(text)}"`);
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${numberText(value)}`;
}

/** Texts of the format: backslash, quote and newline escaped; what is no Unicode is replaced. */
function escape(text: string): string {
  return text
    .toWellFormed()
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('\n', '\\n');
}

function numberText(value: MetricValue): string {
  if (typeof value === 'bigint' || Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}

/** Bounds are floats in the canonical form, which is that of C's %g: `1.0`, `0.25`, `1e-06`. */
function boundText(bound: number): string {
  const small = bound !== 0 && Math.abs(bound) < 1e-4;
  const text = small ? bound.toExponential() : String(bound);
  if (!/[.e]/.test(text)) return `${text}.0`;
  return text.replace(/e([+-])(\d)$/, 'e$10$2');
}

function checkFamilies(families: readonly MetricFamily[]): void {
  const owners = new Map<string, string>();
  for (const family of families) {
    const { name } = family;
    // The bare name is the family's too: `foo` and a counter `foo` would share their metadata.
    for (const suffix of new Set(['', ...SUFFIXES[family.type]])) {
      const other = owners.get(name + suffix);
      if (other !== undefined) wrong(name, `clashes with ${other} in ${name}${suffix}`);
      owners.set(name + suffix, name);
    }
    checkFamily(family);
  }
}

function checkFamily(family: MetricFamily): void {
  const { name, type, unit } = family;
  if (!NAME.test(name)) wrong(name, 'bad name');
  for (const suffix of SUFFIXES[type]) {
    if (suffix !== '' && name.endsWith(suffix)) wrong(name, `the name has the suffix ${suffix}`);
  }
  if (unit !== undefined) {
    if (!name.endsWith(`_${unit}`)) wrong(name, `the name does not end with its unit ${unit}`);
    if (type === 'info' || type === 'stateset') wrong(name, `${type} has no unit`);
  }
  const reserved = type === 'stateset' ? name : type === 'histogram' ? 'le' : '';
  const seen = new Set<string>();
  for (const { labels } of family.samples) {
    for (const label of Object.keys(labels)) {
      if (!LABEL.test(label) || label === reserved) wrong(name, `bad label ${label}`);
    }
    const key = JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)));
    if (seen.has(key)) wrong(name, `two samples with the labels ${key}`);
    seen.add(key);
  }
  checkValues(family);
}

function checkValues(family: MetricFamily): void {
  const { name } = family;
  if (family.type === 'counter') {
    const bad = family.samples.find(({ value }) => !(value >= 0) || value === Infinity);
    if (bad !== undefined) wrong(name, `${bad.value} is no value of a counter`);
  }
  if (family.type === 'stateset') {
    if (new Set(family.states).size !== family.states.length) wrong(name, 'a state stands twice');
    const bad = family.samples.find(({ state }) => !family.states.includes(state));
    if (bad !== undefined) wrong(name, `no state ${bad.state}`);
  }
  if (family.type !== 'histogram') return;
  for (const { buckets, above, sum } of family.samples) {
    if (!(sum >= 0)) wrong(name, `a sum of ${sum}`);
    if (!(above >= 0)) wrong(name, `a count of ${above}`);
    for (const [index, { upTo, count }] of buckets.entries()) {
      if (!(count >= 0)) wrong(name, `a count of ${count}`);
      if (!Number.isFinite(upTo)) wrong(name, `a bound of ${upTo}`);
      if (index > 0 && upTo <= buckets[index - 1]!.upTo) wrong(name, 'bounds that do not rise');
    }
  }
}

function wrong(name: string, what: string): never {
  throw new MetricError(`metric ${JSON.stringify(name)}: ${what}`);
}
