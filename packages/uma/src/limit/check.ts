/**
 * The limits' part of `fsck`: invariants 6 and 7 of spec section 9, and the sum that a first
 * `setMax` would begin with. Over a quiescent arena; changes nothing.
 */

import { checkLimit, limitCount, limitGranted } from '@umbuf/memory';
import { CacheRecord, ZoneRecord } from '../layout.ts';
import type { Uma } from '../uma.ts';
import { zoneCache } from '../zone-domain.ts';
import { zoneLimit } from './reserve.ts';

const OUTSIDE = CacheRecord.fields.outside.at;
const PEAK = ZoneRecord.fields.limitPeak.at;

/** What is wrong with a zone of which `items` are outside its keg, cached and live. */
export function checkZoneLimit(uma: Uma, zone: number, items: number): string[] {
  const { words, cpu, arena } = uma;
  const name = uma.zoneName(zone);
  const wrong: string[] = [];
  let outside = 0;
  for (let number = 0; number < arena.cpus; number++) {
    outside += words[zoneCache(zone, number) + OUTSIDE]!;
  }
  outside |= 0;
  if (outside !== items) {
    wrong.push(`6: zone ${name}: ${items} items outside the keg, ${outside} counted by CPUs`);
  }
  const limit = zoneLimit(uma, zone);
  if (limit === 0) return wrong;
  const count = limitCount(uma, limit);
  const granted = limitGranted(uma, limit);
  if (count !== items + granted) {
    wrong.push(
      `6: zone ${name}: ${items} items outside the keg, ${granted} granted, ${count} counted by the limit`,
    );
  }
  for (const text of checkLimit(cpu, limit, Atomics.load(words, zone + PEAK))) {
    wrong.push(`7: zone ${name}: ${text}`);
  }
  return wrong;
}
