/**
 * The mbuf system as one thread sees it. `Mbufs.attach(uma)` makes or adopts the arena's shared root
 * and opens the six zones; the object holds this thread's views, the zones, the ext_free callbacks
 * (functions cannot be shared), and the operations under their kernel names without `m_`.
 *
 * The operations themselves are plain functions in chain/ and external/; the methods here only name
 * them. Addresses in, addresses out: no JavaScript object is made per mbuf. Every operation throws
 * NotMbufError for NULL where it needs a chain, and from debug level `checks` on for anything that is
 * no chain of mbufs in use (validate.ts); exhaustion is a return value.
 */

import { type Address, type Arena, type Cpu, DebugLevel, type Kernels, NULL } from '@umbuf/memory';
import { reclaim, type Uma } from '@umbuf/uma';
import type { Bytes } from './bytes.ts';
import { adj, align, prepend, prependMbuf } from './chain/adjust.ts';
import { copyup, ensureContig, pullup } from './chain/contiguous.ts';
import { type CopyM, copypacket, createCopym, dup } from './chain/copy.ts';
import { copyback, copybackCow, makewritable } from './chain/copyback.ts';
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
import { demote, dupPkthdr, movePkthdr, pkthdrRemove } from './chain/header.ts';
import { add, append, cat, catpkt } from './chain/join.ts';
import { pulldown } from './chain/pulldown.ts';
import { split } from './chain/split.ts';
import type { PresetName } from './constants.ts';
import { cljget, cljset, clget, extadd, extaddref, freeCluster } from './external/attach.ts';
import { type ExternalFree, registerExternalFree } from './external/callbacks.ts';
import { addReference } from './external/reference.ts';
import { createFree, type Free } from './free.ts';
import { createGet, type Get, get2, type GetCluster, getjcl, getm2 } from './get.ts';
import { MbufRoot, MbufStatistics } from './layout.ts';
import { type PresetView, presetView } from './preset.ts';
import { type MbufOptions, openRoot, rootPreset } from './root.ts';
import {
  capacity,
  isWritable,
  lastMbuf,
  leadingSpace,
  referenceCount,
  trailingSpace,
} from './segment.ts';
import { checkChain, checkMbuf } from './validate.ts';
import { type MbufZones, openZones } from './zones.ts';

const R = MbufRoot.fields;

const attached = new WeakMap<Uma, Mbufs>();

/** What the constructor stores; `attach` reads it from the arena. */
interface Parts {
  readonly root: number;
  readonly statistics: number;
  readonly zones: MbufZones;
  readonly preset: PresetName;
  readonly view: PresetView;
  readonly quirks: boolean;
  readonly maxLinkhdr: number;
  readonly maxProtohdr: number;
}

/** The constructor only stores fields. */
export class Mbufs implements PresetView {
  readonly uma: Uma;
  readonly cpu: Cpu;
  readonly arena: Arena;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly longs: BigInt64Array<SharedArrayBuffer>;
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly kernels: Kernels;
  readonly level: number;
  /** Word indices of the root record and of this CPU's MbufStatistics. */
  readonly root: number;
  readonly statistics: number;
  readonly zones: MbufZones;
  /** More mbufs than the arena can hold: a longer chain is a loop. */
  readonly chainMax: number;

  readonly preset: PresetName;
  readonly quirks: boolean;
  readonly maxLinkhdr: number;
  readonly maxProtohdr: number;
  readonly msize: number;
  readonly mlen: number;
  readonly mhlen: number;
  readonly minclsize: number;
  readonly copyAll: number;
  readonly dat: number;
  readonly pktdat: number;
  readonly pkthdr: number;
  readonly ext: number;
  readonly copyFlags: number;
  readonly demoteFlags: number;
  readonly storageFlags: number;
  readonly sharedFlags: number;
  readonly clusterFlags: number;
  readonly readOnlyInternal: number;
  readonly readOnlyUnless: number;
  readonly readOnlyExternal: number;
  readonly noFreeFlag: number;
  readonly packetZone: boolean;

