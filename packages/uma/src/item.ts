/**
 * What happens to one item around the cache: ctor and dtor with the debug checks (spec 2.2, 2.7),
 * and the way past the cache for single items (2.5, 2.8).
 */

import {
  type Address,
  HAND_SLOT_WORDS,
  HandKind,
  NULL,
  Panic,
  requireNoSection,
  reserveSlot,
} from '@umbuf/memory';
import { checkDeferred, putItem } from './cache-slow.ts';
import { countSample, redzoneVerify, trashFill, trashVerify } from './debug.ts';
import { ANY_DOMAIN, importDomain } from './domain-policy.ts';
import { DoubleFreeError } from './errors.ts';
import { M_ZERO } from './flags.ts';
import { fail, giveBack, undo } from './hands.ts';
import { FailureSite, injected } from './inject.ts';
import { ANY_GENERATION, checkedEntry, itemEntry, markFree, markLive } from './item-table.ts';
import { itemDomain, kegRelease, kegTake } from './keg.ts';
import {
  BucketHeader,
  CacheRecord,
  CallbackBit,
  Feature,
  Hand,
  ItemState,
  ZoneRecord,
} from './layout.ts';
import { M_LATER, releaseRest, reserveForItem, zoneLimit } from './limit/reserve.ts';
import { initItemOwner, revokeItemOwner } from './owner/item-owner.ts';
import { checkRedzone } from './redzone.ts';
import { zeroItem } from './pcpu.ts';
import { pushUntouched } from './smr/zone-free.ts';
import { countFailure, FailureReason } from './statistics/failures.ts';
import type { Uma } from './uma.ts';
import { getPages } from './wait.ts';
import { runCtor, runDtor, runInit, runZfini } from './zone-callbacks.ts';
import { cpuDomain } from './zone-domain.ts';
import { destroyedError, requireLive } from './zone-life.ts';

const Z = ZoneRecord.fields;
const C = CacheRecord.fields;
/** What an SMR zone does when no reader can see the item any more. */
const SMR_LATER: number = Feature.smr | Feature.dtor | Feature.trash;

/**
 * `alloc` from a bucket that has items, for a zone with ctor, item table or trash, or with M_ZERO:
 * the item goes from the bucket into the hand, never into a local variable only.
 */
export function allocWithFeatures(
  uma: Uma,
  cache: number,
  flags: number,
  argument: number,
): Address {
  const { words, longs, cpu } = uma;
  if ((words[cache + C.allocFeatures.at]! & Feature.dead) !== 0) {
    throw destroyedError(uma, words[cache + C.zone.at]!);
  }
  const slot = reserveSlot(cpu);
  const count = words[cache + C.allocCount.at]!;
  // straight
  words[slot + 1] = words[words[cache + C.allocBucket.at]! + BucketHeader.words - 1 + count]!;
  words[slot + 2] = words[cache + C.zone.at]!;
  words[slot + 3] = ItemState.whole;
  words[slot] = Hand.item;
  words[cache + C.allocCount.at] = count - 1;
  longs[(cache + C.allocs.at) >> 1]! += 1n;
  // end
  return finishAlloc(uma, cache, slot, flags, argument);
}

/**
 * `item_ctor`: the item in hand slot `slot` becomes the caller's. NULL when the ctor refused: the
 * item has gone back by zone fini and the keg, counted as a free (defect D1 of the kernel built
 * right). A throwing ctor is rethrown after the same. At a returned item nothing stands between
 * the end of the straight line and the caller.
 */
export function finishAlloc(
  uma: Uma,
  cache: number,
  slot: number,
  flags: number,
  argument: number,
): Address {
  const { words, cpu } = uma;
  const { handTop } = cpu;
  const zone = words[slot + 2]!;
  const item = words[slot + 1]!;
  const height = (slot - cpu.hand) / HAND_SLOT_WORDS;
  let refused = true;
  try {
    refused = !construct(uma, cache, slot, flags, argument);
    if (!refused && (flags & M_ZERO) !== 0) zeroItem(uma, zone, item);
  } catch (error) {
    countFailure(uma, cache, FailureReason.ctor);
    fail(uma, height, error);
  }
  if (refused) {
    countFailure(uma, cache, FailureReason.ctor);
    undo(uma, height);
    uma.rethrow();
    return NULL;
  }
  // straight
  words[slot] = HandKind.none;
  // On a CPU that may not block the ctor may have left filled slots above this one.
  if (words[handTop] === height + 1) words[handTop] = height;
  // end
  return item as Address;
}

