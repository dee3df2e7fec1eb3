/**
 * One look at an arena: everything that the page and `umbuf top` draw, as a document of objects, numbers
 * and texts, so that the difference of two is a merge patch. Lists are objects by name or number; `order`
 * says how they stand. Reading takes no lock and stops no CPU: values are of some moment each.
 */

import { type Arena, DebugLevel, PAGE_SIZE } from '@umbuf/memory';
import { arenaLocks, cpusEverOnline, cpuStateName, readPools } from '@umbuf/stats';
import { readOwners } from '@umbuf/tracing';
import {
  namedLocks,
  PageKind,
  type PageMap,
  readPageMap,
  readZoneUsage,
  type UmaView,
  viewUma,
  ZoneRecord,
  type ZoneUsage,
} from '@umbuf/uma';

export const SNAPSHOT_VERSION = 1;
/** Cells of the page map at most. */
export const MAP_CELLS_MAX = 2048;

type ByName<Value> = { readonly [name: string]: Value };

// Types rather than interfaces: a document is also plain JSON.
export type LiveSnapshot = {
  readonly version: number;
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly arena: LiveArena;
  readonly pages: LivePages;
  readonly cpus: ByName<LiveCpu>;
  readonly zones: ByName<LiveZone>;
  readonly owners: ByName<LiveOwner>;
  readonly locks: ByName<LiveLock>;
  readonly map: LiveMap;
};

export type LiveArena = {
  readonly bytes: number;
  readonly pageBytes: number;
  readonly cpus: number;
  readonly domains: number;
  readonly level: string;
};

export type LivePages = {
  readonly total: number;
  readonly free: number;
  /** Requests that found no run; that waited; whose wait ended without pages. */
  readonly failures: number;
  readonly waits: number;
  readonly waitsGivenUp: number;
};

/** By number; only CPUs that a thread has ever held. */
export type LiveCpu = {
  readonly state: string;
  /** Sums over all zones. */
  readonly allocs: number;
  readonly frees: number;
  readonly cached: number;
};

/** By label. Counts of items. */
export type LiveZone = {
  readonly order: number;
  /** Its number; the page map's cells name it for the keg whose first zone it is. */
  readonly id: number;
  readonly bytes: number;
  readonly internal: boolean;
  readonly used: number;
  readonly cpuCaches: number;
  readonly zoneCache: number;
  readonly slabFree: number;
  readonly pages: number;
  readonly itemsPerSlab: number;
  readonly allocs: number;
  readonly frees: number;
  readonly fails: number;
  readonly crossFrees: number;
  readonly refills: number;
  readonly flushes: number;
  /** 0: no limit. */
  readonly limit: number;
  readonly limitItems: number;
  readonly sleepers: number;
  readonly sleeps: number;
  readonly sleepsGivenUp: number;
  readonly perCpu: ByName<{
    readonly allocs: number;
    readonly frees: number;
    readonly cached: number;
  }>;
};

/** By name and description. Held: claims without a release. */
export type LiveOwner = {
  readonly order: number;
  readonly name: string;
  readonly description: string;
  readonly small: number;
  readonly ext: number;
  readonly cluster: number;
  readonly claims: number;
  readonly releases: number;
};

/** By name; locks that were ever taken. */
export type LiveLock = {
  readonly operations: number;
  readonly waits: number;
  readonly spins: number;
  readonly ownerSwitches: number;
  readonly waitMs: number;
  readonly longestWaitMs: number;
};

export type LiveMap = {
  readonly pagesPerCell: number;
  readonly free: number;
  readonly records: number;
  readonly longestFree: number;
  /** By label of the keg's first zone. */
  readonly kegs: ByName<LiveKeg>;
  /** By index: (0 free, 1 records, 2 + id of the keg's first zone) << 16 | taken << 8 | fill. */
  readonly cells: ByName<number>;
};

export type LiveKeg = {
  readonly id: number;
  readonly pages: number;
  readonly slabs: number;
  readonly out: number;
  readonly items: number;
  /** Slabs by tenths of their items that are out, ten counts. */
  readonly occupancy: string;
};

/** Takes looks at one arena; it remembers the page map, which is not read at each of them. */
export class Sampler {
  readonly arena: Arena;
  private readonly cellsMax: number;
  private map: LiveMap | undefined;
  private mapDueMs = 0;

  constructor(arena: Arena, cellsMax: number = MAP_CELLS_MAX) {
    this.arena = arena;
    this.cellsMax = cellsMax;
  }

  sample(): LiveSnapshot {
    const { arena } = this;
    const view = viewUma(arena);
    const usage = view === undefined ? [] : readZoneUsage(view);
    const locks = view === undefined ? arenaLocks(arena) : namedLocks(view, usage);
    return {
      version: SNAPSHOT_VERSION,
      atMs: Date.now(),
      arena: {
        bytes: arena.pages * PAGE_SIZE,
        pageBytes: PAGE_SIZE,
        cpus: arena.cpus,
        domains: arena.domains,
        level: Object.keys(DebugLevel)[arena.level] ?? String(arena.level),
      },
      pages: readPages(arena),
      cpus: cpusOf(arena, usage),
      zones: byName(usage.map((zone, order) => [zone.label, zoneOf(arena, zone, order)])),
      owners: ownersOf(arena),
      locks: byName(
        locks
          .filter(({ n_lock_ops }) => n_lock_ops > 0n)
          .map((lock) => [
            lock.name,
            {
              operations: Number(lock.n_lock_ops),
              waits: Number(lock.n_waiting),
              spins: Number(lock.n_spin_acq),
              ownerSwitches: Number(lock.n_owner_switch),
              waitMs: Number(lock.total_wait_ns) / 1e6,
              longestWaitMs: Number(lock.max_wait_ns) / 1e6,
            },
          ]),
      ),
      map: this.pageMap(view, usage),
    };
  }

