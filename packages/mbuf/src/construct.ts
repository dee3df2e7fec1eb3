/**
 * What runs at every allocation and free of an mbuf: m_init with mb_ctor_mbuf, mb_ctor_pack,
 * mb_dtor_pack. Plain functions over views, so that the closures of get.ts and free.ts have them
 * inlined. The mbuf belongs to the caller: owned words only.
 */

import { type Address, DebugLevel, Panic } from '@umbuf/memory';
import { M_EXT, MCLBYTES } from './constants.ts';
import { ExtType } from './freebsd-flags.ts';
import { ExternalRecord, MbufHeader } from './layout.ts';
import { checkJunk, junkCluster } from './zones.ts';

const H = MbufHeader.fields;
const NEXT = H.next.at;
const NEXTPKT = H.nextpkt.at;
const LEN = H.len.at;
const FLAGS = H.flags.at;
const TYPE = H.type.at;
const OWNER = H.owner.at;
const E = ExternalRecord.fields;

type Words = Int32Array<SharedArrayBuffer>;

/** m_init, but for m_data and a packet header. `shared` says nothing without M_EXT and stays. */
export function initMbuf(words: Words, m: number, type: number, flags: number): void {
  const base = m >> 2;
  words[base + NEXT] = 0;
  words[base + NEXTPKT] = 0;
  words[base + LEN] = 0;
  words[base + FLAGS] = flags;
  words[base + TYPE] = type;
  words[base + OWNER] = 0;
}

/** m_pkthdr_init: `header` is the word index of a packet header. */
export function initPacketHeader(words: Words, header: number): void {
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
}

/** What the debug levels look at when a packet leaves the cache, at level `invariants`. */
export function checkFreshPacket(words: Words, m: Address, ext: number, level: number): void {
  if (level >= DebugLevel.invariants) checkJunk(words, m, ext);
}

/** What they look at before a packet goes back (mb_dtor_pack): its cluster must be as it was. */
export function checkFreedPacket(words: Words, m: Address, ext: number, level: number): void {
  if (level < DebugLevel.checks) return;
  const record = (m >> 2) + ext;
  if (
    (words[(m >> 2) + H.flags.at]! & M_EXT) === 0 ||
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
  if (level >= DebugLevel.invariants) junkCluster(words, m, ext);
}
