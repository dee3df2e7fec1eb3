/**
 * Allocation of mbufs: m_get, m_gethdr, m_getcl as closures over const views (the hottest calls of
 * the package), and the rarer m_getjcl, m_get2 and m_getm2 as plain functions. All return NULL on
 * exhaustion, having freed what they had; with M_WAITOK they sleep instead, as UMA does.
 */

import { type Address, ArgumentError, DebugLevel, NULL as NONE } from '@umbuf/memory';
import { M_NOWAIT, M_ZERO as ZERO } from '@umbuf/uma';
import { M_EOR, M_EXT as EXT, M_PKTHDR as PKTHDR, MCLBYTES, MJUMPAGESIZE } from './constants.ts';
import { ChainRangeError } from './errors.ts';
import { checkFreshPacket, initMbuf, initPacketHeader } from './construct.ts';
import { type AttachView, attachCluster, clusterType, clusterZone } from './external/attach.ts';
import { ExtType } from './freebsd-flags.ts';
import { ExternalRecord, MbufHeader, MbufStatistics } from './layout.ts';
import type { MbufCore } from './core.ts';
import { initOwner, type OwnerView, refOwner, revokeOwner } from './owner.ts';
import { capacity, lastMbuf, requireInt32 } from './segment.ts';
import type { MbufZones } from './zones.ts';

// Constants of this module, which V8 folds: an imported one is a cell that it loads and checks.
const NULL = NONE;
const M_ZERO = ZERO;
const M_EXT = EXT;
const M_PKTHDR = PKTHDR;
const UNCHECKED = DebugLevel.none;
const NEXT = MbufHeader.fields.next.at;
const DATA = MbufHeader.fields.data.at;
const FLAGS = MbufHeader.fields.flags.at;
const TYPE = MbufHeader.fields.type.at;
const BUF = ExternalRecord.fields.buf.at;
const TYPES = MbufStatistics.fields.types.at;
const TYPE_MASK = MbufStatistics.fields.types.count - 1;
const DROPS = MbufStatistics.fields.drops.at;

/** An mbuf of `type` (1 to 254) without packet header. */
export type Get = (how: number, type: number) => Address;
/** An mbuf with a cluster; `flags` are m_flags, of which M_PKTHDR makes a packet header. */
export type GetCluster = (how: number, type: number, flags: number) => Address;

export interface AllocatorView extends AttachView, OwnerView {
  /** Word index of this CPU's MbufStatistics. */
  readonly statistics: number;
  readonly zones: MbufZones;
  readonly level: number;
  /** Byte offsets of m_dat and m_pktdat, word offset of the packet header. */
  readonly dat: number;
  readonly pktdat: number;
  readonly pkthdr: number;
}

/**
 * The closures of one thread. Arguments are trusted, but for type 0, which means "freed"; M_ZERO in
 * `how` is ignored, since it would clear the header that the ctor wrote.
 */
export function createGet(view: AllocatorView): {
  readonly get: Get;
  readonly gethdr: Get;
  readonly getcl: GetCluster;
} {
  const { words, longs, statistics, packetZone, dat, pktdat, pkthdr, ext, level } = view;
  const { mbuf, packet, cluster } = view.zones;
  const traced = view.defaultOwners !== undefined;
  const types = statistics + TYPES;
  const drops = (statistics + DROPS) >> 1;

  /** m_drops: an allocation failed. */
  function dropped(): Address {
    longs[drops]! += 1n;
    return NULL;
  }

  function get(how: number, type: number): Address {
    if (type <= 0) throw noType(type);
    const m = mbuf.alloc(how & ~M_ZERO);
    if (m === NULL) return dropped();
    words[types + (type & TYPE_MASK)]! += 1;
    initMbuf(words, m, type, 0);
    if (traced) initOwner(view, m, type);
    words[(m >> 2) + DATA] = m + dat;
    return m;
  }

  function gethdr(how: number, type: number): Address {
    if (type <= 0) throw noType(type);
    const m = mbuf.alloc(how & ~M_ZERO);
    if (m === NULL) return dropped();
    words[types + (type & TYPE_MASK)]! += 1;
    initMbuf(words, m, type, M_PKTHDR);
    if (traced) initOwner(view, m, type);
    initPacketHeader(words, (m >> 2) + pkthdr);
    words[(m >> 2) + DATA] = m + pktdat;
    return m;
  }

  function getPacket(how: number, type: number, flags: number): Address {
    if (type <= 0) throw noType(type);
    const m = packet.alloc(how & ~M_ZERO);
    if (m === NULL) return dropped();
    if (level !== UNCHECKED) checkFreshPacket(words, m, ext, level);
    words[types + (type & TYPE_MASK)]! += 1;
    initMbuf(words, m, type, flags | M_EXT);
    if (traced) ownPacket(m, type);
    if ((flags & M_PKTHDR) !== 0) initPacketHeader(words, (m >> 2) + pkthdr);
    words[(m >> 2) + DATA] = words[(m >> 2) + ext + BUF]!;
    return m;
  }

  /** A packet leaves its zone with its cluster. */
  function ownPacket(m: Address, type: number): void {
    initOwner(view, m, type);
    refOwner(view, m);
  }

  function getAndAttach(how: number, type: number, flags: number): Address {
    const m = (flags & M_PKTHDR) !== 0 ? gethdr(how, type) : get(how, type);
    if (m === NULL) return NULL;
    const buf = cluster.alloc(how & ~M_ZERO);
    if (buf !== NULL) {
      attachCluster(view, m, buf, MCLBYTES, ExtType.EXT_CLUSTER);
      if (traced) refOwner(view, m);
      return m;
    }
    if (traced) revokeOwner(view, m);
    words[types + (type & TYPE_MASK)]! -= 1;
    words[(m >> 2) + TYPE] = 0;
    longs[drops]! += 1n;
    mbuf.free(m);
    return NULL;
  }

  return { get, gethdr, getcl: packetZone ? getPacket : getAndAttach };
}

