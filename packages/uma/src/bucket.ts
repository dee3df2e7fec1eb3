/**
 * Buckets: arrays of item addresses, themselves items of the bucket zones (spec 1.6). Filled from
 * the keg (2.4b), drained back to it (2.10).
 *
 * A bucket is always in exactly one place: a cache, a queue, or one hand slot. The slot's `more`
 * word says how many of its items the zone's zinit has seen; the rest go to the keg without zfini.
 */

import { HandKind, reserveSlot } from '@umbuf/memory';
import { bucketAllocRow } from './bucket-ladder.ts';
import { pushSlot } from './cache-slow.ts';
import { importDomain } from './domain-policy.ts';
import { InternalFlag, M_NOWAIT, M_WAITOK } from './flags.ts';
import { FailureSite, injected } from './inject.ts';
import { kegImport, kegRelease } from './keg.ts';
import { BucketHeader, CallbackBit, Hand, ItemState, ZoneRecord } from './layout.ts';
import { smrPoll, smrWait } from './smr/poll.ts';
import { expireBucket } from './smr/zone-expire.ts';
import { countFailure, countNoBucket, FailureReason } from './statistics/failures.ts';
import { releaseRest, reserveForBucket, zoneLimit } from './limit/reserve.ts';
import type { Uma } from './uma.ts';
import { runInit, runZfini } from './zone-callbacks.ts';
import { zoneCache } from './zone-domain.ts';

const LINK = BucketHeader.fields.link.at;
const COUNT = BucketHeader.fields.count.at;
const ENTRIES = BucketHeader.fields.entries.at;
const SEQ = BucketHeader.fields.seq.at;
const Z = ZoneRecord.fields;

/**
 * An empty bucket for `zone` into the void slot `slot`; false when there is none. `cookie` is the
 * recursion guard: a bucket zone may ask for a bucket once on the way down, not again.
 */
export function allocBucket(uma: Uma, zone: number, slot: number, cookie: number): boolean {
  const { words } = uma;
  let guard = 0;
  let ownRow = -1;
  if ((words[zone + Z.flags.at]! & InternalFlag.BUCKET) !== 0) {
    if ((cookie & InternalFlag.BUCKET) !== 0) return false;
    guard = InternalFlag.BUCKET;
    ownRow = uma.bucketZones.indexOf(zone);
  }
  const row = bucketAllocRow(words[zone + Z.bucketSize.at]!, ownRow);
  const rowZone = uma.bucketZones[row]!;
  const entries = Math.min(uma.bucketRowEntries(row), words[zone + Z.bucketSizeMax.at]!);
  const header = entries | (row << 16);
  const item = uma.operations.alloc(zoneCache(rowZone, uma.cpu.number), M_NOWAIT, guard);
  if (item === 0) {
    countNoBucket(uma, zone);
    return false;
  }
  // straight: bucket zones have no callbacks, so the return of the call above runs into this
  const bucket = item >> 2;
  words[slot + 1] = bucket;
  words[slot + 2] = zone;
  words[slot + 3] = 0;
  words[bucket + LINK] = 0;
  words[bucket + COUNT] = 0;
  words[bucket + ENTRIES] = header;
  words[bucket + SEQ] = 0;
  words[slot] = Hand.bucket;
  // end
  return true;
}

/** Gives the empty bucket in `slot` back to its bucket zone and voids the slot. */
export function freeBucket(uma: Uma, slot: number, cookie: number): void {
  const { words } = uma;
  const row = words[words[slot + 1]! + ENTRIES]! >>> 16;
  const rowZone = uma.bucketZones[row]!;
  const guard = (words[words[slot + 2]! + Z.flags.at]! & InternalFlag.BUCKET) | cookie;
  // straight: from here on the slot holds an item of the bucket zone
  words[slot + 1] = words[slot + 1]! << 2;
  words[slot + 2] = rowZone;
  words[slot + 3] = ItemState.whole;
  words[slot] = Hand.item;
  // end
  pushSlot(uma, zoneCache(rowZone, uma.cpu.number), slot, guard);
}

/**
 * Fills a bucket from the keg into `slot`: the one in `spare` if its row fits, else a new one; with
 * as many items as the zone's limit leaves. False: no unit, no bucket or not one item; `slot` is
 * void. A fill never sleeps, for units, nor in a zinit (defect D11): single items do.
 */
