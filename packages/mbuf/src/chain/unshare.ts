/**
 * FreeBSD's operations that change how a packet is cut into mbufs, never its bytes: m_unshare (all of it
 * writable), m_collapse (few mbufs), m_fragment (many, for stress).
 */

import { type Address, ArgumentError, NULL } from '@umbuf/memory';
import { M_PKTHDR, MCLBYTES } from '../constants.ts';
import type { MbufCore } from '../core.ts';
import { requireExternalFrees, throwCallbackError } from '../external/callbacks.ts';
import { FreebsdType } from '../freebsd-flags.ts';
import {
  DATA,
  FLAGS,
  isWritable,
  lastMbuf,
  LEN,
  NEXT,
  packetLength,
  requireInt32,
  trailingSpace,
  typeOf,
} from '../segment.ts';
import { copydata, fixhdr } from './data.ts';
import { dupPkthdr, requirePacketHeader, transferHeader } from './header.ts';

/**
 * Makes the packet writable (m_unshare): mbufs whose storage is shared or read-only are replaced by
 * clusters with copies of their bytes, small ones move into the room behind the mbuf before them. Returns
 * the head, which may be another. NULL on exhaustion, with all of the packet freed.
 */
export function unshare(mbufs: MbufCore, m: Address, how: number): Address {
  const { words } = mbufs;
  mbufs.checkChain('m_unshare', m);
  requireExternalFrees(mbufs, m);
  let head = m;
  let previous: Address = NULL;
  let at = m;
  while (at !== NULL) {
    const next = words[(at >> 2) + NEXT]! as Address;
    const small = isWritable(mbufs, at);
    if (previous !== NULL && (!small || isSmall(mbufs, at)) && absorb(mbufs, previous, at)) {
      at = next;
      continue;
    }
    if (!small) {
      const copy = copyIntoClusters(mbufs, at, how);
      if (copy === NULL) {
        mbufs.freem(head);
        return NULL;
      }
      if (previous === NULL) head = copy;
      else words[(previous >> 2) + NEXT] = copy;
      at = lastMbuf(mbufs, copy);
      words[(at >> 2) + NEXT] = next;
    }
    previous = at;
    at = next;
  }
  throwCallbackError(mbufs);
  return head;
}

/** An mbuf with its data inside. */
function isSmall(mbufs: MbufCore, m: Address): boolean {
  return (mbufs.words[(m >> 2) + FLAGS]! & mbufs.storageFlags) === 0;
}

/** Moves m's bytes behind those of `previous`, if there is room, and frees it. */
function absorb(mbufs: MbufCore, previous: Address, m: Address): boolean {
  const { words, kernels } = mbufs;
  const length = words[(m >> 2) + LEN]!;
  if (isSmall(mbufs, previous) || trailingSpace(mbufs, previous) < length) return false;
  const target = previous >> 2;
  kernels.copy(words[target + DATA]! + words[target + LEN]!, words[(m >> 2) + DATA]!, length);
  words[target + LEN]! += length;
  words[target + NEXT] = mbufs.release(m);
  return true;
}

/** Clusters with m's bytes and packet header; m is freed. NULL on exhaustion, with m as it was. */
function copyIntoClusters(mbufs: MbufCore, m: Address, how: number): Address {
  const { words, kernels } = mbufs;
  const base = m >> 2;
  const length = words[base + LEN]!;
  let head: Address = NULL;
  let last: Address = NULL;
  for (let done = 0; head === NULL || done < length; ) {
    const n = mbufs.getcl(
      how,
      typeOf(mbufs, m),
      head === NULL ? words[base + FLAGS]! & M_PKTHDR : 0,
    );
    if (n === NULL) {
      mbufs.freem(head);
      return NULL;
    }
    const piece = Math.min(length - done, MCLBYTES);
    kernels.copy(words[(n >> 2) + DATA]!, words[base + DATA]! + done, piece);
    words[(n >> 2) + LEN] = piece;
    done += piece;
    if (head === NULL) head = n;
    else words[(last >> 2) + NEXT] = n;
    last = n;
  }
  if ((words[base + FLAGS]! & M_PKTHDR) !== 0) transferHeader(mbufs, head, m);
  mbufs.release(m);
  return head;
}

/**
 * At most `maxfrags` (>= 1) mbufs (m_collapse): first bytes move into the room behind their predecessor, then
 * two neighbours at a time go into a cluster; the head stays. Returns the head; NULL when it cannot be done,
 * with the same bytes in a chain that may be another.
 */
