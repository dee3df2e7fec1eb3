/**
 * What UMA does for a CPU that answers a drain request, and for one that died: the hooks that
 * memory's protocol calls. Each repair is the ordinary put, with the slot of the dead cleared in
 * the same straight line, so a recovery may be broken off and begun again.
 */

import {
  type Arena,
  type Cpu,
  CpuRecord,
  HandKind,
  recoverLimit,
  stateIncarnation,
} from '@umbuf/memory';
import { drainBucket, freeBucket } from './bucket.ts';
import { abandonImport, mayKeepRaw } from './cache-zone.ts';
import { emptyQueues } from './destroy.ts';
import { pushSlot } from './cache-slow.ts';
import { trashFill } from './debug.ts';
import { InternalFlag } from './flags.ts';
import { freeItem } from './item.ts';
import { isLive, itemEntry, markFree } from './item-table.ts';
import { itemDomain, kegRelease } from './keg.ts';
import {
  BucketHeader,
  CacheRecord,
  CallbackBit,
  Feature,
  Hand,
  ItemState,
  ZoneRecord,
} from './layout.ts';
import { isPressed, relieve, relieveAll } from './limit/pressure.ts';
import { zoneLimit } from './limit/reserve.ts';
import { flushOwn, moveAndFree } from './drain-cpus.ts';
import { endLowMemory } from './low-memory.ts';
import { revokeItemOwner } from './owner/item-owner.ts';
import { destroySlab } from './slab.ts';
import { endSections } from './smr/create.ts';
import { repairExpiring } from './smr/zone-expire.ts';
import { pushVisible, queueVisible } from './smr/zone-free.ts';
import { type Uma, umaOf } from './uma.ts';
import { canRun } from './zone-callbacks.ts';
import { cpuDomain, putBucket, zoneCache } from './zone-domain.ts';
import { letGo, unpinZone, ZoneState, zoneState } from './zone-life.ts';

const Z = ZoneRecord.fields;
const registered = new WeakSet<Arena>();
/** Threads that run zone finis behind an answer (the callbacks may come to an answer again). */
const relieving = new WeakSet<Uma>();

/** Registers answers and repairs with the arena, once per thread. */
export function registerRepairs(arena: Arena): void {
  if (registered.has(arena)) return;
  registered.add(arena);
  const { hooks } = arena;
  hooks.answers.push(answer);
  hooks.releases.push(release);
  hooks.slotRepairs[Hand.bucket] = (cpu, slot) => repairBucket(umaOf(cpu), slot);
  hooks.slotRepairs[Hand.item] = (cpu, slot) => repairItem(umaOf(cpu), slot);
  hooks.slotRepairs[Hand.visible] = (cpu, slot) => queueVisible(umaOf(cpu), slot);
  hooks.slotRepairs[Hand.expiring] = (cpu, slot) => {
    repairExpiring(umaOf(cpu), slot);
    repairBucket(umaOf(cpu), slot);
  };
  hooks.slotRepairs[Hand.importing] = (cpu, slot) => {
    abandonImport(umaOf(cpu), slot);
    if (cpu.words[slot] !== HandKind.none) repairBucket(umaOf(cpu), slot);
  };
  hooks.slotRepairs[Hand.slab] = (cpu, slot) => destroySlab(umaOf(cpu), slot);
  hooks.slotRepairs[Hand.reclaimer] = (cpu, slot) => unpinZone(umaOf(cpu), slot);
  hooks.slotRepairs[Hand.lowMemory] = (cpu, slot) => endLowMemory(umaOf(cpu), slot);
  hooks.cacheRepairs.push(repairCaches);
}

/** Every cache of this CPU to the queues; bucket zones (the lowest numbers) last. */
function answer(cpu: Cpu): void {
  const uma = umaOf(cpu);
  for (let id = uma.zoneCount() - 1; id >= 0; id--) {
    if (hasCached(uma, uma.zoneAt(id))) flushOwn(uma, uma.zoneAt(id));
  }
  letGo(uma);
  // All is on the queues now, so an answer inside these callbacks may say so.
  if (relieving.has(uma)) return;
  relieving.add(uma);
  try {
    relieveAll(uma);
  } finally {
    relieving.delete(uma);
  }
}

/** Whether this CPU has a bucket of the zone. What it has not, it need not move. */
function hasCached({ words, cpu }: Uma, zone: number): boolean {
  const cache = zoneCache(zone, cpu.number);
  const { allocBucket, freeBucket: free, crossBucket } = CacheRecord.fields;
  return (
    (words[cache + allocBucket.at]! | words[cache + free.at]! | words[cache + crossBucket.at]!) !==
    0
  );
}

/** The buckets that an answer leaves to an SMR zone: this CPU goes offline. */
function release(cpu: Cpu): void {
  const uma = umaOf(cpu);
  for (let id = uma.zoneCount() - 1; id >= 0; id--) {
    const zone = uma.zoneAt(id);
    if (uma.words[zone + Z.smr.at] !== 0) moveAndFree(uma, zone, cpu.number, -1, 0, 0, true);
  }
}

/**
 * A bucket: items that zinit has not seen (or zfini has) go to the keg, the rest to the queue of
 * their domain; an empty one to its zone. Over `uz_bucket_max` it is drained, unless that
 * takes a zone fini that this thread cannot run.
 */
