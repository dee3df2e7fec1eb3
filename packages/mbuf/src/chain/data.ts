/**
 * Reading a chain without changing it: lengths, copies out, pieces, positions, checksums (m_length,
 * m_fixhdr, m_copydata, m_apply, m_getptr, in_cksum). Owned words only; works on shared storage.
 */

import { type Address, ArgumentError, NULL } from '@umbuf/memory';
import { type Bytes, copyTo, requireBytes } from '../bytes.ts';
import { ChainRangeError } from '../errors.ts';
import type { MbufCore } from '../core.ts';
import {
  DATA,
  hasPacketHeader,
  LEN,
  NEXT,
  packetLength,
  requireInt32,
  requireLength,
  setPacketLength,
  sumLengths,
} from '../segment.ts';

/** pkthdr.len if m has a packet header, else the sum of m_len (m_length). */
export function length(mbufs: MbufCore, m: Address): number {
  mbufs.checkChain('m_length', m);
  return hasPacketHeader(mbufs, m) ? packetLength(mbufs, m) : sumLengths(mbufs, m);
}

/** Sums m_len along the chain, stores it in pkthdr.len if there is one, and returns it (m_fixhdr). */
export function fixhdr(mbufs: MbufCore, m: Address): number {
  mbufs.checkChain('m_fixhdr', m);
  const sum = sumLengths(mbufs, m);
  if (hasPacketHeader(mbufs, m)) setPacketLength(mbufs, m, sum);
  return sum;
}

/**
 * Copies `len` bytes from offset `off` to `target`, an address or a byte array (m_copydata).
 * Throws ChainRangeError, before anything is copied, when the chain has fewer.
 */
export function copydata(
  mbufs: MbufCore,
  m: Address,
  off: number,
  len: number,
  target: Bytes,
): void {
  const { words } = mbufs;
  requireRange(mbufs, 'm_copydata', m, off, len);
  requireBytes(mbufs, 'm_copydata', target, len);
  let skip = off;
  let done = 0;
  for (let at: number = m; done < len; at = words[(at >> 2) + NEXT]!) {
    const length = words[(at >> 2) + LEN]!;
    if (skip >= length) {
      skip -= length;
      continue;
    }
    const piece = Math.min(len - done, length - skip);
    copyTo(mbufs, words[(at >> 2) + DATA]! + skip, target, done, piece);
    done += piece;
    skip = 0;
  }
}

/**
 * Calls `callback(address, length)` for each piece of the range, also, with length 0, for empty mbufs
 * inside it (m_apply). The first result that is neither 0 nor undefined ends the walk and is
 * returned; else 0. Throws ChainRangeError where the chain ends before the range does; the pieces
 * before have been called for then.
 */
export function apply(
  mbufs: MbufCore,
  m: Address,
  off: number,
  len: number,
  callback: (address: Address, length: number) => number | void,
): number {
  const { words } = mbufs;
  requireLength('m_apply', 'off', off);
  requireLength('m_apply', 'len', len);
  mbufs.checkChain('m_apply', m);
  let at: number = m;
  let skip = off;
  while (at !== NULL && skip > 0 && skip >= words[(at >> 2) + LEN]!) {
    skip -= words[(at >> 2) + LEN]!;
    at = words[(at >> 2) + NEXT]!;
  }
  for (let left = len; left > 0 || skip > 0; at = words[(at >> 2) + NEXT]!) {
    if (at === NULL) {
      throw new ChainRangeError(
        `m_apply: m != NULL: the chain ends ${left + skip} bytes too early`,
      );
    }
    if (left === 0) break;
    const piece = Math.min(left, words[(at >> 2) + LEN]! - skip);
    const result = callback((words[(at >> 2) + DATA]! + skip) as Address, piece);
    if (result !== undefined && result !== 0) return result;
    left -= piece;
    skip = 0;
  }
  return 0;
}

/** Calls `callback(address, length)` for each mbuf of the chain that has data. */
export function forEachSegment(
  mbufs: MbufCore,
  m: Address,
  callback: (address: Address, length: number) => void,
): void {
  const { words } = mbufs;
  mbufs.checkChain('forEachSegment', m);
  for (let at: number = m; at !== NULL; at = words[(at >> 2) + NEXT]!) {
    const length = words[(at >> 2) + LEN]!;
    if (length > 0) callback(words[(at >> 2) + DATA]! as Address, length);
  }
}

/**
 * The mbuf that holds byte `loc`; `mbufs.offset` is its offset there (m_getptr). A boundary belongs
 * to the next mbuf that has data; the end of the chain to the last mbuf. NULL outside.
 */
export function getptr(mbufs: MbufCore, m: Address, loc: number): Address {
  const { words } = mbufs;
  requireInt32('m_getptr', 'loc', loc);
  mbufs.checkChain('m_getptr', m);
  if (loc < 0) return NULL;
  let left = loc;
  for (let at: number = m; ; ) {
    const length = words[(at >> 2) + LEN]!;
    const next = words[(at >> 2) + NEXT]!;
    if (left < length || (left === length && next === NULL)) {
      mbufs.offset = left;
      return at as Address;
    }
    if (next === NULL) return NULL;
    left -= length;
    at = next;
  }
}

/**
 * The one's complement sum over `len` bytes from `off` on, added to `sum` (0 to 0xffff) as if this
 * range followed an even number of bytes: folded, not complemented (RFC 1071). A correct range that
 * contains its checksum gives 0xffff. Throws ChainRangeError when the range leaves the chain.
 */
export function checksumPartial(
  mbufs: MbufCore,
  m: Address,
  off: number,
  len: number,
  sum = 0,
): number {
  const { words, kernels } = mbufs;
  requireRange(mbufs, 'in_cksum', m, off, len);
  if (!(Number.isInteger(sum) && sum >= 0 && sum <= 0xffff)) {
    throw new ArgumentError(`in_cksum: partial sum ${sum} is not from 0 to 65535`);
  }
  let skip = off;
  let done = 0;
  let total = sum;
  for (let at: number = m; done < len; at = words[(at >> 2) + NEXT]!) {
    const length = words[(at >> 2) + LEN]!;
    if (skip >= length) {
      skip -= length;
      continue;
    }
    const piece = Math.min(len - done, length - skip);
    total = kernels.checksum(words[(at >> 2) + DATA]! + skip, piece, total, done);
    done += piece;
    skip = 0;
  }
  return total;
}

/** The checksum to put into a header that covers the range: the complement of `checksumPartial`. */
export function checksum(mbufs: MbufCore, m: Address, off: number, len: number, sum = 0): number {
  return ~checksumPartial(mbufs, m, off, len, sum) & 0xffff;
}

/** Throws ChainRangeError unless [off, off + len) lies in the chain, by its m_len. */
export function requireRange(
  mbufs: MbufCore,
  operation: string,
  m: Address,
  off: number,
  len: number,
): void {
  const { words } = mbufs;
  requireInt32(operation, 'off', off);
  requireInt32(operation, 'len', len);
  if (off < 0 || len < 0) throw new ChainRangeError(`${operation}: off ${off}, len ${len}`);
  mbufs.checkChain(operation, m);
  let left = off + len;
  for (let at: number = m; left > 0 && at !== NULL; at = words[(at >> 2) + NEXT]!) {
    left -= words[(at >> 2) + LEN]!;
  }
  if (left > 0) {
    throw new ChainRangeError(
      `${operation}(${m},${len},${off}): the chain ends ${left} bytes too early`,
    );
  }
}
