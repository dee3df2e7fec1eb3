/** The shortest chain with the same bytes (m_defrag). */

import { type Address, NULL } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import { MCLBYTES } from '../constants.ts';
import { FreebsdType } from '../freebsd-flags.ts';
import type { MbufCore } from '../core.ts';
import { clget } from '../external/attach.ts';
import { requireExternalFrees } from '../external/callbacks.ts';
import { DATA, LEN, NEXT, packetLength } from '../segment.ts';
import { copydata } from './data.ts';
import { dupPkthdr, requirePacketHeader } from './header.ts';

/**
 * Copies the packet into as few mbufs as clusters allow, frees it and returns the copy, of type
 * MT_DATA (m_defrag). NULL on exhaustion, with the packet untouched. Copies pkthdr.len bytes: what
 * lies behind is dropped. Throws ChainRangeError when there are fewer.
 */
export function defrag(mbufs: MbufCore, m: Address, how: number): Address {
  requirePacketHeader(mbufs, 'm_defrag', m);
  mbufs.checkChain('m_defrag', m);
  requireExternalFrees(mbufs, m);
  const copy = mbufs.gethdr(how, FreebsdType.MT_DATA);
  if (copy === NULL) return NULL;
  dupPkthdr(mbufs, copy, m);
  let done = false;
  try {
    done = copyInto(mbufs, copy, m, packetLength(mbufs, m));
  } finally {
    if (!done) mbufs.freem(copy);
  }
  if (!done) return NULL;
  mbufs.freem(m);
  return copy;
}

/** Copies `total` bytes of `m` into `copy` and mbufs added behind it; false on exhaustion. */
function copyInto(mbufs: MbufCore, copy: Address, m: Address, total: number): boolean {
  const { words } = mbufs;
  let n = copy;
  for (let done = 0; ; ) {
    const left = total - done;
    if (left > mbufs.mhlen && !clget(mbufs, n, M_NOWAIT)) return false;
    const piece = Math.min(left, left > mbufs.mhlen ? MCLBYTES : mbufs.mhlen);
    copydata(mbufs, m, done, piece, words[(n >> 2) + DATA]! as Address);
    words[(n >> 2) + LEN] = piece;
    done += piece;
    if (done === total) return true;
    const next = mbufs.get(M_NOWAIT, FreebsdType.MT_DATA);
    if (next === NULL) return false;
    words[(n >> 2) + NEXT] = next;
    n = next;
  }
}
