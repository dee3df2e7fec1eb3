/** The OpenMetrics writer against a strict reader, and the rules that it refuses to break. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  counter,
  formatOpenMetrics,
  gauge,
  MetricError,
  type MetricFamily,
  metricsDocument,
} from '../src/index.ts';
import { parseOpenMetrics } from './support/open-metrics-parser.ts';

const one = [{ labels: {}, value: 1 }];

/** A family of each type, with everything that is special in it. */
const families: readonly MetricFamily[] = [
  gauge('queue_size_bytes', 'Line one\nsays "two" \\ three', [
    { labels: { name: 'a "b"\\\n{c}' }, value: 1.5 },
    { labels: { name: 'plain' }, value: -(2 ** 40) },
    { labels: { name: 'big' }, value: 2n ** 63n },
    { labels: { name: 'none' }, value: Number.NaN },
    { labels: { name: 'all' }, value: Number.NEGATIVE_INFINITY },
  ]),
  counter('wait_seconds', '', [{ labels: { cpu: '0', zone: 'x' }, value: 1e-7 }]),
  { name: 'build', type: 'info', help: 'h', samples: [{ labels: { version: '1' } }] },
  {
    name: 'cpu_state',
    type: 'stateset',
    help: 'h',
    states: ['idle', 'running'],
    samples: [{ labels: { cpu: '3' }, state: 'running' }],
  },
  {
    name: 'latency_seconds',
    type: 'histogram',
    unit: 'seconds',
    help: 'h',
    samples: [
      {
        labels: { zone: 'x' },
        buckets: [
          { upTo: 1e-6, count: 2 },
          { upTo: 1, count: 3n },
          { upTo: 2.5, count: 0 },
        ],
        above: 1,
        sum: 7.5,
      },
    ],
  },
];

test('every type as text, line by line', () => {
  expect(formatOpenMetrics(families)).toBe(
    [
      '# TYPE queue_size_bytes gauge',
      '# UNIT queue_size_bytes bytes',
      '# HELP queue_size_bytes Line one\\nsays \\"two\\" \\\\ three',
      'queue_size_bytes{name="a \\"b\\"\\\\\\n{c}"} 1.5',
      'queue_size_bytes{name="plain"} -1099511627776',
      'queue_size_bytes{name="big"} 9223372036854775808',
      'queue_size_bytes{name="none"} NaN',
      'queue_size_bytes{name="all"} -Inf',
      '# TYPE wait_seconds counter',
      '# UNIT wait_seconds seconds',
      'wait_seconds_total{cpu="0",zone="x"} 1e-7',
      '# TYPE build info',
      '# HELP build h',
      'build_info{version="1"} 1',
      '# TYPE cpu_state stateset',
      '# HELP cpu_state h',
      'cpu_state{cpu="3",cpu_state="idle"} 0',
      'cpu_state{cpu="3",cpu_state="running"} 1',
      '# TYPE latency_seconds histogram',
      '# UNIT latency_seconds seconds',
      '# HELP latency_seconds h',
      'latency_seconds_bucket{zone="x",le="1e-06"} 2',
      'latency_seconds_bucket{zone="x",le="1.0"} 5',
      'latency_seconds_bucket{zone="x",le="2.5"} 5',
      'latency_seconds_bucket{zone="x",le="+Inf"} 6',
      'latency_seconds_count{zone="x"} 6',
      'latency_seconds_sum{zone="x"} 7.5',
      '# EOF',
      '',
    ].join('\n'),
  );
  expect(formatOpenMetrics([])).toBe('# EOF\n');
});

test('a strict reader finds every value again', () => {
  const parsed = parseOpenMetrics(formatOpenMetrics(families));
  expect(parsed.map(({ name, type, unit }) => [name, type, unit])).toEqual(
    families.map(({ name, type, unit = '' }) => [name, type, unit]),
  );
  expect(parsed[0]!.help).toBe('Line one\nsays "two" \\ three');
  expect(parsed[0]!.samples[0]!.labels.get('name')).toBe('a "b"\\\n{c}');
  expect(parsed[0]!.samples[2]!.text).toBe('9223372036854775808');
});

test('whatever stands in labels and help, the reader finds it again', () => {
  const texts = fc.array(fc.string({ unit: 'binary' }), { maxLength: 5 });
  fc.assert(
    fc.property(texts, fc.string({ unit: 'binary' }), fc.double(), (values, help, number) => {
      const samples = [...new Set(values)].map((text) => ({ labels: { text }, value: number }));
      const [parsed] = parseOpenMetrics(formatOpenMetrics([gauge('any', `h ${help}`, samples)]));
      expect(parsed!.help).toBe(`h ${help}`);
      expect(parsed!.samples.map(({ labels }) => labels.get('text'))).toEqual([...new Set(values)]);
      for (const { value } of parsed!.samples) expect(value + 0).toEqual(number + 0);
    }),
    { seed: 20_280, numRuns: 200 },
  );
});

