/**
 * m_print: an mbuf, or a chain of them, as NetBSD's debugger prints it. For people, and byte for byte what
 * the recorded programs have. Reads owned words of the chain's holder and the storage's reference count.
 */

import type { Address } from '@umbuf/memory';
import { M_EXT, M_PKTHDR } from '../constants.ts';
import type { MbufCore } from '../core.ts';
import { ExternalRecord, PacketHeader } from '../layout.ts';
import { NetbsdFlag } from '../netbsd-flags.ts';
import {
  DATA,
  FLAGS,
  isWritable,
  leadingSpace,
  LEN,
  NEXT,
  NEXTPKT,
  OWNER,
  referenceCount,
  trailingSpace,
  typeOf,
} from '../segment.ts';

const E = ExternalRecord.fields;
const P = PacketHeader.fields;
const PAGE_BYTES = 4096;

/** What a pointer in the text points at. */
export type PointerKind =
  | 'mbuf'
  | 'data'
  | 'storage'
  | 'owner'
  | 'interface'
  | 'function'
  | 'argument'
  | 'page';

/** How pointers are written. `m` is the mbuf that is being printed. */
export type PointerFormat = (kind: PointerKind, value: number, m: Address) => string;

/** `(nil)` or the address in hexadecimal. */
export const hexadecimal: PointerFormat = (_kind, value) =>
  value === 0 ? '(nil)' : `0x${(value >>> 0).toString(16)}`;

/** Names of m_flags and csum_flags by bit, lowest first. */
const FLAG_NAMES = bits({
  EXT: NetbsdFlag.M_EXT,
  PKTHDR: NetbsdFlag.M_PKTHDR,
  EOR: NetbsdFlag.M_EOR,
  PROTO1: NetbsdFlag.M_PROTO1,
  AUTHIPHDR: NetbsdFlag.M_AUTHIPHDR,
  DECRYPTED: NetbsdFlag.M_DECRYPTED,
  LOOP: NetbsdFlag.M_LOOP,
  BCAST: NetbsdFlag.M_BCAST,
  MCAST: NetbsdFlag.M_MCAST,
  CANFASTFWD: NetbsdFlag.M_CANFASTFWD,
  ANYCAST6: NetbsdFlag.M_ANYCAST6,
  LINK0: NetbsdFlag.M_LINK0,
  LINK1: NetbsdFlag.M_LINK1,
  LINK2: NetbsdFlag.M_LINK2,
  LINK3: NetbsdFlag.M_LINK3,
  EXT_CLUSTER: NetbsdFlag.M_EXT_CLUSTER,
  EXT_PAGES: NetbsdFlag.M_EXT_PAGES,
  EXT_ROMAP: NetbsdFlag.M_EXT_ROMAP,
  EXT_RW: NetbsdFlag.M_EXT_RW,
});
const CSUM_NAMES = bits({
  TCPv4: 0x1,
  UDPv4: 0x2,
  TCP_UDP_BAD: 0x4,
  DATA: 0x8,
  TCPv6: 0x10,
  UDPv6: 0x20,
  IPv4: 0x40,
  IPv4_BAD: 0x80,
  TSOv4: 0x100,
  TSOv6: 0x200,
});

/** The text of `m`, with the modifier `c` of its whole chain. Throws as every operation for a bad chain. */
export function print(
  mbufs: MbufCore,
  m: Address,
  modifiers: string,
  pointer: PointerFormat,
): string {
  mbufs.checkChain('m_print', m);
  let text = printOne(mbufs, m, pointer);
  if (!modifiers.includes('c')) return text;
  for (let at = mbufs.words[(m >> 2) + NEXT]!; at !== 0; at = mbufs.words[(at >> 2) + NEXT]!) {
    text += printOne(mbufs, at as Address, pointer);
  }
  return text;
}

function printOne(mbufs: MbufCore, m: Address, pointer: PointerFormat): string {
  const { words } = mbufs;
  const base = m >> 2;
  const flags = words[base + FLAGS]!;
  const show = (kind: PointerKind, value: number): string => pointer(kind, value, m);
  let text =
    `MBUF ${show('mbuf', m)}\n` +
    `  data=${show('data', words[base + DATA]!)}, len=${words[base + LEN]}, ` +
    `type=${typeOf(mbufs, m)}, flags=${formatBits(flags, FLAG_NAMES)}\n` +
    `  owner=${show('owner', words[base + OWNER]!)}, next=${show('mbuf', words[base + NEXT]!)}, ` +
    `nextpkt=${show('mbuf', words[base + NEXTPKT]!)}\n` +
    `  leadingspace=${leadingSpace(mbufs, m)}, trailingspace=${trailingSpace(mbufs, m)}, ` +
    `readonly=${isWritable(mbufs, m) ? 0 : 1}\n`;
  if ((flags & M_PKTHDR) !== 0) {
    const header = base + mbufs.pkthdr;
    text +=
      `  pktlen=${words[header + P.len.at]}, rcvif=${show('interface', words[header + P.rcvif.at]!)}, ` +
      `csum_flags=${formatBits(words[header + P.csumFlags.at]!, CSUM_NAMES)}, ` +
      `csum_data=0x${(words[header + P.csumData.at]! >>> 0).toString(16)}, ` +
      `segsz=${words[header + P.segsz.at]! >>> 0}\n`;
  }
  if ((flags & M_EXT) !== 0) {
    const ext = base + mbufs.ext;
    const holder = (words[ext + E.holder.at]! >> 2) + mbufs.ext;
    const buf = words[ext + E.buf.at]!;
    const size = words[ext + E.size.at]!;
    text +=
      `  ext_refcnt=${referenceCount(mbufs, m)}, ext_buf=${show('storage', buf)}, ext_size=${size}, ` +
      `ext_free=${show('function', words[holder + E.free.at]!)}, ` +
      `ext_arg=${show('argument', words[holder + E.arg1.at]!)}\n`;
    if ((flags & NetbsdFlag.M_EXT_PAGES) !== 0) {
      text += '  pages:';
      for (let at = 0; at < size; at += PAGE_BYTES) text += ` ${show('page', buf + at)}`;
      text += '\n';
    }
  }
  return text;
}

/** snprintb(9): the value in hexadecimal, then the names of its bits. */
function formatBits(value: number, names: readonly (readonly [string, number])[]): string {
  const hex = `0x${(value >>> 0).toString(16)}`;
  const set = names.filter(([, bit]) => (value & bit) !== 0).map(([name]) => name);
  return set.length === 0 ? hex : `${hex}<${set.join(',')}>`;
}

function bits(names: Readonly<Record<string, number>>): readonly (readonly [string, number])[] {
  return Object.entries(names).sort(([, left], [, right]) => (left >>> 0) - (right >>> 0));
}
