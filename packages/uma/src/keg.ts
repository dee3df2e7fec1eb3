/**
 * The keg: lists of slabs by fill, one set per NUMA domain, each under its own lock (spec 1.5,
 * 2.4b, 2.9). A slab is on the free list when all its items are free, on the full list when none
 * is, else on the partial list; items are taken from the head of partial, then of free, lowest
 * bit first.
 *
 * Each item moves in one straight line under `ud_lock`: bit, counts, list and the hand slot (or
 * the bucket in it) together, and with them the zone's count of items outside and, where the zone
 * has a limit, its unit: in a hand slot of kind units before the item leaves the keg, and there
 * again once it is back (limit/). So the limit's count is exact at every point of death.
 */

import {
  domainOfPage,
  HandKind,
  lockMutex,
  PAGE_SHIFT,
  Panic,
  releaseUnits,
  reserveSlot,
  slabOfPage,
  unlockMutex,
} from '@umbuf/memory';
import { cacheImport, cacheRelease, cacheTake, isCacheKeg } from './cache-zone.ts';
import { trashFill } from './debug.ts';
import { ANY_DOMAIN, nextDomain } from './domain-policy.ts';
import { InternalFlag, M_NOVM, M_USE_RESERVE } from './flags.ts';
import { giveBack } from './hands.ts';
import {
  BucketHeader,
  CacheRecord,
  Feature,
  Hand,
  ItemState,
  KegDomain,
  KegRecord,
  SlabHeader,
  ZoneRecord,
} from './layout.ts';
import { buildSlab } from './slab.ts';
import { FailureReason } from './statistics/failures.ts';
import type { Uma } from './uma.ts';
import { zoneCache } from './zone-domain.ts';

const K = KegRecord.fields;
const PARTIAL = KegDomain.fields.partial.at;
const FREE = KegDomain.fields.free.at;
const FULL = KegDomain.fields.full.at;
const FREE_ITEMS = KegDomain.fields.freeItems.at;
const FREE_SLABS = KegDomain.fields.freeSlabs.at;
const NEXT = SlabHeader.fields.next.at;
const PREVIOUS = SlabHeader.fields.previous.at;
const FREE_COUNT = SlabHeader.fields.freeCount.at;
const DOMAIN = SlabHeader.fields.domain.at;
const DATA = SlabHeader.fields.data.at;
const BITS = SlabHeader.words;
const COUNT = BucketHeader.fields.count.at;
const ITEMS = BucketHeader.words;
const LIMIT = ZoneRecord.fields.limit.at;
const OUTSIDE = CacheRecord.fields.outside.at;

/** Word index of a keg's domain record. */
export function kegDomain(keg: number, domain: number): number {
  return keg + KegRecord.words + domain * KegDomain.words;
}

/** Word index of the slab header of an item that is known to belong to the keg. */
export function slabOfItem(uma: Uma, keg: number, item: number): number {
  if (uma.words[keg + K.pageMask.at] === 1) {
    return ((item & -(1 << PAGE_SHIFT)) + uma.words[keg + K.pgoff.at]!) >> 2;
  }
  return slabOfPage(uma.arena, item) >> 2;
}

/**
 * `zone_import`: takes up to `max` items into the bucket in hand slot `slot`, building slabs as
 * needed, from `domain` or round all of them (ANY_DOMAIN): then the bucket is striped, as many items from
 * each. Returns with what it got in the bucket's count. `units` is the hand slot with the units
 * of the zone's limit, at least `max`; it is void (or 0) for a zone without limit.
 */
export function kegImport(
  uma: Uma,
  keg: number,
  slot: number,
  units: number,
  max: number,
  domain: number,
  flags: number,
): void {
  const { words, arena } = uma;
  if (isCacheKeg(uma, keg)) {
    cacheImport(uma, keg, slot, units, max, domain, flags);
    return;
  }
  const bucket = words[slot + 1]!;
  const stripe = domain === ANY_DOMAIN ? Math.ceil(max / arena.domains) : max;
  // Ends: each round takes at least one item, or returns.
  while (words[bucket + COUNT]! < max) {
    const wanted = Math.min(max, words[bucket + COUNT]! + stripe);
    if (!fetchItems(uma, keg, slot, units, wanted, domain, flags)) return;
    // Items of the reserve go out one per call, with M_USE_RESERVE too.
    if (words[keg + K.reserve.at]! > 0 && words[bucket + COUNT]! < wanted) return;
  }
}

