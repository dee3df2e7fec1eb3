/**
 * Reclaim (spec 2.10, 2.12): bucket caches down to the keg, per-CPU caches of any CPU into the
 * bucket cache, free slabs back to the page pools. Callbacks run here with no lock held; a thread
 * that has not opened a zone with callbacks leaves its buckets where they are and counts it.
 */

import {
  claimedState,
  type Cpu,
  CpuRecord,
  drainCpu,
  enterCpu,
  HandKind,
  HAND_SLOT_WORDS,
  lockMutex,
  reserveSlot,
  unlockMutex,
} from '@umbuf/memory';
import { bucketSizeAfterReclaim, bucketSizeBeforeCpuDrain } from './bucket-ladder.ts';
import { drainBucket, freeBucket } from './bucket.ts';
import { InternalFlag, ZoneFlag } from './flags.ts';
import { fail, giveBack, handHeight } from './hands.ts';
import { CallbackBit, KegRecord, ZoneDomain, ZoneRecord } from './layout.ts';
import { drainSlabs } from './slab.ts';
import { type Uma, umaOf } from './uma.ts';
import { updateWorkingSet } from './working-set.ts';
import { mayRun } from './zone-callbacks.ts';
import { fetchForReclaim, moveCache, zoneDomain } from './zone-domain.ts';
import { isPrimary } from './zone-statistics.ts';

const Z = ZoneRecord.fields;

/**
 * - trim: free cached buckets above the working set
 * - drain: empty the bucket caches; per-CPU caches untouched
 * - drain-cpu: flush every CPU's caches first, then drain
 */
export type ReclaimRequest = 'trim' | 'drain' | 'drain-cpu';

export interface ReclaimResult {
  /** Running CPUs that did not answer within the bound; their caches are still full. */
  readonly unanswered: readonly number[];
  /** Slabs given back to the page pools. */
  readonly slabs: number;
  /** Zones left alone because this thread has not opened them and they have callbacks. */
  readonly needOpener: readonly string[];
}

/** How long `drain-cpu` waits for a running CPU, milliseconds. */
const ANSWER_MS = 50;

/** `uma_zone_reclaim` for one zone, `uma_reclaim` for all of them when `zone` is absent. */
export function reclaim(
  uma: Uma,
  request: ReclaimRequest,
  zone?: number,
  answerMs: number = ANSWER_MS,
): ReclaimResult {
  const { cpu, words } = uma;
  if (words[cpu.entered] === 0) enterCpu(cpu);
  const pass: Pass = { unanswered: new Set(), needOpener: new Set() };
  const height = handHeight(cpu);
  let slabs = 0;
  try {
    if (zone !== undefined) {
      slabs = reclaimOne(uma, zone, request, answerMs, pass);
    } else {
      // Highest numbers first: the internal zones have the lowest, and gain items from the others.
      for (let id = uma.zoneCount() - 1; id >= 0; id--) {
        const record = uma.zoneAt(id);
        if ((words[record + Z.flags.at]! & ZoneFlag.UNMANAGED) !== 0 && request === 'trim')
          continue;
        slabs += reclaimOne(uma, record, request, answerMs, pass);
      }
      slabs += drainInternal(uma, request, answerMs, pass);
    }
  } catch (error) {
    fail(uma, height, error);
  }
  uma.rethrow();
  return { unanswered: [...pass.unanswered], slabs, needOpener: [...pass.needOpener] };
}

/** What one call collects. */
interface Pass {
  readonly unanswered: Set<number>;
  readonly needOpener: Set<string>;
}

/** Rounds over the internal zones: they give items to each other. */
const INTERNAL_ROUNDS = 8;

/**
 * Slab headers, item tables and buckets that the other zones gave back (2.12). They are drained
 * whatever the request was, until a round frees no slab: a bucket that holds buckets, once
 * drained, is itself an item of a bucket zone.
 */
function drainInternal(uma: Uma, request: ReclaimRequest, answerMs: number, pass: Pass): number {
  const own = request === 'drain-cpu' ? 'drain-cpu' : 'drain';
  let slabs = 0;
  for (let round = 0; round < INTERNAL_ROUNDS; round++) {
    let freed = 0;
    for (const zones of [uma.bucketZones, uma.tableZones, uma.slabZones]) {
      for (const zone of zones) freed += reclaimOne(uma, zone, own, answerMs, pass);
    }
    slabs += freed;
    if (freed === 0) break;
  }
  return slabs;
}

function reclaimOne(
  uma: Uma,
  zone: number,
  request: ReclaimRequest,
  answerMs: number,
  pass: Pass,
): number {
  if (request === 'drain-cpu') drainCpus(uma, zone, answerMs, pass.unanswered);
  return reclaimZone(uma, zone, request, pass.needOpener);
}

