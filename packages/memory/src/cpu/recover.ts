/**
 * Recovery of a CPU whose thread is gone: what it held is put back, its locks are freed, its
 * number may be used again. Called only after the thread's exit event, by `smp` or by the owner
 * of a bare Worker, with the incarnation that died: without it a second call would kill the
 * replacement.
 *
 * Every step may be broken off (the recoverer may die, or find a lock busy) and begun again by
 * another CPU.
 */

import { ArgumentError, LockBusyError, Panic } from '../errors.ts';
import { CpuRecord, HAND_SLOT_WORDS, MutexRecord } from '../layout/records.ts';
import { WAITERS } from '../sync/mutex.ts';
import type { Cpu } from './cpu.ts';
import { HandKind } from './hand-stack.ts';
import { claimerIsDead, enterCpu } from './protocol.ts';
import { requireNoSection } from './section.ts';
import {
  CpuState,
  packState,
  STATE_BY_SHIFT,
  STATE_KIND_MASK,
  stateBy,
  stateIncarnation,
} from './state.ts';

const C = CpuRecord.fields;
const WAITING = MutexRecord.fields.waiting.at;

/** `nothing`: another incarnation, or offline already. `busy`: another CPU is at it, or a lock is; call again. */
export type RecoverResult = 'recovered' | 'nothing' | 'busy';

/** Looks at a claim on a dead CPU, each up to 1 ms on a CPU that may block, before `busy`. */
const CLAIM_LOOKS = 100;
const CLAIM_LOOKS_NO_BLOCK = 100_000;

/**
 * Declares the CPU dead. With several dead, mark all of them before recovering any: the recovery
 * of one may meet a lock or a claim that another holds, and takes it over only from a CPU known to
 * be dead. Returns false when the incarnation is another one or the number is offline, and when a
 * third CPU claims it and does not come to its end: mark that one if it is dead, and call again.
 */
export function markDead(cpu: Cpu, dead: number, incarnation: number): boolean {
  return tryMarkDead(cpu, dead, incarnation) === 'dead';
}

function tryMarkDead(cpu: Cpu, dead: number, incarnation: number): 'dead' | 'nothing' | 'busy' {
  const { words, arena } = cpu;
  if (!(Number.isInteger(dead) && dead >= 0 && dead < arena.cpus)) {
    throw new ArgumentError(`CPU number ${dead} is not from 0 to ${arena.cpus - 1}`);
  }
  const state = arena.cpuTable + dead * CpuRecord.words;
  const word = packState(CpuState.dead, incarnation);
  const bound = cpu.mayBlock ? CLAIM_LOOKS : CLAIM_LOOKS_NO_BLOCK;
  // Ends: looks at a claim are counted; every other state returns or lost to another's progress.
  for (let looks = 0; ; ) {
    const seen = Atomics.load(words, state);
    const kind = seen & STATE_KIND_MASK;
    if (stateIncarnation(seen) !== incarnation || kind === CpuState.offline) return 'nothing';
    if (kind === CpuState.dead || kind === CpuState.recovering) return 'dead';
    // A live claimer is waited for: it is about to store the state. A dead one moved everything.
    if (kind === CpuState.claimed && !claimerIsDead(arena, seen)) {
      if (++looks > bound) return 'busy';
      if (cpu.mayBlock) Atomics.wait(words, state, seen, 1);
      continue;
    }
    if (Atomics.compareExchange(words, state, seen, word) === seen) return 'dead';
  }
}

/**
 * Recovers CPU `dead` of `incarnation`. Order: state, claims and recoveries that it had begun,
 * its locks (all waiters are woken in any case: it may have swallowed the only wake-up), the
 * other hand slots by the ordinary put, the caches, pending requests, and offline last.
 *
 * A thread that learns of deaths by its own event loop must not sleep in here for a lock whose
 * holder dies meanwhile: nobody would recover that one. Give it a CPU with `mayBlock: false`, on
 * which the answer is `busy` instead. Throws `SectionError` inside a read section (a
 * repair may have to wait for readers), `ArgumentError` for its own number or one out of
 * range, and what a repair threw; then the CPU stays dead and may be recovered again.
 */
