/**
 * Bringing a limited zone's cached items back to the keg, for those who wait (design.md: an idle
 * worker may stay idle for ever, so what it has cached would never come). The order is what counts:
 * register (the limit's own bit), press (the bit in the caches), ask every CPU, drain the queues.
 */

import {
  type Cpu,
  CpuRecord,
  CpuState,
  limitIsPressed,
  LockBusyError,
  requestDrain,
  STATE_KIND_MASK,
} from '@umbuf/memory';
import { claimCache, flushOwn } from '../drain-cpus.ts';
import { giveBackTo, handHeight } from '../hands.ts';
import { CacheRecord, CallbackBit, ZoneDomain, ZoneRecord } from '../layout.ts';
import { type Uma, umaOf } from '../uma.ts';
import { canRun } from '../zone-callbacks.ts';
import { zoneCache, zoneDomain } from '../zone-domain.ts';
import { drainOne, press, relieve } from './pressure.ts';

const Z = ZoneRecord.fields;
const C = CacheRecord.fields;
const NITEMS = ZoneDomain.fields.nitems.at;

/**
 * For a zone under pressure (isPressed), behind what pressed it: everything cached goes to the keg,
 * at once or when its CPU answers. False when something was in the way for a moment (another's
 * claim, a lock on a CPU that may not block): call again.
 */
export function recallCached(uma: Uma, zone: number): boolean {
  const { words, cpu } = uma;
  const height = handHeight(cpu);
  const zones = [...carriersOf(uma, zone), zone];
  try {
    for (const each of zones) press(uma, each);
    for (const each of zones) flushOwn(uma, each);
    let complete = true;
    for (let target = 0; target < uma.arena.cpus; target++) {
      if (target !== cpu.number && !flushOther(uma, zones, target)) complete = false;
    }
    // Carriers first: what their items carry comes back through them.
    for (const each of zones) {
      relieve(uma, each);
      // Items that readers may still see (SMR) stay on the queue until they cannot.
      if (words[each + Z.smr.at] !== 0 && hasQueued(uma, each)) complete = false;
    }
    return complete;
  } catch (error) {
    if (!(error instanceof LockBusyError) || cpu.mayBlock) throw error;
    // What is in hand goes back when the CPU leaves.
    giveBackTo(cpu, height);
    return false;
  }
}

function hasQueued(uma: Uma, zone: number): boolean {
  for (let domain = 0; domain < uma.arena.domains; domain++) {
    if (Atomics.load(uma.words, zoneDomain(uma, zone, domain) + NITEMS) > 0) return true;
  }
  return false;
}

function flushOther(uma: Uma, zones: readonly number[], target: number): boolean {
  for (const zone of zones) {
    let claimed = false;
    const claim = (own: Cpu, number: number, seen: number): boolean => {
      claimed = claimCache(umaOf(own), zone, number, seen);
      return claimed;
    };
    if (!requestDrain(uma.cpu, target, claim)) return false;
    // Only a claim is for one zone: an answer, like going offline, flushes all.
    if (!claimed) return true;
  }
  return true;
}

/** Zones whose cached items carry items of `zone`. */
function carriersOf(uma: Uma, zone: number): number[] {
  const carriers: number[] = [];
  for (let id = 0; id < uma.zoneCount(); id++) {
    const other = uma.zoneAt(id);
    if (Atomics.load(uma.words, other + Z.carried.at) === zone) carriers.push(other);
  }
  return carriers;
}

/**
 * For a request with M_NOWAIT that met the limit, and gets one more try: what idle CPUs have cached
 * goes to the queue, and one bucket of the queues to the keg. True when units may be free now.
 * Running CPUs are not asked: they could not answer in time, and each answer empties all caches.
 */
export function gatherStranded(uma: Uma, zone: number, limit: number): boolean {
  const { arena, cpu } = uma;
  // Units that come back belong to the sleepers.
  if (limitIsPressed(uma, limit) || !canRun(uma, zone, CallbackBit.zfini)) return false;
  for (let target = 0; target < arena.cpus; target++) {
    if (target !== cpu.number && hasCached(uma, zone, target)) claimIdle(uma, zone, target);
  }
  for (let domain = 0; domain < arena.domains; domain++) {
    if (drainOne(uma, zone, domain)) return true;
  }
  return false;
}

/** A look at another CPU's private words, for speed only: what is wrong a moment later costs a try. */
function hasCached(uma: Uma, zone: number, cpu: number): boolean {
  const { words } = uma;
  const cache = zoneCache(zone, cpu);
  return (
    Atomics.load(words, cache + C.allocCount.at) !== 0 ||
    Atomics.load(words, cache + C.freeCount.at) !== 0 ||
    Atomics.load(words, cache + C.crossCount.at) !== 0
  );
}

function claimIdle(uma: Uma, zone: number, target: number): void {
  const state = Atomics.load(uma.words, uma.arena.cpuTable + target * CpuRecord.words);
  if ((state & STATE_KIND_MASK) === CpuState.idle) claimCache(uma, zone, target, state);
}
