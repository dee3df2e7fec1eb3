/** The keg's reserve (spec 2.4b, 2.10, 3.5) and slabs built ahead. */
import { expect, test } from 'vitest';
import { ArgumentError } from '@umbuf/memory';
import {
  defineZone,
  itemsPerSlab,
  M_NOVM,
  M_NOWAIT,
  M_USE_RESERVE,
  reclaim,
  type Zone,
  ZoneFlag,
} from '../src/index.ts';
import { cacheOf, kegDomainOf, kegLists } from './support/inspect.ts';
import { allocAll, expectClean, takeAllPages, virtualCpus } from './support/virtual.ts';

function zoneOf(flags = 0, domains = 1): Zone {
  const { umas } = virtualCpus(1, { domains, bytes: 2 << 20 });
  return umas[0]!.open(defineZone({ name: 'z', size: 1024, flags }));
}

/** `ud_free_items`. */
function freeItems(zone: Zone, domain = 0): number {
  return zone.uma.words[kegDomainOf(zone, domain) + 20]!;
}

test('a request that has to add a slab takes one item of it, below the reserve too', () => {
  const zone = zoneOf(ZoneFlag.NOBUCKET);
  const ipers = itemsPerSlab(zone);
  zone.reserve(2 * ipers);
  const first = allocAll(zone, 1);
  expect(freeItems(zone)).toBe(ipers - 1);
  // Each request adds a slab until the reserve is there; then they take what is above it.
  const held = allocAll(zone, 2);
  expect(kegLists(zone)).toEqual({ partial: [ipers - 3], free: [ipers, ipers], full: [] });
  expect(freeItems(zone)).toBe(3 * (ipers - 1));
  while (freeItems(zone) > 2 * ipers) held.push(...allocAll(zone, 1));
  const pages = zone.statistics().pages;
  held.push(...allocAll(zone, 1));
  expect(zone.statistics().pages).toBeGreaterThan(pages);
  for (const item of [...first, ...held]) zone.free(item);
  expectClean(zone.uma);
});

test('without pages only M_USE_RESERVE goes below it, to the last item', () => {
  const zone = zoneOf(ZoneFlag.NOBUCKET);
  const ipers = itemsPerSlab(zone);
  expect(zone.prealloc(3 * ipers)).toBe(3 * ipers);
  zone.reserve(ipers);
  takeAllPages(zone.uma, 0);
  const held: number[] = [];
  for (let item = zone.alloc(M_NOWAIT); item !== 0; item = zone.alloc(M_NOWAIT)) held.push(item);
  expect(held.length).toBe(2 * ipers);
  expect(freeItems(zone)).toBe(ipers);
  held.push(...allocAll(zone, ipers, M_NOWAIT | M_USE_RESERVE));
  expect(zone.alloc(M_NOWAIT | M_USE_RESERVE)).toBe(0);
  expect(zone.alloc(M_NOWAIT | M_USE_RESERVE | M_NOVM)).toBe(0);
  for (const item of held) zone.free(item);
  expectClean(zone.uma);
});

test('a bucket is filled down to the reserve, and with one item below it', () => {
  const zone = zoneOf();
  const ipers = itemsPerSlab(zone);
  const built = zone.prealloc(4 * ipers);
  zone.reserve(built - 5);
  takeAllPages(zone.uma, 4);
  const held = allocAll(zone, 1);
  expect(cacheOf(zone).alloc.count).toBe(4);
  held.push(...allocAll(zone, 4));
  expect(zone.alloc(M_NOWAIT | M_NOVM)).toBe(0);
  held.push(...allocAll(zone, 1, M_NOWAIT | M_USE_RESERVE));
  expect(cacheOf(zone).alloc.count).toBe(0);
  for (const item of held) zone.free(item);
  expectClean(zone.uma);
});

test('a drain keeps the slabs that the reserve needs', () => {
  const zone = zoneOf();
  const ipers = itemsPerSlab(zone);
  zone.prealloc(5 * ipers);
  zone.reserve(2 * ipers - 1);
  reclaim(zone.uma, 'drain-cpu', zone.record);
  expect(freeItems(zone)).toBe(2 * ipers);
  zone.reserve(0);
  reclaim(zone.uma, 'drain-cpu', zone.record);
  expect(freeItems(zone)).toBe(0);
  expectClean(zone.uma);
});

test('M_USE_RESERVE drains the reserves of the other domains before it gives up', () => {
  const zone = zoneOf(ZoneFlag.NOBUCKET, 2);
  const ipers = itemsPerSlab(zone);
  // By turns: one slab in each domain.
  expect(zone.prealloc(2 * ipers)).toBe(2 * ipers);
  expect([freeItems(zone, 0), freeItems(zone, 1)]).toEqual([ipers, ipers]);
  zone.reserve(ipers);
  takeAllPages(zone.uma, 0);
  expect(zone.alloc(M_NOWAIT)).toBe(0);
  const held = allocAll(zone, 2 * ipers, M_NOWAIT | M_USE_RESERVE);
  expect(zone.alloc(M_NOWAIT | M_USE_RESERVE)).toBe(0);
  for (const item of held) zone.free(item);
  expectClean(zone.uma);
});

test('prealloc leaves the slabs on the free list, says what it built, and rejects nonsense', () => {
  const zone = zoneOf();
  const ipers = itemsPerSlab(zone);
  expect(zone.prealloc(ipers + 1)).toBe(2 * ipers);
  expect(kegLists(zone)).toEqual({ partial: [], free: [ipers, ipers], full: [] });
  takeAllPages(zone.uma, 0);
  expect(zone.prealloc(1)).toBe(0);
  expect(zone.prealloc(0)).toBe(0);
  for (const bad of [-1, 0.5, Number.NaN, 2 ** 31]) {
    expect(() => zone.prealloc(bad)).toThrow(ArgumentError);
    expect(() => zone.reserve(bad)).toThrow(ArgumentError);
  }
  expectClean(zone.uma);
});
