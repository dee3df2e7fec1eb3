/**
 * Sizes of both layout presets and the values that are one kernel's only. Data; anyone may read
 * it. `freebsd` is the SEED era (packet header of 56 bytes), `netbsd` is uipc_mbuf.c 1.191 on
 * LP64. These figures hold whatever the physical layout, since chain behaviour depends on them.
 */

/** Bytes of a cluster, and of the page, 9 KiB and 16 KiB jumbo clusters. Same in both presets. */
export const MCLBYTES = 2048;
export const MJUMPAGESIZE = 4096;
export const MJUM9BYTES = 9216;
export const MJUM16BYTES = 16384;

/** Page mbufs (`MBUF_PEXT_*`): TLS header and trailer space, most pages, most bytes. */
export const MBUF_PEXT_HDR_LEN = 23;
export const MBUF_PEXT_TRAIL_LEN = 64;
export const MBUF_PEXT_MAX_PGS = 5;
export const MBUF_PEXT_MAX_BYTES: number =
  MBUF_PEXT_MAX_PGS * MJUMPAGESIZE + MBUF_PEXT_HDR_LEN + MBUF_PEXT_TRAIL_LEN;

/** `numa_domain` of an mbuf whose domain is unknown. */
export const M_NODOM = 255;

/** The three `m_flags` bits that both kernels share. */
export const M_EXT = 0x1;
export const M_PKTHDR = 0x2;
export const M_EOR = 0x4;

export type PresetName = 'freebsd' | 'netbsd';

/** Sizes and offsets in bytes from the start of the mbuf. */
export interface MbufPreset {
  readonly msize: number;
  /** Header in front of `m_dat`. */
  readonly headerBytes: number;
  readonly packetHeaderBytes: number;
  /** Data bytes of an mbuf without, and with, a packet header. */
  readonly mlen: number;
  readonly mhlen: number;
  /** Smallest amount worth a cluster. */
  readonly minclsize: number;
  readonly mclbytes: number;
  /** Offsets: plain data, packet header (same place), data behind it, external descriptor. */
  readonly offsetOfData: number;
  readonly offsetOfPacketHeader: number;
  readonly offsetOfPacketData: number;
  readonly offsetOfExt: number;
  /** The length that means "to the end". */
  readonly copyAll: number;
}

/** MINCLSIZE: MHLEN + 1 in FreeBSD, MHLEN + MLEN + 1 in NetBSD. */
export const presets: Readonly<Record<PresetName, MbufPreset>> = {
  freebsd: {
    msize: 256,
    headerBytes: 32,
    packetHeaderBytes: 56,
    mlen: 224,
    mhlen: 168,
    minclsize: 169,
    mclbytes: MCLBYTES,
    offsetOfData: 32,
    offsetOfPacketHeader: 32,
    offsetOfPacketData: 88,
    offsetOfExt: 88,
    copyAll: 1_000_000_000,
  },
  netbsd: {
    msize: 512,
    headerBytes: 56,
    packetHeaderBytes: 56,
    mlen: 456,
    mhlen: 400,
    minclsize: 857,
    mclbytes: MCLBYTES,
    offsetOfData: 56,
    offsetOfPacketHeader: 56,
    offsetOfPacketData: 112,
    offsetOfExt: 112,
    copyAll: -1,
  },
};
