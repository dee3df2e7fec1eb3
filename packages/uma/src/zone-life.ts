/**
 * The life of a zone record: live, dying (destroy has begun: nobody allocates or frees any more), dead
 * (destroyed), and live again as another zone. Records are type-stable: a zone record stays one for
 * ever, with its locks, so whoever comes late with its index finds empty lists, or another zone's.
 *
 * A dead record is used again only when nobody can be inside. Who can be:
 * - a thread that has the zone open. Its opener bit says so; only it clears the bit, while it is in no
 *   operation (no hand slot in use), and with it goes its Zone object.
 * - a thread that works on all zones (reclaim, drains). It pins the zone meanwhile (`reclaimers`) and
 *   looks at the state behind that; whoever makes a new zone of it looks at the pins behind the state.
 *
 * Slow paths look at the state, fast ones at `Feature.dead`, which the destroyer sets in the caches'
 * feature words: an operation that misses both works on an item that the thread has in hand, or on
 * buckets of its own, and the memory of a destroyed zone's items is never used again while one of
 * them is out.
 */

import {
  type Cpu,
  CpuRecord,
  CpuState,
  HandKind,
  LockBusyError,
  reserveSlot,
  STATE_KIND_MASK,
  stateIncarnation,
} from '@umbuf/memory';
import { emptyQueues } from './destroy.ts';
import { flushOwn } from './drain-cpus.ts';
import { ZoneDestroyedError } from './errors.ts';
import { giveBack, undo } from './hands.ts';
import {
  CacheRecord,
  Feature,
  Hand,
  KegRecord,
  UmaRoot,
  ZoneDomain,
  ZoneRecord,
} from './layout.ts';
import type { Uma } from './uma.ts';
import { zoneCache, zoneDomain } from './zone-domain.ts';

const Z = ZoneRecord.fields;
const C = CacheRecord.fields;
const STATE = Z.state.at;
const RECLAIMERS = Z.reclaimers.at;

/** Values of `ZoneRecord.state`. */
export const ZoneState = { live: 0, dying: 1, dead: 2 } as const;

/** State of the zone at word index `zone`. */
export function zoneState({ words }: Pick<Uma, 'words'>, zone: number): number {
  return Atomics.load(words, zone + STATE);
}

/** Throws `ZoneDestroyedError` unless the zone is live; for slow paths, before they change anything. */
export function requireLive(uma: Uma, zone: number, item: number = 0): void {
  if (zoneState(uma, zone) !== ZoneState.live) throw destroyedError(uma, zone, item);
}

/** The error; a thread that is in no other operation lets go of its destroyed zones. */
export function destroyedError(uma: Uma, zone: number, item: number = 0): ZoneDestroyedError {
  const what = item === 0 ? '' : `, item ${item}`;
  const error = new ZoneDestroyedError(
    `zone ${uma.zoneName(zone)}, CPU ${uma.cpu.number}: the zone was destroyed${what}`,
  );
  letGo(uma);
  return error;
}

/** What a Zone object allocates and frees with, once its thread has let go of it. */
export function closedOperations(
  uma: Uma,
  name: string,
): { allocOne: () => never; freeOne: (cache: number, item: number) => never } {
  const refuse = (item: number): never => {
    const what = item === 0 ? '' : `, item ${item}`;
    throw new ZoneDestroyedError(
      `zone ${name}, CPU ${uma.cpu.number}: the zone was destroyed${what}`,
    );
  };
  return { allocOne: () => refuse(0), freeOne: (_cache, item) => refuse(item) };
}

/** Sends every allocation and free of the zone the long way, on every CPU, where it is refused. */
export function markDead(uma: Uma, zone: number): void {
  for (let cpu = 0; cpu < uma.arena.cpus; cpu++) {
    const cache = zoneCache(zone, cpu);
    Atomics.or(uma.words, cache + C.allocFeatures.at, Feature.dead);
    Atomics.or(uma.words, cache + C.freeFeatures.at, Feature.dead);
  }
}

