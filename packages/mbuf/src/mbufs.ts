/**
 * The mbuf system as one thread sees it. `Mbufs.attach(uma)` makes or adopts the arena's shared root
 * and opens the six zones; the object holds this thread's views, zones and ext_free callbacks (functions
 * cannot be shared), and the operations under their kernel names without `m_`: allocation and storage
 * here, chains in chain-methods.ts, packet tags in tag-methods.ts, send tags, the reserve pool and
 * settings in system-methods.ts, the hottest (get, gethdr, getcl, free, freem, copym) in core.ts.
 *
 * Addresses in, addresses out: no JavaScript object is made per mbuf.
 */

import { type Address, NULL } from '@umbuf/memory';
import { onLowMemory, type Uma, umaOf } from '@umbuf/uma';
import { drainAll, drainCount, type DrainKind, registerDrain } from './drain.ts';
import { cljget, cljset, clget, extadd, extaddref, freeCluster } from './external/attach.ts';
import { type ExternalFree, registerExternalFree } from './external/callbacks.ts';
import { registerRepair } from './external/last-reference.ts';
import { addReference } from './external/reference.ts';
import { get2, getjcl, getm2 } from './get.ts';
import { MbufRoot, MbufStatistics } from './layout.ts';
import { attachDefaultOwners, claim, claimm } from './owner.ts';
import { presetView } from './preset.ts';
import { type MbufOptions, openRoot, rootLimits, rootPreset } from './root.ts';
import { capacity, isWritable, leadingSpace, referenceCount, trailingSpace } from './segment.ts';
import { registerSendTagRepair } from './send-tag.ts';
import { SystemMethods } from './system-methods.ts';
import { applyLimits, openZones } from './zones.ts';

const R = MbufRoot.fields;

const attached = new WeakMap<Uma, Mbufs>();

/** The constructor (core.ts) only stores fields. */
export class Mbufs extends SystemMethods {
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
    const zones = openZones(uma, { words, level: arena.level, ...view });
    applyLimits(zones, rootLimits(words, root));
    const mbufs = new Mbufs(uma, {
      root,
      statistics,
      system: words[root + R.system.at]! >> 2,
      zones,
      preset,
      view,
      quirks: words[root + R.quirks.at] !== 0,
      defaultOwners: words[root + R.owners.at] !== 0 ? attachDefaultOwners(uma.cpu) : undefined,
      maxLinkhdr: words[root + R.maxLinkhdr.at]!,
      maxProtohdr: words[root + R.maxProtohdr.at]!,
    });
    registerRepair(arena, (cpu) => Mbufs.attach(umaOf(cpu)));
    registerSendTagRepair(arena, (cpu) => Mbufs.attach(umaOf(cpu)));
    // As mbuf_init does: the drain hooks run when the arena's pages run out, too.
    onLowMemory(uma, () => void drainAll(mbufs));
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

  // Owners (owner.ts).

  /** m_claim: `owner`, an address of attachOwner, takes the mbuf over. */
  claim(m: Address, owner: Address): void {
    claim(this, m, owner);
  }

  /** m_claimm: the same for each mbuf of the chain. */
  claimm(m: Address, owner: Address): void {
    claimm(this, m, owner);
  }

  // Drains (drain.ts).

  /** m_reclaim: runs the drain hooks of this thread; returns how many of each kind. */
  reclaim(): Readonly<Record<DrainKind, number>> {
    return drainAll(this);
  }

  /** mbstat.m_drain: reclaims so far. */
  drains(): number {
    return drainCount(this);
  }

  /** Registers a drain hook; the function returned takes it out again. */
  registerDrain(kind: DrainKind, drain: () => void): () => void {
    return registerDrain(this, kind, drain);
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
}
