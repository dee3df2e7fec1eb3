/**
 * Writing into a chain at an offset (m_copyback0 and its three entries). One engine: find the place,
 * then write piece by piece; what is read-only is replaced by copies (copy on write), and a chain
 * that is too short is extended with zeros, as the entry asks.
 *
 * The cursor of a running call is in local variables of `write`; nothing here sleeps but what
 * `how` allows the allocations to.
 */

import { type Address, NULL } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import { type Bytes, copyFrom, requireBytes } from '../bytes.ts';
import { MCLBYTES, M_EXT } from '../constants.ts';
import { ChainRangeError, PacketHeaderError, ReadOnlyError } from '../errors.ts';
import { clget } from '../external/attach.ts';
import type { Mbufs } from '../mbufs.ts';
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
  sumLengths,
  trailingSpace,
  TYPE,
} from '../segment.ts';
import { length } from './data.ts';
import { claimFrom, movePkthdr } from './header.ts';
import { splitChain } from './split.ts';

/**
 * Copies `len` bytes of `source` over the chain from `off` on (m_copyback). The chain grows as needed,
 * a gap is filled with zeros, pkthdr.len follows. True when all was written; false when memory was
 * exhausted, with the zeros and bytes that fitted kept. NULL is nothing to do. Throws
 * ReadOnlyError, before anything is written, when the range touches read-only data.
 */