/**
 * One item into the void slot `slot` (kind item, for `zone`); false when there is none. `domain`
 * and `units`: see kegImport.
 */
export function kegTake(
  uma: Uma,
  keg: number,
  zone: number,
  slot: number,
  units: number,
  domain: number,
  flags: number,
): boolean {
  if (isCacheKeg(uma, keg)) return cacheTake(uma, keg, zone, slot, units, domain, flags);
  uma.words[slot + 2] = zone;
  return fetchItems(uma, keg, slot, units, 1, domain, flags);
}

/**
 * `keg_fetch_slab` with the taking behind it: items of one domain, until the slot's bucket holds
 * `max` (for a void slot: one item into the slot). False: none to be had. With M_USE_RESERVE the
 * reserves of the other domains are drained as well before it gives up.
 */
function fetchItems(
  uma: Uma,
  keg: number,
  slot: number,
  units: number,
  max: number,
  domain: number,
  flags: number,
): boolean {
  const { domains } = uma.arena;
  if (domain !== ANY_DOMAIN) {
    if (fetchFrom(uma, keg, slot, units, max, domain, flags)) return true;
    if (domains === 1 || (flags & M_USE_RESERVE) === 0) return false;
  }
  for (let turn = 0; turn < domains; turn++) {
    if (fetchFrom(uma, keg, slot, units, max, nextDomain(uma, keg), flags)) return true;
  }
  return false;
}

/** The same in one domain: what is free above the reserve, else a new slab. */
function fetchFrom(
  uma: Uma,
  keg: number,
  slot: number,
  units: number,
  max: number,
  domain: number,
  flags: number,
): boolean {
  // Ends: a pass that does not return has added a slab of which others took every item.
  for (;;) {
    if (takeFromSlabs(uma, keg, slot, units, max, domain, flags, false)) return true;
    if (!mayBuild(uma, flags) || !buildSlab(uma, keg, domain, flags)) break;
    if (takeFromSlabs(uma, keg, slot, units, max, domain, flags, true)) return true;
    if (lacksUnits(uma, slot, units)) return false;
  }
  // Another CPU may have freed meanwhile: look once more.
  if (takeFromSlabs(uma, keg, slot, units, max, domain, flags, false)) return true;
  if (isWithheld(uma, keg, domain, flags)) uma.why = FailureReason.reserve;
  return false;
}

/** Whether the domain has free items that only M_USE_RESERVE may take. */
function isWithheld(uma: Uma, keg: number, domain: number, flags: number): boolean {
  if (uma.words[keg + K.reserve.at] === 0 || (flags & M_USE_RESERVE) !== 0) return false;
  return Atomics.load(uma.words, kegDomain(keg, domain) + FREE_ITEMS) > 0;
}

/** Whether the request may ask for pages. */
function mayBuild(uma: Uma, flags: number): boolean {
  if ((flags & M_NOVM) === 0) return true;
  uma.why = FailureReason.novm;
  return false;
}

/**
 * Takes items from partial and free slabs under the lock: into the bucket of `slot` until it
 * holds `max`, or, when the slot is void, one item into the slot itself. False: none taken, also
 * when the zone was given its limit since the caller looked: he reserves, and asks again.
 *
 * The reserve: a domain whose free items do not pass it is empty for requests without
 * M_USE_RESERVE. One that has just `built` a slab may take its first item all the same, or the
 * reserve would have to be filled before anybody gets anything.
 */
