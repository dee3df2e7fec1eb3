/**
 * Items in the hands of another layer. A layer above that has to give back an item which nobody else knows
 * of (an mbuf that was parked until its storage was done with) puts it into a hand slot of this
 * package's kind in one straight line with whatever made it the only one to know, and calls
 * `freeHeld`: from that line on a worker may die anywhere and the item goes back once.
 */

import { enterCpu } from '@umbuf/memory';
import { pushSlot, putItem } from './cache-slow.ts';
import { countSample, trashFill } from './debug.ts';
import { giveBack } from './hands.ts';
import { itemEntry, markFree } from './item-table.ts';
import { CacheRecord, Feature, Hand, ItemState, ZoneRecord } from './layout.ts';
import { revokeItemOwner } from './owner/item-owner.ts';
import type { Uma } from './uma.ts';
import { zoneCache } from './zone-domain.ts';

/** Kind of the slot. value: the item, detail: word index of its zone (`Zone.record`), more: `HELD_WHOLE`. */
export const HELD_ITEM: number = Hand.item;
export const HELD_WHOLE: number = ItemState.whole;

const FREE_FEATURES = CacheRecord.fields.freeFeatures.at;
const FEATURES = CacheRecord.fields.features.at;
const ALLOC_COUNT = CacheRecord.fields.allocCount.at;
const ALLOC_ENTRIES = CacheRecord.fields.allocEntries.at;

/**
 * Frees the item in `slot`, this CPU's top hand slot, and gives the slot back; on a CPU that may not
 * block a busy lock may leave it filled, to be put back when the CPU leaves. For zones without a dtor.
 */
export function freeHeld(uma: Uma, slot: number): void {
  const { words, cpu } = uma;
  if (words[cpu.entered] === 0) enterCpu(cpu);
  const zone = words[slot + 2]!;
  const cache = zoneCache(zone, cpu.number);
  if (
    words[cache + FREE_FEATURES] === 0 &&
    words[cache + ALLOC_COUNT]! < words[cache + ALLOC_ENTRIES]!
  ) {
    pushSlot(uma, cache, slot, 0);
    giveBack(cpu, slot);
    return;
  }
  const features = words[cache + FEATURES]!;
  if ((features & Feature.items) !== 0) {
    const keg = words[zone + ZoneRecord.fields.keg.at]!;
    const entry = itemEntry(uma, keg, words[slot + 1]!);
    markFree(uma, entry);
    revokeItemOwner(uma, entry);
  }
  if ((features & Feature.trash) !== 0) {
    countSample(uma, zone, words[slot + 1]!);
    trashFill(uma, words[zone + ZoneRecord.fields.keg.at]!, words[slot + 1]!);
  }
  putItem(uma, cache, slot);
}
