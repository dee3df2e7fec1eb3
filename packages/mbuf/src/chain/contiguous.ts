/**
 * Making the front of a packet contiguous (m_ensure_contig, m_pullup, m_copyup), so that a header can
 * be read in one piece.
 *
 * Behaviour of 1.191 that callers meet: a head with external storage, a single mbuf, or a request that
 * ends exactly at the end of the head's area gets a new mbuf in front even if the bytes are contiguous
 * already (so ask m_len first); and up to max_protohdr bytes come along, to save the next pullup.
 */

import { type Address, NULL } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import { M_EXT } from '../constants.ts';
import { ChainRangeError } from '../errors.ts';
import type { MbufCore } from '../core.ts';
import { requireExternalFrees, throwCallbackError } from '../external/callbacks.ts';
import { DATA, FLAGS, hasPacketHeader, LEN, NEXT, requireLength, typeOf } from '../segment.ts';
import { movePkthdr } from './header.ts';
import { claimFrom } from '../owner.ts';

/**
 * Makes the first `len` bytes contiguous (m_ensure_contig). The chain's head afterwards, changed or
 * not, is `mbufs.head`. False when len exceeds MHLEN, the chain is too short, or memory is exhausted;
 * the chain then has the same bytes, possibly in other mbufs. Never sleeps.
 */
export function ensureContig(mbufs: MbufCore, m: Address, len: number): boolean {
  const { words } = mbufs;
  requireLength('m_ensure_contig', 'len', len);
  mbufs.checkChain('m_ensure_contig', m);
  requireExternalFrees(mbufs, m);
  mbufs.head = m;
  const base = m >> 2;
  const next = words[base + NEXT]! as Address;
  const internal = (words[base + FLAGS]! & M_EXT) === 0;
  if (internal && words[base + DATA]! + len < m + mbufs.msize && next !== NULL) {
    if (words[base + LEN]! >= len) return true;
    return pull(mbufs, m, next, len - words[base + LEN]!);
  }
  const head = len > mbufs.mhlen ? NULL : newHead(mbufs, m);
  if (head === NULL) return false;
  mbufs.head = head;
  return pull(mbufs, head, m, len);
}

/**
 * Makes the first `len` bytes contiguous and returns the chain (m_pullup); NULL, with the chain freed,
 * where `ensureContig` says false.
 */
export function pullup(mbufs: MbufCore, m: Address, len: number): Address {
  if (ensureContig(mbufs, m, len)) return mbufs.head;
  mbufs.freem(mbufs.head);
  return NULL;
}

/**
 * Copies the first `len` bytes into a new head, `dstoff` bytes behind its data start, and returns the
 * chain (m_copyup). NULL, with the chain freed, when len + dstoff exceeds MHLEN, the chain is too
 * short, or memory is exhausted. Throws ChainRangeError for dstoff over MHLEN (B2: the kernel
 * writes behind the mbuf).
 */
export function copyup(mbufs: MbufCore, m: Address, len: number, dstoff: number): Address {
  const { words } = mbufs;
  requireLength('m_copyup', 'len', len);
  requireLength('m_copyup', 'dstoff', dstoff);
  if (dstoff > mbufs.mhlen) {
    throw new ChainRangeError(`m_copyup: dstoff ${dstoff} exceeds MHLEN ${mbufs.mhlen}`);
  }
  mbufs.checkChain('m_copyup', m);
  requireExternalFrees(mbufs, m);
  const head = len > mbufs.mhlen - dstoff ? NULL : newHead(mbufs, m);
  if (head === NULL) {
    mbufs.freem(m);
    return NULL;
  }
  words[(head >> 2) + DATA]! += dstoff;
  if (pull(mbufs, head, m, len)) return head;
  mbufs.freem(head);
  return NULL;
}

/** A fresh mbuf of m's type and owner that takes over its packet header; not yet linked. */
function newHead(mbufs: MbufCore, m: Address): Address {
  const n = mbufs.get(M_NOWAIT, typeOf(mbufs, m));
  if (n === NULL) return NULL;
  claimFrom(mbufs, n, m);
  if (hasPacketHeader(mbufs, m)) movePkthdr(mbufs, n, m);
  return n;
}

/**
 * Moves `len` more bytes, or up to max_protohdr, from the front of chain `from` behind the data of
 * `to`, which has internal storage, and links what is left behind it. Emptied mbufs are freed. False
 * when the chain ended first. Ends: each pass takes bytes or frees an mbuf, since the room exceeds len.
 */
function pull(mbufs: MbufCore, to: Address, from: Address, len: number): boolean {
  const { words, kernels, maxProtohdr } = mbufs;
  const target = to >> 2;
  let end = words[target + DATA]! + words[target + LEN]!;
  let room = to + mbufs.msize - end;
  let left = len;
  let source = from;
  do {
    const base = source >> 2;
    const count = Math.min(Math.max(left, maxProtohdr), room, words[base + LEN]!);
    kernels.copy(end, words[base + DATA]!, count);
    left -= count;
    end += count;
    room -= count;
    words[target + LEN]! += count;
    words[base + LEN]! -= count;
    if (words[base + LEN] !== 0) words[base + DATA]! += count;
    else source = mbufs.release(source);
  } while (left > 0 && source !== NULL);
  words[target + NEXT] = source;
  throwCallbackError(mbufs);
  return left <= 0;
}
