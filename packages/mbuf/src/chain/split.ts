/** Cutting a chain in two (m_split). Storage that the cut goes through is shared by both sides. */

import { type Address, NULL } from '@umbuf/memory';
import { M_EXT } from '../constants.ts';
import { ChainRangeError } from '../errors.ts';
import { addReference } from '../external/reference.ts';
import { PacketHeader } from '../layout.ts';
import type { MbufCore } from '../core.ts';
import {
  alignEnd,
  DATA,
  FLAGS,
  hasPacketHeader,
  LEN,
  NEXT,
  packetLength,
  requireInt32,
  setPacketLength,
  typeOf,
} from '../segment.ts';
import { claimFrom } from '../owner.ts';
import { hasSendTag, shareSendTag } from '../send-tag.ts';

const RCVIF = PacketHeader.fields.rcvif.at;
const CSUM = PacketHeader.fields.csumFlags.at;

/**
 * Cuts the chain after `len` bytes and returns the tail (m_split). NULL when the chain is shorter (a
 * negative `len` counts as huge; -1 throws) or memory is exhausted, with nothing changed; for a chain without packet header also when there is no
 * tail. With a packet header the tail gets one too (length and interface, or a reference to the send tag,
 * only), even at the very end.
 */
export function split(mbufs: MbufCore, m: Address, len: number, how: number): Address {
  requireInt32('m_split', 'len', len);
  if (len === -1) throw new ChainRangeError('m_split: len0 != M_COPYALL');
  mbufs.checkChain('m_split', m);
  if (len < 0) return NULL;
  return splitChain(mbufs, m, len, how, true);
}

/** m_split without the checks; `header` false leaves a packet header to the front alone. */
export function splitChain(
  mbufs: MbufCore,
  m: Address,
  len: number,
  how: number,
  header: boolean,
): Address {
  const { words } = mbufs;
  let at: number = m;
  let before = len;
  while (at !== NULL && before > words[(at >> 2) + LEN]!) {
    before -= words[(at >> 2) + LEN]!;
    at = words[(at >> 2) + NEXT]!;
  }
  if (at === NULL) return NULL;
  const cut = at as Address;
  if (header && hasPacketHeader(mbufs, m)) return splitPacket(mbufs, m, cut, len, before, how);
  const remain = words[(cut >> 2) + LEN]! - before;
  if (remain === 0) {
    const tail = words[(cut >> 2) + NEXT]! as Address;
    words[(cut >> 2) + NEXT] = NULL;
    return tail;
  }
  const n = mbufs.get(how, typeOf(mbufs, cut));
  if (n === NULL) return NULL;
  claimFrom(mbufs, n, cut);
  moveRest(mbufs, n, cut, before);
  return n;
}

/** The cut with a packet header for the tail; `before` bytes of `cut` stay with the front. */
function splitPacket(
  mbufs: MbufCore,
  m: Address,
  cut: Address,
  len: number,
  before: number,
  how: number,
): Address {
  const { words, pkthdr } = mbufs;
  const n = mbufs.gethdr(how, typeOf(mbufs, m));
  if (n === NULL) return NULL;
  claimFrom(mbufs, n, m);
  words[(n >> 2) + pkthdr + RCVIF] = words[(m >> 2) + pkthdr + RCVIF]!;
  setPacketLength(mbufs, n, packetLength(mbufs, m) - len);
  const remain = words[(cut >> 2) + LEN]! - before;
  const internal = (words[(cut >> 2) + FLAGS]! & M_EXT) === 0;
  if (internal && remain > mbufs.mhlen) {
    // More than a header mbuf holds: an empty header in front of an ordinary split.
    const rest = splitChain(mbufs, cut, before, how, false);
    if (rest === NULL) {
      mbufs.free(n);
      return NULL;
    }
    alignEnd(mbufs, n, 0);
    words[(n >> 2) + NEXT] = rest;
  } else {
    moveRest(mbufs, n, cut, before);
  }
  setPacketLength(mbufs, m, len);
  if (hasSendTag(mbufs, m)) {
    words[(n >> 2) + pkthdr + CSUM]! |= mbufs.sendTagFlag;
    shareSendTag(words, (n >> 2) + pkthdr);
  }
  return n;
}

/**
 * Gives the fresh mbuf `n` what `cut` has behind `before` bytes: by reference if external, else
 * copied to the end of n's area; and all that follows.
 */
function moveRest(mbufs: MbufCore, n: Address, cut: Address, before: number): void {
  const { words, kernels } = mbufs;
  const base = cut >> 2;
  const remain = words[base + LEN]! - before;
  const data = words[base + DATA]! + before;
  if ((words[base + FLAGS]! & M_EXT) !== 0) {
    addReference(mbufs, n, cut);
    words[(n >> 2) + DATA] = data;
  } else {
    alignEnd(mbufs, n, remain);
    kernels.copy(words[(n >> 2) + DATA]!, data, remain);
  }
  words[(n >> 2) + LEN] = remain;
  words[base + LEN] = before;
  words[(n >> 2) + NEXT] = words[base + NEXT]!;
  words[base + NEXT] = NULL;
}
