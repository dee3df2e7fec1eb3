/**
 * Allocation from a domain that the caller names (`uma_zalloc_domain`, spec 3.2): past the per-CPU
 * cache, which holds the CPU's own domain only.
 */

import {
  type Address,
  ArgumentError,
  checkpoint,
  enterCpu,
  LockBusyError,
  NULL,
  reserveSlot,
  requireInteger,
} from '@umbuf/memory';
import { storeBucket } from './cache-slow.ts';
import { ZoneFlag } from './flags.ts';
import { fail, giveBack, giveBackTo, handHeight } from './hands.ts';
import { allocItem, finishAlloc } from './item.ts';
import { BucketHeader, CacheRecord, Hand, ItemState, ZoneRecord } from './layout.ts';
import { countFailure, FailureReason } from './statistics/failures.ts';
import type { Uma } from './uma.ts';
import { fetchBucket } from './zone-domain.ts';
import { requireLive } from './zone-life.ts';

const COUNT = BucketHeader.fields.count.at;
const LAST = BucketHeader.words - 1;
const ALLOCS = CacheRecord.fields.zoneAllocs.at;

/** See Zone.allocDomain. */
export function allocFromDomain(
  uma: Uma,
  zone: number,
  cache: number,
  domain: number,
  flags: number,
  argument: number,
): Address {
  const { words, cpu, arena } = uma;
  requireLive(uma, zone);
  requireInteger('allocDomain: domain', domain, 0, arena.domains - 1);
  if ((words[zone + ZoneRecord.fields.flags.at]! & ZoneFlag.FIRSTTOUCH) === 0) {
    throw new ArgumentError(`allocDomain: zone ${uma.zoneName(zone)} is not FIRSTTOUCH`);
  }
  if (arena.domains === 1) return uma.operations.alloc(cache, flags, argument);
  if (words[cpu.entered] === 0) enterCpu(cpu);
  const height = handHeight(cpu);
  try {
    const inside = reserveSlot(cpu);
    checkpoint(cpu);
    giveBack(cpu, inside);
    requireLive(uma, zone);
    const item = fromQueue(uma, zone, cache, domain, flags, argument);
    if (item !== NULL) return item;
    const single = allocItem(uma, zone, cache, flags, argument, domain);
    if (single !== NULL) return single;
  } catch (error) {
    if (!(error instanceof LockBusyError) || cpu.mayBlock) fail(uma, height, error);
    // What is in hand goes back when the CPU leaves.
    giveBackTo(cpu, height);
    countFailure(uma, cache, FailureReason.busy);
  }
  uma.rethrow();
  return NULL;
}

/** One item of the domain's head bucket; the rest of it goes back. NULL: nothing queued, or refused. */
function fromQueue(
  uma: Uma,
  zone: number,
  cache: number,
  domain: number,
  flags: number,
  argument: number,
): Address {
  const { words, longs, cpu } = uma;
  const slot = reserveSlot(cpu);
  const rest = reserveSlot(cpu);
  if (!fetchBucket(uma, zone, domain, rest)) {
    giveBack(cpu, slot);
    return NULL;
  }
  const bucket = words[rest + 1]!;
  const count = words[bucket + COUNT]!;
  // straight
  words[slot + 1] = words[bucket + LAST + count]!;
  words[slot + 2] = zone;
  words[slot + 3] = ItemState.whole;
  words[slot] = Hand.item;
  words[bucket + COUNT] = count - 1;
  words[rest + 3] = count - 1;
  longs[(cache + ALLOCS) >> 1]! += 1n;
  // end
  storeBucket(uma, zone, domain, rest, true, 0);
  giveBack(cpu, rest);
  return finishAlloc(uma, cache, slot, flags, argument);
}
