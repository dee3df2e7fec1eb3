/**
 * Partial-order reduction against the naive search: on random small programs both must reach the
 * same set of ends (memory, what each CPU saw, deadlocks).
 */
import { describe, expect, test } from 'vitest';
import { op, type Scenario, type Steps } from '../src/index.ts';
import { Machine } from '../src/runtime/machine.ts';
import type { RunOptions } from '../src/runtime/program.ts';
import { compile } from '../src/scenario.ts';
import { BoundedSearch } from '../src/search/bounded.ts';
import { PartialOrderSearch } from '../src/search/dpor.ts';
import { Random } from '../src/search/random.ts';
import type { Strategy } from '../src/search/strategy.ts';
import { makeStack, pop, push, type Stack } from './algorithms/stack.ts';

const OPTIONS: RunOptions = {
  race: true,
  plainPoints: false,
  stepLimit: 2000,
  spinLimit: 2,
  spurious: false,
  notifyOrder: 'fifo',
  crash: 'none',
  deaths: 0,
  recovererDies: false,
};

interface Context {
  readonly m: Int32Array;
  readonly seen: unknown[][];
}

/** Every end that a strategy reaches, and in how many runs. */
function ends(
  scenario: Scenario,
  strategy: (n: number) => Strategy,
  limit: number,
  options: RunOptions = OPTIONS,
) {
  const machine = new Machine(compile(scenario), options);
  let search = strategy(machine.n);
  const all = new Set<string>();
  let runs = 0;
  while (search.begin()) {
    if (runs > limit) return null;
    const outcome = machine.run(search);
    if (machine.learned) {
      search = strategy(machine.n);
      all.clear();
      runs = 0;
      continue;
    }
    if (search.end(machine)) continue;
    runs++;
    const { m, seen } = machine.context as Context;
    const saw = JSON.stringify(seen, (_, v) => (typeof v === 'bigint' ? `${v}n` : v));
    all.add(`${outcome?.kind ?? 'ok'} ${[...m].join()} ${saw}`);
  }
  return { all: [...all].sort(), runs };
}

const dfs = (): Strategy => new BoundedSearch(Infinity);
const dpor = (n: number): Strategy => new PartialOrderSearch(n);

const KINDS = [
  'load',
  'store',
  'add',
  'cas',
  'exchange',
  'own',
  'wait',
  'timed',
  'notify',
  'if',
] as const;

/** A random program over two words and a plain one for each CPU: two or three CPUs of two to four operations. */
function program(seed: number): Scenario<Context> {
  const random = new Random(seed);
  const cpus = 2 + random.below(2);
  const length = cpus === 2 ? 4 : 2;
  const kinds = seed % 3 === 0 ? KINDS : KINDS.slice(0, 6);
  const scripts = Array.from({ length: cpus }, (_, c) => {
    const steps = Array.from({ length: 1 + random.below(length) }, () => ({
      kind: kinds[random.below(kinds.length)] as (typeof KINDS)[number],
      index: random.below(2),
      value: random.below(3),
      other: random.below(3),
    }));
    return function* ({ m, seen }: Context): Steps {
      const mine = seen[c] as unknown[];
      for (const [i, { kind, index, value, other }] of steps.entries()) {
        const at = `${c}.${i} ${kind}`;
        if (kind === 'load') mine.push(yield op.load(at, m, index));
        else if (kind === 'store') yield op.store(at, m, index, value);
        else if (kind === 'add') mine.push(yield op.add(at, m, index, value));
        else if (kind === 'cas') mine.push(yield op.compareExchange(at, m, index, value, other));
        else if (kind === 'exchange') mine.push(yield op.exchange(at, m, index, value));
        else if (kind === 'own') {
          // Runs on behind the atomic before it, in the same step.
          if (value > 0) yield op.write(at, m, 2 + c, value);
          else mine.push(yield op.read(at, m, 2 + c));
        } else if (kind === 'wait') mine.push(yield op.wait(at, m, index, value));
        else if (kind === 'timed') mine.push(yield op.wait(at, m, index, value, 10));
        else if (kind === 'notify') mine.push(yield op.notify(at, m, index, 1 + other));
        else if ((yield op.load(at, m, index)) === value) yield op.store(`${at}!`, m, 1 - index, 1);
      }
    };
  });
  return {
    setup: () => ({
      m: new Int32Array(new SharedArrayBuffer(20)),
      seen: scripts.map(() => []),
    }),
    cpus: Object.fromEntries(scripts.map((script, c) => [`cpu${c}`, script])),
  };
}

