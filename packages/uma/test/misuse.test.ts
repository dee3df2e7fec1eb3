/** What a caller can do wrong, and what the arena can run out of: typed errors, NULL, nothing changed. */
import { expect, test } from 'vitest';
import {
  Arena,
  claimCpu,
  leaveCpu,
  LockBusyError,
  lockMutex,
  NULL,
  TableFullError,
  unlockMutex,
} from '@umbuf/memory';
import {
  defineZone,
  DoubleFreeError,
  itemEntry,
  itemGeneration,
  M_NOWAIT,
  reclaim,
  Uma,
  UnalignedFreeError,
  WrongZoneError,
  ZONES_MAX,
  ZoneDefinitionError,
  ZoneFlag,
  ZoneMismatchError,
  zoneDomain,
} from '../src/index.ts';
import { cacheOf, kegDomainOf, queueOf } from './support/inspect.ts';
import {
  allocAll,
  attachCpu,
  expectClean,
  handTop,
  leave,
  takeAllPages,
  virtualCpus,
} from './support/virtual.ts';

test.each(['checks', 'invariants'] as const)(
  'level %s: bad frees are typed errors that change nothing',
  (level) => {
    const { arena, umas } = virtualCpus(2, { level });
    const [a, b] = [umas[0]!, umas[1]!];
    const definition = defineZone({ name: 'z', size: 9216, flags: ZoneFlag.CONTIG });
    const zone = a.open(definition);
    const other = a.open(defineZone({ name: 'other', size: 64 }));
    const elsewhere = b.open(definition);
    const item = zone.alloc(M_NOWAIT);
    const foreign = other.alloc(M_NOWAIT);
    const wrong = [
      foreign,
      64,
      4096,
      arena.bytes.length,
      -8,
      1.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      undefined,
      'x',
    ];
    for (const address of wrong) {
      expect(() => zone.free(address as number), String(address)).toThrow(WrongZoneError);
    }
    // In each page of the slab, also where masking the address does not lead to the header.
    for (const offset of [1, 8, 4096, 8192, 9212]) {
      expect(() => zone.free(item + offset), String(offset)).toThrow(UnalignedFreeError);
    }
    zone.free(item);
    expect(() => zone.free(item)).toThrow(DoubleFreeError);
    expect(() => elsewhere.free(item)).toThrow(/zone z, CPU 1: duplicate free of/);
    expect(zone.statistics().frees).toBe(1);
    expect(expectClean(a, b)).toMatchObject({ z: 0, other: 1 });
  },
);

test('level checks: a bad item in a bulk free throws, those before it are freed', () => {
  const { umas } = virtualCpus(1, { level: 'checks' });
  const zone = umas[0]!.open(defineZone({ name: 'z', size: 64 }));
  const items = allocAll(zone, 4);
  expect(() => zone.freeMany([items[0]!, items[1]!, items[1]!, items[2]!], 0, 4)).toThrow(
    DoubleFreeError,
  );
  expect(expectClean(...umas)['z']).toBe(2);
});

test('a stale generation is never current again, whatever keg the page goes to and however often', () => {
  const { umas } = virtualCpus(1, { level: 'checks' });
  const uma = umas[0]!;
  const zones = [64, 128, 4096, 9000].map((size) =>
    uma.open(defineZone({ name: `z${size}`, size })),
  );
  const newest = new Map<number, number>();
  for (let round = 0; round < 12; round++) {
    const zone = zones[round % zones.length]!;
    const items = allocAll(zone, 8);
    // Far more allocations than the epochs of a map and an unmap are apart.
    for (let turn = 0; turn < 700; turn++) {
      zone.free(items[0]!);
      items[0] = zone.alloc(M_NOWAIT);
    }
    for (const item of items) {
      const generation = itemGeneration(uma, itemEntry(uma, zone.keg, item));
      expect(generation, `item ${item}, round ${round}`).toBeGreaterThan(newest.get(item) ?? 0);
      newest.set(item, generation);
    }
    zone.freeMany(items, 0, items.length);
    reclaim(uma, 'drain-cpu');
  }
});

