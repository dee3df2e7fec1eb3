/**
 * Saturating reference count on one atomic int32 (refcount(9) of FreeBSD).
 *
 * 1..2^31-1 counts references. A negative word is *saturated*: there were more references than can
 * be counted, so the object is never freed again (a leak is safe, an early free is not). Whoever
 * finds or makes the word negative stores REFCOUNT_SATURATED, the middle of the negative half. Each
 * thread has at most one addition of at most REFCOUNT_ADD_MAX between its read-modify-write and that
 * store, so 2^14 threads at once move the word by 2^30 at most: once REFCOUNT_SATURATED is stored, it
 * never leaves the negative half again. Until then the word wobbles about 2^31 and is exact, so it
 * is far from zero (2^31 releases would have to fit between one thread's two atomics).
 *
 * All operations are single fetch-and-adds without a loop (wait-free). Each is sequentially
 * consistent, so the thread that releases the last reference sees everything that the others wrote
 * to the object before they released theirs.
 *
 * A count that is used after it reached zero is a broken invariant: it is saturated first, so that no
 * second thread frees the object, and then the caller gets a Panic.
 */

import { ArgumentError, Panic } from '../errors.ts';

type Words = Int32Array<SharedArrayBuffer>;

/** What the word holds once it has saturated. */
export const REFCOUNT_SATURATED: number = -(2 ** 30);
/** The most references that one call adds. */
export const REFCOUNT_ADD_MAX = 65_536;

/** Adds one reference; the caller holds one already. Panics at a count of zero. */
export function refcountAdd(words: Words, at: number): void {
  const before = Atomics.add(words, at, 1);
  if (before <= 0 || before === 0x7fff_ffff) saturate(words, at, before, 'refcountAdd');
}

/**
 * Drops one reference. True exactly once, for the last: the caller then owns the object alone. A
 * saturated count never gives true. Panics at a count of zero.
 */
export function refcountRelease(words: Words, at: number): boolean {
  const before = Atomics.sub(words, at, 1);
  if (before <= 0) saturate(words, at, before, 'refcountRelease');
  return before === 1;
}

/**
 * Adds `count` references at once, an integer from 1 to REFCOUNT_ADD_MAX (else ArgumentError, and
 * nothing is changed). Panics at a count of zero.
 */
export function refcountAddMany(words: Words, at: number, count: number): void {
  if (!Number.isInteger(count) || count < 1 || count > REFCOUNT_ADD_MAX) {
    throw new ArgumentError(
      `refcountAddMany: ${count} is no integer from 1 to ${REFCOUNT_ADD_MAX}`,
    );
  }
  const before = Atomics.add(words, at, count);
  if (before <= 0 || ((before + count) | 0) < 0) saturate(words, at, before, 'refcountAddMany');
}

/**
 * The count now; negative: saturated. 1 is exact for the caller that holds that one reference, since
 * nobody else can add to it; anything else may have changed on return.
 */
export function refcountLoad(words: Words, at: number): number {
  return Atomics.load(words, at);
}

/** Starts with `count` references (1 unless said), before any other thread knows the object. */
export function refcountInit(words: Words, at: number, count = 1): void {
  Atomics.store(words, at, count);
}

/** Keeps a count that left its range from ever freeing; a count of zero was freed: Panic. */
function saturate(words: Words, at: number, before: number, operation: string): void {
  Atomics.store(words, at, REFCOUNT_SATURATED);
  if (before === 0) throw new Panic(`${operation}: the count at word ${at} was zero already`);
}
