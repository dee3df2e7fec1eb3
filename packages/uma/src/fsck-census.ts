/**
 * What `fsck` collects on its way through the arena, and the sums that it makes of it at the end:
 * parts of the internal zones that are in use, pages that name a keg.
 */

import { kegOfPage, PAGE_SHIFT } from '@umbuf/memory';
import { ZoneRecord } from './layout.ts';
import type { Uma } from './uma.ts';

/** Where an item was found cached: for invariant 3. */
export interface Census {
  /** Item address -> where. */
  readonly cached: Map<number, string>;
  /** Bucket word index -> where. */
  readonly buckets: Map<number, string>;
  /** Cached items that are item starts of a slab of their keg. */
  readonly placed: Set<number>;
  /** Items of internal zones that are in use as slab headers, item tables, buckets: by zone. */
  readonly parts: Map<number, number>;
  readonly violations: string[];
}

/** `count` items of an internal zone are found in use. */
export function countPart(census: Census, zone: number, count: number = 1): void {
  census.parts.set(zone, (census.parts.get(zone) ?? 0) + count);
}

/** What the internal zones have given out is in use, and nothing else. */
export function checkParts(uma: Uma, live: Readonly<Record<string, number>>, census: Census): void {
  for (const [number, zones] of [
    [8, uma.bucketZones],
    [13, uma.tableZones],
    [13, uma.slabZones],
  ] as const) {
    for (const zone of zones) {
      const name = uma.zoneName(zone);
      const lost = uma.words[zone + ZoneRecord.fields.lostParts.at]!;
      const used = (census.parts.get(zone) ?? 0) + lost;
      if (live[name] !== used) {
        census.violations.push(`${number}: zone ${name}: ${live[name]} items out, ${used} in use`);
      }
    }
  }
}

/** Every page that names a keg is in a slab of it. */
export function checkPageTotal(uma: Uma, pages: number, census: Census): void {
  const { arena } = uma;
  let mapped = 0;
  for (let page = arena.firstPage; page < arena.pages; page++) {
    if (kegOfPage(arena, page << PAGE_SHIFT) !== 0) mapped++;
  }
  if (mapped !== pages)
    census.violations.push(`13: ${mapped} pages name a keg, kegs hold ${pages}`);
}
