/**
 * How a Packet's chain grows, shrinks and is shared: functions over the chain's first mbuf, which the Packet
 * holds. Unlike the kernels' operations that these stand on, none frees the chain on exhaustion: nothing
 * has changed then. A chain comes back by its first mbuf, which may be another.
 */

import { type Address, NULL } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import { copyFrom } from '../bytes.ts';
import { adj } from '../chain/adjust.ts';
import { transferHeader } from '../chain/header.ts';
import { M_EXT, M_PKTHDR } from '../constants.ts';
import type { MbufCore } from '../core.ts';
import { FreebsdType } from '../freebsd-flags.ts';
import { getm2 } from '../get.ts';
import { initPacketHeader } from '../construct.ts';
import {
  alignEnd,
  capacity,
  DATA,
  FLAGS,
  hasPacketHeader,
  lastMbuf,
  leadingSpace,
  LEN,
  NEXT,
  packetLength,
  setPacketLength,
  trailingSpace,
  typeOf,
} from '../segment.ts';

const { MT_DATA } = FreebsdType;

/** A packet with the bytes; NULL on exhaustion. They are copied. */
export function newPacket(mbufs: MbufCore, source: Uint8Array): Address {
  const { length } = source;
  const m = newChain(mbufs, length, M_PKTHDR);
  if (m === NULL) return NULL;
  fill(mbufs, m, source, 0);
  setPacketLength(mbufs, m, length);
  return m;
}

/** A packet of `length` zeros; NULL on exhaustion. */
export function newZeros(mbufs: MbufCore, length: number): Address {
  const { words, kernels } = mbufs;
  const m = newChain(mbufs, length, M_PKTHDR);
  if (m === NULL) return NULL;
  setPacketLength(mbufs, m, length);
  for (let at: number = m, left = length; at !== NULL; at = words[(at >> 2) + NEXT]!) {
    const piece = Math.min(left, capacity(mbufs, at as Address));
    kernels.zero(words[(at >> 2) + DATA]!, piece);
    words[(at >> 2) + LEN] = piece;
    left -= piece;
  }
  return m;
}

/** Empty mbufs with room for `length` bytes, the first with a packet header if `flags` is M_PKTHDR. */
function newChain(mbufs: MbufCore, length: number, flags: number): Address {
  if (length === 0) return mbufs.gethdr(M_NOWAIT, MT_DATA);
  return getm2(mbufs, NULL, length, M_NOWAIT, MT_DATA, flags);
}

/** Writes source's bytes from `from` on into the room behind the data starts of a fresh chain. */
function fill(mbufs: MbufCore, m: Address, source: Uint8Array, from: number): void {
  const { words } = mbufs;
  let done = from;
  for (let at: number = m; at !== NULL; at = words[(at >> 2) + NEXT]!) {
    const room = trailingSpace(mbufs, at as Address);
    const piece = Math.min(source.length - done, room);
    copyFrom(mbufs, words[(at >> 2) + DATA]!, source, done, piece);
    words[(at >> 2) + LEN] = piece;
    done += piece;
  }
}

/**
 * Appends the bytes behind `last`, the last mbuf: into its room, then in new mbufs (m_append, but for
 * clusters and all or nothing). Returns the new last mbuf; NULL on exhaustion.
 */
export function appendBytes(
  mbufs: MbufCore,
  m: Address,
  last: Address,
  source: Uint8Array,
): Address {
  const { words } = mbufs;
  const { length } = source;
  const here = Math.min(trailingSpace(mbufs, last), length);
  let rest: Address = NULL;
  if (here < length) {
    rest = getm2(mbufs, NULL, length - here, M_NOWAIT, typeOf(mbufs, m), 0);
    if (rest === NULL) return NULL;
    fill(mbufs, rest, source, here);
    words[(last >> 2) + NEXT] = rest;
  }
  if (here > 0) {
    const end = words[(last >> 2) + DATA]! + words[(last >> 2) + LEN]!;
    copyFrom(mbufs, end, source, 0, here);
    words[(last >> 2) + LEN]! += here;
  }
  setPacketLength(mbufs, m, packetLength(mbufs, m) + length);
  return rest === NULL ? last : lastMbuf(mbufs, rest);
}

