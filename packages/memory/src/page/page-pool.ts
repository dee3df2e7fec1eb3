/**
 * The page pools: contiguous runs of pages, one pool per NUMA domain, served best-fit and
 * coalesced at once, so that 16 KiB slabs do not starve after hours of mixed use.
 *
 * Free runs of 1 to 32 pages have an exact bin each, longer ones a bin per power of two; a bitmap
 * finds the next bin that is not empty. Boundary tags stand in the page table: `run` is the length
 * on the first and last page of a free run, minus the length on those of a run in use. A neighbour
 * page of a run is always the end of another run, so freeing looks at two words to coalesce.
 *
 * Everything is under the pool's mutex, and each change is one straight line (see
 * cpu/hand-stack.ts), so a worker that dies here leaves the lists whole: the run is either free or
 * in the hand slot that the caller reserved.
 *
 * A run that is put back is given at once to those who wait for one (page-wait.ts), so what is free
 * is of use to none of them, and a request that does not wait may have it.
 *
 * Called by kegs (slabs) and static records; nobody else.
 */

import { NULL, PAGE_SHIFT, type Address } from '../address.ts';
import type { Arena } from '../arena.ts';
import type { Cpu } from '../cpu/cpu.ts';
import { HandKind } from '../cpu/hand-stack.ts';
import { ArgumentError, Panic } from '../errors.ts';
import { PageEntry, PagePool } from '../layout/records.ts';
import { lockMutex, unlockMutex } from '../sync/mutex.ts';
import { unmapPages } from './page-map.ts';
import { binOf, findRun, takeRun } from './page-run.ts';
import { settlePages } from './page-wait.ts';

const RUN = PageEntry.fields.run.at;
const NEXT = PageEntry.fields.next.at;
const PREVIOUS = PageEntry.fields.previous.at;
const ENTRY_SHIFT = 3;

const FIRST_PAGE = PagePool.fields.firstPage.at;
const END_PAGE = PagePool.fields.endPage.at;
const FREE_PAGES = PagePool.fields.freePages.at;
const FAILURES = PagePool.fields.failures.at;
const OCCUPIED = PagePool.fields.occupied.at;
const BINS = PagePool.fields.bins.at;
const WAIT_HEAD = PagePool.fields.waitHead.at;

/**
 * Takes `pages` contiguous pages from `domain` into the void hand slot `slot` (kind `pages`,
 * value first page, detail length) and returns the address of the first, or NULL (slot still
 * void) when no run is long enough. The pages' contents are whatever was left there. Throws
 * `ArgumentError` for less than one page and for a domain that the arena does not have.
 */
export function takePages(cpu: Cpu, pages: number, domain: number, slot: number): Address {
  const { words, arena } = cpu;
  if (!(Number.isInteger(pages) && pages >= 1)) {
    throw new ArgumentError(`takePages: ${pages} is not a number of pages from 1`);
  }
  if (!(Number.isInteger(domain) && domain >= 0 && domain < arena.domains)) {
    throw new ArgumentError(`takePages: domain ${domain} is not from 0 to ${arena.domains - 1}`);
  }
  const pool = arena.poolTable + domain * PagePool.words;
  const table = arena.pageTable;
  lockMutex(cpu, pool);
  const page = pages > arena.pages ? 0 : findRun(words, pool, table, pages);
  if (page === 0) {
    cpu.longs[(pool + FAILURES) >> 1]! += 1n;
    unlockMutex(cpu, pool);
    return NULL;
  }
  takeRun(words, pool, table, page, pages, slot);
  unlockMutex(cpu, pool);
  return (page << PAGE_SHIFT) as Address;
}

/**
 * Puts the run in hand slot `slot` back, joined with its free neighbours, and voids the slot.
 * Also the repair of a dead CPU's slot: the slot is cleared with the put, so it may be repeated.
 */
