/** The allocator's metrics: zones, per-CPU counters, limits, failures and locks. Stops nobody. */

import {
  arenaLocks,
  counter,
  gauge,
  lockMetrics,
  type MetricFamily,
  type MetricSample,
} from '@umbuf/stats';
import type { MutexStatistics } from '@umbuf/memory';
import { readMutex } from '@umbuf/memory';
import { zoneLocks } from './contention.ts';
import type { FailureName } from './failures.ts';
import { readZoneUsage, type ZoneCpuUsage, type ZoneUsage } from './usage.ts';
import type { UmaView } from './view.ts';

type ZoneValue = (zone: ZoneUsage) => number | bigint;

/** Everything of the zones and of all locks. `usage` saves a second reading. */
export function umaMetrics(
  view: UmaView,
  usage: readonly ZoneUsage[] = readZoneUsage(view),
): MetricFamily[] {
  return [
    ...itemMetrics(usage),
    ...cpuMetrics(usage),
    ...failureMetrics(usage),
    ...limitMetrics(usage.filter(({ limit }) => limit.max > 0)),
    ...lockMetrics(namedLocks(view, usage)),
  ];
}

/** Every lock of the arena by its unique name: `registry`, `page pool 0`, `mbuf keg 0`. */
export function namedLocks(
  view: UmaView,
  usage: readonly ZoneUsage[],
): (MutexStatistics & { readonly name: string })[] {
  const zones = usage.flatMap(({ zone, label }) =>
    zoneLocks(view, zone).map(({ path, lock }) => ({
      name: `${label} ${path.replace('.', ' ')}`,
      ...readMutex(view, lock),
    })),
  );
  return [...arenaLocks(view.arena), ...zones];
}

function perZone(usage: readonly ZoneUsage[], value: ZoneValue): MetricSample[] {
  return usage.map((zone) => ({ labels: { zone: zone.label }, value: value(zone) }));
}

function perCpu(usage: readonly ZoneUsage[], value: (cpu: ZoneCpuUsage) => number): MetricSample[] {
  return usage.flatMap((zone) =>
    zone.perCpu.map((cpu) => ({
      labels: { zone: zone.label, cpu: String(cpu.cpu) },
      value: value(cpu),
    })),
  );
}

const PLACES: readonly (readonly [state: string, items: (zone: ZoneUsage) => number])[] = [
  ['used', ({ used }) => used],
  ['cpu_cache', ({ cpuCaches }) => cpuCaches],
  ['zone_cache', ({ zoneCache }) => zoneCache],
  ['slab_free', ({ slabFree }) => slabFree],
];

function itemMetrics(usage: readonly ZoneUsage[]): MetricFamily[] {
  const primary = usage.filter((zone) => zone.primary);
  return [
    gauge(
      'umbuf_zone_item_size_bytes',
      'Size of an item',
      perZone(usage, ({ size }) => size),
    ),
    gauge(
      'umbuf_zone_items',
      'Items by where they are: in use, in CPU caches, in the zone cache, free in slabs',
      usage.flatMap((zone) =>
        PLACES.map(([state, items]) => ({
          labels: { zone: zone.label, state },
          value: items(zone),
        })),
      ),
    ),
    gauge(
      'umbuf_keg_pages',
      "Pages of the zone's keg",
      perZone(primary, ({ pages }) => pages),
    ),
    gauge(
      'umbuf_keg_slab_items',
      'Items per slab',
      perZone(primary, (zone) => zone.itemsPerSlab),
    ),
  ];
}

function cpuMetrics(usage: readonly ZoneUsage[]): MetricFamily[] {
  return [
    counter(
      'umbuf_zone_allocs',
      'Allocations',
      perCpu(usage, ({ allocs }) => allocs),
    ),
    counter(
      'umbuf_zone_frees',
      'Frees',
      perCpu(usage, ({ frees }) => frees),
    ),
    gauge(
      'umbuf_zone_cpu_cached_items',
      "Free items in the CPU's cache",
      perCpu(usage, ({ cached }) => cached),
    ),
    counter(
      'umbuf_zone_refills',
      'Allocations that found the CPU cache empty',
      perZone(usage, ({ refills }) => refills),
    ),
    counter(
      'umbuf_zone_flushes',
      'Frees that found the CPU cache full',
      perZone(usage, ({ flushes }) => flushes),
    ),
    counter(
      'umbuf_zone_cross_frees',
      'Frees of items of another domain',
      perZone(usage, ({ crossFrees }) => crossFrees),
    ),
  ];
}

function failureMetrics(usage: readonly ZoneUsage[]): MetricFamily[] {
  const reason = (name: string): string => name.replace(/[A-Z]/g, (big) => `_${big.toLowerCase()}`);
  return [
    counter(
      'umbuf_zone_failures',
      'Allocations that failed, by reason',
      usage.flatMap(({ label, failures }) =>
        (Object.keys(failures.reasons) as FailureName[]).map((name) => ({
          labels: { zone: label, reason: reason(name) },
          value: failures.reasons[name],
        })),
      ),
    ),
    counter(
      'umbuf_zone_bucket_failures',
      'Buckets that were not to be had; items then move one by one',
      perZone(usage, ({ failures }) => failures.bucket),
    ),
  ];
}

function limitMetrics(usage: readonly ZoneUsage[]): MetricFamily[] {
  return [
    gauge(
      'umbuf_zone_limit_items',
      'Items outside the keg that count against the limit',
      perZone(usage, ({ limit }) => limit.items),
    ),
    gauge(
      'umbuf_zone_limit_max',
      'The limit',
      perZone(usage, ({ limit }) => limit.max),
    ),
    gauge(
      'umbuf_zone_limit_sleepers',
      'Requests that sleep for the limit now',
      perZone(usage, ({ limit }) => limit.sleepers),
    ),
    counter(
      'umbuf_zone_limit_sleeps',
      'Requests that slept for the limit',
      perZone(usage, ({ limit }) => limit.sleeps),
    ),
    counter(
      'umbuf_zone_limit_sleeps_given_up',
      'Sleeps that ended without an item: time, abort, death',
      perZone(usage, ({ limit }) => limit.gaveUp),
    ),
    counter(
      'umbuf_zone_limit_hits',
      'Requests that met the limit',
      perZone(usage, ({ limit }) => limit.hits),
    ),
  ];
}
