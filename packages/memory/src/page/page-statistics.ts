/**
 * What the page pools hold: for reports, live lines and `fsck`. Reading never stops anyone, so
 * figures taken beside running CPUs are those of some moment each, not of one moment together.
 */

import type { Arena } from '../arena.ts';
import type { Cpu } from '../cpu/cpu.ts';
import { PageEntry, PAGE_BINS, PagePool } from '../layout/records.ts';
import { lockMutex, unlockMutex } from '../sync/mutex.ts';
import { binOf } from './page-run.ts';
import { checkPageQueue } from './page-wait-check.ts';

const RUN = PageEntry.fields.run.at;
const NEXT = PageEntry.fields.next.at;
const PREVIOUS = PageEntry.fields.previous.at;
const POOL = PagePool.fields;

/** Pages on the free lists of all domains. */
export function freePageCount(arena: Arena): number {
  let pages = 0;
  for (let domain = 0; domain < arena.domains; domain++) {
    pages += Atomics.load(
      arena.words,
      arena.poolTable + domain * PagePool.words + POOL.freePages.at,
    );
  }
  return pages;
}

/** Pages that kegs and static records hold. */
export function pagesInUse(arena: Arena): number {
  return arena.pages - arena.firstPage - freePageCount(arena);
}

/** Longest free run of any domain, in pages. Takes each pool's lock in turn. */
export function largestFreeRun(cpu: Cpu): number {
  const { arena, words } = cpu;
  let largest = 0;
  for (let domain = 0; domain < arena.domains; domain++) {
    const pool = arena.poolTable + domain * PagePool.words;
    lockMutex(cpu, pool);
    for (let bin = PAGE_BINS - 1; bin >= 0 && binOf(Math.max(1, largest)) <= bin; bin--) {
      let page = words[pool + POOL.bins.at + bin]!;
      if (page === 0) continue;
      for (; page !== 0; page = words[arena.pageTable + page * PageEntry.words + NEXT]!) {
        largest = Math.max(largest, words[arena.pageTable + page * PageEntry.words + RUN]!);
      }
      break;
    }
    unlockMutex(cpu, pool);
  }
  return largest;
}

/**
 * Checks one domain's free lists against the boundary tags: every free run is in the right bin
 * once, no two free runs touch, and the counts agree; and the queue of those who wait for pages. Returns what is wrong, in words.
 */
export function checkPagePool(cpu: Cpu, domain: number): string[] {
  const { arena, words } = cpu;
  const pool = arena.poolTable + domain * PagePool.words;
  const violations: string[] = [];
  lockMutex(cpu, pool);
  const listed = new Map<number, number>();
  for (let bin = 0; bin < PAGE_BINS; bin++) {
    const head = words[pool + POOL.bins.at + bin]!;
    const bit = (words[pool + POOL.occupied.at + (bin >> 5)]! >> (bin & 31)) & 1;
    if ((head !== 0 ? 1 : 0) !== bit) violations.push(`bin ${bin}: occupied bit is ${bit}`);
    let previous = 0;
    for (let page = head; page !== 0; ) {
      const entry = arena.pageTable + page * PageEntry.words;
      const run = words[entry + RUN]!;
      if (run <= 0 || binOf(run) !== bin) {
        violations.push(`page ${page}: run ${run} in bin ${bin}`);
        break;
      }
      if (listed.has(page)) {
        violations.push(`page ${page}: on a free list twice`);
        break;
      }
      if (words[entry + PREVIOUS] !== previous) violations.push(`page ${page}: wrong back link`);
      listed.set(page, run);
      previous = page;
      page = words[entry + NEXT]!;
    }
  }
  let free = 0;
  let lastWasFree = false;
  const end = words[pool + POOL.endPage.at]!;
  for (let page = words[pool + POOL.firstPage.at]!; page < end; ) {
    const run = words[arena.pageTable + page * PageEntry.words + RUN]!;
    const length = Math.abs(run);
    if (length === 0 || page + length > end) {
      violations.push(`page ${page}: tag ${run} cannot be`);
      break;
    }
    if (words[arena.pageTable + (page + length - 1) * PageEntry.words + RUN] !== run) {
      violations.push(`page ${page}: last page of the run has another tag`);
    }
    if (run > 0) {
      free += run;
      if (lastWasFree) violations.push(`page ${page}: two free runs touch`);
      if (listed.get(page) !== run) violations.push(`page ${page}: free run on no list`);
      listed.delete(page);
    }
    lastWasFree = run > 0;
    page += length;
  }
  for (const page of listed.keys()) violations.push(`page ${page}: listed, but no free run`);
  if (free !== words[pool + POOL.freePages.at]) {
    violations.push(
      `domain ${domain}: ${free} pages free, counter says ${words[pool + POOL.freePages.at]}`,
    );
  }
  unlockMutex(cpu, pool);
  violations.push(...checkPageQueue(cpu, domain));
  return violations;
}
