/**
 * A strict reader of OpenMetrics text 1.0.0, written from the specification and independent of the
 * writer: it throws at everything that a scraper may refuse.
 */

export interface ParsedSample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
  /** As it stands in the text. */
  readonly text: string;
}

export interface ParsedFamily {
  readonly name: string;
  readonly type: string;
  readonly unit: string;
  readonly help: string;
  readonly samples: readonly ParsedSample[];
}

interface Open {
  name: string;
  type: string;
  unit: string;
  help: string;
  samples: ParsedSample[];
  described: Set<string>;
}

const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: ['_total', '_created'],
  gauge: [''],
  info: ['_info'],
  stateset: [''],
  histogram: ['_bucket', '_count', '_sum', '_created'],
};
const METRIC = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*/;
const NUMBER = /^[+-]?(\d+(\.\d*)?([eE][+-]?\d+)?|Inf|NaN)$/;

/** The families of the text. Throws for the first rule that it breaks, with the line. */
export function parseOpenMetrics(text: string): ParsedFamily[] {
  if (!text.endsWith('# EOF\n')) throw new Error('no # EOF line at the end');
  if (text !== text.toWellFormed()) throw new Error('not well-formed');
  const families: Open[] = [];
  const lines = text.slice(0, -'# EOF\n'.length).split('\n');
  if (lines.pop() !== '') throw new Error('# EOF is not on a line of its own');
  for (const line of lines) {
    try {
      parseLine(line, families);
    } catch (error) {
      throw new Error(`${(error as Error).message}: ${line}`, { cause: error });
    }
  }
  families.forEach(checkFamily);
  return families;
}

function parseLine(line: string, families: Open[]): void {
  if (line.startsWith('#')) {
    const [, keyword, name, rest] =
      /^# (TYPE|UNIT|HELP) (\S+) (.*)$/s.exec(line) ?? fail('bad comment');
    let family = families.at(-1);
    if (family?.name !== name) {
      if (families.some((other) => other.name === name)) fail('families are interleaved');
      family = { name: name!, type: '', unit: '', help: '', samples: [], described: new Set() };
      families.push(family);
    }
    if (METRIC.exec(family.name)?.[0] !== family.name) fail('bad metric name');
    if (family.samples.length > 0) fail('metadata behind samples');
    if (family.described.has(keyword!)) fail('metadata twice');
    family.described.add(keyword!);
    if (keyword === 'TYPE') family.type = rest!;
    if (keyword === 'UNIT') family.unit = rest!;
    if (keyword === 'HELP') family.help = unescape(rest!);
    return;
  }
  const family = families.at(-1) ?? fail('a sample before its metadata');
  const sample = parseSample(line);
  const suffixes = SUFFIXES[family.type] ?? fail('unknown type');
  if (!suffixes.some((suffix) => sample.name === family.name + suffix)) fail('not of the family');
  family.samples.push(sample);
}

function parseSample(line: string): ParsedSample {
  const name = METRIC.exec(line)?.[0] ?? fail('bad sample name');
  let rest = line.slice(name.length);
  const labels = new Map<string, string>();
  if (rest.startsWith('{')) {
    rest = rest.slice(1);
    while (!rest.startsWith('}')) {
      const label = LABEL.exec(rest)?.[0] ?? fail('bad label name');
      const [whole, value] =
        /^="((?:[^"\\\n]|\\.)*)"/s.exec(rest.slice(label.length)) ?? fail('bad label value');
      if (labels.has(label)) fail('label twice');
      labels.set(label, unescape(value!));
      rest = rest.slice(label.length + whole!.length);
      if (rest.startsWith(',') && rest[1] !== '}') rest = rest.slice(1);
      else if (!rest.startsWith('}')) fail('no comma between labels');
    }
    if (labels.size === 0) fail('empty label set with braces');
    rest = rest.slice(1);
  }
  const [, text] = /^ (\S+)$/.exec(rest) ?? fail('no single value');
  if (!NUMBER.test(text!)) fail('bad number');
  return { name, labels, text: text!, value: Number(text!.replace('Inf', 'Infinity')) };
}

function unescape(text: string): string {
  return text.replace(/\\(.?)|"/gs, (escaped, letter: string | undefined) => {
    if (escaped === '"') return fail('quote without backslash');
    const found = { n: '\n', '"': '"', '\\': '\\' }[letter ?? ''];
    return found ?? fail('unknown escape');
  });
}

function checkFamily({ name, type, unit, samples }: Open): void {
  if (type === '') fail(`${name}: no type`);
  if (unit !== '' && !name.endsWith(`_${unit}`)) fail(`${name}: does not end with its unit`);
  const seen = new Set<string>();
  for (const { name: sample, labels, value } of samples) {
    const key = `${sample} ${[...labels].map((pair) => JSON.stringify(pair)).toSorted()}`;
    if (seen.has(key)) fail(`${key}: twice`);
    seen.add(key);
    for (const label of labels.keys()) if (label.startsWith('__')) fail(`${name}: label ${label}`);
    if (type === 'counter' && !(value >= 0)) fail(`${name}: negative counter`);
    if (type === 'info' && value !== 1) fail(`${name}: info is 1`);
    if (type === 'stateset' && (!labels.has(name) || (value !== 0 && value !== 1))) {
      fail(`${name}: no state set`);
    }
  }
  if (type === 'histogram') checkHistogram(name, samples);
}

function checkHistogram(name: string, samples: readonly ParsedSample[]): void {
  let last = { bound: -Infinity, count: 0 };
  for (const { name: sample, labels, value } of samples) {
    if (sample === `${name}_bucket`) {
      const bound = Number(labels.get('le')!.replace('Inf', 'Infinity'));
      if (last.bound === Infinity) last = { bound: -Infinity, count: 0 };
      if (!(bound > last.bound)) fail(`${name}: bounds do not rise`);
      if (value < last.count) fail(`${name}: counts fall`);
      last = { bound, count: value };
    } else if (last.bound !== Infinity) fail(`${name}: no +Inf bucket`);
    if (sample === `${name}_count` && value !== last.count) fail(`${name}: count is not +Inf's`);
  }
}

function fail(what: string): never {
  throw new Error(what);
}
