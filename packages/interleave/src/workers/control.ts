/**
 * The control words that the main thread and its workers share, beside the memory under test.
 *
 *   0       stress: arrivals at the start lines so far; lockstep: position in the list of events
 *   1       the run is over: everybody stops waiting
 *   2 + c   stress: runs CPU c has finished; lockstep: 1 running, 2 asleep, 3 done, 4 diverged
 */

export const POSITION = 0;
export const OVER = 1;
export const PROGRESS = 2;

export const RUNNING = 1;
export const ASLEEP = 2;
export const FINISHED = 3;
export const DIVERGED = 4;

/** Longest wait in one go, in ms: a thread looks at `OVER` this often. */
const LOOK = 50;

/** The real operations, also where the global object is replaced. */
export const real: typeof Atomics = Atomics;

/** Waits until `ready` holds for the word's value; false when the run is over. */
export function waitFor(
  control: Int32Array,
  word: number,
  ready: (value: number) => boolean,
): boolean {
  for (let spins = 0; ; spins++) {
    const value = real.load(control, word);
    if (ready(value)) return true;
    if (real.load(control, OVER) !== 0) return false;
    if (spins > 2000) real.wait(control, word, value, LOOK);
  }
}
