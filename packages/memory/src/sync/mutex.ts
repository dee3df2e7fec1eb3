/**
 * Owner-carrying mutex. The word is 0, or CPU + 1 | waiters bit | incarnation, so a lock whose
 * holder died names it, and recovery can free it. Never held across a callback.
 *
 * - First attempt: compare-exchange 0 -> me. Whoever has waited takes the lock *with* the waiters
 *   bit, because there may be others; unlock exchanges 0 and notifies one only if the bit was
 *   there (a notify with nobody waiting costs 40-50 ns).
 * - The lock's hand slot is filled before the attempt and says "holding or waiting": a waiter that
 *   was notified and then killed has swallowed a wake-up, which recovery replaces by waking all.
 * - A mutex wait does not leave the CPU (answering a request takes list locks and would recurse).
 * - Each structure that a mutex protects is consistent between any two interrupt points, so a lock
 *   taken over from a dead CPU needs no undo.
 */

import type { Cpu } from '../cpu/cpu.ts';
import { HandKind } from '../cpu/hand-stack.ts';
import { CpuState, STATE_KIND_MASK, stateIncarnation } from '../cpu/state.ts';
import { LockBusyError, Panic } from '../errors.ts';
import { CpuRecord, HAND_SLOT_WORDS, HAND_SLOTS, MutexRecord } from '../layout/records.ts';
import { spinHint } from './backoff.ts';

export { LockBusyError };

const M = MutexRecord.fields;
const LAST_OWNER = M.lastOwner.at;
const OPERATIONS = M.operations.at;
const OWNER_SWITCHES = M.ownerSwitches.at;
const WAITING = M.waiting.at;

const OWNER_MASK = 0xff;
/** Somebody may be sleeping on the word. */
export const WAITERS = 0x100;
const LOCK_INCARNATION_SHIFT = 9;

/** Looks before a waiter sleeps; a critical section is well under a microsecond. */
const SPINS = 60;
/** Looks of a thread that may not block, about 2 ms, before it gives up. */
const SPINS_NO_BLOCK = 100_000;

/**
 * Takes the mutex at word index `lock`. Returns true when it was contended (bucket sizing counts
 * that, spec 1.7). Throws `LockBusyError` only on a CPU with `mayBlock: false`; panics when this
 * CPU holds it already.
 */
export function lockMutex(cpu: Cpu, lock: number): boolean {
  const { words, longs, handTop } = cpu;
  const top = words[handTop]!;
  if (top >= HAND_SLOTS) throw new Panic(`CPU ${cpu.number}: hand stack full at a lock`);
  const slot = cpu.hand + top * HAND_SLOT_WORDS;
  // straight
  words[slot] = HandKind.lock;
  words[slot + 1] = lock;
  words[handTop] = top + 1;
  const seen = Atomics.compareExchange(words, lock, 0, cpu.lockWord);
  // end
  if (seen !== 0) lockContended(cpu, lock, slot);
  longs[(lock + OPERATIONS) >> 1]! += 1n;
  if (words[lock + LAST_OWNER] !== cpu.number + 1) {
    words[lock + LAST_OWNER] = cpu.number + 1;
    longs[(lock + OWNER_SWITCHES) >> 1]! += 1n;
  }
  return seen !== 0;
}

/**
 * Gives the mutex back and wakes one waiter if there may be one. Its hand slot must be the top one:
 * locks are released in the reverse order, and slots reserved under a lock before it. Panics
 * otherwise, with nothing changed.
 */
export function unlockMutex(cpu: Cpu, lock: number): void {
  const { words, handTop } = cpu;
  const top = words[handTop]! - 1;
  const slot = cpu.hand + top * HAND_SLOT_WORDS;
  // Voiding another slot here would hide from recovery the lock that stays held.
  if (top < 0 || words[slot + 1] !== lock || words[slot] !== HandKind.lock) {
    throw new Panic(`CPU ${cpu.number}: mutex ${lock * 4} is not the last thing in its hands`);
  }
  // straight
  const old = Atomics.exchange(words, lock, 0);
  if ((old & WAITERS) !== 0) Atomics.notify(words, lock, 1);
  words[slot] = HandKind.none;
  words[handTop] = top;
  // end
  if ((old & ~WAITERS) !== cpu.lockWord) {
    throw new Panic(
      `mutex ${lock * 4} released by CPU ${cpu.number}, held by ${describeOwner(old)}`,
    );
  }
}

