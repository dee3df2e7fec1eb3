/**
 * Copies of a range of a chain: sharing external storage (m_copym, m_copypacket) or not (m_dup).
 * Internal data is always copied. The source changes in nothing but its reference counts, and a
 * copy that fails takes its references back.
 */

import { type Address, NULL as NONE } from '@umbuf/memory';
import { M_EXT as EXT, M_PKTHDR as PKTHDR } from '../constants.ts';
import { ChainRangeError } from '../errors.ts';
import { clget } from '../external/attach.ts';
import { shareStorage } from '../external/reference.ts';
import { MbufHeader, PacketHeader } from '../layout.ts';
import type { MbufCore } from '../core.ts';
import { capacity, hasPacketHeader, requireInt32, setPacketLength } from '../segment.ts';
import { shareSendTag, unshareSendTag } from '../send-tag.ts';
import { tagCopyChain } from '../tag.ts';
import { copyHeaderWords, dupPkthdr, requirePacketHeader } from './header.ts';
import { claimFrom, refOwner } from '../owner.ts';

// Constants of this module, which V8 folds: an imported one is a cell that it loads and checks.
const NULL = NONE;
const M_EXT = EXT;
const M_PKTHDR = PKTHDR;
const NEXT = MbufHeader.fields.next.at;
const DATA = MbufHeader.fields.data.at;
const LEN = MbufHeader.fields.len.at;
const FLAGS = MbufHeader.fields.flags.at;
const TYPE = MbufHeader.fields.type.at;
/** m_type is the low byte of its word: see `typeOf`. */
const TYPE_BITS = 0xff;
const PACKET_LEN = PacketHeader.fields.len.at;
const TAGS = PacketHeader.fields.tags.at;
const CSUM = PacketHeader.fields.csumFlags.at;

/** m_copym of one thread. */
export type CopyM = (m: Address, off: number, len: number, how: number) => Address;

/**
 * m_copym as a closure over const views: `copym(m, off, len, how)` is a copy of `len` bytes from `off`
 * on that shares external storage; both sides are then read-only there. `len` may be
 * `mbufs.copyAll`. The packet header is copied when `off` is 0. Returns NULL on exhaustion and for
 * nothing to copy. Throws ChainRangeError when the chain has fewer bytes.
 */
export function createCopym(mbufs: MbufCore): CopyM {
  const { words, kernels, ext, pkthdr, pktdat, copyFlags, sharedFlags, sendTagFlag, get } = mbufs;
  const traced = mbufs.defaultOwners !== undefined;

  return (m, off, len, how) => {
    const all = len === mbufs.copyAll;
    let from = startOfCopy(mbufs, m, off, len);
    let skip = mbufs.copySkip;
    let header = off === 0 && (words[(m >> 2) + FLAGS]! & M_PKTHDR) !== 0;
    let left = all ? 0x7fffffff : len;
    let top: Address = NULL;
    let last = 0;
    while (left > 0) {
      if (from === NULL) {
        if (all) break;
        throw tooShort(mbufs, top, left);
      }
      const source = from >> 2;
      const n = get(how, words[source + TYPE]! & TYPE_BITS);
      if (n === NULL) {
        return abandon(mbufs, top);
      }
      const target = n >> 2;
      if (traced) claimFrom(mbufs, n, from as Address);
      if (header) {
        header = false;
        copyHeaderWords(words, target + pkthdr, (m >> 2) + pkthdr);
        if ((words[target + pkthdr + CSUM]! & sendTagFlag) !== 0) {
          shareSendTag(words, target + pkthdr);
        }
        // A copy without tags for want of memory is a copy (B13).
        if (words[(m >> 2) + pkthdr + TAGS] !== 0) tagCopyChain(mbufs, n, m);
        words[target + FLAGS] = words[(m >> 2) + FLAGS]! & copyFlags;
        words[target + DATA] = n + pktdat;
        if (!all) words[target + pkthdr + PACKET_LEN] = len;
      }
      if (top === NULL) top = n;
      else words[last + NEXT] = n;
      last = target;
      const length = words[source + LEN]!;
      const data = words[source + DATA]! + skip;
      const piece = left < length - skip ? left : length - skip;
      if ((words[source + FLAGS]! & M_EXT) !== 0) {
        shareStorage(words, ext, sharedFlags, n, from);
        words[target + DATA] = data;
        if (traced) refOwner(mbufs, n);
      } else {
        kernels.copy(words[target + DATA]!, data, piece);
      }
      words[target + LEN] = piece;
      left -= piece;
      skip += piece;
      if (skip === length) {
        from = words[source + NEXT]!;
        skip = 0;
      }
    }
    return top;
  };
}

