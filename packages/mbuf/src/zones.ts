/**
 * The six zones of the mbuf layer with their constructors and destructors (kern_mbuf.c, spec 6.4):
 *
 *   mbuf             header constructed at every allocation; tags deleted at every free
 *   mbuf_cluster     attached to the mbuf whose address is the argument, if any
 *   mbuf_packet      secondary zone on mbuf's keg: zinit attaches a cluster, which stays attached
 *                    while the mbuf is cached, so a packet costs one allocation
 *   mbuf_jumbo_*     as mbuf_cluster, of 4, 9 and 16 KiB
 *
 * The argument of `mbuf` and `mbuf_packet` is `packMbuf(flags, type)`; type MT_NOINIT leaves the
 * item alone. Callbacks are closures over const views: they run once per allocation and per free.
 * Nobody but this package's allocation and free paths uses these zones directly.
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
import { M_EXT, M_PKTHDR, MCLBYTES, MJUM16BYTES, MJUM9BYTES, MJUMPAGESIZE } from './constants.ts';
import { type AttachView, attachCluster } from './external/attach.ts';
import { ExtType, FreebsdType, MB_DTOR_SKIP } from './freebsd-flags.ts';
import { ExternalRecord, MbufHeader, PacketHeader } from './layout.ts';

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
  /** Byte offsets of the data areas without and with packet header. */
  readonly dat: number;
  readonly pktdat: number;
  readonly pkthdr: number;
  /** Debug level of the arena. */
  readonly level: number;
}

const H = MbufHeader.fields;
const P = PacketHeader.fields;
const E = ExternalRecord.fields;

/** ENOMEM, what a zinit returns to refuse an item. */
const ENOMEM = 12;

/** The ctor argument of the mbuf and packet zones. */
export function packMbuf(flags: number, type: number): number {
  return (flags << 8) | (type & 0xff);
}

/**
 * Creates the zones in `uma`'s arena, or opens them where they exist. Throws UMA's
 * ZoneMismatchError when they exist with other sizes.
 */
export function openZones(uma: Uma, view: ZoneView): MbufZones {
  const mbufDefinition = defineMbufZone(view);
  const cluster = uma.open(defineClusterZone(view, 'mbuf_cluster', MCLBYTES, ExtType.EXT_CLUSTER));
  return {
    mbuf: uma.open(mbufDefinition),
    cluster,
    packet: uma.open(definePacketZone(view, mbufDefinition, cluster)),
    jumboPage: uma.open(
      defineClusterZone(view, 'mbuf_jumbo_page', MJUMPAGESIZE, ExtType.EXT_JUMBOP),
    ),
    jumbo9: uma.open(defineClusterZone(view, 'mbuf_jumbo_9k', MJUM9BYTES, ExtType.EXT_JUMBO9)),
    jumbo16: uma.open(defineClusterZone(view, 'mbuf_jumbo_16k', MJUM16BYTES, ExtType.EXT_JUMBO16)),
  };
}

/** Header fields of a fresh mbuf (m_init). `shared` says nothing without M_EXT and stays. */
function createInit(view: ZoneView): (m: number, flags: number, type: number) => void {
  const { words, dat, pktdat, pkthdr } = view;
  return (m, flags, type) => {
    const base = m >> 2;
    words[base + H.next.at] = 0;
    words[base + H.nextpkt.at] = 0;
    words[base + H.len.at] = 0;
    words[base + H.flags.at] = flags;
    words[base + H.type.at] = type;
    words[base + H.owner.at] = 0;
    if ((flags & M_PKTHDR) === 0) {
      words[base + H.data.at] = m + dat;
      return;
    }
    words[base + H.data.at] = m + pktdat;
    const header = base + pkthdr;
    words[header] = 0;
    words[header + 1] = 0;
    words[header + 2] = 0;
    words[header + 3] = 0;
    words[header + 4] = 0;
    words[header + 5] = 0;
    words[header + 6] = 0;
    words[header + 7] = 0;
    words[header + 8] = 0;
    words[header + 9] = 0;
    words[header + 10] = 0;
    words[header + 11] = 0;
    words[header + 12] = 0;
    words[header + 13] = 0;
  };
}

function defineMbufZone(view: ZoneView): ZoneDefinition {
  const { words, msize, pkthdr } = view;
  const init = createInit(view);
  return defineZone({
    name: 'mbuf',
    size: msize,
    align: msize - 1,
    flags: ZoneFlag.CONTIG | ZoneFlag.MAXBUCKET,
    /** mb_ctor_mbuf */
    ctor(_zone: Zone, m: Address, argument: number): number {
      const type = argument & 0xff;
      if (type !== FreebsdType.MT_NOINIT) init(m, argument >>> 8, type);
      return 0;
    },
    /** mb_dtor_mbuf */
    dtor(_zone: Zone, m: Address, argument: number): void {
      if (argument === MB_DTOR_SKIP) return;
      if ((words[(m >> 2) + H.flags.at]! & M_PKTHDR) !== 0) checkNoTags(words, m, pkthdr);
    },
  });
}

