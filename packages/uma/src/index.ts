/** `@umbuf/uma`: zones, kegs, slabs, buckets and per-CPU caches. See docs/architecture. */

export * from './bucket-ladder.ts';
export { defineZone, UMA_ALIGN_CACHE, UMA_ALIGN_PTR, type ZoneDefinition } from './definition.ts';
export { TRASH_WORD } from './debug.ts';
export * from './errors.ts';
export * from './flags.ts';
export { fsck, type FsckReport } from './fsck.ts';
export {
  adoptItem,
  isLive,
  itemEntry,
  itemGeneration,
  itemHolder,
} from './item-table.ts';
export * from './keg-layout.ts';
export * from './layout.ts';
export { type LimitStatistics, readLimitStatistics } from './limit/statistics.ts';
export { freePagesMin, updateBucketDisable } from './page-shortage.ts';
export { ANSWER_MS, reclaim, type ReclaimRequest, type ReclaimResult } from './reclaim.ts';
export { ANY_DOMAIN, reclaimersOf } from './reclaim-zone.ts';
export {
  type FailureName,
  FailureReason,
  readZoneFailures,
  type ZoneFailures,
} from './statistics/failures.ts';
export { type UmaView, viewUma } from './statistics/view.ts';
export { Uma, umaOf } from './uma.ts';
export * from './working-set.ts';
export { itemsPerSlab, Zone } from './zone.ts';
export { zoneCache, zoneDomain } from './zone-domain.ts';
export { allZoneStatistics, kegPages, type ZoneStatistics } from './zone-statistics.ts';
