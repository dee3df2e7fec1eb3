/**
 * The sequences of one SMR (Global Unbounded Sequences, `subr_smr.c`), as functions of the word
 * index of its record. Writers unlink, `advance` and get a goal; readers publish the write
 * sequence that they saw at enter; the goal is reached when no open section has entered before it.
 *
 *   readSequence <= writeSequence (modularly); a sequence outside of the two was reached long ago
 *
 * Why a reached goal is safe to reuse by. Everything in question is an `Atomics` access, and those
 * have one order that all threads see. A reader publishes (P), then loads pointers (L); a writer
 * unlinks (U), advances (A), then scans (S). Is S before P, then U is before L: the reader finds the
 * item unlinked. Is P before S, the scan sees the section: had the reader loaded its sequence after
 * A, it loads pointers after U; else its sequence is below the goal, which is not reached until the
 * section has ended. And what the section read plainly happened before its end, which the scan (or
 * the load of a read sequence that a scan has moved) synchronises with: reuse races with nothing.
 */

import {
  type Cpu,
  CpuRecord,
  CpuState,
  LockBusyError,
  requireNoSection,
  spinHint,
  STATE_KIND_MASK,
} from '@umbuf/memory';
import { smrCpu, SmrCpuRecord, SmrRecord } from './smr-layout.ts';

const WRITE = SmrRecord.fields.writeSequence.at;
const READ = SmrRecord.fields.readSequence.at;
const INCREMENT = SmrRecord.fields.increment.at;
const MAX_DELTA = SmrRecord.fields.maxDelta.at;
const MAX_ADVANCE = SmrRecord.fields.maxAdvance.at;
const S = SmrCpuRecord.fields;
const AWAITED = S.awaited.at;

/** Looks at a section that is in the way before a waiter sleeps. */
const SPINS = 60;
/** Looks of a thread that may not block before it gives up. */
const SPINS_NO_BLOCK = 100_000;
/** Longest sleep between two looks, milliseconds: `awaited` is a hint, so its notify may not come. */
const SLEEP_MS = 1;

/**
 * Begins a new sequence (`smr_advance`). What the caller unlinked before is out of the reach of
 * every section that enters once the goal that is returned is reached. When readers lag so far
 * behind that sequences could be mistaken, it first waits for them: before it changes anything, so
 * that a thread which may not block (`LockBusyError`) can try again without moving the sequence.
 * Several CPUs that pass here at once overshoot by one increment each, as in the kernel.
 */
export function smrAdvance(cpu: Cpu, smr: number): number {
  const { words, longs } = cpu;
  const increment = words[smr + INCREMENT]!;
  const next = (Atomics.load(words, smr + WRITE) + increment) | 0;
  if (((next - Atomics.load(words, smr + READ)) | 0) >= words[smr + MAX_DELTA]!) {
    longs[(smrCpu(smr, cpu.number) + S.advanceWaits.at) >> 1]! += 1n;
    smrWait(cpu, smr, (next - words[smr + MAX_ADVANCE]!) | 0);
  }
  return smrAdvanceNow(cpu, smr);
}

/**
 * `smrAdvance` that never waits, for recovery: the reader in the way may be dead and its recovery
 * this thread's next task. One increment more is nothing to the distance between the limit and
 * 2^31.
 */
export function smrAdvanceNow(cpu: Cpu, smr: number): number {
  const { words, longs } = cpu;
  const increment = words[smr + INCREMENT]!;
  longs[(smrCpu(smr, cpu.number) + S.advances.at) >> 1]! += 1n;
  return (Atomics.add(words, smr + WRITE, increment) + increment) | 0;
}

/** Whether `goal` is reached (`smr_poll` without waiting). Allowed everywhere. */
export function smrPoll(cpu: Cpu, smr: number, goal: number): boolean {
  return poll(cpu, smr, goal, Number.NEGATIVE_INFINITY);
}