  /** Read so rarely that it takes at most a fiftieth of the time. */
  private pageMap(view: UmaView | undefined, usage: readonly ZoneUsage[]): LiveMap {
    const from = performance.now();
    if (this.map !== undefined && from < this.mapDueMs) return this.map;
    this.map = view === undefined ? NO_MAP : mapOf(view, usage, readPageMap(view, this.cellsMax));
    const now = performance.now();
    this.mapDueMs = now + (now - from) * 50;
    return this.map;
  }
}

const NO_MAP: LiveMap = {
  pagesPerCell: 1,
  free: 0,
  records: 0,
  longestFree: 0,
  kegs: {},
  cells: {},
};

function readPages(arena: Arena): LivePages {
  const pages = { total: arena.pages, free: 0, failures: 0, waits: 0, waitsGivenUp: 0 };
  for (const pool of readPools(arena)) {
    pages.free += pool.free;
    pages.failures += Number(pool.failures);
    pages.waits += Number(pool.waits);
    pages.waitsGivenUp += Number(pool.waitsGivenUp);
  }
  return pages;
}

function cpusOf(arena: Arena, usage: readonly ZoneUsage[]): ByName<LiveCpu> {
  return byName(
    cpusEverOnline(arena).map((cpu) => {
      const sum = { allocs: 0, frees: 0, cached: 0 };
      for (const { perCpu } of usage) {
        const own = perCpu.find((each) => each.cpu === cpu);
        sum.allocs += own?.allocs ?? 0;
        sum.frees += own?.frees ?? 0;
        sum.cached += own?.cached ?? 0;
      }
      return [String(cpu), { state: cpuStateName(arena, cpu), ...sum }];
    }),
  );
}

function zoneOf(arena: Arena, zone: ZoneUsage, order: number): LiveZone {
  return {
    order,
    id: arena.words[zone.zone + ZoneRecord.fields.id.at]!,
    bytes: zone.size,
    internal: zone.internal,
    used: zone.used,
    cpuCaches: zone.cpuCaches,
    zoneCache: zone.zoneCache,
    slabFree: zone.slabFree,
    pages: zone.pages,
    itemsPerSlab: zone.itemsPerSlab,
    allocs: zone.allocs,
    frees: zone.frees,
    fails: zone.fails,
    crossFrees: zone.crossFrees,
    refills: zone.refills,
    flushes: zone.flushes,
    limit: zone.limit.max,
    limitItems: zone.limit.items,
    sleepers: zone.limit.sleepers,
    sleeps: zone.limit.sleeps,
    sleepsGivenUp: zone.limit.gaveUp,
    perCpu: byName(
      zone.perCpu.map(({ cpu, allocs, frees, cached }) => [String(cpu), { allocs, frees, cached }]),
    ),
  };
}

function ownersOf(arena: Arena): ByName<LiveOwner> {
  return byName(
    readOwners(arena).map((owner, order) => [
      `${owner.name} ${owner.description}`,
      {
        order,
        name: owner.name,
        description: owner.description,
        small: Number(owner.claims - owner.releases),
        ext: Number(owner.extClaims - owner.extReleases),
        cluster: Number(owner.clusterClaims - owner.clusterReleases),
        claims: Number(owner.claims),
        releases: Number(owner.releases),
      },
    ]),
  );
}

function mapOf(view: UmaView, usage: readonly ZoneUsage[], map: PageMap): LiveMap {
  const primary = new Map(usage.filter((zone) => zone.primary).map((zone) => [zone.keg, zone]));
  const idOf = (keg: number): number => {
    const zone = primary.get(keg);
    return zone === undefined ? -1 : view.words[zone.zone + ZoneRecord.fields.id.at]!;
  };
  const kindOf = (kind: number): number =>
    kind === PageKind.free || kind === PageKind.records ? kind : 2 + idOf(kind);
  return {
    pagesPerCell: map.pagesPerCell,
    free: map.free,
    records: map.records,
    longestFree: map.longestFree,
    kegs: byName(
      map.kegs.flatMap(({ keg, pages, slabs, out, items, occupancy }) => {
        const zone = primary.get(keg);
        // A zone that was made or destroyed between the two readings.
        if (zone === undefined) return [];
        const count = { id: idOf(keg), pages, slabs, out, items, occupancy: occupancy.join(' ') };
        return [[zone.label, count] as const];
      }),
    ),
    cells: byName(
      map.cells.map(({ kind, taken, fill }, index) => [
        String(index),
        (kindOf(kind) << 16) | (taken << 8) | fill,
      ]),
    ),
  };
}

/** Without a prototype: names come from the arena. */
function byName<Value>(entries: readonly (readonly [string, Value])[]): ByName<Value> {
  const result = Object.create(null) as Record<string, Value>;
  for (const [name, value] of entries) result[name] = value;
  return result;
}
