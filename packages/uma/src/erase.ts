/**
 * The record of a destroyed zone becomes an empty one, for the next zone (create.ts). Under the
 * registry lock, and only while nobody can be inside (zone-life.ts).
 *
 * Locks stay as they are, with their counters; so do the words that say which buckets a cache has
 * loaded: they are 0, and belong to the CPUs. Pins may come and go meanwhile: `reclaimers` stays.
 * Who dies in here leaves the zone dead; the next one erases again.
 */

import { lockMutex, MutexRecord, unlockMutex } from '@umbuf/memory';
import { kegDomain } from './keg.ts';
import {
  CacheRecord,
  EventRecord,
  KegDomain,
  KegRecord,
  ZoneDomain,
  ZoneRecord,
} from './layout.ts';
import type { Uma } from './uma.ts';
import { zoneCache, zoneDomain } from './zone-domain.ts';

const Z = ZoneRecord.fields;
const C = CacheRecord.fields;
/** Words of a zone record that the next zone keeps. */
const KEPT: ReadonlySet<number> = new Set([
  Z.id.at,
  Z.state.at,
  Z.generation.at,
  Z.spareLimit.at,
  Z.reclaimers.at,
]);
/** Words of a cache that are the CPU's alone. */
const PRIVATE: ReadonlySet<number> = new Set(
  Object.values(C)
    .filter(({ kind }) => kind === 'private')
    .map(({ at }) => at),
);

/** Erases the dead zone at word index `zone`, with the room for a keg that begins at `keg`. */
export function eraseZone(uma: Uma, zone: number, keg: number): void {
  const { words, cpu, arena } = uma;
  const limit = words[zone + Z.limit.at]!;
  if (limit !== 0) words[zone + Z.spareLimit.at] = limit;
  words[zone + Z.generation.at]! += 1;
  for (let word = 0; word < ZoneRecord.words; word++) if (!KEPT.has(word)) words[zone + word] = 0;
  for (let number = 0; number < arena.cpus; number++) {
    const cache = zoneCache(zone, number);
    for (let word = 0; word < CacheRecord.words; word++) {
      if (!PRIVATE.has(word)) words[cache + word] = 0;
    }
  }
  words.fill(0, keg, keg + KegRecord.words);
  for (let domain = 0; domain < arena.domains; domain++) {
    for (const record of [zoneDomain(uma, zone, domain), kegDomain(keg, domain)]) {
      lockMutex(cpu, record);
      for (let word = MutexRecord.words; word < ZoneDomain.words; word++) words[record + word] = 0;
      unlockMutex(cpu, record);
    }
  }
  const events = kegDomain(keg, arena.domains);
  words.fill(0, events, events + arena.cpus * EventRecord.words);
}

// Both kinds of domain records are erased in one loop.
if (Number(ZoneDomain.words) !== Number(KegDomain.words)) {
  throw new RangeError('zone and keg domains differ in size');
}
