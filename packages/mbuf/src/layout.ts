/**
 * The records of the mbuf layer: mbuf header, packet header, external-storage record, and the
 * shared root with its per-CPU statistics. See @umbuf/memory's layout tables for the kinds of
 * words.
 *
 * An mbuf is owned: only its holder touches it, with plain accesses, and it moves between CPUs
 * through a synchronising hand-over (ring, zone, reference count reaching zero). The one exception
 * is `count` of the external record, which every sharer of the storage changes atomically.
 *
 * The header is the same in both presets, so its offsets are constants in all code; where packet
 * header and external record stand depends on the preset:
 *
 *              freebsd (256 bytes)    netbsd (512 bytes)
 *   0          header, 32 bytes       header, 32 bytes (24 spare, so that MLEN is 456)
 *   m_dat      byte 32, MLEN 224      byte 56, MLEN 456
 *   pkthdr     byte 32, 56 bytes      byte 56, 56 bytes
 *   m_pktdat   byte 88, MHLEN 168     byte 112, MHLEN 400
 *   m_ext      byte 88                byte 112
 *
 * Packet header, external record and data areas overlay each other as in the kernels: an mbuf with
 * external storage has no internal data.
 */

import { checkLayout } from '@umbuf/memory';

/** First words of every mbuf, `struct m_hdr`. */
export const MbufHeader = {
  name: 'mbuf',
  words: 8,
  fields: {
    next: { at: 0, type: 'i32', kind: 'owned', what: 'm_next: next mbuf of the chain' },
    nextpkt: { at: 1, type: 'i32', kind: 'owned', what: 'm_nextpkt: next packet of a queue' },
    data: { at: 2, type: 'i32', kind: 'owned', what: 'm_data: address of the first data byte' },
    len: { at: 3, type: 'i32', kind: 'owned', what: 'm_len: bytes of data' },
    flags: { at: 4, type: 'i32', kind: 'owned', what: 'm_flags of the preset' },
    type: {
      at: 5,
      type: 'i32',
      kind: 'owned',
      what: 'm_type in the low byte; 0 (MT_FREE) while freed or parked',
    },
    owner: {
      at: 6,
      type: 'i32',
      kind: 'owned',
      what: 'm_owner: address of the mowner, 0 = default',
    },
    shared: {
      at: 7,
      type: 'i32',
      kind: 'owned',
      what: '1: the storage was shared at some time; 0: this mbuf is its holder and only user',
    },
  },
} as const;

/** `struct pkthdr`, 56 bytes, in the first mbuf of a packet (M_PKTHDR). */
export const PacketHeader = {
  name: 'pkthdr',
  words: 14,
  fields: {
    rcvif: { at: 0, type: 'i32', kind: 'owned', what: 'receiving interface, or the send tag' },
    tags: { at: 1, type: 'i32', kind: 'owned', what: 'first packet tag, 0 = none' },
    len: { at: 2, type: 'i32', kind: 'owned', what: 'length of the packet: sum of all m_len' },
    csumFlags: { at: 3, type: 'i32', kind: 'owned', what: 'csum_flags' },
    csumData: { at: 4, type: 'i32', kind: 'owned', what: 'csum_data' },
    flowid: { at: 5, type: 'i32', kind: 'owned', what: 'flow hash' },
    route: {
      at: 6,
      type: 'i32',
      kind: 'owned',
      what: 'fibnum (16 bits), numa_domain (8), rsstype (8)',
    },
    segsz: { at: 7, type: 'i32', kind: 'owned', what: 'tso_segsz, lro_nsegs; segsz' },
    timestamp: {
      at: 8,
      type: 'i64',
      kind: 'owned',
      what: 'rcv_tstmp, or eight header lengths (l2..l5, inner l2..l5)',
    },
    local: {
      at: 10,
      type: 'i32',
      kind: 'owned',
      count: 2,
      what: 'PH_loc (LRO words, memlen); pattr_class and pattr_hdr',
    },
    vlanTag: { at: 12, type: 'i32', kind: 'owned', what: 'ether_vtag' },
    pattrFamily: { at: 13, type: 'i32', kind: 'owned', what: 'pattr_af' },
  },
} as const;

/**
 * `struct m_ext`. Every user of the storage has its own copy of buf, size and type; count, free,
 * args and paddr are the holder's (for EXT_EXTREF, everybody's: the count is in caller memory).
 */
export const ExternalRecord = {
  name: 'm_ext',
  words: 40,
  fields: {
    holder: { at: 0, type: 'i32', kind: 'owned', what: 'mbuf that holds the count (ext_ref)' },
    count: {
      at: 1,
      type: 'i32',
      kind: 'atomic',
      what: 'references, in the holder; meaningless while `shared` is 0, when it would be 1',
    },
    buf: { at: 2, type: 'i32', kind: 'owned', what: 'ext_buf' },
    size: { at: 3, type: 'i32', kind: 'owned', what: 'ext_size, bytes' },
    type: { at: 4, type: 'i32', kind: 'owned', what: 'ext_type (8 bits), ext_flags << 8' },
    free: { at: 5, type: 'i32', kind: 'owned', what: 'id of the ext_free callback, 0 = none' },
    arg1: { at: 6, type: 'i32', kind: 'owned', what: 'ext_arg1' },
    arg2: { at: 7, type: 'i32', kind: 'owned', what: 'ext_arg2' },
    counter: { at: 8, type: 'i32', kind: 'owned', what: 'EXT_EXTREF: address of the count' },
    paddr: { at: 9, type: 'i32', kind: 'owned', what: 'ext_paddr' },
    pages: {
      at: 10,
      type: 'i32',
      kind: 'owned',
      count: 5,
      what: 'page mbufs: addresses of the pages',
    },
    trailer: { at: 15, type: 'i32', kind: 'owned', count: 16, what: 'page mbufs: trailer bytes' },
    header: { at: 31, type: 'i32', kind: 'owned', count: 6, what: 'page mbufs: header bytes' },
  },
} as const;

