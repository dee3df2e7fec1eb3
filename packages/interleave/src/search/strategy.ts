/**
 * What a search strategy is, and the loop that drives a machine with one.
 *
 * Invariant: a strategy sees every scheduling point of a run in order, and its pick is one of the
 * enabled CPUs (or a death, or a notify pick, of the machine's own offering).
 */
import type { Machine } from '../runtime/machine.ts';
import type { Outcome } from '../runtime/program.ts';

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

/** The choices of the current run. */
export const choices: number[] = [];

/**
 * Makes one run; its choices are left in `choices`. When `machine.learned` is set afterwards, the
 * run was given up and the strategy must be begun anew.
 */
export function runOnce(machine: Machine, strategy: Strategy): Outcome | null {
  choices.length = 0;
  machine.start();
  for (;;) {
    const enabled = machine.enabled();
    if (enabled === 0) break;
    const choice = strategy.pick(machine, enabled);
    if (choice < 0) break;
    choices.push(choice);
    machine.step(choice);
  }
  return machine.stopped ? null : machine.finish();
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
