/**
 * Where data begins and ends: trimming (m_adj), room in front (M_PREPEND, m_prepend), alignment
 * (m_align). Trimming moves no byte, so it is legal on shared storage.
 */

import { type Address, NULL } from '@umbuf/memory';
import { ChainRangeError } from '../errors.ts';
import type { MbufCore } from '../core.ts';
import {
  alignEnd,
  bufferEnd,
  bufferStart,
  capacity,
  DATA,
  hasPacketHeader,
  leadingSpace,
  LEN,
  NEXT,
  packetLength,
  requireInt32,
  setPacketLength,
  typeOf,
} from '../segment.ts';
import { movePkthdr } from './header.ts';
import { claimFrom } from '../owner.ts';

/**
 * Drops `len` bytes from the head (len > 0) or -len bytes from the tail (m_adj). Never frees an
 * mbuf: emptied ones stay with length 0. More than there is empties the chain. pkthdr.len follows;
 * a trim of more than the last mbuf sets it from the real length. NULL is nothing to do.
 */
export function adj(mbufs: MbufCore, m: Address, len: number): void {
  requireInt32('m_adj', 'len', len);
  if (m === NULL) return;
  mbufs.checkChain('m_adj', m);
  if (len >= 0) trimHead(mbufs, m, len);
  else trimTail(mbufs, m, -len);
}

function trimHead(mbufs: MbufCore, m: Address, len: number): void {
  const { words } = mbufs;
  let left = len;
  for (let at: number = m; at !== NULL && left > 0; at = words[(at >> 2) + NEXT]!) {
    const length = words[(at >> 2) + LEN]!;
    if (length <= left) {
      words[(at >> 2) + LEN] = 0;
      left -= length;
    } else {
      words[(at >> 2) + LEN] = length - left;
      words[(at >> 2) + DATA]! += left;
      left = 0;
    }
  }
  if (hasPacketHeader(mbufs, m)) setPacketLength(mbufs, m, packetLength(mbufs, m) - (len - left));
}

function trimTail(mbufs: MbufCore, m: Address, len: number): void {
  const { words } = mbufs;
  let sum = 0;
  let last: number = m;
  for (let at: number = m; at !== NULL; at = words[(at >> 2) + NEXT]!) {
    sum += words[(at >> 2) + LEN]!;
    last = at;
  }
  if (words[(last >> 2) + LEN]! >= len) {
    words[(last >> 2) + LEN]! -= len;
    if (hasPacketHeader(mbufs, m)) setPacketLength(mbufs, m, packetLength(mbufs, m) - len);
    return;
  }
  let keep = Math.max(0, sum - len);
  if (hasPacketHeader(mbufs, m)) setPacketLength(mbufs, m, keep);
  for (let at: number = m; at !== NULL; at = words[(at >> 2) + NEXT]!) {
    const length = Math.min(keep, words[(at >> 2) + LEN]!);
    words[(at >> 2) + LEN] = length;
    keep -= length;
  }
}

/**
 * Makes `len` bytes of room in front of the data (M_PREPEND) and returns the chain: in the leading
 * space if it is there and writable, else in a new mbuf. The bytes are undefined; pkthdr.len follows.
 * On exhaustion the chain is freed and NULL returned. Throws ChainRangeError when len exceeds MHLEN
 * and does not fit in front.
 */
export function prepend(mbufs: MbufCore, m: Address, len: number, how: number): Address {
  const { words } = mbufs;
  requirePrepend(mbufs, m, len);
  let head = m;
  if (leadingSpace(mbufs, m) >= len) {
    words[(m >> 2) + DATA]! -= len;
    words[(m >> 2) + LEN]! += len;
  } else {
    head = prependMbuf(mbufs, m, len, how);
  }
  if (head !== NULL && hasPacketHeader(mbufs, head)) {
    setPacketLength(mbufs, head, packetLength(mbufs, head) + len);
  }
  return head;
}

/**
 * Puts a new mbuf with `len` bytes, at most MHLEN, in front of the chain and moves the packet header
 * there (m_prepend). The data is end-aligned to 8; pkthdr.len is not changed (`prepend` does that).
 * On exhaustion the chain is freed and NULL returned.
 */
export function prependMbuf(mbufs: MbufCore, m: Address, len: number, how: number): Address {
  const { words } = mbufs;
  requirePrepend(mbufs, m, len);
  if (len > mbufs.mhlen) throw new ChainRangeError(`m_prepend: len > MHLEN (${len})`);
  const n = mbufs.get(how, typeOf(mbufs, m));
  if (n === NULL) {
    mbufs.freem(m);
    return NULL;
  }
  if (hasPacketHeader(mbufs, m)) movePkthdr(mbufs, n, m);
  else claimFrom(mbufs, n, m);
  words[(n >> 2) + NEXT] = m;
  alignEnd(mbufs, n, len);
  words[(n >> 2) + LEN] = len;
  return n;
}

function requirePrepend(mbufs: MbufCore, m: Address, len: number): void {
  requireInt32('m_prepend', 'len', len);
  mbufs.checkMbuf('m_prepend', m);
  if (len < 0) throw new ChainRangeError(`m_prepend: len > MHLEN (${len}, as unsigned)`);
}

/**
 * Moves the data start of a fresh mbuf so that `len` bytes end at the end of its area, rounded down
 * to 8 (m_align). Throws ChainRangeError when the data would leave the area.
 */
export function align(mbufs: MbufCore, m: Address, len: number): void {
  const { words } = mbufs;
  requireInt32('m_align', 'len', len);
  mbufs.checkMbuf('m_align', m);
  const data = words[(m >> 2) + DATA]! + ((capacity(mbufs, m) - len) & ~7);
  if (
    len < 0 ||
    data < bufferStart(mbufs, m) ||
    data + words[(m >> 2) + LEN]! > bufferEnd(mbufs, m)
  ) {
    throw new ChainRangeError(`m_align: ${len} bytes do not fit mbuf ${m} behind its data start`);
  }
  words[(m >> 2) + DATA] = data;
}
