/** The `vm.zone_stats` stream byte for byte: read here by offsets of the C structures, not by ours. */
import { limitInit, limitWords, reserveUnits, staticSpace } from '@umbuf/memory';
import { expect, test } from 'vitest';
import {
  CacheRecord,
  decodeZoneStats,
  encodeZoneStats,
  KegRecord,
  M_NOVM,
  M_NOWAIT,
  type Uma,
  type Zone,
  ZoneFlag,
  ZoneRecord,
} from '../../src/index.ts';
import { cacheOf, queueOf } from '../support/inspect.ts';
import { allocAll, leave, virtualCpus } from '../support/virtual.ts';

/** `struct uma_type_header` and `struct uma_percpu_stat` of one zone, as C would declare them. */
interface CZone {
  readonly name: string;
  readonly words: readonly number[];
  readonly longs: readonly bigint[];
  readonly cpus: readonly (readonly bigint[])[];
}

function readStream(uma: Uma): { header: number[]; zones: CZone[] } {
  const bytes = encodeZoneStats(uma);
  const view = new DataView(bytes.buffer);
  let at = 0;
  const u32 = (): number => view.getUint32((at += 4) - 4, true);
  const u64 = (): bigint => view.getBigUint64((at += 8) - 8, true);
  const many = <T>(count: number, of: () => T): T[] => Array.from({ length: count }, of);
  const header = many(4, u32);
  const zones = many(header[2]!, () => {
    const raw = bytes.subarray(at, at + 32);
    at += 32;
    const name = new TextDecoder().decode(raw.subarray(0, raw.indexOf(0)));
    return {
      name,
      words: many(10, u32),
      longs: many(6, u64),
      cpus: many(header[1]!, () => many(8, u64)),
    };
  });
  expect(at).toBe(bytes.length);
  return { header, zones };
}

function zoneIn(uma: Uma, name: string): CZone {
  const zone = readStream(uma).zones.find((each) => each.name === name);
  expect(zone, name).toBeDefined();
  return zone!;
}

/** uth_align, size, rsize, maxpages, limit, pages, keg_free, zone_free, bucketsize, zone_flags. */
function headOf(zone: CZone): Record<string, number> {
  const names = ['align', 'size', 'rsize', 'maxpages', 'limit', 'pages', 'kegFree', 'zoneFree'];
  return Object.fromEntries(
    [...names, 'bucketsize', 'flags'].map((name, index) => [name, zone.words[index]!]),
  );
}

test('the header: version 1, CPUs of the arena, number of zones, padding', () => {
  const { umas } = virtualCpus(3);
  const { header, zones } = readStream(umas[0]!);
  expect(header).toEqual([1, 3, umas[0]!.zoneCount(), 0]);
  expect(encodeZoneStats(umas[0]!).length).toBe(16 + zones.length * (120 + 3 * 64));
});

test('the newest keg comes first, each with its zones in the order of creation', () => {
  const uma = virtualCpus(1).umas[0]!;
  const primary = { name: 'a', size: 64 };
  uma.open(primary);
  uma.open({ name: 'b', size: 64 });
  uma.open({ name: 'a2', size: 64, primary });
  uma.open({ name: 'a1', size: 64, primary });
  const names = readStream(uma).zones.map(({ name }) => name);
  expect(names.slice(0, 4)).toEqual(['b', 'a', 'a2', 'a1']);
  expect(names.at(-1)).toBe('UMA Slabs 0');
});

test('a zone in the place of a destroyed one is the newest all the same', () => {
  const uma = virtualCpus(1).umas[0]!;
  const first = uma.open({ name: 'first', size: 64 });
  uma.open({ name: 'second', size: 64 });
  const { record } = first;
  first.destroy();
  expect(readStream(uma).zones.map(({ name }) => name)).not.toContain('first');
  expect(uma.open({ name: 'third', size: 128 }).record).toBe(record);
  const { header, zones } = readStream(uma);
  expect(zones.slice(0, 2).map(({ name }) => name)).toEqual(['third', 'second']);
  expect(header[2]).toBe(zones.length);
});

test('only a zone that is not the first of its keg is secondary', () => {
  const uma = virtualCpus(1).umas[0]!;
  const primary = { name: 'a', size: 64 };
  uma.open(primary);
  uma.open({ name: 'a2', size: 64, primary });
  expect(headOf(zoneIn(uma, 'a'))['flags']).toBe(0);
  expect(headOf(zoneIn(uma, 'a2'))['flags']).toBe(1);
});

test('a name is cut to 31 bytes and its NUL, wherever that falls', () => {
  const uma = virtualCpus(1).umas[0]!;
  uma.open({ name: 'n'.repeat(40), size: 64 });
  uma.open({ name: `${'n'.repeat(30)}é`, size: 64 });
  const [cut, full] = decodeZoneStats(encodeZoneStats(uma)).map(({ name }) => name);
  expect(full).toBe('n'.repeat(31));
  expect(cut).toBe(`${'n'.repeat(30)}\ufffd`);
});