/** Debug checks and ctor over the item in `slot`; false when the ctor refused. */
function construct(
  uma: Uma,
  cache: number,
  slot: number,
  flags: number,
  argument: number,
): boolean {
  const { words } = uma;
  const zone = words[slot + 2]!;
  const item = words[slot + 1]!;
  const features = words[cache + C.features.at]!;
  if ((features & Feature.trash) !== 0) {
    countSample(uma, zone, item);
    trashVerify(uma, zone, item);
  }
  if ((features & Feature.redzone) !== 0) redzoneVerify(uma, zone, item);
  if ((features & Feature.ctor) !== 0) {
    words[slot + 3] = ItemState.unfinished;
    if (injected(uma, FailureSite.ctor) || runCtor(uma, zone, item, argument, flags)) return false;
    words[slot + 3] = ItemState.whole;
  }
  if ((features & Feature.items) !== 0) {
    const entry = itemEntry(uma, words[zone + Z.keg.at]!, item);
    if (!markLive(uma, entry)) {
      // Somebody has it: it must not go back into a cache.
      words[slot] = HandKind.none;
      throw new Panic(
        `Duplicate alloc of ${item} from zone ${uma.zoneName(zone)}, CPU ${uma.cpu.number}`,
      );
    }
    initItemOwner(uma, zone, entry);
  }
  return true;
}

/**
 * The longer form of `free`: checks, dtor, trash, push. Misuse throws before anything changed; a
 * throwing dtor does not stop the free and is rethrown at its end. The item stands in a hand slot
 * from before its live bit is cleared, so a death in the dtor does not lose it. With `generation` only
 * that life of the item is freed (`DoubleFreeError` for any other). In an SMR zone dtor and trash are
 * due when no reader can see the item (smr/zone-expire.ts), with argument 0.
 */
export function freeWithFeatures(
  uma: Uma,
  cache: number,
  item: number,
  argument: number,
  generation: number = ANY_GENERATION,
): void {
  if (item === NULL) return;
  const { words, cpu } = uma;
  const zone = words[cache + C.zone.at]!;
  const longer = words[cache + C.freeFeatures.at]!;
  if ((longer & Feature.dead) !== 0) throw destroyedError(uma, zone, item);
  // Nothing else to do, and at home: as in the fast path.
  if (longer === Feature.domain && itemDomain(uma, item) === cpuDomain(uma, cpu.number)) {
    uma.operations.push(cache, item);
    return;
  }
  const features = words[cache + C.features.at]!;
  const smr = (features & Feature.smr) !== 0;
  // Nothing to do now but to be kept for the readers.
  if (smr && (longer & ~SMR_LATER) === 0 && pushUntouched(uma, cache, item)) return;
  let state: number = (features & Feature.dtor) !== 0 ? ItemState.unfinished : ItemState.whole;
  if (smr) {
    // The end of a free may have to wait for readers, of whom this thread would be one.
    requireNoSection(cpu, 'free to an SMR zone');
    state = ItemState.visible;
  }
  checkDeferred(cpu);
  const entry = (features & Feature.items) !== 0 ? checkedEntry(uma, zone, item) : 0;
  if ((features & Feature.redzone) !== 0) checkRedzone(uma, zone, item);
  const slot = reserveSlot(cpu);
  // straight
  words[slot + 1] = item;
  words[slot + 2] = zone;
  words[slot + 3] = state;
  words[slot] = Hand.item;
  // end
  if (entry !== 0 && !markFree(uma, entry, generation)) {
    words[slot] = HandKind.none;
    giveBack(cpu, slot);
    throw new DoubleFreeError(
      `zone ${uma.zoneName(zone)}, CPU ${cpu.number}: duplicate free of ${item}`,
    );
  }
  if (entry !== 0) revokeItemOwner(uma, entry);
  if (!smr) {
    if ((features & Feature.dtor) !== 0) runDtor(uma, zone, item, argument);
    if ((features & Feature.trash) !== 0) {
      countSample(uma, zone, item);
      trashFill(uma, words[zone + Z.keg.at]!, item);
    }
    words[slot + 3] = ItemState.whole;
  }
  putItem(uma, cache, slot);
}

/**
 * `zone_alloc_item`: one item past the cache, or NULL. From `domain` only, or where the zone's
 * policy has it (ANY_DOMAIN).
 */
export function allocItem(
  uma: Uma,
  zone: number,
  cache: number,
  flags: number,
  argument: number,
  domain: number = ANY_DOMAIN,
): Address {
  const { cpu } = uma;
  const slot = reserveSlot(cpu);
  if (takeItem(uma, zone, slot, flags, domain))
    return finishItem(uma, zone, cache, slot, flags, argument);
  // A request that goes on to wait has not failed.
  if ((flags & M_LATER) === 0 || uma.why !== FailureReason.limit) countFailure(uma, cache, uma.why);
  else uma.failed = uma.why;
  giveBack(cpu, slot);
  return NULL;
}

