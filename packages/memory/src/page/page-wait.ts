/**
 * Waiting for pages: the queue of a page pool. A request that may wait stands in it with one of its
 * CPU's two cells, in order of arrival. Whoever puts pages back (or leaves the queue) settles it: each
 * waiter in turn is given the run that it wants, if there is one now. The run is moved *into the cell*,
 * so nobody competes for it when he wakes, a waiter that dies loses nothing, and a notification that
 * gets lost is of no matter.
 *
 * A waiter for whom no run is long enough does not hold up those behind him: they may be the ones
 * whose progress makes his run whole. So of two that want the same, the first is served first, and a
 * long run may have to wait for long: bound the wait.
 *
 * A cell goes free -> waiting -> granted -> free, or waiting -> free when its owner gives up. All but
 * granted -> free, which is the owner's alone, is under the pool's lock. A waiting cell is linked, no
 * other is. Only the files page-*.ts call this.
 */

import type { Arena } from '../arena.ts';
import type { Cpu } from '../cpu/cpu.ts';
import { HandKind, releaseSlot, reserveSlot } from '../cpu/hand-stack.ts';
import { Panic } from '../errors.ts';
import { CpuRecord, PagePool } from '../layout/records.ts';
import { lockMutex, unlockMutex } from '../sync/mutex.ts';
import { findRun, takeRun } from './page-run.ts';

/** States of a cell. */
export const PageCell = { free: 0, waiting: 1, granted: 2 } as const;

/** The two waits that a CPU may be in at once. */
export const PageWait = { blocking: 0, asynchronous: 1 } as const;

const STATE = CpuRecord.fields.pageState.at;
// From a cell, which is the word of its state, to its other words.
const WANTED = CpuRecord.fields.pageWanted.at - STATE;
const NEXT = CpuRecord.fields.pageNext.at - STATE;
const FIRST = CpuRecord.fields.pageFirst.at - STATE;
const POOL = CpuRecord.fields.pagePool.at - STATE;
const HEAD = PagePool.fields.waitHead.at;
const TAIL = PagePool.fields.waitTail.at;
const WAITS = PagePool.fields.waits.at;
const GIVEN_UP = PagePool.fields.waitsGivenUp.at;

const FREE = PageCell.free;
const WAITING = PageCell.waiting;
const GRANTED = PageCell.granted;

/** Word index of a CPU's cell `which` (`PageWait`): the word that it sleeps on. */
export function pageCell(arena: Arena, number: number, which: number): number {
  return arena.cpuTable + number * CpuRecord.words + STATE + which;
}

/**
 * Queues this CPU for a run of `pages` pages at `pool` and settles, so that a run that is free now is
 * granted at once. Returns the cell, or 0 when the CPU is in such a wait already. Throws
 * `LockBusyError` on a CPU that may not block; nothing has changed then.
 */
export function joinPageQueue(cpu: Cpu, pool: number, pages: number, which: number): number {
  const { words, longs } = cpu;
  const cell = pageCell(cpu.arena, cpu.number, which);
  if (Atomics.load(words, cell) !== FREE) return 0;
  lockMutex(cpu, pool);
  const tail = words[pool + TAIL]!;
  // straight: the store makes it real; before it the cell is free, whatever else it says
  words[cell + WANTED] = pages;
  words[cell + NEXT] = 0;
  words[cell + POOL] = pool;
  Atomics.store(words, cell, WAITING);
  if (tail === 0) words[pool + HEAD] = cell;
  else words[tail + NEXT] = cell;
  words[pool + TAIL] = cell;
  longs[(pool + WAITS) >> 1]! += 1n;
  // end
  settlePages(cpu, pool);
  unlockMutex(cpu, pool);
  return cell;
}

/** Whether the cell is still waiting. */
export function pageCellWaits(cpu: Cpu, cell: number): boolean {
  return Atomics.load(cpu.words, cell) === WAITING;
}

/** Gives every waiter for whom there is a run his run, in order of arrival. Under the pool's lock. */
export function settlePages(cpu: Cpu, pool: number): void {
  const { words } = cpu;
  let previous = 0;
  for (let cell = words[pool + HEAD]!; cell !== 0; ) {
    const next = words[cell + NEXT]!;
    const page = findRun(words, pool, cpu.arena.pageTable, words[cell + WANTED]!);
    if (page !== 0) grant(cpu, pool, page, previous, cell);
    else previous = cell;
    cell = next;
  }
}

/** The run from its list into our hands, and from there into the cell, which leaves the queue. */
function grant(cpu: Cpu, pool: number, page: number, previous: number, cell: number): void {
  const { words } = cpu;
  const slot = reserveSlot(cpu);
  takeRun(words, pool, cpu.arena.pageTable, page, words[cell + WANTED]!, slot);
  // Means nothing as long as the cell waits: who dies before the store leaves the run in his hands.
  words[cell + FIRST] = page;
  // straight
  Atomics.store(words, cell, GRANTED);
  words[slot] = HandKind.none;
  const next = words[cell + NEXT]!;
  if (previous === 0) words[pool + HEAD] = next;
  else words[previous + NEXT] = next;
  if (next === 0) words[pool + TAIL] = previous;
  Atomics.notify(words, cell);
  // end
  releaseSlot(cpu, slot);
}

/**
 * Takes a waiting cell out of the queue; false when its run was granted first. Settles: the pages did
 * not change, but a repeat costs nothing and needs no argument. Throws `LockBusyError` on a CPU that
 * may not block; nothing has changed then.
 */
export function leavePageQueue(cpu: Cpu, cell: number): boolean {
  const { words } = cpu;
  // Only its owner (or who recovers him) calls this, and nobody but the owner changes its pool.
  const pool = words[cell + POOL]!;
  lockMutex(cpu, pool);
  const waits = Atomics.load(words, cell) === WAITING;
  if (waits) unlink(cpu, pool, cell);
  settlePages(cpu, pool);
  unlockMutex(cpu, pool);
  return waits;
}

function unlink(cpu: Cpu, pool: number, cell: number): void {
  const { words, longs } = cpu;
  let previous = 0;
  // Ends: a waiting cell is on the list.
  for (let each = words[pool + HEAD]!; each !== cell; each = words[each + NEXT]!) {
    if (each === 0) throw new Panic(`page pool ${pool * 4}: cell ${cell * 4} is not in its queue`);
    previous = each;
  }
  const next = words[cell + NEXT]!;
  // straight: its waiter, or nobody any more, is here, so there is none to notify
  Atomics.store(words, cell, FREE);
  if (previous === 0) words[pool + HEAD] = next;
  else words[previous + NEXT] = next;
  if (next === 0) words[pool + TAIL] = previous;
  longs[(pool + GIVEN_UP) >> 1]! += 1n;
  // end
}

/** Moves the run of a granted cell into the void hand slot `slot`, and frees the cell. */
export function takeGrantedPages(cpu: Cpu, cell: number, slot: number): number {
  const { words } = cpu;
  const state = Atomics.load(words, cell);
  if (state !== GRANTED) {
    throw new Panic(`CPU ${cpu.number}: page cell ${cell * 4} is in state ${state}`);
  }
  const first = words[cell + FIRST]!;
  const pages = words[cell + WANTED]!;
  // straight: until the store the run is the cell's, behind it the slot's, never both's
  Atomics.store(words, cell, FREE);
  words[slot + 1] = first;
  words[slot + 2] = pages;
  words[slot] = HandKind.pages;
  // end
  return first;
}
