/** What each creation flag does to a zone (spec 3.3), on the zone itself. */
import { expect, test } from 'vitest';
import { ArgumentError, freePageCount, kegOfPage, PAGE_SIZE } from '@umbuf/memory';
import {
  defineZone,
  InternalFlag,
  itemsPerSlab,
  KegRecord,
  M_NOWAIT,
  M_ZERO,
  ownCopy,
  pcpuCopy,
  pcpuZones,
  reclaim,
  TRASH_WORD,
  type Zone,
  type ZoneDefinition,
  ZoneDefinitionError,
  ZoneDomain,
  zoneDomain,
  ZoneFlag,
  ZoneRecord,
} from '../src/index.ts';
import { allocAll, expectClean, leave, takeAllPages, virtualCpus } from './support/virtual.ts';

type Level = 'none' | 'checks' | 'invariants';

function open(
  more: Partial<ZoneDefinition>,
  level: Level = 'none',
  cpus = 1,
  bytes = 2 << 20,
): Zone {
  const { umas } = virtualCpus(cpus, { level, bytes });
  return umas[0]!.open(defineZone({ name: 'z', size: 512, ...more }));
}

function kegField(zone: Zone, field: 'rsize' | 'ipers' | 'ppera' | 'flags' | 'slabZone'): number {
  return zone.uma.words[zone.keg + KegRecord.fields[field].at]!;
}

function contents(zone: Zone, item: number): Int32Array {
  return zone.uma.words.slice(item >> 2, (item + zone.size) >> 2);
}

test.each(['none', 'invariants'] as const)(
  'ZINIT, level %s: an item is zero when its slab is built, and as its user left it afterwards',
  (level) => {
    // Pages with something in them.
    const { umas } = virtualCpus(1, { level });
    const uma = umas[0]!;
    const before = uma.open(defineZone({ name: 'before', size: 512 }));
    for (const item of allocAll(before, 30)) {
      uma.words.fill(7, item >> 2, (item >> 2) + 128);
      before.free(item);
    }
    before.destroy();
    reclaim(uma, 'drain-cpu');
    const zone = uma.open(defineZone({ name: 'z', size: 512, flags: ZoneFlag.ZINIT }));
    const [item] = allocAll(zone, 1);
    expect(contents(zone, item!).every((word) => word === 0)).toBe(true);
    uma.words.fill(9, item! >> 2, (item! >> 2) + 128);
    zone.free(item!);
    // Neither cleared nor trashed: once per item, not per allocation. M_ZERO is per allocation.
    const again = zone.alloc(M_NOWAIT);
    expect(again).toBe(item);
    expect(contents(zone, again).every((word) => word === 9)).toBe(true);
    zone.free(again);
    expect(contents(zone, zone.alloc(M_NOWAIT | M_ZERO)).every((word) => word === 0)).toBe(true);
    expectClean(uma);
  },
);

test('ZINIT is the keg’s init: not beside another', () => {
  expect(() => defineZone({ name: 'z', size: 8, flags: ZoneFlag.ZINIT, init: () => 0 })).toThrow(
    ZoneDefinitionError,
  );
});

test('NOTOUCH: no header in the slab, no trash in the items, at any level', () => {
  const zone = open({ flags: ZoneFlag.NOTOUCH }, 'invariants');
  expect(kegField(zone, 'flags') & InternalFlag.OFFPAGE).not.toBe(0);
  expect(kegField(zone, 'flags') & InternalFlag.TRASH).toBe(0);
  expect(kegField(zone, 'slabZone')).not.toBe(0);
  expect(itemsPerSlab(zone)).toBe(PAGE_SIZE / 512);
  const items = allocAll(zone, 16);
  for (const item of items) {
    zone.uma.words.fill(item, item >> 2, (item >> 2) + 128);
    zone.free(item);
  }
  for (const item of items) {
    expect(contents(zone, item).every((word) => word === item)).toBe(true);
  }
  expectClean(zone.uma);
});

test('without flags the items of a free slab are trash at level invariants', () => {
  const zone = open({}, 'invariants');
  const [item] = allocAll(zone, 1);
  zone.free(item!);
  expect(contents(zone, item!)[0]).toBe(TRASH_WORD);
});

