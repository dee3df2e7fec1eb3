/** `@umbuf/uma`: zones, kegs, slabs, buckets and per-CPU caches. See docs/architecture. */

export * from './bucket-ladder.ts';
export { defineZone, UMA_ALIGN_CACHE, UMA_ALIGN_PTR, type ZoneDefinition } from './definition.ts';
export { TRASH_WORD } from './debug.ts';
export type { DestroyReport, LeakedItem } from './destroy.ts';
export * from './errors.ts';
export * from './flags.ts';
export { fsck, type FsckReport } from './fsck.ts';
export { FailureSite, type FailureSiteName, injectFailures, type Injector } from './inject.ts';
export {
  adoptItem,
  isLive,
  itemEntry,
  itemGeneration,
  itemHolder,
} from './item-table.ts';
export * from './keg-layout.ts';
export * from './layout.ts';
export { type AllocFailure, type AllocResult } from './alloc-result.ts';
export { type AllocAsyncOptions, type AllocWaitOptions } from './limit/async.ts';
export { type Maxaction } from './limit/maxaction.ts';
export {
  setZoneWarnings,
  warnOfLimit,
  WARNING_BYTES_MAX,
  WARNING_INTERVAL_S,
  zoneWarnings,
} from './limit/warning.ts';
export { freeHeld, HELD_ITEM, HELD_WHOLE } from './held.ts';
export { type LimitStatistics, readLimitStatistics } from './limit/statistics.ts';
export { LOW_MEMORY_PAUSE_MS, lowMemory, onLowMemory } from './low-memory.ts';
export { freePagesMin, updateBucketDisable } from './page-shortage.ts';
export { ANSWER_MS, reclaim, type ReclaimRequest, type ReclaimResult } from './reclaim.ts';
export { ANY_DOMAIN, reclaimersOf } from './reclaim-zone.ts';
export { Smr, type SmrStatistics } from './smr/smr.ts';
export { smrCpu, SmrCpuRecord, SmrRecord } from './smr/smr-layout.ts';
export {
  INVARIANTS_SEQUENCES,
  PRODUCTION_SEQUENCES,
  type SequenceLimits,
  sequenceDelta,
} from './smr/sequence.ts';
export {
  type FailureName,
  FailureReason,
  readZoneFailures,
  type ZoneFailures,
} from './statistics/failures.ts';
export {
  formatLocks,
  type LockStatistics,
  lockStatistics,
  type ZoneLock,
  zoneLocks,
} from './statistics/contention.ts';
export {
  decodeZoneStats,
  MemstatError,
  type MemoryType,
  memoryTypes,
  type PerCpuStat,
  type ZoneStat,
} from './statistics/memstat.ts';
export {
  type Occupancy,
  OCCUPANCY_BINS,
  readOccupancy,
  SLABS_PER_WALK,
} from './statistics/occupancy.ts';
export { namedLocks, umaMetrics } from './statistics/metrics.ts';
export {
  type KegPages,
  PageKind,
  type PageMap,
  type PageMapCell,
  readPageMap,
} from './statistics/page-map.ts';
export { readStranded, type StrandedCpu, type StrandedState } from './statistics/stranded.ts';
export { arenaStatistics } from './statistics/all.ts';
export { addUmaSysctl, umaSysctl } from './statistics/sysctl.ts';
export { itemOwner } from './owner/item-owner.ts';
export { type WalkedItem, walkItems } from './owner/walk.ts';
export { ownCopy, pcpuCopy, pcpuZones } from './pcpu.ts';
export { readZoneUsage, type ZoneCpuUsage, type ZoneUsage } from './statistics/usage.ts';
export { type UmaView, viewUma } from './statistics/view.ts';
export {
  formatVmstatZ,
  readMemoryTypes,
  type VmstatZ,
  type VmstatZone,
  vmstatZ,
} from './statistics/vmstat.ts';
export { encodeZoneStats } from './statistics/zone-stats.ts';
export { sysctlName } from './statistics/zone-sysctl.ts';
export { REDZONE_BYTE, REDZONE_BYTES, REDZONE_ITEM_MAX } from './redzone.ts';
export * from './typed/index.ts';
export { Uma, umaOf, type UmaOptions } from './uma.ts';
export {
  endPeriods,
  MISSED_PERIODS_MAX,
  PERIOD_MS,
  setTrimPeriod,
  watchPeriods,
} from './voluntary-trim.ts';
export * from './working-set.ts';
export { itemsPerSlab, Zone } from './zone.ts';
export { zoneCache, zoneDomain } from './zone-domain.ts';
export { ZoneState, zoneState } from './zone-life.ts';
export { allZoneStatistics, kegPages, type ZoneStatistics } from './zone-statistics.ts';
