/**
 * What a dead CPU leaves in a limit. Called while the CPU is being recovered (cpu/recover.ts), for
 * every limit, whether or not the dead seems to have touched it: it may have died between its
 * subtraction and its settle, and then only this settle wakes the sleepers.
 */

import type { Cpu } from '../cpu/cpu.ts';
import { HandKind, releaseSlot, reserveSlot } from '../cpu/hand-stack.ts';
import { LimitRecord, WaitCell } from '../layout/limit-record.ts';
import { limitWords, releaseUnits } from './limit.ts';
import { lockMutex } from './mutex.ts';
import { CELL_UNITS_SHIFT, CellState, reapAbandoned, settleAndUnlock } from './wait-cell.ts';

const L = LimitRecord.fields;
const OWNER = WaitCell.fields.owner.at;

/** Repair of a hand slot of kind `units`: the units leave the count with the slot. */
export function repairUnits(cpu: Cpu, slot: number): void {
  const { words } = cpu;
  releaseUnits(cpu, words[slot + 1]!, words[slot + 2]!, slot);
}

/**
 * Frees the wait cells of CPU `dead` in one limit: a waiting one is abandoned, the units of a
 * granted one leave the count, and the sleepers that this serves are granted. Repeatable, by
 * another CPU too: on their way out of the count the units stand in the recoverer's hand. Throws `LockBusyError` on a thread that may not block: begin again later.
 */
export function recoverLimit(cpu: Cpu, limit: number, dead: number, incarnation: number): void {
  const { words } = cpu;
  const { waiting, abandoned, granted, free } = CellState;
  const owner = (dead + 1) | (incarnation << 9);
  const items = limit + L.items.at;
  lockMutex(cpu, limit);
  const slot = reserveSlot(cpu);
  const end = limit + limitWords(words[limit + L.cells.at]!);
  for (let cell = limit + LimitRecord.words; cell < end; cell += WaitCell.words) {
    // A free cell keeps the name of its last owner; nobody else's changes under us, since only
    // the owner, who is dead, and the holder of the lock change a cell.
    if (words[cell + OWNER] !== owner) continue;
    const state = Atomics.load(words, cell);
    if (state === waiting) {
      Atomics.compareExchange(words, cell, waiting, abandoned);
    } else if ((state & 3) === granted) {
      const units = state >>> CELL_UNITS_SHIFT;
      // straight
      Atomics.store(words, cell, free);
      words[slot + 1] = limit;
      words[slot + 2] = units;
      words[slot] = HandKind.units;
      // end
      // straight
      Atomics.sub(words, items, units);
      words[slot] = HandKind.none;
      // end
    }
  }
  releaseSlot(cpu, slot);
  reapAbandoned(cpu, limit);
  settleAndUnlock(cpu, limit);
}
