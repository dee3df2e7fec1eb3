/**
 * Draining another CPU: what a CPU that is idle, running, blocked or gone has cached is brought
 * to the lists. An idle CPU is claimed by the caller's `claim` (one straight line under a list
 * lock); a running one is sent a request that it answers at its next slow path, leave, wait or
 * checkpoint. Nothing is waited for without a bound.
 */

import { ArgumentError, Panic } from '../errors.ts';
import { CpuRecord } from '../layout/records.ts';
import type { Cpu } from './cpu.ts';
import { answerRequests, enterCpu, leaveCpu } from './protocol.ts';
import { CpuState, STATE_KIND_MASK } from './state.ts';

const POSTED = CpuRecord.fields.posted.at;
const ANSWERED = CpuRecord.fields.answered.at;
const CLAIMS = CpuRecord.fields.claims.at;

/**
 * Claims the idle CPU `target`, whose state word was `seen`: takes the list's lock, then in one
 * straight line compare-exchanges `seen` to claimed, moves the buckets, stores `seen` back and
 * notifies. False when the exchange lost. See `claimedState`.
 */
export type Claim = (cpu: Cpu, target: number, seen: number) => boolean;

export type DrainResult = 'drained' | 'unanswered' | 'gone';

/** The state word of `seen` while CPU `by` claims it. Compute it before the straight line. */
export function claimedState(seen: number, by: number): number {
  return (seen & ~STATE_KIND_MASK) | CpuState.claimed | ((by + 1) << 4);
}

/**
 * Drains CPU `target` within `timeoutMs` milliseconds; after that the request stays posted and the
 * result says `unanswered`. `gone`: dead or being recovered, `recover` will flush it. The caller
 * leaves and enters around each wait, so nothing read before the call is valid after it. A CPU
 * with `mayBlock: false` does not wait for a running target: it posts, looks once, and says
 * `unanswered`. Throws `ArgumentError` for a number out of range.
 */
export function drainCpu(cpu: Cpu, target: number, claim: Claim, timeoutMs: number): DrainResult {
  const { words, arena } = cpu;
  if (!(Number.isInteger(target) && target >= 0 && target < arena.cpus)) {
    throw new ArgumentError(`drainCpu: CPU number ${target} is not from 0 to ${arena.cpus - 1}`);
  }
  if (words[cpu.entered] === 0) enterCpu(cpu);
  if (target === cpu.number) {
    answerRequests(cpu);
    return 'drained';
  }
  const base = arena.cpuTable + target * CpuRecord.words;
  const deadline = performance.now() + timeoutMs;
  let ticket = 0;
  let posted = false;
  // Ends: every pass either returns, lost an exchange to another CPU's progress, or waited.
  for (;;) {
    let seen = Atomics.load(words, base);
    switch (seen & STATE_KIND_MASK) {
      case CpuState.offline:
        return 'drained'; // it flushed before it changed the state
      case CpuState.idle:
        if (claim(cpu, target, seen)) {
          cpu.longs[(cpu.base + CLAIMS) >> 1]! += 1n;
          return 'drained';
        }
        break;
      case CpuState.running: {
        if (!posted) {
          ticket = (Atomics.add(words, base + POSTED, 1) + 1) | 0;
          posted = true;
          // The drainer's half of Dekker's handshake: it may have gone idle before it saw us.
          seen = Atomics.load(words, base);
          if ((seen & STATE_KIND_MASK) !== CpuState.running) break;
        }
        const answered = Atomics.load(words, base + ANSWERED);
        if (((answered - ticket) | 0) >= 0) return 'drained';
        if (!waitBounded(cpu, base + ANSWERED, answered, deadline)) return 'unanswered';
        break;
      }
      case CpuState.claimed:
        // The claim may be for another zone: wait and look again, never report drained. It is one
        // straight line of another thread, so a thread that may not block looks until the deadline.
        if (!cpu.mayBlock && performance.now() < deadline) break;
        if (!waitBounded(cpu, base, seen, deadline)) return 'unanswered';
        break;
      case CpuState.dead:
      case CpuState.recovering:
        return 'gone';
      default:
        throw new Panic(`CPU ${target} has state word ${seen}`);
    }
  }
}

/**
 * Drains CPU `target` without waiting for it: an idle one is claimed, a running one gets a request. What
 * it has cached up to now is then on the lists, or comes there when it answers, and what it does
 * behind its answer follows everything that the caller did before this call. False when another's
 * claim is in the way, a few statements long: call again. Throws `ArgumentError` for a number out of
 * range or the caller's own.
 */
export function requestDrain(cpu: Cpu, target: number, claim: Claim): boolean {
  const { words, arena } = cpu;
  if (!(Number.isInteger(target) && target >= 0 && target < arena.cpus) || target === cpu.number) {
    throw new ArgumentError(`requestDrain: CPU number ${target} is no other CPU`);
  }
  const base = arena.cpuTable + target * CpuRecord.words;
  // Ends: every further pass lost an exchange to another CPU's progress.
  for (;;) {
    const seen = Atomics.load(words, base);
    switch (seen & STATE_KIND_MASK) {
      case CpuState.idle:
        if (claim(cpu, target, seen)) {
          cpu.longs[(cpu.base + CLAIMS) >> 1]! += 1n;
          return true;
        }
        break;
      case CpuState.running:
        Atomics.add(words, base + POSTED, 1);
        // As in drainCpu: it may have gone idle before it saw the request.
        if ((Atomics.load(words, base) & STATE_KIND_MASK) === CpuState.running) return true;
        break;
      case CpuState.claimed:
        return false;
      default:
        return true; // offline: it has flushed; dead: recover will
    }
  }
}

/**
 * Asks CPU `target` to answer when it leaves next, and waits for nothing. An idle one answers at the
 * end of its next job.
 */
export function postRequest(cpu: Cpu, target: number): void {
  Atomics.add(cpu.words, cpu.arena.cpuTable + target * CpuRecord.words + POSTED, 1);
}

/**
 * Leaves, sleeps until the word changes or the deadline, enters. Without leaving, two CPUs that
 * drain each other would both time out. A thread that may not block does not sleep at all.
 */
function waitBounded(cpu: Cpu, word: number, value: number, deadline: number): boolean {
  const left = deadline - performance.now();
  if (left <= 0 || !cpu.mayBlock) return false;
  leaveCpu(cpu);
  // An idle target does not notify `answered` when it is claimed instead: look again in 1 ms.
  Atomics.wait(cpu.words, word, value, Math.min(left, 1));
  enterCpu(cpu);
  return true;
}
