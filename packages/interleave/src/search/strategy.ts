/**
 * What a search strategy is: it makes the choices of one run after the other (`Machine.run`).
 *
 * Invariant: a strategy sees every scheduling point of a run in order, and its pick is one of the
 * enabled CPUs (or a death, or a notify pick, of the machine's own offering).
 */
import type { Machine } from '../runtime/machine.ts';

/** Chooses schedules, one run after the other. */
export interface Strategy {
  /** How reports call it. */
  readonly name: string;
  /** Prepares the next run; false: nothing is left to explore. */
  begin(): boolean;
  /** A choice among the enabled CPUs (bit mask, never 0). */
  pick(machine: Machine, enabled: number): number;
  /** The run has ended (`machine.outcome` is its verdict); true: it was redundant. */
  end(machine: Machine): boolean;
}

/** Position of the lowest set bit. */
export function lowest(mask: number): number {
  return 31 - Math.clz32(mask & -mask);
}

/** Number of set bits. */
export function count(mask: number): number {
  let n = 0;
  for (let m = mask; m !== 0; m &= m - 1) n++;
  return n;
}
