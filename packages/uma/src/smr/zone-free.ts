/**
 * Freeing to an SMR zone (spec 2.7, 2.8, 2.11): items go into the free bucket, never into the alloc
 * bucket, untouched, since readers may still see them. A full free bucket is tagged with the goal
 * of an advance made after it left the cache (so after the last of its items was unlinked) and waits
 * at the tail of the queue. Readers are waited for only where there is no bucket to be had, or the
 * queue is over `uz_bucket_max`.
 *
 * Kinds and states in hand: an item is `visible` until it is in a bucket, a bucket `Hand.visible`
 * until it has its tag. The repairs of both end here.
 */

import { HandKind, isInSection, reserveSlot } from '@umbuf/memory';
import { allocBucket, drainBucket, freeBucket } from '../bucket.ts';
import { loadFree, storeBucket } from '../cache-slow.ts';
import { trashFill } from '../debug.ts';
import { giveBack } from '../hands.ts';
import { FailureSite, injected } from '../inject.ts';
import { freeItem } from '../item.ts';
import {
  BucketHeader,
  CacheRecord,
  CallbackBit,
  Feature,
  Hand,
  ItemState,
  ZoneRecord,
} from '../layout.ts';
import { bypassesCache } from '../limit/pressure.ts';
import type { Uma } from '../uma.ts';
import { canRun, mayRun, runDtor } from '../zone-callbacks.ts';
import { cpuDomain, putBucket } from '../zone-domain.ts';
import { smrAdvance, smrAdvanceNow, smrWait } from './poll.ts';

const C = CacheRecord.fields;
const FREE_BUCKET = C.freeBucket.at;
const FREE_COUNT = C.freeCount.at;
const FREE_ENTRIES = C.freeEntries.at;
const COUNT = BucketHeader.fields.count.at;
const TAG = BucketHeader.fields.seq.at;
const ITEMS = BucketHeader.words;
const Z = ZoneRecord.fields;

/**
 * A free with no checks to make, where the free bucket has room; false when it has not. As in the
 * fast path the item is the caller's until the straight line, and needs no hand slot.
 */
export function pushUntouched(uma: Uma, cache: number, item: number): boolean {
  const { words, longs, cpu } = uma;
  if (isInSection(cpu)) return false;
  const count = words[cache + FREE_COUNT]!;
  if (count >= words[cache + FREE_ENTRIES]!) return false;
  // straight
  words[words[cache + FREE_BUCKET]! + ITEMS + count] = item;
  words[cache + FREE_COUNT] = count + 1;
  longs[(cache + C.frees.at) >> 1]! += 1n;
  // end
  return true;
}

/**
 * The `visible` item in hand slot `slot` goes into the free bucket, and the slot is void; where no
 * bucket is to be had it waits for readers and goes to the keg. On a CPU that may not block, and a
 * reader in the way, `LockBusyError`, with the slot as it was.
 */
export function pushVisible(uma: Uma, cache: number, slot: number): void {
  const { words, longs } = uma;
  // Others wait for the zone's limit: one wait for readers each, as where there is no bucket.
  if (bypassesCache(uma, cache) && canRun(uma, words[cache + C.zone.at]!, CallbackBit.zfini)) {
    freeVisible(uma, words[cache + C.zone.at]!, cache, slot);
    return;
  }
  // Ends: each pass pushes, gives up, or loaded an empty bucket, which only callbacks can fill.
  for (;;) {
    // straight
    const count = words[cache + FREE_COUNT]!;
    const room = count < words[cache + FREE_ENTRIES]!;
    if (room) {
      words[words[cache + FREE_BUCKET]! + ITEMS + count] = words[slot + 1]!;
      words[cache + FREE_COUNT] = count + 1;
      words[slot] = HandKind.none;
    }
    // end
    if (room) {
      longs[(cache + C.frees.at) >> 1]! += 1n;
      return;
    }
    const zone = words[cache + C.zone.at]!;
    if (!flushVisible(uma, zone, cache)) {
      freeVisible(uma, zone, cache, slot);
      return;
    }
  }
}

