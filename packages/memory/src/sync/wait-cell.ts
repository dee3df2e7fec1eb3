/**
 * The FIFO of wait cells of a limit, and `settle`, with which every section under the limit's
 * lock ends. `Atomics.notify` alone loses wake-ups (an abandoned `waitAsync` swallows one, so does
 * a worker that is killed after it was notified), so a waker moves the units *into the cell* of
 * the first sleeper and then notifies that cell's own word: a sleeper never competes.
 *
 * A cell goes free -> waiting (its sleeper, under the lock) -> granted k (the holder of the lock)
 * -> free (its sleeper), or waiting -> abandoned (its sleeper, or whoever recovers it) -> free (the
 * holder of the lock that unlinks it). So a cell that is linked is waiting or abandoned.
 *
 * Each change is one straight line (see cpu/hand-stack.ts), so that a lock taken over from a dead
 * CPU needs no undo. Units that are counted and not yet in a cell stand in a hand slot. Only the
 * files limit*.ts call this.
 */

import type { Cpu } from '../cpu/cpu.ts';
import { HandKind, releaseSlot, reserveSlot } from '../cpu/hand-stack.ts';
import { LimitRecord, WaitCell } from '../layout/limit-record.ts';
import { LockBusyError, lockMutex, unlockMutex } from './mutex.ts';

const L = LimitRecord.fields;
const HEAD = L.head.at;
const TAIL = L.tail.at;
const ITEMS = L.items.at;
const MAX = L.max.at;
const HINT = L.sleepersHint.at;
const TIMEOUTS = L.timeouts.at;
const WANTED = WaitCell.fields.wanted.at;
const NEXT = WaitCell.fields.next.at;

/** Bit of `items`: sleepers exist, so every newcomer queues behind them. */
export const SLEEPERS: number = 1 << 30;
/** Bits of `items` that count units. */
export const UNITS_MASK: number = (1 << 30) - 1;

/** States of a cell; `granted` carries its units above bit 1: `granted | units << 2`. */
export const CellState = { free: 0, waiting: 1, abandoned: 2, granted: 3 } as const;
export const CELL_UNITS_SHIFT = 2;

const FREE = CellState.free;
const WAITING = CellState.waiting;
const ABANDONED = CellState.abandoned;
const GRANTED = CellState.granted;

/**
 * Grants to the sleepers at the head as far as units are free, and clears the bit "sleepers
 * exist" and the hint when nobody is left. Under the lock, as its last act.
 */
export function settle(cpu: Cpu, limit: number): void {
  const { words } = cpu;
  const items = limit + ITEMS;
  // Ends: every pass unlinks a cell, returns, or meets a cell that will be unlinked next.
  for (;;) {
    const cell = words[limit + HEAD]!;
    if (cell === 0) {
      if ((Atomics.load(words, items) & SLEEPERS) === 0) return;
      // The hint first: who dies between the two leaves the bit, and recovery settles again.
      Atomics.store(words, limit + HINT, 0);
      Atomics.and(words, items, ~SLEEPERS);
      return;
    }
    if (Atomics.load(words, cell) === ABANDONED) {
      unlinkAbandoned(cpu, limit, 0, cell);
      continue;
    }
    const room = Atomics.load(words, limit + MAX) - (Atomics.load(words, items) & UNITS_MASK);
    if (room <= 0) return;
    const wanted = words[cell + WANTED]!;
    const units = wanted < room ? wanted : room;
    grantHead(cpu, limit, cell, units);
  }
}

/**
 * Grants `units` to the first cell of the queue and unlinks it, unless its sleeper has just given
 * up: then nothing has changed, and the next pass unlinks it.
 *
 * The units are counted first and taken back where the sleeper gave up: the other order would let
 * a sleeper free units that were not counted yet. An add without compare-exchange is enough,
 * because while the bit is set only the holder of the lock adds. Between the two atomics, each an
 * interrupt point, the units stand in a hand slot: a death there returns them to the count.
 */