test('a definition that cannot be is named by zone and field', () => {
  for (const bad of [
    { name: '', size: 8 },
    { name: 'x'.repeat(64), size: 8 },
    { name: 'z', size: 0 },
    { name: 'z', size: 1.5 },
    { name: 'z', size: 8, align: 6 },
    { name: 'z', size: 8, version: -1 },
    { name: 'z', size: 8, ctor: 1 as never },
    { name: 'z', size: 8, primary: { name: 'p', size: 16 } },
    { name: 'z', size: 8, primary: { name: 'p', size: 8 }, init: () => 0 },
  ]) {
    expect(() => defineZone(bad), JSON.stringify(bad)).toThrow(ZoneDefinitionError);
  }
  const { umas } = virtualCpus(1);
  const bad = { name: 'z', size: 8, flags: ZoneFlag.MAXBUCKET | ZoneFlag.NOBUCKET };
  expect(() => umas[0]!.open(bad)).toThrow(/zone z: flags/);
  expectClean(...umas);
});

test('a zone of the same name with other data is a mismatch, with the same data the same zone', () => {
  const { umas } = virtualCpus(2);
  const base = { name: 'z', size: 64 };
  const zone = umas[0]!.open(base);
  expect(umas[1]!.open({ ...base }).record).toBe(zone.record);
  for (const other of [
    { ...base, size: 65 },
    { ...base, align: 15 },
    { ...base, flags: ZoneFlag.NOBUCKET },
    { ...base, version: 1 },
    { ...base, ctor: () => 0 },
  ]) {
    expect(() => umas[1]!.open(other)).toThrow(ZoneMismatchError);
  }
  expectClean(...umas);
});

test('the zone table is full at its size: a typed error, the others go on', () => {
  const { umas } = virtualCpus(1, { bytes: 4 << 20 });
  const uma = umas[0]!;
  const own = uma.zoneCount();
  const zones = Array.from({ length: ZONES_MAX - own }, (_, index) =>
    uma.open({ name: `z${index}`, size: 64 }),
  );
  expect(() => uma.open({ name: 'one more', size: 64 })).toThrow(TableFullError);
  const last = zones.at(-1)!;
  last.free(last.alloc(M_NOWAIT));
  expectClean(uma);
});

test('an arena too small for the internal zones says so, at any size, and is not harmed', () => {
  let attached = 0;
  for (let pages = 16; pages < 64; pages += 16) {
    const arena = Arena.create({ bytes: pages * 4096, cpus: 8, level: 'checks' });
    const cpu = claimCpu(arena, { manualLeave: true });
    try {
      Uma.attach(cpu);
      attached++;
    } catch (error) {
      expect(error).toBeInstanceOf(TableFullError);
    }
    expect(arena.words[cpu.handTop]).toBe(0);
    leaveCpu(cpu);
  }
  expect(attached).toBeGreaterThan(0);
});

for (const level of ['none', 'checks', 'invariants'] as const) {
  for (const size of [100, 2048, 4096, 9216]) {
    test(`exhaustion at every step leaves nothing behind: size ${size}, level ${level}`, () => {
      // From no page at all to enough: pages, slab header, table, bucket, bucket of buckets fail in turn.
      let successes = 0;
      for (let left = 0; left < 16; left++) {
        const { umas } = virtualCpus(1, { level, bytes: 1 << 18 });
        const uma = umas[0]!;
        const zone = uma.open({ name: 'z', size, zinit: () => 0, zfini: () => {} });
        takeAllPages(uma, left);
        const item = zone.alloc(M_NOWAIT);
        expect(handTop(uma)).toBe(0);
        expect(expectClean(uma)['z']).toBe(item === NULL ? 0 : 1);
        if (item === NULL) expect(zone.statistics().fails).toBeGreaterThan(0);
        else successes++;
        zone.free(item);
        reclaim(uma, 'drain-cpu');
        expectClean(uma);
        expect(zone.statistics().pages).toBe(0);
      }
      expect(successes).toBeGreaterThan(0);
      expect(successes).toBeLessThan(16);
    });
  }
}

function blockedPair() {
  const arena = Arena.create({ bytes: 1 << 20, cpus: 2, level: 'checks' });
  const holder = attachCpu(arena);
  const main = attachCpu(arena, { mayBlock: false });
  const definition = defineZone({ name: 'z', size: 4096 });
  return { arena, holder, main, mine: main.open(definition), zone: holder.open(definition) };
}

test('a CPU that may not block gets NULL while the keg is locked, and items afterwards', () => {
  const { holder, main, mine } = blockedPair();
  lockMutex(holder.cpu, kegDomainOf(mine));
  for (let turn = 0; turn < 40; turn++) expect(mine.alloc(M_NOWAIT)).toBe(NULL);
  expect(mine.statistics().fails).toBeGreaterThanOrEqual(40);
  unlockMutex(holder.cpu, kegDomainOf(mine));
  leave(main);
  expect(handTop(main)).toBe(0);
  expect(expectClean(holder, main)['z']).toBe(0);
  mine.free(mine.alloc(M_NOWAIT));
  expectClean(holder, main);
});