/**
 * Keeps the record of a zone that this thread may not have open from being used again. Returns the
 * hand slot to give to `unpinZone`, or 0 when the zone is dead: there is nothing to do then.
 */
export function pinZone(uma: Uma, zone: number): number {
  const { words, cpu } = uma;
  const slot = reserveSlot(cpu);
  // straight
  Atomics.add(words, zone + RECLAIMERS, 1);
  words[slot + 1] = zone;
  words[slot] = Hand.reclaimer;
  // end
  if (zoneState(uma, zone) !== ZoneState.dead) return slot;
  unpinZone(uma, slot);
  giveBack(cpu, slot);
  return 0;
}

/** Ends the pin in `slot`; also the repair of a dead one's slot. The slot is void, and still reserved. */
export function unpinZone(uma: Uma, slot: number): void {
  const { words } = uma;
  const count = words[slot + 1]! + RECLAIMERS;
  // straight
  const left = Atomics.sub(words, count, 1) - 1;
  words[slot] = HandKind.none;
  // end
  if (left === 0) Atomics.notify(words, count);
}

/**
 * Lets go of the destroyed zones that this thread has open, unless it is inside an operation or one
 * waits asynchronously: their Zone objects throw from now on, and the opener bits are cleared, which is the
 * last that this thread does to the records. What it had cached was moved before, by its answer.
 */
export function letGo(uma: Uma): void {
  const { words, cpu, opened } = uma;
  if (words[cpu.handTop] !== 0) return;
  for (let id = 0; id < opened.length; id++) {
    const zone = opened[id];
    if (zone === undefined || zone.asyncWaits > 0) continue;
    if (!isToBeLeft(uma, zone.record)) continue;
    if (!emptied(uma, zone.record)) return;
    closeZone(uma, id);
  }
}

/** Dead, or dying by another's hand: what this thread began to destroy it goes on with (finishBroken). */
function isToBeLeft(uma: Uma, zone: number): boolean {
  const state = zoneState(uma, zone);
  if (state !== ZoneState.dying) return state === ZoneState.dead;
  return Atomics.load(uma.words, zone + Z.destroyer.at) !== uma.cpu.lockWord;
}

/** What this thread had loaded or queued late, down to the keg; false when something is in the way. */
function emptied(uma: Uma, zone: number): boolean {
  try {
    flushOwn(uma, zone);
    emptyQueues(uma, zone);
    // What readers may still see stays on the queue: this thread lets go behind them.
    return !hasQueued(uma, zone);
  } catch (error) {
    undo(uma, 0);
    if (!(error instanceof LockBusyError)) uma.keepError(error);
    return false;
  }
}

function hasQueued({ words, arena }: Uma, zone: number): boolean {
  for (let domain = 0; domain < arena.domains; domain++) {
    const record = zoneDomain({ arena }, zone, domain);
    if (Atomics.load(words, record + ZoneDomain.fields.nitems.at) !== 0) return true;
  }
  return false;
}

/** This thread has the zone with number `id` open no longer. */
export function closeZone(uma: Uma, id: number): void {
  const { words, cpu } = uma;
  const zone = uma.opened[id]!;
  const { record } = zone;
  zone.bury(words[uma.root + UmaRoot.fields.grave.at]!);
  uma.opened[id] = undefined;
  Atomics.and(words, record + Z.openers.at + (cpu.number >> 5), ~(1 << (cpu.number & 31)));
}

/**
 * The opener bits that an earlier thread with this CPU number left: it went offline, so its Zone
 * objects can do nothing. Before the thread opens its first zone; under the registry lock.
 */
export function clearOpenerBits(uma: Uma): void {
  const { words, cpu } = uma;
  const bit = 1 << (cpu.number & 31);
  for (let id = 0; id < uma.zoneCount(); id++) {
    const word = uma.zoneAt(id) + Z.openers.at + (cpu.number >> 5);
    if ((Atomics.load(words, word) & bit) !== 0) Atomics.and(words, word, ~bit);
  }
}

