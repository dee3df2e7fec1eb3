/**
 * The item table of a keg: 16 bytes per item outside the items (design.md, "Debug levels"), always
 * there from level `checks` on. Live bit and generation are one atomic word, so a double free is
 * found by compare-exchange whoever frees second; holder, owner and time answer "who holds it".
 *
 * The generation is seeded from the page's epoch, which is never reset, so a handle that carries
 * it is known to be stale even after the page has changed kegs.
 */

import {
  type Address,
  type Arena,
  epochOfPage,
  kegOfPage,
  PAGE_SHIFT,
  PageEntry,
  slabOfPage,
} from '@umbuf/memory';
import { DoubleFreeError, UnalignedFreeError, WildFreeError, WrongZoneError } from './errors.ts';
import { slabOfItem } from './keg.ts';
import { ItemEntry, KegRecord, SlabHeader, ZoneRecord } from './layout.ts';
import type { Uma } from './uma.ts';

const STATE = ItemEntry.fields.state.at;
const HOLDER = ItemEntry.fields.holder.at;
const OWNER = ItemEntry.fields.owner.at;
const TIME = ItemEntry.fields.time.at;
const TABLE = SlabHeader.fields.table.at;
const DATA = SlabHeader.fields.data.at;
const LIVE = 1;
/** Epochs advance generations by this many allocations of one item; 22 bits of epoch remain. */
const EPOCH_SHIFT = 8;

/** Seeds the entries of a new slab. The table is still owned by its builder. */
export function clearTable(uma: Uma, table: number, items: number, epoch: number): void {
  const generation = (epoch << EPOCH_SHIFT) & 0x3fffffff;
  for (let index = 0; index < items; index++) {
    const entry = (table >> 2) + index * ItemEntry.words;
    Atomics.store(uma.words, entry + STATE, generation << 1);
    Atomics.store(uma.words, entry + HOLDER, 0);
    uma.words[entry + OWNER] = 0;
  }
}

/**
 * The epoch that seeds the table of a slab over these pages: the largest of theirs, since each page
 * may come from another slab.
 */
export function slabEpoch(arena: Arena, first: number, pages: number): number {
  let epoch = 0;
  for (let page = 0; page < pages; page++) {
    epoch = Math.max(epoch, epochOfPage(arena, first + (page << PAGE_SHIFT)));
  }
  return epoch;
}

/**
 * Advances the epochs of a slab's pages past the generations that its items have reached: an item
 * may have been allocated more often than the epochs of one map and unmap are apart.
 */
export function retireTable(
  uma: Uma,
  table: number,
  items: number,
  first: number,
  pages: number,
): void {
  const { words, arena } = uma;
  let epoch = 0;
  for (let index = 0; index < items; index++) {
    const generation = itemGeneration(uma, (table >> 2) + index * ItemEntry.words);
    epoch = Math.max(epoch, (generation >> EPOCH_SHIFT) + 1);
  }
  for (let page = 0; page < pages; page++) {
    const entry = arena.pageTable + ((first >> PAGE_SHIFT) + page) * PageEntry.words;
    const seen = Atomics.load(words, entry + PageEntry.fields.epoch.at);
    // The pages are ours: nobody else changes their epochs.
    if (seen < epoch) Atomics.store(words, entry + PageEntry.fields.epoch.at, epoch);
  }
}

/** Word index of the entry of an item that is known to belong to the keg; 0 without a table. */
export function itemEntry(uma: Uma, keg: number, item: number): number {
  const { words } = uma;
  const slab = slabOfItem(uma, keg, item);
  const table = words[slab + TABLE]!;
  if (table === 0) return 0;
  const index = (item - words[slab + DATA]!) / words[keg + KegRecord.fields.rsize.at]!;
  return (table >> 2) + index * ItemEntry.words;
}

/** Marks an item live in this CPU's hands; false when it was live already ("Duplicate alloc"). */
export function markLive(uma: Uma, entry: number): boolean {
  const { words } = uma;
  const seen = Atomics.load(words, entry + STATE);
  if ((seen & LIVE) !== 0) return false;
  const next = ((seen + 2) & 0x7fffffff) | LIVE;
  if (Atomics.compareExchange(words, entry + STATE, seen, next) !== seen) return false;
  Atomics.store(words, entry + HOLDER, uma.cpu.number + 1);
  Atomics.store(words, entry + TIME, Date.now() | 0);
  return true;
}

/** No life in particular: what frees by address ask for. */
export const ANY_GENERATION = -1;

/**
 * Marks an item free; false when it was not live, or lives in another generation than the one asked
 * for. Exactly one of two racing frees succeeds.
 */
export function markFree(uma: Uma, entry: number, generation: number = ANY_GENERATION): boolean {
  const { words } = uma;
  const seen = Atomics.load(words, entry + STATE);
  if ((seen & LIVE) === 0) return false;
  if (generation !== ANY_GENERATION && seen >>> 1 !== generation) return false;
  if (Atomics.compareExchange(words, entry + STATE, seen, seen & ~LIVE) !== seen) return false;
  Atomics.store(words, entry + HOLDER, 0);
  return true;
}