export function collapse(mbufs: MbufCore, m: Address, how: number, maxfrags: number): Address {
  requireInt32('m_collapse', 'maxfrags', maxfrags);
  if (maxfrags < 1) throw new ArgumentError(`m_collapse: maxfrags ${maxfrags} is below 1`);
  const { words } = mbufs;
  mbufs.checkChain('m_collapse', m);
  requireExternalFrees(mbufs, m);
  let fragments = 1;
  for (let at = words[(m >> 2) + NEXT]!; at !== 0; at = words[(at >> 2) + NEXT]!) fragments++;
  // Ends: each round takes at least one mbuf out of the chain, or returns.
  while (fragments > maxfrags) {
    const merged = mergeForward(mbufs, m, fragments - maxfrags);
    fragments -= merged;
    if (fragments <= maxfrags) break;
    if (!mergePair(mbufs, m, how)) return NULL;
    fragments--;
  }
  throwCallbackError(mbufs);
  return m;
}

/** Moves bytes of up to `most` mbufs into the room behind their predecessors; returns how many went. */
function mergeForward(mbufs: MbufCore, m: Address, most: number): number {
  const { words, kernels } = mbufs;
  let merged = 0;
  let at = m;
  for (;;) {
    const n = words[(at >> 2) + NEXT]! as Address;
    if (n === NULL || merged === most) return merged;
    const length = words[(n >> 2) + LEN]!;
    const target = at >> 2;
    if (isWritable(mbufs, at) && length < trailingSpace(mbufs, at)) {
      kernels.copy(words[target + DATA]! + words[target + LEN]!, words[(n >> 2) + DATA]!, length);
      words[target + LEN]! += length;
      words[target + NEXT] = mbufs.release(n);
      merged++;
    } else {
      at = n;
    }
  }
}

/** Replaces the first two neighbours behind the head that fit a cluster by one; false when there are none. */
function mergePair(mbufs: MbufCore, m: Address, how: number): boolean {
  const { words, kernels } = mbufs;
  let previous = m;
  for (;;) {
    const first = words[(previous >> 2) + NEXT]! as Address;
    const second = first === NULL ? NULL : (words[(first >> 2) + NEXT]! as Address);
    if (second === NULL) return false;
    const left = words[(first >> 2) + LEN]!;
    const right = words[(second >> 2) + LEN]!;
    if (left + right < MCLBYTES) {
      const n = mbufs.getcl(how, FreebsdType.MT_DATA, 0);
      if (n === NULL) return false;
      const data = words[(n >> 2) + DATA]!;
      kernels.copy(data, words[(first >> 2) + DATA]!, left);
      kernels.copy(data + left, words[(second >> 2) + DATA]!, right);
      words[(n >> 2) + LEN] = left + right;
      words[(n >> 2) + NEXT] = words[(second >> 2) + NEXT]!;
      words[(previous >> 2) + NEXT] = n;
      mbufs.release(first);
      mbufs.release(second);
      return true;
    }
    previous = first;
  }
}

/**
 * The packet cut into pieces of `length` bytes, 1 to 2048 (m_fragment); -1: all of one random length from 1
 * to 256, -2: of random ones. `random` returns numbers from 0 to 1, 1 excluded. Returns the new packet with
 * the old one freed, or the old one untouched, on exhaustion and for lengths that mean nothing.
 */
export function fragment(
  mbufs: MbufCore,
  m: Address,
  how: number,
  length: number,
  random: () => number,
): Address {
  requireInt32('m_fragment', 'length', length);
  requirePacketHeader(mbufs, 'm_fragment', m);
  mbufs.checkChain('m_fragment', m);
  requireExternalFrees(mbufs, m);
  if (length === 0 || length < -2) return m;
  const { words } = mbufs;
  fixhdr(mbufs, m);
  const total = packetLength(mbufs, m);
  const any = (): number => 1 + (Math.floor(random() * 256) & 255);
  const fixed = length === -1 ? any() : length;
  let head: Address = NULL;
  let last: Address = NULL;
  for (let done = 0; head === NULL || done < total; ) {
    const n = mbufs.getcl(how, FreebsdType.MT_DATA, head === NULL ? M_PKTHDR : 0);
    if (n === NULL || (head === NULL && !dupPkthdr(mbufs, n, m))) {
      mbufs.freem(n);
      mbufs.freem(head);
      return m;
    }
    const piece = Math.min(fixed > 0 ? fixed : any(), total - done, MCLBYTES);
    copydata(mbufs, m, done, piece, words[(n >> 2) + DATA]! as Address);
    words[(n >> 2) + LEN] = piece;
    done += piece;
    if (head === NULL) head = n;
    else words[(last >> 2) + NEXT] = n;
    last = n;
  }
  mbufs.freem(m);
  return head;
}
