/**
 * The hand stack: what a slow path holds only in local variables, so that a worker that is
 * terminated there loses nothing. Thread-private until recovery.
 *
 * `worker.terminate()` strikes at function entries, loop back edges, inside waits, and at the
 * entry of `Atomics.load`, `store`, `add`, `exchange`, `compareExchange` and their kin, before
 * their effect (measured on Node 20 and 24: half of all terminations of a line with such calls
 * struck there, none ever between their effect and the plain code behind it; `Atomics.notify` and
 * BigInt additions are no such points). test/death/straight-line.guard.test.ts watches that. Hence the rules (docs/decisions/0004):
 * 1. reserve a void slot before the first lock; fill it in the same straight line as the take,
 *    clear it in the same straight line as the put, before the unlock; release it on the way out.
 * 2. fill before the take, clear after the put: a tear shows a thing twice, never not at all.
 * 3. a straight line (between `// straight` and `// end`) has no call, loop or wait; accessors,
 *    helpers and assertions are calls. What must not be torn contains at most one atomic access,
 *    and that one comes first: `{ decisive atomic; plain words that depend on it }`. Plain words
 *    before it must be true of a thread that dies before it ("holding or waiting"). A second
 *    atomic begins a second line: recovery must cope with death between the two.
 * 4. the slot of a lock is filled before the attempt: it says "holding or waiting".
 * 5. no slot stays filled over an `await`.
 *
 * A slot is four words: kind, value, detail, more. A void slot has kind 0.
 */

import { LockBusyError, Panic } from '../errors.ts';
import { HAND_SLOT_WORDS, HAND_SLOTS } from '../layout/records.ts';
import type { Cpu } from './cpu.ts';

/** What a slot holds. Numbers below 16 belong to `memory`; uma uses 16-31, mbuf 32-47. */
export const HandKind = {
  none: 0,
  /** value: word index of the mutex, held or waited for. */
  lock: 1,
  /** value: first page, detail: pages; a run that is on no free list. */
  pages: 2,
  /** value: word index of the limit, detail: units reserved and not yet handed on. */
  units: 3,
  /** value: word index of the mutex slept for, which counts this CPU in its `waiting`. */
  lockSleep: 4,
} as const;

/** Word offsets inside a slot. */
export const SLOT_KIND = 0;
export const SLOT_VALUE = 1;
export const SLOT_DETAIL = 2;
export const SLOT_MORE = 3;

/**
 * Reserves a void slot and returns its word index. Panics when the stack is full: callbacks
 * nest too deeply.
 */
export function reserveSlot(cpu: Cpu): number {
  const { words } = cpu;
  const top = words[cpu.handTop]!;
  if (top >= HAND_SLOTS) {
    throw new Panic(
      `CPU ${cpu.number}: hand stack full (${HAND_SLOTS} slots): callbacks nest too deep`,
    );
  }
  const slot = cpu.hand + top * HAND_SLOT_WORDS;
  words[slot] = HandKind.none;
  words[cpu.handTop] = top + 1;
  return slot;
}

/** Gives back every slot from `slot` up; they must be void. */
export function releaseSlot(cpu: Cpu, slot: number): void {
  cpu.words[cpu.handTop] = (slot - cpu.hand) / HAND_SLOT_WORDS;
}

/**
 * Puts back what earlier slow paths of a thread that may not block had to leave in its hands
 * (their locks were busy). Runs between operations; what is still busy stays.
 */
export function settleHand(cpu: Cpu): void {
  const { words, arena } = cpu;
  while (words[cpu.handTop]! > 0) {
    const slot = cpu.hand + (words[cpu.handTop]! - 1) * HAND_SLOT_WORDS;
    const kind = words[slot]!;
    if (kind !== HandKind.none) {
      const repair = arena.hooks.slotRepairs[kind];
      if (repair === undefined) throw new Panic(`hand slot kind ${kind} has no repair`);
      if (!settled(cpu, slot, repair)) return;
    }
    releaseSlot(cpu, slot);
  }
}

/** One repair; false when a lock was busy and the slot stays filled. */
function settled(
  cpu: Cpu,
  slot: number,
  repair: (cpu: Cpu, slot: number, dead: number) => void,
): boolean {
  try {
    repair(cpu, slot, cpu.number);
  } catch (error) {
    // The lock's own slot was given back by the failed attempt.
    if (error instanceof LockBusyError) return false;
    throw error;
  }
  return true;
}
