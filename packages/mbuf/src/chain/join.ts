/** Joining chains and adding bytes at the end (m_add, m_cat, m_catpkt, m_append). */

import { type Address, NULL } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import { type Bytes, copyFrom, requireBytes } from '../bytes.ts';
import type { MbufCore } from '../core.ts';
import { requireExternalFrees, throwCallbackError } from '../external/callbacks.ts';
import {
  DATA,
  hasPacketHeader,
  isWritable,
  lastMbuf,
  LEN,
  NEXT,
  packetLength,
  requireLength,
  setPacketLength,
  trailingSpace,
  typeOf,
} from '../segment.ts';
import { demote, requirePacketHeader } from './header.ts';

/** Hangs `m` behind chain `c` and returns `c`, or `m` when `c` is NULL (m_add). No length changes. */
export function add(mbufs: MbufCore, c: Address, m: Address): Address {
  mbufs.checkChain('m_add', m);
  if (c === NULL) return m;
  mbufs.checkChain('m_add', c);
  mbufs.words[(lastMbuf(mbufs, c) >> 2) + NEXT] = m;
  return c;
}

/**
 * Joins `n` behind `m` (m_cat). Leading mbufs of `n` that fit into the writable room behind m's data
 * are copied there and freed; the first that does not fit is linked with all behind it. No header
 * length changes, and a header of `n` goes with its mbuf or stays inside the chain (see `catpkt`).
 */
export function cat(mbufs: MbufCore, m: Address, n: Address): void {
  const { words, kernels } = mbufs;
  mbufs.checkChain('m_cat', m);
  mbufs.checkChain('m_cat', n);
  const tail = lastMbuf(mbufs, m) >> 2;
  const writable = isWritable(mbufs, (tail << 2) as Address);
  requireExternalFrees(mbufs, n);
  let from = n;
  while (from !== NULL) {
    const length = words[(from >> 2) + LEN]!;
    if (!writable || length > trailingSpace(mbufs, (tail << 2) as Address)) break;
    kernels.copy(words[tail + DATA]! + words[tail + LEN]!, words[(from >> 2) + DATA]!, length);
    words[tail + LEN]! += length;
    from = mbufs.release(from);
  }
  words[tail + NEXT] = from;
  throwCallbackError(mbufs);
}

/** Joins packet `n` behind packet `m`: lengths add up, n's header goes (m_catpkt). */
export function catpkt(mbufs: MbufCore, m: Address, n: Address): void {
  requirePacketHeader(mbufs, 'm_catpkt', m);
  requirePacketHeader(mbufs, 'm_catpkt', n);
  mbufs.checkChain('m_catpkt', m);
  mbufs.checkChain('m_catpkt', n);
  setPacketLength(mbufs, m, packetLength(mbufs, m) + packetLength(mbufs, n));
  demote(mbufs, n, true, 0);
  cat(mbufs, m, n);
}

/**
 * Appends `len` bytes of `source` (m_append): into the room behind the data, then in new mbufs without
 * clusters, never sleeping. False on exhaustion, with the part that fitted kept. pkthdr.len grows by
 * what was added.
 */
export function append(mbufs: MbufCore, m: Address, len: number, source: Bytes): boolean {
  const { words } = mbufs;
  requireLength('m_append', 'len', len);
  requireBytes(mbufs, 'm_append', source, len);
  mbufs.checkChain('m_append', m);
  let last = lastMbuf(mbufs, m);
  let done = Math.min(len, trailingSpace(mbufs, last));
  if (done > 0) {
    const end = words[(last >> 2) + DATA]! + words[(last >> 2) + LEN]!;
    copyFrom(mbufs, end, source, 0, done);
    words[(last >> 2) + LEN]! += done;
  }
  while (done < len) {
    const n = mbufs.get(M_NOWAIT, typeOf(mbufs, last));
    if (n === NULL) break;
    const piece = Math.min(len - done, mbufs.mlen);
    copyFrom(mbufs, words[(n >> 2) + DATA]!, source, done, piece);
    words[(n >> 2) + LEN] = piece;
    words[(last >> 2) + NEXT] = n;
    last = n;
    done += piece;
  }
  if (hasPacketHeader(mbufs, m)) setPacketLength(mbufs, m, packetLength(mbufs, m) + done);
  return done === len;
}
