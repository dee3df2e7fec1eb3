/**
 * SMR as one thread sees it: `smr(9)` over shared memory. Readers of a linked structure enter,
 * follow pointers by `Atomics.load`, and exit: two atomic operations, no lock. Whoever unlinks an
 * item gives it to the free function of an SMR zone, or waits for `advance()`'s goal, before its
 * memory becomes something else.
 *
 * Invariants: a section is of one thread and one job (no await, no sleep inside: SectionError); one
 * section per SMR at a time, those of different SMRs may nest; a thread that dies in one loads
 * nothing any more, so recovery ends it (recover.ts).
 */

import {
  beginSection,
  type Cpu,
  endSection,
  Panic,
  requireInteger,
  requireNoSection,
  SectionError,
} from '@umbuf/memory';
import { smrAdvance, smrPoll, smrWait } from './poll.ts';
import { smrCpu, SmrCpuRecord, SmrRecord } from './smr-layout.ts';

const WRITE = SmrRecord.fields.writeSequence.at;
const C = SmrCpuRecord.fields;
const OPEN = C.open.at;
const AWAITED = C.awaited.at;

/** Counters of one SMR, summed over CPUs (`debug.smr.*`). */
export interface SmrStatistics {
  readonly name: string;
  readonly advances: number;
  /** Advances that had to wait for readers that lagged too far. */
  readonly advanceWaits: number;
  readonly polls: number;
  /** Polls that had to look at the CPUs. */
  readonly scans: number;
  /** Polls whose goal was not reached. */
  readonly failures: number;
}

/** Made by `uma.smr(name)`. The constructor only stores fields. */
export class Smr {
  readonly cpu: Cpu;
  readonly name: string;
  /** Word index of the shared record, and of this CPU's. */
  readonly record: number;
  readonly reader: number;
  private readonly words: Int32Array<SharedArrayBuffer>;
  private readonly writeSequence: number;

  constructor(cpu: Cpu, name: string, record: number) {
    this.cpu = cpu;
    this.name = name;
    this.record = record;
    this.reader = smrCpu(record, cpu.number);
    this.words = cpu.words;
    this.writeSequence = record + WRITE;
  }

  /**
   * Begins a read section (`smr_enter`). Until `exit` nothing that can be reached by `Atomics.load`
   * from a shared structure is reused. Throws `SectionError`, with nothing changed, when this
   * thread is inside a section of this SMR already.
   *
   * The sequence is published by an exchange. What is needed is that it is visible before any
   * pointer is loaded, which the kernel gets by a fence or a locked instruction. JavaScript has no
   * fence; what it orders, in one order for all threads, are `Atomics` accesses among themselves.
   * So a pointer loaded plainly could be older than the section, whatever publishes it: hence
   * `Atomics.load`. The exchange is the locked instruction; a store would do as well and cost the
   * same, but does not tell what was there, and a thread that finds its word not 0 shares its CPU
   * number with another.
   */
  enter(): void {
    const { words, reader } = this;
    if (words[reader + OPEN] !== 0) {
      throw new SectionError(`smr ${this.name}: enter inside a section of the same SMR`);
    }
    beginSection(this.cpu);
    words[reader + OPEN] = 1;
    const before = Atomics.exchange(words, reader, Atomics.load(words, this.writeSequence));
    if (before !== 0) throw new Panic(`smr ${this.name}: another thread reads as this CPU`);
  }

  /**
   * Ends the section (`smr_exit`); what was found in it may be anything from now on. Throws
   * `SectionError` when there is none.
   */
  exit(): void {
    const { words, reader } = this;
    if (words[reader + OPEN] === 0) {
      throw new SectionError(`smr ${this.name}: exit without enter`);
    }
    const before = Atomics.exchange(words, reader, 0);
    words[reader + OPEN] = 0;
    endSection(this.cpu);
    if (words[reader + AWAITED] !== 0) wake(words, reader);
    if (before === 0) throw new Panic(`smr ${this.name}: section ended by a recovery: not dead`);
  }

  /** Whether this thread is inside a section of this SMR (`SMR_ENTERED`). */
  isEntered(): boolean {
    return this.words[this.reader + OPEN] !== 0;
  }

  /**
   * Begins a new sequence and returns the goal (an int32, never 0) at which what was unlinked
   * before is nobody's (`smr_advance`). Throws `SectionError` inside any section; may wait for
   * readers that lag by a quarter of all sequences, `LockBusyError` on a CPU that may not block.
   */
  advance(): number {
    requireNoSection(this.cpu, 'advance');
    return smrAdvance(this.cpu, this.record);
  }

  /** Whether a goal of `advance` is reached (`smr_poll`). Never waits; allowed in a section. */
  poll(goal: number): boolean {
    requireGoal(goal);
    return smrPoll(this.cpu, this.record, goal);
  }

  /**
   * Waits until a goal is reached (`smr_wait`), at most `timeoutMs` milliseconds; false when they
   * were not enough. Throws `SectionError` inside any section; on a CPU that may not block
   * `LockBusyError` when a section does not end within its bound (`waitAsync` instead).
   */
  wait(goal: number, timeoutMs: number = Number.POSITIVE_INFINITY): boolean {
    requireGoal(goal);
    return smrWait(this.cpu, this.record, goal, timeoutMs);
  }

  /**
   * `wait` for a thread that may not block: looks once a millisecond, between jobs; its timer keeps
   * the process alive meanwhile. Rejects with `SectionError` when called inside a section.
   */
  async waitAsync(goal: number): Promise<void> {
    requireGoal(goal);
    requireNoSection(this.cpu, 'a wait for readers');
    while (!this.poll(goal)) await new Promise<void>((resolve) => setTimeout(resolve, 1));
  }

  /** Waits until every section that is open now has ended (`smr_synchronize`); see `wait`. */
  synchronize(timeoutMs: number = Number.POSITIVE_INFINITY): boolean {
    return this.wait(this.advance(), timeoutMs);
  }

  /** Counters, read without stopping anyone. */
  statistics(): SmrStatistics {
    const { cpu, record } = this;
    return {
      name: this.name,
      advances: sumOf(cpu, record, C.advances.at),
      advanceWaits: sumOf(cpu, record, C.advanceWaits.at),
      polls: sumOf(cpu, record, C.polls.at),
      scans: sumOf(cpu, record, C.scans.at),
      failures: sumOf(cpu, record, C.failures.at),
    };
  }
}

/** Who sleeps on the sequence looks at it; whoever else comes to sleep sets the hint again. */
function wake(words: Int32Array<SharedArrayBuffer>, reader: number): void {
  Atomics.store(words, reader + AWAITED, 0);
  Atomics.notify(words, reader);
}

function requireGoal(goal: number): void {
  requireInteger('goal', goal, -(2 ** 31), 2 ** 31 - 1);
}

function sumOf(cpu: Cpu, smr: number, field: number): number {
  let total = 0n;
  for (let number = 0; number < cpu.arena.cpus; number++) {
    total += Atomics.load(cpu.longs, (smrCpu(smr, number) + field) >> 1);
  }
  return Number(total);
}
