/**
 * Trash: what level `invariants` writes into free items, and verifies (spec 3.7). The pattern is
 * 0xdeadc0de in every 32-bit word; trailing bytes that are no multiple of 8 are not covered.
 */

import { Panic } from '@umbuf/memory';
import type { Uma } from './uma.ts';

export const TRASH_WORD: number = 0xdeadc0de | 0;

/** Fills a free item (`trash_init`, `trash_dtor`). The item is the caller's. */
export function trashFill(uma: Uma, item: number, size: number): void {
  const { words } = uma;
  const end = (item >> 2) + ((size >> 3) << 1);
  for (let word = item >> 2; word < end; word++) words[word] = TRASH_WORD;
}

/** Verifies it (`trash_ctor`, `trash_fini`); a Panic names the first word that changed. */
export function trashVerify(uma: Uma, zone: number, item: number, size: number): void {
  const { words } = uma;
  const end = (item >> 2) + ((size >> 3) << 1);
  for (let word = item >> 2; word < end; word++) {
    if (words[word] !== TRASH_WORD) {
      throw new Panic(
        `Memory modified after free ${item} (${size}, ${uma.zoneName(zone)}) + ` +
          `${(word << 2) - item} = 0x${(words[word]! >>> 0).toString(16)}`,
      );
    }
  }
}
