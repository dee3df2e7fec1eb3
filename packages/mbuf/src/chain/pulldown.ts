/** Contiguous bytes somewhere inside a chain (m_pulldown), without touching what is in front. */

import { type Address, NULL } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import { MCLBYTES } from '../constants.ts';
import { MbufError } from '../errors.ts';
import type { MbufCore } from '../core.ts';
import { clget } from '../external/attach.ts';
import {
  DATA,
  isWritable,
  lastMbuf,
  leadingSpace,
  LEN,
  NEXT,
  requireLength,
  sumLengths,
  trailingSpace,
  typeOf,
} from '../segment.ts';
import { adj } from './adjust.ts';
import { dup } from './copy.ts';
import { copydata } from './data.ts';

/**
 * Makes the `len` bytes from `off` on contiguous and writable and returns the mbuf that holds them;
 * `mbufs.offset` is where they begin in it: always 0 unless `anyOffset` (the kernel's offp). Mbufs
 * in front stay; the same bytes remain. NULL, with the whole chain freed, when the chain is too
 * short, len exceeds 2048, or memory is exhausted. Never sleeps.
 */
export function pulldown(
  mbufs: MbufCore,
  m: Address,
  off: number,
  len: number,
  anyOffset: boolean,
): Address {
  const { words } = mbufs;
  requireLength('m_pulldown', 'off', off);
  requireLength('m_pulldown', 'len', len);
  mbufs.checkChain('m_pulldown', m);
  let at: number = m;
  let skip = off;
  while (at !== NULL && skip > 0 && words[(at >> 2) + LEN]! <= skip) {
    skip -= words[(at >> 2) + LEN]!;
    at = words[(at >> 2) + NEXT]!;
  }
  while (at !== NULL && words[(at >> 2) + LEN] === 0) at = words[(at >> 2) + NEXT]!;
  const n = at as Address;
  const result = n === NULL || len > MCLBYTES ? NULL : gather(mbufs, m, n, skip, len, anyOffset);
  if (result === NULL) mbufs.freem(m);
  return result;
}

/** The work of m_pulldown on mbuf `n` at offset `off`; NULL leaves the chain to be freed. */
function gather(
  mbufs: MbufCore,
  m: Address,
  n: Address,
  off: number,
  len: number,
  anyOffset: boolean,
): Address {
  const { words, kernels } = mbufs;
  const base = n >> 2;
  const writable = isWritable(mbufs, n);
  const inPlace = (off === 0 || anyOffset) && writable;
  const here = words[base + LEN]! - off;
  mbufs.offset = inPlace ? off : 0;
  if (len <= here) return inPlace ? n : copyTail(mbufs, n, off, len);
  const missing = len - here;
  const next = words[base + NEXT]! as Address;
  if (next === NULL || sumLengths(mbufs, next) < missing) return NULL;
  if (inPlace && trailingSpace(mbufs, n) >= missing) {
    const end = words[base + DATA]! + words[base + LEN]!;
    copydata(mbufs, next, 0, missing, end as Address);
    words[base + LEN]! += missing;
    adj(mbufs, next, missing);
    return n;
  }
  mbufs.offset = 0;
  const follower = next >> 2;
  if (inPlace && leadingSpace(mbufs, next) >= here && words[follower + LEN]! >= missing) {
    words[follower + DATA]! -= here;
    words[follower + LEN]! += here;
    kernels.copy(words[follower + DATA]!, words[base + DATA]! + off, here);
    words[base + LEN] = off;
    return next;
  }
  const o = newPiece(mbufs, typeOf(mbufs, m), len);
  if (o === NULL) return NULL;
  const data = words[(o >> 2) + DATA]!;
  kernels.copy(data, words[base + DATA]! + off, here);
  copydata(mbufs, next, 0, missing, (data + here) as Address);
  words[(o >> 2) + LEN] = len;
  words[base + LEN] = off;
  adj(mbufs, next, missing);
  words[(o >> 2) + NEXT] = next;
  words[base + NEXT] = o;
  return o;
}

/**
 * A deep copy of all that `n` has from `off` on, put behind it; `n` keeps what is in front, possibly
 * nothing. Without clusters the copy may come in pieces, the first shorter than `len`: that is
 * exhaustion (the kernel asserts).
 */
function copyTail(mbufs: MbufCore, n: Address, off: number, len: number): Address {
  const { words } = mbufs;
  const base = n >> 2;
  const o = dup(mbufs, n, off, words[base + LEN]! - off, M_NOWAIT);
  if (o === NULL) return NULL;
  if (words[(o >> 2) + LEN]! < len) {
    mbufs.freem(o);
    if (mbufs.quirks) throw new MbufError('m_pulldown: o->m_len >= len');
    return NULL;
  }
  words[base + LEN] = off;
  words[(lastMbuf(mbufs, o) >> 2) + NEXT] = words[base + NEXT]!;
  words[base + NEXT] = o;
  return o;
}

/** A fresh mbuf of `type` with room for `len` bytes; NULL on exhaustion. */
function newPiece(mbufs: MbufCore, type: number, len: number): Address {
  const o = mbufs.get(M_NOWAIT, type);
  if (o === NULL || len <= mbufs.mlen || clget(mbufs, o, M_NOWAIT)) return o;
  mbufs.free(o);
  return NULL;
}
