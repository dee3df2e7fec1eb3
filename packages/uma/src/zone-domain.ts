/**
 * The zone domain: a zone's queue of full buckets in one NUMA domain, with the working-set
 * estimate (spec 1.8, 2.4a, 2.10). What CPUs trade with each other passes through here.
 *
 * Every change of queue and counts is one straight line under `uzd_lock` together with the hand
 * slot it fills or clears; the code is inline because a helper would be a point of death. A call of
 * `Atomics` is one as well, just before its effect (measured: test/death/straight-line.guard), so the
 * lines are plain, but for the claim that begins one. `imax` is moved outside the lines, on the side
 * where imin <= bimin <= nitems <= imax holds in between; a death there leaves a peak that was never
 * reached, which decays. working-set.ts has the end of a period.
 */

import { HandKind, lockMutex, unlockMutex } from '@umbuf/memory';
import { BUCKET_MAX as BUCKET_ENTRIES_MAX } from './bucket-ladder.ts';
import { BucketHeader, CacheRecord, Hand, ZoneDomain, ZoneRecord } from './layout.ts';
import { expireBucket, mayTake } from './smr/zone-expire.ts';
import type { Uma } from './uma.ts';

const HEAD = ZoneDomain.fields.head.at;
const TAIL = ZoneDomain.fields.tail.at;
const BUCKETS = ZoneDomain.fields.buckets.at;
const NITEMS = ZoneDomain.fields.nitems.at;
const IMAX = ZoneDomain.fields.imax.at;
const IMIN = ZoneDomain.fields.imin.at;
const BIMIN = ZoneDomain.fields.bimin.at;
const WSS = ZoneDomain.fields.wss.at;
const LIMIN = ZoneDomain.fields.limin.at;
const LIMIN_FRACTION = ZoneDomain.fields.liminFraction.at;
const TIMIN = ZoneDomain.fields.timin.at;
const SEQ = ZoneDomain.fields.seq.at;

const LINK = BucketHeader.fields.link.at;
const COUNT = BucketHeader.fields.count.at;
const TAG = BucketHeader.fields.seq.at;

const C = CacheRecord.fields;
const ALLOC_BUCKET = C.allocBucket.at;
const ALLOC_COUNT = C.allocCount.at;
const ALLOC_ENTRIES = C.allocEntries.at;
const FREE_BUCKET = C.freeBucket.at;
const FREE_COUNT = C.freeCount.at;
const FREE_ENTRIES = C.freeEntries.at;
const CROSS_BUCKET = C.crossBucket.at;
const CROSS_COUNT = C.crossCount.at;
const CROSS_ENTRIES = C.crossEntries.at;

const BUCKET_SIZE = ZoneRecord.fields.bucketSize.at;
const BUCKET_SIZE_MAX = ZoneRecord.fields.bucketSizeMax.at;
const BUCKET_MAX = ZoneRecord.fields.bucketMax.at;
const SMR = ZoneRecord.fields.smr.at;

/** Items that the alloc and free buckets of a cache can hold. */
const CACHE_MAX: number = 2 * BUCKET_ENTRIES_MAX;

/** Word index of a zone's domain record. */
export function zoneDomain(uma: Pick<Uma, 'arena'>, zone: number, domain: number): number {
  return zone + ZoneRecord.words + uma.arena.cpus * CacheRecord.words + domain * ZoneDomain.words;
}

/** Word index of a zone's cache for one CPU. */
export function zoneCache(zone: number, cpu: number): number {
  return zone + ZoneRecord.words + cpu * CacheRecord.words;
}

/** The domain that a CPU's own memory is in. */
export function cpuDomain(uma: Uma, cpu: number): number {
  return cpu % uma.arena.domains;
}

/** Locks a zone domain; contention makes the zone's buckets grow (1.7). */
export function lockZoneDomain(uma: Uma, zone: number, record: number): void {
  if (!lockMutex(uma.cpu, record)) return;
  const { words } = uma;
  const size = words[zone + BUCKET_SIZE]!;
  // Approximate on purpose: two CPUs may store the same value, or one step may be lost.
  if (size < words[zone + BUCKET_SIZE_MAX]!) Atomics.store(words, zone + BUCKET_SIZE, size + 1);
}

/**
 * Takes the head bucket into hand slot `slot` (kind bucket). False: nothing there, the slot is
 * void. For an allocation; `takeForReclaim` is the other one.
 */