export function recover(cpu: Cpu, dead: number, incarnation: number): RecoverResult {
  if (dead === cpu.number) throw new ArgumentError(`recover: CPU ${dead} recovers itself`);
  requireNoSection(cpu, 'recover');
  const marked = tryMarkDead(cpu, dead, incarnation);
  if (marked !== 'dead') return marked;
  const { words, arena } = cpu;
  if (!entered(cpu)) return 'busy';
  const base = arena.cpuTable + dead * CpuRecord.words;
  const deadWord = packState(CpuState.dead, incarnation);
  const mine = packState(CpuState.recovering, incarnation) | ((cpu.number + 1) << STATE_BY_SHIFT);
  const seen = Atomics.compareExchange(words, base, deadWord, mine);
  if (seen !== deadWord) return 'busy';
  try {
    releaseClaims(cpu, dead);
    releaseLocks(cpu, base, dead, incarnation);
    repairSlots(cpu, base, dead);
    for (const repair of arena.hooks.cacheRepairs) repair(cpu, dead);
  } catch (error) {
    // Whoever calls next, in this thread or another, begins again.
    Atomics.store(words, base, deadWord);
    Atomics.notify(words, base);
    if (error instanceof LockBusyError) return 'busy';
    throw error;
  }
  words[base + C.handTop.at] = 0;
  words[base + C.entered.at] = 0;
  words[base + C.sections.at] = 0;
  Atomics.store(words, base + C.answered.at, Atomics.load(words, base + C.posted.at));
  Atomics.notify(words, base + C.answered.at);
  Atomics.store(words, base, packState(CpuState.offline, incarnation));
  Atomics.notify(words, base);
  return 'recovered';
}

/** Enters; false when another CPU claims this one and it may not wait for that. */
function entered(cpu: Cpu): boolean {
  try {
    if (cpu.words[cpu.entered] === 0) enterCpu(cpu);
  } catch (error) {
    if (error instanceof LockBusyError) return false;
    throw error;
  }
  return true;
}

/**
 * Ends what it had begun on others. A claim whose claimer was terminated has moved everything: the
 * only interrupt point inside is the entry of the store that would have ended it.
 */
function releaseClaims(cpu: Cpu, dead: number): void {
  const { words, arena } = cpu;
  for (let other = 0; other < arena.cpus; other++) {
    const state = arena.cpuTable + other * CpuRecord.words;
    const seen = Atomics.load(words, state);
    if (stateBy(seen) !== dead) continue;
    const kind = seen & STATE_KIND_MASK;
    const next = kind === CpuState.claimed ? CpuState.idle : CpuState.dead;
    if (
      Atomics.compareExchange(words, state, seen, packState(next, stateIncarnation(seen))) === seen
    ) {
      Atomics.notify(words, state);
    }
  }
}

function releaseLocks(cpu: Cpu, base: number, dead: number, incarnation: number): void {
  const { words } = cpu;
  const held = (dead + 1) | (incarnation << 9);
  const top = words[base + C.handTop.at]!;
  for (let index = 0; index < top; index++) {
    const slot = base + C.hand.at + index * HAND_SLOT_WORDS;
    const kind = words[slot]!;
    if (kind !== HandKind.lock && kind !== HandKind.lockSleep) continue;
    const lock = words[slot + 1]!;
    // It may have been waiting only, or the lock may have been taken over from it. Ends: while
    // the dead holds the word, all that can still change in it is the waiters bit, once.
    let seen = Atomics.load(words, lock);
    while ((seen & ~WAITERS) === held) {
      const found = Atomics.compareExchange(words, lock, seen, 0);
      if (found === seen) break;
      seen = found;
    }
    // straight: a recovery that is begun again must not count the sleeper out twice
    if (kind === HandKind.lockSleep) Atomics.sub(words, lock + WAITING, 1);
    Atomics.notify(words, lock);
    words[slot] = HandKind.none;
    // end
  }
}

function repairSlots(cpu: Cpu, base: number, dead: number): void {
  const { words, arena } = cpu;
  // From the top down: an inner operation's slots go back before the outer one's.
  for (let index = words[base + C.handTop.at]! - 1; index >= 0; index--) {
    const slot = base + C.hand.at + index * HAND_SLOT_WORDS;
    const kind = words[slot]!;
    if (kind === HandKind.none) continue;
    const repair = arena.hooks.slotRepairs[kind];
    if (repair === undefined) {
      throw new Panic(`recovery of CPU ${dead}: hand kind ${kind} has no repair in this thread`);
    }
    repair(cpu, slot, dead);
  }
}
