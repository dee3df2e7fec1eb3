/**
 * Packet headers: moved, copied and removed (m_move_pkthdr, m_dup_pkthdr, M_COPY_PKTHDR, m_demote,
 * m_pkthdr_remove). Only M_COPYFLAGS travel with a header. Owned words only.
 */

import type { Address } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import { M_EXT, M_PKTHDR } from '../constants.ts';
import { ExternalStorageError, PacketHeaderError } from '../errors.ts';
import { PacketHeader } from '../layout.ts';
import type { MbufCore } from '../core.ts';
import { throwCallbackError } from '../external/callbacks.ts';
import { checkFreeExternal } from '../external/reference.ts';
import {
  forgetSendTag,
  hasSendTag,
  releaseSendTag,
  requireSendTag,
  shareSendTag,
} from '../send-tag.ts';
import { tagCopyChain, tagDeleteChain } from '../tag.ts';
import { DATA, FLAGS, hasPacketHeader, isWritable, NEXT } from '../segment.ts';

const TAGS = PacketHeader.fields.tags.at;
const WORDS = PacketHeader.words;

/**
 * Moves from's packet header to `to`, which has no external storage and no tags of its own
 * (m_move_pkthdr). to's flags become from's M_COPYFLAGS, its data starts behind the header; lengths
 * stay. `from` only loses M_PKTHDR. Throws PacketHeaderError or ExternalStorageError.
 */
export function movePkthdr(mbufs: MbufCore, to: Address, from: Address): void {
  const { words } = mbufs;
  requirePacketHeader(mbufs, 'm_move_pkthdr', from);
  mbufs.checkMbuf('m_move_pkthdr', to);
  if ((words[(to >> 2) + FLAGS]! & M_EXT) !== 0) {
    throw new ExternalStorageError(`m_move_pkthdr: mbuf ${to} has external storage`);
  }
  if (hasPacketHeader(mbufs, to) && words[(to >> 2) + mbufs.pkthdr + TAGS] !== 0) {
    throw new PacketHeaderError(`m_move_pkthdr: mbuf ${to} has packet tags of its own`);
  }
  if (hasPacketHeader(mbufs, to) && hasSendTag(mbufs, to)) {
    throw new PacketHeaderError(`m_move_pkthdr: mbuf ${to} has a send tag of its own`);
  }
  transferHeader(mbufs, to, from);
}

/**
 * The same without checks, and also where `to` has external storage, which then stays with its data
 * (FreeBSD). to's own tags must be none.
 */
export function transferHeader(mbufs: MbufCore, to: Address, from: Address): void {
  const { words } = mbufs;
  const target = (to >> 2) + mbufs.pkthdr;
  const source = (from >> 2) + mbufs.pkthdr;
  const storage = words[(to >> 2) + FLAGS]! & mbufs.storageFlags;
  copyHeaderWords(words, target, source);
  words[target + TAGS] = words[source + TAGS]!;
  words[(to >> 2) + FLAGS] = (words[(from >> 2) + FLAGS]! & mbufs.copyFlags) | storage;
  if ((storage & M_EXT) === 0) words[(to >> 2) + DATA] = to + mbufs.pktdat;
  forgetSendTag(mbufs, source);
  words[(from >> 2) + FLAGS]! &= ~M_PKTHDR;
}

/**
 * Copies from's packet header to `to` (m_dup_pkthdr, M_COPY_PKTHDR). to's flags become from's
 * M_COPYFLAGS and its own storage flags; without external storage its data starts behind the header.
 * A send tag is referenced. to's own tags go. False when a tag could not be copied: the copy has none
 * then, and is a copy (B13). `how` is that of the tags.
 */
export function dupPkthdr(
  mbufs: MbufCore,
  to: Address,
  from: Address,
  how: number = M_NOWAIT,
): boolean {
  const { words } = mbufs;
  requirePacketHeader(mbufs, 'm_dup_pkthdr', from);
  const flags = words[(to >> 2) + FLAGS]!;
  if (hasPacketHeader(mbufs, to)) {
    requireSendTag(mbufs, 'm_dup_pkthdr', to);
    tagDeleteChain(mbufs, to);
    releaseSendTag(mbufs, to);
  }
  copyHeaderWords(words, (to >> 2) + mbufs.pkthdr, (from >> 2) + mbufs.pkthdr);
  if (hasSendTag(mbufs, to)) shareSendTag(words, (to >> 2) + mbufs.pkthdr);
  words[(to >> 2) + FLAGS] =
    (words[(from >> 2) + FLAGS]! & mbufs.copyFlags) | (flags & mbufs.storageFlags);
  if ((flags & M_EXT) === 0) words[(to >> 2) + DATA] = to + mbufs.pktdat;
  return words[(from >> 2) + mbufs.pkthdr + TAGS] === 0 || tagCopyChain(mbufs, to, from, how);
}

