/**
 * The slow half of the per-CPU cache: refill (`cache_alloc`, spec 2.3) and flush (`cache_free`,
 * 2.7). Entered from the fast path when a bucket is empty or full; what is in flight stands in
 * hand slots. After anything that may have run other code (a callback, a wait) the cache is read
 * again: nothing read before is valid.
 *
 * A CPU that may not block and finds a lock busy leaves its filled slots to `settleHand`, which
 * puts them when the CPU leaves: its allocation returns NULL, its free is done later.
 */

import {
  type Address,
  checkpoint,
  type Cpu,
  HAND_SLOT_WORDS,
  HandKind,
  LockBusyError,
  NULL,
  reserveSlot,
} from '@umbuf/memory';
import { allocBucket, drainBucket, fillBucket, freeBucket } from './bucket.ts';
import { pushCross } from './cross.ts';
import { fetchDomain, storeDomain } from './domain-policy.ts';
import { InternalFlag } from './flags.ts';
import { fail, giveBack, giveBackTo, handHeight } from './hands.ts';
import { FailureSite, injected } from './inject.ts';
import { allocItem, freeItem } from './item.ts';
import { itemDomain } from './keg.ts';
import {
  BucketHeader,
  CacheRecord,
  CallbackBit,
  Feature,
  Hand,
  ItemState,
  ZoneRecord,
} from './layout.ts';
import { bypassesCache, relieve } from './limit/pressure.ts';
import { serveReclaim } from './reclaim-zone.ts';
import { pushVisible } from './smr/zone-free.ts';
import { countFailure, FailureReason } from './statistics/failures.ts';
import type { Uma } from './uma.ts';
import { lookAtClock } from './voluntary-trim.ts';
import { canRun } from './zone-callbacks.ts';
import { cpuDomain, fetchBucket, putBucket, raisePeak } from './zone-domain.ts';
import { destroyedError, requireLive } from './zone-life.ts';

const C = CacheRecord.fields;
const ALLOC_BUCKET = C.allocBucket.at;
const ALLOC_COUNT = C.allocCount.at;
const ALLOC_ENTRIES = C.allocEntries.at;
const FREE_BUCKET = C.freeBucket.at;
const FREE_COUNT = C.freeCount.at;
const FREE_ENTRIES = C.freeEntries.at;
const FEATURES = C.features.at;
const FREE_FEATURES = C.freeFeatures.at;
const ZONE = C.zone.at;
const COUNT = BucketHeader.fields.count.at;
const ENTRIES = BucketHeader.fields.entries.at;
const LAST = BucketHeader.words - 1;
const BUCKET_SIZE = ZoneRecord.fields.bucketSize.at;
const FLAGS = ZoneRecord.fields.flags.at;
const LIMIT = ZoneRecord.fields.limit.at;
const CARRIED = ZoneRecord.fields.carried.at;

/** Slots that a thread which may not block may leave filled before its frees are refused. */
const DEFERRED_MAX = 24;

/** `alloc` with an empty alloc bucket. */
export function allocSlow(uma: Uma, cache: number, flags: number, argument: number): Address {
  const { words, longs, cpu } = uma;
  if (words[cache + FREE_COUNT]! > 0 && (words[cache + FEATURES]! & Feature.smr) === 0) {
    swapBuckets(words, cache);
    return uma.operations.alloc(cache, flags, argument);
  }
  const zone = words[cache + ZONE]!;
  // Bucket zones allocate inside other operations, their own answers to requests among them: no
  // request is answered here, no error reported. Their argument is the recursion guard (1.6).
  const inner = (words[zone + FLAGS]! & InternalFlag.BUCKET) !== 0;
  const cookie = inner ? argument : 0;
  const height = handHeight(cpu);
  longs[(cache + C.refills.at) >> 1]! += 1n;
  try {
    if (!cpu.mayBlock && height > DEFERRED_MAX) return failed(uma, cache, inner);
    if (!inner) {
      // The void slot says that this thread is inside the zone: see letGo.
      const inside = reserveSlot(cpu);
      checkpoint(cpu);
      lookAtClock(uma);
      serveReclaim(uma, zone);
      giveBack(cpu, inside);
      requireLive(uma, zone);
    }
    // Ends: a refill that returns true loaded at least one item; others can take items away only
    // while we wait inside it, and each time they do they made progress.
    while (refill(uma, zone, cache, flags, cookie)) {
      if (words[cache + ALLOC_COUNT]! > 0) return uma.operations.alloc(cache, flags, argument);
    }
    const item = allocItem(uma, zone, cache, flags, argument);
    if (item !== NULL) return item;
  } catch (error) {
    if (!(error instanceof LockBusyError) || cpu.mayBlock) fail(uma, height, error);
    // What is in hand goes back when the CPU leaves.
    giveBackTo(cpu, height);
    return failed(uma, cache, inner);
  }
  if (!inner) uma.rethrow();
  return NULL;
}

