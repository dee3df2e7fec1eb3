/**
 * Writing into a chain at an offset, extending it (m_copyback). Find the place, then write piece by
 * piece; what is missing is made, a gap filled with zeros. Copy on write, the other half of the kernel's
 * m_copyback0, is in copy-on-write.ts.
 */

import { type Address, NULL } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import { type Bytes, copyFrom, requireBytes } from '../bytes.ts';
import { M_EXT } from '../constants.ts';
import { ChainRangeError, ReadOnlyError } from '../errors.ts';
import { clget } from '../external/attach.ts';
import type { MbufCore } from '../core.ts';
import {
  DATA,
  FLAGS,
  hasPacketHeader,
  isWritable,
  LEN,
  NEXT,
  packetLength,
  requireInt32,
  setPacketLength,
  trailingSpace,
  typeOf,
} from '../segment.ts';
import { length } from './data.ts';

/**
 * Copies `len` bytes of `source` over the chain from `off` on (m_copyback). The chain grows as needed,
 * a gap is filled with zeros, pkthdr.len follows. True when all was written; false when memory was
 * exhausted, with the zeros and bytes that fitted kept. NULL is nothing to do. Throws
 * ReadOnlyError, before anything is written, when the range touches read-only data.
 */
export function copyback(
  mbufs: MbufCore,
  m: Address,
  off: number,
  len: number,
  source: Bytes,
): boolean {
  if (m === NULL) return true;
  const count = requireWrite(mbufs, 'm_copyback', m, off, len);
  requireBytes(mbufs, 'm_copyback', source, count);
  if (count > 0) requireWritable(mbufs, m, off, count);
  return extendAndWrite(mbufs, m, off, count, source);
}

function extendAndWrite(
  mbufs: MbufCore,
  m: Address,
  off: number,
  len: number,
  source: Bytes,
): boolean {
  const { words } = mbufs;
  let at = m;
  /** Offset in `at`, bytes before `at`, bytes written. */
  let skip = off;
  let before = 0;
  let done = 0;
  for (;;) {
    const length = words[(at >> 2) + LEN]!;
    // At the very end of an mbuf with more to write, or behind it: on to the next, or extend.
    if (skip <= length) {
      const piece = Math.min(length - skip, len - done);
      copyFrom(mbufs, words[(at >> 2) + DATA]! + skip, source, done, piece);
      done += piece;
      if (done === len) {
        const reached = mbufs.quirks && len === 0 ? before : before + skip + piece;
        growPacketLength(mbufs, m, reached);
        return true;
      }
      skip = length;
    }
    const next = words[(at >> 2) + NEXT]! as Address;
    if (next !== NULL) {
      before += length;
      skip -= length;
      at = next;
      continue;
    }
    const grown = extend(mbufs, at, skip - length, len - done);
    if (grown === NULL) {
      growPacketLength(mbufs, m, before + length);
      return false;
    }
    if (grown !== at) {
      before += length;
      skip -= length;
      at = grown;
    }
  }
}

/**
 * Makes the chain longer behind its last mbuf `at`: for `gap` zero bytes and then `len` to be
 * written, or as many as one mbuf takes. Returns `at` when it grew, the mbuf that was added, or NULL.
 */
function extend(mbufs: MbufCore, at: Address, gap: number, len: number): Address {
  const { words, kernels } = mbufs;
  const base = at >> 2;
  const wanted = gap + len;
  const empty = (words[base + FLAGS]! & M_EXT) === 0 && words[base + LEN] === 0;
  if (wanted >= mbufs.minclsize && empty) clget(mbufs, at, M_NOWAIT);
  const space = Math.min(trailingSpace(mbufs, at), wanted);
  if (space > 0) {
    const end = words[base + DATA]! + words[base + LEN]!;
    kernels.zero(end, Math.min(gap, space));
    words[base + LEN]! += space;
    return at;
  }
  const type = typeOf(mbufs, at);
  const n = wanted >= mbufs.minclsize ? mbufs.getcl(M_NOWAIT, type, 0) : mbufs.get(M_NOWAIT, type);
  if (n === NULL) return NULL;
  const size = Math.min(trailingSpace(mbufs, n), wanted);
  kernels.zero(words[(n >> 2) + DATA]!, Math.min(gap, size));
  words[(n >> 2) + LEN] = size;
  words[base + NEXT] = n;
  return n;
}

function growPacketLength(mbufs: MbufCore, m: Address, reached: number): void {
  if (hasPacketHeader(mbufs, m) && packetLength(mbufs, m) < reached) {
    setPacketLength(mbufs, m, reached);
  }
}

// Checks.

/** The number of bytes to write; throws when the arguments cannot be. */
export function requireWrite(
  mbufs: MbufCore,
  operation: string,
  m: Address,
  off: number,
  len: number,
): number {
  requireInt32(operation, 'off', off);
  requireInt32(operation, 'len', len);
  mbufs.checkChain(operation, m);
  const count = len === mbufs.copyAll ? Math.max(0, length(mbufs, m) - off) : len;
  if (off < 0 || count < 0 || off + count > 0x7fffffff) {
    throw new ChainRangeError(`${operation}: off ${off}, len ${len}`);
  }
  return count;
}

/** m_copyback writes in place only: throws when the range touches read-only data. */
function requireWritable(mbufs: MbufCore, m: Address, off: number, len: number): void {
  const { words } = mbufs;
  let start = 0;
  for (let at: number = m; at !== NULL && start < off + len; at = words[(at >> 2) + NEXT]!) {
    const end = start + words[(at >> 2) + LEN]!;
    if (end > start && end > off && !isWritable(mbufs, at as Address)) {
      throw new ReadOnlyError('m_copyback0: read-only');
    }
    start = end;
  }
}
