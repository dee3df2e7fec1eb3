/**
 * Known-broken algorithms that must be found, each beside its correct twin that must pass. Written
 * as generators by hand: no transform between the test and the explorer.
 */
import { describe, expect, test } from 'vitest';
import { check, type CheckReport, op, type Scenario, type Steps } from '../src/index.ts';
import { content, makeStack, pop, push, type Stack } from './algorithms/stack.ts';

const BUDGET = { budgetMs: 1500 };

function words(n: number = 8): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * n));
}

function found(report: CheckReport, kind: string): void {
  expect(report.failure?.kind, report.text()).toBe(kind);
  expect(report.failure?.replay).not.toBe('');
}

function passes(report: CheckReport): void {
  expect(report.ok, report.text()).toBe(true);
  expect(report.cut).toBe(0);
}

describe('Treiber stack', () => {
  const scenario = (tagged: boolean): Scenario => ({
    setup: () => ({ s: makeStack(tagged, 3), a: [] as number[], b: [] as number[] }),
    cpus: {
      a: function* ({ s, a }: { s: Stack; a: number[] }): Steps {
        a.push(yield* pop(s));
      },
      b: function* ({ s, b }: { s: Stack; b: number[] }): Steps {
        const one = yield* pop(s);
        b.push(yield* pop(s));
        yield* push(s, one);
      },
    },
    final: ({ s, a, b }) => {
      const all = [...content(s), ...a, ...b].sort((x, y) => x - y);
      expect(all).toEqual([1, 2, 3]);
    },
    reachable: { 'b had node 2 when a popped node 1': ({ a, b }) => a[0] === 1 && b[0] === 2 },
  });
  test('without a tag: ABA loses or doubles a node', () => {
    found(check.generators('aba', scenario(false), BUDGET), 'final');
  });
  test('with a tag: all classes explored', () => {
    const report = check.generators('tagged', scenario(true), BUDGET);
    passes(report);
    expect(report.exhaustive).toBe('classes');
  });
});

describe('futex mutex', () => {
  function* lock(m: Int32Array, i: number = 0): Steps<void> {
    let seen: number = yield op.compareExchange('lock: CAS 0 -> 1', m, i, 0, 1);
    while (seen !== 0) {
      if (seen === 2 || (yield op.compareExchange('lock: CAS 1 -> 2', m, i, 1, 2)) !== 0) {
        yield op.wait('lock: wait', m, i, 2);
      }
      seen = yield op.compareExchange('lock: CAS 0 -> 2', m, i, 0, 2);
    }
  }
  function* unlock(m: Int32Array): Steps<void> {
    if ((yield op.sub('unlock: sub', m, 0, 1)) !== 1) {
      yield op.store('unlock: store', m, 0, 0);
      yield op.notify('unlock: notify', m, 0, 1);
    }
  }
  // Looks, then frees: a waiter that comes in between is never woken.
  function* unlockLosing(m: Int32Array): Steps<void> {
    const seen: number = yield op.load('unlock: load', m, 0);
    yield op.store('unlock: store', m, 0, 0);
    if (seen === 2) yield op.notify('unlock: notify', m, 0, 1);
  }
  function* unlockPlain(m: Int32Array): Steps<void> {
    yield op.write('unlock: plain store', m, 0, 0);
    yield op.notify('unlock: notify', m, 0, 1);
  }
  const scenario = (
    cpus: number,
    release: (m: Int32Array) => Steps<void>,
    acquire: (m: Int32Array) => Steps<void> = lock,
  ): Scenario => ({
    setup: () => words(),
    cpus: Object.fromEntries(
      Array.from({ length: cpus }, (_, c) => [
        `cpu${c}`,
        function* (m: Int32Array): Steps {
          yield* acquire(m);
          const before: number = yield op.read('critical: read', m, 1);
          yield op.write('critical: write', m, 1, before + 1);
          yield* release(m);
        },
      ]),
    ),
    final: (m: Int32Array) => m[1] === cpus,
    words: { 0: 'lock', 4: 'counter' },
  });
  test('correct: two CPUs, all classes', () => {
    const report = check.generators('mutex', scenario(2, unlock), BUDGET);
    passes(report);
    expect(report.exhaustive).not.toBe('');
  });
  test('correct: three CPUs', () => passes(check.generators('mutex', scenario(3, unlock), BUDGET)));
  test('correct with spurious wake-ups and any order of wake-ups', () => {
    passes(check.generators('m', scenario(3, unlock), { ...BUDGET, spurious: true }));
    passes(check.generators('m', scenario(3, unlock), { ...BUDGET, notifyOrder: 'any' }));
  });
  test('lost wake-up: deadlock', () => {
    found(check.generators('lost', scenario(2, unlockLosing), BUDGET), 'deadlock');
  });
  test('woken waiter forgets the others: deadlock with three CPUs', () => {
    function* relockWrong(m: Int32Array): Steps<void> {
      while ((yield op.compareExchange('lock: CAS 0 -> 1', m, 0, 0, 1)) !== 0) {
        const v: number = yield op.load('lock: load', m, 0);
        if (
          v === 2 ||
          (v === 1 && (yield op.compareExchange('lock: CAS 1 -> 2', m, 0, 1, 2)) === 1)
        )
          yield op.wait('lock: wait', m, 0, 2);
      }
    }
    found(check.generators('relock', scenario(3, unlock, relockWrong), BUDGET), 'deadlock');
  });
  test('unlock by a plain store: a race, without any symptom', () => {
    const report = check.generators('plain unlock', scenario(2, unlockPlain), BUDGET);
    found(report, 'race');
    expect(report.text()).toContain('lock');
    expect(report.failure?.trace?.races[0]?.later ?? '').toMatch(/lock: |unlock: /);
  });
  test('no mutual exclusion at all: the race on the counter is reported with both places', () => {
    function* none(): Steps<void> {}
    const report = check.generators('no lock', scenario(2, none, none), BUDGET);
    found(report, 'race');
    expect(report.text()).toContain('critical: write');
    expect(report.text()).toContain('counter');
  });
});

