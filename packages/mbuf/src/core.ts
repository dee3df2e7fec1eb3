/**
 * What every operation of this package needs of the mbuf system, as one thread sees it: views, zones,
 * the preset's offsets and masks, the hot operations as closures, and the checks. Operations are
 * plain functions that take this; the classes over it (chain-methods.ts, mbufs.ts) only name them.
 */

import { type Address, type Arena, type Cpu, DebugLevel, type Kernels, NULL } from '@umbuf/memory';
import { reclaim, type Uma, type Zone } from '@umbuf/uma';
import { type CopyM, createCopym } from './chain/copy.ts';
import type { PresetName } from './constants.ts';
import type { DrainHook } from './drain.ts';
import type { ExternalFree } from './external/callbacks.ts';
import { createFree, type Free } from './free.ts';
import { createGet, type Get, type GetCluster } from './get.ts';
import type { DefaultOwners } from './owner.ts';
import type { PresetView } from './preset.ts';
import type { InterfaceHooks } from './send-tag.ts';
import { checkChain, checkMbuf } from './validate.ts';
import type { MbufZones } from './zones.ts';

/** What the constructor stores; `Mbufs.attach` reads it from the arena. */
export interface CoreParts {
  readonly root: number;
  readonly statistics: number;
  readonly system: number;
  readonly zones: MbufZones;
  readonly preset: PresetName;
  readonly view: PresetView;
  readonly quirks: boolean;
  readonly defaultOwners: DefaultOwners | undefined;
  readonly maxLinkhdr: number;
  readonly maxProtohdr: number;
}

/** The constructor only stores fields. */
export class MbufCore implements PresetView {
  readonly uma: Uma;
  readonly cpu: Cpu;
  readonly arena: Arena;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly longs: BigInt64Array<SharedArrayBuffer>;
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly kernels: Kernels;
  readonly level: number;
  /** Word indices of the root record, of this CPU's MbufStatistics, and of the MbufSystem record. */
  readonly root: number;
  readonly statistics: number;
  readonly system: number;
  readonly zones: MbufZones;
  /** More mbufs than the arena can hold: a longer chain is a loop. */
  readonly chainMax: number;

  readonly preset: PresetName;
  readonly quirks: boolean;
  /** Undefined unless owners are counted (owner.ts). */
  readonly defaultOwners: DefaultOwners | undefined;
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
  readonly sendTagFlag: number;
  readonly extpgFlag: number;
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
  /** m_free inside an operation that calls `throwCallbackError` at its end. */
  readonly release: Free;
  /** m_copym(m, off, len, how): a copy of a range that shares storage. */
  readonly copym: CopyM;

  /**
   * Second results: of `getptr` and `pulldown`; of `ensureContig`, `makewritable`; of
   * `mappedToUnmapped`.
   */
  offset: number;
  head: Address;
  tail: Address;

  /** Where `copym` begins in its first mbuf; of no use to callers. */
  copySkip: number;

  /** The tag zones that this thread has opened, by size. */
  readonly tagZones: (Zone | undefined)[];
  /** The zones of pages and of TLS sessions, once this thread has needed them (pages/page.ts). */
  pageZone: Zone | undefined;
  ktlsZone: Zone | undefined;
  /** Drain hooks of this thread (drain.ts). */
  readonly drainHooks: DrainHook[];

  /** This thread's ext_free callbacks by id, and what they threw in the running operation. */
  readonly externalFrees: (ExternalFree | undefined)[];
  readonly callbackErrors: unknown[];
  /** This thread's hooks of interfaces, by number (send-tag.ts). */
  readonly interfaces: (InterfaceHooks | undefined)[];

  protected constructor(uma: Uma, parts: CoreParts) {
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
    this.system = parts.system;
    this.zones = parts.zones;
    this.preset = parts.preset;
    this.quirks = parts.quirks;
    this.defaultOwners = parts.defaultOwners;
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
    this.sendTagFlag = view.sendTagFlag;
    this.extpgFlag = view.extpgFlag;
    this.packetZone = view.packetZone;
    this.chainMax = Math.floor(uma.bytes.length / view.msize);
    this.offset = 0;
    this.head = NULL;
    this.tail = NULL;
    this.pageZone = undefined;
    this.ktlsZone = undefined;
    this.copySkip = 0;
    this.tagZones = [];
    this.drainHooks = [];
    this.externalFrees = [];
    this.callbackErrors = [];
    this.interfaces = [];
    const { get, gethdr, getcl } = createGet(this);
    this.get = get;
    this.gethdr = gethdr;
    this.getcl = getcl;
    const { free, freem, release } = createFree(this);
    this.free = free;
    this.freem = freem;
    this.release = release;
    this.copym = createCopym(this);
  }

  /** Empties the packet zone's bucket caches, so that their clusters can be had (m_clget). */
  drainPackets(): void {
    reclaim(this.uma, 'drain', this.zones.packet.record);
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
