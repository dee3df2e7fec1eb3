/**
 * Every oracle, with a case it must report and a neighbour it must not: an oracle that stops
 * working fails here.
 */
import { describe, expect, test } from 'vitest';
import { check, type CheckReport, model, op, type Scenario, type Steps } from '../src/index.ts';

const BUDGET = { budgetMs: 1000 };

function words(n: number = 8): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * n));
}

function kind(report: CheckReport): string {
  return report.failure?.kind ?? 'ok';
}

describe('linearizable', () => {
  // head 0, tail 1, slots from 2
  function* push(m: Int32Array, v: number): Steps {
    for (;;) {
      const tail: number = yield op.load('push: tail', m, 1);
      if ((yield op.compareExchange('push: slot', m, 2 + tail, 0, v)) === 0) {
        yield op.compareExchange('push: advance', m, 1, tail, tail + 1);
        return;
      }
      yield op.compareExchange('push: help', m, 1, tail, tail + 1);
    }
  }
  function* pop(m: Int32Array): Steps {
    for (;;) {
      const head: number = yield op.load('pop: head', m, 0);
      const v: number = yield op.load('pop: slot', m, 2 + head);
      if (v === 0) return undefined;
      if ((yield op.compareExchange('pop: advance', m, 0, head, head + 1)) === head) return v;
    }
  }
  // Takes the slot's value, then moves on without looking whether another was faster.
  function* popTwice(m: Int32Array): Steps {
    const head: number = yield op.load('pop: head', m, 0);
    const v: number = yield op.load('pop: slot', m, 2 + head);
    if (v === 0) return undefined;
    yield op.store('pop: advance', m, 0, head + 1);
    return v;
  }
  const renamed = (which: 'pop' | 'popTwice'): NonNullable<Scenario['operations']> => ({
    push,
    pop: which === 'pop' ? pop : popTwice,
  });
  const scenario = (pop: 'pop' | 'popTwice', like = model.queue()): Scenario => ({
    setup: () => words(),
    operations: renamed(pop),
    cpus: {
      a: [['push', 1], ['push', 2], ['pop']],
      b: [['pop'], ['pop']],
    },
    linearizable: like,
  });
  test('a queue is one', () => {
    expect(kind(check('queue', scenario('pop'), BUDGET))).toBe('ok');
  });
  test('an element taken twice is not, and the scenario is minimised', () => {
    const report = check('twice', scenario('popTwice'), BUDGET);
    expect(kind(report), report.text()).toBe('linearizability');
    expect(report.text()).toMatch(/pop\(\) -> (\d)[^]*pop\(\) -> \1/);
    const calls = report.failure?.scenario.match(/p(ush|op)\(/g) ?? [];
    expect(calls.length).toBe(3);
  });
  test('a queue is not a stack', () => {
    const report = check('stack', scenario('pop', model.stack()), BUDGET);
    expect(kind(report)).toBe('linearizability');
  });
  test('generated scenarios find it and minimise it', () => {
    const spec = {
      setup: () => words(12),
      operations: {
        push: {
          run: push,
          args: (random: { below(n: number): number }) => [1 + random.below(3)],
        },
        pop: popTwice,
      },
      linearizable: model.queue(),
    };
    const bad = check.ops('generated', spec, { budgetMs: 3000, iterations: 50 });
    expect(kind(bad), bad.text()).toBe('linearizability');
    const good = check.ops(
      'generated',
      { ...spec, operations: { ...spec.operations, pop } },
      { budgetMs: 2000, iterations: 10 },
    );
    expect(kind(good), good.text()).toBe('ok');
    expect(good.runs).toBeGreaterThan(100);
  });
});

describe('reachable', () => {
  const scenario = (value: number): Scenario => ({
    setup: () => ({ m: words(), seen: [] as number[] }),
    cpus: {
      *a({ m }: { m: Int32Array }): Steps {
        yield op.store('store 1', m, 0, 1);
        yield op.store('store 2', m, 0, 2);
      },
      *b({ m, seen }: { m: Int32Array; seen: number[] }): Steps {
        seen.push(yield op.load('load', m, 0));
      },
    },
    reachable: { 'the value was seen': ({ seen }) => seen[0] === value },
  });
  test('a state between two steps is reached', () => {
    const report = check('between', scenario(1), BUDGET);
    expect(report.ok).toBe(true);
    expect(report.reachable['the value was seen']).toBeGreaterThan(0);
  });
  test('one that cannot occur fails the check', () => {
    const report = check('never', scenario(3), BUDGET);
    expect(kind(report)).toBe('unreachable');
    expect(report.failure?.message).toContain('the value was seen');
  });

  test('a search goes on past its budget while an outcome is missing, as long as it has patience', () => {
    let runs = 0;
    const late = (patience: number): CheckReport => {
      runs = 0;
      return check(
        'late',
        {
          setup: () => ({ m: words(1) }),
          cpus: {
            *a({ m }): Steps {
              yield op.store('a', m, 0, 1);
            },
            *b({ m }): Steps {
              yield op.store('b', m, 0, 2);
            },
          },
          reachable: { 'run 20,000': () => ++runs >= 20_000 },
        },
        { budgetMs: 1, preemptions: -1, reduction: false, patience },
      );
    };
    expect(kind(late(1))).toBe('unreachable');
    const patient = late(60_000);
    expect(kind(patient)).toBe('ok');
    expect(patient.runs).toBeLessThan(21_000);
  });
});

describe('outcomes', () => {
  const storeBuffering: Scenario & { outcome: (c: { r: number[] }) => string } = {
    setup: () => ({ m: words(), r: [-1, -1] }),
    cpus: {
      *a({ m, r }): Steps {
        yield op.store('x = 1', m, 0, 1);
        r[0] = yield op.load('r0 = y', m, 1);
      },
      *b({ m, r }): Steps {
        yield op.store('y = 1', m, 1, 1);
        r[1] = yield op.load('r1 = x', m, 0);
      },
    },
    outcome: ({ r }) => r.join(),
  };
  test('store buffering: 0,0 never, the three others all', () => {
    const report = check.outcomes(
      'sb',
      storeBuffering,
      { '0,0': 'forbidden', '0,1': 'acceptable', '1,0': 'acceptable', '1,1': 'interesting' },
      BUDGET,
    );
    expect(report.ok, report.text()).toBe(true);
    expect(Object.keys(report.outcomes).sort()).toEqual(['0,1', '1,0', '1,1']);
  });
  test('an outcome that is forbidden, or not listed, fails', () => {
    for (const table of [
      { '1,1': 'forbidden', '0,1': 'acceptable', '1,0': 'acceptable' },
      { '0,1': 'acceptable', '1,0': 'acceptable' },
    ] as const) {
      const report = check.outcomes('sb', storeBuffering, table, BUDGET);
      expect(kind(report)).toBe('outcome');
      expect(report.failure?.message).toContain('1,1');
    }
  });
});

describe('always', () => {
  const scenario = (limit: number): Scenario => ({
    setup: () => words(),
    cpus: Object.fromEntries(
      ['a', 'b'].map((name) => [
        name,
        function* (m: Int32Array): Steps {
          yield op.add('in', m, 0, 1);
          yield op.sub('out', m, 0, 1);
        },
      ]),
    ),
    always: (m: Int32Array) => (m[0] as number) <= limit,
  });
  test('is evaluated after every step, not only at the end', () => {
    expect(kind(check('two inside', scenario(1), BUDGET))).toBe('always');
    expect(kind(check('two allowed', scenario(2), BUDGET))).toBe('ok');
  });
  test('sees the moment between two plain writes', () => {
    const report = check(
      'plain',
      {
        setup: () => words(),
        cpus: {
          *a(m: Int32Array): Steps {
            yield op.write('half', m, 0, 1);
            yield op.write('whole', m, 1, 1);
          },
        },
        always: (m: Int32Array) => m[0] === m[1],
      },
      BUDGET,
    );
    expect(kind(report)).toBe('always');
  });
});

describe('races', () => {
  const two = (
    a: (m: Int32Array) => Steps,
    b: (m: Int32Array) => Steps,
    declared?: Scenario['words'],
  ): CheckReport =>
    check(
      'race',
      {
        setup: () => words(),
        cpus: { a, b },
        ...(declared === undefined ? {} : { words: declared }),
      },
      BUDGET,
    );
  function* plainWrite(m: Int32Array): Steps {
    yield op.write('plain write', m, 0, 1);
  }
  function* plainRead(m: Int32Array): Steps {
    yield op.read('plain read', m, 0);
  }
  function* atomicStore(m: Int32Array): Steps {
    yield op.store('atomic store', m, 0, 1);
  }
  function* atomicLoad(m: Int32Array): Steps {
    yield op.load('atomic load', m, 0);
  }
  test('each pair, by the rules', () => {
    expect(kind(two(plainRead, plainRead))).toBe('ok');
    expect(kind(two(plainRead, plainWrite))).toBe('race');
    expect(kind(two(plainWrite, plainWrite))).toBe('race');
    expect(kind(two(plainRead, atomicStore))).toBe('race');
    expect(kind(two(plainRead, atomicLoad))).toBe('ok');
    expect(kind(two(plainWrite, atomicLoad))).toBe('race');
    expect(kind(two(atomicStore, atomicLoad))).toBe('ok');
  });
  test('a hint may be read plainly while written with Atomics, and nothing else', () => {
    const hint = [{ byteOffset: 0, name: 'sleepers', kind: 'hint' }];
    expect(kind(two(plainRead, atomicStore, hint))).toBe('ok');
    expect(kind(two(plainWrite, atomicStore, hint))).toBe('race');
    expect(kind(two(plainRead, plainWrite, hint))).toBe('race');
  });
  test('a statistic is written plainly by one, read with Atomics by others', () => {
    const statistic = (): { byteOffset: number; name: string; kind: string }[] => [
      { byteOffset: 0, name: 'allocs', kind: 'statistic' },
    ];
    expect(kind(two(plainWrite, atomicLoad, statistic()))).toBe('ok');
    expect(kind(two(plainWrite, plainRead, statistic()))).toBe('race');
    expect(kind(two(plainWrite, plainWrite, statistic()))).toBe('race');
    expect(kind(two(plainWrite, atomicLoad, () => ({ name: 'x', kind: 'atomic' })))).toBe('race');
  });
  test('a plain read of a hint is a scheduling point: both values are seen', () => {
    const seen = new Set<number>();
    const report = check(
      'hint values',
      {
        setup: () => words(),
        cpus: {
          a: atomicStore,
          *b(m: Int32Array): Steps {
            yield op.load('other word', m, 1);
            seen.add(yield op.read('hint', m, 0));
          },
        },
        words: [{ byteOffset: 0, name: 'hint', kind: 'hint' }],
      },
      BUDGET,
    );
    expect(report.ok).toBe(true);
    expect([...seen].sort((x, y) => x - y)).toEqual([0, 1]);
  });
  test('leaving a waiter list happens before entering it next: wait and notify hand over', () => {
    const handOver = (notify: boolean): CheckReport =>
      check(
        'hand over',
        {
          setup: () => words(),
          cpus: {
            *a(m: Int32Array): Steps {
              yield op.write('payload', m, 1, 7);
              if (notify) {
                // Wakes the other, if it sleeps; writes nothing.
                yield op.notify('notify', m, 0);
              }
            },
            *b(m: Int32Array): Steps {
              const woken = yield op.wait('wait', m, 0, 0, 100);
              if (woken === 'ok' || !notify) yield op.read('take', m, 1);
            },
          },
        },
        BUDGET,
      );
    expect(kind(handOver(true))).toBe('ok');
    expect(kind(handOver(false))).toBe('race');
  });
  test('a SeqCst store replaces what the word released before; a read-modify-write keeps it', () => {
    const chain = (second: 'store' | 'add', reset = false): CheckReport =>
      check(
        'chain',
        {
          setup: () => words(),
          cpus: {
            *a(m: Int32Array): Steps {
              yield op.write('payload', m, 1, 7);
              yield op.store('release', m, 0, 1);
            },
            *b(m: Int32Array): Steps {
              // Only after a, but without having read what a wrote.
              if (second === 'store') {
                if (!reset) yield op.store('replace', m, 0, 2);
              } else yield op.add('pass on', m, 0, 1);
            },
            *c(m: Int32Array): Steps {
              if ((yield op.load('acquire', m, 0)) === 2) yield op.read('take', m, 1);
            },
          },
        },
        BUDGET,
      );
    expect(kind(chain('store'))).toBe('race');
    expect(kind(chain('add'))).toBe('ok');
    expect(kind(chain('store', true))).toBe('ok');
  });
  test('neighbouring bytes do not race; overlapping ranges do, through DataView and bulk methods', () => {
    const bytes = (
      a: (s: SharedArrayBuffer) => Steps,
      b: (s: SharedArrayBuffer) => Steps,
    ): string =>
      kind(check('bytes', { setup: () => new SharedArrayBuffer(64), cpus: { a, b } }, BUDGET));
    const byte = (i: number) =>
      function* (s: SharedArrayBuffer): Steps {
        yield op.write(`byte ${i}`, new Uint8Array(s), i, 1);
      };
    const view = (i: number) =>
      function* (s: SharedArrayBuffer): Steps {
        yield op.viewSet(`view ${i}`, new DataView(s), 'setUint16', [i, 1, true]);
      };
    const fill = (from: number, to: number) =>
      function* (s: SharedArrayBuffer): Steps {
        yield op.bulk(`fill ${from}`, new Uint8Array(s), 'fill', [1, from, to]);
      };
    function* copy(s: SharedArrayBuffer): Steps {
      yield op.bulk('set', new Uint8Array(s), 'set', [new Uint8Array(s, 32, 8), 8]);
    }
    expect(bytes(byte(0), byte(1))).toBe('ok');
    expect(bytes(byte(1), byte(1))).toBe('race');
    expect(bytes(view(1), byte(3))).toBe('ok');
    expect(bytes(view(1), byte(2))).toBe('race');
    expect(bytes(fill(0, 16), byte(16))).toBe('ok');
    expect(bytes(fill(0, 16), byte(15))).toBe('race');
    expect(bytes(copy, byte(40))).toBe('ok');
    expect(bytes(copy, byte(39))).toBe('race');
    expect(bytes(copy, byte(8))).toBe('race');
    expect(bytes(copy, byte(7))).toBe('ok');
  });
  test('a narrow access inside a wide one touches its own bytes only', () => {
    const after = (i: number) =>
      function* (s: SharedArrayBuffer): Steps {
        if ((yield op.load('ready?', new Int32Array(s), 8)) === 1) {
          yield op.write(`byte ${i}`, new Uint8Array(s), i, 1);
        }
      };
    const three = (b: number, c: number): CheckReport =>
      check(
        'inside',
        {
          setup: () => new SharedArrayBuffer(64),
          cpus: {
            *a(s: SharedArrayBuffer): Steps {
              yield op.bulk('fill', new Uint8Array(s), 'fill', [1, 0, 16]);
              yield op.store('ready', new Int32Array(s), 8, 1);
            },
            b: after(b),
            c: after(c),
          },
        },
        BUDGET,
      );
    expect(kind(three(3, 7))).toBe('ok');
    expect(kind(three(7, 3))).toBe('ok');
    expect(kind(three(7, 7))).toBe('race');
  });
  test('a plain 8-byte access is said to tear', () => {
    const report = check(
      'tear',
      {
        setup: () => new Float64Array(new SharedArrayBuffer(8)),
        cpus: {
          *a(m: Float64Array): Steps {
            yield op.write('write', m, 0, 1);
          },
          *b(m: Float64Array): Steps {
            yield op.read('read', m, 0);
          },
        },
      },
      BUDGET,
    );
    expect(report.text()).toContain('may tear');
  });
  test('two buffers are two places', () => {
    const report = check(
      'buffers',
      {
        setup: () => [words(1), words(1)],
        cpus: {
          *a(m: Int32Array[]): Steps {
            yield op.write('first', m[0], 0, 1);
          },
          *b(m: Int32Array[]): Steps {
            yield op.write('second', m[1], 0, 1);
          },
        },
      },
      BUDGET,
    );
    expect(kind(report)).toBe('ok');
  });
});

describe('waiting', () => {
  test('a deadlock names who sleeps', () => {
    const report = check(
      'asleep',
      {
        setup: () => words(),
        cpus: {
          *sleeper(m: Int32Array): Steps {
            yield op.wait('wait', m, 0, 0);
          },
        },
      },
      BUDGET,
    );
    expect(kind(report)).toBe('deadlock');
    expect(report.failure?.message).toContain('sleeper');
  });
  test('a timed wait is woken in some schedules and times out in others, on virtual time', () => {
    const results = new Set<string>();
    const begin = performance.now();
    const report = check(
      'timed',
      {
        setup: () => words(),
        cpus: {
          *a(m: Int32Array): Steps {
            results.add(yield op.wait('wait', m, 0, 0, 60_000));
          },
          *b(m: Int32Array): Steps {
            yield op.store('store', m, 0, 1);
            yield op.notify('notify', m, 0);
          },
        },
      },
      BUDGET,
    );
    expect(report.ok).toBe(true);
    expect([...results].sort()).toEqual(['not-equal', 'ok', 'timed-out']);
    expect(performance.now() - begin).toBeLessThan(5000);
  });
  test('sleepers are woken in their order, or in any', () => {
    const firsts = (notifyOrder: 'fifo' | 'any'): string[] => {
      const seen = new Set<string>();
      const sleeper = (name: string, other: number, mine: number) =>
        function* ({ m, order }: { m: Int32Array; order: string[] }): Steps {
          if (other >= 0) while ((yield op.load('turn', m, 1)) < 1) yield op.pause('pause');
          if (mine === 0) yield op.store('my turn is over', m, 1, 1);
          yield op.wait(`${name} waits`, m, 0, 0);
          order.push(name);
        };
      check(
        'order',
        {
          setup: () => ({ m: words(), order: [] as string[] }),
          cpus: {
            a: sleeper('a', -1, 0),
            b: sleeper('b', 0, 1),
            *waker({ m }: { m: Int32Array }): Steps {
              let n = 0;
              while (n < 2) n += yield op.notify('notify', m, 0, 1);
            },
          },
          final: ({ order }) => {
            seen.add(order.join());
          },
        },
        { budgetMs: 300, notifyOrder, race: true },
      );
      return [...seen].sort();
    };
    expect(firsts('fifo')).toContain('a,b');
    expect(firsts('any')).toEqual(['a,b', 'b,a']);
  });
  test('spurious wake-ups break a wait without a loop, and only in that mode', () => {
    const scenario: Scenario = {
      setup: () => words(),
      cpus: {
        *a(m: Int32Array): Steps {
          yield op.wait('wait', m, 0, 0);
          if ((yield op.load('load', m, 0)) !== 1) throw new Error('woken for nothing');
        },
        *b(m: Int32Array): Steps {
          yield op.store('store', m, 0, 1);
          yield op.notify('notify', m, 0);
        },
      },
    };
    expect(kind(check('calm', scenario, BUDGET))).toBe('ok');
    expect(kind(check('spurious', scenario, { ...BUDGET, spurious: true }))).toBe('exception');
  });
  test('waitAsync: the callback runs as a job of its CPU; a lost wake-up is a deadlock', () => {
    const scenario = (notify: boolean): Scenario => ({
      setup: () => ({ m: words(), log: [] as string[] }),
      cpus: {
        *a({ m, log }: { m: Int32Array; log: string[] }): Steps {
          const waited = yield op.waitAsync('waitAsync', m, 0, 0);
          if (!waited.async) {
            log.push(waited.value);
            return;
          }
          waited.value.then(function* (result: string): Steps {
            log.push(`${result} ${yield op.load('then', m, 0)}`);
          });
        },
        *b({ m }: { m: Int32Array }): Steps {
          yield op.store('store', m, 0, 1);
          if (notify) yield op.notify('notify', m, 0);
        },
      },
      final: ({ log }) => expect(['ok 1', 'not-equal']).toContain(log[0]),
      reachable: { called: ({ log }) => log[0] === 'ok 1' },
    });
    const good = check('async', scenario(true), BUDGET);
    expect(good.ok, good.text()).toBe(true);
    expect(kind(check('lost', scenario(false), BUDGET))).toBe('deadlock');
  });
  test('waitAsync: a time-out is due when nothing else can run; the callback sees what was written', () => {
    const log = new Set<string>();
    const report = check(
      'timer',
      {
        setup: () => words(),
        cpus: {
          *a(m: Int32Array): Steps {
            const waited = yield op.waitAsync('waitAsync', m, 0, 0, 1000);
            if (!waited.async) return;
            waited.value.then(function* (result: string): Steps {
              log.add(result);
              // Plain: what the notifier wrote before happens before this.
              if (result === 'ok') yield op.read('payload', m, 1);
            });
          },
          *b(m: Int32Array): Steps {
            yield op.write('write payload', m, 1, 7);
            yield op.notify('notify', m, 0);
          },
        },
      },
      BUDGET,
    );
    expect(report.ok, report.text()).toBe(true);
    expect([...log].sort()).toEqual(['ok', 'timed-out']);
  });
});

describe('spinning', () => {
  const spin = (bound: number, ends: boolean): CheckReport =>
    check(
      'spin',
      {
        setup: () => words(),
        cpus: {
          *a(m: Int32Array): Steps {
            for (let i = 0; i < bound; i++) {
              if ((yield op.load('spin', m, 0)) === 1) return;
              yield op.pause('pause');
            }
          },
          *b(m: Int32Array): Steps {
            yield op.add('something else', m, 1, 1);
            if (ends) yield op.store('end it', m, 0, 1);
          },
        },
      },
      BUDGET,
    );
  test('a loop that another CPU ends is folded and explored completely', () => {
    const report = spin(Infinity, true);
    expect(report.ok, report.text()).toBe(true);
    expect(report.exhaustive).not.toBe('');
    expect(report.folded).toBeGreaterThan(0);
    expect(report.runs).toBeLessThan(100);
  });
  test('one that nobody ends is a livelock', () => {
    const report = spin(Infinity, false);
    expect(kind(report)).toBe('livelock');
    expect(report.failure?.message).toContain('a');
    expect(report.text()).toMatch(/ x\d+ /);
  });
  test('one with a bound ends by itself', () => expect(spin(50, false).ok).toBe(true));
  test('one with a bound that sleeps afterwards, as adaptive mutexes do, is explored to the sleep', () => {
    const mutex = (wakes: boolean): Scenario => {
      const body = function* (m: Int32Array): Steps {
        let locked = false;
        for (let i = 0; i < 60 && !locked; i++) {
          locked = (yield op.load('spin', m, 0)) === 0;
          if (locked) locked = (yield op.compareExchange('take', m, 0, 0, 1)) === 0;
          yield op.pause('pause');
        }
        while (!locked) {
          const seen: number = yield op.exchange('take with flag', m, 0, 2);
          if (seen === 0) break;
          yield op.wait('sleep', m, 0, 2);
        }
        yield op.write('critical', m, 1, 1);
        const old: number = yield op.exchange('unlock', m, 0, 0);
        if (wakes && old === 2) yield op.notify('wake', m, 0, 1);
      };
      return { setup: () => words(), cpus: { a: body, b: body } };
    };
    const good = check('adaptive', mutex(true), BUDGET);
    expect(good.ok, good.text()).toBe(true);
    const bad = check('forgets', mutex(false), BUDGET);
    expect(kind(bad), bad.text()).toBe('deadlock');
  });
  test('two CPUs that undo each other without end run into the step limit, which is said', () => {
    const report = check(
      'ping pong',
      {
        setup: () => words(),
        cpus: Object.fromEntries(
          [1, 2].map((me) => [
            `cpu${me}`,
            function* (m: Int32Array): Steps {
              for (;;) yield op.add('again', m, 0, me);
            },
          ]),
        ),
      },
      { budgetMs: 200, stepLimit: 100 },
    );
    expect(report.cut).toBe(report.runs);
    expect(kind(report), report.text()).toBe('step limit');
    expect(report.text()).toContain('cut at the step limit');
    expect(report.exhaustive).toBe('');
  });
  test('a loop that stores what was there already is a livelock', () => {
    const report = check(
      'polls',
      {
        setup: () => words(),
        cpus: {
          poller: function* (m: Int32Array): Steps {
            while ((yield op.load('look', m, 0)) === 0) yield op.write('note', m, 1, 0);
          },
          other: function* (m: Int32Array): Steps {
            yield op.add('another word', m, 2, 1);
          },
        },
      },
      BUDGET,
    );
    expect(kind(report), report.text()).toBe('livelock');
  });
});

describe('crash', () => {
  // A lock of word 0; the protected pair in words 1 and 2; recovery releases the lock.
  const scenario = (recovers: boolean, straight: boolean): Scenario => {
    const body = (me: number) =>
      function* (m: Int32Array): Steps {
        yield op.point('entry');
        for (;;) {
          const seen: number = yield op.compareExchange('lock', m, 0, 0, me);
          if (seen === 0) break;
          yield op.wait('wait', m, 0, seen);
        }
        if (!straight) yield op.point('call in the critical section');
        const v: number = yield op.read('read', m, 1);
        yield op.write('first', m, 1, v + 1);
        if (!straight) yield op.point('call between the writes');
        yield op.write('second', m, 2, v + 1);
        yield op.store('unlock', m, 0, 0);
        yield op.notify('notify', m, 0, 1);
      };
    return {
      setup: () => words(),
      cpus: { a: body(1), b: body(2) },
      ...(recovers
        ? {
            *onDeath(m: Int32Array, dead: string): Steps {
              const me = dead === 'a' ? 1 : 2;
              yield op.compareExchange('steal', m, 0, me, 0);
              yield op.notify('notify all', m, 0);
            },
          }
        : {}),
      final: (m: Int32Array) => m[1] === m[2],
    };
  };
  const crash = { budgetMs: 1000, crash: 'interrupt-points' } as const;
  test('a straight line cannot be torn at interrupt points; recovery wakes the others', () => {
    const report = check('straight', scenario(true, true), crash);
    expect(report.ok, report.text()).toBe(true);
  });
  test('a call inside it can', () => {
    const report = check('torn', scenario(true, false), crash);
    expect(kind(report), report.text()).toBe('final');
    expect(report.text()).toContain('DIES');
  });
  test('without recovery a death in the lock leaves the others asleep', () => {
    const { final: _, ...rest } = scenario(false, false);
    expect(kind(check('orphan', rest, crash))).toBe('deadlock');
  });
  test('deaths anywhere tear even the straight line', () => {
    const report = check('any', scenario(true, true), { ...crash, crash: 'any' });
    expect(kind(report), report.text()).toBe('final');
  });
  test('an Atomics call is a place to die before its effect, plain accesses and notify are none', () => {
    const ends = new Set<string>();
    const program: Scenario<Int32Array> = {
      setup: () => words(),
      cpus: {
        *a(m): Steps {
          yield op.write('plain', m, 1, 1);
          yield op.add('atomic', m, 0, 1);
          yield op.write('plain again', m, 1, 2);
          yield op.notify('notify', m, 0);
          yield op.write('last', m, 1, 3);
        },
      },
      final: (m, { dead }) =>
        void ends.add(`${dead.length > 0 ? 'died' : 'lived'} ${m[0]} ${m[1]}`),
    };
    check('atomic', program, crash);
    expect([...ends].sort()).toEqual(['died 0 1', 'lived 1 3']);
  });
  test('finally does not run in a dead CPU', () => {
    let finals = 0;
    let deaths = 0;
    check(
      'finally',
      {
        setup: () => words(),
        cpus: {
          *a(m: Int32Array): Steps {
            try {
              yield op.load('load', m, 0);
              yield op.point('here');
            } finally {
              finals++;
            }
          },
        },
        final: (_, { dead }) => {
          deaths += dead.length;
          if (dead.length > 0 && finals > 0) throw new Error('finally ran');
          finals = 0;
        },
      },
      { ...crash, random: false },
    );
    expect(deaths).toBeGreaterThan(0);
  });
  test('a CPU that dies asleep swallows no wake-up; one that dies after its wake-up does', () => {
    interface Context {
      m: Int32Array;
      log: { notified: number; diedBefore: boolean; b: string };
    }
    const seen = new Set<string>();
    const report = check(
      'asleep and dead',
      {
        setup: (): Context => ({
          m: words(),
          log: { notified: -1, diedBefore: false, b: '' },
        }),
        cpus: {
          *a({ m }: Context): Steps {
            yield op.store('a is here', m, 1, 1);
            yield op.wait('a waits', m, 0, 0, 100);
          },
          *b({ m, log }: Context): Steps {
            if ((yield op.load('is a here?', m, 1)) === 0) return;
            log.b = yield op.wait('b waits', m, 0, 0, 100);
          },
          *waker({ m, log }: Context): Steps {
            log.notified = yield op.notify('one', m, 0, 1);
            yield op.notify('the rest', m, 0);
          },
        },
        onDeath: ({ log }: Context) => {
          log.diedBefore = log.notified < 0;
        },
        reachable: {
          'b got what a would have got': ({ log }, { dead }) =>
            dead[0] === 'a' && log.diedBefore && log.notified === 1 && log.b === 'ok',
        },
        leaks: ({ log }, { dead }) => {
          seen.add(dead.join());
          const swallowed = log.diedBefore && log.notified === 1 && log.b === 'timed-out';
          return dead[0] === 'a' && swallowed ? 'a wake-up' : undefined;
        },
      },
      { ...crash, stepLimit: 200 },
    );
    expect(report.ok, report.text()).toBe(true);
    expect(seen.size).toBeGreaterThan(1);
  });
  test('recovery happens after all that the dead CPU did', () => {
    const report = check(
      'estate',
      {
        setup: () => words(),
        cpus: {
          *a(m: Int32Array): Steps {
            yield op.write('private', m, 1, 1);
            yield op.point('here');
          },
        },
        *onDeath(m: Int32Array): Steps {
          yield op.write('inherits', m, 1, 2);
        },
        reachable: { recovered: (m: Int32Array) => m[1] === 2 },
      },
      crash,
    );
    expect(report.ok, report.text()).toBe(true);
  });
  test('leaks() names what is lost', () => {
    const report = check(
      'leak',
      {
        setup: () => words(),
        cpus: {
          *a(m: Int32Array): Steps {
            yield op.add('take', m, 0, 1);
            yield op.point('with it in hand');
            yield op.sub('give back', m, 0, 1);
          },
        },
        leaks: (m: Int32Array) => (m[0] === 0 ? undefined : `${m[0]} unit`),
      },
      crash,
    );
    expect(kind(report)).toBe('leak');
    expect(report.failure?.message).toContain('1 unit');
  });
});

describe('misuse', () => {
  test('code that was not transformed is an error, not a pass', () => {
    const plain: Scenario = {
      setup: () => words(),
      cpus: {
        a: (m: Int32Array) => Atomics.add(m, 0, 1),
        b: (m: Int32Array) => Atomics.add(m, 0, 1),
      },
    };
    expect(() => check('plain', plain, BUDGET)).toThrow(/no shared access was seen/);
  });
  test('an unknown operation is named', () => {
    expect(() => check('x', { setup: () => 0, cpus: { a: [['nope']] } })).toThrow(/'nope'/);
  });
  test('the real operation’s errors reach the code', () => {
    const report = check(
      'range',
      {
        setup: () => words(2),
        cpus: {
          *a(m: Int32Array): Steps {
            yield op.load('ok', m, 0);
            yield op.load('out of range', m, 5);
          },
        },
      },
      BUDGET,
    );
    expect(kind(report)).toBe('exception');
    expect(report.failure?.message).toContain('RangeError');
  });
});
