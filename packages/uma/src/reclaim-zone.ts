/**
 * The shared half of reclaim, for one zone: buckets of its queues down to the keg, then free slabs
 * back to the page pools (`zone_reclaim`, `bucket_cache_reclaim`, `keg_drain`; spec 2.10, 2.12). Per-CPU
 * caches are drain-cpus.ts. Callbacks run here with no lock held; a thread that has not opened a zone
 * with callbacks leaves its buckets where they are, and a note for a CPU that has.
 *
 * Several CPUs may reclaim one zone at once: each bucket and each slab is taken by one of them.
 * `reclaimers` counts them for whoever destroys the zone; a hand slot takes a dead one out again.
 */

import { lockMutex, reserveSlot, unlockMutex } from '@umbuf/memory';
import { bucketSizeAfterReclaim } from './bucket-ladder.ts';
import { drainBucket, freeBucket } from './bucket.ts';
import { takeCross } from './cross.ts';
import { InternalFlag, ZoneFlag } from './flags.ts';
import { ANY_DOMAIN } from './domain-policy.ts';
import { giveBack } from './hands.ts';
import { CallbackBit, KegRecord, ZoneDomain, ZoneRecord } from './layout.ts';
import { drainSlabs } from './slab.ts';
import type { Uma } from './uma.ts';
import { pinZone, unpinZone } from './zone-life.ts';
import { idleTrimTarget, updateWorkingSet } from './working-set.ts';
import { canRun, mayRun } from './zone-callbacks.ts';
import { fetchForReclaim, zoneDomain } from './zone-domain.ts';

const Z = ZoneRecord.fields;
const K = KegRecord.fields;
const ESTIMATE = ZoneDomain.fields.nitems.at;

export { ANY_DOMAIN };

/** What is done to a zone's queues; `idle` is the voluntary trim at the end of a period. */
export type ZoneRequest = 'trim' | 'drain' | 'idle';

/** Codes of `reclaimWanted`. The greater asks for no less than the smaller, save for the period. */
const WANTED: readonly ZoneRequest[] = ['idle', 'trim', 'drain'];

/** What one reclaim collects. */
export interface Pass {
  /** Running CPUs that did not answer. */
  readonly unanswered: Set<number>;
  /** Names of zones with callbacks that this thread has not opened. */
  readonly needOpener: Set<string>;
  /** Slabs destroyed. */
  slabs: number;
  /** Items that went from the queues to the kegs. */
  items: number;
}

export function emptyPass(): Pass {
  return { unanswered: new Set(), needOpener: new Set(), slabs: 0, items: 0 };
}

/**
 * Reclaims one zone in `domain`, or in all with ANY_DOMAIN: a ROUNDROBIN zone empties the queues of
 * all in any case, and only the keg honours the domain. `shrink`: the buckets become one smaller (1.7).
 */
export function reclaimZone(
  uma: Uma,
  zone: number,
  request: ZoneRequest,
  domain: number,
  pass: Pass,
  shrink: boolean = true,
): void {
  const slot = pinZone(uma, zone);
  if (slot === 0) return;
  if (shrink && request !== 'idle') shrinkBuckets(uma, zone);
  const mayEmpty = mayRun(uma, zone, emptyingCallbacks(uma, zone));
  const everywhere = domain === ANY_DOMAIN || isRoundRobin(uma, zone);
  for (let each = 0; each < uma.arena.domains; each++) {
    const before = pass.items;
    if (everywhere || each === domain) reclaimQueue(uma, zone, each, request, mayEmpty, pass);
    // A voluntary trim looks at the keg where it has just freed something.
    const emptied = request !== 'idle' || pass.items > before;
    if (emptied && (domain === ANY_DOMAIN || each === domain)) {
      reclaimKeg(uma, zone, each, request, pass);
    }
  }
  if (!mayEmpty) leaveForOpener(uma, zone, request, pass);
  unpinZone(uma, slot);
  giveBack(uma.cpu, slot);
}

/** Reclaims of the zone that are under way. */
export function reclaimersOf(uma: Uma, zone: number): number {
  return Atomics.load(uma.words, zone + Z.reclaimers.at);
}

/** What runs when a bucket is taken: the dtor too in an SMR zone, where it is not due before. */
function emptyingCallbacks(uma: Uma, zone: number): number {
  return uma.words[zone + Z.smr.at] === 0
    ? CallbackBit.zfini
    : CallbackBit.zfini | CallbackBit.dtor;
}

