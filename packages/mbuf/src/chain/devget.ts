/** A received frame copied into a new packet (m_devget). */

import { type Address, ArgumentError, NULL } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import { type Bytes, copyFrom, requireBytes } from '../bytes.ts';
import { M_EXT, M_PKTHDR, MCLBYTES } from '../constants.ts';
import { ChainRangeError } from '../errors.ts';
import { FreebsdType } from '../freebsd-flags.ts';
import { PacketHeader } from '../layout.ts';
import type { MbufCore } from '../core.ts';
import { clget } from '../external/attach.ts';
import { DATA, FLAGS, LEN, NEXT, requireLength, setPacketLength } from '../segment.ts';

const RCVIF = PacketHeader.fields.rcvif.at;
/** Bytes of the type and length words in front of a trailer. */
const TRAILER_HEADER = 4;

/** Copies `length` bytes of `source` from `at` on to address `to`; for devices that need their own. */
export type DeviceCopy = (to: Address, source: Bytes, at: number, length: number) => void;

/**
 * A packet with the `totlen` bytes of `source`, received on interface `rcvif` (m_devget). The first
 * mbuf leaves max_linkhdr bytes in front if the frame fits behind them; pieces of MINCLSIZE and
 * more get clusters. `off` other than 0 is trailer encapsulation: the packet begins 4 bytes behind `off`
 * and wraps around to the start. NULL on exhaustion, and for no data (B9: the kernel leaks a header
 * there). Never sleeps. Throws ChainRangeError when off + 4 exceeds totlen.
 */
export function devget(
  mbufs: MbufCore,
  source: Bytes,
  totlen: number,
  off: number,
  rcvif: number,
  copy?: DeviceCopy,
): Address {
  const { words } = mbufs;
  requireLength('m_devget', 'totlen', totlen);
  requireLength('m_devget', 'off', off);
  requireBytes(mbufs, 'm_devget', source, totlen);
  if (copy !== undefined && typeof copy !== 'function') {
    throw new ArgumentError('m_devget: copy is no function');
  }
  let at = off === 0 ? 0 : off + TRAILER_HEADER;
  if (at > totlen) {
    throw new ChainRangeError(`m_devget: trailer at ${off} of a frame of ${totlen} bytes`);
  }
  let left = totlen - (off === 0 ? 0 : TRAILER_HEADER);
  if (left === 0 && !mbufs.quirks) return NULL;
  const top = mbufs.gethdr(M_NOWAIT, FreebsdType.MT_DATA);
  if (top === NULL) return NULL;
  if (left === 0) return NULL; // quirk B9
  words[(top >> 2) + mbufs.pkthdr + RCVIF] = rcvif;
  setPacketLength(mbufs, top, left);
  let m = top;
  for (;;) {
    const piece = fillPiece(mbufs, m, Math.min(left, totlen - at), m === top);
    if (piece === 0) break;
    const data = words[(m >> 2) + DATA]! as Address;
    if (copy === undefined) copyFrom(mbufs, data, source, at, piece);
    else copy(data, source, at, piece);
    left -= piece;
    at += piece;
    if (at === totlen) at = 0;
    if (left === 0) return top;
    const next = mbufs.get(M_NOWAIT, FreebsdType.MT_DATA);
    if (next === NULL) break;
    words[(m >> 2) + NEXT] = next;
    m = next;
  }
  mbufs.freem(top);
  return NULL;
}

/** Decides how many of `available` bytes go into `m` and sets its length; 0 without a cluster. */
function fillPiece(mbufs: MbufCore, m: Address, available: number, first: boolean): number {
  const { words, maxLinkhdr } = mbufs;
  const base = m >> 2;
  let piece = available;
  if (available >= mbufs.minclsize) {
    if (!clget(mbufs, m, M_NOWAIT)) return 0;
    piece = Math.min(available, MCLBYTES);
  } else {
    const room = (words[base + FLAGS]! & (M_PKTHDR | M_EXT)) !== 0 ? mbufs.mhlen : mbufs.mlen;
    if (available >= room) piece = room;
    else if (first && available + maxLinkhdr <= room) words[base + DATA]! += maxLinkhdr;
  }
  words[base + LEN] = piece;
  return piece;
}
