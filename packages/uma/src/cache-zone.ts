/**
 * Cache zones (`uma_zcache_create`, spec 3.1): items come from the definition's `importItems` and go
 * back by its `releaseItems`, instead of a keg. Such a zone has a keg record without slabs, so that
 * every look at one is harmless; its counters of inits and finis count items imported and released.
 *
 * An item is the zone's as soon as it stands in the store that `importItems` was given, also when that
 * throws or its thread dies: the store is the bucket, or the hand slot, itself. Items are non-zero
 * int32 values, so the zeroed store tells how many there are. From the call on an item given to
 * `releaseItems` is the callback's: one that dies in it is not called again for these items.
 *
 * A thread that has not opened the zone can neither import nor release. Recovery there keeps what may
 * be cached, and drops (counted as "needs an opener") what only a release could take.
 */

import { HandKind, lockMutex, releaseUnits, reserveSlot, unlockMutex } from '@umbuf/memory';
import { ImportError } from './errors.ts';
import { InternalFlag } from './flags.ts';
import { giveBack } from './hands.ts';
import { kegDomain } from './keg.ts';
import {
  BucketHeader,
  CacheRecord,
  CallbackBit,
  Hand,
  ItemState,
  KegRecord,
  ZoneRecord,
} from './layout.ts';
import { FailureReason } from './statistics/failures.ts';
import type { Uma } from './uma.ts';
import { canRun, mayRun, runImport, runRelease } from './zone-callbacks.ts';
import { zoneCache } from './zone-domain.ts';

const K = KegRecord.fields;
const COUNT = BucketHeader.fields.count.at;
const ITEMS: number = BucketHeader.words;
const LIMIT = ZoneRecord.fields.limit.at;
const OUTSIDE = CacheRecord.fields.outside.at;

/** Whether the keg is that of a cache zone. */
export function isCacheKeg({ words }: Pick<Uma, 'words'>, keg: number): boolean {
  return (words[keg + K.flags.at]! & InternalFlag.CACHE) !== 0;
}

/** `uz_import` into the bucket of hand slot `slot`, up to `max` items in it. Arguments: kegImport. */
export function cacheImport(
  uma: Uma,
  keg: number,
  slot: number,
  units: number,
  max: number,
  domain: number,
  flags: number,
): void {
  const { words } = uma;
  const zone = words[slot + 2]!;
  const bucket = words[slot + 1]!;
  const from = words[bucket + COUNT]!;
  for (let index = from; index < max; index++) words[bucket + ITEMS + index] = 0;
  words[slot] = Hand.importing;
  const store = words.subarray(bucket + ITEMS + from, bucket + ITEMS + max);
  checkStored(uma, zone, store, runImport(uma, zone, store, domain, flags));
  if (!adopt(uma, keg, slot, units, stored(words, bucket + ITEMS + from, max - from))) {
    abandonImport(uma, slot);
  }
  if (words[bucket + COUNT] === from) uma.why = FailureReason.import;
}

/** One item into the void slot `slot`; false when there is none. Arguments: kegTake. */
export function cacheTake(
  uma: Uma,
  keg: number,
  zone: number,
  slot: number,
  units: number,
  domain: number,
  flags: number,
): boolean {
  const { words } = uma;
  // straight
  words[slot + 1] = 0;
  words[slot + 2] = zone;
  words[slot + 3] = SINGLE;
  words[slot] = Hand.importing;
  // end
  const store = words.subarray(slot + 1, slot + 2);
  checkStored(uma, zone, store, runImport(uma, zone, store, domain, flags));
  const got = words[slot + 1] !== 0;
  if (got && adopt(uma, keg, slot, units, 1)) return true;
  abandonImport(uma, slot);
  uma.why = FailureReason.import;
  return false;
}

/** `more` of a slot of kind importing whose store is the slot itself. */
const SINGLE = -1;

/** Items at the beginning of a store that was zeroed. */
function stored(words: Int32Array, at: number, most: number): number {
  let count = 0;
  while (count < most && words[at + count] !== 0) count++;
  return count;
}

function checkStored(uma: Uma, zone: number, store: Int32Array, returned: unknown): void {
  const count = stored(store, 0, store.length);
  if (returned === count && store.subarray(count).every((item) => item === 0)) return;
  throw new ImportError(
    `zone ${uma.zoneName(zone)}, CPU ${uma.cpu.number}: importItems returned ${String(returned)} ` +
      `and stored ${count} items from the start`,
  );
}

/**
 * The stored items are counted as the zone's, with their units. False, and nothing changed, when
 * the zone was given a limit since the caller reserved.
 */