test('what the keg is, and what lies where', () => {
  const { umas } = virtualCpus(2);
  const zone = umas[0]!.open({ name: 'z', size: 200, align: 15 });
  const items = allocAll(zone, 300);
  zone.freeMany(items, 0, 250);
  const { words } = zone.uma;
  const queued = queueOf(zone).reduce((sum, count) => sum + count, 0);
  const { alloc, free } = cacheOf(zone);
  expect(queued).toBeGreaterThan(0);
  const ipers = words[zone.keg + KegRecord.fields.ipers.at]!;
  const { kegFree, pages } = zone.statistics();
  const slabs = Math.ceil(300 / ipers);
  const out = zoneIn(umas[1]!, 'z');
  expect(headOf(out)).toMatchObject({
    align: 15,
    size: 200,
    rsize: 208,
    maxpages: 0,
    limit: 0,
    pages,
    kegFree,
    zoneFree: queued,
    bucketsize: 0,
    flags: 0,
  });
  expect(pages).toBeGreaterThanOrEqual(slabs * words[zone.keg + KegRecord.fields.ppera.at]!);
  expect(out.cpus[0]).toEqual([300n, 250n, BigInt(alloc.count + free.count), 0n, 0n, 0n, 0n, 0n]);
  expect(out.cpus[1]).toEqual(Array.from({ length: 8 }, () => 0n));
  // All of them are accounted for.
  expect(alloc.count + free.count + queued + kegFree + 50).toBe((pages * ipers) / ppera(zone));
});

function ppera(zone: Zone): number {
  return zone.uma.words[zone.keg + KegRecord.fields.ppera.at]!;
}

test('single items, failures and cross-domain frees are the zone’s own counters', () => {
  const { umas } = virtualCpus(2);
  const definition = { name: 'z', size: 64, flags: ZoneFlag.NOBUCKET };
  const zones = umas.map((uma) => uma.open(definition));
  expect(zones[1]!.alloc(M_NOWAIT | M_NOVM)).toBe(0);
  const item = zones[0]!.alloc(M_NOWAIT);
  zones[0]!.alloc(M_NOWAIT);
  zones[1]!.free(item);
  umas[1]!.longs[(zones[1]!.cache + CacheRecord.fields.crossFrees.at) >> 1] = 5n;
  const out = zoneIn(umas[0]!, 'z');
  // uth_allocs, frees, fails, sleeps, xdomain, and the reserved one.
  expect(out.longs).toEqual([2n, 1n, 1n, 0n, 5n, 0n]);
  expect(out.cpus.flat().every((value) => value === 0n)).toBe(true);
});

test('internal zones have no records of CPUs', () => {
  const { umas } = virtualCpus(1, { level: 'checks' });
  umas[0]!.open({ name: 'z', size: 64 }).alloc(M_NOWAIT);
  const tables = zoneIn(umas[0]!, 'UMA Items 1024');
  expect(tables.longs[0]).toBeGreaterThan(0n);
  expect(tables.cpus.flat().every((value) => value === 0n)).toBe(true);
});

test('a limited zone shows its limit, the pages of the limit, and those of what is out', () => {
  const uma = virtualCpus(1).umas[0]!;
  const zone = uma.open({ name: 'z', size: 1500, flags: ZoneFlag.NOBUCKET });
  const address = staticSpace(uma.cpu, limitWords(4) * 4);
  limitInit(uma.cpu, address >> 2, 100, 4);
  Atomics.store(uma.words, zone.record + ZoneRecord.fields.limit.at, address >> 2);
  const ipers = uma.words[zone.keg + KegRecord.fields.ipers.at]!;
  expect(reserveUnits(uma.cpu, address >> 2, 2 * ipers + 1, 0)).toBe(2 * ipers + 1);
  expect(headOf(zoneIn(uma, 'z'))).toMatchObject({
    limit: 100,
    maxpages: Math.floor(100 / ipers) * ppera(zone),
    pages: 2 * ppera(zone),
  });
});

test('reading stops nobody: a CPU in the middle of its job is read as it is', () => {
  const { umas } = virtualCpus(2);
  const zone = umas[0]!.open({ name: 'z', size: 64 });
  allocAll(zone, 10);
  leave(umas[1]!);
  expect(zoneIn(umas[1]!, 'z').cpus[0]![0]).toBe(10n);
});

test('cache zones come last, the newest first, with their size and nothing of a keg', () => {
  const uma = virtualCpus(1).umas[0]!;
  let next = 1;
  const numbers = (name: string): Zone =>
    uma.open({
      name,
      size: 512,
      importItems(_zone, store, count) {
        for (let index = 0; index < count; index++) store[index] = next++;
        return count;
      },
      releaseItems: () => {},
    });
  const older = numbers('older');
  numbers('newer');
  uma.open({ name: 'z', size: 64 });
  const { zones } = readStream(uma);
  expect(zones.map(({ name }) => name).slice(-2)).toEqual(['newer', 'older']);
  expect(zones[0]!.name).toBe('z');
  const items = allocAll(older, 200);
  older.freeMany(items, 0, 150);
  const queued = queueOf(older).reduce((sum, count) => sum + count, 0);
  const out = zoneIn(uma, 'older');
  expect(queued).toBeGreaterThan(0);
  // uth_align, size, rsize, maxpages, limit, pages, keg_free, zone_free, bucketsize, zone_flags.
  expect(out.words).toEqual([0, 512, 0, 0, 0, 0, 0, queued, 0, 0]);
  const { alloc, free } = cacheOf(older);
  expect(out.cpus[0]!.slice(0, 3)).toEqual([200n, 150n, BigInt(alloc.count + free.count)]);
});
