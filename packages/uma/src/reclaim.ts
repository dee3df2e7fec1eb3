/**
 * Reclaim on request: `uma_reclaim`, `uma_reclaim_domain`, `uma_zone_reclaim`,
 * `uma_zone_reclaim_domain` (spec 2.12). What happens to one zone's queues and keg is in
 * reclaim-zone.ts, what happens to the per-CPU caches in drain-cpus.ts; the trim that nobody asks for is
 * in voluntary-trim.ts, the one that a shortage of pages asks for in low-memory.ts.
 */

import { ArgumentError, enterCpu, requireInteger } from '@umbuf/memory';
import { bucketSizeBeforeCpuDrain } from './bucket-ladder.ts';
import { drainCpus, flushOwn } from './drain-cpus.ts';
import { InternalFlag, ZoneFlag } from './flags.ts';
import { fail, handHeight } from './hands.ts';
import { ZoneRecord } from './layout.ts';
import { updateBucketDisable } from './page-shortage.ts';
import { ANY_DOMAIN, emptyPass, type Pass, reclaimZone } from './reclaim-zone.ts';
import type { Uma } from './uma.ts';

const Z = ZoneRecord.fields;

/**
 * - trim (UMA_RECLAIM_TRIM): free cached buckets above the working set
 * - drain (UMA_RECLAIM_DRAIN): empty the bucket caches; per-CPU caches untouched
 * - drain-cpu (UMA_RECLAIM_DRAIN_CPU): flush every CPU's caches first, then drain
 */
export type ReclaimRequest = 'trim' | 'drain' | 'drain-cpu';

export interface ReclaimResult {
  /** Running CPUs that did not answer within the bound; their caches are still full. */
  readonly unanswered: readonly number[];
  /** Slabs given back to the page pools. */
  readonly slabs: number;
  /** Items that left the queues for the kegs. */
  readonly items: number;
  /** Zones left alone because this thread has not opened them and they have callbacks. */
  readonly needOpener: readonly string[];
}

/** How long `drain-cpu` waits for a running CPU, milliseconds. */
export const ANSWER_MS = 50;

/**
 * Reclaims `zone` (`uma_zone_reclaim`), or all zones when it is absent (`uma_reclaim`; a global trim
 * leaves UNMANAGED zones alone), in one NUMA domain or, with ANY_DOMAIN, in all. `answerMs` bounds the
 * wait for each running CPU that does not answer, in milliseconds. Runs zone fini and keg fini; what
 * they throw is thrown at the end, with everything reclaimed. Throws `ArgumentError` for a request or
 * domain that does not exist (the kernel panics), and on a CPU that may not block `LockBusyError` with
 * what was done so far done.
 */
export function reclaim(
  uma: Uma,
  request: ReclaimRequest,
  zone?: number,
  answerMs: number = ANSWER_MS,
  domain: number = ANY_DOMAIN,
): ReclaimResult {
  const { cpu, words } = uma;
  if (request !== 'trim' && request !== 'drain' && request !== 'drain-cpu') {
    throw new ArgumentError(`reclaim: ${String(request)} is not trim, drain or drain-cpu`);
  }
  requireInteger('reclaim: domain', domain, ANY_DOMAIN, uma.arena.domains - 1);
  if (words[cpu.entered] === 0) enterCpu(cpu);
  const pass = emptyPass();
  const height = handHeight(cpu);
  try {
    if (zone !== undefined) reclaimOne(uma, zone, request, domain, answerMs, pass);
    else reclaimAll(uma, request, domain, answerMs, pass);
  } catch (error) {
    fail(uma, height, error);
  }
  uma.rethrow();
  const { unanswered, needOpener, slabs, items } = pass;
  return { unanswered: [...unanswered], needOpener: [...needOpener], slabs, items };
}

function reclaimOne(
  uma: Uma,
  zone: number,
  request: ReclaimRequest,
  domain: number,
  answerMs: number,
  pass: Pass,
): void {
  if (request === 'drain-cpu') {
    shrinkForCpuDrain(uma, zone);
    drainCpus(uma, [zone], answerMs, pass.unanswered);
  }
  reclaimZone(uma, zone, request === 'trim' ? 'trim' : 'drain', domain, pass);
}

/** `uma_reclaim_domain` of all zones. */
export function reclaimAll(
  uma: Uma,
  request: ReclaimRequest,
  domain: number,
  answerMs: number,
  pass: Pass,
): void {
  updateBucketDisable(uma);
  const zones = allZones(uma);
  for (const zone of zones) {
    const unmanaged = (uma.words[zone + Z.flags.at]! & ZoneFlag.UNMANAGED) !== 0;
    if (request === 'trim' && unmanaged) continue;
    reclaimZone(uma, zone, request === 'trim' ? 'trim' : 'drain', domain, pass);
  }
  if (request === 'drain-cpu') {
    // What everybody sees is gone already, so the visit to the CPUs has the less to move.
    for (const zone of zones) shrinkForCpuDrain(uma, zone);
    drainCpus(uma, zones, answerMs, pass.unanswered);
    drainAgain(uma, zones, domain, pass);
  }
  drainInternal(uma, request === 'drain-cpu', domain, answerMs, pass);
  // The kernel looks again at its next tick only; here none may come.
  updateBucketDisable(uma);
}

/**
 * What the CPUs gave back. A fini or zone fini may free items of another zone (a packet its cluster), which
 * then stand in this CPU's cache: so that goes too, and again until a round frees no slab.
 */
function drainAgain(uma: Uma, zones: readonly number[], domain: number, pass: Pass): void {
  for (let round = 0; round < ROUNDS; round++) {
    const before = pass.slabs;
    for (const zone of zones) {
      flushOwn(uma, zone);
      reclaimZone(uma, zone, 'drain', domain, pass, round === 0);
    }
    if (pass.slabs === before) return;
  }
}

/** Highest numbers first: the internal zones have the lowest, and gain items from the others. */
function allZones(uma: Uma): number[] {
  const zones: number[] = [];
  for (let id = uma.zoneCount() - 1; id >= 0; id--) zones.push(uma.zoneAt(id));
  return zones;
}

/** `cache_shrink`, without a lock as every change of the bucket size: approximate. */
function shrinkForCpuDrain(uma: Uma, zone: number): void {
  const { words } = uma;
  if ((words[zone + Z.flags.at]! & InternalFlag.INTERNAL) !== 0) return;
  const size = words[zone + Z.bucketSize.at]!;
  const next = bucketSizeBeforeCpuDrain(size, words[zone + Z.bucketSizeMin.at]!);
  Atomics.store(words, zone + Z.bucketSize.at, next);
}

/** Rounds over zones that give items to each other, at most. */
const ROUNDS = 8;

/**
 * Slab headers, item tables and buckets that the other zones gave back. They are drained whatever the
 * request was, as in the kernel; unlike there, until a round frees no slab: a bucket that holds buckets,
 * once drained, is itself an item of a bucket zone. Only the first round makes their buckets smaller.
 */
function drainInternal(
  uma: Uma,
  cpuCaches: boolean,
  domain: number,
  answerMs: number,
  pass: Pass,
): void {
  const zones = [...uma.bucketZones, ...uma.tableZones, ...uma.slabZones];
  for (let round = 0; round < ROUNDS; round++) {
    const before = pass.slabs;
    if (cpuCaches) drainCpus(uma, uma.bucketZones, answerMs, pass.unanswered);
    for (const zone of zones) reclaimZone(uma, zone, 'drain', domain, pass, round === 0);
    if (pass.slabs === before) return;
  }
}
