/**
 * Sequences of SMR: unbounded in principle, 32 bits in fact. Pure functions and constants; nothing
 * here touches shared memory.
 *
 * Two sequences compare by the sign of their difference, which is right while they are less than
 * 2^31 apart: `maxDelta` sees to that. The first is odd and increments are even, so none is ever 0,
 * across the wrap too; 0 stands for "not reading" and "no tag".
 */

/** Where an SMR starts and how far apart its two sequences may be. */
export interface SequenceLimits {
  readonly initial: number;
  readonly increment: number;
  readonly maxDelta: number;
  readonly maxAdvance: number;
}

const UINT_MAX = 0xffffffff;

/** The kernel's production constants. */
export const PRODUCTION_SEQUENCES: SequenceLimits = limits(
  1,
  2,
  Math.floor(UINT_MAX / 4),
  Math.floor(UINT_MAX / 4) - 1024,
);

const TEST_INCREMENT = Math.floor(UINT_MAX / 10_000);

/**
 * Its INVARIANTS constants, ours at debug level `invariants`: the first advance crosses the wrap,
 * every 10,000th does again, and 32 advances that readers have not followed make the next one wait.
 */
export const INVARIANTS_SEQUENCES: SequenceLimits = limits(
  UINT_MAX - 100_000,
  TEST_INCREMENT,
  TEST_INCREMENT * 32,
  TEST_INCREMENT * 16,
);

function limits(
  initial: number,
  increment: number,
  maxDelta: number,
  maxAdvance: number,
): SequenceLimits {
  return { initial: initial | 0, increment, maxDelta, maxAdvance };
}

/** How far `a` is behind `b`, modularly: positive when `a` is the later one (SMR_SEQ_DELTA). */
export function sequenceDelta(a: number, b: number): number {
  return (a - b) | 0;
}