function grantHead(cpu: Cpu, limit: number, cell: number, units: number): void {
  const { words } = cpu;
  const items = limit + ITEMS;
  const grant = GRANTED | (units << CELL_UNITS_SHIFT);
  const slot = reserveSlot(cpu);
  // straight: counted, and in our hands
  Atomics.add(words, items, units);
  words[slot + 1] = limit;
  words[slot + 2] = units;
  words[slot] = HandKind.units;
  // end
  // straight: out of our hands into the cell, unlinked; all who wait on this word are woken (a
  // cell that is used again may still carry a dead waitAsync of its last sleeper)
  const found = Atomics.compareExchange(words, cell, WAITING, grant);
  if (found === WAITING) {
    words[slot] = HandKind.none;
    const next = words[cell + NEXT]!;
    words[limit + HEAD] = next;
    if (next === 0) words[limit + TAIL] = 0;
    Atomics.notify(words, cell);
  }
  // end
  if (found !== WAITING) {
    // straight
    Atomics.sub(words, items, units);
    words[slot] = HandKind.none;
    // end
  }
  releaseSlot(cpu, slot);
}

/**
 * Frees every abandoned cell of the queue. Under the lock. `settle` alone meets only those at the
 * head; timeouts, aborts, registering and recovery walk the whole queue.
 */
export function reapAbandoned(cpu: Cpu, limit: number): void {
  const { words } = cpu;
  let previous = 0;
  let cell = words[limit + HEAD]!;
  while (cell !== 0) {
    const next = words[cell + NEXT]!;
    if (Atomics.load(words, cell) === ABANDONED) unlinkAbandoned(cpu, limit, previous, cell);
    else previous = cell;
    cell = next;
  }
}

function unlinkAbandoned(cpu: Cpu, limit: number, previous: number, cell: number): void {
  const { words, longs } = cpu;
  const next = words[cell + NEXT]!;
  // straight: free first (a cell that was unlinked and not free would be lost); nobody takes it
  // before we unlock
  Atomics.store(words, cell, FREE);
  if (previous === 0) words[limit + HEAD] = next;
  else words[previous + NEXT] = next;
  if (next === 0) words[limit + TAIL] = previous;
  longs[(limit + TIMEOUTS) >> 1]! += 1n;
  // end
}

/**
 * Ends a section under the limit's lock: settle, unlock, and look once more.
 *
 * The second look is for threads that may not block. One that finds the lock busy after it has
 * freed units goes away; the holder that it met has perhaps settled already, but has yet to
 * unlock. The freeing comes before the look at the lock there, and here the unlock before the look
 * at the count, all SeqCst: one of the two sees the other, and no wake-up is lost.
 */
export function settleAndUnlock(cpu: Cpu, limit: number): void {
  settle(cpu, limit);
  unlockMutex(cpu, limit);
  // Ends: after a settle the bit is clear or no unit is free, until another CPU frees one.
  while (needsSettle(cpu.words, limit)) {
    if (!lockUnlessBusy(cpu, limit)) return;
    settle(cpu, limit);
    unlockMutex(cpu, limit);
  }
}

/** Settles a limit whose units have just been freed under the bit. */
export function settleLimit(cpu: Cpu, limit: number): void {
  if (lockUnlessBusy(cpu, limit)) settleAndUnlock(cpu, limit);
}

/**
 * Takes the limit's lock; false when this thread may not block and the lock stays busy. Then its
 * holder looks again after it has unlocked, or is dead and its recovery settles every limit.
 */
export function lockUnlessBusy(cpu: Cpu, limit: number): boolean {
  try {
    lockMutex(cpu, limit);
  } catch (error) {
    if (error instanceof LockBusyError) return false;
    throw error;
  }
  return true;
}

function needsSettle(words: Int32Array<SharedArrayBuffer>, limit: number): boolean {
  const items = Atomics.load(words, limit + ITEMS);
  return (items & SLEEPERS) !== 0 && (items & UNITS_MASK) < Atomics.load(words, limit + MAX);
}
