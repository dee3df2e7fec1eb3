/**
 * Freeing: m_free and m_freem as closures over const views.
 *
 * An mbuf whose storage was never shared goes back without any atomic; everything about shared
 * storage is in external/reference.ts. m_type of a free mbuf is 0 (MT_FREE), so freeing or using
 * one twice is seen as long as it was not allocated again; from level `checks` on UMA's item table
 * sees it always.
 */

import { type Address, DebugLevel, NULL as NONE } from '@umbuf/memory';
import { M_EXT as EXT, M_PKTHDR as PKTHDR } from './constants.ts';
import { checkFreedPacket } from './construct.ts';
import { throwCallbackError } from './external/callbacks.ts';
import { dropReference, finishLast } from './external/last-reference.ts';
import { checkFreeExternal, freeExternal } from './external/reference.ts';
import { ExtType, FreebsdType } from './freebsd-flags.ts';
import { ExternalRecord, MbufHeader, MbufStatistics, PacketHeader } from './layout.ts';
import type { MbufCore } from './core.ts';
import { revokeOwner } from './owner.ts';
import { releaseHeader } from './chain/header.ts';

// Constants of this module, which V8 folds: an imported one is a cell that it loads and checks.
const NULL = NONE;
const M_EXT = EXT;
const M_PKTHDR = PKTHDR;
const TAGS = PacketHeader.fields.tags.at;
const CSUM = PacketHeader.fields.csumFlags.at;
const { EXT_PACKET, EXT_CLUSTER, EXT_SFBUF } = ExtType;
/** m_type of an mbuf in use is 1 to this. */
const TYPE_MAX: number = FreebsdType.MT_NOINIT - 1;
const NEXT = MbufHeader.fields.next.at;
const FLAGS = MbufHeader.fields.flags.at;
const TYPE = MbufHeader.fields.type.at;
const SHARED = MbufHeader.fields.shared.at;
const EXT_TYPE = ExternalRecord.fields.type.at;
const HOLDER = ExternalRecord.fields.holder.at;
const BUF = ExternalRecord.fields.buf.at;
const PARKED = MbufStatistics.fields.parked.at;
const TYPES = MbufStatistics.fields.types.at;
const TYPE_MASK = MbufStatistics.fields.types.count - 1;

/** Frees one mbuf and returns its successor in the chain (m_free). */
export type Free = (m: Address) => Address;

/** m_free and m_freem of one thread. */
export function createFree(mbufs: MbufCore): {
  readonly free: Free;
  readonly freem: (m: Address) => void;
  readonly release: Free;
} {
  const { words, ext, pkthdr, level, statistics, noFreeFlag, sendTagFlag } = mbufs;
  const { callbackErrors } = mbufs;
  const { mbuf, packet, cluster } = mbufs.zones;
  const traced = mbufs.defaultOwners !== undefined;
  const types = statistics + TYPES;
  const checked = level !== DebugLevel.none;
  /** An mbuf with none of these is all there is to free. */
  const storageFlags = M_EXT | noFreeFlag;
  const parked = statistics + PARKED;

  /** m_free, leaving what ext_free callbacks threw in `callbackErrors`: for use inside operations. */
  function release(m: Address): Address {
    const base = m >> 2;
    const type = words[base + TYPE]!;
    if (checked || m <= 0 || (type - 1) >>> 0 >= TYPE_MAX) mbufs.checkMbuf('m_free', m);
    const flags = words[base + FLAGS]!;
    const next = words[base + NEXT]! as Address;
    if (
      (flags & M_PKTHDR) !== 0 &&
      (words[base + pkthdr + TAGS]! | (words[base + pkthdr + CSUM]! & sendTagFlag)) !== 0
    ) {
      releaseHeader(mbufs, m);
    }
    const storage = flags & storageFlags;
    if (storage === 0) {
      if (traced) revokeOwner(mbufs, m);
      words[types + (type & TYPE_MASK)]! -= 1;
      words[base + TYPE] = 0;
      mbuf.free(m);
      return next;
    }
    if (
      storage === M_EXT &&
      words[base + SHARED] === 0 &&
      (words[base + ext + EXT_TYPE]! & 0xff) === EXT_PACKET
    ) {
      if (traced) revokeOwner(mbufs, m);
      words[types + (type & TYPE_MASK)]! -= 1;
      words[base + TYPE] = 0;
      if (checked) checkFreedPacket(words, m, ext, level);
      packet.free(m);
      return next;
    }
    releaseOther(m, types + (type & TYPE_MASK));
    return next;
  }

  /**
   * `release` of everything but plain mbufs and unshared packets; a function of its own so that
   * `release` stays below V8's inlining limit. `statistic` is the word of m's type.
   */
  function releaseOther(m: Address, statistic: number): void {
    const base = m >> 2;
    const kind = words[base + ext + EXT_TYPE]! & 0xff;
    if ((words[base + FLAGS]! & noFreeFlag) !== 0 || !isClusterType(kind)) {
      freeSlow(mbufs, m, statistic);
    } else if (words[base + SHARED] !== 0) {
      // A cluster that was shared at some time: one atomic.
      const holder = words[base + ext + HOLDER]! as Address;
      if (traced) revokeOwner(mbufs, m);
      words[statistic]! -= 1;
      words[base + TYPE] = 0; // before the drop: afterwards a holder is not ours to write
      const slot = dropReference(mbufs, holder, m);
      if (slot !== 0) finishLast(mbufs, slot);
      else if (holder !== m) mbuf.free(m);
      else words[parked]! += 1;
    } else if (kind === EXT_CLUSTER) {
      const buf = words[base + ext + BUF]! as Address;
      if (traced) revokeOwner(mbufs, m);
      words[statistic]! -= 1;
      words[base + TYPE] = 0;
      cluster.free(buf);
      mbuf.free(m);
    } else {
      freeSlow(mbufs, m, statistic);
    }
  }

  function free(m: Address): Address {
    const next = release(m);
    if (callbackErrors.length > 0) throwCallbackError(mbufs);
    return next;
  }

  function freem(m: Address): void {
    if (checked && m !== NULL) mbufs.checkChain('m_freem', m);
    // Ends, also for a loop: the second visit of an mbuf finds it freed.
    for (let at = m; at !== NULL; at = release(at));
    if (callbackErrors.length > 0) throwCallbackError(mbufs);
  }

  return { free, freem, release };
}

/** Whether storage of EXT_ type `kind` is a cluster of one of our zones. */
function isClusterType(kind: number): boolean {
  return kind <= EXT_PACKET && kind !== EXT_SFBUF;
}

/** Jumbo clusters, foreign storage, M_NOFREE. `statistic` is the word of m's type. */
function freeSlow(mbufs: MbufCore, m: Address, statistic: number): void {
  const { words } = mbufs;
  if ((words[(m >> 2) + FLAGS]! & M_EXT) === 0) {
    revokeOwner(mbufs, m);
    words[statistic]! -= 1;
    words[(m >> 2) + TYPE] = 0; // M_NOFREE without storage: whoever owns the memory keeps it
    return;
  }
  checkFreeExternal(mbufs, m);
  revokeOwner(mbufs, m);
  words[statistic]! -= 1;
  freeExternal(mbufs, m);
}
