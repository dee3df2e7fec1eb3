/**
 * Several deaths in one run, and recoverers that die: who is told of what, in which order, and that a
 * recovery which cannot be begun twice is found out.
 */
import { describe, expect, test } from 'vitest';
import { check, type CrashOptions, op, type Scenario, type Steps } from '../src/index.ts';

interface Context {
  readonly m: Int32Array;
  /** What the recoverers were told: `dead` by recoverer. */
  readonly told: string[];
  /** Recoveries that came to their end. */
  readonly finished: string[];
}

const HANDS: Readonly<Record<string, number>> = { a: 1, b: 2 };

/** A unit goes from word 0, a pool of two, into the CPU's hand and back. */
function* borrow({ m }: Context, hand: number): Steps<void> {
  yield op.point('entry');
  yield op.sub('take', m, 0, 1);
  yield op.store('hold', m, hand, 1);
  yield op.point('use');
  yield op.store('let go', m, hand, 0);
  yield op.add('give back', m, 0, 1);
}

type Recovery = (m: Int32Array, hand: number) => Steps<void>;

function scenario(recovery: Recovery): Scenario<Context> {
  return {
    setup: () => ({
      m: new Int32Array(new SharedArrayBuffer(64)).fill(2, 0, 1),
      told: [],
      finished: [],
    }),
    cpus: {
      *a(c): Steps {
        yield* borrow(c, 1);
      },
      *b(c): Steps {
        yield* borrow(c, 2);
      },
    },
    *onDeath({ m, told, finished }, dead, recoverer): Steps {
      told.push(`${dead} ${recoverer}`);
      const hand = HANDS[dead];
      if (hand !== undefined) yield* recovery(m, hand);
      finished.push(dead);
    },
  };
}

/** Recovery as two steps: another one that comes after the first alone repeats it. */
function* twice(m: Int32Array, hand: number): Steps<void> {
  const held: number = yield op.load('held?', m, hand);
  if (held === 0) return;
  yield op.add('restore', m, 0, 1);
  yield op.store('clear', m, hand, 0);
}

/** Only marks the hand as recovered: as often as one likes. */
function* again(m: Int32Array, hand: number): Steps<void> {
  yield op.store('recovered', m, hand, 7);
  yield op.point('between');
  yield op.store('seen to', m, hand + 4, 7);
}

/** Never more units than there are. */
const notTooMany = ({ m }: Context): boolean => m[0]! + m[1]! + m[2]! <= 2;

function crash(options: Omit<CrashOptions, 'mode'>): { budgetMs: number; crash: CrashOptions } {
  return { budgetMs: 300, crash: { mode: 'interrupt-points', ...options } };
}

describe('two deaths in a run', () => {
  test('both are recovered, in their order, by one recoverer', () => {
    const report = check(
      'both',
      {
        ...scenario(again),
        final: ({ m, told, finished }, { dead }) =>
          told.join() === dead.map((name) => `${name} 0`).join() &&
          finished.join() === dead.join() &&
          dead.every((name) => m[HANDS[name]! + 4] === 7),
        reachable: {
          'both died': (_, { dead }) => dead.length === 2,
          'b first': (_, { dead }) => dead.join() === 'b,a',
          'nobody died': (_, { dead }) => dead.length === 0,
        },
      },
      crash({ max: 2 }),
    );
    expect(report.text()).toMatch(/^ok/);
  });

  test.each(['interrupt-points', 'any'] as const)('%s alone means one', (mode) => {
    const report = check(
      'one',
      { ...scenario(again), final: (_, { dead }) => dead.length <= 1 },
      { budgetMs: 300, crash: mode },
    );
    expect(report.text()).toMatch(/^ok/);
  });

  test.each([0, 9, 1.5, Number.NaN])('a maximum of %s is refused', (max) => {
    expect(() => check('max', scenario(again), crash({ max }))).toThrow(
      new RangeError(`interleave: crash.max is a number of deaths from 1 to 8, not ${max}`),
    );
  });
});

describe('a recoverer that dies', () => {
  test('the next one is told of its death, then of what it had not finished', () => {
    const seen = new Set<string>();
    const report = check(
      'taken over',
      {
        ...scenario(again),
        final: ({ m, told, finished }, { dead }) => {
          seen.add(`${dead.join()}: ${told.join()}`);
          for (const name of dead) {
            if (!finished.includes(name)) throw new Error(`nobody recovered ${name}`);
            if (HANDS[name] !== undefined && m[HANDS[name] + 4] !== 7) return false;
          }
          return true;
        },
      },
      crash({ max: 3, recoverer: true }),
    );
    expect(report.text()).toMatch(/^ok/);
    expect([...seen]).toEqual(
      expect.arrayContaining([
        ': ',
        'a: a 0',
        'a,onDeath: a 0,onDeath 1,a 1',
        'a,onDeath,onDeath 2: a 0,onDeath 1,a 1,onDeath 2 2,a 2',
        'a,onDeath,b: a 0,onDeath 1,a 1,b 1',
      ]),
    );
  });

  test('without the option it does not', () => {
    const report = check(
      'immortal',
      { ...scenario(again), final: (_, { dead }) => !dead.includes('onDeath') },
      crash({ max: 3 }),
    );
    expect(report.text()).toMatch(/^ok/);
  });

  test('a recovery that must not be begun twice is found, with the schedule to replay', () => {
    const options = crash({ max: 2, recoverer: true });
    const broken: Scenario<Context> = { ...scenario(twice), final: notTooMany };
    const report = check('twice', broken, options);
    expect(report.failure?.kind).toBe('final');
    const { schedule } = report.failure!;
    // The recoverer is CPU 2 in a schedule.
    expect(schedule).toContain('2!');
    const replayed = check('twice', broken, { ...options, replay: schedule });
    expect(replayed.failure?.kind).toBe('final');
    expect(replayed.failure?.schedule).toBe(schedule);
    expect(replayed.text()).toContain('onDeath 2');
  });

  test('and is right as long as recoverers live', () => {
    const report = check('once', { ...scenario(twice), final: notTooMany }, crash({ max: 2 }));
    expect(report.text()).toMatch(/^ok/);
  });
});
