/**
 * A picture of the arena's pages: which keg holds each, and how many of its items are out. For
 * pictures only. No lock is taken: what the page table and the slab headers say is loaded word by word
 * by `Atomics`. At rest the picture is exact; beside running CPUs a run of pages that is being split,
 * joined or handed on may be seen as it was or as it will be, and a header that was just given back may
 * hold anything: every value is clamped, every index checked, and nothing is decided by it.
 *
 * A run costs a few loads however long it is, a slab five: one read of a gigabyte full of one-page
 * slabs takes some tens of milliseconds, so whoever draws it often paces himself by the time it took.
 */

import { type Arena, PageEntry, PagePool } from '@umbuf/memory';
import { KegRecord, SlabHeader } from '../layout.ts';
import { OCCUPANCY_BINS } from './occupancy.ts';
import type { UmaView } from './view.ts';

const E = PageEntry.fields;
const P = PagePool.fields;

/** What a page that no keg holds is. */
export const PageKind = {
  free: 0,
  /** The arena's header and tables, and pages taken for records that stay. */
  records: 1,
} as const;

/** Several pages as one. */
export interface PageMapCell {
  /** Its most frequent kind of page that is not free: a `PageKind`, or the word index of a keg. */
  readonly kind: number;
  /** Of the cell's pages those that are not free; of 255. */
  readonly taken: number;
  /** Of the items of its keg those that are out of their slabs; of 255. */
  readonly fill: number;
}

export interface KegPages {
  /** Word index of the keg. */
  readonly keg: number;
  readonly pages: number;
  readonly slabs: number;
  /** Items out of the slabs: in use, or in caches; and items of its slabs in all. */
  readonly out: number;
  readonly items: number;
  /** Slabs by tenths of their items that are out: up to 10 %, ..., above 90 %; empty ones in the first. */
  readonly occupancy: readonly number[];
}

export interface PageMap {
  readonly pages: number;
  readonly pagesPerCell: number;
  readonly cells: readonly PageMapCell[];
  /** By the address of their first page. */
  readonly kegs: readonly KegPages[];
  readonly free: number;
  readonly records: number;
  /** Longest run of free pages. */
  readonly longestFree: number;
}

/** Reads the map, in at most `cellsMax` cells (from 1). */
export function readPageMap(view: UmaView, cellsMax: number): PageMap {
  const { arena } = view;
  const painter = new Painter(arena, Math.max(1, Math.ceil(arena.pages / cellsMax)));
  painter.paint(0, arena.firstPage, PageKind.records, 0);
  for (let domain = 0; domain < arena.domains; domain++) paintPool(view, domain, painter);
  return painter.finish();
}

function paintPool(view: UmaView, domain: number, painter: Painter): void {
  const { arena, words } = view;
  const pool = arena.poolTable + domain * PagePool.words;
  const end = Math.min(words[pool + P.endPage.at]!, arena.pages);
  for (let page = words[pool + P.firstPage.at]!; page < end; ) {
    const entry = arena.pageTable + page * PageEntry.words;
    const run = Atomics.load(words, entry + E.run.at);
    const keg = Atomics.load(words, entry + E.keg.at) >> 2;
    const length = Math.abs(run);
    // A tag that cannot be is that of a page on its way: one page, then look again. Ends at `end`.
    const pages = length >= 1 && page + length <= end ? length : 1;
    if (isKeg(view, keg)) paintSlab(view, keg, page, pages, painter);
    else painter.paint(page, pages, run > 0 ? PageKind.free : PageKind.records, 0);
    page += pages;
  }
}

function isKeg({ words }: UmaView, keg: number): boolean {
  if (keg <= 0 || keg + KegRecord.words > words.length) return false;
  const zone = words[keg + KegRecord.fields.zone.at]!;
  return zone > 0 && words[keg + KegRecord.fields.ipers.at]! > 0;
}

