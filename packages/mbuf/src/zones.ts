/**
 * The six zones of the mbuf layer (kern_mbuf.c, spec 6.4):
 *
 *   mbuf             mbufs, constructed by get.ts at every allocation
 *   mbuf_cluster     2 KiB clusters, attached by external/attach.ts
 *   mbuf_packet      secondary zone on mbuf's keg: zinit attaches a cluster, which stays attached
 *                    while the mbuf is cached, so a packet costs one allocation
 *   mbuf_jumbo_*     clusters of 4, 9 and 16 KiB
 *
 * mb_ctor_mbuf, mb_ctor_clust, mb_ctor_pack and their dtors are not callbacks of these zones: each has
 * one caller in this package (get.ts, free.ts, external/attach.ts), which runs it right behind the
 * allocation or before the free. As callbacks they cost 30 ns per call, against 4 for the item itself;
 * FreeBSD went the same way later (m_get_raw). So nobody else may use these zones directly.
 */

import { type Address, DebugLevel, NULL, Panic } from '@umbuf/memory';
import {
  defineZone,
  M_ZERO,
  TRASH_WORD,
  type Uma,
  type Zone,
  type ZoneDefinition,
  ZoneFlag,
} from '@umbuf/uma';
import { MCLBYTES, MJUM16BYTES, MJUM9BYTES, MJUMPAGESIZE } from './constants.ts';
import { type AttachView, attachCluster } from './external/attach.ts';
import { ExtType } from './freebsd-flags.ts';
import { ExternalRecord } from './layout.ts';
import type { ZoneLimits } from './root.ts';

/** The zones, opened in this thread. */
export interface MbufZones {
  readonly mbuf: Zone;
  readonly cluster: Zone;
  readonly packet: Zone;
  readonly jumboPage: Zone;
  readonly jumbo9: Zone;
  readonly jumbo16: Zone;
}

/** What the callbacks need of the preset; offsets in words unless they say bytes. */
export interface ZoneView extends AttachView {
  readonly msize: number;
  /** Debug level of the arena. */
  readonly level: number;
}

const E = ExternalRecord.fields;

/** ENOMEM, what a zinit returns to refuse an item. */
const ENOMEM = 12;

/**
 * Creates the zones in `uma`'s arena, or opens them where they exist. Throws UMA's
 * ZoneMismatchError when they exist with other sizes.
 */
export function openZones(uma: Uma, view: ZoneView): MbufZones {
  const mbufDefinition = defineMbufZone(view);
  const cluster = uma.open(defineClusterZone('mbuf_cluster', MCLBYTES));
  const packet = uma.open(definePacketZone(view, mbufDefinition, cluster));
  // Who sleeps for clusters gets those of cached packets, and freed packets give theirs to him. The
  // kernel drains the packet zone at each such free instead (mb_dtor_pack, defect D13).
  packet.carries(cluster);
  return {
    mbuf: uma.open(mbufDefinition),
    cluster,
    packet,
    jumboPage: uma.open(defineClusterZone('mbuf_jumbo_page', MJUMPAGESIZE)),
    jumbo9: uma.open(defineClusterZone('mbuf_jumbo_9k', MJUM9BYTES)),
    jumbo16: uma.open(defineClusterZone('mbuf_jumbo_16k', MJUM16BYTES)),
  };
}

/**
 * Sets the zones' limits (kern.ipc.nmb*) with their warnings; 0 is none. Packets are outside nmbufs,
 * bounded by nmbclusters.
 */
export function applyLimits(zones: MbufZones, limits: Required<ZoneLimits>): void {
  const pairs = [
    [zones.mbuf, 'nmbufs'],
    [zones.cluster, 'nmbclusters'],
    [zones.jumboPage, 'nmbjumbop'],
    [zones.jumbo9, 'nmbjumbo9'],
    [zones.jumbo16, 'nmbjumbo16'],
  ] as const;
  for (const [zone, name] of pairs) {
    const limit = limits[name];
    // Every CPU attaches: a limit that a zone has already may have been changed since.
    if (limit === 0 || zone.getMax() !== 0) continue;
    zone.setWarning(`kern.ipc.${name} limit reached`);
    zone.setMax(limit);
  }
}

function defineMbufZone(view: ZoneView): ZoneDefinition {
  return defineZone({
    name: 'mbuf',
    size: view.msize,
    align: view.msize - 1,
    flags: ZoneFlag.CONTIG | ZoneFlag.MAXBUCKET,
    // An mbuf ends where the next begins: MSIZE is a promise.
    redzone: 0,
  });
}

function defineClusterZone(name: string, size: number): ZoneDefinition {
  return defineZone({ name, size, flags: ZoneFlag.CONTIG });
}

function definePacketZone(view: ZoneView, primary: ZoneDefinition, cluster: Zone): ZoneDefinition {
  const { words, ext, level, msize } = view;
  return defineZone({
    name: 'mbuf_packet',
    size: primary.size,
    align: msize - 1,
    primary,
    /** mb_zinit_pack: the mbuf enters the packet zone and gets its cluster for as long as it stays. */
    zinit(_zone: Zone, m: Address, flags: number): number {
      const buf = cluster.alloc(flags & ~M_ZERO);
      if (buf === NULL) return ENOMEM;
      attachCluster(view, m, buf, MCLBYTES, ExtType.EXT_PACKET);
      if (level >= DebugLevel.invariants) junkCluster(words, m, ext);
      return 0;
    },
    /** mb_zfini_pack: the cluster goes, and the keg finds the mbuf trashed as it wants it. */
    zfini(_zone: Zone, m: Address): void {
      if (level >= DebugLevel.invariants) checkJunk(words, m, ext);
      cluster.free(words[(m >> 2) + ext + E.buf.at]!);
      if (level >= DebugLevel.invariants) words.fill(TRASH_WORD, m >> 2, (m + msize) >> 2);
    },
  });
}

// Debug.

/** Junk in the cluster of a packet that goes into the cache, at level `invariants`. */
export function junkCluster(words: Int32Array, m: Address, ext: number): void {
  const buf = words[(m >> 2) + ext + E.buf.at]! >> 2;
  words.fill(TRASH_WORD, buf, buf + MCLBYTES / 4);
}

/** Panics when that junk was written over meanwhile. */
export function checkJunk(words: Int32Array, m: Address, ext: number): void {
  const buf = words[(m >> 2) + ext + E.buf.at]! >> 2;
  for (let word = buf; word < buf + MCLBYTES / 4; word++) {
    if (words[word] !== TRASH_WORD) {
      throw new Panic(`mbuf_packet: cluster of mbuf ${m} was written while free, at ${word * 4}`);
    }
  }
}