function failed(uma: Uma, cache: number, inner: boolean): Address {
  countFailure(uma, cache, FailureReason.busy);
  if (!inner) uma.rethrow();
  return NULL;
}

/** `push` with no room in the alloc bucket. The item's dtor has run. */
export function freeSlow(uma: Uma, cache: number, item: number): void {
  const { words, cpu } = uma;
  if ((words[cache + FREE_FEATURES]! & Feature.dead) !== 0) {
    throw destroyedError(uma, words[cache + ZONE]!, item);
  }
  if (
    words[cache + FREE_COUNT]! < words[cache + FREE_ENTRIES]! &&
    (words[cache + FEATURES]! & Feature.smr) === 0
  ) {
    // The free bucket has room: swap the two, then push.
    swapBuckets(words, cache);
    uma.operations.push(cache, item);
    return;
  }
  checkDeferred(cpu);
  const slot = reserveSlot(cpu);
  // straight
  words[slot + 1] = item;
  words[slot + 2] = words[cache + ZONE]!;
  words[slot + 3] = ItemState.whole;
  words[slot] = Hand.item;
  // end
  putItem(uma, cache, slot);
}

/** Throws `LockBusyError`, with nothing changed, when the hands are full of deferred frees. */
export function checkDeferred(cpu: Cpu): void {
  if (cpu.mayBlock || cpu.words[cpu.handTop]! <= DEFERRED_MAX) return;
  throw new LockBusyError(`CPU ${cpu.number}: too many deferred frees; free in a later job`);
}

/**
 * The end of every free that is not the fast one: the item in the top slot `slot` (its dtor has
 * run, or it is `visible`) goes into the cache or to the keg, the slot is given back, and what
 * callbacks threw is rethrown. A busy lock (and a reader that a thread which may not block would have to wait for)
 * defers the rest of it until the CPU leaves.
 */
export function putItem(uma: Uma, cache: number, slot: number): void {
  const { words, cpu } = uma;
  const height = (slot - cpu.hand) / HAND_SLOT_WORDS;
  try {
    const visible = words[slot + 3] === ItemState.visible;
    const full = visible
      ? words[cache + FREE_COUNT] === words[cache + FREE_ENTRIES]
      : words[cache + ALLOC_COUNT] === words[cache + ALLOC_ENTRIES];
    if (full) {
      checkpoint(cpu);
      lookAtClock(uma);
      serveReclaim(uma, words[cache + ZONE]!);
    }
    if (visible) pushVisible(uma, cache, slot);
    else pushSlot(uma, cache, slot, 0);
    giveBack(cpu, slot);
  } catch (error) {
    if (!(error instanceof LockBusyError) || cpu.mayBlock) fail(uma, height, error);
    giveBackTo(cpu, height);
  }
  uma.rethrow();
}

/**
 * Pushes the item in hand slot `slot` into the cache and voids the slot in the same straight
 * line; makes room first if needed, else gives the item to the keg, as it does while the zone's
 * limit is under pressure. `cookie` guards the recursion of bucket zones (1.6).
 */