/** `struct m_tag`; the data follows. */
export const TagRecord = {
  name: 'm_tag',
  words: 4,
  fields: {
    next: { at: 0, type: 'i32', kind: 'owned', what: 'next tag of the packet, 0 = none' },
    cookie: { at: 1, type: 'i32', kind: 'owned', what: "m_tag_cookie; NetBSD's tags have 0" },
    id: { at: 2, type: 'i32', kind: 'owned', what: 'm_tag_id, 16 bits' },
    length: { at: 3, type: 'i32', kind: 'owned', what: 'm_tag_len, bytes of data, 16 bits' },
  },
} as const;

/** `struct mbufq`, in memory of whoever has the queue. */
export const MbufQueue = {
  name: 'mbufq',
  words: 4,
  fields: {
    head: { at: 0, type: 'i32', kind: 'owned', what: 'first packet, 0 = none' },
    tail: { at: 1, type: 'i32', kind: 'owned', what: 'last packet' },
    length: { at: 2, type: 'i32', kind: 'owned', what: 'mq_len: packets' },
    max: { at: 3, type: 'i32', kind: 'owned', what: 'mq_maxlen; 0 and less: unbounded' },
  },
} as const;

/** Slots of the type statistic; m_type is taken modulo this. */
export const TYPE_SLOTS = 32;
/** Ids of ext_free callbacks are 1 to 255. */
export const EXTERNAL_FREE_MAX = 255;

/** One per arena, found through memory's `Root.mbuf`, made by the first attach. */
export const MbufRoot = {
  name: 'mbuf root',
  words: 352,
  fields: {
    preset: { at: 0, type: 'i32', kind: 'owned', what: 'layout preset: 1 freebsd, 2 netbsd' },
    quirks: { at: 1, type: 'i32', kind: 'owned', what: '1: quirks of NetBSD 1.191' },
    maxLinkhdr: { at: 2, type: 'i32', kind: 'atomic', what: 'max_linkhdr; it only grows' },
    maxProtohdr: { at: 3, type: 'i32', kind: 'atomic', what: 'max_protohdr; it only grows' },
    statistics: { at: 4, type: 'i32', kind: 'owned', what: "address of CPU 0's MbufStatistics" },
    limits: {
      at: 8,
      type: 'i32',
      kind: 'atomic',
      count: 5,
      what: 'nmbufs, nmbclusters, nmbjumbop, nmbjumbo9, nmbjumbo16; 0 = none',
    },
    packets: { at: 5, type: 'i32', kind: 'atomic', what: 'blocks of packet numbers taken' },
    drains: { at: 16, type: 'i32', kind: 'atomic', what: 'm_drain: reclaims so far' },
    sendTags: { at: 18, type: 'i32', kind: 'atomic', what: 'send tags that exist' },
    owners: { at: 20, type: 'i32', kind: 'owned', what: '1: owners are counted (MBUFTRACE)' },
    system: { at: 21, type: 'i32', kind: 'owned', what: 'address of the MbufSystem record' },
    ktlsQueue: {
      at: 22,
      type: 'i32',
      kind: 'atomic',
      what: 'first holder of pages that waits for its TLS session to be freed, 0 = none',
    },
    externalFree: {
      at: 64,
      type: 'i32',
      kind: 'atomic',
      count: 256,
      what: 'hash of the name that each ext_free id was registered under, 0 = free',
    },
  },
} as const;

/** One per CPU behind the root: 256 bytes, written by that CPU only. Sums may wrap, parts may be negative. */
export const MbufStatistics = {
  name: 'mbuf statistics',
  words: 64,
  fields: {
    types: {
      at: 0,
      type: 'i32',
      kind: 'statistic',
      count: 32,
      what: 'mbstat: allocations minus frees by m_type',
    },
    parked: { at: 32, type: 'i32', kind: 'statistic', what: 'holders parked minus unparked' },
    externalFrees: { at: 34, type: 'i64', kind: 'statistic', what: 'ext_free callbacks run' },
    drops: { at: 36, type: 'i64', kind: 'statistic', what: 'm_drops: allocations that failed' },
    defragPackets: { at: 38, type: 'i64', kind: 'statistic', what: 'm_defragpackets' },
    defragBytes: { at: 40, type: 'i64', kind: 'statistic', what: 'm_defragbytes' },
    defragUseless: { at: 42, type: 'i64', kind: 'statistic', what: 'm_defraguseless' },
    defragFailures: { at: 44, type: 'i64', kind: 'statistic', what: 'm_defragfailure' },
  },
} as const;

for (const layout of [
  MbufHeader,
  PacketHeader,
  ExternalRecord,
  TagRecord,
  MbufQueue,
  MbufRoot,
  MbufStatistics,
]) {
  checkLayout(layout);
}