export function putPages(cpu: Cpu, slot: number): void {
  const { words, arena } = cpu;
  const page = words[slot + 1]!;
  const pages = words[slot + 2]!;
  const pool = poolOfPage(arena, page);
  const table = arena.pageTable;
  lockMutex(cpu, pool);
  const entry = table + (page << ENTRY_SHIFT);
  if (words[entry + RUN] !== -pages) {
    const tag = words[entry + RUN];
    unlockMutex(cpu, pool);
    throw new Panic(`page ${page}: run of ${pages} freed, tag says ${tag}`);
  }
  const end = page + pages;
  const endEntry = table + (end << ENTRY_SHIFT);
  const before = page > words[pool + FIRST_PAGE]! ? words[entry - (1 << ENTRY_SHIFT) + RUN]! : 0;
  const after = end < words[pool + END_PAGE]! ? words[endEntry + RUN]! : 0;
  const first = before > 0 ? page - before : page;
  const firstEntry = table + (first << ENTRY_SHIFT);
  const length = end - first + (after > 0 ? after : 0);
  const bin = binOf(length);
  const beforeBin = before > 0 ? binOf(before) : 0;
  const afterBin = after > 0 ? binOf(after) : 0;
  // straight: unlink the free neighbours, link the joined run, then void the hand slot
  if (before > 0) {
    const next = words[firstEntry + NEXT]!;
    const previous = words[firstEntry + PREVIOUS]!;
    if (previous !== 0) {
      words[table + (previous << ENTRY_SHIFT) + NEXT] = next;
    } else {
      words[pool + BINS + beforeBin] = next;
      if (next === 0) words[pool + OCCUPIED + (beforeBin >> 5)]! &= ~(1 << (beforeBin & 31));
    }
    if (next !== 0) words[table + (next << ENTRY_SHIFT) + PREVIOUS] = previous;
  }
  if (after > 0) {
    const next = words[endEntry + NEXT]!;
    const previous = words[endEntry + PREVIOUS]!;
    if (previous !== 0) {
      words[table + (previous << ENTRY_SHIFT) + NEXT] = next;
    } else {
      words[pool + BINS + afterBin] = next;
      if (next === 0) words[pool + OCCUPIED + (afterBin >> 5)]! &= ~(1 << (afterBin & 31));
    }
    if (next !== 0) words[table + (next << ENTRY_SHIFT) + PREVIOUS] = previous;
  }
  const head = words[pool + BINS + bin]!;
  words[firstEntry + RUN] = length;
  words[table + ((first + length - 1) << ENTRY_SHIFT) + RUN] = length;
  words[firstEntry + NEXT] = head;
  words[firstEntry + PREVIOUS] = 0;
  if (head !== 0) words[table + (head << ENTRY_SHIFT) + PREVIOUS] = first;
  words[pool + BINS + bin] = first;
  words[pool + OCCUPIED + (bin >> 5)]! |= 1 << (bin & 31);
  words[pool + FREE_PAGES]! += pages;
  words[slot] = HandKind.none;
  // end
  if (words[pool + WAIT_HEAD] !== 0) settlePages(cpu, pool);
  unlockMutex(cpu, pool);
}

/** Repair of a hand slot of kind `pages`: the run may be entered in the page map already. */
export function repairPages(cpu: Cpu, slot: number): void {
  unmapPages(cpu, (cpu.words[slot + 1]! << PAGE_SHIFT) as Address, cpu.words[slot + 2]!);
  putPages(cpu, slot);
}

/** Word index of the pool that serves `page`. */
export function poolOfPage(arena: Arena, page: number): number {
  for (let domain = 0; domain < arena.domains; domain++) {
    const pool = arena.poolTable + domain * PagePool.words;
    if (page >= arena.words[pool + FIRST_PAGE]! && page < arena.words[pool + END_PAGE]!)
      return pool;
  }
  throw new Panic(`page ${page} belongs to no pool`);
}

/** NUMA domain of a page. */
export function domainOfPage(arena: Arena, page: number): number {
  return (poolOfPage(arena, page) - arena.poolTable) / PagePool.words;
}

export interface PageGeometry {
  readonly poolTable: number;
  readonly pageTable: number;
  readonly firstPage: number;
  readonly pages: number;
  readonly domains: number;
}

/** Divides the pages among the domains: one free run each. Only `Arena.create` calls it. */
export function initPagePools(words: Int32Array<SharedArrayBuffer>, geometry: PageGeometry): void {
  const { poolTable, pageTable, firstPage, pages, domains } = geometry;
  const share = Math.floor((pages - firstPage) / domains);
  for (let domain = 0; domain < domains; domain++) {
    const pool = poolTable + domain * PagePool.words;
    const first = firstPage + domain * share;
    const end = domain === domains - 1 ? pages : first + share;
    const length = end - first;
    const bin = binOf(length);
    words[pool + FIRST_PAGE] = first;
    words[pool + END_PAGE] = end;
    words[pool + FREE_PAGES] = length;
    words[pool + BINS + bin] = first;
    words[pool + OCCUPIED + (bin >> 5)] = 1 << (bin & 31);
    words[pageTable + (first << ENTRY_SHIFT) + RUN] = length;
    words[pageTable + ((end - 1) << ENTRY_SHIFT) + RUN] = length;
  }
}