export function pushSlot(uma: Uma, cache: number, slot: number, cookie: number): void {
  const { words, longs } = uma;
  if ((words[cache + FREE_FEATURES]! & Feature.dead) !== 0) {
    // The zone is going: nothing is cached any more.
    freeItem(uma, words[cache + ZONE]!, cache, slot);
    return;
  }
  if (bypassesCache(uma, cache) && canRun(uma, words[cache + ZONE]!, CallbackBit.zfini)) {
    freeItem(uma, words[cache + ZONE]!, cache, slot);
    return;
  }
  if ((words[cache + FEATURES]! & Feature.domain) !== 0) {
    if (itemDomain(uma, words[slot + 1]!) !== cpuDomain(uma, uma.cpu.number)) {
      pushCross(uma, cache, slot, cookie);
      return;
    }
  }
  // Ends: each pass pushes, gives up, or loaded an empty bucket; see allocSlow.
  for (;;) {
    if (
      words[cache + ALLOC_COUNT] === words[cache + ALLOC_ENTRIES] &&
      words[cache + FREE_COUNT]! < words[cache + FREE_ENTRIES]! &&
      (words[cache + FEATURES]! & Feature.smr) === 0
    ) {
      swapBuckets(words, cache);
    }
    // straight
    const count = words[cache + ALLOC_COUNT]!;
    const room = count < words[cache + ALLOC_ENTRIES]!;
    if (room) {
      words[words[cache + ALLOC_BUCKET]! + LAST + 1 + count] = words[slot + 1]!;
      words[cache + ALLOC_COUNT] = count + 1;
      words[slot] = HandKind.none;
    }
    // end
    if (room) {
      longs[(cache + C.frees.at) >> 1]! += 1n;
      return;
    }
    const zone = words[cache + ZONE]!;
    // In an SMR zone only a repair comes here, with an item that nobody has seen.
    if ((words[cache + FEATURES]! & Feature.smr) !== 0 || !flush(uma, zone, cache, cookie)) {
      freeItem(uma, zone, cache, slot);
      return;
    }
  }
}

/**
 * Loads a bucket with items into the alloc side: a full one of the zone domain, or one filled
 * from the keg. True: look again. False: nothing to be had in bucketfuls.
 */
function refill(uma: Uma, zone: number, cache: number, flags: number, cookie: number): boolean {
  const { words, cpu } = uma;
  if (words[cache + FREE_COUNT]! > 0 && (words[cache + FEATURES]! & Feature.smr) === 0) {
    swapBuckets(words, cache);
    return true;
  }
  // Others wait for what the queue and the keg have: behind them, item by item.
  if (bypassesCache(uma, cache)) return false;
  const slot = reserveSlot(cpu);
  const spare = reserveSlot(cpu);
  unloadAlloc(words, cache, zone, spare);
  const domain = fetchDomain(uma, zone);
  let got = fetchBucket(uma, zone, domain, slot);
  if (!got && words[zone + BUCKET_SIZE]! !== 0 && !uma.bucketsDisabled()) {
    // The bucket just emptied is filled again where its size still fits.
    got = fillBucket(uma, zone, cache, slot, spare, flags, cookie);
    if (got) raisePeak(uma, zone, domain, words[words[slot + 1]! + COUNT]!);
  }
  if (words[spare] !== HandKind.none) freeBucket(uma, spare, cookie);
  if (got) {
    loadAlloc(words, cache, slot);
    // A callback of ours used the zone meanwhile and left a bucket: it goes to the queue.
    if (words[slot] !== HandKind.none) storeBucket(uma, zone, domain, slot, false, cookie);
  }
  giveBack(cpu, slot);
  return got;
}

/**
 * Makes room on the free side: the full free bucket goes to the zone domain, an empty one is
 * loaded. False: no bucket to be had, the item goes to the keg.
 */
function flush(uma: Uma, zone: number, cache: number, cookie: number): boolean {
  const { words, longs, cpu } = uma;
  if (words[zone + BUCKET_SIZE] === 0) return false;
  longs[(cache + C.flushes.at) >> 1]! += 1n;
  const old = reserveSlot(cpu);
  const fresh = reserveSlot(cpu);
  unloadFree(words, cache, zone, old);
  const got =
    !uma.bucketsDisabled() &&
    !injected(uma, FailureSite.flushBucket) &&
    allocBucket(uma, zone, fresh, cookie);
  if (words[old] !== HandKind.none) {
    storeBucket(uma, zone, storeDomain(uma, zone), old, true, cookie);
  }
  if (got) {
    loadFree(words, cache, fresh);
    // The allocation of the bucket used this zone and loaded one itself: ours is not needed.
    if (words[fresh] !== HandKind.none) freeBucket(uma, fresh, cookie);
  }
  giveBack(cpu, old);
  return got;
}

