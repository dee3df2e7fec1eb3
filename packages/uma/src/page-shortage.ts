/**
 * `bucketdisable` (spec 1.6): while the arena is short of pages no new buckets are made, so that what
 * is left goes to items. Looked at when UMA is made, at the end of each period and at each global
 * reclaim, as in the kernel.
 */

import { freePageCount } from '@umbuf/memory';
import { UmaRoot } from './layout.ts';
import type { Uma } from './uma.ts';

const DISABLE = UmaRoot.fields.bucketDisable.at;

/** The kernel's `v_free_min` before its fixed part: a page of two hundred. */
const PAGES_PER_FREE_PAGE = 200;

/** Free pages below which the arena is short of them (`vm_page_count_min`). */
export function freePagesMin(uma: Uma): number {
  return Math.ceil((uma.arena.pages - uma.arena.firstPage) / PAGES_PER_FREE_PAGE);
}

/** `bucket_enable`: sets or clears the switch by the pages that are free now. */
export function updateBucketDisable(uma: Uma): void {
  const short = freePageCount(uma.arena) < freePagesMin(uma) ? 1 : 0;
  if (uma.words[uma.root + DISABLE] !== short) Atomics.store(uma.words, uma.root + DISABLE, short);
}