describe('reference count', () => {
  // count in word 0, freed in word 1.
  const unref = {
    *correct(m: Int32Array): Steps<void> {
      if ((yield op.sub('sub', m, 0, 1)) === 1) yield op.add('free', m, 1, 1);
    },
    *fastPath(m: Int32Array): Steps<void> {
      if ((yield op.load('fast: load', m, 0)) === 1 || (yield op.sub('sub', m, 0, 1)) === 1) {
        yield op.add('free', m, 1, 1);
      }
    },
    // Looks whether it is the only one, and if not, leaves without looking again.
    *noRecheck(m: Int32Array): Steps<void> {
      const seen: number = yield op.load('fast: load', m, 0);
      yield op.sub('sub', m, 0, 1);
      if (seen === 1) yield op.add('free', m, 1, 1);
    },
    *loadStore(m: Int32Array): Steps<void> {
      const seen: number = yield op.load('load', m, 0);
      yield op.store('store', m, 0, seen - 1);
      if (seen === 1) yield op.add('free', m, 1, 1);
    },
    *plainRead(m: Int32Array): Steps<void> {
      if ((yield op.read('fast: plain read', m, 0)) === 1 || (yield op.sub('sub', m, 0, 1)) === 1) {
        yield op.add('free', m, 1, 1);
      }
    },
  };
  const scenario = (kind: keyof typeof unref): Scenario => ({
    setup: () => {
      const m = words();
      m[0] = 3;
      return m;
    },
    cpus: { a: unref[kind], b: unref[kind], c: unref[kind] },
    final: (m: Int32Array) => m[1] === 1,
  });
  test('sub: freed exactly once', () =>
    passes(check.generators('sub', scenario('correct'), BUDGET)));
  test('sole-owner fast path by an atomic load', () =>
    passes(check.generators('fast', scenario('fastPath'), BUDGET)));
  test('fast path without recheck leaks', () =>
    found(check.generators('recheck', scenario('noRecheck'), BUDGET), 'final'));
  test('load and store instead of sub', () =>
    found(check.generators('load/store', scenario('loadStore'), BUDGET), 'final'));
  test('fast path by a plain read is a race, found only by the detector', () => {
    found(check.generators('plain', scenario('plainRead'), BUDGET), 'race');
    const blind = check.generators('plain', scenario('plainRead'), { ...BUDGET, race: false });
    expect(blind.ok, blind.text()).toBe(true);
    expect(blind.exhaustive).not.toBe('');
  });
});

describe('barrier', () => {
  // arrived 0, generation 1. The waiter of the published case (TC39 #3800) waits once.
  function* barrier(m: Int32Array, n: number, loop: boolean): Steps<void> {
    const generation: number = yield op.load('barrier: load generation', m, 1);
    if ((yield op.add('barrier: arrive', m, 0, 1)) === n - 1) {
      yield op.store('barrier: reset', m, 0, 0);
      yield op.add('barrier: next generation', m, 1, 1);
      yield op.notify('barrier: notify', m, 1);
      return;
    }
    if (loop) {
      while ((yield op.load('barrier: check', m, 1)) === generation) {
        yield op.wait('barrier: wait', m, 1, generation);
      }
    } else yield op.wait('barrier: wait', m, 1, generation);
  }
  const scenario = (loop: boolean): Scenario => {
    const body = (me: number) =>
      function* (m: Int32Array): Steps {
        for (let round = 1; round <= 2; round++) {
          yield op.store('publish', m, 2 + me, round);
          yield* barrier(m, 2, loop);
          const other: number = yield op.load('look', m, 3 - me);
          if (other !== round) throw new Error(`round ${round} saw ${other}`);
          yield* barrier(m, 2, loop);
        }
      };
    return { setup: () => words(), cpus: { a: body(0), b: body(1) } };
  };
  test('with a loop round the wait', () =>
    passes(check.generators('barrier', scenario(true), BUDGET)));
  test('a single wait: wakes by index, not by generation', () => {
    const report = check.generators('barrier', scenario(false), { budgetMs: 5000 });
    expect(['deadlock', 'exception'], report.text()).toContain(report.failure?.kind);
  });
});