/**
 * Waits until `goal` is reached (`smr_wait`), at most `timeoutMs` milliseconds; false when that was
 * not enough. Throws `SectionError` inside a section, and `LockBusyError` on a CPU that may not
 * block when a section does not end within its bound. Does not leave the CPU: a section is short,
 * and waits for nobody.
 */
export function smrWait(
  cpu: Cpu,
  smr: number,
  goal: number,
  timeoutMs: number = Number.POSITIVE_INFINITY,
): boolean {
  requireNoSection(cpu, 'a wait for readers');
  return poll(cpu, smr, goal, performance.now() + timeoutMs);
}

function poll(cpu: Cpu, smr: number, goal: number, deadline: number): boolean {
  const { words, longs, arena } = cpu;
  const own = smrCpu(smr, cpu.number) >> 1;
  longs[own + (S.polls.at >> 1)]! += 1n;
  const read = Atomics.load(words, smr + READ);
  if (((goal - read) | 0) <= 0) return true;
  // Behind the load of the read sequence and before any of a section's: see the header.
  const write = Atomics.load(words, smr + WRITE);
  // Beyond the write sequence: a goal from before the wrap, or none that was ever given.
  if (((goal - write) | 0) > 0) return true;
  longs[own + (S.scans.at >> 1)]! += 1n;
  // All CPUs, even when one is in the way: the read sequence shall move as far as it can.
  let least = write;
  for (let number = 0; number < arena.cpus; number++) {
    const sequence = scan(cpu, smr, number, read, goal, deadline);
    if (sequence !== 0 && ((sequence - least) | 0) < 0) least = sequence;
  }
  const seen = Atomics.load(words, smr + READ);
  let reached = seen;
  if (((least - seen) | 0) > 0) {
    // Lost to another scan: that one moved it on its own findings, ours are as good.
    Atomics.compareExchange(words, smr + READ, seen, least);
    reached = least;
  }
  if (((goal - reached) | 0) <= 0) return true;
  longs[own + (S.failures.at >> 1)]! += 1n;
  return false;
}

/**
 * The sequence of one CPU's section, 0 when it is in none; before the deadline only once it is not
 * in the way of `goal`.
 */
function scan(
  cpu: Cpu,
  smr: number,
  number: number,
  read: number,
  goal: number,
  deadline: number,
): number {
  const { words } = cpu;
  const reader = smrCpu(smr, number);
  // Ends: sections do, those of the dead by their recovery; and the deadline passes.
  for (let looks = 0; ; looks++) {
    const sequence = Atomics.load(words, reader);
    if (sequence === 0) return 0;
    // It loaded the write sequence long before it published it. It has loaded no pointer before
    // that, so the read sequence at our beginning is as early as it can have been.
    const entered = ((sequence - read) | 0) < 0 ? read : sequence;
    if (((entered - goal) | 0) >= 0) return entered;
    if (isDead(cpu, number)) return 0;
    if (deadline === Number.NEGATIVE_INFINITY) return entered;
    if (!cpu.mayBlock) {
      if (looks >= SPINS_NO_BLOCK) {
        throw new LockBusyError(
          `CPU ${cpu.number} may not block, and a read section of CPU ${number} does not end: waitAsync`,
        );
      }
      spinHint();
    } else if (looks < SPINS) {
      spinHint();
    } else {
      const left = deadline - performance.now();
      if (left <= 0) return entered;
      Atomics.store(words, reader + AWAITED, 1);
      Atomics.wait(words, reader, sequence, Math.min(left, SLEEP_MS));
    }
  }
}

/**
 * Whether CPU `number` is known to be dead: its section has ended with its thread, before recovery
 * says so. The sequence was loaded before: a number is taken anew only when its recovery has ended
 * that section, and then it is not dead.
 */
function isDead(cpu: Cpu, number: number): boolean {
  const { words, arena } = cpu;
  const kind = Atomics.load(words, arena.cpuTable + number * CpuRecord.words) & STATE_KIND_MASK;
  return kind === CpuState.dead || kind === CpuState.recovering;
}
