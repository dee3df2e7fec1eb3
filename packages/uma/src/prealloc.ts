/**
 * What a keg keeps for hard times, and slabs built ahead (`uma_zone_reserve`, `uma_prealloc`,
 * spec 3.5). Any thread may call them at any time.
 */

import { ArgumentError, enterCpu, requireInteger } from '@umbuf/memory';
import { isCacheKeg } from './cache-zone.ts';
import { nextDomain } from './domain-policy.ts';
import { M_NOWAIT } from './flags.ts';
import { fail, handHeight } from './hands.ts';
import { KegRecord } from './layout.ts';
import { buildSlab } from './slab.ts';
import type { Uma } from './uma.ts';

const K = KegRecord.fields;
/** Items of one arena: an item is eight bytes at least. */
const ITEMS_MAX = 0x1fff_ffff;

/** See Zone.reserve. */
export function setReserve(uma: Uma, keg: number, items: number): void {
  requireInteger('reserve: items', items, 0, ITEMS_MAX);
  requireKeg(uma, keg);
  Atomics.store(uma.words, keg + K.reserve.at, items);
}

/** See Zone.prealloc. */
export function prealloc(uma: Uma, keg: number, items: number): number {
  const { words, cpu, arena } = uma;
  requireInteger('prealloc: items', items, 0, ITEMS_MAX);
  requireKeg(uma, keg);
  if (words[cpu.entered] === 0) enterCpu(cpu);
  const ipers = words[keg + K.ipers.at]!;
  const wanted = Math.ceil(items / ipers);
  const height = handHeight(cpu);
  let built = 0;
  try {
    while (built < wanted && buildAnywhere(uma, keg, arena.domains)) built++;
  } catch (error) {
    // What was built stays.
    fail(uma, height, error);
  }
  uma.rethrow();
  return built * ipers;
}

function requireKeg(uma: Uma, keg: number): void {
  if (isCacheKeg(uma, keg)) throw new ArgumentError('a cache zone has no keg to keep items in');
}

/** One slab in the keg's next domain that has pages for it. */
function buildAnywhere(uma: Uma, keg: number, domains: number): boolean {
  for (let turn = 0; turn < domains; turn++) {
    if (buildSlab(uma, keg, nextDomain(uma, keg), M_NOWAIT)) return true;
  }
  return false;
}