/** Flushes the zone's cache on every CPU, whatever that CPU does. */
function drainCpus(uma: Uma, zone: number, answerMs: number, unanswered: Set<number>): void {
  const { words, cpu, arena } = uma;
  const before = words[zone + Z.bucketSize.at]!;
  const least = words[zone + Z.bucketSizeMin.at]!;
  Atomics.store(words, zone + Z.bucketSize.at, bucketSizeBeforeCpuDrain(before, least));
  const claim = (own: Cpu, target: number, seen: number): boolean =>
    claimCache(umaOf(own), zone, target, seen);
  for (let target = 0; target < arena.cpus; target++) {
    if (target === cpu.number) flushOwn(uma, zone);
    // One that did not answer for one zone is not waited for again: its request covers them all.
    else if (unanswered.has(target)) continue;
    else if (drainCpu(cpu, target, claim, answerMs) === 'unanswered') unanswered.add(target);
  }
}

/** One zone's cache of this CPU to the queue. */
export function flushOwn(uma: Uma, zone: number): void {
  moveAndFree(uma, zone, uma.cpu.number, -1, 0, 0);
}

/** The claim of `drainCpu`: see `moveCache`. */
function claimCache(uma: Uma, zone: number, target: number, seen: number): boolean {
  const state = uma.arena.cpuTable + target * CpuRecord.words;
  const won = moveAndFree(uma, zone, target, seen, state, claimedState(seen, uma.cpu.number));
  if (won) uma.longs[(uma.cpu.base + CpuRecord.fields.claims.at) >> 1]! += 1n;
  return won;
}

/** `moveCache` with three slots of our own, then the empty buckets back to their zones. */
export function moveAndFree(
  uma: Uma,
  zone: number,
  target: number,
  seen: number,
  state: number,
  claimed: number,
): boolean {
  const { words, cpu } = uma;
  const slots = reserveSlot(cpu);
  reserveSlot(cpu);
  reserveSlot(cpu);
  const won = moveCache(uma, zone, target, slots, state, seen, claimed);
  for (let index = 0; index < 3; index++) {
    const slot = slots + index * HAND_SLOT_WORDS;
    // With the guard: a bucket given back in a drain takes no new bucket to be cached in.
    if (words[slot] !== HandKind.none) freeBucket(uma, slot, InternalFlag.BUCKET);
  }
  giveBack(cpu, slots);
  return won;
}

/** The queue, then the free slabs. Returns slabs destroyed. */
function reclaimZone(
  uma: Uma,
  zone: number,
  request: ReclaimRequest,
  needOpener: Set<string>,
): number {
  const { words, arena } = uma;
  const size = words[zone + Z.bucketSize.at]!;
  const least = words[zone + Z.bucketSizeMin.at]!;
  Atomics.store(words, zone + Z.bucketSize.at, bucketSizeAfterReclaim(size, least));
  const zoneMay = mayRun(uma, zone, CallbackBit.zfini);
  if (!zoneMay) needOpener.add(uma.zoneName(zone));
  let slabs = 0;
  for (let domain = 0; domain < arena.domains; domain++) {
    if (zoneMay) reclaimBuckets(uma, zone, domain, request);
    const keg = words[zone + Z.keg.at]!;
    const nofree = (words[keg + KegRecord.fields.flags.at]! & ZoneFlag.NOFREE) !== 0;
    if (nofree || !isPrimary(uma, zone)) continue;
    if (mayRun(uma, zone, CallbackBit.fini)) slabs += drainSlabs(uma, keg, domain, 0);
    else needOpener.add(uma.zoneName(zone));
  }
  return slabs;
}

function reclaimBuckets(uma: Uma, zone: number, domain: number, request: ReclaimRequest): void {
  const { words, cpu } = uma;
  const record = zoneDomain(uma, zone, domain);
  lockMutex(cpu, record);
  updateWorkingSet(words, record + ZoneDomain.fields.nitems.at);
  const keep = request === 'trim' ? words[record + ZoneDomain.fields.wss.at]! : 0;
  unlockMutex(cpu, record);
  // Ends: each round frees a bucket; others refill only by their own progress.
  for (;;) {
    const slot = reserveSlot(cpu);
    const took = fetchForReclaim(uma, zone, domain, keep, slot);
    if (took) {
      drainBucket(uma, slot);
      freeBucket(uma, slot, InternalFlag.BUCKET);
    }
    giveBack(cpu, slot);
    if (!took) return;
  }
}