export function fetchBucket(uma: Uma, zone: number, domain: number, slot: number): boolean {
  const { words } = uma;
  const record = zoneDomain(uma, zone, domain);
  // Unlocked look: stale 0 costs a trip to the keg, stale non-zero a look under the lock.
  if (Atomics.load(words, record + NITEMS) === 0) return false;
  const smr = words[zone + SMR]!;
  if (smr !== 0 && !mayTake(uma, zone, Atomics.load(words, record + SEQ))) return false;
  lockZoneDomain(uma, zone, record);
  let bucket = words[record + HEAD]!;
  if (smr !== 0 && bucket !== 0 && !mayTake(uma, zone, words[bucket + TAG]!)) bucket = 0;
  if (bucket !== 0) {
    const count = words[bucket + COUNT]!;
    const nitems = words[record + NITEMS]! - count;
    // straight
    words[record + NITEMS] = nitems;
    words[slot + 1] = bucket;
    words[slot + 2] = zone;
    words[slot + 3] = count;
    words[slot] = Hand.bucket;
    const next = words[bucket + LINK]!;
    words[record + HEAD] = next;
    if (next === 0) words[record + TAIL] = 0;
    words[record + SEQ] = next === 0 ? 0 : words[next + TAG]!;
    words[bucket + LINK] = 0;
    words[record + BUCKETS]! -= 1;
    if (words[record + BIMIN]! > nitems) {
      if (words[record + IMIN]! > nitems) words[record + IMIN] = nitems;
      words[record + BIMIN] = nitems;
    }
    // end
  }
  unlockMutex(uma.cpu, record);
  if (smr !== 0 && bucket !== 0 && words[bucket + TAG] !== 0) expireBucket(uma, slot);
  return bucket !== 0;
}

/**
 * Takes the head bucket for reclaim (the working set shrinks with it); false when there is none, or
 * readers may still see its items. A tag stays on the bucket: `drainBucket` sees to it.
 */
export function fetchForReclaim(
  uma: Uma,
  zone: number,
  domain: number,
  keep: number,
  slot: number,
): boolean {
  const { words } = uma;
  const record = zoneDomain(uma, zone, domain);
  lockMutex(uma.cpu, record);
  const bucket = words[record + HEAD]!;
  const took =
    bucket !== 0 &&
    words[record + NITEMS]! >= keep + words[bucket + COUNT]! &&
    (words[zone + SMR] === 0 || mayTake(uma, zone, words[bucket + TAG]!));
  if (took) {
    const count = words[bucket + COUNT]!;
    const nitems = words[record + NITEMS]! - count;
    // straight
    words[record + NITEMS] = nitems;
    words[slot + 1] = bucket;
    words[slot + 2] = zone;
    words[slot + 3] = count;
    words[slot] = Hand.bucket;
    const next = words[bucket + LINK]!;
    words[record + HEAD] = next;
    if (next === 0) words[record + TAIL] = 0;
    words[record + SEQ] = next === 0 ? 0 : words[next + TAG]!;
    words[bucket + LINK] = 0;
    words[record + BUCKETS]! -= 1;
    const bimin = words[record + BIMIN]!;
    const imin = words[record + IMIN]!;
    const shared = bimin < count ? bimin : count;
    words[record + IMIN] = imin - (imin < count ? imin : count);
    words[record + BIMIN] = bimin - shared;
    const limin = words[record + LIMIN]!;
    words[record + LIMIN] = limin >= count ? limin - count : 0;
    if (limin < count) {
      words[record + LIMIN_FRACTION] = 0;
      words[record + TIMIN] = 0;
    }
    // end
    Atomics.sub(words, record + IMAX, shared);
  }
  unlockMutex(uma.cpu, record);
  return took;
}

/**
 * Puts the non-empty bucket in `slot` on the queue and voids the slot. `workingSet`: it came from
 * a free, not from a drain or a lost race. False when the queue is at `uz_bucket_max` (and not
 * `always`): the slot still holds the bucket, which the caller drains to the keg.
 */
export function putBucket(
  uma: Uma,
  zone: number,
  domain: number,
  slot: number,
  workingSet: boolean,
  always: boolean = false,
): boolean {
  const { words } = uma;
  const record = zoneDomain(uma, zone, domain);
  const bucket = words[slot + 1]!;
  lockZoneDomain(uma, zone, record);
  const count = words[bucket + COUNT]!;
  const full = !always && words[record + NITEMS]! + count >= words[zone + BUCKET_MAX]!;
  if (!full) {
    const nitems = words[record + NITEMS]! + count;
    const imax = Atomics.load(words, record + IMAX);
    // Others may raise imax without the lock, only ever upward: add what is missing.
    if (!workingSet) Atomics.add(words, record + IMAX, count);
    else if (nitems > imax) Atomics.add(words, record + IMAX, nitems - imax);
    // straight
    words[record + NITEMS] = nitems;
    if (workingSet) {
      if (nitems > imax) {
        const burst = imax - words[record + BIMIN]!;
        if (burst > words[record + WSS]!) words[record + WSS] = burst;
        words[record + BIMIN] = nitems;
      }
    } else {
      words[record + BIMIN]! += count;
      words[record + IMIN]! += count;
      words[record + LIMIN]! += count;
    }
    const head = words[record + HEAD]!;
    const tag = words[bucket + TAG]!;
    if (tag === 0 || head === 0) {
      words[bucket + LINK] = head;
      words[record + HEAD] = bucket;
      if (head === 0) words[record + TAIL] = bucket;
      words[record + SEQ] = tag;
    } else {
      // Tagged ones wait at the tail, so that few polls are made for them.
      words[bucket + LINK] = 0;
      words[words[record + TAIL]! + LINK] = bucket;
      words[record + TAIL] = bucket;
    }
    words[record + BUCKETS]! += 1;
    words[slot] = HandKind.none;
    // end
  }
  unlockMutex(uma.cpu, record);
  return !full;
}