function repairBucket(uma: Uma, slot: number): void {
  const { words } = uma;
  const bucket = words[slot + 1]!;
  const zone = words[slot + 2]!;
  const COUNT = bucket + BucketHeader.fields.count.at;
  const hooks = CallbackBit.zinit | CallbackBit.zfini;
  if ((words[zone + Z.callbacks.at]! & hooks) !== 0 && words[slot + 3]! < words[COUNT]!) {
    kegRelease(uma, words[zone + Z.keg.at]!, slot, words[slot + 3]!);
  }
  if (words[COUNT]! > 0) {
    // A tagged one waits on the queue: here is no place to wait for readers.
    const tagged = words[bucket + BucketHeader.fields.seq.at] !== 0;
    const always = tagged || !canRun(uma, zone, CallbackBit.zfini);
    if (putBucket(uma, zone, homeOf(uma, zone, bucket), slot, false, always)) {
      relieve(uma, zone);
      return;
    }
    drainBucket(uma, slot);
  }
  freeBucket(uma, slot, InternalFlag.BUCKET);
}

/** The queue for a bucket of whatever items: by the first of them, where the zone goes by domain. */
function homeOf(uma: Uma, zone: number, bucket: number): number {
  const { words } = uma;
  return (words[zone + Z.features.at]! & Feature.domain) !== 0
    ? itemDomain(uma, words[bucket + BucketHeader.words]!)
    : cpuDomain(uma, uma.cpu.number);
}

/**
 * An item on its way in or out of a cache. One that zinit has not finished goes back to the keg,
 * one whose ctor or dtor was broken off too, by zone fini; the others into this CPU's cache. Where
 * zone fini cannot run here an unfinished one goes into the cache as well: what zinit attached to
 * it would be lost otherwise.
 */
function repairItem(uma: Uma, slot: number): void {
  const { words } = uma;
  const item = words[slot + 1]!;
  const zone = words[slot + 2]!;
  const state = words[slot + 3]!;
  const keg = words[zone + Z.keg.at]!;
  const cache = zoneCache(zone, uma.cpu.number);
  const features = words[zone + Z.features.at]!;
  if (state === ItemState.raw && !mayKeepRaw(uma, zone)) {
    kegRelease(uma, keg, slot, 0);
    return;
  }
  if (state === ItemState.finished) {
    freeItem(uma, zone, cache, slot);
    return;
  }
  if ((features & Feature.items) !== 0) {
    const entry = itemEntry(uma, keg, item);
    if (isLive(uma, entry)) markFree(uma, entry);
    revokeItemOwner(uma, entry);
  }
  if (state === ItemState.visible) {
    pushVisible(uma, cache, slot);
    return;
  }
  if ((features & Feature.trash) !== 0) trashFill(uma, keg, item);
  if (state === ItemState.unfinished && canRun(uma, zone, CallbackBit.zfini)) {
    freeItem(uma, zone, cache, slot);
  } else {
    pushSlot(uma, cache, slot, words[zone + Z.flags.at]! & InternalFlag.BUCKET);
    // Where zone fini cannot run here it went into the cache although others wait for it.
    if (isPressed(uma, zone)) {
      flushOwn(uma, zone);
      relieve(uma, zone);
    }
  }
}

/**
 * What the dead CPU left in the zone's limit: wait cells, granted units, a queued action. The bit in
 * its cache is set, in case that it died between clearing it and looking again.
 */
function repairLimit(uma: Uma, zone: number, dead: number): void {
  const { words, cpu, arena } = uma;
  const limit = zoneLimit(uma, zone);
  const state = Atomics.load(words, arena.cpuTable + dead * CpuRecord.words);
  const incarnation = stateIncarnation(state);
  const lockWord = (dead + 1) | (incarnation << 9);
  if ((limit | Atomics.load(words, zone + Z.carried.at)) !== 0) {
    Atomics.or(words, zoneCache(zone, dead) + CacheRecord.fields.freeFeatures.at, Feature.limit);
  }
  Atomics.compareExchange(words, zone + Z.maxaction.at, lockWord, 0);
  if (limit !== 0) recoverLimit(cpu, limit, dead, incarnation);
}

/**
 * The read sections of a dead CPU, its caches, and its opener bits. Whoever waits for a claim to end
 * is woken: the dead may have ended one and not have come to the notify.
 */
function repairCaches(cpu: Cpu, dead: number): void {
  const uma = umaOf(cpu);
  const { words } = uma;
  endSections(uma, dead);
  for (let id = uma.zoneCount() - 1; id >= 0; id--) {
    const zone = uma.zoneAt(id);
    repairLimit(uma, zone, dead);
    moveAndFree(uma, zone, dead, -1, 0, 0, true);
    relieve(uma, zone);
    // What it loaded late into a zone that is being destroyed.
    if (zoneState(uma, zone) !== ZoneState.live) emptyQueues(uma, zone);
    Atomics.and(words, zone + Z.openers.at + (dead >> 5), ~(1 << (dead & 31)));
  }
  const { cpuTable, cpus } = cpu.arena;
  for (let number = 0; number < cpus; number++) {
    Atomics.notify(words, cpuTable + number * CpuRecord.words + CpuRecord.fields.state.at);
  }
}
