/**
 * A choice of the search: an integer with the CPU in its low bits, plus `DIE` for "this CPU dies
 * here", plus `PICK * k` for "this notify wakes the k-th sleeper first".
 */

/** Added to the CPU: it dies at its pending op. */
export const DIE: number = 1 << 8;
/** Multiplied by k: the notify wakes the k-th sleeper first. */
export const PICK: number = 1 << 9;
/** Shift of k. */
export const PICK_SHIFT = 9;
/** Mask of the CPU. */
export const CPU_MASK: number = DIE - 1;
/** No choice: the run is over. */
export const NONE = -1;
/** The next choice has not been made yet. */
export const UNDECIDED = -2;
