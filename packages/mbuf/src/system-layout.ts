/**
 * Records of what belongs to the mbuf system as a whole: the tunables behind the sysctl tree, the
 * interfaces of send tags, the debugnet pool, the histogram of m_profile; and the two small records that
 * stand in a caller's memory, send tags and mchains. One `MbufSystem` per arena, behind the root record.
 */

import { checkLayout } from '@umbuf/memory';

/** Numbers of interfaces are 1 to this. */
export const INTERFACE_MAX = 31;
/** Classes of each histogram of m_profile. */
export const PROFILE_CLASSES = 32;

/** Found through `MbufRoot.system`. */
export const MbufSystem = {
  name: 'mbuf system',
  words: 288,
  fields: {
    maxmbufmem: { at: 0, type: 'i64', kind: 'owned', what: 'kern.ipc.maxmbufmem, bytes' },
    extPgs: { at: 2, type: 'i32', kind: 'atomic', what: 'kern.ipc.mb_use_ext_pgs' },
    defragFailures: { at: 3, type: 'i32', kind: 'atomic', what: 'm_defragrandomfailures' },
    mblowat: { at: 4, type: 'i32', kind: 'atomic', what: 'kern.mbuf.mblowat' },
    mcllowat: { at: 5, type: 'i32', kind: 'atomic', what: 'kern.mbuf.mcllowat' },
    poolOwner: {
      at: 6,
      type: 'i32',
      kind: 'atomic',
      what: 'debugnet: lock word of the CPU that has the pool, 0 = nobody',
    },
    poolBytes: {
      at: 7,
      type: 'i32',
      kind: 'atomic',
      what: "debugnet: bytes of the pool's clusters, 0 = no pool",
    },
    poolQueues: {
      at: 8,
      type: 'i32',
      kind: 'owned',
      count: 9,
      what: 'debugnet: first, last and number of mbufs, of clusters, of packets',
    },
    interfaces: {
      at: 32,
      type: 'i32',
      kind: 'atomic',
      count: 32,
      what: 'hash of the name that each interface was registered under, 0 = free',
    },
    interfaceTags: {
      at: 64,
      type: 'i32',
      kind: 'atomic',
      count: 32,
      what: 'send tags that hold a reference on the interface',
    },
    profile: {
      at: 96,
      type: 'i64',
      kind: 'atomic',
      count: 96,
      what: 'm_profile: chains by wasted bytes, by used bytes, by mbufs',
    },
  },
} as const;

/** `struct m_snd_tag`, the first words of whatever a driver keeps per tag. */
export const SendTagRecord = {
  name: 'm_snd_tag',
  words: 4,
  fields: {
    ifp: { at: 0, type: 'i32', kind: 'owned', what: 'number of the interface' },
    count: { at: 1, type: 'i32', kind: 'atomic', what: 'references; 0 = destroyed' },
    type: { at: 2, type: 'i32', kind: 'owned', what: "the driver's IF_SND_TAG_TYPE_*" },
  },
} as const;

/** `struct mchain`, in memory of whoever has the chain. */
export const MbufChain = {
  name: 'mchain',
  words: 4,
  fields: {
    first: { at: 0, type: 'i32', kind: 'owned', what: 'first mbuf, 0 = none' },
    last: { at: 1, type: 'i32', kind: 'owned', what: 'last mbuf' },
    length: { at: 2, type: 'i32', kind: 'owned', what: 'mc_len: bytes of data' },
    memory: {
      at: 3,
      type: 'i32',
      kind: 'owned',
      what: 'mc_mlen: bytes of mbufs and their storage',
    },
  },
} as const;

for (const layout of [MbufSystem, SendTagRecord, MbufChain]) checkLayout(layout);