test('NOFREE: slabs are never given back, and never trashed', () => {
  const zone = open({ flags: ZoneFlag.NOFREE }, 'invariants');
  const items = allocAll(zone, 20);
  const { pages } = zone.statistics();
  for (const item of items) zone.free(item);
  reclaim(zone.uma, 'drain-cpu', zone.record);
  expect(zone.statistics()).toMatchObject({ pages, cached: 0, queued: 0 });
  expect(kegField(zone, 'flags') & InternalFlag.TRASH).toBe(0);
  expectClean(zone.uma);
});

test('NOBUCKET: nothing is cached; MAXBUCKET: as much as a bucket holds', () => {
  const bare = open({ flags: ZoneFlag.NOBUCKET });
  const [item] = allocAll(bare, 1);
  bare.free(item!);
  expect(bare.statistics()).toMatchObject({ cached: 0, queued: 0 });
  const most = open({ flags: ZoneFlag.MAXBUCKET });
  const size = most.uma.words[most.record + ZoneRecord.fields.bucketSize.at];
  expect(size).toBe(254);
  most.free(most.alloc(M_NOWAIT));
  expect(most.statistics().cached).toBe(254);
  expectClean(bare.uma);
  expectClean(most.uma);
});

test('CACHESPREAD: items begin at different offsets in their cache lines', () => {
  const spread = open({ size: 256, align: 63, flags: ZoneFlag.CACHESPREAD });
  const rsize = kegField(spread, 'rsize');
  expect(rsize % 128).toBe(64);
  const offsets = new Set(allocAll(spread, 64).map((item) => item % 4096));
  expect(offsets.size).toBeGreaterThan(60);
  const plain = open({ size: 256, align: 63 });
  expect(new Set(allocAll(plain, 60).map((item) => item % 4096)).size).toBe(15);
  expectClean(spread.uma);
});

test('CONTIG: an item of several pages gets a slab of its own, one run of pages', () => {
  const zone = open({ size: 9216, flags: ZoneFlag.CONTIG });
  expect([kegField(zone, 'ipers'), kegField(zone, 'ppera')]).toEqual([1, 3]);
  const [item] = allocAll(zone, 1);
  for (const at of [0, 4096, 8192, 9215]) {
    expect(kegOfPage(zone.uma.arena, item! + at)).toBe(zone.keg << 2);
  }
  const other = open({ size: 9216 });
  expect([kegField(other, 'ipers'), kegField(other, 'ppera')]).toEqual([2, 5]);
});

test('UNMANAGED: left out of the trim of all zones, not of its own, nor of a drain', () => {
  const { umas } = virtualCpus(1, { bytes: 2 << 20 });
  const uma = umas[0]!;
  const zones = [ZoneFlag.UNMANAGED, 0].map((flags) =>
    uma.open(defineZone({ name: `z${flags}`, size: 2048, flags })),
  );
  const queued = (): number[] => zones.map((zone) => zone.statistics().queued);
  for (const zone of zones) {
    for (const item of allocAll(zone, 64)) zone.free(item);
    // A past peak: all of the queue is above the working set.
    const record = zoneDomain(uma, zone.record, 0);
    for (let period = 0; period < 40; period++) reclaim(uma, 'trim', zone.record);
    for (const item of allocAll(zone, 64)) zone.free(item);
    uma.words[record + ZoneDomain.fields.wss.at] = 0;
    uma.words[record + ZoneDomain.fields.imax.at] =
      uma.words[record + ZoneDomain.fields.nitems.at]!;
    uma.words[record + ZoneDomain.fields.bimin.at] =
      uma.words[record + ZoneDomain.fields.nitems.at]!;
    uma.words[record + ZoneDomain.fields.imin.at] =
      uma.words[record + ZoneDomain.fields.nitems.at]!;
  }
  const [before] = queued();
  expect(before).toBeGreaterThan(0);
  reclaim(uma, 'trim');
  expect(queued()).toEqual([before, 0]);
  reclaim(uma, 'drain');
  expect(queued()).toEqual([0, 0]);
  expectClean(uma);
});