  /** m_get(how, type): an mbuf; NULL on exhaustion. `how` is M_NOWAIT or M_WAITOK. */
  readonly get: Get;
  /** m_gethdr(how, type): an mbuf with a packet header, zeroed. */
  readonly gethdr: Get;
  /** m_getcl(how, type, flags): an mbuf with a cluster; M_PKTHDR in `flags` makes a header. */
  readonly getcl: GetCluster;
  /** m_free(m): frees one mbuf and returns its successor. */
  readonly free: Free;
  /**
   * m_freem(m): frees the chain; NULL is nothing to do. When ext_free callbacks threw, all of it is
   * freed and then the first error thrown.
   */
  readonly freem: (m: Address) => void;
  /** m_copym(m, off, len, how): a copy of a range that shares storage. */
  readonly copym: CopyM;

  /** Second results: of `getptr` and `pulldown`, and of `ensureContig`, `makewritable`. */
  offset: number;
  head: Address;

  /** Where `copym` begins in its first mbuf; of no use to callers. */
  copySkip: number;

  /** This thread's ext_free callbacks by id, and what they threw in the running operation. */
  readonly externalFrees: (ExternalFree | undefined)[];
  readonly callbackErrors: unknown[];

  private constructor(uma: Uma, parts: Parts) {
    this.uma = uma;
    this.cpu = uma.cpu;
    this.arena = uma.arena;
    this.words = uma.words;
    this.longs = uma.longs;
    this.bytes = uma.bytes;
    this.kernels = uma.kernels;
    this.level = uma.arena.level;
    this.root = parts.root;
    this.statistics = parts.statistics;
    this.zones = parts.zones;
    this.preset = parts.preset;
    this.quirks = parts.quirks;
    this.maxLinkhdr = parts.maxLinkhdr;
    this.maxProtohdr = parts.maxProtohdr;
    const { view } = parts;
    this.msize = view.msize;
    this.mlen = view.mlen;
    this.mhlen = view.mhlen;
    this.minclsize = view.minclsize;
    this.copyAll = view.copyAll;
    this.dat = view.dat;
    this.pktdat = view.pktdat;
    this.pkthdr = view.pkthdr;
    this.ext = view.ext;
    this.copyFlags = view.copyFlags;
    this.demoteFlags = view.demoteFlags;
    this.storageFlags = view.storageFlags;
    this.sharedFlags = view.sharedFlags;
    this.clusterFlags = view.clusterFlags;
    this.readOnlyInternal = view.readOnlyInternal;
    this.readOnlyUnless = view.readOnlyUnless;
    this.readOnlyExternal = view.readOnlyExternal;
    this.noFreeFlag = view.noFreeFlag;
    this.packetZone = view.packetZone;
    this.chainMax = Math.floor(uma.bytes.length / view.msize);
    this.offset = 0;
    this.head = NULL;
    this.copySkip = 0;
    this.externalFrees = [];
    this.callbackErrors = [];
    const { get, gethdr, getcl } = createGet(this);
    this.get = get;
    this.gethdr = gethdr;
    this.getcl = getcl;
    const { free, freem } = createFree(this);
    this.free = free;
    this.freem = freem;
    this.copym = createCopym(this);
  }

  /**
   * The mbuf system of uma's arena, for this thread; the same object for the same Uma. The first
   * attach in the arena settles preset and settings; a later one may leave them out, and throws
   * PresetMismatchError when it asks for others. Throws TableFullError when there are no pages.
   */
  static attach(uma: Uma, options: MbufOptions = {}): Mbufs {
    const root = openRoot(uma.cpu, options);
    const known = attached.get(uma);
    if (known !== undefined) return known;
    const { words, arena } = uma;
    const preset = rootPreset(words, root);
    const view = presetView(preset);
    const statistics =
      (words[root + R.statistics.at]! >> 2) + uma.cpu.number * MbufStatistics.words;
    const mbufs = new Mbufs(uma, {
      root,
      statistics,
      zones: openZones(uma, { words, level: arena.level, ...view }),
      preset,
      view,
      quirks: words[root + R.quirks.at] !== 0,
      maxLinkhdr: words[root + R.maxLinkhdr.at]!,
      maxProtohdr: words[root + R.maxProtohdr.at]!,
    });
    attached.set(uma, mbufs);
    return mbufs;
  }

  // Allocation and freeing (get.ts, free.ts).

