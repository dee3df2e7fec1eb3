/**
 * The chain operations under their kernel names without `m_`; docstrings of one line here, in full at the
 * functions in chain/. All take addresses; exhaustion is a return value; NULL where a chain is needed is
 * NotMbufError, and from debug level `checks` on so is whatever is no chain of mbufs in use.
 */

import type { Address } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import type { Bytes } from './bytes.ts';
import { adj, align, prepend, prependMbuf } from './chain/adjust.ts';
import { copyup, ensureContig, pullup } from './chain/contiguous.ts';
import { copypacket, dup } from './chain/copy.ts';
import { copyback } from './chain/copyback.ts';
import { copybackCow, makewritable } from './chain/copy-on-write.ts';
import {
  apply,
  checksum,
  checksumPartial,
  copydata,
  fixhdr,
  forEachSegment,
  getptr,
  length,
} from './chain/data.ts';
import { defrag } from './chain/defrag.ts';
import { devget, type DeviceCopy } from './chain/devget.ts';
import { demote, demotePkthdr, dupPkthdr, movePkthdr, pkthdrRemove } from './chain/header.ts';
import { add, append, cat, catpkt } from './chain/join.ts';
import { hexadecimal, type PointerFormat, print } from './chain/print.ts';
import { pulldown } from './chain/pulldown.ts';
import { split } from './chain/split.ts';
import { collapse, fragment, unshare } from './chain/unshare.ts';
import { verifyPacket } from './chain/verify.ts';
import { MbufCore } from './core.ts';
import { lastMbuf } from './segment.ts';

export class ChainMethods extends MbufCore {
  /** m_verify_packet: throws PacketError unless the packet is as one should be. */
  verifyPacket(m: Address): void {
    verifyPacket(this, m);
  }

  /** m_print: `m`, with modifier `c` its chain, as text; `pointer` writes the pointers. */
  print(m: Address, modifiers: string = '', pointer: PointerFormat = hexadecimal): string {
    return print(this, m, modifiers, pointer);
  }

  /** m_length: pkthdr.len, or the sum of m_len without a header. */
  length(m: Address): number {
    return length(this, m);
  }

  /** m_fixhdr: sums m_len into pkthdr.len and returns it. */
  fixhdr(m: Address): number {
    return fixhdr(this, m);
  }

  /** m_last: the last mbuf of the chain. */
  last(m: Address): Address {
    this.checkChain('m_last', m);
    return lastMbuf(this, m);
  }

  /** m_dup: a copy of a range that shares nothing. */
  dup(m: Address, off: number, len: number, how: number): Address {
    return dup(this, m, off, len, how);
  }

  /** m_copypacket: a copy of a packet that shares storage. */
  copypacket(m: Address, how: number): Address {
    return copypacket(this, m, how);
  }

  /** m_copydata: copies bytes out to an address or a byte array. */
  copydata(m: Address, off: number, len: number, target: Bytes): void {
    copydata(this, m, off, len, target);
  }

  /** m_copyback: writes bytes in, extending the chain; false on exhaustion. */
  copyback(m: Address, off: number, len: number, source: Bytes): boolean {
    return copyback(this, m, off, len, source);
  }

  /** m_copyback_cow: writes bytes in, copying what is read-only; NULL and freed on exhaustion. */
  copybackCow(m: Address, off: number, len: number, source: Bytes, how: number): Address {
    return copybackCow(this, m, off, len, source, how);
  }

  /** m_makewritable: copies what is read-only; the head is `head`; false on exhaustion. */
  makewritable(m: Address, off: number, len: number, how: number): boolean {
    return makewritable(this, m, off, len, how);
  }

  /** m_add: hangs `m` behind `c`. */
  add(c: Address, m: Address): Address {
    return add(this, c, m);
  }

  /** m_cat: joins `n` behind `m`, copying what fits. */
  cat(m: Address, n: Address): void {
    cat(this, m, n);
  }

  /** m_catpkt: joins packet `n` behind packet `m`. */
  catpkt(m: Address, n: Address): void {
    catpkt(this, m, n);
  }

  /** m_append: appends bytes; false on exhaustion. */
  append(m: Address, len: number, source: Bytes): boolean {
    return append(this, m, len, source);
  }

  /** m_adj: trims the head (len > 0) or the tail (len < 0). */
  adj(m: Address, len: number): void {
    adj(this, m, len);
  }

