/**
 * Allocation from a bucket that has items, for a zone whose only feature is a ctor: what most typed
 * zones are at debug level `none`. The same steps as item.ts's longer form (which every other
 * combination takes) in one function, because each of their calls costs as much as the allocation.
 *
 * The item stands in a hand slot while the ctor runs, so a death there loses nothing. It stands
 * there as `unfinished` from the beginning: a death just before the ctor sends it to the keg.
 */

import { type Address, HandKind, HAND_SLOT_WORDS, HAND_SLOTS, NULL } from '@umbuf/memory';
import { fail, undo } from './hands.ts';
import { FailureSite, injected } from './inject.ts';
import { allocWithFeatures } from './item.ts';
import { BucketHeader, CacheRecord, Hand, ItemState, ZoneRecord } from './layout.ts';
import { countFailure, FailureReason } from './statistics/failures.ts';
import type { Uma } from './uma.ts';
import { openedZone, refusal } from './zone-callbacks.ts';

const C = CacheRecord.fields;
const ALLOC_BUCKET = C.allocBucket.at;
const ALLOC_COUNT = C.allocCount.at;
const ALLOCS = C.allocs.at;
const ZONE = C.zone.at;
const ID = ZoneRecord.fields.id.at;
const LAST = BucketHeader.words - 1;
// Constants of this module: V8 folds them (see cache.ts).
const NO_ITEM = NULL;
const VOID = HandKind.none;
const ITEM = Hand.item;
const UNFINISHED = ItemState.unfinished;
const SLOTS = HAND_SLOTS;
const CTOR_ALONE = FailureSite.ctorAlone;
const SLOT_WORDS = HAND_SLOT_WORDS;

/** The function of one thread; the cache's alloc bucket has an item. See CacheOperations.alloc. */
export function createAllocConstructed(
  uma: Uma,
): (cache: number, flags: number, argument: number) => Address {
  const { cpu, words, longs, opened } = uma;
  const { hand, handTop } = cpu;

  /** The ctor threw: back by zone fini and the keg, counted as a free. */
  function threw(cache: number, height: number, error: unknown): never {
    countFailure(uma, cache, FailureReason.ctor);
    return fail(uma, height, error);
  }

  /** The ctor refused: the same, and NULL. */
  function refuse(cache: number, height: number): Address {
    countFailure(uma, cache, FailureReason.ctor);
    undo(uma, height);
    uma.rethrow();
    return NO_ITEM;
  }

  return (cache, flags, argument) => {
    const height = words[handTop]!;
    if (height >= SLOTS) return allocWithFeatures(uma, cache, flags, argument);
    const slot = hand + height * SLOT_WORDS;
    const zone = words[cache + ZONE]!;
    const count = words[cache + ALLOC_COUNT]!;
    const item = words[(words[cache + ALLOC_BUCKET]! + count + LAST) | 0]!;
    // straight: a slot is reserved and filled, the item leaves its bucket
    words[slot + 1] = item;
    words[slot + 2] = zone;
    words[slot + 3] = UNFINISHED;
    words[slot] = ITEM;
    words[handTop] = height + 1;
    words[cache + ALLOC_COUNT] = count - 1;
    longs[(cache + ALLOCS) >> 1]! += 1n;
    // end
    let refused: boolean;
    try {
      // runCtor, in line.
      const open = opened[words[zone + ID]!] ?? openedZone(uma, zone);
      const outer = uma.takeError();
      const result: unknown = open.definition.ctor!(open, item as Address, argument, flags);
      uma.restoreError(outer);
      refused = result !== undefined && refusal(open, 'ctor', result);
      if (injected(uma, CTOR_ALONE)) refused = true;
    } catch (error) {
      return threw(cache, height, error);
    }
    if (refused) return refuse(cache, height);
    // straight
    words[slot] = VOID;
    // On a CPU that may not block the ctor may have left filled slots above this one.
    if (words[handTop] === height + 1) words[handTop] = height;
    // end
    return item as Address;
  };
}