/** Whether the item of this entry is in a user's hands. */
export function isLive(uma: Uma, entry: number): boolean {
  return (Atomics.load(uma.words, entry + STATE) & LIVE) !== 0;
}

/** Generation of an item: grows with each allocation, and with the page's epoch. */
export function itemGeneration(uma: Uma, entry: number): number {
  return Atomics.load(uma.words, entry + STATE) >>> 1;
}

/** CPU number that holds the item, or -1. */
export function itemHolder(uma: Uma, entry: number): number {
  return Atomics.load(uma.words, entry + HOLDER) - 1;
}

/** The item changes hands (`handOver` / `adopt`): the new holder writes itself. */
export function adoptItem(uma: Uma, zone: number, item: Address): void {
  const keg = uma.words[zone + ZoneRecord.fields.keg.at]!;
  const entry = itemEntry(uma, keg, item);
  if (entry !== 0) Atomics.store(uma.words, entry + HOLDER, uma.cpu.number + 1);
}

/**
 * Word index of the entry of an address that a user gives, checked: inside the arena, in a page of the zone's
 * keg, at an item's start, live. Throws `WrongZoneError`, `UnalignedFreeError` or
 * `DoubleFreeError`; every word on the way is read by `Atomics` or never changes while the keg
 * holds the page. (A page that leaves the keg between the look-up and the reads can only be that
 * of an item that its caller had freed: the reads then see a free entry or another keg.)
 */
export function checkedEntry(uma: Uma, zone: number, item: unknown): number {
  const { words, arena } = uma;
  const address = item as number;
  if (!Number.isInteger(address) || address < 0 || address >= arena.pages << PAGE_SHIFT) {
    throw new WildFreeError(
      `${where(uma, zone)}: wild free of ${String(item)}: no address of the arena`,
    );
  }
  const keg = words[zone + ZoneRecord.fields.keg.at]!;
  const found = kegOfPage(arena, address) >> 2;
  if (found !== keg) throw foreignItem(uma, zone, address, found);
  if (!startsItem(uma, keg, address)) throw misplaced(uma, zone, keg, address);
  const entry = itemEntry(uma, keg, address);
  // No table: the slab is being destroyed, so the item was free.
  if (entry === 0 || !isLive(uma, entry)) {
    throw new DoubleFreeError(`${where(uma, zone)}: duplicate free of ${address}`);
  }
  return entry;
}

/** The error for an address in a page of keg `found` (0: of none) that was freed to `zone`. */
function foreignItem(uma: Uma, zone: number, address: number, found: number): WrongZoneError {
  const what = where(uma, zone);
  if (found === 0) return new WildFreeError(`${what}: wild free of ${address}: in no slab`);
  const owner = uma.zoneName(uma.words[found + KegRecord.fields.zone.at]!);
  return new WrongZoneError(`${what}: item ${address} did not belong to the zone, but to ${owner}`);
}

/** The error for an address in a page of the zone's keg at which no item begins. */
function misplaced(uma: Uma, zone: number, keg: number, address: number): UnalignedFreeError {
  const { words, arena } = uma;
  const offset = address - words[(slabOfPage(arena, address) >> 2) + DATA]!;
  const rsize = words[keg + KegRecord.fields.rsize.at]!;
  const behind = offset >= words[keg + KegRecord.fields.ipers.at]! * rsize;
  return new UnalignedFreeError(
    `${where(uma, zone)}: ` +
      (behind
        ? `invalid free of ${address}: no item of its slab is there`
        : `unaligned free of ${address} (item size ${rsize})`),
  );
}

/** The entry of any address, by the same reads; 0 when no item of the zone's keg begins there. */
export function findEntry(uma: Uma, zone: number, address: number): number {
  const { words, arena } = uma;
  if (!Number.isInteger(address) || address < 0 || address >= arena.pages << PAGE_SHIFT) return 0;
  const keg = words[zone + ZoneRecord.fields.keg.at]!;
  if (kegOfPage(arena, address) !== keg << 2 || !startsItem(uma, keg, address)) return 0;
  return itemEntry(uma, keg, address);
}

/** Whether an item begins at an address in a page of the keg. */
function startsItem(uma: Uma, keg: number, address: number): boolean {
  const { words, arena } = uma;
  // By the page map: masking an address that is no item's start may miss the header.
  const slab = slabOfPage(arena, address) >> 2;
  const offset = address - words[slab + DATA]!;
  const rsize = words[keg + KegRecord.fields.rsize.at]!;
  return (
    offset >= 0 && offset % rsize === 0 && offset / rsize < words[keg + KegRecord.fields.ipers.at]!
  );
}

/** Zone and CPU for a message; only when one is thrown, because the name has to be decoded. */
function where(uma: Uma, zone: number): string {
  return `zone ${uma.zoneName(zone)}, CPU ${uma.cpu.number}`;
}
