/**
 * One mbuf: where its data area begins and ends, what room it has, whether it may be written
 * (the header macros M_START, M_SIZE, M_WRITABLE, M_LEADINGSPACE, M_TRAILINGSPACE and friends).
 *
 * Every function here touches owned words of an mbuf that the caller holds. Only the writable test
 * may read the reference count, and only when the private byte says that there is one to read:
 * while `shared` is 0 nobody else can know the storage.
 */

import { type Address, ArgumentError, NULL, refcountLoad } from '@umbuf/memory';
import { M_EXT, M_PKTHDR } from './constants.ts';
import { ChainRangeError } from './errors.ts';
import { ExtType } from './freebsd-flags.ts';
import { ExternalRecord, MbufHeader, PacketHeader } from './layout.ts';
import type { MbufCore } from './core.ts';

export const NEXT: number = MbufHeader.fields.next.at;
export const NEXTPKT: number = MbufHeader.fields.nextpkt.at;
export const DATA: number = MbufHeader.fields.data.at;
export const LEN: number = MbufHeader.fields.len.at;
export const FLAGS: number = MbufHeader.fields.flags.at;
export const TYPE: number = MbufHeader.fields.type.at;
export const OWNER: number = MbufHeader.fields.owner.at;
export const SHARED: number = MbufHeader.fields.shared.at;

const PACKET_LEN = PacketHeader.fields.len.at;
const HOLDER = ExternalRecord.fields.holder.at;
const COUNT = ExternalRecord.fields.count.at;
const BUF = ExternalRecord.fields.buf.at;
const SIZE = ExternalRecord.fields.size.at;
const EXT_TYPE = ExternalRecord.fields.type.at;
const COUNTER = ExternalRecord.fields.counter.at;

/** m_type is the low byte of its word; a Packet (packet/life.ts) has its number above. */
export const TYPE_BITS = 0xff;

/** m_type of an mbuf in use: 1 to 254. */
export function typeOf(mbufs: MbufCore, m: Address): number {
  return mbufs.words[(m >> 2) + TYPE]! & TYPE_BITS;
}

/** Address of the first byte of the data area (M_START): external buffer, m_pktdat or m_dat. */
export function bufferStart(mbufs: MbufCore, m: Address): number {
  const { words } = mbufs;
  const flags = words[(m >> 2) + FLAGS]!;
  if ((flags & M_EXT) !== 0) return words[(m >> 2) + mbufs.ext + BUF]!;
  return m + ((flags & M_PKTHDR) !== 0 ? mbufs.pktdat : mbufs.dat);
}

/** Address behind the last byte of the data area. */
export function bufferEnd(mbufs: MbufCore, m: Address): number {
  const { words } = mbufs;
  if ((words[(m >> 2) + FLAGS]! & M_EXT) === 0) return m + mbufs.msize;
  const ext = (m >> 2) + mbufs.ext;
  return words[ext + BUF]! + words[ext + SIZE]!;
}

/** Bytes of the data area (M_SIZE): the storage's size, MHLEN or MLEN. */
export function capacity(mbufs: MbufCore, m: Address): number {
  return bufferEnd(mbufs, m) - bufferStart(mbufs, m);
}

/**
 * Whether the data may be written (M_WRITABLE, !M_READONLY): not mapped or marked read-only, and
 * no other reference to the storage. May read the reference count; a count of 1 is exact, because
 * only a holder of a reference can add one.
 */
export function isWritable(mbufs: MbufCore, m: Address): boolean {
  const { words } = mbufs;
  const base = m >> 2;
  const flags = words[base + FLAGS]!;
  if ((flags & M_EXT) === 0) return (flags & mbufs.readOnlyInternal) === 0;
  if (((flags ^ mbufs.readOnlyUnless) & mbufs.readOnlyExternal) !== 0) return false;
  return words[base + SHARED] === 0 || isSoleUser(mbufs, m);
}