test('a CPU that may not block defers frees while the queue is locked, and refuses when it has too many', () => {
  const { holder, main, mine } = blockedPair();
  const items = allocAll(mine, 60);
  const record = zoneDomain(main, mine.record, 0);
  lockMutex(holder.cpu, record);
  let freed = 0;
  let refused: unknown;
  try {
    for (; freed < items.length; freed++) mine.free(items[freed]!);
  } catch (error) {
    refused = error;
  }
  expect(refused).toBeInstanceOf(LockBusyError);
  expect(freed).toBeGreaterThan(4);
  expect(handTop(main)).toBeGreaterThan(0);
  // Still busy when the job ends: what is in hand stays there.
  leave(main);
  expect(handTop(main)).toBeGreaterThan(0);
  unlockMutex(holder.cpu, record);
  mine.free(NULL);
  expect(main.words[main.cpu.entered]).toBe(1);
  leave(main);
  expect(handTop(main)).toBe(0);
  expect(expectClean(holder, main)['z']).toBe(60 - freed);
  for (; freed < items.length; freed++) mine.free(items[freed]!);
  expect(expectClean(holder, main)['z']).toBe(0);
});

test('what an inner operation of a callback had to defer survives the outer one', () => {
  const { holder, main } = blockedPair();
  const other = main.open({ name: 'other', size: 4096 });
  const spare = allocAll(other, 20);
  const record = zoneDomain(main, other.record, 0);
  const outer = main.open({
    name: 'outer',
    size: 512,
    flags: ZoneFlag.NOBUCKET,
    ctor: () => {
      for (const item of spare.splice(0, 6)) other.free(item);
    },
  });
  lockMutex(holder.cpu, record);
  const item = outer.alloc(M_NOWAIT);
  expect(item).not.toBe(NULL);
  expect(handTop(main)).toBeGreaterThan(0);
  unlockMutex(holder.cpu, record);
  leave(main);
  expect(expectClean(holder, main)).toMatchObject({ other: spare.length, outer: 1 });
});

test('reclaim: drain empties the queues only, drain-cpu every CPU that is not inside a job', () => {
  const { umas } = virtualCpus(4, { level: 'checks' });
  const definition = defineZone({ name: 'z', size: 4096 });
  const zones = umas.map((uma) => uma.open(definition));
  for (const zone of zones) zone.freeMany(allocAll(zone, 6), 0, 6);
  const [self, idle, running] = umas as [Uma, Uma, Uma];
  leave(idle);
  reclaim(self, 'drain', zones[0]!.record);
  expect(queueOf(zones[0]!)).toEqual([]);
  expect(cacheOf(zones[0]!).free.count + cacheOf(zones[0]!).alloc.count).toBeGreaterThan(0);
  leave(umas[3]!);
  const result = reclaim(self, 'drain-cpu', zones[0]!.record, 5);
  expect(result.unanswered).toEqual([running.cpu.number]);
  expect(cacheOf(zones[1]!).alloc.bucket).toBe(0);
  expect(cacheOf(zones[2]!).alloc.bucket).not.toBe(0);
  // The request stays posted and is answered when that CPU leaves.
  leave(running);
  expect(cacheOf(zones[2]!).alloc.bucket).toBe(0);
  expect(reclaim(self, 'drain-cpu').unanswered).toEqual([]);
  expect(zones[0]!.statistics().pages).toBe(0);
  expectClean(...umas);
});

test('reclaim: trim keeps the working set', () => {
  const { umas } = virtualCpus(1);
  const zone = umas[0]!.open(defineZone({ name: 'z', size: 4096 }));
  zone.freeMany(allocAll(zone, 60), 0, 60);
  const queued = zone.statistics().queued;
  expect(queued).toBeGreaterThan(20);
  reclaim(umas[0]!, 'trim', zone.record);
  const kept = zone.statistics().queued;
  expect(kept).toBeGreaterThan(0);
  // Idle periods shrink the estimate; in the end a trim frees everything.
  for (let period = 0; period < 20; period++) reclaim(umas[0]!, 'trim', zone.record);
  expect(zone.statistics().queued).toBeLessThan(kept);
  expectClean(...umas);
});
