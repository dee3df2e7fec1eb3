/**
 * Freeing: m_free as a closure over const views, m_freem over it.
 *
 * An mbuf whose storage was never shared goes back without any atomic; everything about shared
 * storage is in external/reference.ts. m_type of a free mbuf is 0 (MT_FREE), so freeing or using
 * one twice is seen as long as it was not allocated again; from level `checks` on UMA's item table
 * sees it always.
 */

import { type Address, NULL } from '@umbuf/memory';
import { M_EXT } from './constants.ts';
import { throwCallbackError } from './external/callbacks.ts';
import { checkFreeExternal, freeExternal } from './external/reference.ts';
import { ExtType, FreebsdType } from './freebsd-flags.ts';
import { ExternalRecord, MbufStatistics } from './layout.ts';
import type { Mbufs } from './mbufs.ts';
import { chainLoop, FLAGS, NEXT, SHARED, TYPE } from './segment.ts';

const EXT_TYPE = ExternalRecord.fields.type.at;
const BUF = ExternalRecord.fields.buf.at;
const TYPES = MbufStatistics.fields.types.at;
const TYPE_MASK = MbufStatistics.fields.types.count - 1;

/** Frees one mbuf and returns its successor in the chain. */
export type Free = (m: Address) => Address;

/** m_free of one thread. */
export function createFree(mbufs: Mbufs): Free {
  const { words, ext, statistics, noFreeFlag } = mbufs;
  const { mbuf, packet, cluster } = mbufs.zones;
  const types = statistics + TYPES;

  return (m: Address): Address => {
    const base = m >> 2;
    const type = words[base + TYPE]!;
    if (m <= 0 || (type - 1) >>> 0 >= FreebsdType.MT_NOINIT - 1) mbufs.checkMbuf('m_free', m);
    const flags = words[base + FLAGS]!;
    const next = words[base + NEXT]! as Address;
    if ((flags & (M_EXT | noFreeFlag)) === 0) {
      words[types + (type & TYPE_MASK)]! -= 1;
      words[base + TYPE] = 0;
      mbuf.free(m);
      return next;
    }
    if ((flags & noFreeFlag) === 0 && words[base + SHARED] === 0) {
      const kind = words[base + ext + EXT_TYPE]! & 0xff;
      if (kind === ExtType.EXT_PACKET) {
        words[types + (type & TYPE_MASK)]! -= 1;
        words[base + TYPE] = 0;
        packet.free(m);
        return next;
      }
      if (kind === ExtType.EXT_CLUSTER) {
        const buf = words[base + ext + BUF]! as Address;
        words[types + (type & TYPE_MASK)]! -= 1;
        words[base + TYPE] = 0;
        cluster.free(buf);
        mbuf.free(m);
        return next;
      }
    }
    freeSlow(mbufs, m, types + (type & TYPE_MASK));
    return next;
  };
}

/** Shared or foreign storage, M_NOFREE. `statistic` is the word of m's type. */
function freeSlow(mbufs: Mbufs, m: Address, statistic: number): void {
  const { words } = mbufs;
  if ((words[(m >> 2) + FLAGS]! & M_EXT) === 0) {
    words[statistic]! -= 1;
    words[(m >> 2) + TYPE] = 0; // M_NOFREE without storage: whoever owns the memory keeps it
    return;
  }
  checkFreeExternal(mbufs, m);
  words[statistic]! -= 1;
  freeExternal(mbufs, m);
  if (mbufs.chainDepth === 0) throwCallbackError(mbufs);
}

/**
 * Frees the chain of `m` along m_next (m_freem); NULL is nothing to do. When ext_free callbacks
 * threw, the whole chain is freed and then the first error thrown.
 */
export function freem(mbufs: Mbufs, m: Address): void {
  const { free } = mbufs;
  let steps = 0;
  mbufs.chainDepth++;
  try {
    for (let at = m; at !== NULL; at = free(at)) {
      if (++steps > mbufs.chainMax) throw chainLoop(mbufs, m);
    }
  } finally {
    mbufs.chainDepth--;
  }
  if (mbufs.callbackErrors.length > 0 && mbufs.chainDepth === 0) throwCallbackError(mbufs);
}