/** Makes room on the free side; false when the zone has no buckets, or none is to be had. */
function flushVisible(uma: Uma, zone: number, cache: number): boolean {
  const { words, longs, cpu } = uma;
  if (words[zone + Z.bucketSize.at] === 0) return false;
  longs[(cache + C.flushes.at) >> 1]! += 1n;
  const old = reserveSlot(cpu);
  const fresh = reserveSlot(cpu);
  unloadVisible(words, cache, zone, old);
  if (words[old] !== HandKind.none) tag(words, old, smrAdvance(cpu, words[zone + Z.smr.at]!));
  // Also while buckets are disabled: without one each free would wait for readers.
  const got = !injected(uma, FailureSite.smrBucket) && allocBucket(uma, zone, fresh, 0);
  if (!got && words[old] !== HandKind.none) {
    // The wait for readers comes once for all of the bucket's items, and it is used again.
    drainBucket(uma, old);
    load(uma, cache, old);
  } else {
    if (words[old] !== HandKind.none) {
      storeBucket(uma, zone, cpuDomain(uma, cpu.number), old, true, 0);
    }
    if (got) load(uma, cache, fresh);
  }
  giveBack(cpu, old);
  return words[cache + FREE_BUCKET] !== 0;
}

/** The empty bucket in `slot` into the cache, unless a callback's free has loaded one. */
function load(uma: Uma, cache: number, slot: number): void {
  loadFree(uma.words, cache, slot);
  if (uma.words[slot] !== HandKind.none) freeBucket(uma, slot, 0);
}

/** `zone_free_item` with its synchronize: readers, dtor, trash, zone fini, keg. */
function freeVisible(uma: Uma, zone: number, cache: number, slot: number): void {
  const { words, cpu } = uma;
  const smr = words[zone + Z.smr.at]!;
  const item = words[slot + 1]!;
  smrWait(cpu, smr, smrAdvance(cpu, smr));
  if (
    (words[zone + Z.callbacks.at]! & CallbackBit.dtor) !== 0 &&
    mayRun(uma, zone, CallbackBit.dtor)
  ) {
    words[slot + 3] = ItemState.unfinished;
    runDtor(uma, zone, item, 0);
  }
  if ((words[zone + Z.features.at]! & Feature.trash) !== 0) {
    trashFill(uma, words[zone + Z.keg.at]!, item);
  }
  words[slot + 3] = ItemState.whole;
  freeItem(uma, zone, cache, slot);
}

/**
 * The bucket in `slot` (kind `visible`) gets its tag and goes to the queue of this CPU's domain,
 * over `uz_bucket_max` too. Also the repair of such a slot. Never waits for readers.
 */
export function queueVisible(uma: Uma, slot: number): void {
  const { words, cpu } = uma;
  const zone = words[slot + 2]!;
  tag(words, slot, smrAdvanceNow(cpu, words[zone + Z.smr.at]!));
  putBucket(uma, zone, cpuDomain(uma, cpu.number), slot, false, true);
}

function tag(words: Int32Array, slot: number, goal: number): void {
  // straight
  words[words[slot + 1]! + TAG] = goal;
  words[slot] = Hand.bucket;
  // end
}

/** The full free bucket into the hand; the slot stays void when there is none. */
function unloadVisible(words: Int32Array, cache: number, zone: number, slot: number): void {
  // straight
  const bucket = words[cache + FREE_BUCKET]!;
  if (bucket !== 0) {
    words[bucket + COUNT] = words[cache + FREE_COUNT]!;
    words[slot + 1] = bucket;
    words[slot + 2] = zone;
    words[slot + 3] = words[cache + FREE_COUNT]!;
    words[slot] = Hand.visible;
    words[cache + FREE_BUCKET] = 0;
    words[cache + FREE_COUNT] = 0;
    words[cache + FREE_ENTRIES] = 0;
  }
  // end
}