function defineClusterZone(
  view: ZoneView,
  name: string,
  size: number,
  type: number,
): ZoneDefinition {
  return defineZone({
    name,
    size,
    flags: ZoneFlag.CONTIG,
    /** mb_ctor_clust: the argument is the mbuf to attach to, or 0. */
    ctor(_zone: Zone, buf: Address, argument: number): number {
      if (argument !== NULL) attachCluster(view, argument as Address, buf, size, type);
      return 0;
    },
  });
}

function definePacketZone(view: ZoneView, primary: ZoneDefinition, cluster: Zone): ZoneDefinition {
  const { words, ext, pkthdr, clusterFlags, level, msize } = view;
  const init = createInit(view);
  return defineZone({
    name: 'mbuf_packet',
    size: primary.size,
    align: msize - 1,
    primary,
    /** mb_zinit_pack: the mbuf enters the packet zone and gets its cluster for as long as it stays. */
    zinit(_zone: Zone, m: Address, flags: number): number {
      words[(m >> 2) + ext + E.buf.at] = 0;
      if (cluster.alloc(flags & ~M_ZERO, m) === NULL) return ENOMEM;
      words[(m >> 2) + ext + E.type.at] =
        (words[(m >> 2) + ext + E.type.at]! & ~0xff) | ExtType.EXT_PACKET;
      if (level >= DebugLevel.invariants) junkCluster(words, m, ext);
      return 0;
    },
    /** mb_zfini_pack: the cluster goes, and the keg finds the mbuf trashed as it wants it. */
    zfini(_zone: Zone, m: Address): void {
      if (level >= DebugLevel.invariants) checkJunk(words, m, ext);
      cluster.free(words[(m >> 2) + ext + E.buf.at]! as Address);
      if (level >= DebugLevel.invariants) words.fill(TRASH_WORD, m >> 2, (m + msize) >> 2);
    },
    /** mb_ctor_pack: a fresh header over the storage record, which is not touched. */
    ctor(_zone: Zone, m: Address, argument: number): number {
      const base = m >> 2;
      if (level >= DebugLevel.invariants) checkJunk(words, m, ext);
      init(m, argument >>> 8, argument & 0xff);
      words[base + H.data.at] = words[base + ext + E.buf.at]!;
      words[base + H.flags.at]! |= clusterFlags;
      return 0;
    },
    /** mb_dtor_pack: whoever frees to this zone is the last user, so the storage is unshared. */
    dtor(_zone: Zone, m: Address): void {
      const base = m >> 2;
      if ((words[base + H.flags.at]! & M_PKTHDR) !== 0) checkNoTags(words, m, pkthdr);
      words[base + H.shared.at] = 0;
      if (level >= DebugLevel.checks) checkPacket(words, m, ext);
      if (level >= DebugLevel.invariants) junkCluster(words, m, ext);
    },
  });
}

// Debug.

/** Tags come with packet tags; until then the list head must have stayed empty. */
function checkNoTags(words: Int32Array, m: Address, pkthdr: number): void {
  const tags = words[(m >> 2) + pkthdr + P.tags.at]!;
  if (tags !== 0) throw new Panic(`mbuf ${m}: packet tag list begins at ${tags}`);
}

function checkPacket(words: Int32Array, m: Address, ext: number): void {
  const base = m >> 2;
  const record = base + ext;
  if (
    (words[base + H.flags.at]! & M_EXT) === 0 ||
    words[record + E.buf.at] === 0 ||
    words[record + E.holder.at] !== m ||
    words[record + E.free.at] !== 0 ||
    words[record + E.arg1.at] !== 0 ||
    words[record + E.arg2.at] !== 0 ||
    words[record + E.size.at] !== MCLBYTES ||
    (words[record + E.type.at]! & 0xff) !== ExtType.EXT_PACKET
  ) {
    throw new Panic(`mbuf_packet: mbuf ${m} comes back without its cluster as it was`);
  }
}

function junkCluster(words: Int32Array, m: Address, ext: number): void {
  const buf = words[(m >> 2) + ext + E.buf.at]! >> 2;
  words.fill(TRASH_WORD, buf, buf + MCLBYTES / 4);
}

function checkJunk(words: Int32Array, m: Address, ext: number): void {
  const buf = words[(m >> 2) + ext + E.buf.at]! >> 2;
  for (let word = buf; word < buf + MCLBYTES / 4; word++) {
    if (words[word] !== TRASH_WORD) {
      throw new Panic(`mbuf_packet: cluster of mbuf ${m} was written while free, at ${word * 4}`);
    }
  }
}
