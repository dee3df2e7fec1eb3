/**
 * Interleave on real workers: schedules that virtual CPUs found, replayed in lock step on
 * untransformed code, and the same scenarios as stress loops.
 */
import { check, op, type CheckReport, type Steps } from '@umbuf/interleave';
import { lockstep, stress } from '@umbuf/interleave/workers';
import { describe, expect, test } from 'vitest';

const MODULE = new URL('../dist/fixtures/interleave-scenarios.js', import.meta.url);

interface Stack {
  readonly head: Int32Array;
  readonly next: Int32Array;
}

function* pop({ head, next }: Stack): Steps<number> {
  for (;;) {
    const top: number = yield op.load('pop: head', head, 0);
    if (top === 0) return 0;
    const below: number = yield op.load('pop: next', next, top);
    if ((yield op.compareExchange('pop: CAS', head, 0, top, below)) === top) return top;
  }
}

function* push({ head, next }: Stack, node: number): Steps<void> {
  for (;;) {
    const top: number = yield op.load('push: head', head, 0);
    yield op.store('push: next', next, node, top);
    if ((yield op.compareExchange('push: CAS', head, 0, top, node)) === top) return;
  }
}

/** The explorer's run of the fixture `aba`; node 2 lies on the stack though b holds it. */
function explore(replay?: string): CheckReport {
  return check.generators(
    'aba',
    {
      setup: () => {
        const sab = new SharedArrayBuffer(32);
        const stack = { head: new Int32Array(sab, 0, 1), next: new Int32Array(sab, 4, 5) };
        stack.head[0] = 1;
        stack.next[1] = 2;
        stack.next[2] = 3;
        return { stack, held: new Set<number>() };
      },
      cpus: {
        *a({ stack }): Steps {
          yield* pop(stack);
        },
        *b({ stack, held }): Steps {
          const one = yield* pop(stack);
          held.add(yield* pop(stack));
          if (one !== 0) yield* push(stack, one);
        },
      },
      final: ({ stack, held }) => {
        const nodes: number[] = [];
        for (let i = stack.head[0] ?? 0; i !== 0 && nodes.length < 9; i = stack.next[i] ?? 0) {
          nodes.push(i);
        }
        if (nodes.some((node) => held.has(node))) throw new Error(`on the stack: ${nodes.join()}`);
      },
    },
    { budgetMs: 2000, ...(replay === undefined ? {} : { replay }) },
  );
}

describe('lock step', () => {
  test('the ABA schedule corrupts the stack in the same way on real threads, every time', async () => {
    const report = explore();
    expect(report.failure?.kind).toBe('final');
    const trace = report.failure?.trace;
    if (trace === null || trace === undefined) throw new Error('no trace');
    const replayed = await lockstep(MODULE, trace, { name: 'aba', runs: 20 });
    expect(replayed).toMatchObject({ same: true, runs: 20, divergence: null });
    expect(replayed.events).toBeGreaterThan(8);
  });

  test('sleeping and waking follow the schedule', async () => {
    const report = check.generators(
      'hand over',
      {
        setup: () => new Int32Array(new SharedArrayBuffer(8)),
        cpus: {
          *sleeper(m: Int32Array): Steps {
            while ((yield op.load('look', m, 0)) === 0) yield op.wait('sleep', m, 0, 0);
            return yield op.add('got up', m, 1, 1);
          },
          *waker(m: Int32Array): Steps {
            yield op.store('flag', m, 0, 1);
            yield op.notify('wake', m, 0);
          },
        },
        // Fails on purpose: a report has the trace of a failure only.
        final: () => false,
      },
      { replay: '0x2.1x2.0x3' },
    );
    const trace = report.failure?.trace;
    if (trace === null || trace === undefined) throw new Error('no trace');
    expect(trace.events.map(({ kind }) => kind)).toContain('woken');
    const replayed = await lockstep(MODULE, trace, { name: 'handOver', runs: 5 });
    expect(replayed).toMatchObject({ same: true, runs: 5, events: 7, divergence: null });
  });

  test('a deadlock found is a deadlock there', async () => {
    const report = check.generators('hangs', {
      setup: () => new Int32Array(new SharedArrayBuffer(4)),
      cpus: {
        *a(m: Int32Array): Steps {
          yield op.wait('sleep', m, 0, 0);
        },
        *b(m: Int32Array): Steps {
          yield op.wait('sleep too', m, 0, 0);
        },
      },
    });
    expect(report.failure?.kind).toBe('deadlock');
    const trace = report.failure?.trace;
    if (trace === null || trace === undefined) throw new Error('no trace');
    const replayed = await lockstep(MODULE, trace, { name: 'hangs' });
    expect(replayed).toMatchObject({ same: true, asleep: ['a', 'b'] });
  });

  test('a trace of other code diverges, and the first difference is named', async () => {
    const trace = explore().failure?.trace;
    if (trace === null || trace === undefined) throw new Error('no trace');
    const events = trace.events.map((event, i) => (i === 4 ? { ...event, raw: '77' } : event));
    const replayed = await lockstep(MODULE, { ...trace, events }, { name: 'aba' });
    expect(replayed.same).toBe(false);
    expect(replayed.divergence).toMatch(/expected .* = 77, got /);
  });
});

describe('stress', () => {
  test('store buffering: never 0,0', async () => {
    const report = await stress(MODULE, {
      name: 'storeBuffering',
      ms: 500,
      outcomes: {
        '0,0': 'forbidden',
        '0,1': 'acceptable',
        '1,0': 'acceptable',
        '1,1': 'interesting',
      },
    });
    expect(report, report.failure ?? '').toMatchObject({ ok: true });
    expect(report.runs).toBeGreaterThan(100);
    const total = Object.values(report.outcomes).reduce((n, { count }) => n + count, 0);
    expect(total).toBe(report.runs);
  });

  test('a counter by load and store loses additions', async () => {
    const report = await stress(MODULE, { name: 'lossy', ms: 10_000 });
    expect(report.failure).toBe('final returned false');
  });

  test('one that sleeps for ever is a hang, not a hang of the test', async () => {
    const report = await stress(MODULE, { name: 'hangs', ms: 500, hangMs: 500 });
    expect(report.failure).toMatch(/^hang: a does not come back/);
  });

  test('waiting and waking work as they should', async () => {
    const report = await stress(MODULE, { name: 'handOver', ms: 300 });
    expect(report).toMatchObject({ ok: true });
  });
});