/** Copies a packet header, both given by word index, without its tags. */
export function copyHeaderWords(words: Int32Array, target: number, source: number): void {
  words[target] = words[source]!;
  words[target + TAGS] = 0;
  words[target + 2] = words[source + 2]!;
  words[target + 3] = words[source + 3]!;
  words[target + 4] = words[source + 4]!;
  words[target + 5] = words[source + 5]!;
  words[target + 6] = words[source + 6]!;
  words[target + 7] = words[source + 7]!;
  words[target + 8] = words[source + 8]!;
  words[target + 9] = words[source + 9]!;
  words[target + 10] = words[source + 10]!;
  words[target + 11] = words[source + 11]!;
  words[target + 12] = words[source + 12]!;
  words[target + 13] = words[source + 13]!;
}

/**
 * Removes m's packet header: tags go, M_PKTHDR is cleared, the header is zeroed; the data stays
 * where it is (m_pkthdr_remove). Also from read-only storage, since the header lies in the mbuf
 * (B5; with quirks nothing happens then). Throws PacketHeaderError when there is none.
 */
export function pkthdrRemove(mbufs: MbufCore, m: Address): void {
  requirePacketHeader(mbufs, 'm_pkthdr_remove', m);
  if (mbufs.quirks && !isWritable(mbufs, m)) return;
  demotePkthdr(mbufs, m);
}

/**
 * Makes an ordinary mbuf of the first of a packet (m_demote_pkthdr): tags go, a send tag is released, the
 * header is zeroed; the data stays. Throws PacketHeaderError when there is none, SendTagError when this
 * thread could not free the tag, with nothing changed.
 */
export function demotePkthdr(mbufs: MbufCore, m: Address): void {
  requirePacketHeader(mbufs, 'm_demote_pkthdr', m);
  requireSendTag(mbufs, 'm_demote_pkthdr', m);
  removeHeader(mbufs, m);
  throwCallbackError(mbufs);
}

/**
 * Makes ordinary mbufs of m's followers, and of m itself with `all` (m_demote): tags and headers
 * go, and all m_flags but M_DEMOTEFLAGS and `flags`.
 */
export function demote(mbufs: MbufCore, m: Address, all: boolean, flags: number): void {
  const { words, demoteFlags } = mbufs;
  mbufs.checkChain('m_demote', m);
  const first = all ? m : words[(m >> 2) + NEXT]!;
  for (let at = first; at !== 0; at = words[(at >> 2) + NEXT]!) {
    requireSendTag(mbufs, 'm_demote', at as Address);
  }
  for (let at = first; at !== 0; at = words[(at >> 2) + NEXT]!) {
    if ((words[(at >> 2) + FLAGS]! & M_PKTHDR) !== 0) removeHeader(mbufs, at as Address);
    words[(at >> 2) + FLAGS]! &= demoteFlags | flags;
  }
  throwCallbackError(mbufs);
}

/**
 * For m_free: the tags of a packet header go, its send tag is released. Throws, before anything has
 * changed, what makes the free of `m` impossible.
 */
export function releaseHeader(mbufs: MbufCore, m: Address): void {
  if ((mbufs.words[(m >> 2) + FLAGS]! & M_EXT) !== 0) checkFreeExternal(mbufs, m);
  requireSendTag(mbufs, 'm_free', m);
  tagDeleteChain(mbufs, m);
  releaseSendTag(mbufs, m);
}

function removeHeader(mbufs: MbufCore, m: Address): void {
  const { words, pkthdr } = mbufs;
  tagDeleteChain(mbufs, m);
  releaseSendTag(mbufs, m);
  words[(m >> 2) + FLAGS]! &= ~M_PKTHDR;
  const header = (m >> 2) + pkthdr;
  for (let word = 0; word < WORDS; word++) words[header + word] = 0;
}

/** Throws PacketHeaderError unless m has M_PKTHDR. */
export function requirePacketHeader(mbufs: MbufCore, operation: string, m: Address): void {
  mbufs.checkMbuf(operation, m);
  if (!hasPacketHeader(mbufs, m)) {
    throw new PacketHeaderError(`${operation}: mbuf ${m} has no packet header (M_PKTHDR)`);
  }
}
