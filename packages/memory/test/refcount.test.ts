/** The reference count in one thread: its contract, saturation, and use after zero. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ArgumentError, Panic } from '../src/errors.ts';
import {
  REFCOUNT_ADD_MAX,
  REFCOUNT_SATURATED,
  refcountAdd,
  refcountAddMany,
  refcountInit,
  refcountLoad,
  refcountRelease,
} from '../src/sync/refcount.ts';

const AT = 3;
const CEILING = 2 ** 31 - 1;

function makeCount(count: number): Int32Array<SharedArrayBuffer> {
  const words = new Int32Array(new SharedArrayBuffer(32));
  refcountInit(words, AT, count);
  return words;
}

test('the last release, and no other, returns true', () => {
  const additions = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 20 });
  fc.assert(
    fc.property(additions, (counts) => {
      const words = makeCount(1);
      let held = 1;
      for (const count of counts) {
        if (count === 1) refcountAdd(words, AT);
        else refcountAddMany(words, AT, count);
        held += count;
        if (held > 3) {
          expect(refcountRelease(words, AT)).toBe(false);
          held--;
        }
        expect(refcountLoad(words, AT)).toBe(held);
      }
      while (held > 1) {
        expect(refcountRelease(words, AT)).toBe(false);
        held--;
      }
      expect(refcountRelease(words, AT)).toBe(true);
      expect(refcountLoad(words, AT)).toBe(0);
    }),
    { seed: 0x5eed_0004, numRuns: 200 },
  );
});

describe('saturation', () => {
  test('the ceiling itself counts', () => {
    const words = makeCount(CEILING - 1);
    refcountAdd(words, AT);
    expect(refcountLoad(words, AT)).toBe(CEILING);
    expect(refcountRelease(words, AT)).toBe(false);
    expect(refcountLoad(words, AT)).toBe(CEILING - 1);
  });

  test.each([
    ['one', (words: Int32Array<SharedArrayBuffer>) => refcountAdd(words, AT)],
    [
      'many',
      (words: Int32Array<SharedArrayBuffer>) => refcountAddMany(words, AT, REFCOUNT_ADD_MAX),
    ],
  ])('adding %s above the ceiling sticks, and nothing frees it any more', (_, add) => {
    const words = makeCount(CEILING);
    add(words);
    expect(refcountLoad(words, AT)).toBe(REFCOUNT_SATURATED);
    for (let i = 0; i < 10; i++) {
      expect(refcountRelease(words, AT)).toBe(false);
      expect(refcountLoad(words, AT)).toBe(REFCOUNT_SATURATED);
      add(words);
      expect(refcountLoad(words, AT)).toBe(REFCOUNT_SATURATED);
    }
  });

  test('a negative word that another thread has not yet put right sticks too', () => {
    for (const value of [-1, REFCOUNT_SATURATED + 1, -(2 ** 31)]) {
      const words = makeCount(value);
      expect(refcountRelease(words, AT)).toBe(false);
      expect(refcountLoad(words, AT)).toBe(REFCOUNT_SATURATED);
    }
  });
});

test.each([
  ['refcountAdd', (words: Int32Array<SharedArrayBuffer>) => refcountAdd(words, AT)],
  ['refcountAddMany', (words: Int32Array<SharedArrayBuffer>) => refcountAddMany(words, AT, 2)],
  ['refcountRelease', (words: Int32Array<SharedArrayBuffer>) => refcountRelease(words, AT)],
])('%s at zero panics once and leaks from then on', (name, operation) => {
  const words = makeCount(0);
  expect(() => operation(words)).toThrow(Panic);
  expect(refcountLoad(words, AT)).toBe(REFCOUNT_SATURATED);
  expect(refcountRelease(words, AT)).toBe(false);
  expect(() => operation(makeCount(0))).toThrow(`${name}: the count at word 3 was zero already`);
});

test.each([0, -1, 1.5, Number.NaN, REFCOUNT_ADD_MAX + 1])('adding %s is refused', (count) => {
  const words = makeCount(2);
  expect(() => refcountAddMany(words, AT, count)).toThrow(ArgumentError);
  expect(refcountLoad(words, AT)).toBe(2);
});