/**
 * `allocItem` for a request that waited with allocAsync: hand slot `units` holds the unit, and is
 * void if there is an item.
 */
export function allocGranted(
  uma: Uma,
  zone: number,
  cache: number,
  units: number,
  flags: number,
  argument: number,
): Address {
  const { words, cpu } = uma;
  const slot = reserveSlot(cpu);
  const keg = words[zone + Z.keg.at]!;
  requireLive(uma, zone);
  if (takeFromKeg(uma, keg, zone, slot, units, ANY_DOMAIN, flags)) {
    return finishItem(uma, zone, cache, slot, flags, argument);
  }
  countFailure(uma, cache, uma.why);
  giveBack(cpu, slot);
  return NULL;
}

/** zinit and ctor for the item in `slot`, fresh from the keg. */
function finishItem(
  uma: Uma,
  zone: number,
  cache: number,
  slot: number,
  flags: number,
  argument: number,
): Address {
  const { words, longs, cpu } = uma;
  if (
    (words[zone + Z.callbacks.at]! & CallbackBit.zinit) !== 0 &&
    (injected(uma, FailureSite.itemZinit) || runInit(uma, zone, 'zinit', words[slot + 1]!, flags))
  ) {
    countFailure(uma, cache, FailureReason.zinit);
    kegRelease(uma, words[zone + Z.keg.at]!, slot, 0);
    giveBack(cpu, slot);
    return NULL;
  }
  // straight
  longs[(cache + C.zoneAllocs.at) >> 1]! += 1n;
  words[slot + 3] = ItemState.whole;
  // end
  return finishAlloc(uma, cache, slot, flags, argument);
}

/** One item from the keg into the void slot `slot`, with its unit where the zone has a limit. */
function takeItem(uma: Uma, zone: number, slot: number, flags: number, domain: number): boolean {
  const { words, cpu } = uma;
  const keg = words[zone + Z.keg.at]!;
  let units = 0;
  let took = false;
  // Ends: another pass only once behind a reclaim, behind a wait for pages, or when the zone was given
  // its limit since we looked, which happens once.
  for (let tries = 0; ; tries++) {
    // A plain look first. Stale 0: the keg gives nothing, and we look again.
    const limit = words[zone + Z.limit.at] === 0 ? 0 : zoneLimit(uma, zone);
    if (limit !== 0) {
      if (units === 0) units = reserveSlot(cpu);
      const has = words[units] === HandKind.units;
      if (!has && !reserveForItem(uma, zone, limit, units, flags)) break;
    }
    // It may have slept for the unit, and the zone be gone.
    requireLive(uma, zone);
    if (injected(uma, FailureSite.item)) break;
    uma.shortKeg = 0;
    took = takeFromKeg(uma, keg, zone, slot, units, domain, flags);
    if (took) break;
    if (limit === 0 && zoneLimit(uma, zone) !== 0) continue;
    if (!getPages(uma, zone, flags, domain, tries)) break;
  }
  // A keg that is being destroyed takes no new slab: that is no exhaustion.
  if (!took) requireLive(uma, zone);
  if (units !== 0) releaseRest(uma, units);
  return took;
}

/** From `domain` only, or (ANY_DOMAIN) by the zone's policy. */
function takeFromKeg(
  uma: Uma,
  keg: number,
  zone: number,
  slot: number,
  units: number,
  domain: number,
  flags: number,
): boolean {
  if (domain !== ANY_DOMAIN) return kegTake(uma, keg, zone, slot, units, domain, flags);
  const from = importDomain(uma, zone);
  if (kegTake(uma, keg, zone, slot, units, from, flags)) return true;
  if (from === ANY_DOMAIN || uma.arena.domains === 1) return false;
  // The own domain is exhausted: one item of another, rather than none (docs/divergences.md).
  return kegTake(uma, keg, zone, slot, units, ANY_DOMAIN, flags);
}

/**
 * `zone_free_item` without dtor: zone fini, back to the keg; voids the slot. Counts a free unless
 * the item was never counted as allocated.
 */
export function freeItem(uma: Uma, zone: number, cache: number, slot: number): void {
  const { words } = uma;
  if (
    (words[zone + Z.callbacks.at]! & CallbackBit.zfini) !== 0 &&
    words[slot + 3] !== ItemState.finished
  ) {
    if (words[slot + 3] !== ItemState.raw) words[slot + 3] = ItemState.finished;
    runZfini(uma, zone, words[slot + 1]!);
  }
  const counter = words[slot + 3] === ItemState.raw ? 0 : cache + C.zoneFrees.at;
  kegRelease(uma, words[zone + Z.keg.at]!, slot, 0, counter);
}