/** `zone_free_bucket`: onto the queue; over `uz_bucket_max`, or when empty, down to the keg. */
export function storeBucket(
  uma: Uma,
  zone: number,
  domain: number,
  slot: number,
  workingSet: boolean,
  cookie: number,
): void {
  const { words } = uma;
  const bucket = words[slot + 1]!;
  if (words[bucket + COUNT]! > 0 && putBucket(uma, zone, domain, slot, workingSet)) {
    // Behind the put: a sleeper that came before it does not look again.
    if ((words[zone + LIMIT]! | words[zone + CARRIED]!) !== 0) relieve(uma, zone);
    return;
  }
  drainBucket(uma, slot);
  freeBucket(uma, slot, cookie);
}

// Straight lines between cache and hand. Each function is one; its entry is a point of death at
// which the bucket is still where it was.

function swapBuckets(words: Int32Array, cache: number): void {
  // straight
  const bucket = words[cache + ALLOC_BUCKET]!;
  const count = words[cache + ALLOC_COUNT]!;
  const entries = words[cache + ALLOC_ENTRIES]!;
  words[cache + ALLOC_BUCKET] = words[cache + FREE_BUCKET]!;
  words[cache + ALLOC_COUNT] = words[cache + FREE_COUNT]!;
  words[cache + ALLOC_ENTRIES] = words[cache + FREE_ENTRIES]!;
  words[cache + FREE_BUCKET] = bucket;
  words[cache + FREE_COUNT] = count;
  words[cache + FREE_ENTRIES] = entries;
  // end
}

function unloadAlloc(words: Int32Array, cache: number, zone: number, slot: number): void {
  // straight
  const bucket = words[cache + ALLOC_BUCKET]!;
  if (bucket !== 0) {
    words[bucket + COUNT] = words[cache + ALLOC_COUNT]!;
    words[slot + 1] = bucket;
    words[slot + 2] = zone;
    words[slot + 3] = words[cache + ALLOC_COUNT]!;
    words[slot] = Hand.bucket;
    words[cache + ALLOC_BUCKET] = 0;
    words[cache + ALLOC_COUNT] = 0;
    words[cache + ALLOC_ENTRIES] = 0;
  }
  // end
}

function unloadFree(words: Int32Array, cache: number, zone: number, slot: number): void {
  // straight
  const bucket = words[cache + FREE_BUCKET]!;
  if (bucket !== 0) {
    words[bucket + COUNT] = words[cache + FREE_COUNT]!;
    words[slot + 1] = bucket;
    words[slot + 2] = zone;
    words[slot + 3] = words[cache + FREE_COUNT]!;
    words[slot] = Hand.bucket;
    words[cache + FREE_BUCKET] = 0;
    words[cache + FREE_COUNT] = 0;
    words[cache + FREE_ENTRIES] = 0;
  }
  // end
}

/** Loads the slot's bucket; what was loaded comes back into the slot, which is void if nothing was. */
function loadAlloc(words: Int32Array, cache: number, slot: number): void {
  // straight
  const bucket = words[slot + 1]!;
  const left = words[cache + ALLOC_BUCKET]!;
  const leftCount = words[cache + ALLOC_COUNT]!;
  words[cache + ALLOC_BUCKET] = bucket;
  words[cache + ALLOC_COUNT] = words[bucket + COUNT]!;
  words[cache + ALLOC_ENTRIES] = words[bucket + ENTRIES]! & 0xffff;
  if (left !== 0) {
    words[left + COUNT] = leftCount;
    words[slot + 1] = left;
    words[slot + 3] = leftCount;
  } else {
    words[slot] = HandKind.none;
  }
  // end
}

/** Loads the slot's empty bucket unless one is loaded; the slot is void if it was. */
export function loadFree(words: Int32Array, cache: number, slot: number): void {
  // straight
  if (words[cache + FREE_BUCKET] === 0) {
    const bucket = words[slot + 1]!;
    words[cache + FREE_BUCKET] = bucket;
    words[cache + FREE_COUNT] = 0;
    words[cache + FREE_ENTRIES] = words[bucket + ENTRIES]! & 0xffff;
    words[slot] = HandKind.none;
  }
  // end
}
