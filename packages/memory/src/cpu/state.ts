/**
 * The state word of a CPU: kind in bits 0-3, the CPU that claimed or recovers it (+1) in bits
 * 4-11, the CPU's own incarnation in bits 12-31. One compare-exchange sees all three, so a claim
 * of a previous life can never be mistaken for one of this life.
 */

/** What a CPU is doing. Running means: inside a job that has used the allocator. */
export const CpuState = {
  offline: 0,
  idle: 1,
  running: 2,
  claimed: 3,
  dead: 4,
  recovering: 5,
} as const;

export const STATE_KIND_MASK = 0xf;
export const STATE_BY_SHIFT = 4;
export const STATE_BY_MASK = 0xff0;
export const STATE_INCARNATION_SHIFT = 12;
/** Incarnations wrap after 2^20 lives of one number. */
export const INCARNATION_MASK = 0xfffff;

/** Word of a CPU in state `kind`, with nobody working on it. */
export function packState(kind: number, incarnation: number): number {
  return kind | (incarnation << STATE_INCARNATION_SHIFT);
}

/** Incarnation of a state word. */
export function stateIncarnation(state: number): number {
  return state >>> STATE_INCARNATION_SHIFT;
}

/** Number of the CPU that claimed or recovers, or -1. */
export function stateBy(state: number): number {
  return ((state & STATE_BY_MASK) >> STATE_BY_SHIFT) - 1;
}

const NAMES = ['offline', 'idle', 'running', 'claimed', 'dead', 'recovering'];

/** `running (incarnation 3)`, for reports. */
export function describeState(state: number): string {
  const by = stateBy(state);
  const name = NAMES[state & STATE_KIND_MASK] ?? `?${state & STATE_KIND_MASK}`;
  return `${name}${by >= 0 ? ` by ${by}` : ''} (incarnation ${stateIncarnation(state)})`;
}