function adopt(uma: Uma, keg: number, slot: number, units: number, count: number): boolean {
  const { words, longs, cpu } = uma;
  const zone = words[slot + 2]!;
  const bucket = words[slot + 3] === SINGLE ? 0 : words[slot + 1]!;
  const outside = zoneCache(zone, cpu.number) + OUTSIDE;
  const lock = kegDomain(keg, 0);
  const imported = (keg + K.inits.at) >> 1;
  const long = BigInt(count);
  lockMutex(cpu, lock);
  const limited = Atomics.load(words, zone + LIMIT) !== 0;
  const held = units !== 0 && words[units] === HandKind.units ? words[units + 2]! : 0;
  const fits = !limited || held >= count;
  if (fits) {
    const left = limited ? held - count : held;
    // straight
    Atomics.add(longs, imported, long);
    words[outside]! += count;
    if (limited) {
      words[units + 2] = left;
      if (left === 0) words[units] = HandKind.none;
    }
    if (bucket !== 0) {
      words[bucket + COUNT]! += count;
      words[slot] = Hand.bucket;
    } else {
      words[slot + 3] = ItemState.raw;
      words[slot] = Hand.item;
    }
    // end
  }
  unlockMutex(cpu, lock);
  return fits;
}

/**
 * What an import that was broken off has stored goes straight back; a bucket stays in the slot. Also
 * the repair of a slot of kind importing, where the bucket's own repair follows.
 */
export function abandonImport(uma: Uma, slot: number): void {
  const { words } = uma;
  const zone = words[slot + 2]!;
  const bucket = words[slot + 3] === SINGLE ? 0 : words[slot + 1]!;
  const at = bucket === 0 ? slot + 1 : bucket + ITEMS + words[bucket + COUNT]!;
  const count = stored(words, at, bucket === 0 ? 1 : capacityLeft(words, bucket));
  // straight: from here on they are the callback's
  if (bucket !== 0) words[slot] = Hand.bucket;
  else words[slot] = HandKind.none;
  // end
  if (count > 0 && mayRun(uma, zone, CallbackBit.releaseItems)) {
    runRelease(uma, zone, words.subarray(at, at + count), count);
  }
}

function capacityLeft(words: Int32Array, bucket: number): number {
  return (words[bucket + BucketHeader.fields.entries.at]! & 0xffff) - words[bucket + COUNT]!;
}

/** `uz_release` for the items that kegRelease would give back. Arguments and effect: there. */
export function cacheRelease(
  uma: Uma,
  keg: number,
  slot: number,
  keep: number,
  counter: number,
): void {
  const { words, longs, cpu } = uma;
  const zone = words[slot + 2]!;
  const bucket = words[slot] === Hand.bucket ? words[slot + 1]! : 0;
  const count = bucket === 0 ? 1 : words[bucket + COUNT]! - keep;
  if (count <= 0) return;
  const at = bucket === 0 ? slot + 1 : bucket + ITEMS + keep;
  const outside = zoneCache(zone, cpu.number) + OUTSIDE;
  const lock = kegDomain(keg, 0);
  const released = (keg + K.finis.at) >> 1;
  const long = BigInt(count);
  const units = reserveSlot(cpu);
  lockMutex(cpu, lock);
  const limit = Atomics.load(words, zone + LIMIT);
  // straight: from here on they are the callback's
  Atomics.add(longs, released, long);
  words[outside]! -= count;
  if (bucket !== 0) words[bucket + COUNT] = keep;
  else words[slot] = HandKind.none;
  if (counter !== 0) longs[counter >> 1]! += long;
  if (limit !== 0) {
    words[units + 1] = limit;
    words[units + 2] = count;
    words[units] = HandKind.units;
  }
  // end
  unlockMutex(cpu, lock);
  if (mayRun(uma, zone, CallbackBit.releaseItems)) {
    runRelease(uma, zone, words.subarray(at, at + count), count);
  }
  if (limit !== 0) releaseUnits(cpu, limit, count, units);
  giveBack(cpu, units);
}

/** Whether an item that zinit has not seen may be cached: recovery by a thread that cannot release. */
export function mayKeepRaw(uma: Uma, zone: number): boolean {
  const { words } = uma;
  if (!isCacheKeg(uma, words[zone + ZoneRecord.fields.keg.at]!)) return false;
  const hooks = CallbackBit.zinit | CallbackBit.zfini;
  if ((words[zone + ZoneRecord.fields.callbacks.at]! & hooks) !== 0) return false;
  return !canRun(uma, zone, CallbackBit.releaseItems);
}
