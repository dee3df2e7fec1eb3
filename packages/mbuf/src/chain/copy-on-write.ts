/**
 * Writing into a chain whose storage may be shared (m_copyback_cow, m_makewritable): what is read-only is
 * replaced, piece by piece, by mbufs of our own; other users of the storage keep their bytes. The
 * chain never gets longer.
 */

import { type Address, NULL } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import { type Bytes, copyFrom, requireBytes } from '../bytes.ts';
import { MCLBYTES } from '../constants.ts';
import { PacketHeaderError } from '../errors.ts';
import { clget } from '../external/attach.ts';
import { requireExternalFrees, throwCallbackError } from '../external/callbacks.ts';
import type { MbufCore } from '../core.ts';
import { requireWrite } from './copyback.ts';
import {
  DATA,
  hasPacketHeader,
  isWritable,
  LEN,
  NEXT,
  packetLength,
  sumLengths,
  typeOf,
} from '../segment.ts';
import { movePkthdr } from './header.ts';
import { claimFrom } from '../owner.ts';
import { splitChain } from './split.ts';

/**
 * Copies `len` bytes of `source` over the chain and returns it, with copies in place of what was
 * read-only (m_copyback_cow); other users of shared storage keep their bytes. What lies behind the
 * end of the chain is not written. On exhaustion the whole chain is freed and NULL returned.
 */
export function copybackCow(
  mbufs: MbufCore,
  m: Address,
  off: number,
  len: number,
  source: Bytes,
  how: number,
): Address {
  const count = requireWrite(mbufs, 'm_copyback_cow', m, off, len);
  requireBytes(mbufs, 'm_copyback_cow', source, count);
  requireHeaderLength(mbufs, m, off, count);
  requireExternalFrees(mbufs, m);
  const done = writeCopy(mbufs, m, off, count, source, how);
  if (!done) mbufs.freem(mbufs.head);
  throwCallbackError(mbufs);
  return done ? mbufs.head : NULL;
}

/**
 * Makes the range writable, keeping its bytes (m_makewritable). The head afterwards is `mbufs.head`.
 * False on exhaustion (ENOBUFS): same bytes, possibly in more mbufs.
 */
export function makewritable(
  mbufs: MbufCore,
  m: Address,
  off: number,
  len: number,
  how: number,
): boolean {
  const count = requireWrite(mbufs, 'm_makewritable', m, off, len);
  requireHeaderLength(mbufs, m, off, count);
  requireExternalFrees(mbufs, m);
  const done = writeCopy(mbufs, m, off, count, undefined, how);
  throwCallbackError(mbufs);
  return done;
}

// Writing with copies: m_copyback_cow and m_makewritable. `source` undefined keeps the bytes.

function writeCopy(
  mbufs: MbufCore,
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
function replaceFront(
  mbufs: MbufCore,
  at: Address,
  len: number,
  keep: boolean,
  how: number,
): Address {
  const { words, kernels } = mbufs;
  const type = typeOf(mbufs, at);
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
    typeOf(mbufs, from) === type &&
    !isWritable(mbufs, from)
  ) {
    const base = from >> 2;
    const piece = Math.min(size - taken, words[base + LEN]!);
    if (keep) kernels.copy(words[(n >> 2) + DATA]! + taken, words[base + DATA]!, piece);
    words[base + DATA]! += piece;
    words[base + LEN]! -= piece;
    taken += piece;
    if (words[base + LEN] === 0) from = mbufs.release(from);
  }
  words[(n >> 2) + LEN] = taken;
  words[(n >> 2) + NEXT] = from;
  return n;
}

/** Copy on write never lengthens: throws when the bytes it reaches exceed pkthdr.len. */
function requireHeaderLength(mbufs: MbufCore, m: Address, off: number, len: number): void {
  if (!hasPacketHeader(mbufs, m)) return;
  const reached = len === 0 ? skipped(mbufs, m, off) : Math.min(off + len, sumLengths(mbufs, m));
  if (packetLength(mbufs, m) < reached) {
    throw new PacketHeaderError(
      `m_copyback0: mbuf ${m}: pkthdr.len ${packetLength(mbufs, m)} is below the real length`,
    );
  }
}

/** Bytes of the mbufs in front of the one that holds offset `off` (an end belongs to its mbuf). */
function skipped(mbufs: MbufCore, m: Address, off: number): number {
  const { words } = mbufs;
  let before = 0;
  for (let at: number = m; at !== NULL; at = words[(at >> 2) + NEXT]!) {
    if (off - before <= words[(at >> 2) + LEN]!) return before;
    before += words[(at >> 2) + LEN]!;
  }
  return before;
}
