/**
 * What the layers above `memory` register in each thread, so that `memory` can answer a drain
 * request and repair a dead CPU without knowing any zone. Plain thread-local JavaScript: nothing
 * here is shared.
 */

import type { Cpu } from './cpu.ts';

/** Moves every bucket of this CPU's own caches to where others find it. */
export type AnswerHook = (cpu: Cpu) => void;
/**
 * Puts back what a hand slot of `dead` holds, by the ordinary put, clearing the slot in the same
 * straight line as the put. Must be repeatable: a recovery may be broken off and begun again.
 */
export type SlotRepair = (cpu: Cpu, slot: number, dead: number) => void;
/** Empties the caches (and whatever else is indexed by number) of the dead CPU. Repeatable. */
export type CacheRepair = (cpu: Cpu, dead: number) => void;

export class ArenaHooks {
  readonly answers: AnswerHook[] = [];
  /** Before a CPU goes offline: what an answer leaves in its caches on purpose. */
  readonly releases: AnswerHook[] = [];
  /** By hand kind; kinds are numbered in cpu/hand-stack.ts. */
  readonly slotRepairs: (SlotRepair | undefined)[] = [];
  readonly cacheRepairs: CacheRepair[] = [];
}
