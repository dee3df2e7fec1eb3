/**
 * `vm.zone_stats`: the stream that libmemstat and vmstat -z read (spec 5.3), byte for byte, in the
 * little-endian LP64 layout of amd64. A header; then for each zone a type header and one record per
 * CPU. Nobody is stopped: each value is one that was there.
 *
 * Order: the kernel puts a new keg, and a new cache zone, at the head of its list, so the newest come
 * first; kegs with their zones in the order of creation, then cache zones.
 */

import { limitCount, limitMax, LimitRecord } from '@umbuf/memory';
import { InternalFlag } from '../flags.ts';
import { kegDomain } from '../keg.ts';
import { CacheRecord, KegDomain, KegRecord, ZoneDomain, ZoneRecord } from '../layout.ts';
import { zoneCache, zoneDomain } from '../zone-domain.ts';
import { isFirstOfKeg, type UmaView, zoneKeg, zoneName, zonesOf } from './view.ts';

export const STREAM_VERSION = 1;
/** `struct uma_stream_header`, `uma_type_header` and `uma_percpu_stat`, bytes. */
export const STREAM_HEADER_BYTES = 16;
export const TYPE_HEADER_BYTES = 120;
export const PERCPU_BYTES = 64;
/** `UTH_MAX_NAME`: bytes of a name, its NUL included. */
export const NAME_BYTES = 32;
/** `UTH_ZONE_SECONDARY`. */
export const ZONE_SECONDARY = 1;

const Z = ZoneRecord.fields;
const C = CacheRecord.fields;
const K = KegRecord.fields;

/** The stream over all zones. */
export function encodeZoneStats(view: UmaView): Uint8Array {
  const zones = zonesInStreamOrder(view);
  const { cpus } = view.arena;
  const zoneBytes = TYPE_HEADER_BYTES + cpus * PERCPU_BYTES;
  const bytes = new Uint8Array(STREAM_HEADER_BYTES + zones.length * zoneBytes);
  const out = new DataView(bytes.buffer);
  out.setUint32(0, STREAM_VERSION, true);
  out.setUint32(4, cpus, true);
  out.setUint32(8, zones.length, true);
  for (const [index, zone] of zones.entries()) {
    const at = STREAM_HEADER_BYTES + index * zoneBytes;
    encodeType(view, zone, bytes, out, at);
    encodeCpus(view, zone, out, at + TYPE_HEADER_BYTES);
  }
  return bytes;
}

/** Zones of kegs, the newest keg first; then cache zones, the newest first. */
export function zonesInStreamOrder(view: UmaView): number[] {
  const byKeg = new Map<number, number[]>();
  for (const zone of zonesOf(view)) {
    const keg = zoneKeg(view, zone);
    const zones = byKeg.get(keg);
    if (zones === undefined) byKeg.set(keg, [zone]);
    else zones.push(zone);
  }
  const cached = byKeg.get(0) ?? [];
  byKeg.delete(0);
  return [...[...byKeg.values()].toReversed().flat(), ...cached.toReversed()];
}

function encodeType(
  view: UmaView,
  zone: number,
  bytes: Uint8Array,
  out: DataView,
  at: number,
): void {
  const { words } = view;
  const keg = zoneKeg(view, zone);
  // strlcpy: cut to 31 bytes, wherever that falls.
  bytes.set(new TextEncoder().encode(zoneName(view, zone)).subarray(0, NAME_BYTES - 1), at);
  const limit = Atomics.load(words, zone + Z.limit.at);
  const max = limit === 0 ? 0 : limitMax(view, limit);
  const word = (offset: number, value: number): void => out.setUint32(at + offset, value, true);
  word(36, words[zone + Z.size.at]!);
  if (keg !== 0) {
    const slabs = (items: number): number => Math.floor(items / words[keg + K.ipers.at]!);
    const ppera = words[keg + K.ppera.at]!;
    word(32, words[keg + K.align.at]!);
    word(36, words[keg + K.size.at]!);
    word(40, words[keg + K.rsize.at]!);
    word(44, slabs(max) * ppera);
    word(48, max);
    word(
      52,
      max > 0
        ? slabs(limitCount(view, limit)) * ppera
        : sumDomains(view, keg, KegDomain.fields.pages.at),
    );
    word(56, sumDomains(view, keg, KegDomain.fields.freeItems.at));
    if (!isFirstOfKeg(view, zone)) word(68, ZONE_SECONDARY);
  }
  word(60, queuedItems(view, zone));
  // 64: uth_bucketsize, which the kernel never fills.
  const long = (offset: number, value: bigint): void => out.setBigUint64(at + offset, value, true);
  // Frees first: what is freed in between must not make them look greater than the allocations.
  long(80, sumCpus(view, zone, C.zoneFrees.at));
  long(72, sumCpus(view, zone, C.zoneAllocs.at));
  long(88, sumCpus(view, zone, C.fails.at));
  long(96, limitSleeps(view, zone));
  long(104, sumCpus(view, zone, C.crossFrees.at));
}

function encodeCpus(view: UmaView, zone: number, out: DataView, at: number): void {
  const { words, longs, arena } = view;
  if ((words[zone + Z.flags.at]! & InternalFlag.INTERNAL) !== 0) return;
  for (let cpu = 0; cpu < arena.cpus; cpu++) {
    const cache = zoneCache(zone, cpu);
    const to = at + cpu * PERCPU_BYTES;
    out.setBigUint64(to + 8, Atomics.load(longs, (cache + C.frees.at) >> 1), true);
    out.setBigUint64(to, Atomics.load(longs, (cache + C.allocs.at) >> 1), true);
    out.setBigUint64(to + 16, BigInt(cachedItems(view, zone, cpu)), true);
  }
}

/** Items in the buckets of one CPU's cache. Private words of that CPU, each loaded by Atomics. */
export function cachedItems(view: UmaView, zone: number, cpu: number): number {
  const cache = zoneCache(zone, cpu);
  return (
    Atomics.load(view.words, cache + C.allocCount.at) +
    Atomics.load(view.words, cache + C.freeCount.at) +
    Atomics.load(view.words, cache + C.crossCount.at)
  );
}

/** Items on the zone's queues, all domains. */
export function queuedItems(view: UmaView, zone: number): number {
  let items = 0;
  for (let domain = 0; domain < view.arena.domains; domain++) {
    items += Atomics.load(view.words, zoneDomain(view, zone, domain) + ZoneDomain.fields.nitems.at);
  }
  return items;
}

/** `uz_sleeps`. */
export function limitSleeps(view: UmaView, zone: number): bigint {
  const limit = Atomics.load(view.words, zone + Z.limit.at);
  if (limit === 0) return 0n;
  return Atomics.load(view.longs, (limit + LimitRecord.fields.sleeps.at) >> 1);
}

/** Sum over CPUs of the 64-bit counter at word `field` of the zone's cache records. */
export function sumCpus(view: UmaView, zone: number, field: number): bigint {
  let sum = 0n;
  for (let cpu = 0; cpu < view.arena.cpus; cpu++) {
    sum += Atomics.load(view.longs, (zoneCache(zone, cpu) + field) >> 1);
  }
  return sum;
}

/** Sum over domains of the word `field` of the keg's domain records. */
export function sumDomains(view: UmaView, keg: number, field: number): number {
  let sum = 0;
  for (let domain = 0; domain < view.arena.domains; domain++) {
    sum += Atomics.load(view.words, kegDomain(keg, domain) + field);
  }
  return sum;
}