describe('initialisation and publication', () => {
  // state 0, data 1
  const init = {
    *correct(m: Int32Array): Steps {
      if ((yield op.load('state?', m, 0)) !== 2) {
        if ((yield op.compareExchange('claim', m, 0, 0, 1)) === 0) {
          yield op.write('initialise', m, 1, 42);
          yield op.add('count', m, 2, 1);
          yield op.store('publish', m, 0, 2);
          yield op.notify('notify', m, 0);
        } else {
          let v: number = yield op.load('state', m, 0);
          while (v !== 2) {
            yield op.wait('wait', m, 0, v);
            v = yield op.load('state', m, 0);
          }
        }
      }
      if ((yield op.read('use', m, 1)) !== 42) throw new Error('used before initialisation');
    },
    *doubleChecked(m: Int32Array): Steps {
      // The flag goes up before the data is there.
      if ((yield op.load('state?', m, 0)) === 0) {
        if ((yield op.compareExchange('claim', m, 0, 0, 2)) === 0) {
          yield op.write('initialise', m, 1, 42);
          yield op.add('count', m, 2, 1);
        }
      }
      if ((yield op.read('use', m, 1)) !== 42) throw new Error('used before initialisation');
    },
    *twice(m: Int32Array): Steps {
      if ((yield op.load('state?', m, 0)) !== 2) {
        yield op.store('initialise', m, 1, 42);
        yield op.add('count', m, 2, 1);
        yield op.store('publish', m, 0, 2);
      }
      yield op.load('use', m, 1);
    },
  };
  const scenario = (kind: keyof typeof init): Scenario => ({
    setup: () => words(),
    cpus: { a: init[kind], b: init[kind] },
    final: (m: Int32Array) => m[2] === 1,
  });
  test('claimed, initialised, published', () =>
    passes(check.generators('init', scenario('correct'), BUDGET)));
  test('double-checked with the flag first', () => {
    const report = check.generators('dci', scenario('doubleChecked'), BUDGET);
    expect(['race', 'exception'], report.text()).toContain(report.failure?.kind);
  });
  test('checked but not claimed: initialised twice', () =>
    found(check.generators('twice', scenario('twice'), BUDGET), 'final'));

  const publication = (early: boolean): Scenario => ({
    setup: () => words(),
    cpus: {
      *producer(m: Int32Array): Steps {
        if (early) yield op.store('flag', m, 0, 1);
        yield op.write('payload', m, 1, 7);
        if (!early) yield op.store('flag', m, 0, 1);
      },
      *consumer(m: Int32Array): Steps {
        if ((yield op.load('flag?', m, 0)) === 1 && (yield op.read('take', m, 1)) !== 7) {
          throw new Error('took nothing');
        }
      },
    },
    reachable: { published: (m: Int32Array) => m[0] === 1 },
  });
  test('published after the payload', () => {
    const report = check.generators('publish', publication(false), BUDGET);
    passes(report);
  });
  test('published before the payload', () =>
    expect(['race', 'exception']).toContain(
      check.generators('early', publication(true), BUDGET).failure?.kind,
    ));
});

describe('mixed widths', () => {
  const scenario = (kind: 'same' | 'bigint' | 'byte'): Scenario => ({
    setup: () => new SharedArrayBuffer(16),
    cpus: {
      *a(sab: SharedArrayBuffer): Steps {
        yield op.store('32 bits', new Int32Array(sab), 0, 1);
      },
      *b(sab: SharedArrayBuffer): Steps {
        if (kind === 'same') yield op.load('32 bits too', new Int32Array(sab), 0);
        else if (kind === 'byte') yield op.load('8 bits', new Uint8Array(sab), 1);
        else yield op.load('64 bits', new BigInt64Array(sab), 0);
      },
    },
  });
  test('equal ranges do not race', () =>
    passes(check.generators('same', scenario('same'), BUDGET)));
  test('a 64-bit atomic races with a 32-bit one', () => {
    const report = check.generators('wide', scenario('bigint'), BUDGET);
    found(report, 'race');
    expect(report.failure?.trace?.races[0]?.mixed).toBe(true);
  });
  test('an 8-bit atomic races with a 32-bit one', () =>
    found(check.generators('narrow', scenario('byte'), BUDGET), 'race'));
});
