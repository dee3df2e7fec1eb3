/**
 * Reports, replay, shrinking, storing and sharding: what a user does after a failure.
 */
import { describe, expect, test } from 'vitest';
import {
  check,
  type CheckReport,
  mergeReports,
  op,
  parseReport,
  serializeReport,
  type Scenario,
  type Steps,
} from '../src/index.ts';
import { format, parse, switches } from '../src/search/schedule.ts';
import { content, makeStack, pop, push, type Stack } from './algorithms/stack.ts';

const aba: Scenario = {
  setup: () => ({ s: makeStack(false, 3), a: [] as number[], b: [] as number[] }),
  cpus: {
    *a({ s, a }: { s: Stack; a: number[] }): Steps {
      a.push(yield* pop(s));
    },
    *b({ s, b }: { s: Stack; b: number[] }): Steps {
      const one = yield* pop(s);
      b.push(yield* pop(s));
      yield* push(s, one);
    },
  },
  final: ({ s, a, b }) =>
    expect([...content(s), ...a, ...b].sort((x, y) => x - y)).toEqual([1, 2, 3]),
  words: [
    { byteOffset: 0, name: 'head', size: 8 },
    { byteOffset: 12, name: 'next[1]' },
  ],
};

describe('schedules as text', () => {
  test('round trip, deaths and picks included', () => {
    const text = '0x5.1!.0^2.2x1';
    expect(format(parse(text))).toBe(text);
    expect(switches(parse('0x5.1x9.0x1'))).toBe(2);
  });
  test('nonsense is a SyntaxError that names the part', () => {
    expect(() => parse('0x5.foo')).toThrow(/'foo'/);
  });
});

describe('a failure', () => {
  const report = check('aba', aba, { budgetMs: 1000 });

  test('is shrunk to two switches and reported in full', () => {
    const text = report.text();
    expect(switches(parse(report.failure?.schedule ?? ''))).toBe(2);
    expect(text.indexOf('final: aba')).toBe(0);
    expect(text).toMatch(/step +a +\| b/);
    expect(text).toMatch(/CAS head 1n -> 2n +pop: CAS head/);
    expect(text).toContain(`replay: aba:${report.failure?.schedule}`);
    expect(text).toContain('stopped at the first failure');
  });

  test('replays identically twenty times', () => {
    const first = report.failure;
    for (let i = 0; i < 20; i++) {
      const again = check('aba', aba, { replay: first?.schedule ?? '' });
      expect(again.failure?.kind).toBe(first?.kind);
      expect(again.failure?.trace?.events).toEqual(first?.trace?.events);
    }
  });

  test('is stored, and run first the next time', () => {
    expect(report.stored?.steps.length).toBeGreaterThan(5);
    const stored = report.stored === null ? [] : [report.stored];
    const next = check('aba', aba, { budgetMs: 1000, stored });
    expect(next.phases[0]?.name).toBe('replay');
    expect(next.runs).toBe(1);
    expect(next.notes).toEqual([]);
  });

  test('a stored schedule that goes another way on changed code says where', () => {
    const stored = report.stored === null ? [] : [report.stored];
    const repaired = check(
      'aba',
      { ...aba, setup: () => ({ s: makeStack(true, 3), a: [], b: [] }) },
      { budgetMs: 1000, stored },
    );
    expect(repaired.ok).toBe(true);
    expect(repaired.notes[0]).toMatch(/diverges: access \d+: expected .*, got /);
  });

  test('has a page to step through that needs nothing else', () => {
    const page = report.html();
    expect(page).toContain('<title>aba</title>');
    expect(page).toContain('CAS head');
    expect(page).not.toMatch(/src=|href=|@import/);
    const data = /<script type="application\/json" id="data">(.*)<\/script>/.exec(page)?.[1] ?? '';
    expect(JSON.parse(data.replaceAll('\\u003c', '<')).events.length).toBeGreaterThan(5);
  });
});

describe('shrinking', () => {
  test('a failure found by random search loses its needless switches', () => {
    const options = { budgetMs: 3000, preemptions: -1, reduction: false } as const;
    const raw = check('aba', aba, { ...options, shrink: false });
    const small = check('aba', aba, options);
    const before = switches(parse(raw.failure?.schedule ?? ''));
    const after = switches(parse(small.failure?.schedule ?? ''));
    expect(after).toBeLessThanOrEqual(before);
    expect(after).toBe(2);
    expect(small.failure?.kind).toBe(raw.failure?.kind);
  });

  test('keeps the kind of failure, though another kind would be shorter', () => {
    const stored = { schedule: '0x1.1x1.0x1.1x1', kind: 'final', steps: [] };
    const report = check(
      'two kinds',
      {
        setup: () => ({ m: new Int32Array(new SharedArrayBuffer(8)), seen: [0, 0] }),
        cpus: {
          *a({ m }: { m: Int32Array }): Steps {
            yield op.store('1', m, 0, 1);
            yield op.store('2', m, 0, 2);
          },
          *b({ m, seen }: { m: Int32Array; seen: number[] }): Steps {
            seen[0] = yield op.load('first', m, 0);
            seen[1] = yield op.load('second', m, 0);
            if (seen[0] === 1 && seen[1] === 1) throw new Error('shorter');
          },
        },
        final: ({ seen }) => seen.join() !== '1,2',
      },
      { budgetMs: 300, stored: [stored] },
    );
    expect(report.failure?.kind).toBe('final');
    expect(report.failure?.schedule).toBe(stored.schedule);
  });

  test('a race loses the operations and CPUs it does not need', () => {
    const touch = (label: string, index: number) =>
      function* (m: Int32Array): Steps {
        yield op.load(`${label} before`, m, 7);
        yield op.write(label, m, index, 1);
      };
    const report = check(
      'needless',
      {
        setup: () => new Int32Array(new SharedArrayBuffer(32)),
        cpus: {
          a: [touch('a1', 1), touch('a2', 0), touch('a3', 3)],
          b: [touch('b1', 4), touch('b2', 0)],
          c: [touch('c1', 5)],
        },
      },
      { budgetMs: 1000 },
    );
    expect(report.failure?.kind).toBe('race');
    expect(report.failure?.scenario.split('\n').length).toBe(2);
    expect(report.failure?.trace?.events.length).toBeLessThanOrEqual(4);
  });
});

