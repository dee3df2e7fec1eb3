/**
 * Frees of another domain's items in a FIRSTTOUCH zone (spec 1.9, 2.7): they gather in the CPU's
 * cross bucket, so that the alloc and free buckets keep to the CPU's own domain. A full one goes home:
 * with two domains all of it is the other's and is queued there; with more its items are sorted into
 * one partial bucket per domain (`uzd_cross`), which is queued when it is full.
 *
 * `uzd_cross` and the bucket in it are under that domain's `uzd_lock`; the kernel has one lock for
 * all of a zone's (`uz_cross_lock`). Each item moves from the bucket in hand to the partial one in one
 * straight line, so it is in one of them at every point of death.
 */

import { HandKind, lockMutex, reserveSlot, unlockMutex } from '@umbuf/memory';
import { allocBucket, drainBucket, freeBucket } from './bucket.ts';
import { storeBucket } from './cache-slow.ts';
import { giveBack } from './hands.ts';
import { freeItem } from './item.ts';
import { itemDomain } from './keg.ts';
import { BucketHeader, CacheRecord, Hand, ZoneDomain, ZoneRecord } from './layout.ts';
import type { Uma } from './uma.ts';
import { zoneDomain } from './zone-domain.ts';

const C = CacheRecord.fields;
const CROSS_BUCKET = C.crossBucket.at;
const CROSS_COUNT = C.crossCount.at;
const CROSS_ENTRIES = C.crossEntries.at;
const FREES = C.frees.at;
const CROSS_FREES = C.crossFrees.at;
const ZONE = C.zone.at;
const COUNT = BucketHeader.fields.count.at;
const ENTRIES = BucketHeader.fields.entries.at;
const ITEMS: number = BucketHeader.words;
const CROSS = ZoneDomain.fields.cross.at;
const BUCKET_SIZE = ZoneRecord.fields.bucketSize.at;

/**
 * Pushes the foreign item in hand slot `slot` into the cross bucket and voids the slot; without a
 * bucket the item goes to the keg, which knows its domain.
 */
export function pushCross(uma: Uma, cache: number, slot: number, cookie: number): void {
  const { words, longs } = uma;
  const zone = words[cache + ZONE]!;
  // Ends: each pass pushes, gives up, or loaded an empty bucket; see allocSlow.
  for (;;) {
    // straight
    const count = words[cache + CROSS_COUNT]!;
    const room = count < words[cache + CROSS_ENTRIES]!;
    if (room) {
      words[words[cache + CROSS_BUCKET]! + ITEMS + count] = words[slot + 1]!;
      words[cache + CROSS_COUNT] = count + 1;
      words[slot] = HandKind.none;
    }
    // end
    if (room) {
      longs[(cache + FREES) >> 1]! += 1n;
      return;
    }
    if (!flushCross(uma, zone, cache, cookie)) {
      freeItem(uma, zone, cache, slot);
      return;
    }
  }
}

/** The full cross bucket goes home, an empty one is loaded. False: none to be had. */
function flushCross(uma: Uma, zone: number, cache: number, cookie: number): boolean {
  const { words, longs, cpu } = uma;
  if (words[zone + BUCKET_SIZE] === 0) return false;
  longs[(cache + C.flushes.at) >> 1]! += 1n;
  const old = reserveSlot(cpu);
  const fresh = reserveSlot(cpu);
  const foreign = BigInt(words[cache + CROSS_COUNT]!);
  unloadCross(words, cache, zone, old);
  longs[(cache + CROSS_FREES) >> 1]! += foreign;
  const got = !uma.bucketsDisabled() && allocBucket(uma, zone, fresh, cookie);
  if (words[old] !== HandKind.none) storeForeign(uma, zone, old, true, cookie);
  if (got) {
    loadCross(words, cache, fresh);
    // The allocation of the bucket used this zone and loaded one itself: ours is not needed.
    if (words[fresh] !== HandKind.none) freeBucket(uma, fresh, cookie);
  }
  giveBack(cpu, old);
  return got;
}

/**
 * The bucket in `slot`, which came out of a cross slot, goes to where its items are at home; an
 * empty one to its own zone. Voids the slot.
 */
export function storeForeign(
  uma: Uma,
  zone: number,
  slot: number,
  workingSet: boolean,
  cookie: number,
): void {
  const { words, arena } = uma;
  const bucket = words[slot + 1]!;
  if (words[bucket + COUNT] === 0) {
    freeBucket(uma, slot, cookie);
  } else if (arena.domains === 2) {
    const home = itemDomain(uma, words[bucket + ITEMS]!);
    storeBucket(uma, zone, home, slot, workingSet, cookie);
  } else {
    sortBucket(uma, zone, slot, workingSet, cookie);
  }
}

