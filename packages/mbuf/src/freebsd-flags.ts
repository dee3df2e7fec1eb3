/**
 * FreeBSD's mbuf flags, types, external-storage types and checksum flags of the SEED date
 * (`sys/mbuf.h`). Data only. NOW differs in M_TSTMP_LRO (0x1000) and one M_PROTO flag fewer.
 */

/** `m_flags`. */
export const FreebsdFlag = {
  M_EXT: 0x1,
  M_PKTHDR: 0x2,
  M_EOR: 0x4,
  M_RDONLY: 0x8,
  M_BCAST: 0x10,
  M_MCAST: 0x20,
  M_PROMISC: 0x40,
  M_VLANTAG: 0x80,
  M_EXTPG: 0x100,
  M_NOFREE: 0x200,
  M_TSTMP: 0x400,
  M_TSTMP_HPREC: 0x800,
  M_PROTO1: 0x1000,
  M_PROTO2: 0x2000,
  M_PROTO3: 0x4000,
  M_PROTO4: 0x8000,
  M_PROTO5: 0x10000,
  M_PROTO6: 0x20000,
  M_PROTO7: 0x40000,
  M_PROTO8: 0x80000,
  M_PROTO9: 0x100000,
  M_PROTO10: 0x200000,
  M_PROTO11: 0x400000,
  M_PROTO12: 0x800000,
} as const;

/** All M_PROTO flags. */
export const FREEBSD_PROTOFLAGS = 0xfff000;
/** M_COPYFLAGS: PKTHDR EOR RDONLY BCAST MCAST PROMISC VLANTAG TSTMP TSTMP_HPREC PROTOFLAGS. */
export const FREEBSD_COPYFLAGS = 0xfffcfe;
/** M_DEMOTEFLAGS, kept when a packet header is dropped: EXT RDONLY NOFREE EXTPG. */
export const FREEBSD_DEMOTEFLAGS = 0x309;
/** Argument of the mbuf dtor: leave the item alone. */
export const MB_DTOR_SKIP = 0x1;

/** `m_type`. NOINIT means "do not construct". */
export const FreebsdType = {
  MT_NOTMBUF: 0,
  MT_DATA: 1,
  MT_HEADER: 1,
  MT_VENDOR1: 4,
  MT_VENDOR2: 5,
  MT_VENDOR3: 6,
  MT_VENDOR4: 7,
  MT_SONAME: 8,
  MT_EXP1: 9,
  MT_EXP2: 10,
  MT_EXP3: 11,
  MT_EXP4: 12,
  MT_CONTROL: 14,
  MT_EXTCONTROL: 15,
  MT_OOBDATA: 16,
  MT_NOINIT: 255,
} as const;

/** `ext_type`. */
export const ExtType = {
  EXT_CLUSTER: 1,
  EXT_SFBUF: 2,
  EXT_JUMBOP: 3,
  EXT_JUMBO9: 4,
  EXT_JUMBO16: 5,
  EXT_PACKET: 6,
  EXT_MBUF: 7,
  EXT_RXRING: 8,
  EXT_VENDOR1: 224,
  EXT_VENDOR2: 225,
  EXT_VENDOR3: 226,
  EXT_VENDOR4: 227,
  EXT_EXP1: 244,
  EXT_EXP2: 245,
  EXT_EXP3: 246,
  EXT_EXP4: 247,
  EXT_NET_DRV: 252,
  EXT_MOD_TYPE: 253,
  EXT_DISPOSABLE: 254,
  EXT_EXTREF: 255,
} as const;

/**
 * Our ext_type of page mbufs, a number that no EXT_ type has: the kernel knows them by M_EXTPG alone, but a
 * user of the storage that asks for its type gets one answer.
 */
export const EXT_PGS = 9;

/** `ext_flags`. EXTREF and NOFREE are declared and unused. */
export const ExtFlag = {
  EXT_FLAG_EMBREF: 0x1,
  EXT_FLAG_EXTREF: 0x2,
  EXT_FLAG_NOFREE: 0x10,
  EXT_FLAG_VENDOR1: 0x10000,
  EXT_FLAG_VENDOR2: 0x20000,
  EXT_FLAG_VENDOR3: 0x40000,
  EXT_FLAG_VENDOR4: 0x80000,
  EXT_FLAG_EXP1: 0x100000,
  EXT_FLAG_EXP2: 0x200000,
  EXT_FLAG_EXP3: 0x400000,
  EXT_FLAG_EXP4: 0x800000,
} as const;

/** `csum_flags`, an unsigned word: outbound requests, then inbound results from INNER_L3_CALC. */
export const FreebsdCsum = {
  CSUM_IP: 0x1,
  CSUM_IP_UDP: 0x2,
  CSUM_IP_TCP: 0x4,
  CSUM_IP_SCTP: 0x8,
  CSUM_IP_TSO: 0x10,
  CSUM_IP_ISCSI: 0x20,
  CSUM_INNER_IP6_UDP: 0x40,
  CSUM_INNER_IP6_TCP: 0x80,
  CSUM_INNER_IP6_TSO: 0x100,
  CSUM_IP6_UDP: 0x200,
  CSUM_IP6_TCP: 0x400,
  CSUM_IP6_SCTP: 0x800,
  CSUM_IP6_TSO: 0x1000,
  CSUM_IP6_ISCSI: 0x2000,
  CSUM_INNER_IP: 0x4000,
  CSUM_INNER_IP_UDP: 0x8000,
  CSUM_INNER_IP_TCP: 0x10000,
  CSUM_INNER_IP_TSO: 0x20000,
  CSUM_ENCAP_VXLAN: 0x40000,
  CSUM_ENCAP_RSVD1: 0x80000,
  CSUM_INNER_L3_CALC: 0x100000,
  CSUM_INNER_L3_VALID: 0x200000,
  CSUM_INNER_L4_CALC: 0x400000,
  CSUM_INNER_L4_VALID: 0x800000,
  CSUM_L3_CALC: 0x1000000,
  CSUM_L3_VALID: 0x2000000,
  CSUM_L4_CALC: 0x4000000,
  CSUM_L4_VALID: 0x8000000,
  CSUM_L5_CALC: 0x10000000,
  CSUM_L5_VALID: 0x20000000,
  CSUM_COALESCED: 0x40000000,
  CSUM_SND_TAG: 0x80000000,
} as const;