function takeFromSlabs(
  uma: Uma,
  keg: number,
  slot: number,
  units: number,
  max: number,
  domain: number,
  flags: number,
  built: boolean,
): boolean {
  const { words, cpu } = uma;
  const record = kegDomain(keg, domain);
  const reserve = words[keg + K.reserve.at]!;
  let withheld = built || (flags & M_USE_RESERVE) !== 0 ? 0 : reserve;
  const ipers = words[keg + K.ipers.at]!;
  const rsize = words[keg + K.rsize.at]!;
  const bucket = words[slot] === HandKind.none ? 0 : words[slot + 1]!;
  const bitWords = (ipers + 31) >> 5;
  const zone = words[slot + 2]!;
  const outside = zoneCache(zone, cpu.number) + OUTSIDE;
  let taken = 0;
  lockMutex(cpu, record);
  // Plain: it is stored under all the keg's locks.
  const limited = words[zone + LIMIT] !== 0;
  let left = limited ? unitsIn(words, units) : max;
  let count = bucket === 0 ? 0 : words[bucket + COUNT]!;
  while (count < max && left > 0 && words[record + FREE_ITEMS]! > withheld) {
    const slab = words[record + PARTIAL]! !== 0 ? words[record + PARTIAL]! : words[record + FREE]!;
    if (slab === 0) break;
    let word = 0;
    while (word < bitWords && words[slab + BITS + word] === 0) word++;
    const bits = words[slab + BITS + word]!;
    if (word === bitWords) {
      unlockMutex(cpu, record);
      const where = describeKeg(uma, keg);
      throw new Panic(`${where}: slab at ${slab * 4} is listed with no free item`);
    }
    const bit = bits & -bits;
    const index = (word << 5) + 31 - Math.clz32(bit);
    const item = words[slab + DATA]! + index * rsize;
    const free = words[slab + FREE_COUNT]! - 1;
    const wasFree = free + 1 === ipers;
    const from = record + (wasFree ? FREE : PARTIAL);
    const to = record + (free === 0 ? FULL : PARTIAL);
    left--;
    // straight
    words[slab + BITS + word] = bits & ~bit;
    words[slab + FREE_COUNT] = free;
    words[record + FREE_ITEMS]! -= 1;
    if (wasFree) words[record + FREE_SLABS]! -= 1;
    if (from !== to) {
      // The slab is the head of its list: it moves to the head of the other.
      const next = words[slab + NEXT]!;
      const head = words[to]!;
      words[from] = next;
      if (next !== 0) words[next + PREVIOUS] = 0;
      words[slab + NEXT] = head;
      words[slab + PREVIOUS] = 0;
      if (head !== 0) words[head + PREVIOUS] = slab;
      words[to] = slab;
    }
    if (bucket !== 0) {
      words[bucket + ITEMS + count] = item;
      words[bucket + COUNT] = count + 1;
    } else {
      words[slot + 1] = item;
      words[slot + 3] = ItemState.raw;
      words[slot] = Hand.item;
    }
    words[outside]! += 1;
    if (limited) {
      words[units + 2] = left;
      if (left === 0) words[units] = HandKind.none;
    }
    // end
    count++;
    taken++;
    withheld = reserve;
  }
  unlockMutex(cpu, record);
  return taken > 0;
}

/** Whether the zone was given its limit since the caller looked: then no slab is missing. */
function lacksUnits(uma: Uma, slot: number, units: number): boolean {
  const { words } = uma;
  if (Atomics.load(words, words[slot + 2]! + LIMIT) === 0 || unitsIn(words, units) > 0)
    return false;
  uma.why = FailureReason.limit;
  return true;
}

/** Units of a limit in hand slot `units`. */
function unitsIn(words: Int32Array, units: number): number {
  return units !== 0 && words[units] === HandKind.units ? words[units + 2]! : 0;
}

/**
 * `zone_release`: gives items back to their slabs. A bucket slot gives back the items from `keep`
 * on, last first; an item slot its item, and is void afterwards. `counter` is the word index of a
 * 64-bit counter of items given back (0 = none), moved in the same straight line. Where the zone
 * has a limit the items' units are released at the end, in one step (`zone_free_limit`).
 *
 * A zone that does not trash its items on a keg that does (a secondary zone: spec 3.7) gives them
 * back trashed, as fini and the primary zone expect them.
 */
