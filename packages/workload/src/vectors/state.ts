/**
 * The recorded STATE of a program's world, read from the arena: chains, mbuf by mbuf, and counters.
 */

import { crc32 } from 'node:zlib';
import type { Address } from '@umbuf/memory';
import {
  ExternalRecord,
  liveTags,
  M_EXT,
  M_PKTHDR,
  MbufHeader,
  MbufStatistics,
  NetbsdFlag,
  NetbsdType,
  PacketHeader,
  TAG_HEADER_BYTES,
} from '@umbuf/mbuf';
import type { World } from './world.ts';

const H = MbufHeader.fields;
const P = PacketHeader.fields;
const E = ExternalRecord.fields;

/** Symbolic flags in the order of the format. */
export const FLAGS: readonly (readonly [string, number])[] = [
  ['EXT', NetbsdFlag.M_EXT],
  ['PKTHDR', NetbsdFlag.M_PKTHDR],
  ['EOR', NetbsdFlag.M_EOR],
  ['PROTO1', NetbsdFlag.M_PROTO1],
  ['AUTHIPHDR', NetbsdFlag.M_AUTHIPHDR],
  ['DECRYPTED', NetbsdFlag.M_DECRYPTED],
  ['LOOP', NetbsdFlag.M_LOOP],
  ['BCAST', NetbsdFlag.M_BCAST],
  ['MCAST', NetbsdFlag.M_MCAST],
  ['CANFASTFWD', NetbsdFlag.M_CANFASTFWD],
  ['ANYCAST6', NetbsdFlag.M_ANYCAST6],
  ['LINK0', NetbsdFlag.M_LINK0],
  ['LINK1', NetbsdFlag.M_LINK1],
  ['LINK2', NetbsdFlag.M_LINK2],
  ['LINK3', NetbsdFlag.M_LINK3],
  ['CLUSTER', NetbsdFlag.M_EXT_CLUSTER],
  ['PAGES', NetbsdFlag.M_EXT_PAGES],
  ['ROMAP', NetbsdFlag.M_EXT_ROMAP],
  ['RW', NetbsdFlag.M_EXT_RW],
];

const TYPES = Object.fromEntries(Object.entries(NetbsdType).map(([name, value]) => [value, name]));

/** Byte strings as the format writes them. */
export function byteString(bytes: Uint8Array): string {
  if (bytes.length <= 24) return Buffer.from(bytes).toString('hex');
  return `crc32:${crc32(bytes).toString(16).padStart(8, '0')}`;
}

/** Start of the data area of `m`. */
export function areaStart(world: World, m: Address): number {
  const { words, ext, pktdat, dat } = world.mbufs;
  const flags = words[(m >> 2) + H.flags.at]!;
  if ((flags & M_EXT) !== 0) return words[(m >> 2) + ext + E.buf.at]!;
  return m + ((flags & M_PKTHDR) !== 0 ? pktdat : dat);
}

export function dataOf(world: World, m: Address): Uint8Array {
  const { words, bytes } = world.mbufs;
  const data = words[(m >> 2) + H.data.at]!;
  return bytes.slice(data, data + words[(m >> 2) + H.len.at]!);
}

/** The mbufs of a chain. */
export function chainOf(world: World, m: Address): Address[] {
  const chain: Address[] = [];
  for (let at = m; at !== 0; at = world.mbufs.words[(at >> 2) + H.next.at]! as Address) {
    chain.push(at);
  }
  return chain;
}

function readMbuf(world: World, m: Address): object {
  const { mbufs } = world;
  const { words, ext, pkthdr } = mbufs;
  const base = m >> 2;
  const flags = words[base + H.flags.at]!;
  const isExt = (flags & M_EXT) !== 0;
  const header = base + pkthdr;
  const optional = (name: string, at: number): object =>
    words[header + at] === 0 ? {} : { [name]: words[header + at]! >>> 0 };
  return {
    id: world.ids.get(m),
    type: TYPES[words[base + H.type.at]!],
    flags: FLAGS.filter(([, bit]) => (flags & bit) !== 0).map(([name]) => name),
    len: words[base + H.len.at],
    off: words[base + H.data.at]! - areaStart(world, m),
    buf: isExt ? 'ext' : (flags & M_PKTHDR) !== 0 ? 'hdr' : 'int',
    ...(isExt && {
      extid: world.storageIds.get(words[base + ext + E.buf.at]!),
      extref: mbufs.referenceCount(m),
      extsize: words[base + ext + E.size.at],
    }),
    owner: world.ownerName(words[base + H.owner.at]! as Address),
    data: byteString(dataOf(world, m)),
    ...((flags & M_PKTHDR) !== 0 && {
      pkthdr: {
        len: words[header + P.len.at],
        ...optional('csum_flags', P.csumFlags.at),
        ...optional('csum_data', P.csumData.at),
        ...optional('segsz', P.segsz.at),
        ...optional('vtag', P.vlanTag.at),
        ...optional('rcvif', P.rcvif.at),
        ...readTags(world, m),
      },
    }),
  };
}

/** Tags as `[id, length, bytes]`, from first to last. */
function readTags({ mbufs }: World, m: Address): object {
  const tags: [number, number, string][] = [];
  for (let tag = mbufs.tagFirst(m); tag !== 0; tag = mbufs.tagNext(tag)) {
    const data = tag + TAG_HEADER_BYTES;
    const length = mbufs.tagLength(tag);
    tags.push([mbufs.tagId(tag), length, byteString(mbufs.bytes.slice(data, data + length))]);
  }
  return tags.length === 0 ? {} : { tags };
}

export function readChain(world: World, m: Address): object[] {
  return chainOf(world, m).map((at) => readMbuf(world, at));
}

export interface Counters {
  readonly mbufs: number;
  readonly parked: number;
  readonly clusters: number;
  readonly exts: number;
  readonly tags: number;
  readonly types: Record<string, number>;
  /** `[claims, releases, cluster claims and releases, ext claims and releases]` since the start. */
  readonly owners: Record<string, number[]>;
}

export function readCounters(world: World): Counters {
  const { mbufs } = world;
  const types: Record<string, number> = {};
  for (const [name, value] of Object.entries(NetbsdType)) {
    const count = mbufs.words[mbufs.statistics + MbufStatistics.fields.types.at + value]!;
    if (count !== 0) types[name] = count;
  }
  return {
    mbufs: mbufs.zones.mbuf.statistics().live,
    parked: mbufs.words[mbufs.statistics + MbufStatistics.fields.parked.at]!,
    clusters: mbufs.zones.cluster.statistics().live,
    exts: world.buffers.statistics().live,
    tags: liveTags(mbufs),
    types,
    owners: world.ownerCounters(),
  };
}