/**
 * An mbuf with a cluster of `size` bytes: 2048, 4096, 9216 or 16384 (m_getjcl). Throws ArgumentError
 * for other sizes.
 */
export function getjcl(
  mbufs: MbufCore,
  how: number,
  type: number,
  flags: number,
  size: number,
): Address {
  if (size === MCLBYTES) return mbufs.getcl(how, type, flags);
  const zone = clusterZone(mbufs, 'm_getjcl', size);
  const m = getWithFlags(mbufs, how, type, flags);
  if (m === NULL) return NULL;
  const buf = zone.alloc(how & ~M_ZERO);
  if (buf === NULL) {
    mbufs.free(m);
    return NULL;
  }
  attachCluster(mbufs, m, buf, size, clusterType(size));
  refOwner(mbufs, m);
  return m;
}

/**
 * The cheapest single mbuf that holds `size` bytes: internal room, a cluster, or a page-sized
 * cluster (m_get2). NULL also for more than 4096 bytes.
 */
export function get2(
  mbufs: MbufCore,
  size: number,
  how: number,
  type: number,
  flags: number,
): Address {
  requireInt32('m_get2', 'size', size);
  if (size < 0) throw new ChainRangeError(`m_get2: size ${size} is negative`);
  if (size <= mbufs.mhlen || (size <= mbufs.mlen && (flags & M_PKTHDR) === 0)) {
    return getWithFlags(mbufs, how, type, flags);
  }
  if (size <= MCLBYTES) return mbufs.getcl(how, type, flags);
  if (size > MJUMPAGESIZE) return NULL;
  return getjcl(mbufs, how, type, flags, MJUMPAGESIZE);
}

/**
 * A chain with room for `len` bytes, all m_len 0 (m_getm2): page-sized clusters for what exceeds
 * 2048 (tried without sleeping), then clusters, then an mbuf. `flags`: M_PKTHDR, ignored when `m`
 * is given, and M_EOR for the last new mbuf. With `m` the new mbufs are appended to it and M_EOR
 * moves off its old tail. Returns `m` or the new chain; NULL with `m` untouched on exhaustion.
 * Throws ArgumentError for length 0 without `m`, which the kernel cannot tell from exhaustion (D7).
 */
export function getm2(
  mbufs: MbufCore,
  m: Address,
  len: number,
  how: number,
  type: number,
  flags: number,
): Address {
  requireInt32('m_getm2', 'len', len);
  if (len < 0) throw new ChainRangeError(`m_getm2: len ${len} is negative`);
  if (m !== NULL) mbufs.checkMbuf('m_getm2', m);
  else if (len === 0) throw new ArgumentError('m_getm2: len 0 and no chain: nothing to allocate');
  const { words } = mbufs;
  let header = m === NULL ? flags & M_PKTHDR : 0;
  let first: Address = NULL;
  let last: Address = NULL;
  for (let left = len; left > 0; left -= capacity(mbufs, last)) {
    const n = getPiece(mbufs, left, how, type, header);
    if (n === NULL) {
      if (first !== NULL) mbufs.freem(first);
      return NULL;
    }
    if (first === NULL) first = n;
    else words[(last >> 2) + NEXT] = n;
    last = n;
    header = 0;
  }
  if ((flags & M_EOR) !== 0 && last !== NULL) words[(last >> 2) + FLAGS]! |= M_EOR;
  if (m === NULL) return first;
  const tail = lastMbuf(mbufs, m);
  words[(tail >> 2) + FLAGS]! &= ~M_EOR;
  words[(tail >> 2) + NEXT] = first;
  return m;
}

/** One mbuf of the chain that m_getm2 makes for `left` more bytes. */
function getPiece(
  mbufs: MbufCore,
  left: number,
  how: number,
  type: number,
  header: number,
): Address {
  if (left > MCLBYTES) {
    const n = getjcl(mbufs, M_NOWAIT, type, header, MJUMPAGESIZE);
    if (n !== NULL) return n;
  }
  if (left >= mbufs.minclsize) return mbufs.getcl(how, type, header);
  return header !== 0 ? mbufs.gethdr(how, type) : mbufs.get(how, type);
}

/** m_get or m_gethdr by M_PKTHDR, with the other m_flags set as well. */
function getWithFlags(mbufs: MbufCore, how: number, type: number, flags: number): Address {
  const m = (flags & M_PKTHDR) !== 0 ? mbufs.gethdr(how, type) : mbufs.get(how, type);
  if (m !== NULL) mbufs.words[(m >> 2) + FLAGS]! |= flags & ~M_EXT;
  return m;
}

function noType(type: number): ArgumentError {
  return new ArgumentError(`m_get: type ${type}: 0 is MT_FREE, types are 1 to 254`);
}
