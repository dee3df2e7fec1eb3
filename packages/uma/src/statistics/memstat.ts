/**
 * What libmemstat makes of the `vm.zone_stats` stream (spec 5.3): the stream decoded, and from each
 * zone the figures that tools print. Pure functions over bytes: the bytes may come from a kernel.
 */

import { UmbufError } from '@umbuf/memory';
import {
  NAME_BYTES,
  PERCPU_BYTES,
  STREAM_HEADER_BYTES,
  STREAM_VERSION,
  TYPE_HEADER_BYTES,
  ZONE_SECONDARY,
} from './zone-stats.ts';

/** The bytes are no stream; the messages are libmemstat's. */
export class MemstatError extends UmbufError {
  override name = 'MemstatError';
}

/** `struct uma_percpu_stat`. */
export interface PerCpuStat {
  readonly allocs: bigint;
  readonly frees: bigint;
  readonly cacheFree: bigint;
}

/** `struct uma_type_header`, and the zone's CPUs. */
export interface ZoneStat {
  readonly name: string;
  readonly align: number;
  readonly size: number;
  readonly rsize: number;
  readonly maxpages: number;
  readonly limit: number;
  readonly pages: number;
  readonly kegFree: number;
  readonly zoneFree: number;
  readonly bucketsize: number;
  readonly zoneFlags: number;
  readonly allocs: bigint;
  readonly frees: bigint;
  readonly fails: bigint;
  readonly sleeps: bigint;
  readonly xdomain: bigint;
  readonly perCpu: readonly PerCpuStat[];
}

/**
 * Decodes a stream. Throws `MemstatError`: `Version mismatch` for another version, `Data format
 * error` when the bytes are not as many as the header says.
 */
export function decodeZoneStats(bytes: Uint8Array): ZoneStat[] {
  if (bytes.length < STREAM_HEADER_BYTES) {
    throw new MemstatError(`Data format error: ${bytes.length} bytes hold no header`);
  }
  const input = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = input.getUint32(0, true);
  const cpus = input.getUint32(4, true);
  const count = input.getUint32(8, true);
  if (version !== STREAM_VERSION) {
    throw new MemstatError(`Version mismatch: ${version}, not ${STREAM_VERSION}`);
  }
  const zoneBytes = TYPE_HEADER_BYTES + cpus * PERCPU_BYTES;
  const expected = STREAM_HEADER_BYTES + count * zoneBytes;
  if (bytes.length !== expected) {
    throw new MemstatError(`Data format error: ${bytes.length} bytes, ${expected} announced`);
  }
  return Array.from({ length: count }, (_, index) =>
    decodeZone(bytes, input, STREAM_HEADER_BYTES + index * zoneBytes, cpus),
  );
}

function decodeZone(bytes: Uint8Array, input: DataView, at: number, cpus: number): ZoneStat {
  const text = bytes.subarray(at, at + NAME_BYTES);
  const end = text.indexOf(0);
  const word = (offset: number): number => input.getUint32(at + offset, true);
  const long = (offset: number): bigint => input.getBigUint64(at + offset, true);
  return {
    name: new TextDecoder().decode(text.slice(0, end < 0 ? NAME_BYTES : end)),
    align: word(32),
    size: word(36),
    rsize: word(40),
    maxpages: word(44),
    limit: word(48),
    pages: word(52),
    kegFree: word(56),
    zoneFree: word(60),
    bucketsize: word(64),
    zoneFlags: word(68),
    allocs: long(72),
    frees: long(80),
    fails: long(88),
    sleeps: long(96),
    xdomain: long(104),
    perCpu: Array.from({ length: cpus }, (_, cpu) => {
      const from = TYPE_HEADER_BYTES + cpu * PERCPU_BYTES;
      return { allocs: long(from), frees: long(from + 8), cacheFree: long(from + 16) };
    }),
  };
}

/** `struct memory_type`: what `vmstat -z` shows of a zone. */
export interface MemoryType {
  readonly name: string;
  readonly size: number;
  readonly limit: number;
  /** Items in users' hands, and their bytes. */
  readonly count: bigint;
  readonly bytes: bigint;
  /** Free items: in CPU caches, on queues, and in slabs unless the zone is secondary. */
  readonly free: bigint;
  readonly numAllocs: bigint;
  readonly numFrees: bigint;
  readonly failures: bigint;
  readonly sleeps: bigint;
  readonly xdomain: bigint;
}

/**
 * `memstat_sysctl_uma` over an empty list: each type is put at the list's head, so the list runs
 * backwards, cache zones first, then the kegs from the oldest.
 */
export function memoryTypes(zones: readonly ZoneStat[]): MemoryType[] {
  return zones.map(memoryType).toReversed();
}

function memoryType(zone: ZoneStat): MemoryType {
  const sum = (of: (cpu: PerCpuStat) => bigint): bigint =>
    zone.perCpu.reduce((all, cpu) => all + of(cpu), 0n);
  const numFrees = zone.frees + sum((cpu) => cpu.frees);
  const counted = zone.allocs + sum((cpu) => cpu.allocs);
  // Read without stopping anyone: frees may be ahead.
  const numAllocs = numFrees > counted ? numFrees : counted;
  const secondary = (zone.zoneFlags & ZONE_SECONDARY) !== 0;
  const cached = sum((cpu) => cpu.cacheFree) + BigInt(zone.zoneFree);
  return {
    name: zone.name,
    size: zone.size,
    limit: zone.limit,
    count: numAllocs - numFrees,
    bytes: (numAllocs - numFrees) * BigInt(zone.size),
    free: cached + (secondary ? 0n : BigInt(zone.kegFree)),
    numAllocs,
    numFrees,
    failures: zone.fails,
    sleeps: zone.sleeps,
    xdomain: zone.xdomain,
  };
}