test('half a surrogate pair becomes a replacement character', () => {
  const text = formatOpenMetrics([gauge('any', '', [{ labels: { text: '\ud800x' }, value: 1 }])]);
  expect(text).toContain('any{text="\ufffdx"} 1');
});

describe('MetricError names family and rule', () => {
  const histogram = (buckets: readonly { upTo: number; count: number }[]): MetricFamily => ({
    name: 'h',
    type: 'histogram',
    help: '',
    samples: [{ labels: {}, buckets, above: 0, sum: 0 }],
  });
  const cases: readonly (readonly [what: RegExp, ...MetricFamily[]])[] = [
    [/"a-b": bad name/, gauge('a-b', '', [])],
    [/"1a": bad name/, gauge('1a', '', [])],
    [/"a_total": the name has the suffix _total/, counter('a_total', '', [])],
    [/"a": clashes with a in a/, gauge('a', '', []), counter('a', '', [])],
    [/"a_total": clashes with a in a_total/, counter('a', '', []), gauge('a_total', '', [])],
    [/clashes with a in a_created/, counter('a', '', []), gauge('a_created', '', [])],
    [/does not end with its unit/, { ...gauge('a', '', []), unit: 'bytes' }],
    [/info has no unit/, { name: 'a_s', type: 'info', unit: 's', help: '', samples: [] }],
    [/bad label b-c/, gauge('a', '', [{ labels: { 'b-c': '' }, value: 1 }])],
    [/bad label __b/, gauge('a', '', [{ labels: { __b: '' }, value: 1 }])],
    [/two samples with the labels/, gauge('a', '', [...one, ...one])],
    [
      /two samples with the labels/,
      gauge('a', '', [
        { labels: { x: '1', y: '2' }, value: 1 },
        { labels: { y: '2', x: '1' }, value: 1 },
      ]),
    ],
    [/-1 is no value of a counter/, counter('a', '', [{ labels: {}, value: -1n }])],
    [/NaN is no value of a counter/, counter('a', '', [{ labels: {}, value: Number.NaN }])],
    [
      /no state c/,
      {
        name: 'a',
        type: 'stateset',
        help: '',
        states: ['b'],
        samples: [{ labels: {}, state: 'c' }],
      },
    ],
    [
      /a state stands twice/,
      { name: 'a', type: 'stateset', help: '', states: ['b', 'b'], samples: [] },
    ],
    [
      /bounds that do not rise/,
      histogram([
        { upTo: 2, count: 1 },
        { upTo: 2, count: 1 },
      ]),
    ],
    [/a count of -1/, histogram([{ upTo: 2, count: -1 }])],
    [/a bound of Infinity/, histogram([{ upTo: Infinity, count: 1 }])],
  ];
  test.each(cases.map(([what, ...broken]) => ({ what, broken })))('$what', ({ what, broken }) => {
    expect(() => formatOpenMetrics(broken)).toThrow(MetricError);
    expect(() => formatOpenMetrics(broken)).toThrow(what);
  });
});

test('the reader refuses what no writer may write', () => {
  const bad = [
    '# TYPE a gauge\na 1\n',
    '# TYPE a gauge\na 1\n# EOF',
    'a 1\n# EOF\n',
    '# TYPE a gauge\n# TYPE b gauge\nb 1\n# HELP a x\n# EOF\n',
    '# TYPE a counter\na 1\n# EOF\n',
    '# TYPE a gauge\na{b="c\\x"} 1\n# EOF\n',
    '# TYPE a gauge\na{b="c"} 1 \n# EOF\n',
    '# TYPE a gauge\na{b="c"} 1\na{b="c"} 2\n# EOF\n',
    '# TYPE a gauge\n\na 1\n# EOF\n',
  ];
  for (const text of bad) expect(() => parseOpenMetrics(text), text).toThrow();
});

test('JSON of the same model has stable keys', () => {
  const { version, metrics } = metricsDocument(families);
  expect(version).toBe(1);
  for (const metric of metrics) {
    expect(Object.keys(metric)).toEqual(['name', 'type', 'unit', 'help', 'samples']);
  }
  expect(metrics.map(({ samples }) => samples[0])).toEqual([
    { labels: { name: 'a "b"\\\n{c}' }, value: 1.5 },
    { labels: { cpu: '0', zone: 'x' }, value: 1e-7 },
    { labels: { version: '1' } },
    { labels: { cpu: '3' }, state: 'running' },
    {
      labels: { zone: 'x' },
      buckets: [
        { upTo: 1e-6, count: 2 },
        { upTo: 1, count: 3 },
        { upTo: 2.5, count: 0 },
      ],
      above: 1,
      sum: 7.5,
    },
  ]);
});
