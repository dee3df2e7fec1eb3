/**
 * m_verify_packet: is this packet as a packet should be? Throws the kernel's texts as `PacketError`; an mbuf
 * without a byte is in order (B1; with quirks it is not).
 */

import type { Address } from '@umbuf/memory';
import { M_EXT, M_PKTHDR } from '../constants.ts';
import type { MbufCore } from '../core.ts';
import { PacketError } from '../errors.ts';
import { ExternalRecord, PacketHeader } from '../layout.ts';
import { DATA, FLAGS, LEN, NEXT, NEXTPKT, TYPE } from '../segment.ts';

const BUF = ExternalRecord.fields.buf.at;
const SIZE = ExternalRecord.fields.size.at;
const PACKET_LEN = PacketHeader.fields.len.at;

/** Checks every mbuf of the packet, then the sum of their lengths against pkthdr.len. */
export function verifyPacket(mbufs: MbufCore, m: Address): void {
  const { words, pkthdr, quirks } = mbufs;
  mbufs.checkChain('m_verify_packet', m);
  if ((words[(m >> 2) + FLAGS]! & M_PKTHDR) === 0) fail("mbuf doesn't have M_PKTHDR");
  let total = 0;
  for (let at: number = m; at !== 0; at = words[(at >> 2) + NEXT]!) {
    const base = at >> 2;
    if (words[base + TYPE] === 0) fail(`mbuf already freed (n = ${at})`);
    if (words[base + NEXTPKT] !== 0) fail('m_nextpkt != NULL');
    const data = words[base + DATA]!;
    const length = words[base + LEN]!;
    if (length < 0 || (quirks && length === 0)) fail(`incorrect length (len = ${length})`);
    const [from, to] = areaOf(mbufs, at);
    if (data < from) fail(`data before its buffer (mbuf ${at})`);
    if (data + length > to) fail(`data behind its buffer (mbuf ${at})`);
    total += length;
  }
  const wanted = words[(m >> 2) + pkthdr + PACKET_LEN]!;
  if (total !== wanted) fail(`inconsistent mbuf length (${total} != ${wanted})`);
}

/** First byte of the data area, and the one behind it. */
function areaOf({ words, ext, dat, pktdat, msize }: MbufCore, m: number): [number, number] {
  const flags = words[(m >> 2) + FLAGS]!;
  if ((flags & M_EXT) === 0) return [m + ((flags & M_PKTHDR) !== 0 ? pktdat : dat), m + msize];
  const buf = words[(m >> 2) + ext + BUF]!;
  return [buf, buf + words[(m >> 2) + ext + SIZE]!];
}

function fail(what: string): never {
  throw new PacketError(`m_verify_packet: ${what}`);
}