export function copyback(
  mbufs: Mbufs,
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

/**
 * Copies `len` bytes of `source` over the chain and returns it, with copies in place of what was
 * read-only (m_copyback_cow); other users of shared storage keep their bytes. What lies behind the
 * end of the chain is not written. On exhaustion the whole chain is freed and NULL returned.
 */
export function copybackCow(
  mbufs: Mbufs,
  m: Address,
  off: number,
  len: number,
  source: Bytes,
  how: number,
): Address {
  const count = requireWrite(mbufs, 'm_copyback_cow', m, off, len);
  requireBytes(mbufs, 'm_copyback_cow', source, count);
  requireHeaderLength(mbufs, m, off, count);
  if (writeCopy(mbufs, m, off, count, source, how)) return mbufs.head;
  mbufs.freem(mbufs.head);
  return NULL;
}

/**
 * Makes the range writable, keeping its bytes (m_makewritable). The head afterwards is `mbufs.head`.
 * False on exhaustion (ENOBUFS): same bytes, possibly in more mbufs.
 */
export function makewritable(
  mbufs: Mbufs,
  m: Address,
  off: number,
  len: number,
  how: number,
): boolean {
  const count = requireWrite(mbufs, 'm_makewritable', m, off, len);
  requireHeaderLength(mbufs, m, off, count);
  return writeCopy(mbufs, m, off, count, undefined, how);
}

// Writing with extension: m_copyback.

function extendAndWrite(
  mbufs: Mbufs,
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
function extend(mbufs: Mbufs, at: Address, gap: number, len: number): Address {
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
  const type = words[base + TYPE]!;
  const n = wanted >= mbufs.minclsize ? mbufs.getcl(M_NOWAIT, type, 0) : mbufs.get(M_NOWAIT, type);
  if (n === NULL) return NULL;
  const size = Math.min(trailingSpace(mbufs, n), wanted);
  kernels.zero(words[(n >> 2) + DATA]!, Math.min(gap, size));
  words[(n >> 2) + LEN] = size;
  words[base + NEXT] = n;
  return n;
}

function growPacketLength(mbufs: Mbufs, m: Address, reached: number): void {
  if (hasPacketHeader(mbufs, m) && packetLength(mbufs, m) < reached) {
    setPacketLength(mbufs, m, reached);
  }
}

// Writing with copies: m_copyback_cow and m_makewritable. `source` undefined keeps the bytes.

function writeCopy(
  mbufs: Mbufs,
  m: Address,
  off: number,
  len: number,
  source: Bytes | undefined,
  how: number,
): boolean {
  const { words } = mbufs;
  mbufs.head = m;
  let previous: Address = NULL;
  let at = m;
  let skip = off;
  while (skip > words[(at >> 2) + LEN]!) {
    const next = words[(at >> 2) + NEXT]! as Address;
    if (next === NULL) return true;
    skip -= words[(at >> 2) + LEN]!;
    previous = at;
    at = next;
  }
  // Ends: each pass writes, or replaces a read-only front by a writable mbuf, or moves on.
  for (let done = 0; done < len; ) {
    const rest = words[(at >> 2) + LEN]! - skip;
    if (rest === 0 || isWritable(mbufs, at)) {
      const piece = Math.min(rest, len - done);
      if (source !== undefined) {
        copyFrom(mbufs, words[(at >> 2) + DATA]! + skip, source, done, piece);
      }
      done += piece;
      skip = 0;
      const next = words[(at >> 2) + NEXT]! as Address;
      if (done === len || next === NULL) return true;
      previous = at;
      at = next;
    } else if (skip > 0) {
      const tail = splitChain(mbufs, at, skip, how, false);
      if (tail === NULL) return false;
      words[(at >> 2) + NEXT] = tail;
      previous = at;
      at = tail;
      skip = 0;
    } else {
      const n = replaceFront(mbufs, at, len - done, source === undefined, how);
      if (n === NULL) return false;
      if (previous === NULL) mbufs.head = n;
      else words[(previous >> 2) + NEXT] = n;
      at = n;
    }
  }
  return true;
}

/**
 * A writable mbuf in place of up to `len` read-only bytes from `at` on, with their contents if `keep`;
 * emptied mbufs are freed and the rest of the chain follows it. NULL on exhaustion, nothing changed.
 */
function replaceFront(mbufs: Mbufs, at: Address, len: number, keep: boolean, how: number): Address {
  const { words, kernels } = mbufs;
  const type = words[(at >> 2) + TYPE]!;
  const n = mbufs.get(how, type);
  if (n === NULL) return NULL;
  claimFrom(mbufs, n, at);
  let size = mbufs.mlen;
  if (hasPacketHeader(mbufs, at)) {
    movePkthdr(mbufs, n, at);
    size = mbufs.mhlen;
  } else if (len >= mbufs.minclsize && clget(mbufs, n, M_NOWAIT)) {
    size = MCLBYTES;
  }
  size = Math.min(size, len);
  // Freeing one user can make the next mbuf on the same storage writable: ask anew each time.
  let from = at;
  let taken = 0;
  while (
    from !== NULL &&
    taken < size &&
    words[(from >> 2) + TYPE] === type &&
    !isWritable(mbufs, from)
  ) {
    const base = from >> 2;
    const piece = Math.min(size - taken, words[base + LEN]!);
    if (keep) kernels.copy(words[(n >> 2) + DATA]! + taken, words[base + DATA]!, piece);
    words[base + DATA]! += piece;
    words[base + LEN]! -= piece;
    taken += piece;
    if (words[base + LEN] === 0) from = mbufs.free(from);
  }
  words[(n >> 2) + LEN] = taken;
  words[(n >> 2) + NEXT] = from;
  return n;
}

// Checks.

/** The number of bytes to write; throws when the arguments cannot be. */
function requireWrite(
  mbufs: Mbufs,
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
function requireWritable(mbufs: Mbufs, m: Address, off: number, len: number): void {
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

/** Copy on write never lengthens: throws when the bytes it reaches exceed pkthdr.len. */
function requireHeaderLength(mbufs: Mbufs, m: Address, off: number, len: number): void {
  if (!hasPacketHeader(mbufs, m)) return;
  const reached = len === 0 ? skipped(mbufs, m, off) : Math.min(off + len, sumLengths(mbufs, m));
  if (packetLength(mbufs, m) < reached) {
    throw new PacketHeaderError(
      `m_copyback0: mbuf ${m}: pkthdr.len ${packetLength(mbufs, m)} is below the real length`,
    );
  }
}

/** Bytes of the mbufs in front of the one that holds offset `off` (an end belongs to its mbuf). */
function skipped(mbufs: Mbufs, m: Address, off: number): number {
  const { words } = mbufs;
  let before = 0;
  for (let at: number = m; at !== NULL; at = words[(at >> 2) + NEXT]!) {
    if (off - before <= words[(at >> 2) + LEN]!) return before;
    before += words[(at >> 2) + LEN]!;
  }
  return before;
}