/** CPUs but this one that have the zone open and are online. */
export function otherOpeners(uma: Uma, zone: number): number[] {
  const { words, arena, cpu } = uma;
  const openers: number[] = [];
  for (let number = 0; number < arena.cpus; number++) {
    if (number === cpu.number || !hasOpen(words, zone, number)) continue;
    if (kindOf(cpu, number) !== CpuState.offline) openers.push(number);
  }
  return openers;
}

function hasOpen(words: Int32Array, zone: number, cpu: number): boolean {
  return (Atomics.load(words, zone + Z.openers.at + (cpu >> 5)) & (1 << (cpu & 31))) !== 0;
}

/** Whether the thread of CPU `number` is gone and was not recovered yet. */
export function isGone(cpu: Cpu, number: number): boolean {
  const kind = kindOf(cpu, number);
  return kind === CpuState.dead || kind === CpuState.recovering;
}

/** Whether that incarnation of CPU `number` still has it. */
export function isOnline(cpu: Cpu, number: number, incarnation: number): boolean {
  const state = Atomics.load(cpu.words, cpu.arena.cpuTable + number * CpuRecord.words);
  if (stateIncarnation(state) !== incarnation || isGone(cpu, number)) return false;
  return (state & STATE_KIND_MASK) !== CpuState.offline;
}

function kindOf(cpu: Cpu, number: number): number {
  return Atomics.load(cpu.words, cpu.arena.cpuTable + number * CpuRecord.words) & STATE_KIND_MASK;
}

/** Number of a dead record that a new zone may take, or -1. Under the registry lock. */
export function reusableZone(uma: Uma): number {
  for (let id = 0; id < uma.zoneCount(); id++) {
    const zone = uma.zoneAt(id);
    if (zoneState(uma, zone) !== ZoneState.dead) continue;
    if (Atomics.load(uma.words, zone + RECLAIMERS) !== 0) continue;
    if (hasOpen(uma.words, zone, uma.cpu.number) || otherOpeners(uma, zone).length > 0) continue;
    if (isEmpty(uma, zone)) return id;
  }
  return -1;
}

/** Whether nothing is cached or queued; else the record stays out of use (a broken invariant). */
function isEmpty({ words, arena }: Uma, zone: number): boolean {
  for (let cpu = 0; cpu < arena.cpus; cpu++) {
    const cache = zoneCache(zone, cpu);
    const buckets =
      words[cache + C.allocBucket.at]! |
      words[cache + C.freeBucket.at]! |
      words[cache + C.crossBucket.at]!;
    if (buckets !== 0) return false;
  }
  for (let domain = 0; domain < arena.domains; domain++) {
    const record = zoneDomain({ arena }, zone, domain);
    if (
      (words[record + ZoneDomain.fields.head.at]! | words[record + ZoneDomain.fields.cross.at]!) !==
      0
    ) {
      return false;
    }
  }
  return true;
}

/** Words of the record that buried Zone objects point to: a zone, one cache, and a keg. */
export function graveWords(domainWords: number): number {
  return ZoneRecord.words + CacheRecord.words + KegRecord.words + domainWords;
}

/** Fills the zeroed grave: a dead zone whose one cache is empty for ever. */
export function digGrave(uma: Pick<Uma, 'words' | 'bytes'>, grave: number): void {
  const { words } = uma;
  const cache = grave + ZoneRecord.words;
  const keg = cache + CacheRecord.words;
  words[grave + Z.keg.at] = keg;
  words[grave + Z.size.at] = 8;
  words[grave + Z.id.at] = -1;
  Atomics.store(words, grave + STATE, ZoneState.dead);
  uma.bytes.set(new TextEncoder().encode('(destroyed)'), (grave + Z.name.at) * 4);
  words[cache + C.zone.at] = grave;
  words[cache + C.features.at] = Feature.dead;
  words[cache + C.allocFeatures.at] = Feature.dead;
  words[cache + C.freeFeatures.at] = Feature.dead;
  words[keg + KegRecord.fields.zone.at] = grave;
  words[keg + KegRecord.fields.rsize.at] = 8;
}
