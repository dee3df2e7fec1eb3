/** Reads the shared records as plain JavaScript values, for tests. */

import {
  BucketHeader,
  CacheRecord,
  KegDomain,
  KegRecord,
  SlabHeader,
  type Zone,
  ZoneDomain,
  zoneCache,
  zoneDomain,
} from '../../src/index.ts';

export interface CacheSide {
  readonly bucket: number;
  readonly count: number;
  readonly entries: number;
}

export function cacheOf(
  zone: Zone,
  cpu: number = zone.uma.cpu.number,
): { alloc: CacheSide; free: CacheSide } {
  const { words } = zone.uma;
  const cache = zoneCache(zone.record, cpu);
  const C = CacheRecord.fields;
  return {
    alloc: {
      bucket: words[cache + C.allocBucket.at]!,
      count: words[cache + C.allocCount.at]!,
      entries: words[cache + C.allocEntries.at]!,
    },
    free: {
      bucket: words[cache + C.freeBucket.at]!,
      count: words[cache + C.freeCount.at]!,
      entries: words[cache + C.freeEntries.at]!,
    },
  };
}

/** Items of each bucket on the zone's queue, head first. */
export function queueOf(zone: Zone, domain: number = 0): number[] {
  const { words } = zone.uma;
  const counts: number[] = [];
  let bucket = words[zoneDomain(zone.uma, zone.record, domain) + ZoneDomain.fields.head.at]!;
  for (; bucket !== 0; bucket = words[bucket + BucketHeader.fields.link.at]!) {
    counts.push(words[bucket + BucketHeader.fields.count.at]!);
  }
  return counts;
}

/** Word indices of the slabs on one list of the zone's keg. */
export function slabsOf(zone: Zone, list: 'partial' | 'free' | 'full', domain = 0): number[] {
  const { words } = zone.uma;
  const slabs: number[] = [];
  let slab = words[kegDomainOf(zone, domain) + KegDomain.fields[list].at]!;
  for (; slab !== 0; slab = words[slab + SlabHeader.fields.next.at]!) slabs.push(slab);
  return slabs;
}

/** Free items of each slab, list by list. */
export function kegLists(zone: Zone): Record<'partial' | 'free' | 'full', number[]> {
  const counts = (list: 'partial' | 'free' | 'full'): number[] =>
    slabsOf(zone, list).map((slab) => zone.uma.words[slab + SlabHeader.fields.freeCount.at]!);
  return { partial: counts('partial'), free: counts('free'), full: counts('full') };
}

export function kegDomainOf(zone: Zone, domain = 0): number {
  return zone.keg + KegRecord.words + domain * KegDomain.words;
}

/** Keg inits and finis so far. */
export function kegCallbacks(zone: Zone): { inits: number; finis: number } {
  const { longs } = zone.uma;
  const at = (field: number): number => Number(longs[(zone.keg + field) >> 1]);
  return { inits: at(KegRecord.fields.inits.at), finis: at(KegRecord.fields.finis.at) };
}
