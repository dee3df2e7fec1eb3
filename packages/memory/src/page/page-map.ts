/**
 * The page map: page -> slab and keg (UMA's vtoslab), and each page's epoch. Written by the keg
 * that holds the pages, before the first item of the slab is handed out and after the last came
 * back, so whoever holds an item reads it race-free. The words are atomic all the same, because
 * from level `checks` on any address may be looked up, also one that its caller does not own.
 *
 * The epoch grows whenever a page changes hands and is never reset: a handle that carries it is
 * known to be stale even after the page moved to another keg.
 */

import { PAGE_SHIFT, type Address } from '../address.ts';
import type { Cpu } from '../cpu/cpu.ts';
import type { Arena } from '../arena.ts';
import { PageEntry } from '../layout/records.ts';

const SLAB = PageEntry.fields.slab.at;
const KEG = PageEntry.fields.keg.at;
const EPOCH = PageEntry.fields.epoch.at;
const ENTRY_SHIFT = 3;

/** Enters a run of pages in the map and advances their epochs. The run is the caller's. */
export function mapPages(cpu: Cpu, first: Address, pages: number, keg: number, slab: number): void {
  const { words, arena } = cpu;
  let entry = arena.pageTable + ((first >> PAGE_SHIFT) << ENTRY_SHIFT);
  for (let page = 0; page < pages; page++, entry += 1 << ENTRY_SHIFT) {
    Atomics.store(words, entry + SLAB, slab);
    Atomics.store(words, entry + KEG, keg);
    Atomics.add(words, entry + EPOCH, 1);
  }
}

/** Takes a run out of the map and advances the epochs again; before the pages are put back. */
export function unmapPages(cpu: Cpu, first: Address, pages: number): void {
  mapPages(cpu, first, pages, 0, 0);
}

/** Slab header of the page that `address` lies in, 0 = none. `address` is inside the arena. */
export function slabOfPage(arena: Arena, address: number): Address {
  return Atomics.load(
    arena.words,
    arena.pageTable + ((address >> PAGE_SHIFT) << ENTRY_SHIFT) + SLAB,
  ) as Address;
}

/** Keg that holds the page of `address`, 0 = none. */
export function kegOfPage(arena: Arena, address: number): Address {
  return Atomics.load(
    arena.words,
    arena.pageTable + ((address >> PAGE_SHIFT) << ENTRY_SHIFT) + KEG,
  ) as Address;
}

/** Epoch of the page of `address`. */
export function epochOfPage(arena: Arena, address: number): number {
  return Atomics.load(
    arena.words,
    arena.pageTable + ((address >> PAGE_SHIFT) << ENTRY_SHIFT) + EPOCH,
  );
}
