/** `@umbuf/tracing`: owners, who hold the memory. See docs/architecture. */

export { OwnerCounters, OwnerRecord, OWNERS_MAX, TracingRoot } from './layout.ts';
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
