/**
 * A limit: at most `max` units of something are out at once, and those who find none may sleep in
 * a FIFO (limit-sleep.ts). A zone's limit counts every item that is outside its keg: live, cached
 * and in hands (`uz_items` and `uz_max_items`).
 *
 * `items` is one word: bits 0-29 the count, bit 30 "sleepers exist". Invariants:
 * - the count grows only by compare-exchange from a value below `max`, or under the lock while
 *   the bit is set: it never overshoots, so nobody is refused because of another's overshoot
 *   (the kernel's fetch-and-add does overshoot, and gives back).
 * - while the bit is set every newcomer goes to the slow path: FIFO from the moment it is set.
 * - every section under the lock ends with `settle` (wait-cell.ts).
 * - a unit is in `items` from the moment that a hand slot, a granted cell or the caller's own
 *   record has it. A lowered maximum is no barrier: a reservation that read the old one may still
 *   complete against it.
 *
 * Called by zones; anyone may make a limit of his own in a static record.
 */

import type { Cpu } from '../cpu/cpu.ts';
import { HandKind } from '../cpu/hand-stack.ts';
import { ArgumentError, Panic } from '../errors.ts';
import { LimitRecord, WaitCell } from '../layout/limit-record.ts';
import { lockMutex } from './mutex.ts';
import {
  CELL_UNITS_SHIFT,
  CellState,
  settleAndUnlock,
  settleLimit,
  SLEEPERS,
  UNITS_MASK,
} from './wait-cell.ts';

const L = LimitRecord.fields;
const ITEMS = L.items.at;
const MAX = L.max.at;

/** The largest maximum: 2^30 - 1 units. */
export const LIMIT_MAX: number = UNITS_MASK;
/** The largest number of wait cells of one limit. */
export const LIMIT_CELLS_MAX = 4096;

/**
 * Reserves up to `n` (>= 1) units without waiting, and writes them into the void hand slot `slot`
 * (kind `units`, value the limit, detail the units). Returns how many, which is less than `n`
 * only when fewer are free; 0, with the slot still void, when none is free or sleepers exist.
 * `limit` is the word index of the record. Nothing is checked here (zone_alloc_limit).
 */
export function reserveUnits(cpu: Cpu, limit: number, n: number, slot: number): number {
  const { words } = cpu;
  const items = limit + ITEMS;
  for (;;) {
    const seen = Atomics.load(words, items);
    // The bit "sleepers exist" makes `seen` larger than any maximum: no room then.
    const room = Atomics.load(words, limit + MAX) - seen;
    if (room <= 0) return 0;
    const units = n < room ? n : room;
    // straight: the hand entry is the compare-exchange's other half
    words[slot + 1] = limit;
    words[slot + 2] = units;
    const found = Atomics.compareExchange(words, items, seen, seen + units);
    if (found === seen) words[slot] = HandKind.units;
    // end
    if (found === seen) return units;
  }
}

/**
 * Gives `n` units back and wakes sleepers that they satisfy. With `slot`, they are taken off the
 * units in that hand slot, which becomes void when none is left there. Never sleeps on anything
 * but the limit's lock, and on a thread that may not block never throws for a busy lock
 * (zone_free_limit).
 */
export function releaseUnits(cpu: Cpu, limit: number, n: number, slot: number = 0): void {
  const { words } = cpu;
  const rest = slot === 0 ? 0 : words[slot + 2]! - n;
  // straight
  const old = Atomics.sub(words, limit + ITEMS, n);
  if (slot !== 0) {
    words[slot + 2] = rest;
    if (rest === 0) words[slot] = HandKind.none;
  }
  // end
  if ((old & UNITS_MASK) < n || rest < 0) {
    throw new Panic(
      `limit ${limit * 4}: ${n} units released, ${old & UNITS_MASK} counted, ${rest + n} in hand`,
    );
  }
  // The bit is tested on the value that the subtraction returned: a load before it could miss a
  // sleeper who looked for units just before they came.
  if ((old & SLEEPERS) !== 0) settleLimit(cpu, limit);
}