/** Approximate on purpose, as in the kernel: a step may be lost to another CPU's. */
function shrinkBuckets(uma: Uma, zone: number): void {
  const { words } = uma;
  const size = words[zone + Z.bucketSize.at]!;
  const next = bucketSizeAfterReclaim(size, words[zone + Z.bucketSizeMin.at]!);
  if (next !== size) Atomics.store(words, zone + Z.bucketSize.at, next);
}

function isRoundRobin(uma: Uma, zone: number): boolean {
  return (uma.words[zone + Z.flags.at]! & ZoneFlag.ROUNDROBIN) !== 0;
}

/**
 * `bucket_cache_reclaim_domain`: the end of a period for the estimate, then buckets from the head of
 * the queue as long as the target is not passed. Without `mayEmpty` the estimate only.
 */
function reclaimQueue(
  uma: Uma,
  zone: number,
  domain: number,
  request: ZoneRequest,
  mayEmpty: boolean,
  pass: Pass,
): void {
  const { words, cpu } = uma;
  const record = zoneDomain(uma, zone, domain);
  if (mayEmpty) reclaimCross(uma, zone, domain, request, pass);
  lockMutex(cpu, record);
  updateWorkingSet(words, record + ESTIMATE);
  const keep =
    request === 'drain'
      ? 0
      : request === 'trim'
        ? words[record + ZoneDomain.fields.wss.at]!
        : idleTrimTarget(words, record + ESTIMATE);
  unlockMutex(cpu, record);
  if (!mayEmpty) return;
  // Ends: each round frees a bucket; others refill only by their own progress.
  for (;;) {
    const slot = reserveSlot(cpu);
    const took = fetchForReclaim(uma, zone, domain, keep, slot);
    if (took) {
      pass.items += words[slot + 3]!;
      drainBucket(uma, slot);
      freeBucket(uma, slot, InternalFlag.BUCKET);
    }
    giveBack(cpu, slot);
    if (!took) return;
  }
}

/**
 * The domain's partial bucket of items that other domains' CPUs freed: not part of the queue nor of
 * its estimate. A voluntary trim does not look at the keg for it.
 */
function reclaimCross(
  uma: Uma,
  zone: number,
  domain: number,
  request: ZoneRequest,
  pass: Pass,
): void {
  const { words, cpu } = uma;
  const slot = reserveSlot(cpu);
  if (takeCross(uma, zone, domain, slot)) {
    if (request !== 'idle') pass.items += words[slot + 3]!;
    drainBucket(uma, slot);
    freeBucket(uma, slot, InternalFlag.BUCKET);
  }
  giveBack(cpu, slot);
}

/** `keg_drain`: not for NOFREE kegs, nor for zones without a keg. */
function reclaimKeg(
  uma: Uma,
  zone: number,
  domain: number,
  request: ZoneRequest,
  pass: Pass,
): void {
  const { words } = uma;
  const keg = words[zone + Z.keg.at]!;
  if (keg === 0 || (words[keg + K.flags.at]! & ZoneFlag.NOFREE) !== 0) return;
  const primary = words[keg + K.zone.at]!;
  if (mayRun(uma, primary, CallbackBit.fini)) pass.slabs += drainSlabs(uma, keg, domain);
  else leaveForOpener(uma, primary, request, pass);
}

// Zones that this thread has not opened.

function leaveForOpener(uma: Uma, zone: number, request: ZoneRequest, pass: Pass): void {
  pass.needOpener.add(uma.zoneName(zone));
  noteForOpener(uma, zone, request);
}

/** A note for whichever opener comes to a slow path of the zone next: `serveReclaim`. */
export function noteForOpener(uma: Uma, zone: number, request: ZoneRequest): void {
  const { words } = uma;
  const wanted = zone + Z.reclaimWanted.at;
  const code = WANTED.indexOf(request) + 1;
  const seen = Atomics.load(words, wanted);
  // Lost to another request or to the opener that takes it: either is as good.
  if (seen < code) Atomics.compareExchange(words, wanted, seen, code);
}

/**
 * Does what a CPU without the zone's callbacks had to leave undone, if this thread has them. Called at
 * slow paths with nothing in hand that a callback may not meet.
 */
export function serveReclaim(uma: Uma, zone: number): void {
  const { words } = uma;
  const wanted = zone + Z.reclaimWanted.at;
  // A plain look first: stale 0 costs a slow path's delay, stale non-zero the exchange.
  if (
    words[wanted] === 0 ||
    !canRun(uma, zone, CallbackBit.zfini | CallbackBit.fini | CallbackBit.dtor)
  )
    return;
  const code = Atomics.exchange(words, wanted, 0);
  if (code !== 0) reclaimZone(uma, zone, WANTED[code - 1]!, ANY_DOMAIN, emptyPass());
}
