/**
 * Trash: what level `invariants` writes into free items, and verifies (spec 3.7), and which items it
 * looks at (3.8). The pattern is 0xdeadc0de in every 32-bit word; trailing bytes that are no multiple
 * of 8 are not covered. Redzones, behind the items, are in redzone.ts; live bits in item-table.ts.
 *
 * With a divisor N > 1 only items whose ordinal is a multiple of N are filled and verified; 0 looks at
 * none. Whether an item is looked at depends on its address alone, so whoever fills it and whoever
 * verifies it agree. The divisor is a tunable: it never changes in the life of an arena.
 */

import { PAGE_SHIFT, PAGE_SIZE, Panic } from '@umbuf/memory';
import { EventRecord, KegRecord, UmaRoot, ZoneRecord } from './layout.ts';
import { damagedBytes } from './redzone.ts';
import { zoneEvents } from './statistics/failures.ts';
import type { Uma } from './uma.ts';

export const TRASH_WORD: number = 0xdeadc0de | 0;

const DIVISOR = UmaRoot.fields.divisor.at;
const TRASHED = EventRecord.fields.trashed.at;
const SKIPPED = EventRecord.fields.skipped.at;
const K = KegRecord.fields;
const Z = ZoneRecord.fields;

/** Fills a free item (`trash_init`, `trash_dtor`) if it is one that is looked at. The item is the caller's. */
export function trashFill(uma: Uma, keg: number, item: number): void {
  if (!isSampled(uma, keg, item)) return;
  const { words } = uma;
  const end = (item >> 2) + ((words[keg + K.size.at]! >> 3) << 1);
  for (let word = item >> 2; word < end; word++) words[word] = TRASH_WORD;
}

/** Verifies it (`trash_ctor`, `trash_fini`); a Panic names the first word that changed. */
export function trashVerify(uma: Uma, zone: number, item: number): void {
  const { words } = uma;
  const keg = words[zone + Z.keg.at]!;
  if (!isSampled(uma, keg, item)) return;
  const size = words[keg + K.size.at]!;
  const end = (item >> 2) + ((size >> 3) << 1);
  for (let word = item >> 2; word < end; word++) {
    if (words[word] !== TRASH_WORD) {
      throw new Panic(
        `Memory modified after free ${item} (${size}, ${uma.zoneName(zone)}) + ` +
          `${(word << 2) - item} = 0x${(words[word]! >>> 0).toString(16)}, ` +
          `found by CPU ${uma.cpu.number}`,
      );
    }
  }
}

/** Throws a Panic when the redzone of an item that is not in use was written to. */
export function redzoneVerify(uma: Uma, zone: number, item: number): void {
  const damaged = damagedBytes(uma, uma.words[zone + Z.keg.at]!, item);
  if (damaged === 0) return;
  throw new Panic(
    `zone ${uma.zoneName(zone)}, CPU ${uma.cpu.number}: ${damaged} bytes written behind ${item}, ` +
      'which is free',
  );
}

/** Whether the divisor lets this item be looked at (`uma_dbg_kskip`). */
export function isSampled(uma: Uma, keg: number, item: number): boolean {
  const { words } = uma;
  const divisor = words[uma.root + DIVISOR]!;
  if (divisor <= 1) return divisor === 1;
  const ipers = words[keg + K.ipers.at]!;
  let ordinal = item >> PAGE_SHIFT;
  if (ipers > 1) {
    const inPage = Math.floor((item & (PAGE_SIZE - 1)) / words[keg + K.rsize.at]!);
    ordinal = ordinal * ipers + inPage;
  }
  return ordinal % divisor === 0;
}

/**
 * Counts the look, or that there is none (`vm.debug.trashed`, `vm.debug.skipped`): at each allocation
 * and free of an item of a zone with trash. As in the kernel nothing is counted with divisor 0 or 1.
 */
export function countSample(uma: Uma, zone: number, item: number): void {
  const { words, longs } = uma;
  if (words[uma.root + DIVISOR]! <= 1) return;
  const field = isSampled(uma, words[zone + Z.keg.at]!, item) ? TRASHED : SKIPPED;
  longs[(zoneEvents(words, zone, uma.cpu.number) + field) >> 1]! += 1n;
}
