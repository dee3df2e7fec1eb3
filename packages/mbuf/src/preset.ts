/**
 * What chain operations need of a layout preset, worked out once per thread: offsets in words and
 * bytes, and the flag masks in which the two kernels differ. Data; see constants.ts for the sizes.
 */

import { M_EXT, type PresetName, presets } from './constants.ts';
import {
  FREEBSD_COPYFLAGS,
  FREEBSD_DEMOTEFLAGS,
  FreebsdCsum,
  FreebsdFlag,
} from './freebsd-flags.ts';
import { NETBSD_COPYFLAGS, NETBSD_EXTCOPYFLAGS, NetbsdFlag } from './netbsd-flags.ts';

export interface PresetView {
  readonly msize: number;
  readonly mlen: number;
  readonly mhlen: number;
  readonly minclsize: number;
  /** The length that means "to the end" (M_COPYALL). */
  readonly copyAll: number;
  /** Byte offsets of m_dat and m_pktdat, word offsets of packet header and external record. */
  readonly dat: number;
  readonly pktdat: number;
  readonly pkthdr: number;
  readonly ext: number;
  /** M_COPYFLAGS and M_DEMOTEFLAGS. */
  readonly copyFlags: number;
  readonly demoteFlags: number;
  /** m_flags that say what storage an mbuf has. */
  readonly storageFlags: number;
  /** m_flags that a user of shared storage inherits, and those that a cluster sets. */
  readonly sharedFlags: number;
  readonly clusterFlags: number;
  /** m_flags that make internal data read-only. */
  readonly readOnlyInternal: number;
  /** External data is read-only if (m_flags ^ readOnlyUnless) has a bit of readOnlyExternal. */
  readonly readOnlyUnless: number;
  readonly readOnlyExternal: number;
  /** M_NOFREE, or 0 where the preset has none. */
  readonly noFreeFlag: number;
  /** The bit of csum_flags that says "rcvif is a send tag", or 0 where the preset has none. */
  readonly sendTagFlag: number;
  /** M_EXTPG, or 0 where the preset has none. */
  readonly extpgFlag: number;
  /** Whether m_getcl uses the packet zone (FreeBSD) or attaches a cluster to an mbuf (NetBSD). */
  readonly packetZone: boolean;
}

/** The view of a preset. */
export function presetView(name: PresetName): PresetView {
  const preset = presets[name];
  return {
    msize: preset.msize,
    mlen: preset.mlen,
    mhlen: preset.mhlen,
    minclsize: preset.minclsize,
    copyAll: preset.copyAll,
    dat: preset.offsetOfData,
    pktdat: preset.offsetOfPacketData,
    pkthdr: preset.offsetOfPacketHeader >> 2,
    ext: preset.offsetOfExt >> 2,
    ...(name === 'freebsd' ? freebsd : netbsd),
  };
}

type Masks = Omit<
  PresetView,
  'msize' | 'mlen' | 'mhlen' | 'minclsize' | 'copyAll' | 'dat' | 'pktdat' | 'pkthdr' | 'ext'
>;

const { M_EXTPG, M_NOFREE, M_RDONLY } = FreebsdFlag;

const freebsd: Masks = {
  copyFlags: FREEBSD_COPYFLAGS,
  demoteFlags: FREEBSD_DEMOTEFLAGS,
  storageFlags: M_EXT | M_EXTPG,
  sharedFlags: M_EXT | M_EXTPG | M_RDONLY,
  clusterFlags: M_EXT,
  readOnlyInternal: M_RDONLY | M_EXTPG,
  readOnlyUnless: 0,
  readOnlyExternal: M_RDONLY | M_EXTPG,
  noFreeFlag: M_NOFREE,
  sendTagFlag: FreebsdCsum.CSUM_SND_TAG | 0,
  extpgFlag: M_EXTPG,
  packetZone: true,
};

const { M_EXT_CLUSTER, M_EXT_ROMAP, M_EXT_RW } = NetbsdFlag;

const netbsd: Masks = {
  copyFlags: NETBSD_COPYFLAGS,
  demoteFlags: NETBSD_EXTCOPYFLAGS,
  storageFlags: NETBSD_EXTCOPYFLAGS,
  sharedFlags: NETBSD_EXTCOPYFLAGS,
  clusterFlags: M_EXT | M_EXT_CLUSTER | M_EXT_RW,
  readOnlyInternal: 0,
  readOnlyUnless: M_EXT_RW,
  readOnlyExternal: M_EXT_RW | M_EXT_ROMAP,
  noFreeFlag: 0,
  sendTagFlag: 0,
  extpgFlag: 0,
  packetZone: false,
};
