/**
 * The fast path: allocation and free through the per-CPU cache (spec 2.1, 2.7). No atomic, no
 * JavaScript allocation, no callback of a zone that has none.
 *
 * Why it needs no lock: a worker is never preempted between two statements, the cache's words are
 * private to the CPU while it is entered, and nothing between a load and its store here can run
 * other code. Hence the rule: no `await`, callback or lock in these two functions before the
 * item's word is stored.
 *
 * Why closures: one pair per thread over captured constants, with the cache's word index as
 * argument, is the fastest shape for many zones at one call site (docs/decisions/0005). They stay
 * well below V8's inlining limit of 460 bytes of bytecode: everything rare is a call.
 */

import { type Address, enterCpu, NULL } from '@umbuf/memory';
import { allocSlow, freeSlow } from './cache-slow.ts';
import { createAllocConstructed } from './construct.ts';
import { M_ZERO } from './flags.ts';
import { allocWithFeatures, freeWithFeatures } from './item.ts';
import { BucketHeader, CacheRecord, Feature } from './layout.ts';
import type { Uma } from './uma.ts';

const C = CacheRecord.fields;
const ALLOC_BUCKET = C.allocBucket.at;
const ALLOC_COUNT = C.allocCount.at;
const ALLOC_ENTRIES = C.allocEntries.at;
const ALLOC_FEATURES = C.allocFeatures.at;
const FREE_FEATURES = C.freeFeatures.at;
const ALLOCS = C.allocs.at;
const FREES = C.frees.at;
const LAST = BucketHeader.words - 1;
const NEXT: number = BucketHeader.words;
// V8 folds a module's own constants; an imported one is a cell that it loads and checks each time.
const NO_ITEM = NULL;
const ZERO = M_ZERO;
const CTOR: number = Feature.ctor;

/** The two hot functions of one thread. `cache` is the word index of this CPU's cache record. */
export interface CacheOperations {
  /** An item of the zone, or NULL: exhausted, or its ctor refused. */
  readonly alloc: (cache: number, flags: number, argument: number) => Address;
  /** Takes the item back. NULL is a no-op. */
  readonly free: (cache: number, item: number, argument: number) => void;
  /** `free` for an item whose dtor and checks have run. */
  readonly push: (cache: number, item: number) => void;
}

export function createCacheOperations(uma: Uma): CacheOperations {
  const { cpu, words, longs } = uma;
  const { entered } = cpu;
  const allocConstructed = createAllocConstructed(uma);

  function alloc(cache: number, flags: number, argument: number): Address {
    if (words[entered] === 0) enterCpu(cpu);
    const count = words[cache + ALLOC_COUNT]!;
    if (count === 0) return allocSlow(uma, cache, flags, argument);
    if ((words[cache + ALLOC_FEATURES]! | (flags & ZERO)) !== 0) {
      return allocLonger(cache, flags, argument);
    }
    words[cache + ALLOC_COUNT] = count - 1;
    longs[(cache + ALLOCS) >> 1]! += 1n;
    return words[(words[cache + ALLOC_BUCKET]! + count + LAST) | 0]! as Address;
  }

  function allocLonger(cache: number, flags: number, argument: number): Address {
    const features = words[cache + ALLOC_FEATURES]! | (flags & ZERO);
    if (features === CTOR) return allocConstructed(cache, flags, argument);
    return allocWithFeatures(uma, cache, flags, argument);
  }

  function free(cache: number, item: number, argument: number): void {
    if (words[entered] === 0) enterCpu(cpu);
    if (words[cache + FREE_FEATURES]! !== 0) {
      freeWithFeatures(uma, cache, item, argument);
      return;
    }
    if (item === NO_ITEM) return;
    push(cache, item);
  }

  function push(cache: number, item: number): void {
    const count = words[cache + ALLOC_COUNT]!;
    // Frees go to the alloc bucket first: LIFO, for warmth.
    if (count < words[cache + ALLOC_ENTRIES]!) {
      words[(words[cache + ALLOC_BUCKET]! + count + NEXT) | 0] = item;
      words[cache + ALLOC_COUNT] = count + 1;
      longs[(cache + FREES) >> 1]! += 1n;
      return;
    }
    freeSlow(uma, cache, item);
  }

  return { alloc, free, push };
}