/** CPU number of a mutex word's holder, or -1 when free. */
export function mutexOwner(word: number): number {
  return (word & OWNER_MASK) - 1;
}

/** `CPU 2 (incarnation 5)` or `nobody`, for reports. */
export function describeOwner(word: number): string {
  const owner = mutexOwner(word);
  return owner < 0 ? 'nobody' : `CPU ${owner} (incarnation ${word >>> LOCK_INCARNATION_SHIFT})`;
}

// Slow path.

function lockContended(cpu: Cpu, lock: number, slot: number): void {
  const { words, longs } = cpu;
  const spins = cpu.mayBlock ? SPINS : SPINS_NO_BLOCK;
  for (let spin = 0; spin < spins; spin++) {
    const seen = Atomics.load(words, lock);
    // We have not slept, so we may take it without the bit: a sleeper that was notified carries it.
    if (seen === 0 && Atomics.compareExchange(words, lock, 0, cpu.lockWord) === 0) {
      longs[(lock + M.spins.at) >> 1]! += 1n;
      return;
    }
    if ((seen & ~WAITERS) === cpu.lockWord) {
      throw new Panic(`CPU ${cpu.number} takes mutex ${lock * 4} twice`);
    }
    if (holderIsDead(cpu, seen) && stole(cpu, lock, seen)) return;
    spinHint();
  }
  if (!cpu.mayBlock) {
    // A thread that may not block never registers on the word: nobody will notify it.
    words[slot] = HandKind.none;
    words[cpu.handTop]! -= 1;
    throw new LockBusyError(
      `CPU ${cpu.number} may not block, and mutex ${lock * 4} is held by ${describeOwner(Atomics.load(words, lock))}`,
    );
  }
  sleepForLock(cpu, lock, slot);
}

function sleepForLock(cpu: Cpu, lock: number, slot: number): void {
  const { words, longs } = cpu;
  const from = performance.now();
  // straight: the atomic first, then the kind that tells recovery that `waiting` counts us
  const waiting = Atomics.add(words, lock + WAITING, 1) + 1;
  words[slot] = HandKind.lockSleep;
  // end
  for (;;) {
    const seen = Atomics.load(words, lock);
    if (seen === 0) {
      if (Atomics.compareExchange(words, lock, 0, cpu.lockWord | WAITERS) === 0) break;
    } else if (holderIsDead(cpu, seen)) {
      if (stole(cpu, lock, seen)) break;
    } else if ((seen & WAITERS) !== 0) {
      Atomics.wait(words, lock, seen);
    } else {
      // The flag goes onto the very value just read; if it changed we look again.
      Atomics.compareExchange(words, lock, seen, seen | WAITERS);
    }
  }
  // straight
  Atomics.sub(words, lock + WAITING, 1);
  words[slot] = HandKind.lock;
  // end
  const waitedNs = BigInt(Math.round((performance.now() - from) * 1e6));
  longs[(lock + M.waits.at) >> 1]! += 1n;
  longs[(lock + M.totalWaitNs.at) >> 1]! += waitedNs;
  if (longs[(lock + M.maxWaitNs.at) >> 1]! < waitedNs) {
    longs[(lock + M.maxWaitNs.at) >> 1] = waitedNs;
  }
  if (words[lock + M.maxThreads.at]! < waiting) words[lock + M.maxThreads.at] = waiting;
}

/** Whether the holder that a mutex word names is known to be dead. */
function holderIsDead(cpu: Cpu, seen: number): boolean {
  const owner = mutexOwner(seen);
  if (owner < 0 || owner === cpu.number) return false;
  const state = Atomics.load(cpu.words, cpu.arena.cpuTable + owner * CpuRecord.words);
  const kind = state & STATE_KIND_MASK;
  if (stateIncarnation(state) !== seen >>> LOCK_INCARNATION_SHIFT) return false;
  return kind === CpuState.dead || kind === CpuState.recovering;
}

/**
 * Takes the lock over from a dead holder, always with the waiters bit, which replaces wake-ups
 * that the dead had swallowed. Needed when two are dead and the recovery of one meets the other's
 * lock; safe for everyone, because the structure is consistent at every point of death.
 */
function stole(cpu: Cpu, lock: number, seen: number): boolean {
  return Atomics.compareExchange(cpu.words, lock, seen, cpu.lockWord | WAITERS) === seen;
}
