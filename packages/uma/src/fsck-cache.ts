/** `fsck` of cache zones (cache-zone.ts): conservation of items, and that each is in one place. */

import type { Census } from './fsck-census.ts';
import { BucketHeader, KegRecord, ZoneRecord } from './layout.ts';
import type { Uma } from './uma.ts';

const K = KegRecord.fields;

/** What a cache zone has imported and not released is cached, or out. */
export function checkImports(uma: Uma, keg: number, items: number, census: Census): void {
  const imported = Number(Atomics.load(uma.longs, (keg + K.inits.at) >> 1));
  const released = Number(Atomics.load(uma.longs, (keg + K.finis.at) >> 1));
  if (imported - released !== items) {
    const name = uma.zoneName(uma.words[keg + K.zone.at]!);
    census.violations.push(
      `1: cache zone ${name}: ${imported} items imported, ${released} released, ${items} cached or out`,
    );
  }
}

/** Items of a cache zone may be anything but 0; each is in one place of the zone. */
export function countForeign(
  uma: Uma,
  zone: number,
  bucket: number,
  count: number,
  where: string,
  census: Census,
): void {
  const { words } = uma;
  const own = (words[zone + ZoneRecord.fields.id.at]! + 1) * 2 ** 32;
  for (let index = 0; index < count; index++) {
    const item = words[bucket + BucketHeader.words + index]!;
    const key = own + (item >>> 0);
    const elsewhere = census.cached.get(key);
    if (item === 0) census.violations.push(`3: ${where}: item 0`);
    if (elsewhere !== undefined) {
      census.violations.push(`3: item ${item} in ${where} and in ${elsewhere}`);
    }
    census.cached.set(key, where);
    census.placed.add(key);
  }
}
