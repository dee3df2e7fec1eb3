/**
 * Speed of the search, race detection on, as schedules a second and as a ratio to a bare generator
 * step measured beside it (a generator behind one `yield*`, resumed with a value, as virtual CPUs
 * are). The best of several short rounds of each, since other work shares the machine. Figures are
 * printed; what is asserted is the ratio, which does not depend on the machine: the goal of 10,000
 * schedules a second for the stack and 4,000 for the allocator is a tenth of what it allows.
 */
import { describe, expect, test } from 'vitest';
import { op, type Scenario, type Steps } from '../src/index.ts';
import { Machine } from '../src/runtime/machine.ts';
import { compile } from '../src/scenario.ts';
import { BoundedSearch } from '../src/search/bounded.ts';
import { PartialOrderSearch } from '../src/search/dpor.ts';
import { PriorityWalk, RandomWalk } from '../src/search/random.ts';
import type { Strategy } from '../src/search/strategy.ts';
import { makeStack, pop, push, type Stack } from './algorithms/stack.ts';

const MS = 50;
const ROUNDS = 6;

/** The best of the rounds, by the second figure. */
function best(round: () => [number, number]): [number, number] {
  let top: [number, number] = [0, 0];
  for (let i = 0; i < ROUNDS; i++) {
    const got = round();
    if (got[1] > top[1]) top = got;
  }
  return top;
}

/** Bare generator steps a second. */
function bare(): number {
  const m = new Int32Array(new SharedArrayBuffer(4));
  function* inner(): Steps<number> {
    let sum = 0;
    for (let i = 0; i < 16; i++) sum += yield op.load('bare', m, 0);
    return sum;
  }
  function* outer(): Steps<number> {
    return yield* inner();
  }
  const begin = performance.now();
  let steps = 0;
  while (performance.now() - begin < MS) {
    for (let i = 0; i < 64; i++) {
      const generator = outer();
      let step = generator.next();
      while (step.done !== true) {
        steps++;
        step = generator.next(steps & 7);
      }
    }
  }
  return (steps / (performance.now() - begin)) * 1000;
}

function measure(scenario: Scenario, make: (n: number) => Strategy): [number, number] {
  const machine = new Machine(compile(scenario), {
    race: true,
    plainPoints: false,
    stepLimit: 2000,
    spinLimit: 2,
    spurious: false,
    notifyOrder: 'fifo',
    crash: 'none',
    deaths: 0,
    recovererDies: false,
  });
  const begin = performance.now();
  let runs = 0;
  let steps = 0;
  while (performance.now() - begin < MS) {
    const strategy = make(machine.n);
    while (strategy.begin() && performance.now() - begin < MS) {
      expect(machine.run(strategy)).toBe(null);
      strategy.end(machine);
      runs++;
      steps += machine.accesses;
    }
  }
  const seconds = (performance.now() - begin) / 1000;
  return [runs / seconds, steps / seconds];
}

const stack: Scenario = {
  setup: () => makeStack(true, 3),
  cpus: {
    *a(s: Stack): Steps {
      yield* pop(s);
      yield* pop(s);
    },
    *b(s: Stack): Steps {
      const one = yield* pop(s);
      yield* pop(s);
      if (one !== 0) yield* push(s, one);
    },
  },
};

/** Three CPUs: a cached item each, a locked free list behind it; alloc, use, free. */
const allocator: Scenario = {
  // lock 0, list 1, caches 2 to 4, next[] from 8, payload from 16
  setup: () => {
    const m = new Int32Array(new SharedArrayBuffer(128));
    m[1] = 1;
    for (let i = 1; i < 4; i++) m[8 + i] = i + 1;
    return m;
  },
  cpus: Object.fromEntries(
    [0, 1, 2].map((c) => [
      `cpu${c}`,
      function* (m: Int32Array): Steps {
        function* lock(): Steps<void> {
          let seen: number = yield op.compareExchange('lock', m, 0, 0, 1);
          while (seen !== 0) {
            if (seen === 2 || (yield op.compareExchange('flag', m, 0, 1, 2)) !== 0) {
              yield op.wait('sleep', m, 0, 2);
            }
            seen = yield op.compareExchange('take', m, 0, 0, 2);
          }
        }
        function* unlock(): Steps<void> {
          if ((yield op.exchange('unlock', m, 0, 0)) === 2) yield op.notify('wake', m, 0, 1);
        }
        let item: number = yield op.read('cache', m, 2 + c);
        if (item === 0) {
          yield* lock();
          item = yield op.read('list', m, 1);
          yield op.write('list = next', m, 1, yield op.read('next', m, 8 + item));
          yield* unlock();
        }
        yield op.write('payload', m, 16 + item, c);
        if (c === 0) {
          yield op.write('to cache', m, 2 + c, item);
        } else {
          yield* lock();
          yield op.write('link', m, 8 + item, yield op.read('old list', m, 1));
          yield op.write('list = item', m, 1, item);
          yield* unlock();
        }
      },
    ]),
  ),
};

describe('throughput', () => {
  test.each([
    ['tagged stack, 2 CPUs', stack],
    ['allocator, 3 CPUs', allocator],
  ] as const)('%s: an access costs less than 40 bare generator steps', (name, scenario) => {
    const rows: string[] = [];
    const ratios: number[] = [];
    const strategies: [string, (n: number) => Strategy][] = [
      ['preemption bound 2', () => new BoundedSearch(2)],
      ['partial-order reduction', (n) => new PartialOrderSearch(n)],
      ['PCT 3', () => new PriorityWalk(1, 3)],
      ['uniform random', () => new RandomWalk(1)],
    ];
    // Compiled before it counts.
    for (const [, make] of strategies) measure(scenario, make);
    const [, reference] = best(() => [0, bare()]);
    for (const [title, make] of strategies) {
      const [schedules, steps] = best(() => measure(scenario, make));
      ratios.push(reference / steps);
      rows.push(
        `  ${title}: ${Math.round(schedules)} schedules/s, ${Math.round(steps)} accesses/s, ` +
          `1/${(reference / steps).toFixed(1)} of a bare generator step`,
      );
    }
    console.log(`${name} (bare ${Math.round(reference)}/s)\n${rows.join('\n')}`);
    expect(Math.min(...ratios)).toBeLessThan(40);
  });
});
