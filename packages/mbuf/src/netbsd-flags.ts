/**
 * NetBSD's mbuf flags and types as of uipc_mbuf.c 1.191. Data only. M_AUTHIPDGM and M_VLANTAG
 * (headers before and after) are not among the flags of the recorded vectors and are left out of
 * COPYFLAGS accordingly; VLANTAG keeps its value for what sets it.
 */

/** `m_flags`. */
export const NetbsdFlag = {
  M_EXT: 0x1,
  M_PKTHDR: 0x2,
  M_EOR: 0x4,
  M_PROTO1: 0x8,
  M_AUTHIPHDR: 0x10,
  M_DECRYPTED: 0x20,
  M_LOOP: 0x40,
  M_BCAST: 0x100,
  M_MCAST: 0x200,
  M_CANFASTFWD: 0x400,
  M_ANYCAST6: 0x800,
  M_LINK0: 0x1000,
  M_LINK1: 0x2000,
  M_LINK2: 0x4000,
  M_LINK3: 0x8000,
  M_LINK4: 0x10000,
  M_LINK5: 0x20000,
  M_LINK6: 0x40000,
  M_LINK7: 0x80000,
  M_VLANTAG: 0x100000,
  M_EXT_CLUSTER: 0x1000000,
  M_EXT_PAGES: 0x2000000,
  M_EXT_ROMAP: 0x4000000,
  M_EXT_RW: 0x8000000,
} as const;

/** M_COPYFLAGS of the vectors: neither PROTO1 nor LINK3 to LINK7 are copied. */
export const NETBSD_COPYFLAGS = 0x7f76;
/** M_EXT_FLAGS: the bits that describe external storage; as a signed 32-bit word. */
export const NETBSD_EXT_FLAGS: number = 0xff000000 | 0;
/** M_EXTCOPYFLAGS: what a shallow copy passes on; as a signed 32-bit word. */
export const NETBSD_EXTCOPYFLAGS: number = 0xff000001 | 0;

/** `m_type`. */
export const NetbsdType = {
  MT_FREE: 0,
  MT_DATA: 1,
  MT_HEADER: 2,
  MT_SONAME: 3,
  MT_SOOPTS: 4,
  MT_FTABLE: 5,
  MT_CONTROL: 6,
  MT_OOBDATA: 7,
} as const;

/** `how`: any value but M_WAIT means "do not wait". */
export const M_WAIT = 0;
export const M_DONTWAIT = 1;