test('MALLOC: slabs are found by the page table, and pages come as they are', () => {
  const { umas } = virtualCpus(1);
  const uma = umas[0]!;
  const contentsAfter = (flags: number): number => {
    const before = uma.open(defineZone({ name: 'before', size: 512 }));
    const items = allocAll(before, 60);
    for (const item of items) uma.words.fill(7, item >> 2, (item >> 2) + 128);
    for (const item of items) before.free(item);
    before.destroy();
    const zone = uma.open(defineZone({ name: 'z', size: 128, flags }));
    const sevens = allocAll(zone, 80).filter((item) => contents(zone, item).includes(7)).length;
    const lookup = kegField(zone, 'flags') & InternalFlag.VTOSLAB;
    expect(lookup !== 0).toBe((flags & ZoneFlag.MALLOC) !== 0);
    expectClean(uma);
    zone.destroy();
    return sevens;
  };
  expect(contentsAfter(0)).toBe(0);
  expect(contentsAfter(ZoneFlag.MALLOC)).toBeGreaterThan(0);
  expect(contentsAfter(ZoneFlag.MALLOC | ZoneFlag.ZINIT)).toBe(0);
});

test.each(['none', 'checks', 'invariants'] as const)(
  'PCPU, level %s: a copy per CPU, a page apart; M_ZERO clears all of them',
  (level) => {
    const { arena, umas } = virtualCpus(3, { level, bytes: 2 << 20 });
    const zones = umas.map((uma) => uma.open(pcpuZones[8]));
    const [zone] = zones as [Zone];
    expect(kegField(zone, 'ppera')).toBe(3);
    const pages = freePageCount(arena);
    const [first, second] = allocAll(zone, 2) as [never, never];
    for (const cpu of [0, 1, 2]) {
      expect(pcpuCopy(first, cpu) - first).toBe(cpu * PAGE_SIZE);
      expect(ownCopy(zones[cpu]!, first)).toBe(pcpuCopy(first, cpu));
      arena.words[pcpuCopy(first, cpu) >> 2] = 100 + cpu;
      arena.words[pcpuCopy(second, cpu) >> 2] = 200 + cpu;
    }
    expect([0, 1, 2].map((cpu) => arena.words[pcpuCopy(first, cpu) >> 2])).toEqual([100, 101, 102]);
    zone.free(first);
    const again = zone.alloc(M_NOWAIT | M_ZERO);
    expect(again).toBe(first);
    expect([0, 1, 2].map((cpu) => arena.words[pcpuCopy(again, cpu) >> 2])).toEqual([0, 0, 0]);
    expect(arena.words[pcpuCopy(second, 2) >> 2]).toBe(202);
    if (level !== 'none') expect(() => zone.free(pcpuCopy(again, 1))).toThrow(/CPU 0/);
    zone.free(again);
    zone.free(second);
    for (const uma of umas) leave(uma);
    expectClean(...umas);
    reclaim(umas[0]!, 'drain-cpu');
    expect(zone.statistics().pages).toBe(0);
    expect(freePageCount(arena)).toBeGreaterThanOrEqual(pages);
    expect(zone.destroy().complete).toBe(true);
  },
);

test('PCPU: exhaustion is NULL, other zones have no copies, a copy must fit a page', () => {
  const zone = open({ size: 64, flags: ZoneFlag.PCPU }, 'none', 2, 1 << 20);
  takeAllPages(zone.uma, 1);
  while (zone.alloc(M_NOWAIT) !== 0);
  expect(zone.alloc(M_NOWAIT)).toBe(0);
  expectClean(zone.uma);
  const plain = zone.uma.open(defineZone({ name: 'plain', size: 8 }));
  expect(() => ownCopy(plain, 8 as never)).toThrow(ArgumentError);
  expect(() => open({ size: 4097, flags: ZoneFlag.PCPU })).toThrow(ZoneDefinitionError);
  expect(Object.values(pcpuZones).map(({ name, size }) => [name, size])).toEqual([
    ['pcpu-4', 4],
    ['pcpu-8', 8],
    ['pcpu-16', 16],
    ['pcpu-32', 32],
    ['pcpu-64', 64],
  ]);
});
