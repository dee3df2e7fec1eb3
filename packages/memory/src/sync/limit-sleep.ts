/**
 * Sleeping for units of a limit. The order is what keeps wake-ups: register under the lock and
 * settle; flush the caches (what the flush brings back is granted to us or to those before us);
 * leave the CPU; sleep on the own cell. Registering before flushing and flushing before sleeping:
 * the other order strands a unit.
 *
 * The asynchronous form (limit-sleep-async.ts) is made of the same steps: the plain functions in
 * the second half of this file. `interleave` runs them as they are.
 */

import type { Cpu } from '../cpu/cpu.ts';
import { HandKind } from '../cpu/hand-stack.ts';
import { enterCpu, leaveCpu } from '../cpu/protocol.ts';
import { Panic, WouldBlockError } from '../errors.ts';
import { LimitRecord, WaitCell } from '../layout/limit-record.ts';
import { limitWords, releaseUnits } from './limit.ts';
import { lockMutex } from './mutex.ts';
import {
  CELL_UNITS_SHIFT,
  CellState,
  lockUnlessBusy,
  reapAbandoned,
  settleAndUnlock,
  SLEEPERS,
} from './wait-cell.ts';

const L = LimitRecord.fields;
const OWNER = WaitCell.fields.owner.at;
const WANTED = WaitCell.fields.wanted.at;
const NEXT = WaitCell.fields.next.at;

/** How long a sleeper whose flush was not complete sleeps before the next one. */
export const BUSY_RETRY_MS = 1;

/** What a sleep returns instead of units. All are below 1, so `units > 0` means granted. */
export const SleepFailure = {
  /** The time was up before any unit was free. */
  timeout: 0,
  /** All wait cells are taken: the limit was made with too few. Counted in `tableFull`. */
  tableFull: -1,
} as const;

/**
 * Sleeps until up to `n` (>= 1) units are granted, in order of arrival, and writes them into the
 * void hand slot `slot`. Returns how many (less than `n` only when fewer were free), or
 * `SleepFailure.timeout` after `timeoutMs` (Infinity: never), or `SleepFailure.tableFull`.
 *
 * `flush` brings cached units back (own, idle and running CPUs'). It runs registered and before the
 * sleep; again a millisecond later when it returned false (something was in the way), and whenever
 * the sleeper is woken without units: `nudgeSleepers`. The CPU is left during the sleep: nothing
 * that was read before the call is valid after it. Throws `WouldBlockError` on a CPU with `mayBlock:
 * false`, and what `flush` or an answer to a drain request throws, with the registration undone
 * (zone_alloc_limit_hard).
 */
export function sleepForUnits(
  cpu: Cpu,
  limit: number,
  n: number,
  slot: number,
  timeoutMs: number,
  flush?: () => unknown,
): number {
  if (!cpu.mayBlock) {
    throw new WouldBlockError(
      `CPU ${cpu.number} may not block for units of limit ${limit * 4}: use sleepForUnitsAsync (allocAsync of a zone)`,
    );
  }
  const deadline = performance.now() + timeoutMs;
  if (cpu.words[cpu.entered] === 0) enterCpu(cpu);
  const cell = registerSleeper(cpu, limit, n);
  if (cell === 0) return SleepFailure.tableFull;
  let granted: boolean;
  try {
    granted = sleepOnCell(cpu, cell, deadline, flush);
  } catch (error) {
    if (cpu.words[cpu.entered] === 0) enterCpu(cpu); // a hook threw at leaving, behind which we idle
    withdrawSleeper(cpu, limit, cell, slot);
    throw error;
  }
  if (!granted) {
    reapCells(cpu, limit);
    return SleepFailure.timeout;
  }
  return takeGrant(cpu, limit, cell, slot);
}

/**
 * Flushes, and sleeps with the CPU left, until the cell is granted or the time is up; returns
 * entered. False: the cell is abandoned, and from here on the holder of the lock's to free. The
 * state is read again after every wake-up: the notification may have been meant for an earlier life
 * of the cell, or mean that a flush can do more than the last one could.
 */
function sleepOnCell(
  cpu: Cpu,
  cell: number,
  deadline: number,
  flush: (() => unknown) | undefined,
): boolean {
  const { words } = cpu;
  for (;;) {
    const complete = flush === undefined || flush() !== false;
    leaveCpu(cpu);
    const left = deadline - performance.now();
    if (cellWaits(cpu, cell)) {
      if (left <= 0) break;
      const most = complete ? left : Math.min(left, BUSY_RETRY_MS);
      Atomics.wait(words, cell, CellState.waiting, most);
    }
    enterCpu(cpu);
    if (!cellWaits(cpu, cell)) return true;
  }
  const granted = !abandonCell(cpu, cell);
  enterCpu(cpu);
  return granted;
}

