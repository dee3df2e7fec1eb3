/**
 * Standing still: reading much of the arena at one moment, for totals that add up. Nobody is stopped by
 * force. A CPU that runs is sent a request; at its answer in a slow path (`checkpoint`) it sees who asks,
 * leaves, and waits for the end of the reading, as in any other wait. A CPU that is idle is watched, not
 * claimed: a claim is a few statements long, and a reading is not.
 *
 * What proves the reading is the look behind it: every other CPU was idle or gone before, and neither its
 * state nor its count of enters has changed since. Else it is read again, until the bound; then the last
 * reading is given out as what it is, with the names of those who moved.
 *
 * Steps: take `quiesce` (one asker at a time), ask who runs, wait until nobody does, read, look again,
 * give `quiesce` back and wake. An asker that dies leaves the word: who waits for it goes on after
 * `STILL_MS`, and its recovery, or the next asker, clears it.
 */

import type { Arena } from '../arena.ts';
import { spinHint } from '../sync/backoff.ts';
import { ArenaHeader, CpuRecord } from '../layout/records.ts';
import type { Cpu } from './cpu.ts';
import { inJob } from './job.ts';
import { checkpoint, enterCpu, leaveCpu } from './protocol.ts';
import { CpuState, STATE_KIND_MASK, stateIncarnation } from './state.ts';

const QUIESCE = ArenaHeader.fields.quiesce.at;
const STATE = CpuRecord.fields.state.at;
const POSTED = CpuRecord.fields.posted.at;
const ANSWERED = CpuRecord.fields.answered.at;
const ENTERS = CpuRecord.fields.enters.at;

/** How long CPUs are waited for when nothing is said, in milliseconds. */
export const QUIESCE_MS = 50;
/** The same for a thread that may not block and does not ask asynchronously: it spins. */
const SPIN_MS = 2;

export interface Quiesced<T> {
  readonly value: T;
  /** Nobody moved while `value` was read. */
  readonly exact: boolean;
  /** CPUs that ran all the same, or did not answer in time; empty when `exact`. */
  readonly unanswered: readonly number[];
}

/**
 * Calls `read` while no other CPU is inside the allocator, and returns its value. Waits at most
 * `answerMs` milliseconds for the others, a thread that may not block 2; `read` may be called several
 * times, must not use the allocator, and throws through. What it reads should take well below 100 ms:
 * so long the others stand still.
 */
export function quiesce<T>(cpu: Cpu, read: () => T, answerMs: number = QUIESCE_MS): Quiesced<T> {
  if (cpu.words[cpu.entered] === 0) enterCpu(cpu);
  const bound = cpu.mayBlock ? answerMs : Math.min(answerMs, SPIN_MS);
  const deadline = performance.now() + bound;
  const asked = new Map<number, number>();
  try {
    // Ends: at the deadline; each pass before it waited, or lost to another's progress.
    for (;;) {
      const result = attempt(cpu, asked, read, performance.now() >= deadline);
      if (result !== undefined) return result;
      pause(cpu, deadline);
    }
  } finally {
    giveWord(cpu);
  }
}

/** `quiesce` for threads that may not block: between its looks other tasks of the thread run. */
export async function quiesceAsync<T>(
  cpu: Cpu,
  read: () => T,
  answerMs: number = QUIESCE_MS,
): Promise<Quiesced<T>> {
  const deadline = performance.now() + answerMs;
  const asked = new Map<number, number>();
  const step = (): Quiesced<T> | undefined =>
    attempt(cpu, asked, read, performance.now() >= deadline);
  try {
    for (;;) {
      const result = inJob(cpu, step);
      if (result !== undefined) return result;
      await new Promise<void>((resolve) => {
        setTimeout(resolve, 1);
      });
    }
  } finally {
    inJob(cpu, () => giveWord(cpu));
  }
}

/** Ends what an asker that died has begun. A repair of memory's own. */
export function recoverQuiesce(cpu: Cpu, dead: number): void {
  const seen = Atomics.load(cpu.words, QUIESCE);
  if (askerOf(seen) !== dead) return;
  Atomics.compareExchange(cpu.words, QUIESCE, seen, 0);
  Atomics.notify(cpu.words, QUIESCE);
}