/** Puts the bytes in front, into the leading space or new mbufs; NULL on exhaustion (M_PREPEND). */
export function prependBytes(mbufs: MbufCore, m: Address, source: Uint8Array): Address {
  const { words } = mbufs;
  const { length } = source;
  if (leadingSpace(mbufs, m) >= length) {
    words[(m >> 2) + DATA]! -= length;
    words[(m >> 2) + LEN]! += length;
    copyFrom(mbufs, words[(m >> 2) + DATA]!, source, 0, length);
    setPacketLength(mbufs, m, packetLength(mbufs, m) + length);
    return m;
  }
  const front = newChain(mbufs, length, M_PKTHDR);
  if (front === NULL) return NULL;
  transferHeader(mbufs, front, m);
  // At the end of its area, so that the next one finds room in front.
  if (words[(front >> 2) + NEXT] === NULL) alignEnd(mbufs, front, length);
  fill(mbufs, front, source, 0);
  words[(lastMbuf(mbufs, front) >> 2) + NEXT] = m;
  setPacketLength(mbufs, front, packetLength(mbufs, front) + length);
  return front;
}

/** What `trimBytes` leaves: the chain, and the mbufs that were emptied, as a chain to be freed. */
export interface Trimmed {
  readonly head: Address;
  readonly empty: Address;
}

/**
 * Drops `start` bytes in front and `end` behind (m_adj), and takes the mbufs out that this empties, but for
 * the first where nobody else can have the packet header. Bytes stay where they are.
 */
export function trimBytes(mbufs: MbufCore, m: Address, start: number, end: number): Trimmed {
  if (start > 0) adj(mbufs, m, start);
  const { words } = mbufs;
  let behind: Address = NULL;
  if (end > 0) {
    adj(mbufs, m, -end);
    const last = lastWithData(mbufs, m);
    behind = words[(last >> 2) + NEXT]! as Address;
    words[(last >> 2) + NEXT] = NULL;
  }
  if (words[(m >> 2) + LEN] !== 0) return { head: m, empty: behind };
  const { head, empty } = takeFront(mbufs, m);
  if (empty === NULL) return { head, empty: behind };
  words[(lastMbuf(mbufs, empty) >> 2) + NEXT] = behind;
  return { head, empty };
}

/** Takes empty mbufs out in front; the first is empty. */
function takeFront(mbufs: MbufCore, m: Address): Trimmed {
  const { words } = mbufs;
  let last: number = m;
  let first = words[(m >> 2) + NEXT]! as Address;
  while (first !== NULL && words[(first >> 2) + LEN] === 0) {
    last = first;
    first = words[(first >> 2) + NEXT]! as Address;
  }
  if (first !== NULL && (words[(first >> 2) + FLAGS]! & (M_EXT | M_PKTHDR)) === M_EXT) {
    // Its data is elsewhere, so that it has room for the header.
    transferHeader(mbufs, first, m);
    words[(last >> 2) + NEXT] = NULL;
    return { head: first, empty: m };
  }
  if (last === m) return { head: m, empty: NULL };
  const empty = words[(m >> 2) + NEXT]! as Address;
  words[(last >> 2) + NEXT] = NULL;
  words[(m >> 2) + NEXT] = first;
  return { head: m, empty };
}

/** The last mbuf with data, or the first of all. */
function lastWithData(mbufs: MbufCore, m: Address): number {
  const { words } = mbufs;
  let last: number = m;
  for (let at: number = m; at !== NULL; at = words[(at >> 2) + NEXT]!) {
    if (words[(at >> 2) + LEN] !== 0) last = at;
  }
  return last;
}

/** A packet over a range of the chain that shares its storage (m_copym); NULL on exhaustion. */
export function shareRange(mbufs: MbufCore, m: Address, start: number, length: number): Address {
  if (length === 0) return mbufs.gethdr(M_NOWAIT, MT_DATA);
  const n = mbufs.copym(m, start, length, M_NOWAIT);
  return n === NULL || hasPacketHeader(mbufs, n) ? n : giveHeader(mbufs, n, length);
}

/** Gives a chain of `length` bytes without a packet header one, in front if there is no room; NULL on exhaustion. */
function giveHeader(mbufs: MbufCore, m: Address, length: number): Address {
  const { words, pkthdr, pktdat, mhlen, kernels } = mbufs;
  const base = m >> 2;
  let head = m;
  if ((words[base + FLAGS]! & M_EXT) !== 0 || words[base + LEN]! <= mhlen) {
    if ((words[base + FLAGS]! & M_EXT) === 0) {
      kernels.copy(m + pktdat, words[base + DATA]!, words[base + LEN]!);
      words[base + DATA] = m + pktdat;
    }
    words[base + FLAGS]! |= M_PKTHDR;
    initPacketHeader(words, base + pkthdr);
  } else {
    head = mbufs.gethdr(M_NOWAIT, MT_DATA);
    if (head === NULL) mbufs.freem(m);
    else words[(head >> 2) + NEXT] = m;
  }
  if (head !== NULL) setPacketLength(mbufs, head, length);
  return head;
}
