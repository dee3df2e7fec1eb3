/**
 * Copies of a range of a chain: sharing external storage (m_copym, m_copypacket) or not (m_dup).
 * Internal data is always copied. The source changes in nothing but its reference counts, and a
 * copy that fails takes its references back.
 */

import { type Address, NULL } from '@umbuf/memory';
import { M_EXT } from '../constants.ts';
import { ChainRangeError } from '../errors.ts';
import { clget } from '../external/attach.ts';
import { addReference } from '../external/reference.ts';
import type { Mbufs } from '../mbufs.ts';
import {
  capacity,
  DATA,
  FLAGS,
  hasPacketHeader,
  LEN,
  NEXT,
  packetLength,
  requireInt32,
  setPacketLength,
  TYPE,
} from '../segment.ts';
import { claimFrom, dupPkthdr, requirePacketHeader } from './header.ts';

/**
 * A copy of `len` bytes from `off` on that shares external storage; both sides are then read-only
 * there (m_copym). `len` may be `mbufs.copyAll`. The packet header is copied when `off` is 0.
 * Returns NULL on exhaustion and for nothing to copy. Throws ChainRangeError when the chain has
 * fewer bytes.
 */
export function copym(mbufs: Mbufs, m: Address, off: number, len: number, how: number): Address {
  return copyRange(mbufs, m, off, len, how, false);
}

/**
 * A copy that shares nothing (m_dup): what was external gets clusters, or where there are none,
 * more mbufs. Otherwise as `copym`.
 */
export function dup(mbufs: Mbufs, m: Address, off: number, len: number, how: number): Address {
  return copyRange(mbufs, m, off, len, how, true);
}

/**
 * A copy of a whole packet that shares external storage (m_copypacket). NULL on exhaustion. Throws
 * PacketHeaderError for a chain without packet header, which the kernel copies as garbage (B4).
 */
export function copypacket(mbufs: Mbufs, m: Address, how: number): Address {
  requirePacketHeader(mbufs, 'm_copypacket', m);
  return copyRange(mbufs, m, 0, mbufs.copyAll, how, false);
}

function copyRange(
  mbufs: Mbufs,
  m: Address,
  off: number,
  len: number,
  how: number,
  deep: boolean,
): Address {
  const { words } = mbufs;
  const all = len === mbufs.copyAll;
  requireInt32('m_copym', 'off', off);
  requireInt32('m_copym', 'len', len);
  if (off < 0 || (len < 0 && !all)) {
    throw new ChainRangeError(`m_copym: off ${off}, len ${len}`);
  }
  mbufs.checkChain('m_copym', m);
  let skip = off;
  let from: number = m;
  while (skip > 0) {
    if (from === NULL) throw new ChainRangeError(`m_copym: m == 0, off ${skip}`);
    const length = words[(from >> 2) + LEN]!;
    if (skip < length) break;
    skip -= length;
    from = words[(from >> 2) + NEXT]!;
  }
  let header = off === 0 && hasPacketHeader(mbufs, m);
  let left = all ? Infinity : len;
  let top: Address = NULL;
  let last: Address = NULL;
  while (left > 0) {
    if (from === NULL) {
      if (all) break;
      mbufs.freem(top);
      throw new ChainRangeError(`m_copym: m == 0, len ${left} [!COPYALL]`);
    }
    const n = mbufs.get(how, words[(from >> 2) + TYPE]!);
    if (n === NULL) {
      mbufs.freem(top);
      return NULL;
    }
    claimFrom(mbufs, n, from as Address);
    if (header) {
      header = false;
      dupPkthdr(mbufs, n, m);
      setPacketLength(mbufs, n, all ? packetLength(mbufs, m) : len);
    }
    if (top === NULL) top = n;
    else words[(last >> 2) + NEXT] = n;
    last = n;
    const length = words[(from >> 2) + LEN]!;
    const piece = Math.min(left, length - skip);
    const taken = deep
      ? copyPiece(mbufs, n, from as Address, skip, piece, how)
      : sharePiece(mbufs, n, from as Address, skip, piece);
    left -= taken;
    skip += taken;
    if (skip === length) {
      from = words[(from >> 2) + NEXT]!;
      skip = 0;
    }
  }
  return top;
}

/** Gives the fresh mbuf `n` `piece` bytes of `from`: by reference where they are external. */
function sharePiece(mbufs: Mbufs, n: Address, from: Address, skip: number, piece: number): number {
  const { words } = mbufs;
  const data = words[(from >> 2) + DATA]! + skip;
  if ((words[(from >> 2) + FLAGS]! & M_EXT) !== 0) {
    addReference(mbufs, n, from);
    words[(n >> 2) + DATA] = data;
  } else {
    mbufs.kernels.copy(words[(n >> 2) + DATA]!, data, piece);
  }
  words[(n >> 2) + LEN] = piece;
  return piece;
}

/**
 * Gives the fresh mbuf `n` as many of `piece` bytes as fit, with a cluster if there is one and the
 * source is external. Returns how many; the caller goes on with the rest.
 */
function copyPiece(
  mbufs: Mbufs,
  n: Address,
  from: Address,
  skip: number,
  piece: number,
  how: number,
): number {
  const { words } = mbufs;
  if ((words[(from >> 2) + FLAGS]! & M_EXT) !== 0) clget(mbufs, n, how);
  const fits = Math.min(piece, capacity(mbufs, n));
  mbufs.kernels.copy(words[(n >> 2) + DATA]!, words[(from >> 2) + DATA]! + skip, fits);
  words[(n >> 2) + LEN] = fits;
  return fits;
}
