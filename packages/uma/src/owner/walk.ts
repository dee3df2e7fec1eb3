/**
 * Looking at every live item of the kegs that have an item table, without a lock: by the page map, slab
 * by slab, so a dump and a running arena are read alike and nobody is stopped.
 *
 * A slab may go while it is read, and its header and table become another's. So what was read of it
 * counts only if its first page is still the same keg's in the same epoch behind the reads. An item that
 * was allocated or freed meanwhile is seen in one state or the other, or left out.
 */

import { type Address, PAGE_SHIFT, PageEntry } from '@umbuf/memory';
import { ItemEntry, KegRecord, SlabHeader } from '../layout.ts';
import type { UmaView } from '../statistics/view.ts';

const P = PageEntry.fields;
const I = ItemEntry.fields;
const S = SlabHeader.fields;
const K = KegRecord.fields;

/** A live item; the object is the walk's, and changes with the next item. */
export interface WalkedItem {
  address: Address;
  /** Word index of its keg. */
  keg: number;
  /** CPU that allocated or adopted it. */
  holder: number;
  /** Address of its owner, 0 = unattributed. */
  owner: Address;
  /** Milliseconds since its allocation. */
  ageMs: number;
  generation: number;
}

/** Calls `visit` for every live item, of one keg only unless `keg` is 0. `nowMs` is `Date.now()`. */
export function walkItems(
  view: UmaView,
  keg: number,
  nowMs: number,
  visit: (item: WalkedItem) => void,
): void {
  const { words, arena } = view;
  const copy: number[] = [];
  for (let page = arena.firstPage; page < arena.pages; page++) {
    const entry = arena.pageTable + page * PageEntry.words;
    const epoch = Atomics.load(words, entry + P.epoch.at);
    const found = Atomics.load(words, entry + P.keg.at) >> 2;
    if (found === 0 || (keg !== 0 && found !== keg)) continue;
    const slab = Atomics.load(words, entry + P.slab.at) >> 2;
    const items = copySlab(view, found, slab, page, copy);
    if (items === 0) continue;
    const same =
      Atomics.load(words, entry + P.epoch.at) === epoch &&
      Atomics.load(words, entry + P.keg.at) >> 2 === found;
    if (same) visitCopy(view, found, page << PAGE_SHIFT, items, copy, nowMs, visit);
  }
}

/** Copies the item table of the slab that begins with `page`; 0 when none does, or it has no table. */
function copySlab(view: UmaView, keg: number, slab: number, page: number, copy: number[]): number {
  const { words } = view;
  if (slab <= 0 || Atomics.load(words, slab + S.data.at) !== page << PAGE_SHIFT) return 0;
  const table = Atomics.load(words, slab + S.table.at) >> 2;
  const items = words[keg + K.ipers.at]!;
  if (table <= 0 || table + items * ItemEntry.words > words.length) return 0;
  for (let word = 0; word < items * ItemEntry.words; word++) {
    copy[word] = Atomics.load(words, table + word);
  }
  return items;
}

function visitCopy(
  { words }: UmaView,
  keg: number,
  first: number,
  items: number,
  copy: readonly number[],
  nowMs: number,
  visit: (item: WalkedItem) => void,
): void {
  const rsize = words[keg + K.rsize.at]!;
  const item: WalkedItem = {
    address: 0 as Address,
    keg,
    holder: -1,
    owner: 0 as Address,
    ageMs: 0,
    generation: 0,
  };
  for (let index = 0; index < items; index++) {
    const at = index * ItemEntry.words;
    const state = copy[at + I.state.at]!;
    if ((state & 1) === 0) continue;
    item.address = (first + index * rsize) as Address;
    item.holder = copy[at + I.holder.at]! - 1;
    item.owner = copy[at + I.owner.at]! as Address;
    // Both sides are the low 32 bits; a clock that was set back makes no item younger than now.
    item.ageMs = Math.max(0, ((nowMs | 0) - copy[at + I.time.at]!) | 0);
    item.generation = state >>> 1;
    visit(item);
  }
}