/** One look: asks, reads, proves. Undefined: not yet; never so when it is the `last`. */
function attempt<T>(
  cpu: Cpu,
  asked: Map<number, number>,
  read: () => T,
  last: boolean,
): Quiesced<T> | undefined {
  const other = takeWord(cpu);
  const before = marksOf(cpu.arena);
  const moving = other === -1 ? moversOf(cpu, before) : [other];
  if (other === -1) for (const target of moving) ask(cpu, target, asked);
  if (moving.length === 0) {
    const value = read();
    const after = marksOf(cpu.arena);
    const moved = changed(cpu, before, after);
    if (moved.length === 0) return { value, exact: true, unanswered: [] };
    return last ? { value, exact: false, unanswered: moved } : undefined;
  }
  return last ? { value: read(), exact: false, unanswered: moving } : undefined;
}

/** Posts a request, unless one of ours has no answer yet. `asked`: our tickets, by CPU. */
function ask({ words, arena }: Cpu, target: number, asked: Map<number, number>): void {
  const base = arena.cpuTable + target * CpuRecord.words;
  const ticket = asked.get(target);
  if (ticket !== undefined && ((Atomics.load(words, base + ANSWERED) - ticket) | 0) < 0) return;
  asked.set(target, (Atomics.add(words, base + POSTED, 1) + 1) | 0);
}

/**
 * Enters and state word of each CPU, one behind the other. Enters first: a CPU that comes in between is
 * seen running, or has one more enter at the next look. The other way round it could be idle here with an
 * enter that is counted already.
 */
function marksOf({ words, longs, cpuTable, cpus }: Arena): number[] {
  const marks: number[] = [];
  for (let number = 0; number < cpus; number++) {
    const base = cpuTable + number * CpuRecord.words;
    const enters = Number(Atomics.load(longs, (base + ENTERS) >> 1));
    marks.push(enters, Atomics.load(words, base + STATE));
  }
  return marks;
}

/** The other CPUs that are inside the allocator, or claimed by one that is. */
function moversOf(cpu: Cpu, marks: readonly number[]): number[] {
  const movers: number[] = [];
  for (let number = 0; number < cpu.arena.cpus; number++) {
    const kind = marks[number * 2 + 1]! & STATE_KIND_MASK;
    const moves = kind === CpuState.running || kind === CpuState.claimed;
    if (moves && number !== cpu.number) movers.push(number);
  }
  return movers;
}

function changed(cpu: Cpu, before: readonly number[], after: readonly number[]): number[] {
  const moved: number[] = [];
  for (let number = 0; number < cpu.arena.cpus; number++) {
    if (number === cpu.number) continue;
    const same =
      before[number * 2] === after[number * 2] && before[number * 2 + 1] === after[number * 2 + 1];
    if (!same) moved.push(number);
  }
  return moved;
}

/** -1 when this CPU is the asker; else the CPU that is. */
function takeWord(cpu: Cpu): number {
  const { words, lockWord } = cpu;
  const seen = Atomics.compareExchange(words, QUIESCE, 0, lockWord);
  if (seen === 0 || seen === lockWord) return -1;
  if (!isGone(cpu, seen)) return askerOf(seen);
  return Atomics.compareExchange(words, QUIESCE, seen, lockWord) === seen ? -1 : askerOf(seen);
}

function giveWord(cpu: Cpu): void {
  if (Atomics.compareExchange(cpu.words, QUIESCE, cpu.lockWord, 0) !== cpu.lockWord) return;
  Atomics.notify(cpu.words, QUIESCE);
}

function askerOf(word: number): number {
  return (word & 0xff) - 1;
}

/** Whether the asker that a word names is dead, or offline. */
function isGone({ words, arena }: Cpu, word: number): boolean {
  const state = Atomics.load(words, arena.cpuTable + askerOf(word) * CpuRecord.words + STATE);
  const kind = state & STATE_KIND_MASK;
  if (stateIncarnation(state) !== word >>> 9) return true;
  return kind === CpuState.dead || kind === CpuState.recovering || kind === CpuState.offline;
}

/**
 * Waits a little. Left meanwhile, so that others can drain this CPU; it answers them, and another asker,
 * when it enters again.
 */
function pause(cpu: Cpu, deadline: number): void {
  if (!cpu.mayBlock) {
    spinHint();
    return;
  }
  checkpoint(cpu);
  const left = deadline - performance.now();
  if (left <= 0) return;
  leaveCpu(cpu);
  // A word of its own that nobody notifies: the end of a wait for several CPUs is a look at all.
  const own = cpu.base + ANSWERED;
  Atomics.wait(cpu.words, own, Atomics.load(cpu.words, own), Math.min(left, 0.2));
  enterCpu(cpu);
}