export function fillBucket(
  uma: Uma,
  zone: number,
  cache: number,
  slot: number,
  spare: number,
  flags: number,
  cookie: number,
): boolean {
  const { words, cpu } = uma;
  const size = words[zone + Z.bucketSize.at]!;
  // A plain look first. Stale 0: the keg gives nothing, and the single item's request looks again.
  const limit = words[zone + Z.limit.at] === 0 ? 0 : zoneLimit(uma, zone);
  const units = limit === 0 ? 0 : reserveSlot(cpu);
  const granted = limit === 0 ? size : reserveForBucket(uma, limit, size, units);
  if (granted === 0 || !bucketForFill(uma, zone, slot, spare, size, cookie)) {
    if (units !== 0) releaseRest(uma, units);
    return false;
  }
  const bucket = words[slot + 1]!;
  const max = Math.min(granted, words[bucket + ENTRIES]! & 0xffff);
  if (!injected(uma, FailureSite.fillItems)) {
    kegImport(uma, words[zone + Z.keg.at]!, slot, units, max, importDomain(uma, zone), flags);
  }
  if (units !== 0) releaseRest(uma, units);
  if ((words[zone + Z.callbacks.at]! & CallbackBit.zinit) !== 0) {
    initItems(uma, zone, slot, (flags & ~M_WAITOK) | M_NOWAIT);
  } else {
    words[slot + 3] = words[bucket + COUNT]!;
  }
  if (words[bucket + COUNT]! > 0) return true;
  countFailure(uma, cache, uma.why);
  freeBucket(uma, slot, cookie);
  return false;
}

/** The bucket in `spare` if its row fits, else a new one, into `slot`; false when there is none. */
function bucketForFill(
  uma: Uma,
  zone: number,
  slot: number,
  spare: number,
  size: number,
  cookie: number,
): boolean {
  const { words } = uma;
  if (words[spare] !== HandKind.none && spareFits(uma, zone, spare, size)) {
    // straight
    words[slot + 1] = words[spare + 1]!;
    words[slot + 2] = zone;
    words[slot + 3] = 0;
    words[slot] = Hand.bucket;
    words[spare] = HandKind.none;
    // end
    return true;
  }
  return !injected(uma, FailureSite.fillBucket) && allocBucket(uma, zone, slot, cookie);
}

/** Whether the emptied bucket in `spare` is of the row that a new one would come from. */
function spareFits(uma: Uma, zone: number, spare: number, size: number): boolean {
  const { words } = uma;
  const header = words[words[spare + 1]! + ENTRIES]!;
  const ownRow = uma.bucketZones.indexOf(zone);
  const row = bucketAllocRow(size, ownRow);
  return (
    header >>> 16 === row &&
    (header & 0xffff) === Math.min(uma.bucketRowEntries(row), words[zone + Z.bucketSizeMax.at]!)
  );
}

/**
 * zinit for every item of the bucket; on the first refusal the rest goes back to the keg. On a
 * throw too, by the repair of the slot: `more` tells which items zinit has seen.
 */
function initItems(uma: Uma, zone: number, slot: number, flags: number): void {
  const { words } = uma;
  const bucket = words[slot + 1]!;
  const count = words[bucket + COUNT]!;
  for (let index = 0; index < count; index++) {
    const item = words[bucket + BucketHeader.words + index]!;
    if (injected(uma, FailureSite.fillZinit) || runInit(uma, zone, 'zinit', item, flags)) {
      uma.why = FailureReason.zinit;
      kegRelease(uma, words[zone + Z.keg.at]!, slot, index);
      return;
    }
    words[slot + 3] = index + 1;
  }
}

/**
 * `bucket_drain`: of a tagged one, the wait for readers and the dtors; then zone fini for every
 * item, then all of them back to the keg. The bucket stays in the slot, empty. Callbacks run here,
 * so no lock may be held.
 */
export function drainBucket(uma: Uma, slot: number): void {
  const { words } = uma;
  const zone = words[slot + 2]!;
  const bucket = words[slot + 1]!;
  if (words[bucket + SEQ] !== 0) {
    const smr = words[zone + Z.smr.at]!;
    // Taken for reclaim its goal is reached: then no wait, which a section would not allow.
    if (!smrPoll(uma.cpu, smr, words[bucket + SEQ]!)) smrWait(uma.cpu, smr, words[bucket + SEQ]!);
    expireBucket(uma, slot);
  }
  if ((words[zone + Z.callbacks.at]! & CallbackBit.zfini) !== 0) {
    // From the last item down; `more` follows, so a death here runs no zfini twice.
    for (let seen = Math.min(words[slot + 3]!, words[bucket + COUNT]!); seen > 0; seen--) {
      words[slot + 3] = seen - 1;
      runZfini(uma, zone, words[bucket + BucketHeader.words + seen - 1]!);
    }
  }
  kegRelease(uma, words[zone + Z.keg.at]!, slot, 0);
}