export function kegRelease(
  uma: Uma,
  keg: number,
  slot: number,
  keep: number,
  counter: number = 0,
): void {
  const { words, longs, cpu } = uma;
  if (isCacheKeg(uma, keg)) {
    cacheRelease(uma, keg, slot, keep, counter);
    return;
  }
  const trash =
    (words[keg + K.flags.at]! & InternalFlag.TRASH) !== 0 &&
    (words[words[slot + 2]! + ZoneRecord.fields.features.at]! & Feature.trash) === 0;
  const ipers = words[keg + K.ipers.at]!;
  const rsize = words[keg + K.rsize.at]!;
  const bucket = words[slot] === Hand.bucket ? words[slot + 1]! : 0;
  const zone = words[slot + 2]!;
  const outside = zoneCache(zone, cpu.number) + OUTSIDE;
  // Stale 0 costs a look under the lock, and coming back with a slot.
  let units = words[zone + LIMIT] === 0 ? 0 : reserveSlot(cpu);
  let limit = 0;
  let locked = -1;
  let count = bucket === 0 ? 1 : words[bucket + COUNT]!;
  for (; count > keep; count--) {
    const item = bucket === 0 ? words[slot + 1]! : words[bucket + ITEMS + count - 1]!;
    if (trash) trashFill(uma, keg, item);
    const slab = slabOfItem(uma, keg, item);
    const record = kegDomain(keg, words[slab + DOMAIN]!);
    if (record !== locked) {
      if (locked !== -1) unlockMutex(cpu, locked);
      lockMutex(cpu, record);
      // Plain, under the lock: a limit seeds its count with all that is outside then.
      limit = words[zone + LIMIT]!;
      if (limit !== 0 && units === 0) {
        unlockMutex(cpu, record);
        units = reserveSlot(cpu);
        lockMutex(cpu, record);
      }
      locked = record;
    }
    const back = limit === 0 ? 0 : unitsIn(words, units) + 1;
    const index = (item - words[slab + DATA]!) / rsize;
    const word = slab + BITS + (index >> 5);
    const bit = 1 << (index & 31);
    if (index >= ipers || (words[word]! & bit) !== 0) {
      unlockMutex(cpu, record);
      const where = describeKeg(uma, keg);
      throw new Panic(`${where}: item ${item} is released twice (index ${index})`);
    }
    const free = words[slab + FREE_COUNT]! + 1;
    const from = record + (free === 1 ? FULL : PARTIAL);
    const to = record + (free === ipers ? FREE : PARTIAL);
    // straight
    words[word]! |= bit;
    words[slab + FREE_COUNT] = free;
    words[record + FREE_ITEMS]! += 1;
    if (free === ipers) words[record + FREE_SLABS]! += 1;
    if (from !== to) {
      const next = words[slab + NEXT]!;
      const previous = words[slab + PREVIOUS]!;
      if (previous !== 0) words[previous + NEXT] = next;
      else words[from] = next;
      if (next !== 0) words[next + PREVIOUS] = previous;
      const head = words[to]!;
      words[slab + NEXT] = head;
      words[slab + PREVIOUS] = 0;
      if (head !== 0) words[head + PREVIOUS] = slab;
      words[to] = slab;
    }
    if (bucket !== 0) words[bucket + COUNT] = count - 1;
    else words[slot] = HandKind.none;
    if (counter !== 0) longs[counter >> 1]! += 1n;
    words[outside]! -= 1;
    if (back !== 0) {
      words[units + 1] = limit;
      words[units + 2] = back;
      words[units] = HandKind.units;
    }
    // end
  }
  if (locked !== -1) unlockMutex(cpu, locked);
  if (units === 0) return;
  const back = unitsIn(words, units);
  if (back > 0) releaseUnits(cpu, limit, back, units);
  giveBack(cpu, units);
}

/** NUMA domain of an item's memory. */
export function itemDomain(uma: Uma, item: number): number {
  return uma.arena.domains === 1 ? 0 : domainOfPage(uma.arena, item >> PAGE_SHIFT);
}

/** Zone and CPU for a Panic. */
function describeKeg(uma: Uma, keg: number): string {
  return `zone ${uma.zoneName(uma.words[keg + K.zone.at]!)}, CPU ${uma.cpu.number}`;
}
