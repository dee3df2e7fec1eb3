/**
 * The per-CPU half of reclaim: what a CPU has cached goes to the queues of its zones, whatever that
 * CPU does (`pcpu_cache_drain_safe`, spec 2.12). An idle CPU is claimed, for one zone at a time; a
 * running one gets one request that covers all zones and is named when it does not answer in time; an
 * offline one has flushed; a dead one is left to `recover`.
 */

import {
  claimedState,
  type Cpu,
  CpuRecord,
  drainCpu,
  HAND_SLOT_WORDS,
  HandKind,
  reserveSlot,
} from '@umbuf/memory';
import { freeBucket } from './bucket.ts';
import { storeForeign } from './cross.ts';
import { InternalFlag } from './flags.ts';
import { giveBack } from './hands.ts';
import { Hand } from './layout.ts';
import { queueVisible } from './smr/zone-free.ts';
import { isPressed, relieve } from './limit/pressure.ts';
import { type Uma, umaOf } from './uma.ts';
import { moveCache } from './zone-domain.ts';
import { ZoneState, zoneState } from './zone-life.ts';
import { pinZone, unpinZone } from './zone-life.ts';

/**
 * Flushes the caches of `zones` on every CPU, own included. Adds the numbers of running CPUs that did
 * not answer within `answerMs` milliseconds to `unanswered`; those in it already are not waited for
 * again: the request that they have not answered covers everything.
 */
export function drainCpus(
  uma: Uma,
  zones: readonly number[],
  answerMs: number,
  unanswered: Set<number>,
): void {
  const { cpu, arena } = uma;
  for (let target = 0; target < arena.cpus; target++) {
    if (target === cpu.number) for (const zone of zones) flushOwn(uma, zone);
    else if (!unanswered.has(target)) drainOther(uma, target, zones, answerMs, unanswered);
  }
}

function drainOther(
  uma: Uma,
  target: number,
  zones: readonly number[],
  answerMs: number,
  unanswered: Set<number>,
): void {
  let claimed = false;
  for (const zone of zones) {
    const claim = (own: Cpu, number: number, seen: number): boolean => {
      claimed = claimCache(umaOf(own), zone, number, seen);
      return claimed;
    };
    claimed = false;
    const pin = pinZone(uma, zone);
    if (pin === 0) continue;
    const result = drainCpu(uma.cpu, target, claim, answerMs);
    unpinZone(uma, pin);
    giveBack(uma.cpu, pin);
    if (result === 'unanswered') unanswered.add(target);
    // Only a claim is for one zone: an answer, like going offline, flushes all.
    if (!claimed) return;
  }
}

/** One zone's cache of this CPU to the queue. */
export function flushOwn(uma: Uma, zone: number): void {
  moveAndFree(uma, zone, uma.cpu.number, -1, 0, 0);
}

/** The claim of `drainCpu`: see `moveCache`. */
export function claimCache(uma: Uma, zone: number, target: number, seen: number): boolean {
  const state = uma.arena.cpuTable + target * CpuRecord.words;
  const won = moveAndFree(uma, zone, target, seen, state, claimedState(seen, uma.cpu.number));
  if (won) relieve(uma, zone);
  return won;
}

/**
 * `moveCache` with three slots of our own, then the empty buckets back to their zones, those of
 * an SMR zone tagged onto the queue (with `everything`, while somebody waits for them, or in a zone that is destroyed), and the
 * cross bucket to where its items are at home.
 */
export function moveAndFree(
  uma: Uma,
  zone: number,
  target: number,
  seen: number,
  state: number,
  claimed: number,
  everything?: boolean,
): boolean {
  const { words, cpu } = uma;
  const all = everything ?? (isPressed(uma, zone) || zoneState(uma, zone) !== ZoneState.live);
  const slots = reserveSlot(cpu);
  reserveSlot(cpu);
  reserveSlot(cpu);
  const won = moveCache(uma, zone, target, slots, state, seen, claimed, all);
  for (let index = 0; index < 3; index++) {
    const slot = slots + index * HAND_SLOT_WORDS;
    if (words[slot] === HandKind.none) continue;
    // With the guard: a bucket given back in a drain takes no new bucket to be cached in.
    if (words[slot] === Hand.visible) queueVisible(uma, slot);
    else if (index === 2) storeForeign(uma, zone, slot, false, InternalFlag.BUCKET);
    else freeBucket(uma, slot, InternalFlag.BUCKET);
  }
  giveBack(cpu, slots);
  return won;
}
