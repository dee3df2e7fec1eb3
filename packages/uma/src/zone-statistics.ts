/**
 * Reading a zone's counters (spec 5.2): sums over CPUs by `Atomics.load`, without stopping anyone.
 * Frees are read before allocs, so `live` is never negative; each counter is monotone.
 */

import { CacheRecord, KegDomain, KegRecord, ZoneDomain, ZoneRecord } from './layout.ts';
import { kegDomain } from './keg.ts';
import type { Uma } from './uma.ts';
import { zoneCache, zoneDomain } from './zone-domain.ts';
import { ZoneState, zoneState } from './zone-life.ts';

const C = CacheRecord.fields;

export interface ZoneStatistics {
  readonly name: string;
  /** Bytes per item. */
  readonly size: number;
  readonly allocs: number;
  readonly frees: number;
  readonly fails: number;
  /** Items in users' hands: allocs - frees. */
  readonly live: number;
  /** Items in per-CPU caches (approximate while CPUs run) and on the domain queues. */
  readonly cached: number;
  readonly queued: number;
  /** Free items in slabs, and pages, of the zone's keg (shared with its secondary zones). */
  readonly kegFree: number;
  readonly pages: number;
  readonly refills: number;
  readonly flushes: number;
  /** Allocations by CPU number. */
  readonly perCpu: readonly number[];
}

export function readZoneStatistics(uma: Uma, zone: number): ZoneStatistics {
  const { words, arena } = uma;
  const frees = sum(uma, zone, C.frees.at) + sum(uma, zone, C.zoneFrees.at);
  const allocs = sum(uma, zone, C.allocs.at) + sum(uma, zone, C.zoneAllocs.at);
  let cached = 0;
  const perCpu: number[] = [];
  for (let cpu = 0; cpu < arena.cpus; cpu++) {
    const cache = zoneCache(zone, cpu);
    // Private words of other CPUs, read by Atomics: each a value that was there.
    cached +=
      Atomics.load(words, cache + C.allocCount.at) +
      Atomics.load(words, cache + C.freeCount.at) +
      Atomics.load(words, cache + C.crossCount.at);
    perCpu.push(counter(uma, cache + C.allocs.at) + counter(uma, cache + C.zoneAllocs.at));
  }
  const keg = words[zone + ZoneRecord.fields.keg.at]!;
  let queued = 0;
  let kegFree = 0;
  let pages = 0;
  for (let domain = 0; domain < arena.domains; domain++) {
    queued += Atomics.load(words, zoneDomain(uma, zone, domain) + ZoneDomain.fields.nitems.at);
    kegFree += Atomics.load(words, kegDomain(keg, domain) + KegDomain.fields.freeItems.at);
    pages += Atomics.load(words, kegDomain(keg, domain) + KegDomain.fields.pages.at);
  }
  return {
    name: uma.zoneName(zone),
    size: words[zone + ZoneRecord.fields.size.at]!,
    allocs,
    frees,
    fails: sum(uma, zone, C.fails.at),
    live: allocs - frees,
    cached,
    queued,
    kegFree,
    pages,
    refills: sum(uma, zone, C.refills.at),
    flushes: sum(uma, zone, C.flushes.at),
    perCpu,
  };
}

/** Statistics of every zone, internal ones included, in order of creation. */
export function allZoneStatistics(uma: Uma): ZoneStatistics[] {
  const all: ZoneStatistics[] = [];
  for (let id = 0; id < uma.zoneCount(); id++) {
    const zone = uma.zoneAt(id);
    if (zoneState(uma, zone) !== ZoneState.dead) all.push(readZoneStatistics(uma, zone));
  }
  return all;
}

/** Pages of a zone's keg, all domains. */
export function kegPages(uma: Uma, keg: number): number {
  let pages = 0;
  for (let domain = 0; domain < uma.arena.domains; domain++) {
    pages += Atomics.load(uma.words, kegDomain(keg, domain) + KegDomain.fields.pages.at);
  }
  return pages;
}

/** Whether the zone is the primary of its keg. */
export function isPrimary(uma: Uma, zone: number): boolean {
  return uma.words[uma.words[zone + ZoneRecord.fields.keg.at]! + KegRecord.fields.zone.at] === zone;
}

function sum(uma: Uma, zone: number, field: number): number {
  let total = 0;
  for (let cpu = 0; cpu < uma.arena.cpus; cpu++)
    total += counter(uma, zoneCache(zone, cpu) + field);
  return total;
}

function counter(uma: Uma, word: number): number {
  return Number(Atomics.load(uma.longs, word >> 1));
}
