/**
 * Giving a zone its limit, and changing it (`uma_zone_set_max`, `uma_zone_set_maxcache`, spec 3.4).
 *
 * The first `setMax` may come at any time, while other CPUs use the zone (the kernel wants a zone
 * that was never used, and goes wrong otherwise: defect D15). The count then begins with the items
 * that are outside the keg. That sum is exact because items cross only under the lock of their
 * slab's domain, each in one straight line with `CacheRecord.outside`: whoever holds all the keg's
 * locks sees no crossing half done. The record is published under the same locks, so each crossing
 * is either in the sum or counted by the limit.
 */

import {
  ArgumentError,
  LockBusyError,
  lockMutex,
  lockRegistry,
  LIMIT_MAX,
  LimitRecord,
  limitCount,
  limitInit,
  limitMax,
  limitWords,
  requireInteger,
  setLimitMax,
  STATIC_NEXT,
  staticSpace,
  TableFullError,
  unlockMutex,
  unlockRegistry,
} from '@umbuf/memory';
import { bucketSizesAfterMaxCache, maxCache } from '../bucket-ladder.ts';
import { ZoneFlag } from '../flags.ts';
import { giveBackTo, handHeight } from '../hands.ts';
import { FailureSite, injected } from '../inject.ts';
import { kegDomain } from '../keg.ts';
import { CacheRecord, UmaRoot, ZoneRecord, ZONES_MAX } from '../layout.ts';
import { reclaim } from '../reclaim.ts';
import type { Uma } from '../uma.ts';
import type { Zone } from '../zone.ts';
import { zoneCache } from '../zone-domain.ts';
import { recallCached } from './flush.ts';
import { isPressed } from './pressure.ts';
import { zoneLimit } from './reserve.ts';

const Z = ZoneRecord.fields;
const OUTSIDE = CacheRecord.fields.outside.at;

/** Wait cells beyond one per CPU: asynchronous requests that can wait for one zone at once. */
const ASYNC_CELLS = 64;

/** Sets the zone's maximum and splits its caches accordingly; see Zone.setMax. */
export function setMax(uma: Uma, zone: number, max: number): void {
  requireInteger('setMax', max, 1, LIMIT_MAX);
  const limit = zoneLimit(uma, zone);
  if (limit === 0) createLimit(uma, zone, max);
  else changeLimit(uma, zone, limit, max);
  setMaxcache(uma, zone, max);
  // More is out than is allowed: what comes back shall not be cached. What is in the way of asking a
  // CPU now costs no more than that its cache goes on for a while.
  if (isPressed(uma, zone)) recallCached(uma, zone);
}

function changeLimit(uma: Uma, zone: number, limit: number, max: number): void {
  // First what fsck allows: a lowered maximum is no barrier for reservations under way.
  raisePeak(uma, zone, Math.max(limitMax(uma, limit), limitCount(uma, limit), max));
  setLimitMax(uma.cpu, limit, max);
}

/** Splits a cache of `items` among the CPUs' buckets and the domains; see Zone.setMaxcache. */
export function setMaxcache(uma: Uma, zone: number, items: number): void {
  const { words, arena } = uma;
  requireInteger('setMaxcache', items, 0, LIMIT_MAX);
  const flags = words[zone + Z.flags.at]!;
  const firstTouch = (flags & ZoneFlag.FIRSTTOUCH) !== 0;
  const split = maxCache(items, arena.cpus, arena.domains, firstTouch);
  // The kernel gives a NOBUCKET zone buckets here, which it was made not to have.
  const none = (flags & ZoneFlag.NOBUCKET) !== 0;
  const { bucketSize, bucketMax } = none ? { bucketSize: 0, bucketMax: items } : split;
  const before = words[zone + Z.bucketSizeMax.at]!;
  writeSizes(uma, zone, bucketSize, bucketMax);
  if (bucketSize >= before || !wasUsed(uma, zone)) return;
  // Buckets of the old size are in the caches still: they go, so that the new bound holds.
  try {
    reclaim(uma, 'drain-cpu', zone);
  } catch (error) {
    // A lock that is busy on a CPU that may not block: they go as they are used up.
    if (!(error instanceof LockBusyError)) throw error;
  } finally {
    // The reclaim has shrunk the size, as every reclaim does.
    writeSizes(uma, zone, bucketSize, bucketMax);
  }
}

function writeSizes(uma: Uma, zone: number, bucketSize: number, bucketMax: number): void {
  const { words } = uma;
  const sizes = bucketSizesAfterMaxCache(
    {
      bucketSize: words[zone + Z.bucketSize.at]!,
      bucketSizeMin: words[zone + Z.bucketSizeMin.at]!,
      bucketSizeMax: words[zone + Z.bucketSizeMax.at]!,
    },
    bucketSize,
  );
  // The size never above the maximum (defect D10), in whichever order others see the two.
  const raises = sizes.bucketSizeMax > words[zone + Z.bucketSizeMax.at]!;
  if (raises) Atomics.store(words, zone + Z.bucketSizeMax.at, sizes.bucketSizeMax);
  Atomics.store(words, zone + Z.bucketSize.at, sizes.bucketSize);
  Atomics.store(words, zone + Z.bucketSizeMin.at, sizes.bucketSizeMin);
  if (!raises) Atomics.store(words, zone + Z.bucketSizeMax.at, sizes.bucketSizeMax);
  Atomics.store(words, zone + Z.bucketMax.at, bucketMax);
}

