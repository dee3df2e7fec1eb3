/**
 * Where the items of each zone are, and what its CPUs have done: one model for everything that shows
 * zones (metrics, the live page, `umbuf top`). Read through a view, without stopping anyone: frees
 * before allocations, so that what is used is never negative; items on their way between two places
 * may be seen in both or in neither.
 */

import { cpusEverOnline } from '@umbuf/stats';
import { InternalFlag } from '../flags.ts';
import { CacheRecord, KegDomain, KegRecord, ZoneRecord } from '../layout.ts';
import { type LimitStatistics, readLimitStatistics } from '../limit/statistics.ts';
import { zoneCache } from '../zone-domain.ts';
import { readZoneFailures, type ZoneFailures } from './failures.ts';
import { isFirstOfKeg, type UmaView, zoneKeg, zoneName, zonesOf } from './view.ts';
import { cachedItems, queuedItems, sumCpus, sumDomains } from './zone-stats.ts';

const C = CacheRecord.fields;
const K = KegRecord.fields;

export interface ZoneUsage {
  /** Word index of the zone. */
  readonly zone: number;
  /** The name, made unique: a second zone `mine` is `mine_1`. */
  readonly label: string;
  /** Bytes per item. */
  readonly size: number;
  /** One of the allocator's own. */
  readonly internal: boolean;
  /** Word index of its keg; 0 for a cache zone. */
  readonly keg: number;
  /** Whether slabs and pages of the keg are counted here: the keg's first zone. */
  readonly primary: boolean;
  /** Items in users' hands, in per-CPU caches, on the zone's queues, free in slabs. */
  readonly used: number;
  readonly cpuCaches: number;
  readonly zoneCache: number;
  readonly slabFree: number;
  /** Pages of the keg, and items per slab; 0 unless `primary`. */
  readonly pages: number;
  readonly itemsPerSlab: number;
  readonly allocs: number;
  readonly frees: number;
  readonly fails: number;
  /** Frees of items of another domain; slow paths of allocation and free. */
  readonly crossFrees: number;
  readonly refills: number;
  readonly flushes: number;
  readonly limit: LimitStatistics;
  readonly failures: ZoneFailures;
  /** CPUs that were ever online. */
  readonly perCpu: readonly ZoneCpuUsage[];
}

export interface ZoneCpuUsage {
  readonly cpu: number;
  readonly allocs: number;
  readonly frees: number;
  /** Free items in its cache. */
  readonly cached: number;
}

/** All zones that are not destroyed, in the order of their creation. */
export function readZoneUsage(view: UmaView): ZoneUsage[] {
  const labels = new Set<string>();
  const cpus = cpusEverOnline(view.arena);
  return zonesOf(view).map((zone) => {
    const label = uniqueLabel(zoneName(view, zone), labels);
    labels.add(label);
    return usageOf(view, zone, label, cpus);
  });
}

function uniqueLabel(name: string, taken: ReadonlySet<string>): string {
  let label = name;
  for (let number = 1; taken.has(label); number++) label = `${name}_${number}`;
  return label;
}

function usageOf(view: UmaView, zone: number, label: string, cpus: readonly number[]): ZoneUsage {
  const { words } = view;
  const keg = zoneKeg(view, zone);
  const primary = keg !== 0 && isFirstOfKeg(view, zone);
  const sum = (field: number): number => Number(sumCpus(view, zone, field));
  const frees = sum(C.frees.at) + sum(C.zoneFrees.at);
  const allocs = sum(C.allocs.at) + sum(C.zoneAllocs.at);
  const perCpu = cpus.map((cpu) => cpuUsage(view, zone, cpu));
  return {
    zone,
    label,
    size: words[zone + ZoneRecord.fields.size.at]!,
    internal: (words[zone + ZoneRecord.fields.flags.at]! & InternalFlag.INTERNAL) !== 0,
    keg,
    primary,
    used: Math.max(0, allocs - frees),
    cpuCaches: perCpu.reduce((all, { cached }) => all + cached, 0),
    zoneCache: queuedItems(view, zone),
    slabFree: primary ? sumDomains(view, keg, KegDomain.fields.freeItems.at) : 0,
    pages: primary ? sumDomains(view, keg, KegDomain.fields.pages.at) : 0,
    itemsPerSlab: primary ? words[keg + K.ipers.at]! : 0,
    allocs,
    frees,
    fails: sum(C.fails.at),
    crossFrees: sum(C.crossFrees.at),
    refills: sum(C.refills.at),
    flushes: sum(C.flushes.at),
    limit: readLimitStatistics(view, zone),
    failures: readZoneFailures(view, zone),
    perCpu,
  };
}

/** Frees first, as everywhere. */
function cpuUsage(view: UmaView, zone: number, cpu: number): ZoneCpuUsage {
  const cache = zoneCache(zone, cpu);
  const long = (field: number): number => Number(Atomics.load(view.longs, (cache + field) >> 1));
  const frees = long(C.frees.at) + long(C.zoneFrees.at);
  const allocs = long(C.allocs.at) + long(C.zoneAllocs.at);
  return { cpu, allocs, frees, cached: cachedItems(view, zone, cpu) };
}
