/** `@umbuf/tracing`: owners, who hold the memory. See docs/architecture. */

export { OwnerCounters, OwnerRecord, OWNERS_MAX, TracingRoot } from './layout.ts';
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
export {
  attachOwner,
  countOwner,
  detachOwner,
  OwnerCounter,
  ownerName,
  type OwnerCounts,
  type OwnerStatistics,
  readOwnerCounters,
  readOwners,
  requireOwner,
} from './owner.ts';
