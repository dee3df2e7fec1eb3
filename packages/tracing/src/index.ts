/** `@umbuf/tracing`: owners, who hold the memory. See docs/architecture. */

export {
  OWNER_NAME_BYTES,
  OwnerCounters,
  OwnerRecord,
  OWNERS_MAX,
  TracingRoot,
} from './layout.ts';
export {
  decodeMowners,
  encodeMowner,
  type Mowner,
  MOWNER_BYTES,
  MOWNER_COUNTERS,
  MOWNER_ROOM,
  type MownerRequest,
  MownerStreamError,
  readMowners,
  sysctlMowners,
} from './mowner-stream.ts';
export { ownerStatistics } from './owner-statistics.ts';
export {
  allOwners,
  attachOwner,
  countOwner,
  detachOwner,
  OwnerCounter,
  ownerCounterAt,
  ownerName,
  type OwnerCounts,
  type OwnerStatistics,
  publishRevoked,
  readOwnerCounters,
  readOwners,
  requireOwner,
  revokedOwner,
} from './owner.ts';
export { ownerMetrics } from './metrics.ts';
