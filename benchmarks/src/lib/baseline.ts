/**
 * What the allocator is compared with: a bare stack of words over a SharedArrayBuffer (its top in
 * memory, as a shared structure's must be), and the loops around both sides.
 */

import { M_NOWAIT, type Zone } from '@umbuf/uma';

/** Operations of a batch. The loops use constants of their own: an export is a cell to V8. */
export const BATCH = 128;
// As a program with hot loops would: an imported constant is a cell to V8, which costs 0.4 ns a use.
const NOWAIT = M_NOWAIT;
const BATCH_LENGTH: number = BATCH;

/** Word of the top; the values stand from STACK on, each on the other side of a line from it. */
const TOP = 0;
const STACK = 32;

type Words = Int32Array<SharedArrayBuffer>;

/** A stack of `values` values, 64, 128, ... */
export function bareStack(values: number): Words {
  const words = new Int32Array(new SharedArrayBuffer((STACK + values + 4096) * 4));
  for (let index = 0; index < values; index++) words[STACK + index] = (index + 1) * 64;
  words[TOP] = values;
  return words;
}

/** BATCH pops, then BATCH pushes. */
export function bareBatch(): () => void {
  const words = bareStack(1024);
  const items = new Int32Array(BATCH_LENGTH);
  return () => {
    for (let index = 0; index < BATCH_LENGTH; index++) {
      const top = words[TOP]! - 1;
      words[TOP] = top;
      items[index] = words[STACK + top]!;
    }
    for (let index = 0; index < BATCH_LENGTH; index++) {
      const top = words[TOP]!;
      words[STACK + top] = items[index]!;
      words[TOP] = top + 1;
    }
  };
}

/** BATCH allocations, then BATCH frees of one zone: `zone.batch128`. */
export function zoneBatch(zone: Zone): () => void {
  const items = new Int32Array(BATCH_LENGTH);
  return () => {
    for (let index = 0; index < BATCH_LENGTH; index++) items[index] = zone.alloc(NOWAIT);
    for (let index = 0; index < BATCH_LENGTH; index++) zone.free(items[index]!);
  };
}

export const RANDOM_PASS = 4096;
const RANDOM_TURNS: number = RANDOM_PASS;

/** RANDOM_PASS times: push a random one of `live` values, pop another. */
export function bareRandom(live: number): () => void {
  const words = bareStack(live + 1024);
  const held = new Int32Array(live);
  for (let index = 0; index < live; index++) {
    words[TOP]! -= 1;
    held[index] = words[STACK + words[TOP]!]!;
  }
  let random = 123;
  return () => {
    for (let turn = 0; turn < RANDOM_TURNS; turn++) {
      random ^= random << 13;
      random ^= random >>> 17;
      random ^= random << 5;
      const at = random & (live - 1);
      let top = words[TOP]!;
      words[STACK + top] = held[at]!;
      words[TOP] = top + 1;
      top = words[TOP]! - 1;
      words[TOP] = top;
      held[at] = words[STACK + top]!;
    }
  };
}

/** RANDOM_PASS times: free a random one of the `held` items, allocate another. */
export function zoneRandom(zone: Zone, held: Int32Array): () => void {
  const mask = held.length - 1;
  let random = 123;
  return () => {
    for (let turn = 0; turn < RANDOM_TURNS; turn++) {
      random ^= random << 13;
      random ^= random >>> 17;
      random ^= random << 5;
      const at = random & mask;
      zone.free(held[at]!);
      held[at] = zone.alloc(NOWAIT);
    }
  };
}

/** `count` items of `zone`; throws when it has not as many. */
export function allocate(zone: Zone, count: number): Int32Array {
  const items = new Int32Array(count);
  const got = zone.allocMany(items, 0, count, M_NOWAIT);
  if (got !== count) throw new Error(`${zone.name}: ${got} items instead of ${count}`);
  return items;
}