/**
 * A copy that shares nothing (m_dup): what was external gets clusters, or where there are none,
 * more mbufs. Otherwise as `copym`.
 */
export function dup(mbufs: MbufCore, m: Address, off: number, len: number, how: number): Address {
  const { words } = mbufs;
  const all = len === mbufs.copyAll;
  let from: number = startOfCopy(mbufs, m, off, len);
  let skip = mbufs.copySkip;
  let header = off === 0 && hasPacketHeader(mbufs, m);
  let left = all ? 0x7fffffff : len;
  let top: Address = NULL;
  let last: Address = NULL;
  while (left > 0) {
    if (from === NULL) {
      if (all) break;
      throw tooShort(mbufs, top, left);
    }
    const n = mbufs.get(how, words[(from >> 2) + TYPE]! & TYPE_BITS);
    if (n === NULL) {
      return abandon(mbufs, top);
    }
    claimFrom(mbufs, n, from as Address);
    if (header) {
      header = false;
      dupPkthdr(mbufs, n, m);
      if (!all) setPacketLength(mbufs, n, len);
    }
    if (top === NULL) top = n;
    else words[(last >> 2) + NEXT] = n;
    last = n;
    const length = words[(from >> 2) + LEN]!;
    const piece = copyPiece(mbufs, n, from as Address, skip, Math.min(left, length - skip), how);
    left -= piece;
    skip += piece;
    if (skip === length) {
      from = words[(from >> 2) + NEXT]!;
      skip = 0;
    }
  }
  return top;
}

/**
 * Checks the arguments and finds where a copy begins: returns the mbuf (NULL at the very end), and
 * the offset in it as `mbufs.copySkip`.
 */
function startOfCopy(mbufs: MbufCore, m: Address, off: number, len: number): number {
  const { words } = mbufs;
  requireInt32('m_copym', 'off', off);
  requireInt32('m_copym', 'len', len);
  if (off < 0 || (len < 0 && len !== mbufs.copyAll)) {
    throw new ChainRangeError(`m_copym: off ${off}, len ${len}`);
  }
  mbufs.checkChain('m_copym', m);
  let skip = off;
  let from: number = m;
  while (skip > 0) {
    if (from === NULL) throw new ChainRangeError(`m_copym: m == 0, off ${skip}`);
    const length = words[(from >> 2) + LEN]!;
    if (skip < length) break;
    skip -= length;
    from = words[(from >> 2) + NEXT]!;
  }
  mbufs.copySkip = skip;
  return from;
}

/** Frees what was copied of a copy that fails. */
function abandon(mbufs: MbufCore, top: Address): Address {
  unshareSendTag(mbufs, top);
  mbufs.freem(top);
  return NULL;
}

/** The chain ended while copying: takes back what was copied and gives the error. */
function tooShort(mbufs: MbufCore, top: Address, left: number): ChainRangeError {
  abandon(mbufs, top);
  return new ChainRangeError(`m_copym: m == 0, len ${left} [!COPYALL]`);
}

/**
 * A copy of a whole packet that shares external storage (m_copypacket). NULL on exhaustion. Throws
 * PacketHeaderError for a chain without packet header, which the kernel copies as garbage (B4).
 */
export function copypacket(mbufs: MbufCore, m: Address, how: number): Address {
  requirePacketHeader(mbufs, 'm_copypacket', m);
  return mbufs.copym(m, 0, mbufs.copyAll, how);
}

/**
 * Gives the fresh mbuf `n` as many of `piece` bytes as fit, with a cluster if there is one and the
 * source is external. Returns how many; the caller goes on with the rest.
 */
function copyPiece(
  mbufs: MbufCore,
  n: Address,
  from: Address,
  skip: number,
  piece: number,
  how: number,
): number {
  const { words } = mbufs;
  if ((words[(from >> 2) + FLAGS]! & M_EXT) !== 0) clget(mbufs, n, how);
  const fits = Math.min(piece, capacity(mbufs, n));
  mbufs.kernels.copy(words[(n >> 2) + DATA]!, words[(from >> 2) + DATA]! + skip, fits);
  words[(n >> 2) + LEN] = fits;
  return fits;
}