  /** M_PREPEND: room in front; NULL and freed on exhaustion. */
  prepend(m: Address, len: number, how: number): Address {
    return prepend(this, m, len, how);
  }

  /** m_prepend: a new mbuf in front; pkthdr.len stays. */
  prependMbuf(m: Address, len: number, how: number): Address {
    return prependMbuf(this, m, len, how);
  }

  /** m_align: end-aligns the data start of a fresh mbuf. */
  align(m: Address, len: number): void {
    align(this, m, len);
  }

  /** m_ensure_contig: first bytes contiguous; the head is `head`. */
  ensureContig(m: Address, len: number): boolean {
    return ensureContig(this, m, len);
  }

  /** m_pullup: first bytes contiguous; NULL and freed where impossible. */
  pullup(m: Address, len: number): Address {
    return pullup(this, m, len);
  }

  /** m_copyup: first bytes in a new head, `dstoff` bytes behind its start. */
  copyup(m: Address, len: number, dstoff: number): Address {
    return copyup(this, m, len, dstoff);
  }

  /** m_pulldown: bytes contiguous inside the chain, at `offset` of the returned mbuf. */
  pulldown(m: Address, off: number, len: number, anyOffset: boolean): Address {
    return pulldown(this, m, off, len, anyOffset);
  }

  /** m_split: cuts the chain and returns the tail. */
  split(m: Address, len: number, how: number): Address {
    return split(this, m, len, how);
  }

  /** m_devget: a received frame as a packet. */
  devget(source: Bytes, totlen: number, off: number, rcvif: number, copy?: DeviceCopy): Address {
    return devget(this, source, totlen, off, rcvif, copy);
  }

  /** m_defrag: the shortest chain with the same bytes; NULL and untouched on exhaustion. */
  defrag(m: Address, how: number): Address {
    return defrag(this, m, how);
  }

  /** m_unshare: the packet writable; NULL and freed on exhaustion. */
  unshare(m: Address, how: number): Address {
    return unshare(this, m, how);
  }

  /** m_collapse: at most `maxfrags` mbufs; NULL where that cannot be. */
  collapse(m: Address, how: number, maxfrags: number): Address {
    return collapse(this, m, how, maxfrags);
  }

  /** m_fragment: cut into small pieces, for stress; the packet untouched on exhaustion. */
  fragment(m: Address, how: number, length: number, random: () => number = Math.random): Address {
    return fragment(this, m, how, length, random);
  }

  /** m_apply: a call per piece of a range. */
  apply(
    m: Address,
    off: number,
    len: number,
    callback: (address: Address, length: number) => number | void,
  ): number {
    return apply(this, m, off, len, callback);
  }

  /** A call per mbuf with data. */
  forEachSegment(m: Address, callback: (address: Address, length: number) => void): void {
    forEachSegment(this, m, callback);
  }

  /** m_getptr: the mbuf that holds a byte, at `offset` of it. */
  getptr(m: Address, loc: number): Address {
    return getptr(this, m, loc);
  }

  /** in_cksum: the internet checksum over a range. */
  checksum(m: Address, off: number, len: number, sum: number = 0): number {
    return checksum(this, m, off, len, sum);
  }

  /** The same, folded but not complemented. */
  checksumPartial(m: Address, off: number, len: number, sum: number = 0): number {
    return checksumPartial(this, m, off, len, sum);
  }

  /** m_move_pkthdr: moves from's packet header to `to`. */
  movePkthdr(to: Address, from: Address): void {
    movePkthdr(this, to, from);
  }

  /** m_dup_pkthdr, M_COPY_PKTHDR: copies from's packet header to `to`. */
  dupPkthdr(to: Address, from: Address, how: number = M_NOWAIT): boolean {
    return dupPkthdr(this, to, from, how);
  }

  /** m_pkthdr_remove: removes m's packet header. */
  pkthdrRemove(m: Address): void {
    pkthdrRemove(this, m);
  }

  /** m_demote_pkthdr: tags, send tag and header of m go; its data and its other flags stay. */
  demotePkthdr(m: Address): void {
    demotePkthdr(this, m);
  }

  /** m_demote: makes ordinary mbufs of a packet's. */
  demote(m: Address, all: boolean, flags: number): void {
    demote(this, m, all, flags);
  }
}