describe('non-determinism', () => {
  test('of the program under test is named, not replayed astray', () => {
    let run = 0;
    const report = check(
      'moody',
      {
        setup: () => new Int32Array(new SharedArrayBuffer(32)),
        cpus: {
          *a(m: Int32Array): Steps {
            run++;
            yield op.load(`run ${run}`, m, 0);
            throw new Error('fails');
          },
        },
      },
      { budgetMs: 200 },
    );
    expect(report.notes.join()).toMatch(/not deterministic: .*access 1: expected/);
  });
});

describe('prepare', () => {
  test('its buffers are restored before each run, whatever a run left in them', () => {
    let prepared = 0;
    const report = check(
      'restored',
      {
        prepare: () => {
          prepared++;
          const m = new Int32Array(new SharedArrayBuffer(32));
          m[3] = 5;
          return { m };
        },
        setup: ({ m }) => {
          if (m[0] !== 0 || m[3] !== 5) throw new Error('left over');
          return { m };
        },
        cpus: {
          *a({ m }: { m: Int32Array }): Steps {
            yield op.add('a', m, 0, 1);
            yield op.store('a 3', m, 3, 0);
          },
          *b({ m }: { m: Int32Array }): Steps {
            yield op.add('b', m, 0, 1);
          },
        },
        final: ({ m }) => m[0] === 2,
      },
      { budgetMs: 500 },
    );
    expect(report.ok, report.text()).toBe(true);
    expect(report.runs).toBeGreaterThan(3);
    expect(prepared).toBe(1);
  });
});

