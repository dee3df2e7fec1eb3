/**
 * What an allocation that may wait returns: the item, or why there is none (the kernel's NULL says
 * nothing). Exhaustion is a result, never an error.
 */

import { type Address, NULL } from '@umbuf/memory';
import { type FailureName, FailureReason } from './statistics/failures.ts';
import type { Uma } from './uma.ts';

/**
 * - `timeout`: the time was up before anything was free
 * - `tableFull`: too many requests wait for the zone already
 * - `limit`: the zone is at its limit, and the request could not wait
 * - `pages`, `novm`, `reserve`: no free item, and no pages for a slab, or not for this request
 * - `init`, `zinit`, `ctor`: that callback refused
 * - `import`: the import function of a cache zone delivered nothing
 * - `busy`: a lock was busy on a CPU that may not block; try again in a later job
 */
export type AllocFailure = FailureName;

export type AllocResult =
  | { readonly item: Address; readonly failure: undefined }
  | { readonly item: typeof NULL; readonly failure: AllocFailure };

const names = new Map<number, FailureName>(
  Object.entries(FailureReason).map(([name, reason]) => [reason, name as FailureName]),
);

/** The result for what an allocation has just returned; NULL takes the reason counted last. */
export function allocResult(uma: Uma, item: Address): AllocResult {
  if (item !== NULL) return { item, failure: undefined };
  return failedWith(names.get(uma.failed)!);
}

export function failedWith(failure: AllocFailure): AllocResult {
  return { item: NULL, failure };
}
