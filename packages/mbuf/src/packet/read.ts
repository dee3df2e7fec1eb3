/**
 * Where the bytes of a packet are: positions, and the search across segments. Plain functions over owned
 * words; nothing is copied but what `find` gathers.
 */

import { ArgumentError } from '@umbuf/memory';
import type { MbufCore } from '../core.ts';
import { ChainRangeError } from '../errors.ts';
import { DATA, LEN, NEXT, packetLength } from '../segment.ts';
import { headOf, type Life } from './life.ts';

/** Where `find` gathers what lies in more than one mbuf. Nothing of it outlives a call. */
export const gathered: DataView = new DataView(new ArrayBuffer(8));
const gatheredBytes = new Uint8Array(gathered.buffer);

/**
 * Address of the `size` bytes (1 to 8) at `offset` when they are contiguous; else -1, with a copy of them
 * in `gathered`. Throws ChainRangeError outside the packet, ArgumentError for what is no integer.
 */
export function find(life: Life, offset: number, size: number): number {
  const m = headOf(life);
  const { words } = life.context.mbufs;
  if ((offset | 0) === offset && offset >= 0 && offset + size <= words[(m >> 2) + LEN]!) {
    return words[(m >> 2) + DATA]! + offset;
  }
  return findBehind(life, m, offset, size);
}

/** `find` behind the first mbuf. */
function findBehind(life: Life, m: number, offset: number, size: number): number {
  const { mbufs } = life.context;
  const { words } = mbufs;
  requireInside(life, offset, size);
  let skip = offset;
  let at = m;
  while (at !== 0 && skip >= words[(at >> 2) + LEN]!) {
    skip -= words[(at >> 2) + LEN]!;
    at = words[(at >> 2) + NEXT]!;
  }
  if (at !== 0 && skip + size <= words[(at >> 2) + LEN]!) return words[(at >> 2) + DATA]! + skip;
  mbufs.copydata(life.address, offset, size, gatheredBytes.subarray(0, size));
  return -1;
}

/** Throws unless the packet has `size` bytes at `offset`. */
export function requireInside(life: Life, offset: number, size: number): void {
  const { mbufs } = life.context;
  if (!Number.isInteger(offset)) {
    throw new ArgumentError(`Packet: offset ${String(offset)} is no integer`);
  }
  const length = mbufs.length(headOf(life));
  if (offset < 0 || offset + size > length) {
    throw new ChainRangeError(`Packet: ${size} bytes at ${offset}, but it has ${length}`);
  }
}

/** Bytes of the packet. */
export function lengthOf(life: Life): number {
  return packetLength(life.context.mbufs, headOf(life));
}

/** A range as `Uint8Array.slice` takes it: negative from the end, cut to the packet. */
export function rangeOf(
  life: Life,
  start: number,
  end: number | undefined,
): { readonly start: number; readonly length: number } {
  const length = lengthOf(life);
  const from = relative('start', start, length);
  const to = end === undefined ? length : relative('end', end, length);
  return { start: from, length: Math.max(0, to - from) };
}

function relative(name: string, value: number, length: number): number {
  if (!Number.isInteger(value)) throw new ArgumentError(`Packet: ${name} ${String(value)}`);
  return value < 0 ? Math.max(0, length + value) : Math.min(value, length);
}

/** The segments as views. */
export function viewsOf(mbufs: MbufCore, m: number): Uint8Array<SharedArrayBuffer>[] {
  const { words, bytes } = mbufs;
  const views: Uint8Array<SharedArrayBuffer>[] = [];
  for (let at = m; at !== 0; at = words[(at >> 2) + NEXT]!) {
    const data = words[(at >> 2) + DATA]!;
    const length = words[(at >> 2) + LEN]!;
    if (length > 0) views.push(bytes.subarray(data, data + length));
  }
  return views;
}

/** Offset of the first occurrence of `needle` from `from` on, also across segments; -1 without one. */
export function indexOfBytes(mbufs: MbufCore, m: number, needle: Uint8Array, from: number): number {
  const { words, bytes } = mbufs;
  const first = needle[0]!;
  let start = 0;
  for (let at = m; at !== 0; at = words[(at >> 2) + NEXT]!) {
    const data = words[(at >> 2) + DATA]!;
    const length = words[(at >> 2) + LEN]!;
    const end = data + length;
    for (let byte = data + Math.max(0, from - start); byte < end; byte++) {
      if (bytes[byte] !== first) continue;
      if (matches(mbufs, at, byte - data, needle)) return start + byte - data;
    }
    start += length;
  }
  return -1;
}

/** Whether the bytes from `skip` of mbuf `m` on are `wanted`. */
export function matches(mbufs: MbufCore, m: number, skip: number, wanted: Uint8Array): boolean {
  const { words, bytes } = mbufs;
  let from = skip;
  let done = 0;
  for (let at = m; at !== 0; at = words[(at >> 2) + NEXT]!) {
    const data = words[(at >> 2) + DATA]! + from;
    const count = Math.min(words[(at >> 2) + LEN]! - from, wanted.length - done);
    for (let index = 0; index < count; index++) {
      if (bytes[data + index] !== wanted[done + index]) return false;
    }
    done += count;
    from = 0;
    if (done === wanted.length) return true;
  }
  return wanted.length === done;
}
