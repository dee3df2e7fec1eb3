/**
 * The hand stack as UMA's slow paths use it (rules: memory's cpu/hand-stack.ts). Two things are
 * added here: giving slots back on a CPU that may not block, and undoing an operation that throws.
 *
 * A throw is undone by the same repairs that recovery applies to a dead CPU: whatever the slots
 * above the operation's own height hold goes back by the ordinary put. So there is one way back,
 * and the tests of death are tests of it too.
 */

import { type Cpu, HAND_SLOT_WORDS, HandKind, LockBusyError } from '@umbuf/memory';
import type { Uma } from './uma.ts';

/** Hand slots in use: what `undo` and `giveBackTo` go down to. */
export function handHeight(cpu: Cpu): number {
  return cpu.words[cpu.handTop]!;
}

/**
 * Gives back `slot` and every slot above it; they are void. On a CPU that may not block some may be
 * filled: a nested operation met a busy lock and left them for `settleHand`. Those stay, and with
 * them the void ones below.
 */
export function giveBack(cpu: Cpu, slot: number): void {
  const { words } = cpu;
  const height = (slot - cpu.hand) / HAND_SLOT_WORDS;
  if (cpu.mayBlock) {
    words[cpu.handTop] = height;
    return;
  }
  giveBackTo(cpu, height);
}

/** Gives back the void slots at the top of the stack, down to `height`. */
export function giveBackTo(cpu: Cpu, height: number): void {
  const { words } = cpu;
  let top = words[cpu.handTop]!;
  while (top > height && words[cpu.hand + (top - 1) * HAND_SLOT_WORDS] === HandKind.none) top--;
  words[cpu.handTop] = top;
}

/** Undoes what the failing operation has in hand and throws its error: the first, and only that. */
export function fail(uma: Uma, height: number, error: unknown): never {
  undo(uma, height);
  uma.takeError();
  throw error;
}

/**
 * Undoes what the slots above `height` hold, top first. What a busy lock keeps from being put back
 * stays for `settleHand`; any other error of a repair is kept, and the rest is left as it is.
 */
export function undo(uma: Uma, height: number): void {
  const { cpu } = uma;
  const { words, arena } = cpu;
  try {
    while (words[cpu.handTop]! > height) {
      const top = words[cpu.handTop]! - 1;
      const slot = cpu.hand + top * HAND_SLOT_WORDS;
      const kind = words[slot]!;
      if (kind !== HandKind.none) arena.hooks.slotRepairs[kind]!(cpu, slot, cpu.number);
      words[cpu.handTop] = top;
    }
  } catch (error) {
    if (!(error instanceof LockBusyError)) uma.keepError(error);
  }
}