  /** m_getjcl: an mbuf with a cluster of `size` bytes (2048, 4096, 9216, 16384). */
  getjcl(how: number, type: number, flags: number, size: number): Address {
    return getjcl(this, how, type, flags, size);
  }

  /** m_get2: the cheapest single mbuf for `size` bytes; NULL over 4096. */
  get2(size: number, how: number, type: number, flags: number): Address {
    return get2(this, size, how, type, flags);
  }

  /** m_getm2: a chain with room for `len` bytes, appended to `m` unless NULL. */
  getm2(m: Address, len: number, how: number, type: number, flags: number): Address {
    return getm2(this, m, len, how, type, flags);
  }

  // External storage (external/).

  /** m_clget: attaches a 2 KiB cluster; false when there is none. */
  clget(m: Address, how: number): boolean {
    return clget(this, m, how);
  }

  /** m_cljget: attaches a cluster of `size` bytes, or returns a bare one for `m` NULL. */
  cljget(m: Address, how: number, size: number): Address {
    return cljget(this, m, how, size);
  }

  /** m_cljset: attaches the bare cluster `buf` by its EXT_ type. */
  cljset(m: Address, buf: Address, type: number): void {
    cljset(this, m, buf, type);
  }

  /** Gives back a bare cluster of `size` bytes. */
  freeCluster(buf: Address, size: number): void {
    freeCluster(this, buf, size);
  }

  /** m_extadd: attaches memory of the caller, released by ext_free callback `free`. */
  extadd(
    m: Address,
    buf: Address,
    size: number,
    free: number,
    arg1: number,
    arg2: number,
    flags: number,
    type: number,
    counter: Address = NULL,
  ): void {
    extadd(this, m, buf, size, free, arg1, arg2, flags, type, counter);
  }

  /** m_extaddref: attaches memory whose count is the word at `counter`, and adds to it. */
  extaddref(
    m: Address,
    buf: Address,
    size: number,
    counter: Address,
    free: number,
    arg1: number,
    arg2: number,
  ): void {
    extaddref(this, m, buf, size, counter, free, arg1, arg2);
  }

  /** Registers an ext_free callback in this thread under an id and a name that all threads share. */
  registerExternalFree(id: number, name: string, callback: ExternalFree): void {
    registerExternalFree(this, id, name, callback);
  }

  /** mb_dupcl: makes `n`, without storage, a user of m's. */
  addReference(n: Address, m: Address): void {
    addReference(this, n, m);
  }

  /** m_extrefcnt: references to m's storage; exact only when 1. */
  referenceCount(m: Address): number {
    return referenceCount(this, m);
  }

  /** M_WRITABLE: whether m's data may be written. */
  writable(m: Address): boolean {
    return isWritable(this, m);
  }

  /** M_LEADINGSPACE: writable bytes in front of the data. */
  leadingSpace(m: Address): number {
    return leadingSpace(this, m);
  }

  /** M_TRAILINGSPACE: writable bytes behind the data. */
  trailingSpace(m: Address): number {
    return trailingSpace(this, m);
  }

  /** M_SIZE: bytes of the data area. */
  capacity(m: Address): number {
    return capacity(this, m);
  }

  /** Empties the packet zone's bucket caches, so that their clusters can be had (m_clget). */
  drainPackets(): void {
    reclaim(this.uma, 'drain', this.zones.packet.record);
  }

  // Chains (chain/).

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
  dupPkthdr(to: Address, from: Address): boolean {
    return dupPkthdr(this, to, from);
  }

  /** m_pkthdr_remove: removes m's packet header. */
  pkthdrRemove(m: Address): void {
    pkthdrRemove(this, m);
  }

  /** m_demote: makes ordinary mbufs of a packet's. */
  demote(m: Address, all: boolean, flags: number): void {
    demote(this, m, all, flags);
  }

  // Debug (validate.ts).

  /** Throws unless `m` is an mbuf in use; see validate.ts for what each level finds. */
  checkMbuf(operation: string, m: Address): void {
    checkMbuf(this, operation, m);
  }

  /** The same for each mbuf of the chain from level `checks` on; below, NULL is found. */
  checkChain(operation: string, m: Address): void {
    if (this.level >= DebugLevel.checks) checkChain(this, operation, m);
    else checkMbuf(this, operation, m);
  }
}
