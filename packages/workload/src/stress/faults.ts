/**
 * The six faults of `umbuf stress --self-check`: what a broken allocator would do, done on purpose
 * through this thread's own function table or by writing arena words directly. The run fails
 * unless each is reported with its invariant. Nothing in the allocator knows of them.
 */

import { type Address, HandKind, limitCount, limitHasSleepers, LimitRecord } from '@umbuf/memory';
import { BucketHeader, CacheRecord, type Uma, type Zone, ZoneDomain, zoneDomain } from '@umbuf/uma';
import type { LimitState } from '../scenario/limit.ts';
import type { ScenarioCpu } from '../scenario/scenario.ts';

export type FaultName =
  | 'double hand-out'
  | 'lost free'
  | 'skipped lock'
  | 'early reuse'
  | 'lost wake-up'
  | 'wrong count';

/** Each fault, and how a report of the invariant that it breaks begins. */
export const faults: Readonly<Record<FaultName, readonly string[]>> = {
  'double hand-out': ['3'],
  'lost free': ['1', '4', '5'],
  'skipped lock': ['3', '8', '1'],
  'early reuse': ['12', '3'],
  'lost wake-up': ['7'],
  'wrong count': ['8', '9'],
};

type Operations = { -readonly [Key in keyof Uma['operations']]: Uma['operations'][Key] };

/** How many operations pass before the fault strikes, so that the run is under way. */
const AFTER = 20_000;

/** Plants the fault in the thread of the scenario's CPU 0. */
export function plantFault(fault: FaultName, own: ScenarioCpu, state: unknown): void {
  if (own.index !== 0) return;
  const { uma, zones } = own;
  const operations = uma.operations as Operations;
  const { alloc, free } = operations;
  const hot = zones.map((zone) => hooksOf(zone));
  let count = 0;
  const strike = (): boolean => ++count === AFTER;
  switch (fault) {
    case 'double hand-out':
      patch(hot, {
        alloc: (cache, flags, argument) => {
          const item = alloc(cache, flags, argument);
          // The item stays with its user and is offered again by the cache.
          if (item !== 0 && strike()) operations.push(cache, item);
          return item;
        },
      });
      return;
    case 'lost free':
      patch(hot, {
        free: (cache, item, argument) => {
          if (!strike()) free(cache, item, argument);
        },
      });
      return;
    case 'early reuse': {
      let early = 0;
      patch(hot, {
        alloc: (cache, flags, argument) => {
          const item = alloc(cache, flags, argument);
          if (strike()) early = item;
          // The previous user goes on writing into an item that somebody else has by now.
          if (early !== 0 && item !== 0 && count > AFTER) {
            uma.words[(early >> 2) + 1] = -1;
            early = 0;
          }
          return item;
        },
      });
      return;
    }
    case 'skipped lock':
      patch(hot, {
        alloc: (cache, flags, argument) => {
          takeWithoutLock(uma, cache);
          return alloc(cache, flags, argument);
        },
      });
      return;
    case 'wrong count':
      patch(hot, {
        alloc: (cache, flags, argument) => {
          if (strike()) {
            const zone = uma.words[cache + CacheRecord.fields.zone.at]!;
            Atomics.add(uma.words, zoneDomain(uma, zone, 0) + ZoneDomain.fields.nitems.at, 1);
          }
          return alloc(cache, flags, argument);
        },
      });
      return;
    case 'lost wake-up':
      loseWakeUps(own, state as LimitState);
      return;
    default:
      throw new Error(`unknown fault ${String(fault)}`);
  }
}

/**
 * Gives a unit back by a bare subtraction once, when somebody sleeps for it: the count is right,
 * and nobody is woken. Then stays away, because any later visitor's `settle` would make it good.
 */
function loseWakeUps(own: ScenarioCpu, state: LimitState): void {
  const { words, cpu } = own.uma;
  const { release } = state;
  let lost = false;
  state.release = (slot) => {
    if (lost) {
      release(slot);
      return;
    }
    // Keep the unit until somebody sleeps for it, and is surely behind the last look at the count
    // that a sleeper takes before its sleep.
    const patience = performance.now() + LOST_MS;
    while (!limitHasSleepers(cpu, own.shared) && performance.now() < patience);
    pass(ASLEEP_MS);
    words[slot] = HandKind.none;
    Atomics.sub(words, own.shared + LimitRecord.fields.items.at, 1);
    pass(LOST_MS);
    // A sleeper that was slower than that has taken the unit: nothing was lost, so once more.
    lost = limitCount(cpu, own.shared) === 0;
  };
}

function pass(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

/** From the sleeper's bit to its sleep, by far. */
const ASLEEP_MS = 50;
/** Longer than the sleepers of the scenario `limit` wait. */
const LOST_MS = 1300;

interface Hooks {
  allocOne: (cache: number, flags: number, argument: number) => Address;
  freeOne: (cache: number, item: number, argument: number) => void;
}

/** The two function fields of a zone object: the test hook. */
function hooksOf(zone: Zone): Hooks {
  return zone as unknown as Hooks;
}

function patch(
  zones: readonly Hooks[],
  replacement: { alloc?: Hooks['allocOne']; free?: Hooks['freeOne'] },
): void {
  for (const zone of zones) {
    if (replacement.alloc !== undefined) zone.allocOne = replacement.alloc;
    if (replacement.free !== undefined) zone.freeOne = replacement.free;
  }
}

/**
 * What a refill does, with the lock left out and the window held open: read the head of the queue,
 * let time pass, take it. Two CPUs then take the same bucket, or one takes what another changed.
 */
function takeWithoutLock(uma: Uma, cache: number): void {
  const { words } = uma;
  const C = CacheRecord.fields;
  const Q = ZoneDomain.fields;
  if (words[cache + C.allocCount.at] !== 0 || words[cache + C.freeCount.at] !== 0) return;
  const record = zoneDomain(uma, words[cache + C.zone.at]!, 0);
  const bucket = Atomics.load(words, record + Q.head.at);
  if (bucket === 0) return;
  const next = Atomics.load(words, bucket + BucketHeader.fields.link.at);
  const until = performance.now() + 0.2;
  while (performance.now() < until);
  const count = Atomics.load(words, bucket + BucketHeader.fields.count.at);
  words[record + Q.head.at] = next;
  Atomics.sub(words, record + Q.nitems.at, count);
  Atomics.sub(words, record + Q.buckets.at, 1);
  words[cache + C.allocBucket.at] = bucket;
  words[cache + C.allocCount.at] = count;
  words[cache + C.allocEntries.at] =
    Atomics.load(words, bucket + BucketHeader.fields.entries.at) & 0xffff;
}