/** See Zone.carries. */
export function setCarried(zone: Zone, other: Zone): void {
  const { words } = zone.uma;
  const refuse = (): never => {
    throw new ArgumentError(`zone ${zone.name} cannot carry items of ${other.name}`);
  };
  if (other.uma !== zone.uma) refuse();
  // Ends: no circle is ever made, but for two CPUs that make its halves at the same time.
  for (let at = other.record, hops = 0; at !== 0; at = Atomics.load(words, at + Z.carried.at)) {
    if (at === zone.record || ++hops > ZONES_MAX) refuse();
  }
  const known = Atomics.compareExchange(words, zone.record + Z.carried.at, 0, other.record);
  if (known !== 0 && known !== other.record) refuse();
}

/** Whether any CPU ever allocated from the zone: a look for the sake of cost, not a decision. */
function wasUsed(uma: Uma, zone: number): boolean {
  const { longs, arena } = uma;
  const C = CacheRecord.fields;
  for (let cpu = 0; cpu < arena.cpus; cpu++) {
    const cache = zoneCache(zone, cpu);
    if (Atomics.load(longs, (cache + C.allocs.at) >> 1) !== 0n) return true;
    if (Atomics.load(longs, (cache + C.zoneAllocs.at) >> 1) !== 0n) return true;
  }
  return false;
}

/** Makes the limit, or changes it where another CPU was first. */
function createLimit(uma: Uma, zone: number, max: number): void {
  const { cpu } = uma;
  lockRegistry(cpu);
  const height = handHeight(cpu);
  try {
    const known = zoneLimit(uma, zone);
    if (known !== 0) changeLimit(uma, zone, known, max);
    else buildLimit(uma, zone, max);
  } finally {
    giveBackTo(cpu, height);
    unlockRegistry(cpu);
  }
}

function buildLimit(uma: Uma, zone: number, max: number): void {
  const { cpu, arena } = uma;
  const cells = arena.cpus + ASYNC_CELLS;
  const bytes = limitWords(cells) * 4;
  // A zone that this record was before may have left its limit's.
  const spare = uma.words[zone + Z.spareLimit.at]! << 2;
  const space = (): number => (spare !== 0 ? spare : staticSpace(cpu, bytes));
  const address = injected(uma, FailureSite.limitRecord) ? 0 : space();
  if (address === 0) throw new TableFullError(`zone ${uma.zoneName(zone)}: no pages for its limit`);
  const limit = address >> 2;
  if (spare !== 0) cpu.kernels.zero(address, bytes);
  limitInit(cpu, limit, max, cells);
  const keg = uma.words[zone + Z.keg.at]!;
  let locked = 0;
  try {
    for (; locked < arena.domains; locked++) lockMutex(cpu, kegDomain(keg, locked));
    publishLimit(uma, zone, limit, max, spare !== 0 ? uma.words[STATIC_NEXT]! : address + bytes);
  } finally {
    // On a CPU that may not block a busy lock ends it here, with nothing changed.
    while (locked > 0) unlockMutex(cpu, kegDomain(keg, --locked));
  }
}

/** Under the registry's lock and all of the keg's. `end` is where static space goes on. */
function publishLimit(uma: Uma, zone: number, limit: number, max: number, end: number): void {
  const { words, arena } = uma;
  let outside = 0;
  for (let cpu = 0; cpu < arena.cpus; cpu++) outside += words[zoneCache(zone, cpu) + OUTSIDE]!;
  Atomics.store(words, limit + LimitRecord.fields.items.at, outside | 0);
  raisePeak(uma, zone, Math.max(outside | 0, max));
  // One more than there are would cost a look at every answer; one less would lose wake-ups.
  Atomics.add(words, uma.root + UmaRoot.fields.limitedZones.at, 1);
  // straight: the limit exists from the store on; a maker who dies before it leaves nothing
  Atomics.store(words, zone + Z.limit.at, limit);
  words[STATIC_NEXT] = end;
  // end
}

/** The largest that maximum or count has been at a `setMax`: fsck allows as many. */
function raisePeak(uma: Uma, zone: number, peak: number): void {
  const { words } = uma;
  const at = zone + Z.limitPeak.at;
  let seen = Atomics.load(words, at);
  // Ends: each failed exchange means that another CPU raised it.
  while (seen < peak) {
    const found = Atomics.compareExchange(words, at, seen, peak);
    if (found === seen) return;
    seen = found;
  }
}