describe('shards', () => {
  const counters: Scenario = {
    setup: () => ({ m: new Int32Array(new SharedArrayBuffer(32)), seen: [0, 0] }),
    cpus: Object.fromEntries(
      [0, 1].map((me) => [
        `cpu${me}`,
        function* ({ m, seen }: { m: Int32Array; seen: number[] }): Steps {
          for (let i = 0; i < 3; i++)
            seen[me] = (seen[me] ?? 0) * 10 + (yield op.add('add', m, 0, 1));
        },
      ]),
    ),
    outcome: ({ seen }) => seen.join(),
  };
  const bounded = { budgetMs: 2000, preemptions: 5, reduction: false, random: false } as const;

  test('together cover what one run covers', () => {
    const whole = check('counters', counters, bounded);
    const parts = [0, 1, 2, 3, 4].map((i) =>
      check('counters', counters, { ...bounded, shard: [i, 5] }),
    );
    const merged = mergeReports(parts);
    expect(Object.keys(merged.outcomes).sort()).toEqual(Object.keys(whole.outcomes).sort());
    expect(Object.keys(whole.outcomes).length).toBe(20);
    expect(merged.ok).toBe(true);
    expect(merged.runs).toBe(parts.reduce((n, { runs }) => n + runs, 0));
  });

  const some = { budgetMs: 60, preemptions: 1, reduction: false } as const;
  const shards = (n: number, scenario: Scenario = counters, options = {}): CheckReport[] =>
    Array.from({ length: n }, (_, i) =>
      check('counters', scenario, { ...some, ...options, shard: [i, n] }),
    );

  test('a merge adds up, and says what all shards together covered', () => {
    const parts = shards(3);
    const merged = mergeReports(parts);
    const sum = (pick: (report: CheckReport) => number): number =>
      parts.reduce((n, report) => n + pick(report), 0);
    expect(merged.runs).toBe(sum(({ runs }) => runs));
    expect(merged.steps).toBe(sum(({ steps }) => steps));
    expect(merged.runs).toBe(merged.phases.reduce((n, { runs }) => n + runs, 0));
    for (const [id, { count }] of Object.entries(merged.outcomes)) {
      expect(count).toBe(sum(({ outcomes }) => outcomes[id]?.count ?? 0));
    }
    expect(parts[1]!.covered).toMatch(
      /^not exhaustive: every schedule of the share of shard 2\/3 within preemption bound 1/,
    );
    expect(merged.covered).toMatch(
      /^3 shards: not exhaustive: together every schedule within preemption bound 1, beyond it a sample; seeds 1$/,
    );
  });

  test('what every shard completed is complete, and nothing else', () => {
    const whole = mergeReports(
      shards(3, counters, { preemptions: 5, random: false, budgetMs: 2000 }),
    );
    expect(whole.exhaustive).toBe('schedules');
    expect(whole.covered).toMatch(/^3 shards: together all \d+ schedules explored$/);
    // One shard's time was over before its first bound was.
    const [one, two, three] = shards(3);
    const late = {
      ...two!,
      phases: two!.phases.filter(({ name }) => name !== 'preemption bound 1'),
    };
    const merged = mergeReports([one!, late, three!]);
    expect(merged.covered).toContain('within preemption bound 0');
    expect(merged.phases.find(({ name }) => name === 'preemption bound 1')?.complete).toBe(false);
  });

  test('the classes that one shard explored completely are all classes', () => {
    const merged = mergeReports(shards(2, counters, { budgetMs: 2000, reduction: true }));
    expect(merged.exhaustive).toBe('classes');
    expect(merged.covered).toMatch(/^2 shards: all 20 equivalence classes explored/);
  });

  test('a merge fails when a shard is missing, and names it', () => {
    const [one, , three] = shards(3);
    const merged = mergeReports([three!, one!]);
    expect(merged.ok).toBe(false);
    expect(merged.failure?.kind).toBe('incomplete');
    expect(merged.text()).toContain('not explored, their reports are missing: shards 2/3');
    expect(merged.covered).toMatch(/^2 of 3 shards: /);
    expect(merged.exhaustive).toBe('');
  });

  test('reports that do not belong together do not merge', () => {
    const [one, two] = shards(3);
    expect(() => mergeReports([])).toThrow(TypeError);
    expect(() => mergeReports([one!, two!, two!])).toThrow(/shard 2\/3 is there twice/);
    expect(() => mergeReports([one!, shards(2)[1]!])).toThrow(/shards of 3 and of 2/);
    expect(() => mergeReports([one!, { ...two!, name: 'other' }])).toThrow(
      /'counters' and of 'other'/,
    );
  });

  test('what no shard reached fails the merge only', () => {
    const reaching = (id: string): Scenario => ({
      ...counters,
      reachable: { [id]: ({ seen }: { seen: number[] }) => seen.join() === id },
    });
    // One order of all: the first CPU throughout.
    const parts = shards(3, reaching('12,345'), { preemptions: 0, random: false });
    expect(parts.every(({ ok }) => ok)).toBe(true);
    expect(parts.some(({ notes }) => notes.includes('not reached in this shard: 12,345'))).toBe(
      true,
    );
    expect(mergeReports(parts).ok).toBe(true);
    const never = mergeReports(shards(3, reaching('never'), { preemptions: 0, random: false }));
    expect(never.failure).toMatchObject({
      kind: 'unreachable',
      message: 'no schedule reached: never',
    });
  });

  test('a part that does not exist is a RangeError', () => {
    for (const shard of [
      [3, 3],
      [-1, 2],
      [0, 0],
      [0.5, 2],
    ] as const) {
      expect(() => check('counters', counters, { ...some, shard })).toThrow(RangeError);
    }
  });

  test('a merge fails when one part fails', () => {
    const good = check('aba', { ...aba, final: () => true }, { budgetMs: 300 });
    const bad = check('aba', aba, { budgetMs: 300 });
    expect(mergeReports([good, bad]).failure?.kind).toBe('final');
    expect(mergeReports([good, good]).ok).toBe(true);
    // As files of a CI matrix.
    const files = [good, bad].map(serializeReport);
    const merged = mergeReports(files.map(parseReport));
    expect(merged.text()).toContain('CAS head');
    expect(merged.runs).toBe(good.runs + bad.runs);
    expect(() => parseReport('{}')).toThrow(SyntaxError);
  });
});

describe('coverage', () => {
  test('says what was not explored, with the seed', () => {
    const busy: Scenario = {
      setup: () => new Int32Array(new SharedArrayBuffer(32)),
      cpus: Object.fromEntries(
        [0, 1, 2].map((me) => [
          `cpu${me}`,
          function* (m: Int32Array): Steps {
            for (let i = 0; i < 6; i++) yield op.add(`add ${i}`, m, 0, 1);
          },
        ]),
      ),
    };
    const report = check('busy', busy, { budgetMs: 900, seed: 7 });
    expect(report.exhaustive).toBe('');
    expect(report.covered).toMatch(/not exhaustive/);
    expect(report.covered).toContain('seed 7');
    expect(report.phases.map(({ name }) => name)).toContain('uniform random');
  });

  test('one seed, one search', () => {
    const runs = (): string[] => {
      const seen: string[] = [];
      check(
        'seeded',
        { ...aba, final: ({ a, b }) => void seen.push([...a, '|', ...b].join()) },
        { preemptions: -1, reduction: false, maxRuns: 100, seed: 3 },
      );
      return seen;
    };
    expect(runs()).toEqual(runs());
  });
});
