/**
 * What happens to one item around the cache: ctor and dtor with the debug checks (spec 2.2, 2.7),
 * and the way past the cache for single items (2.5, 2.8).
 */

import { type Address, HandKind, NULL, Panic, releaseSlot, reserveSlot } from '@umbuf/memory';
import { trashFill, trashVerify } from './debug.ts';
import { DoubleFreeError } from './errors.ts';
import { M_ZERO } from './flags.ts';
import { checkedEntry, itemEntry, markFree, markLive } from './item-table.ts';
import { kegRelease, kegTake } from './keg.ts';
import { BucketHeader, CacheRecord, CallbackBit, Feature, Hand, ZoneRecord } from './layout.ts';
import type { Uma } from './uma.ts';
import { noPromise, openedZone, refusal, runInit, runZfini } from './zone-callbacks.ts';
import { cpuDomain } from './zone-domain.ts';

const Z = ZoneRecord.fields;
const C = CacheRecord.fields;

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
  const slot = reserveSlot(cpu);
  const count = words[cache + C.allocCount.at]!;
  // straight
  words[slot + 1] = words[words[cache + C.allocBucket.at]! + BucketHeader.words - 1 + count]!;
  words[slot + 2] = words[cache + C.zone.at]!;
  words[slot] = Hand.item;
  words[cache + C.allocCount.at] = count - 1;
  // end
  longs[(cache + C.allocs.at) >> 1]! += 1n;
  return finishAlloc(uma, cache, slot, flags, argument);
}

/**
 * `item_ctor`: the item in hand slot `slot` (the top one) becomes the caller's. NULL when the
 * ctor refused: the item has gone back as by a free, counted as one (defect D1 of the kernel
 * built right). A throwing ctor is rethrown after the same.
 */
export function finishAlloc(
  uma: Uma,
  cache: number,
  slot: number,
  flags: number,
  argument: number,
): Address {
  const { words, cpu } = uma;
  const zone = words[slot + 2]!;
  const item = words[slot + 1]!;
  const features = words[cache + C.features.at]!;
  const size = words[zone + Z.size.at]!;
  if ((features & Feature.trash) !== 0) trashVerify(uma, zone, item, size);
  if ((features & Feature.ctor) !== 0) {
    let refused = true;
    try {
      const opened = openedZone(uma, zone);
      refused = refusal(
        opened,
        'ctor',
        opened.definition.ctor!(opened, item as Address, argument, flags),
      );
    } finally {
      if (refused) undoAlloc(uma, zone, cache, slot, features);
    }
    if (refused) return NULL;
  }
  if ((features & Feature.items) !== 0) {
    const entry = itemEntry(uma, words[zone + Z.keg.at]!, item);
    if (!markLive(uma, entry)) {
      throw new Panic(`Duplicate alloc of ${item} from zone ${uma.zoneName(zone)}`);
    }
  }
  if ((flags & M_ZERO) !== 0) cpu.kernels.zero(item, size);
  // straight
  words[slot] = HandKind.none;
  words[cpu.handTop]! -= 1;
  // end
  return item as Address;
}

/** The ctor failed: zone fini, back to the keg, counted as a free of what was counted as alloc. */
function undoAlloc(uma: Uma, zone: number, cache: number, slot: number, features: number): void {
  const { words, longs } = uma;
  longs[(cache + C.fails.at) >> 1]! += 1n;
  if ((features & Feature.trash) !== 0) trashFill(uma, words[slot + 1]!, words[zone + Z.size.at]!);
  freeItem(uma, zone, cache, slot);
  releaseSlot(uma.cpu, slot);
}

/**
 * The longer form of `free`: checks, dtor, trash, push. Misuse throws before anything changed; a
 * throwing dtor does not stop the free and is rethrown at its end.
 */
export function freeWithFeatures(uma: Uma, cache: number, item: number, argument: number): void {
  if (item === NULL) return;
  const { words } = uma;
  const zone = words[cache + C.zone.at]!;
  const features = words[cache + C.features.at]!;
  if ((features & Feature.items) !== 0) {
    const entry = checkedEntry(uma, zone, item);
    if (!markFree(uma, entry)) {
      throw new DoubleFreeError(
        `zone ${uma.zoneName(zone)}, CPU ${uma.cpu.number}: duplicate free of ${item}`,
      );
    }
  }
  if ((features & Feature.dtor) !== 0) runDtor(uma, zone, item, argument);
  if ((features & Feature.trash) !== 0) trashFill(uma, item, words[zone + Z.size.at]!);
  uma.operations.push(cache, item);
  uma.rethrow();
}

function runDtor(uma: Uma, zone: number, item: number, argument: number): void {
  const opened = openedZone(uma, zone);
  try {
    noPromise(opened, 'dtor', opened.definition.dtor!(opened, item as Address, argument));
  } catch (error) {
    uma.keepError(error);
  }
}

/** `zone_alloc_item`: one item past the cache, or NULL. */
export function allocItem(
  uma: Uma,
  zone: number,
  cache: number,
  flags: number,
  argument: number,
): Address {
  const { words, longs, cpu } = uma;
  const slot = reserveSlot(cpu);
  const keg = words[zone + Z.keg.at]!;
  if (!kegTake(uma, keg, zone, slot, cpuDomain(uma, cpu.number), flags)) {
    longs[(cache + C.fails.at) >> 1]! += 1n;
    releaseSlot(cpu, slot);
    return NULL;
  }
  if ((words[zone + Z.callbacks.at]! & CallbackBit.zinit) !== 0) {
    let refused = true;
    try {
      refused = runInit(uma, zone, 'zinit', words[slot + 1]!, flags);
    } finally {
      if (refused) {
        longs[(cache + C.fails.at) >> 1]! += 1n;
        kegRelease(uma, keg, slot, 0);
        releaseSlot(cpu, slot);
      }
    }
    if (refused) return NULL;
  }
  longs[(cache + C.zoneAllocs.at) >> 1]! += 1n;
  return finishAlloc(uma, cache, slot, flags, argument);
}

/** `zone_free_item` without dtor: zone fini, back to the keg; voids the slot. */
export function freeItem(uma: Uma, zone: number, cache: number, slot: number): void {
  const { words, longs } = uma;
  if ((words[zone + Z.callbacks.at]! & CallbackBit.zfini) !== 0) {
    runZfini(uma, zone, words[slot + 1]!);
  }
  kegRelease(uma, words[zone + Z.keg.at]!, slot, 0);
  longs[(cache + C.zoneFrees.at) >> 1]! += 1n;
}