/** The slow half of `isWritable`: the storage was shared at some time. */
function isSoleUser(mbufs: MbufCore, m: Address): boolean {
  const { words } = mbufs;
  const base = m >> 2;
  if (refcountLoad(words, countWord(mbufs, m)) !== 1) return false;
  // The holder's own owner read 1: unshared again. (The counts of EXTREF and RXRING are not ours
  // alone, and a parked holder's last user is not the holder.)
  const type = words[base + mbufs.ext + EXT_TYPE]! & 0xff;
  if (
    words[base + mbufs.ext + HOLDER] === m &&
    type !== ExtType.EXT_EXTREF &&
    type !== ExtType.EXT_RXRING
  ) {
    words[base + SHARED] = 0;
  }
  return true;
}

/** Word index of the reference count of m's storage. */
export function countWord(mbufs: MbufCore, m: Address): number {
  const { words } = mbufs;
  const ext = (m >> 2) + mbufs.ext;
  if ((words[ext + EXT_TYPE]! & 0xff) === ExtType.EXT_EXTREF) return words[ext + COUNTER]! >> 2;
  return (words[ext + HOLDER]! >> 2) + mbufs.ext + COUNT;
}

/** References to m's storage now (m_extrefcnt). m has M_EXT. Exact only when it is 1. */
export function referenceCount(mbufs: MbufCore, m: Address): number {
  if (mbufs.words[(m >> 2) + SHARED] === 0) return 1;
  return refcountLoad(mbufs.words, countWord(mbufs, m));
}

/** Bytes in front of the data that may be written (M_LEADINGSPACE); 0 when read-only. */
export function leadingSpace(mbufs: MbufCore, m: Address): number {
  const room = mbufs.words[(m >> 2) + DATA]! - bufferStart(mbufs, m);
  return room > 0 && isWritable(mbufs, m) ? room : 0;
}

/** Bytes behind the data that may be written (M_TRAILINGSPACE); 0 when read-only. */
export function trailingSpace(mbufs: MbufCore, m: Address): number {
  const { words } = mbufs;
  const room = bufferEnd(mbufs, m) - words[(m >> 2) + DATA]! - words[(m >> 2) + LEN]!;
  return room > 0 && isWritable(mbufs, m) ? room : 0;
}

/** Moves the data start of an empty mbuf so that `len` bytes end at the area's end, rounded to 8. */
export function alignEnd(mbufs: MbufCore, m: Address, len: number): void {
  mbufs.words[(m >> 2) + DATA]! += (capacity(mbufs, m) - len) & ~7;
}

/** Whether m begins a packet (M_PKTHDR). */
export function hasPacketHeader(mbufs: MbufCore, m: Address): boolean {
  return (mbufs.words[(m >> 2) + FLAGS]! & M_PKTHDR) !== 0;
}

/** pkthdr.len; m has M_PKTHDR. */
export function packetLength(mbufs: MbufCore, m: Address): number {
  return mbufs.words[(m >> 2) + mbufs.pkthdr + PACKET_LEN]!;
}

/** Sets pkthdr.len; m has M_PKTHDR. */
export function setPacketLength(mbufs: MbufCore, m: Address, len: number): void {
  mbufs.words[(m >> 2) + mbufs.pkthdr + PACKET_LEN] = len;
}

/** The last mbuf of the chain (m_last). */
export function lastMbuf(mbufs: MbufCore, m: Address): Address {
  const { words } = mbufs;
  let last = m;
  for (let next = words[(m >> 2) + NEXT]!; next !== NULL; next = words[(next >> 2) + NEXT]!) {
    last = next as Address;
  }
  return last;
}

/** Sum of m_len along the chain, whatever the header says. */
export function sumLengths(mbufs: MbufCore, m: Address): number {
  const { words } = mbufs;
  let sum = 0;
  for (let at: number = m; at !== NULL; at = words[(at >> 2) + NEXT]!) {
    sum += words[(at >> 2) + LEN]!;
  }
  return sum;
}

/** Throws ArgumentError unless `value` is an int32. `operation` names the kernel function. */
export function requireInt32(operation: string, name: string, value: number): void {
  if ((value | 0) !== value) {
    throw new ArgumentError(`${operation}: ${name} ${String(value)} is no 32-bit integer`);
  }
}

/** Throws unless `length` is an integer from 0 to 2^31 - 1. */
export function requireLength(operation: string, name: string, value: number): void {
  requireInt32(operation, name, value);
  if (value < 0) throw new ChainRangeError(`${operation}: ${name} ${value} is negative`);
}