/** Whether frees should go past the caches, straight to the keg. A plain read of a hint. */
export function limitHasSleepersHint(cpu: Pick<Cpu, 'words'>, limit: number): boolean {
  return cpu.words[limit + L.sleepersHint.at] !== 0;
}

/** Whether sleepers exist: the atomic look that follows the hint (slow free, leave). */
export function limitHasSleepers(cpu: Pick<Cpu, 'words'>, limit: number): boolean {
  return (Atomics.load(cpu.words, limit + ITEMS) & SLEEPERS) !== 0;
}

/**
 * Whether what comes back should go past the caches: sleepers exist, or more is out than the maximum
 * (it was lowered, or came when more was out). The bit makes `items` larger than any maximum.
 */
export function limitIsPressed(cpu: Pick<Cpu, 'words'>, limit: number): boolean {
  return Atomics.load(cpu.words, limit + ITEMS) > Atomics.load(cpu.words, limit + MAX);
}

/** Units that are out, of some recent moment. `cpu` may be an arena too. */
export function limitCount(cpu: Pick<Cpu, 'words'>, limit: number): number {
  return Atomics.load(cpu.words, limit + ITEMS) & UNITS_MASK;
}

/** The maximum in force. */
export function limitMax(cpu: Pick<Cpu, 'words'>, limit: number): number {
  return Atomics.load(cpu.words, limit + MAX);
}

/** Requests that are waiting now (`vm.uma.<zone>.limit.sleepers`). Looks at every cell. */
export function limitSleepers(cpu: Pick<Cpu, 'words'>, limit: number): number {
  const { words } = cpu;
  const end = limit + limitWords(words[limit + L.cells.at]!);
  let sleepers = 0;
  for (let cell = limit + LimitRecord.words; cell < end; cell += WaitCell.words) {
    if (Atomics.load(words, cell) === CellState.waiting) sleepers++;
  }
  return sleepers;
}

/** Units that were granted to requests which have yet to take them. Looks at every cell. */
export function limitGranted(cpu: Pick<Cpu, 'words'>, limit: number): number {
  const { words } = cpu;
  const end = limit + limitWords(words[limit + L.cells.at]!);
  let granted = 0;
  for (let cell = limit + LimitRecord.words; cell < end; cell += WaitCell.words) {
    const state = Atomics.load(words, cell);
    if ((state & 3) === CellState.granted) granted += state >>> CELL_UNITS_SHIFT;
  }
  return granted;
}

/**
 * Sets the maximum, 0 to 2^30 - 1 units; a raised one grants at once to as many sleepers as fit
 * (the kernel wakes all and lets them race). Throws `ArgumentError` out of range, `LockBusyError`
 * on a thread that may not block; nothing has changed then (uma_zone_set_max).
 */
export function setLimitMax(cpu: Cpu, limit: number, max: number): void {
  requireMax(max);
  lockMutex(cpu, limit);
  Atomics.store(cpu.words, limit + MAX, max);
  settleAndUnlock(cpu, limit);
}

/** Words of a limit with `cells` wait cells; reserve a multiple of 32. */
export function limitWords(cells: number): number {
  return LimitRecord.words + cells * WaitCell.words;
}

/**
 * Makes a limit in zeroed space that nobody else knows yet. `cells` bounds the requests that can
 * sleep at once, 1 to 4096: blocking ones need one per CPU, asynchronous ones one each.
 */
export function limitInit(cpu: Cpu, limit: number, max: number, cells: number): void {
  const { words } = cpu;
  requireMax(max);
  if (!Number.isInteger(cells) || cells < 1 || cells > LIMIT_CELLS_MAX) {
    throw new ArgumentError(`limit: ${cells} wait cells is not from 1 to ${LIMIT_CELLS_MAX}`);
  }
  words[limit + L.cells.at] = cells;
  Atomics.store(words, limit + MAX, max);
}

function requireMax(max: number): void {
  if (!Number.isInteger(max) || max < 0 || max > LIMIT_MAX) {
    throw new ArgumentError(`limit: maximum ${max} is not an integer from 0 to ${LIMIT_MAX}`);
  }
}
