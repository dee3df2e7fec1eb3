/**
 * Checks a limit against its invariants, for `fsck`, stress runs and tests. Takes the limit's
 * lock; exact in what the lock protects, and for the count when nobody else runs.
 */

import type { Cpu } from '../cpu/cpu.ts';
import { LimitRecord, WaitCell } from '../layout/limit-record.ts';
import { limitMax, limitWords } from './limit.ts';
import { lockMutex } from './mutex.ts';
import { CELL_UNITS_SHIFT, CellState, settleAndUnlock, SLEEPERS, UNITS_MASK } from './wait-cell.ts';

const L = LimitRecord.fields;
const NEXT = WaitCell.fields.next.at;

/**
 * What is wrong, in words; nothing when all is well. The queue is a list without a loop that ends
 * at the tail; waiting and abandoned cells are on it and no others; the bit and the hint say
 * whether it is empty; granted units are counted. The count is compared with the largest of the
 * maximum in force and `largestMax`: pass the largest since the last quiescent point.
 */
export function checkLimit(cpu: Cpu, limit: number, largestMax: number = 0): string[] {
  const { words } = cpu;
  lockMutex(cpu, limit);
  const wrong = checkLocked(words, limit, Math.max(largestMax, limitMax(cpu, limit)));
  settleAndUnlock(cpu, limit);
  return wrong;
}

function checkLocked(words: Int32Array<SharedArrayBuffer>, limit: number, max: number): string[] {
  const wrong: string[] = [];
  const first = limit + LimitRecord.words;
  const cells = words[limit + L.cells.at]!;
  const end = limit + limitWords(cells);
  const linked = new Set<number>();
  let last = 0;
  for (let cell = words[limit + L.head.at]!; cell !== 0; cell = words[cell + NEXT]!) {
    if (cell < first || cell >= end || (cell - first) % WaitCell.words !== 0) {
      wrong.push(`queue leads to word ${cell}, which is no cell`);
      return wrong;
    }
    if (linked.has(cell)) {
      wrong.push(`queue comes back to cell ${(cell - first) / WaitCell.words}`);
      return wrong;
    }
    linked.add(cell);
    last = cell;
  }
  const tail = words[limit + L.tail.at]!;
  if (tail !== last) wrong.push(`tail is ${tail}, the queue ends at ${last}`);
  let granted = 0;
  for (let cell = first; cell < end; cell += WaitCell.words) {
    const state = Atomics.load(words, cell);
    const waits = state === CellState.waiting || state === CellState.abandoned;
    if (waits !== linked.has(cell)) {
      wrong.push(`cell ${(cell - first) / WaitCell.words} in state ${state} is linked wrongly`);
    }
    if ((state & 3) === CellState.granted) granted += state >>> CELL_UNITS_SHIFT;
  }
  const items = Atomics.load(words, limit + L.items.at);
  const count = items & UNITS_MASK;
  const bit = (items & SLEEPERS) !== 0;
  if (items < 0) wrong.push(`items is negative: ${items}`);
  if (bit !== linked.size > 0) wrong.push(`sleepers bit ${bit} over a queue of ${linked.size}`);
  if ((Atomics.load(words, limit + L.sleepersHint.at) !== 0) !== bit) {
    wrong.push(`hint differs from the sleepers bit ${bit}`);
  }
  if (count > max) wrong.push(`count ${count} is above the maximum ${max}`);
  if (granted > count) wrong.push(`${granted} units granted, ${count} counted`);
  return wrong;
}