/** `zone_free_cross`: item by item into the partial bucket of its domain. */
function sortBucket(
  uma: Uma,
  zone: number,
  slot: number,
  workingSet: boolean,
  cookie: number,
): void {
  const { words, cpu } = uma;
  const bucket = words[slot + 1]!;
  const fresh = reserveSlot(cpu);
  const full = reserveSlot(cpu);
  // Ends: each pass moves an item, or gets the bucket that lets the next one do so.
  while (words[bucket + COUNT]! > 0) {
    const home = itemDomain(uma, words[bucket + ITEMS + words[bucket + COUNT]! - 1]!);
    if (!moveHome(uma, zone, home, slot, fresh, full)) {
      if (!allocBucket(uma, zone, fresh, cookie)) break;
      continue;
    }
    if (words[full] !== HandKind.none) storeBucket(uma, zone, home, full, workingSet, cookie);
  }
  if (words[fresh] !== HandKind.none) freeBucket(uma, fresh, cookie);
  // What found no bucket: down to the keg.
  if (words[bucket + COUNT]! > 0) drainBucket(uma, slot);
  freeBucket(uma, slot, cookie);
  giveBack(cpu, fresh);
}

/**
 * Moves items of domain `home` from the end of the bucket in `slot` into that domain's partial
 * bucket, until another domain's comes up or it is full: then it is taken into the void slot `full`. False: the domain
 * has none, and `fresh` is void; a filled `fresh` becomes it.
 */
function moveHome(
  uma: Uma,
  zone: number,
  home: number,
  slot: number,
  fresh: number,
  full: number,
): boolean {
  const { words, cpu } = uma;
  const record = zoneDomain(uma, zone, home);
  const bucket = words[slot + 1]!;
  lockMutex(cpu, record);
  if (words[record + CROSS] === 0 && words[fresh] !== HandKind.none) {
    // straight
    words[record + CROSS] = words[fresh + 1]!;
    words[fresh] = HandKind.none;
    // end
  }
  const cross = words[record + CROSS]!;
  if (cross !== 0) {
    const entries = words[cross + ENTRIES]! & 0xffff;
    let left = words[bucket + COUNT]!;
    let count = words[cross + COUNT]!;
    while (left > 0 && count < entries) {
      const item = words[bucket + ITEMS + left - 1]!;
      if (itemDomain(uma, item) !== home) break;
      left--;
      // straight
      words[cross + ITEMS + count] = item;
      words[cross + COUNT] = count + 1;
      words[bucket + COUNT] = left;
      words[slot + 3] = left;
      // end
      count++;
    }
    if (count === entries) {
      // straight
      words[full + 1] = cross;
      words[full + 2] = zone;
      words[full + 3] = count;
      words[full] = Hand.bucket;
      words[record + CROSS] = 0;
      // end
    }
  }
  unlockMutex(cpu, record);
  return cross !== 0;
}

/** Takes the partial bucket of a domain into the void slot `slot`; false when there is none. */
export function takeCross(uma: Uma, zone: number, domain: number, slot: number): boolean {
  const { words, cpu } = uma;
  const record = zoneDomain(uma, zone, domain);
  lockMutex(cpu, record);
  const cross = words[record + CROSS]!;
  if (cross !== 0) {
    // straight
    words[slot + 1] = cross;
    words[slot + 2] = zone;
    words[slot + 3] = words[cross + COUNT]!;
    words[slot] = Hand.bucket;
    words[record + CROSS] = 0;
    // end
  }
  unlockMutex(cpu, record);
  return cross !== 0;
}

// Straight lines between cache and hand, as in cache-slow.ts.

function unloadCross(words: Int32Array, cache: number, zone: number, slot: number): void {
  // straight
  const bucket = words[cache + CROSS_BUCKET]!;
  if (bucket !== 0) {
    words[bucket + COUNT] = words[cache + CROSS_COUNT]!;
    words[slot + 1] = bucket;
    words[slot + 2] = zone;
    words[slot + 3] = words[cache + CROSS_COUNT]!;
    words[slot] = Hand.bucket;
    words[cache + CROSS_BUCKET] = 0;
    words[cache + CROSS_COUNT] = 0;
    words[cache + CROSS_ENTRIES] = 0;
  }
  // end
}

/** Loads the slot's empty bucket unless one is loaded; the slot is void if it was. */
function loadCross(words: Int32Array, cache: number, slot: number): void {
  // straight
  if (words[cache + CROSS_BUCKET] === 0) {
    const bucket = words[slot + 1]!;
    words[cache + CROSS_BUCKET] = bucket;
    words[cache + CROSS_COUNT] = 0;
    words[cache + CROSS_ENTRIES] = words[bucket + ENTRIES]! & 0xffff;
    words[slot] = HandKind.none;
  }
  // end
}