/**
 * Wakes every sleeper without units, so that it flushes again: somebody has put cached units where
 * it may find them, and cannot release them himself. Takes no lock: a cell that is used again
 * meanwhile is woken for nothing.
 */
export function nudgeSleepers(cpu: Pick<Cpu, 'words'>, limit: number): void {
  const { words } = cpu;
  const end = limit + limitWords(words[limit + L.cells.at]!);
  for (let cell = limit + LimitRecord.words; cell < end; cell += WaitCell.words) {
    if (Atomics.load(words, cell) === CellState.waiting) Atomics.notify(words, cell);
  }
}

/**
 * Fills a free cell, appends it, sets the bit and settles, so units that are free now are granted
 * at once. Returns the cell, or 0 when the table is full even after reaping. Throws
 * `LockBusyError` on a thread that may not block; nothing has changed then.
 */
export function registerSleeper(cpu: Cpu, limit: number, n: number): number {
  const { words, longs } = cpu;
  lockMutex(cpu, limit);
  let cell = findFreeCell(words, limit);
  if (cell === 0) {
    reapAbandoned(cpu, limit);
    cell = findFreeCell(words, limit);
  }
  if (cell === 0) {
    longs[(limit + L.tableFull.at) >> 1]! += 1n;
    settleAndUnlock(cpu, limit);
    return 0;
  }
  const tail = words[limit + L.tail.at]!;
  // The bit first: units are granted by a plain addition, which is right only while the bit keeps
  // newcomers out. Who dies before the cell is linked leaves a bit that recovery's settle clears.
  Atomics.or(words, limit + L.items.at, SLEEPERS);
  Atomics.store(words, limit + L.sleepersHint.at, 1);
  // straight: the store makes it real; before it the cell is free, whatever else it says
  words[cell + OWNER] = cpu.lockWord;
  words[cell + WANTED] = n;
  words[cell + NEXT] = 0;
  Atomics.store(words, cell, CellState.waiting);
  if (tail === 0) words[limit + L.head.at] = cell;
  else words[tail + NEXT] = cell;
  words[limit + L.tail.at] = cell;
  longs[(limit + L.sleeps.at) >> 1]! += 1n;
  // end
  settleAndUnlock(cpu, limit);
  return cell;
}

/** Only the holder of the lock takes a free cell, so one that is free stays free under it. */
function findFreeCell(words: Int32Array<SharedArrayBuffer>, limit: number): number {
  const end = limit + limitWords(words[limit + L.cells.at]!);
  for (let cell = limit + LimitRecord.words; cell < end; cell += WaitCell.words) {
    if (Atomics.load(words, cell) === CellState.free) return cell;
  }
  return 0;
}

/** Whether the cell is still waiting. */
export function cellWaits(cpu: Cpu, cell: number): boolean {
  return Atomics.load(cpu.words, cell) === CellState.waiting;
}

/**
 * Waiting to abandoned; false when units were granted first. The notification frees the promise
 * that an aborted asynchronous wait has left on the word; nobody else waits on it.
 */
export function abandonCell(cpu: Cpu, cell: number): boolean {
  const { waiting, abandoned } = CellState;
  if (Atomics.compareExchange(cpu.words, cell, waiting, abandoned) !== waiting) return false;
  Atomics.notify(cpu.words, cell);
  return true;
}

/** Reaps after `abandonCell`. Where this thread may not block and the lock is busy, its next holder does. */
export function reapCells(cpu: Cpu, limit: number): void {
  if (!lockUnlessBusy(cpu, limit)) return;
  reapAbandoned(cpu, limit);
  settleAndUnlock(cpu, limit);
}

/** Undoes a registration: the cell is given up, or the units that it was granted go back. */
export function withdrawSleeper(cpu: Cpu, limit: number, cell: number, slot: number): void {
  if (abandonCell(cpu, cell)) {
    reapCells(cpu, limit);
  } else {
    releaseUnits(cpu, limit, takeGrant(cpu, limit, cell, slot), slot);
  }
}

/** Moves the granted units into the void hand slot and frees the cell. Its owner only. */
export function takeGrant(cpu: Cpu, limit: number, cell: number, slot: number): number {
  const { words } = cpu;
  const state = Atomics.load(words, cell);
  const units = state >>> CELL_UNITS_SHIFT;
  if ((state & 3) !== CellState.granted) {
    throw new Panic(
      `limit ${limit * 4}: cell ${cell * 4} of CPU ${cpu.number} is in state ${state}`,
    );
  }
  // straight: until the store the units are the cell's, behind it the slot's, never both's
  Atomics.store(words, cell, CellState.free);
  words[slot + 1] = limit;
  words[slot + 2] = units;
  words[slot] = HandKind.units;
  // end
  return units;
}
