/**
 * Explored code is suspended only where another CPU is to step; a generator that yields every op is
 * suspended at each. Both must make the same runs: the same choices in the same order, the same steps,
 * memory and verdicts, under every strategy, with sleeping, spinning, racy words and deaths.
 */
import { describe, expect, test } from 'vitest';
import { check, type Scenario } from '../src/index.ts';
import { runOptions } from '../src/options.ts';
import { Machine } from '../src/runtime/machine.ts';
import { yielding } from '../src/runtime/ops.ts';
import { compile as compileScenario } from '../src/scenario.ts';
import { BoundedSearch } from '../src/search/bounded.ts';
import { PartialOrderSearch } from '../src/search/dpor.ts';
import { PriorityWalk, RandomWalk } from '../src/search/random.ts';
import { format } from '../src/search/schedule.ts';
import type { Strategy } from '../src/search/strategy.ts';
import { compile, evaluate } from './transform-harness.ts';

const { mutex, spinner, stack, hint, setHint } = evaluate(
  compile(`
    function lock(m) {
      let seen = Atomics.compareExchange(m, 0, 0, 1);
      while (seen !== 0) {
        if (seen === 2 || Atomics.compareExchange(m, 0, 1, 2) !== 0) Atomics.wait(m, 0, 2);
        seen = Atomics.compareExchange(m, 0, 0, 2);
      }
    }
    function unlock(m) {
      if (Atomics.exchange(m, 0, 0) === 2) Atomics.notify(m, 0, 1);
    }
    export function mutex(m) {
      for (let turn = 0; turn < 2; turn++) { lock(m); m[1]++; unlock(m); }
    }
    export function spinner(m) {
      for (let look = 0; look < 5; look++) if (Atomics.load(m, 2) !== 0) return;
      Atomics.wait(m, 2, 0, 10);
      Atomics.add(m, 3, 1);
    }
    function step(m) { return Atomics.add(m, 4, 1); }
    export function stack(m) {
      try { if (step(m) + step(m) > 3) throw new Error('deep'); } catch { Atomics.store(m, 2, 1); }
      finally { Atomics.notify(m, 2); }
    }
    export function hint(m) { return m[5] + m[5]; }
    export function setHint(m) { Atomics.store(m, 5, 1); Atomics.store(m, 5, 2); }
  `).code,
);

type Words = Int32Array;
type Body = (m: Words) => Generator<unknown, unknown, unknown>;

/** The same code, which yields each op. */
function always(body: Body): Body {
  return function* (m) {
    const inner = yielding(() => body(m));
    let step = yielding(() => inner.next());
    while (step.done !== true) {
      let answer: unknown;
      try {
        answer = yield step.value;
      } catch (error) {
        step = yielding(() => inner.throw(error));
        continue;
      }
      step = yielding(() => inner.next(answer));
    }
    return step.value;
  };
}

const strategies: Record<string, (n: number) => Strategy> = {
  'preemption bound 2': () => new BoundedSearch(2),
  'partial-order reduction': (n) => new PartialOrderSearch(n),
  'PCT 3': () => new PriorityWalk(7, 3),
  random: () => new RandomWalk(7),
};

const programs: Record<string, Body[]> = {
  'a mutex': [mutex, mutex],
  'three CPUs that spin, sleep and throw': [spinner, stack, stack],
  'a racy word': [hint, setHint, hint],
  'all of it': [mutex, spinner, hint, stack],
};

/** Up to 200 runs, as text. */
function runs(
  bodies: Body[],
  make: (n: number) => Strategy,
  crash: 'none' | 'interrupt-points',
): string[] {
  const scenario: Scenario<Words> = {
    setup: () => new Int32Array(new SharedArrayBuffer(64)),
    cpus: Object.fromEntries(bodies.map((body, i) => [`cpu${i}`, body])),
    words: [{ byteOffset: 20, name: 'hint', kind: 'hint' }],
  };
  const machine = new Machine(
    compileScenario(scenario as Scenario),
    runOptions({ crash: crash === 'none' ? crash : { mode: crash, max: 2 } }),
  );
  const made: string[] = [];
  let strategy = make(machine.n);
  while (made.length < 200 && strategy.begin()) {
    const outcome = machine.run(strategy);
    if (machine.learned) {
      made.push('learned');
      strategy = make(machine.n);
      continue;
    }
    strategy.end(machine);
    const { choices, steps, accesses, context, dead } = machine;
    made.push(
      `${format(choices)} ${steps} ${accesses} ${context.join()} ${dead.join()} ${outcome?.message}`,
    );
  }
  return made;
}

describe.each(Object.keys(programs))('%s', (program) => {
  const bodies = programs[program]!;
  test.each(Object.keys(strategies))('%s makes the same runs', (strategy) => {
    const make = strategies[strategy]!;
    const made = runs(bodies, make, 'none');
    expect(made.length).toBeGreaterThan(2);
    expect(made).toEqual(runs(bodies.map(always), make, 'none'));
  });

  test.each(['preemption bound 2', 'random'])('%s, with deaths', (strategy) => {
    const make = strategies[strategy]!;
    const made = runs(bodies, make, 'interrupt-points');
    expect(made.some((run) => run.includes('!'))).toBe(true);
    expect(made).toEqual(runs(bodies.map(always), make, 'interrupt-points'));
  });
});

test('always, which touches memory itself, leaves the result of the access before it alone', () => {
  const { sums, isSmall } = evaluate(
    compile(`
      export function sums(m) { m[0] = 5; m[1] = m[0] + Atomics.load(m, 0) + Atomics.add(m, 2, 1); }
      export function isSmall(m) { return m[7] + Atomics.load(m, 7) === 0 && m[6] < 9; }
    `).code,
  );
  const report = check(
    'always between',
    {
      setup: () => new Int32Array(new SharedArrayBuffer(64)),
      cpus: { sums },
      always: isSmall,
      final: (m: Words) => m[1] === 10,
    },
    { budgetMs: 300 },
  );
  expect(report.text()).toMatch(/^ok/);
});
