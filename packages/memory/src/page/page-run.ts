/**
 * Runs of free pages in one pool: which bin a run is in, finding one, and taking it off its list.
 * Under the pool's lock; page-pool.ts has the picture and the invariants.
 */

import { HandKind } from '../cpu/hand-stack.ts';
import { PageEntry, PagePool } from '../layout/records.ts';

const RUN = PageEntry.fields.run.at;
const NEXT = PageEntry.fields.next.at;
const PREVIOUS = PageEntry.fields.previous.at;
const ENTRY_SHIFT = 3;
const FREE_PAGES = PagePool.fields.freePages.at;
const OCCUPIED = PagePool.fields.occupied.at;
const BINS = PagePool.fields.bins.at;

/** The bin of a run of `pages` pages: exact up to 32, then one per power of two. */
export function binOf(pages: number): number {
  return pages <= 32 ? pages - 1 : 58 - Math.clz32(pages);
}

/**
 * The first page of a run of at least `pages`, from the smallest bin that has one; 0 when there
 * is none. Under the pool's lock; changes nothing.
 */
export function findRun(
  words: Int32Array<SharedArrayBuffer>,
  pool: number,
  table: number,
  pages: number,
): number {
  let bin = binOf(pages);
  if (bin >= 32) {
    // A long run's bin also holds shorter ones: walk it. Ends with the list.
    for (
      let page = words[pool + BINS + bin]!;
      page !== 0;
      page = words[table + (page << ENTRY_SHIFT) + NEXT]!
    ) {
      if (words[table + (page << ENTRY_SHIFT) + RUN]! >= pages) return page;
    }
    bin++;
  }
  for (let word = bin >> 5; word < 2; word++) {
    let occupied = words[pool + OCCUPIED + word]!;
    if (word === bin >> 5) occupied &= -1 << (bin & 31);
    if (occupied !== 0) {
      return words[pool + BINS + word * 32 + (31 - Math.clz32(occupied & -occupied))]!;
    }
  }
  return 0;
}

/**
 * Takes the first `pages` pages of the free run at `page` into the void hand slot `slot` (kind
 * `pages`); what is left of the run stays free.
 */
export function takeRun(
  words: Int32Array<SharedArrayBuffer>,
  pool: number,
  table: number,
  page: number,
  pages: number,
  slot: number,
): void {
  const entry = table + (page << ENTRY_SHIFT);
  const length = words[entry + RUN]!;
  const bin = binOf(length);
  const rest = length - pages;
  const restPage = page + pages;
  const restEntry = table + (restPage << ENTRY_SHIFT);
  const restBin = rest > 0 ? binOf(rest) : 0;
  // straight: hand first, then unlink the run, put back its rest, tag both
  words[slot + 1] = page;
  words[slot + 2] = pages;
  words[slot] = HandKind.pages;
  const next = words[entry + NEXT]!;
  const previous = words[entry + PREVIOUS]!;
  if (previous !== 0) {
    words[table + (previous << ENTRY_SHIFT) + NEXT] = next;
  } else {
    words[pool + BINS + bin] = next;
    if (next === 0) words[pool + OCCUPIED + (bin >> 5)]! &= ~(1 << (bin & 31));
  }
  if (next !== 0) words[table + (next << ENTRY_SHIFT) + PREVIOUS] = previous;
  if (rest > 0) {
    const head = words[pool + BINS + restBin]!;
    words[restEntry + RUN] = rest;
    words[table + ((page + length - 1) << ENTRY_SHIFT) + RUN] = rest;
    words[restEntry + NEXT] = head;
    words[restEntry + PREVIOUS] = 0;
    if (head !== 0) words[table + (head << ENTRY_SHIFT) + PREVIOUS] = restPage;
    words[pool + BINS + restBin] = restPage;
    words[pool + OCCUPIED + (restBin >> 5)]! |= 1 << (restBin & 31);
  }
  words[entry + RUN] = -pages;
  words[restEntry - (1 << ENTRY_SHIFT) + RUN] = -pages;
  words[pool + FREE_PAGES]! -= pages;
  // end
}
