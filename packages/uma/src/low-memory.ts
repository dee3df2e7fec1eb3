/**
 * What happens when the arena's pages run out (`vm_lowmem`, then `uma_reclaim(DRAIN_CPU)`; spec 2.12).
 * Nobody sleeps for that here, there is no page daemon: the request that finds no pages does it.
 *
 * In two steps. What this CPU sees by itself (its own caches, the queues, free slabs) it brings back
 * each time; where nothing is cached that is a few loads. Then the event proper, for the whole arena:
 * handlers of other layers, then a reclaim of all zones with the caches of all CPUs. One CPU at a time
 * runs it; others go past it: a request that may not wait has had its first step, one that waits
 * stands in the queue that the pages come to. And after one that brought nothing there is none for a
 * while, or a full arena would do little else than flush everybody's caches.
 *
 * Inside the event no request causes another: it fails, M_WAITOK included.
 */

import { freePageCount, HandKind, LockBusyError, reserveSlot } from '@umbuf/memory';
import { flushOwn } from './drain-cpus.ts';
import { giveBack, handHeight, undo } from './hands.ts';
import { kegDomain } from './keg.ts';
import { CacheRecord, Hand, KegDomain, UmaRoot, ZoneDomain, ZoneRecord } from './layout.ts';
import { reclaimAll } from './reclaim.ts';
import { ANY_DOMAIN, emptyPass, type Pass, reclaimZone } from './reclaim-zone.ts';
import type { Uma } from './uma.ts';
import { zoneCache, zoneDomain } from './zone-domain.ts';

const R = UmaRoot.fields;
const C = CacheRecord.fields;

/** Milliseconds without another event after one that brought no page (the kernel: one a second). */
export const LOW_MEMORY_PAUSE_MS = 20;

/**
 * Has `handler` called, in this thread, whenever this thread handles a shortage of pages: before the
 * zones are reclaimed, with no lock held. It frees what it can do without; what it allocates it gets
 * without waiting or not at all. What it throws is thrown by the operation around it, at its end.
 * Returns the function that takes it off again (EVENTHANDLER_REGISTER(vm_lowmem)).
 */
export function onLowMemory(uma: Uma, handler: (uma: Uma) => void): () => void {
  uma.lowMemoryHandlers.add(handler);
  return () => void uma.lowMemoryHandlers.delete(handler);
}

/**
 * Brings pages back; true when some slab was destroyed, or a handler gave pages back, so that another
 * attempt is worth while. `answerMs` bounds the wait for each running CPU, 0 waits for none. Never
 * throws for a callback or a busy lock: what that left in hand is put back, or will be.
 */
export function lowMemory(uma: Uma, answerMs: number): boolean {
  if (uma.reclaiming) return false;
  const pass = emptyPass();
  const height = handHeight(uma.cpu);
  const before = freePageCount(uma.arena);
  const { shortKeg, why } = uma;
  uma.reclaiming = true;
  try {
    reclaimVisible(uma, pass);
    if (pass.slabs === 0) runEvent(uma, answerMs, pass);
  } catch (error) {
    undo(uma, height);
    if (!(error instanceof LockBusyError) || uma.cpu.mayBlock) uma.keepError(error);
  }
  uma.reclaiming = false;
  // The allocations of callbacks had their own luck.
  uma.shortKeg = shortKeg;
  uma.why = why;
  return pass.slabs > 0 || freePageCount(uma.arena) > before;
}

/** The first step. Not a reclaim in the kernel's sense: the buckets keep their sizes. */
function reclaimVisible(uma: Uma, pass: Pass): void {
  for (let id = uma.zoneCount() - 1; id >= 0; id--) {
    const zone = uma.zoneAt(id);
    if (ownCount(uma, zone) > 0) flushOwn(uma, zone);
    if (hasVisible(uma, zone)) reclaimZone(uma, zone, 'drain', ANY_DOMAIN, pass, false);
  }
}

function ownCount({ words, cpu }: Uma, zone: number): number {
  const cache = zoneCache(zone, cpu.number);
  return (
    words[cache + C.allocCount.at]! +
    words[cache + C.freeCount.at]! +
    words[cache + C.crossCount.at]!
  );
}

/** Whether there are buckets or free slabs to be had: a look without locks. */
function hasVisible(uma: Uma, zone: number): boolean {
  const { words, arena } = uma;
  const keg = words[zone + ZoneRecord.fields.keg.at]!;
  for (let domain = 0; domain < arena.domains; domain++) {
    const queue = zoneDomain(uma, zone, domain) + ZoneDomain.fields.nitems.at;
    if (Atomics.load(words, queue) > 0) return true;
    const slabs = kegDomain(keg, domain) + KegDomain.fields.freeSlabs.at;
    if (keg !== 0 && Atomics.load(words, slabs) > 0) return true;
  }
  return false;
}

/** The event, unless another CPU runs it or the last one was in vain a moment ago. */
function runEvent(uma: Uma, answerMs: number, pass: Pass): void {
  const { words, longs, cpu, root } = uma;
  const inVain = (root + R.lowMemoryInVain.at) >> 1;
  if (clock() - Number(Atomics.load(longs, inVain)) < LOW_MEMORY_PAUSE_MS) return;
  const owner = root + R.lowMemoryOwner.at;
  const slot = reserveSlot(cpu);
  const me = cpu.lockWord;
  // straight
  words[slot + 1] = me;
  const won = Atomics.compareExchange(words, owner, 0, me) === 0;
  if (won) words[slot] = Hand.lowMemory;
  // end
  if (won) {
    callLowMemoryHandlers(uma);
    reclaimAll(uma, 'drain-cpu', ANY_DOMAIN, answerMs, pass);
    Atomics.add(words, root + R.lowMemoryEvents.at, 1);
    Atomics.store(longs, inVain, pass.slabs > 0 ? 0n : BigInt(clock()));
    endLowMemory(uma, slot);
  }
  giveBack(cpu, slot);
}

/** The owner in hand slot `slot` owns no event any more; also the repair of a dead one's slot. */
export function endLowMemory(uma: Uma, slot: number): void {
  const { words } = uma;
  const owner = uma.root + R.lowMemoryOwner.at;
  const was = words[slot + 1]!;
  // straight
  Atomics.compareExchange(words, owner, was, 0);
  words[slot] = HandKind.none;
  // end
}

/** Every handler of this thread; what they throw is kept for the end of the operation. */
export function callLowMemoryHandlers(uma: Uma): void {
  for (const handler of uma.lowMemoryHandlers) callHandler(uma, handler);
}

function callHandler(uma: Uma, handler: (uma: Uma) => void): void {
  try {
    handler(uma);
  } catch (error) {
    uma.keepError(error);
  }
}

/** Milliseconds since 1970, by a clock that all threads share and nobody sets back. */
export function clock(): number {
  return Math.floor(performance.timeOrigin + performance.now());
}