/** Freshly imported items go straight into a CPU cache: the peak rises without the lock. */
export function raisePeak(uma: Uma, zone: number, domain: number, count: number): void {
  Atomics.add(uma.words, zoneDomain(uma, zone, domain) + IMAX, count);
}

/**
 * Moves what the cache of CPU `target` holds to the queue of its domain, under the domain's lock, in
 * one line with the claim: non-empty buckets onto the queue, empty ones into the three void hand
 * slots from `slots`, and the cross bucket into the third in any case: it belongs to other domains. With `seen` (the idle state word of `target`) it claims that CPU for the
 * length of the line and returns false when it lost; with `seen` -1 the caller owns the cache
 * already (its own, or a dead CPU's). Never counts as working set.
 *
 * The free and cross buckets of an SMR zone stay where they are: readers may see their items, and a
 * CPU without a free bucket may have to wait for readers at each free. With `everything` (the CPU
 * goes away) they too go into the slots, as `Hand.visible`.
 */
export function moveCache(
  uma: Uma,
  zone: number,
  target: number,
  slots: number,
  state: number,
  seen: number,
  claimed: number,
  everything: boolean = false,
): boolean {
  const { words } = uma;
  const plain = words[zone + SMR] === 0;
  const others = plain || everything;
  const cache = zoneCache(zone, target);
  const record = zoneDomain(uma, zone, cpuDomain(uma, target));
  let won = true;
  let moved = 0;
  lockMutex(uma.cpu, record);
  // Room under the peak for all that a cache can hold, before its counts can be read; what was not
  // needed is taken back. A death between leaves the peak too high, which breaks no bound.
  Atomics.add(words, record + IMAX, CACHE_MAX);
  // straight
  if (seen !== -1 && Atomics.compareExchange(words, state, seen, claimed) !== seen) {
    won = false;
  } else {
    moved = words[cache + ALLOC_COUNT]!;
    if (plain) moved += words[cache + FREE_COUNT]!;
    words[record + NITEMS]! += moved;
    words[record + BIMIN]! += moved;
    words[record + IMIN]! += moved;
    words[record + LIMIN]! += moved;
    const first = words[cache + ALLOC_BUCKET]!;
    if (first !== 0) {
      const count = words[cache + ALLOC_COUNT]!;
      words[first + COUNT] = count;
      if (count > 0) {
        const head = words[record + HEAD]!;
        words[first + LINK] = head;
        words[record + HEAD] = first;
        if (head === 0) words[record + TAIL] = first;
        words[record + SEQ] = 0;
        words[record + BUCKETS]! += 1;
      } else {
        words[slots + 1] = first;
        words[slots + 2] = zone;
        words[slots + 3] = 0;
        words[slots] = Hand.bucket;
      }
      words[cache + ALLOC_BUCKET] = 0;
      words[cache + ALLOC_COUNT] = 0;
      words[cache + ALLOC_ENTRIES] = 0;
    }
    const second = words[cache + FREE_BUCKET]!;
    if (second !== 0 && others) {
      const count = words[cache + FREE_COUNT]!;
      words[second + COUNT] = count;
      if (count > 0 && plain) {
        const head = words[record + HEAD]!;
        words[second + LINK] = head;
        words[record + HEAD] = second;
        if (head === 0) words[record + TAIL] = second;
        words[record + BUCKETS]! += 1;
      } else {
        words[slots + 5] = second;
        words[slots + 6] = zone;
        words[slots + 7] = count;
        words[slots + 4] = count > 0 ? Hand.visible : Hand.bucket;
      }
      words[cache + FREE_BUCKET] = 0;
      words[cache + FREE_COUNT] = 0;
      words[cache + FREE_ENTRIES] = 0;
    }
    const third = words[cache + CROSS_BUCKET]!;
    if (third !== 0 && others) {
      const count = words[cache + CROSS_COUNT]!;
      words[third + COUNT] = count;
      words[slots + 9] = third;
      words[slots + 10] = zone;
      words[slots + 11] = count;
      words[slots + 8] = plain || count === 0 ? Hand.bucket : Hand.visible;
      words[cache + CROSS_BUCKET] = 0;
      words[cache + CROSS_COUNT] = 0;
      words[cache + CROSS_ENTRIES] = 0;
    }
  }
  // end
  if (won && seen !== -1) {
    // Who dies here or before the notify leaves the CPU claimed, or its thread asleep: recovery
    // gives claims back, and `repairCaches` wakes everybody.
    Atomics.store(words, state, seen);
    Atomics.notify(words, state);
  }
  Atomics.sub(words, record + IMAX, CACHE_MAX - moved);
  unlockMutex(uma.cpu, record);
  return won;
}
