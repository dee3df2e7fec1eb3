/**
 * Frees and refills that go past the caches while a zone's limit is under pressure: while somebody
 * sleeps for it, or more is out than it allows (spec 2.7 step 3). What comes back then goes to the
 * keg and its units to the sleepers.
 *
 * The fast path must not look at the limit. So whoever puts pressure on a zone sets a bit in
 * `freeFeatures` of all its caches, which sends frees the long way, and *then* asks each CPU for what
 * it has cached (flush.ts). A CPU that has answered sees the bit: the request was posted behind it. A
 * free that has not seen it was before the answer, which moves its item on. The bit is cleared by
 * the cache's own CPU when it finds no pressure; it looks again behind the clearing, and whoever
 * presses sets the bit behind the pressure, so one of the two sees the other (Dekker).
 *
 * Whoever puts a bucket on a queue looks at the pressure behind it (`relieve`), and sleepers drain
 * the queues behind their registration: again one of the two sees the other.
 */

import { limitIsPressed, nudgeSleepers, reserveSlot } from '@umbuf/memory';
import { drainBucket, freeBucket } from '../bucket.ts';
import { takeCross } from '../cross.ts';
import { InternalFlag } from '../flags.ts';
import { giveBack } from '../hands.ts';
import { CacheRecord, CallbackBit, Feature, UmaRoot, ZoneDomain, ZoneRecord } from '../layout.ts';
import { noteForOpener } from '../reclaim-zone.ts';
import { zoneLimit } from './reserve.ts';
import type { Uma } from '../uma.ts';
import { canRun } from '../zone-callbacks.ts';
import { fetchForReclaim, zoneCache, zoneDomain } from '../zone-domain.ts';
import { pinZone, unpinZone } from '../zone-life.ts';

const Z = ZoneRecord.fields;
const FREE_FEATURES = CacheRecord.fields.freeFeatures.at;
const ZONE = CacheRecord.fields.zone.at;
const NITEMS = ZoneDomain.fields.nitems.at;

/**
 * Whether items of the zone, or items that they carry (`Zone.carries`), are waited for or too many.
 * Plain looks first, at words that are stored once: what brought the caller here (a bit, a lock, an
 * answer) follows any pressure that counts here.
 */
export function isPressed(uma: Pick<Uma, 'words'>, zone: number): boolean {
  const { words } = uma;
  if (words[zone + Z.limit.at] !== 0 && limitIsPressed(uma, zoneLimit(uma, zone))) return true;
  if (words[zone + Z.carried.at] === 0) return false;
  return isPressed(uma, Atomics.load(words, zone + Z.carried.at));
}

/** Sends the frees of every CPU to a zone the long way; call it behind what makes the pressure. */
export function press(uma: Uma, zone: number): void {
  const { words, arena } = uma;
  for (let cpu = 0; cpu < arena.cpus; cpu++) {
    Atomics.or(words, zoneCache(zone, cpu) + FREE_FEATURES, Feature.limit);
  }
}

/** Whether this CPU's cache is to be gone past; clears its bit when the pressure is over. */
export function bypassesCache(uma: Uma, cache: number): boolean {
  const { words } = uma;
  if ((words[cache + FREE_FEATURES]! & Feature.limit) === 0) return false;
  const zone = words[cache + ZONE]!;
  if (isPressed(uma, zone)) return true;
  Atomics.and(words, cache + FREE_FEATURES, ~Feature.limit);
  if (!isPressed(uma, zone)) return false;
  // Who dies before this leaves a cache without the bit; recovery sets it (recover.ts).
  Atomics.or(words, cache + FREE_FEATURES, Feature.limit);
  return true;
}

/**
 * Behind putting buckets on the zone's queues: brings them down to the keg as far as sleepers wait
 * for them, or as the queue is longer than `uz_bucket_max`. A thread without the zone's callbacks
 * wakes the sleepers to do it, and leaves a note for other openers. No lock may be held.
 */
export function relieve(uma: Uma, zone: number): void {
  const { words, arena } = uma;
  const pressed = isPressed(uma, zone);
  // With more than two domains each may have a bucket that is being sorted into, on no queue.
  const sorted = pressed && arena.domains > 2;
  for (let domain = 0; domain < arena.domains; domain++) {
    const nitems = zoneDomain(uma, zone, domain) + NITEMS;
    const keep = pressed ? 0 : Math.max(words[zone + Z.bucketMax.at]! - 1, 0);
    if (!sorted && Atomics.load(words, nitems) <= keep) continue;
    if (!canRun(uma, zone, CallbackBit.zfini)) {
      if (pressed) callOpener(uma, zone);
      return;
    }
    drainQueue(uma, zone, domain, keep);
    if (sorted) drainSorted(uma, zone, domain);
  }
}

/** The bucket that foreign items of one domain are sorted into, down to the keg. */
function drainSorted(uma: Uma, zone: number, domain: number): void {
  const { cpu } = uma;
  const slot = reserveSlot(cpu);
  if (takeCross(uma, zone, domain, slot)) {
    drainBucket(uma, slot);
    freeBucket(uma, slot, InternalFlag.BUCKET);
  }
  giveBack(cpu, slot);
}

/** Buckets of one queue down to the keg until at most `keep` items are left on it. */
export function drainQueue(uma: Uma, zone: number, domain: number, keep: number): void {
  const nitems = zoneDomain(uma, zone, domain) + NITEMS;
  // Ends: each round takes a bucket; others put more only by their own progress.
  while (Atomics.load(uma.words, nitems) > keep && drainOne(uma, zone, domain));
}

/** One bucket of a queue down to the keg; false when there is none. */
export function drainOne(uma: Uma, zone: number, domain: number): boolean {
  const { cpu } = uma;
  const slot = reserveSlot(cpu);
  const took = fetchForReclaim(uma, zone, domain, 0, slot);
  if (took) {
    drainBucket(uma, slot);
    freeBucket(uma, slot, InternalFlag.BUCKET);
  }
  giveBack(cpu, slot);
  return took;
}

/** `relieve` for every zone that has a limit or carries items of one. */
export function relieveAll(uma: Uma): void {
  const { words } = uma;
  if (Atomics.load(words, uma.root + UmaRoot.fields.limitedZones.at) === 0) return;
  for (let id = uma.zoneCount() - 1; id >= 0; id--) {
    const zone = uma.zoneAt(id);
    if ((words[zone + Z.limit.at]! | words[zone + Z.carried.at]!) === 0) continue;
    const pin = pinZone(uma, zone);
    if (pin === 0) continue;
    relieve(uma, zone);
    unpinZone(uma, pin);
    giveBack(uma.cpu, pin);
  }
}

function callOpener(uma: Uma, zone: number): void {
  const { words } = uma;
  noteForOpener(uma, zone, 'drain');
  // Ends: a chain of carriers has no circle.
  for (let at = zone; at !== 0; at = Atomics.load(words, at + Z.carried.at)) {
    const limit = zoneLimit(uma, at);
    if (limit !== 0) nudgeSleepers(uma, limit);
  }
}