function paintSlab(
  view: UmaView,
  keg: number,
  page: number,
  pages: number,
  painter: Painter,
): void {
  const { words, arena } = view;
  const items = words[keg + KegRecord.fields.ipers.at]!;
  const slab = Atomics.load(words, arena.pageTable + page * PageEntry.words + E.slab.at) >> 2;
  const inside = slab > 0 && slab + SlabHeader.words <= words.length;
  const free = inside ? Atomics.load(words, slab + SlabHeader.fields.freeCount.at) : items;
  const out = items - Math.min(Math.max(free, 0), items);
  painter.slab(keg, pages, out, items);
  painter.paint(page, pages, keg, out / items);
}

interface KegCount {
  pages: number;
  slabs: number;
  out: number;
  items: number;
  occupancy: number[];
}

/** Adds runs of pages up to cells. */
class Painter {
  private readonly arena: Arena;
  private readonly pagesPerCell: number;
  /** Per cell: pages by kind, and per kind the sum of pages times fill. */
  private readonly pages: Map<number, number>[] = [];
  private readonly fill: Map<number, number>[] = [];
  private readonly kegs: Map<number, KegCount> = new Map();
  private free = 0;
  private records = 0;
  private longestFree = 0;

  constructor(arena: Arena, pagesPerCell: number) {
    this.arena = arena;
    this.pagesPerCell = pagesPerCell;
    for (let cell = 0; cell * pagesPerCell < arena.pages; cell++) {
      this.pages.push(new Map());
      this.fill.push(new Map());
    }
  }

  slab(keg: number, pages: number, out: number, items: number): void {
    let count = this.kegs.get(keg);
    if (count === undefined) {
      const occupancy = Array.from({ length: OCCUPANCY_BINS }, () => 0);
      this.kegs.set(keg, (count = { pages: 0, slabs: 0, out: 0, items: 0, occupancy }));
    }
    count.pages += pages;
    count.slabs++;
    count.out += out;
    count.items += items;
    count.occupancy[Math.max(0, Math.ceil((out * OCCUPANCY_BINS) / items) - 1)]! += 1;
  }

  paint(first: number, pages: number, kind: number, fill: number): void {
    if (kind === PageKind.free) {
      this.free += pages;
      this.longestFree = Math.max(this.longestFree, pages);
    }
    if (kind === PageKind.records) this.records += pages;
    for (let page = first; page < first + pages; ) {
      const cell = Math.floor(page / this.pagesPerCell);
      const here = Math.min(first + pages, (cell + 1) * this.pagesPerCell) - page;
      add(this.pages[cell]!, kind, here);
      add(this.fill[cell]!, kind, here * fill);
      page += here;
    }
  }

  finish(): PageMap {
    return {
      pages: this.arena.pages,
      pagesPerCell: this.pagesPerCell,
      cells: this.pages.map((kinds, cell) => this.cell(kinds, this.fill[cell]!)),
      kegs: [...this.kegs].map(([keg, count]) => ({ keg, ...count })),
      free: this.free,
      records: this.records,
      longestFree: this.longestFree,
    };
  }

  private cell(
    kinds: ReadonlyMap<number, number>,
    fills: ReadonlyMap<number, number>,
  ): PageMapCell {
    let kind: number = PageKind.free;
    let most = 0;
    let taken = 0;
    let all = 0;
    for (const [each, pages] of kinds) {
      all += pages;
      if (each === PageKind.free) continue;
      taken += pages;
      if (pages > most) [kind, most] = [each, pages];
    }
    const fill = most === 0 ? 0 : fills.get(kind)! / most;
    return { kind, taken: byte(taken / all), fill: byte(fill) };
  }
}

/** Above zero never shown as none. */
function byte(share: number): number {
  return Math.min(255, Math.ceil(share * 255));
}

function add(counts: Map<number, number>, key: number, value: number): void {
  counts.set(key, (counts.get(key) ?? 0) + value);
}