describe('partial-order reduction', () => {
  test('reaches every end that the naive search reaches: 300 random programs, seeds 1 to 300', () => {
    let naive = 0;
    let reduced = 0;
    let compared = 0;
    for (let seed = 1; seed <= 300; seed++) {
      const all = ends(program(seed), dfs, 4000);
      if (all === null) continue;
      const few = ends(program(seed), dpor, 4000);
      expect(few?.all, `seed ${seed}`).toEqual(all.all);
      expect(few?.runs, `seed ${seed}`).toBeLessThanOrEqual(all.runs);
      naive += all.runs;
      reduced += few?.runs ?? 0;
      compared++;
    }
    expect(compared).toBeGreaterThan(250);
    expect(reduced * 2).toBeLessThan(naive);
  });

  test('reaches every end of programs that spin with a bound, as if nothing were folded', () => {
    let folded = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const random = new Random(seed);
      const rounds = 3 + random.below(2);
      const [x, y, at] = [random.below(2), 1 + random.below(2), random.below(2)];
      const [first, last] = [random.below(2), random.below(2)];
      const scenario: Scenario = {
        setup: () => ({ m: new Int32Array(new SharedArrayBuffer(8)), seen: [[], []] }),
        cpus: {
          *spins({ m, seen }: Context): Steps {
            const mine = seen[0] as unknown[];
            for (let i = 0; i < rounds; i++) {
              if ((yield op.load('spin x', m, 0)) === y) break;
              if (x === 1 && (yield op.load('spin y', m, 1)) === 1) break;
            }
            mine.push(yield op.add('after', m, at, 4));
            mine.push(yield op.load('and', m, 1 - at));
          },
          *writes({ m, seen }: Context): Steps {
            const mine = seen[1] as unknown[];
            mine.push(yield op.add('one', m, first, 1));
            mine.push(yield op.exchange('two', m, at, 1));
            mine.push(yield op.add('three', m, last, 1));
          },
        },
      };
      const all = ends(scenario, dfs, 100_000, { ...OPTIONS, spinLimit: 1000 });
      const few = ends(scenario, dpor, 100_000);
      const some = ends(scenario, dfs, 100_000);
      expect(few?.all, `seed ${seed}`).toEqual(all?.all);
      expect(some?.all, `seed ${seed}`).toEqual(all?.all);
      if ((some?.runs ?? 0) < (all?.runs ?? 0)) folded++;
    }
    expect(folded).toBeGreaterThan(25);
  });

  const stack = (tagged: boolean): Scenario => ({
    setup: () => {
      const s = makeStack(tagged, 3);
      return { s, m: new Int32Array(s.next.buffer), seen: [[], []] };
    },
    cpus: {
      *a({ s, seen }: Context & { s: Stack }): Steps {
        (seen[0] as unknown[]).push(yield* pop(s));
        (seen[0] as unknown[]).push(yield* pop(s));
      },
      *b({ s, seen }: Context & { s: Stack }): Steps {
        const one = yield* pop(s);
        (seen[1] as unknown[]).push(one, yield* pop(s));
        if (one !== 0) yield* push(s, one);
      },
    },
  });
  test.each([true, false])('the Treiber stack of the study, tagged %s', (tagged) => {
    const all = ends(stack(tagged), dfs, 1_000_000);
    const few = ends(stack(tagged), dpor, 10_000);
    console.log(
      `tagged ${tagged}: ${all?.runs} naive, ${few?.runs} reduced, ${few?.all.length} ends`,
    );
    expect(few?.all).toEqual(all?.all);
    expect(few?.runs).toBeLessThan((all?.runs ?? 0) / 100);
  });
});
