/**
 * Virtual time: what `performance.now()` and `Date.now()` say in explored code is a function of the
 * schedule, passes with time-outs and with looks at the clock, and never runs backwards along
 * happens-before.
 */
import { describe, expect, test } from 'vitest';
import { check, type Scenario } from '../src/index.ts';
import { compile, evaluate } from './transform-harness.ts';

/** Functions of a source, as virtual CPUs. */
function explored(source: string): any {
  return evaluate(compile(source).code);
}

interface Context {
  readonly words: Int32Array;
  readonly seen: any;
}

function context(): Context {
  return { words: new Int32Array(new SharedArrayBuffer(64)), seen: {} };
}

const QUICK = { budgetMs: 500 };

describe('time-outs', () => {
  const { sleeper, waker } = explored(`
    export function sleeper({ words, seen }) {
      const from = performance.now();
      const deadline = from + 100;
      let left = deadline - performance.now();
      seen.result = 'ok';
      while (Atomics.load(words, 0) === 0) {
        if (left <= 0) { seen.result = 'timed-out'; break; }
        Atomics.wait(words, 0, 0, left);
        left = deadline - performance.now();
      }
      seen.took = performance.now() - from;
    }
    export function waker({ words }) {
      Atomics.store(words, 0, 1);
      Atomics.notify(words, 0);
    }
  `);

  test('a wait to a deadline ends behind it, and not long behind it', () => {
    const scenario: Scenario<Context> = {
      setup: context,
      cpus: { sleeper, other: ({ words }) => void words },
      final: ({ seen }) => seen.result === 'timed-out' && seen.took >= 100 && seen.took < 101,
    };
    const report = check('deadline', scenario, QUICK);
    expect(report.text()).toMatch(/^ok/);
    expect(report.notes).toEqual([]);
  });

  test('one that is woken before takes less; both happen', () => {
    const report = check(
      'woken or not',
      {
        setup: context,
        cpus: { sleeper, waker },
        // A look that comes behind the time-out may still see the store.
        final: ({ seen }) => seen.result === 'ok' || seen.took >= 100,
        reachable: {
          woken: ({ seen }) => seen.result === 'ok' && seen.took < 1,
          'timed out': ({ seen }) => seen.result === 'timed-out',
        },
      },
      QUICK,
    );
    expect(report.text()).toMatch(/^ok/);
  });

  test('the earliest waitAsync ends first, whatever the order in which they began', () => {
    const { both } = explored(`
      export function both({ words, seen }) {
        seen.order = [];
        const end = (name) => () => { seen.order.push([name, Math.floor(performance.now())]); };
        Atomics.waitAsync(words, 0, 0, 500).value.then(end('late'));
        Atomics.waitAsync(words, 1, 0, 50).value.then(end('early'));
      }
    `);
    const orders = new Set<string>();
    const report = check(
      'async',
      {
        setup: context,
        cpus: { both },
        final: ({ seen }) => void orders.add(JSON.stringify(seen.order)),
      },
      QUICK,
    );
    expect(report.text()).toMatch(/^ok/);
    expect([...orders]).toEqual(['[["early",1050],["late",1500]]']);
  });
});

describe('loops', () => {
  const { spinner, setter } = explored(`
    export function spinner({ words, seen }, ms) {
      const deadline = performance.now() + ms;
      while (Atomics.load(words, 0) === 0) {
        if (performance.now() >= deadline) { seen.gaveUp = true; return; }
      }
      seen.gaveUp = false;
    }
    export function setter({ words }) { Atomics.store(words, 0, 1); }
  `);

  test.each([1, 1000, 86_400_000])('a spin of at most %i ms comes to its end', (ms) => {
    const report = check(
      'bounded spin',
      {
        setup: context,
        cpus: { spinner: (c: Context) => spinner(c, ms), setter },
        reachable: {
          'gave up': ({ seen }) => seen.gaveUp === true,
          'saw it': ({ seen }) => seen.gaveUp === false,
        },
      },
      QUICK,
    );
    expect(report.text()).toMatch(/^ok/);
  });
});

describe('order', () => {
  const { first, second } = explored(`
    export function first({ words, seen }) {
      Atomics.wait(words, 1, 0, 5000);
      seen.first = performance.now();
      Atomics.store(words, 0, 1);
    }
    export function second({ words, seen }) {
      const before = performance.now();
      if (Atomics.load(words, 0) === 1) seen.ordered = performance.now();
      else seen.unordered = performance.now() - before;
    }
  `);

  test('who sees a store is behind it in time; who sees nothing keeps its own time', () => {
    const report = check(
      'message',
      {
        setup: context,
        cpus: { first, second },
        final: ({ seen }) => (seen.ordered ?? Infinity) > seen.first && (seen.unordered ?? 0) < 1,
        reachable: {
          ordered: ({ seen }) => seen.ordered > 6000,
          unordered: ({ seen }) => seen.unordered !== undefined,
        },
      },
      QUICK,
    );
    expect(report.text()).toMatch(/^ok/);
  });

  test('the reduction meets every set of times that the naive search meets', () => {
    const outcome = ({ seen }: Context): string =>
      JSON.stringify([seen.first, seen.ordered, seen.unordered]);
    const ends = (options: object): string[] => {
      const cpus = { first, second };
      const report = check('times', { setup: context, cpus, outcome }, { ...QUICK, ...options });
      return Object.keys(report.outcomes).sort();
    };
    const reduced = ends({ preemptions: -1, random: false });
    expect(reduced.length).toBeGreaterThan(1);
    expect(reduced).toEqual(ends({ preemptions: 50, reduction: false, random: false }));
  });
});

test('Date tells virtual time too; everything else of it is what it was', () => {
  const { main } = explored(`
    export function main({ words, seen }) {
      seen.before = Date.now();
      Atomics.wait(words, 0, 0, 60_000);
      seen.made = new Date();
      seen.given = new Date(0).toISOString();
      seen.utc = Date.UTC(1970, 0, 2);
      seen.origin = performance.timeOrigin;
    }
  `);
  const minutes = new Set<number>();
  const report = check(
    'Date',
    {
      setup: context,
      cpus: { main },
      final: ({ seen }) => {
        minutes.add(Math.floor((seen.made.getTime() - seen.before) / 60_000));
        expect(seen.made).toBeInstanceOf(Date);
        expect(seen.made.getUTCFullYear()).toBe(2000);
        expect(seen.given).toBe('1970-01-01T00:00:00.000Z');
        expect(seen.utc).toBe(86_400_000);
        expect(seen.origin).toBe(performance.timeOrigin);
      },
    },
    QUICK,
  );
  expect(report.text()).toMatch(/^ok/);
  expect([...minutes]).toEqual([1]);
});

test('a name of the module itself is left alone', () => {
  const { main } = explored(`
    const performance = { now: () => 7 };
    export function main({ words, seen }) { Atomics.load(words, 0); seen.now = performance.now(); }
  `);
  const report = check(
    'own clock',
    { setup: context, cpus: { main }, final: ({ seen }) => seen.now === 7 },
    QUICK,
  );
  expect(report.text()).toMatch(/^ok/);
});
