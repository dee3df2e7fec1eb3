/**
 * Keys of flows and of fragmented datagrams, as eleven 32-bit words in a reusable `Int32Array`,
 * and their hash: the driver steers frames to CPUs by it, the tables look up by it.
 *
 *   word 0..3   address of one end      word 8     ports (low end << 16 | high end), or fragment id
 *   word 4..7   address of the other    word 9     protocol
 *   IPv4 addresses fill words 0 and 4   word 10    kind: IP version, + 16 for fragments
 *
 * A *flow* key is the same in both directions: the end that compares lower comes first. A
 * *fragment* key keeps source before destination, and leaves the protocol out in IPv6.
 */

import { type IpPacket, read16 } from './headers.ts';

export const KEY_WORDS = 11;
const FRAGMENT_KIND = 16;

/** A key for the functions below to fill. */
export function createKey(): Int32Array {
  return new Int32Array(KEY_WORDS);
}

/**
 * Fills `key` with the flow of the packet whose network header is at `network` and whose transport
 * header (4 bytes of it are read where `hasPorts`) is at `transport`. Returns 0 where the source is
 * the key's first end, 1 where it is the second; equal ends give 0.
 */
export function flowKey(
  key: Int32Array,
  version: number,
  protocol: number,
  bytes: Uint8Array,
  network: number,
  transport: number,
  hasPorts: boolean,
): number {
  loadAddresses(key, version, bytes, network);
  let source = hasPorts ? read16(bytes, transport) : 0;
  let destination = hasPorts ? read16(bytes, transport + 2) : 0;
  let order = 0;
  for (let word = 0; word < 4 && order === 0; word++) order = key[word]! - key[word + 4]!;
  if (order === 0) order = source - destination;
  if (order > 0) {
    for (let word = 0; word < 4; word++) {
      const swap = key[word]!;
      key[word] = key[word + 4]!;
      key[word + 4] = swap;
    }
    const swap = source;
    source = destination;
    destination = swap;
  }
  key[8] = (source << 16) | destination;
  key[9] = protocol;
  key[10] = version;
  return order > 0 ? 1 : 0;
}

/** Fills `key` for the datagram that the fragment at `network` belongs to. */
export function fragmentKey(
  key: Int32Array,
  packet: IpPacket,
  bytes: Uint8Array,
  network: number,
): void {
  loadAddresses(key, packet.version, bytes, network);
  key[8] = packet.identification;
  key[9] = packet.version === 4 ? packet.protocol : 0;
  key[10] = packet.version + FRAGMENT_KIND;
}

/** Hash of a key, 0 to 2^32 - 1; the low bits are good enough to choose a CPU by. */
export function hashKey(key: Int32Array): number {
  let hash = 0x9e3779b9;
  for (let word = 0; word < KEY_WORDS; word++) {
    hash = Math.imul(hash ^ key[word]!, 0x85ebca6b);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** `address:port` of one end (0 or 1) of a flow key, `[address]:port` for IPv6. */
export function endText(key: Int32Array, end: number): string {
  const port = end === 0 ? key[8]! >>> 16 : key[8]! & 0xffff;
  if (key[10] === 4) return `${ipv4Text(key[end * 4]!)}:${port}`;
  return `[${ipv6Text(key.subarray(end * 4, end * 4 + 4))}]:${port}`;
}

/** Dotted decimal text of an IPv4 address in one word. */
export function ipv4Text(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}

/**
 * RFC 5952 text of an IPv6 address in four words: lower case, no leading zeros, the longest run of
 * two or more zero groups (the first of equals) as `::`, IPv4-mapped addresses in mixed notation.
 */
export function ipv6Text(words: Int32Array): string {
  if (words[0] === 0 && words[1] === 0 && words[2] === 0xffff) {
    return `::ffff:${ipv4Text(words[3]!)}`;
  }
  const groups: number[] = [];
  for (const word of words) groups.push(word >>> 16, word & 0xffff);
  let best = 0;
  let bestLength = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end++;
    if (end - start > bestLength) {
      best = start;
      bestLength = end - start;
    }
  }
  const text = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  if (bestLength === 1) return text(0, 8);
  return `${text(0, best)}::${text(best + bestLength, 8)}`;
}

function loadAddresses(key: Int32Array, version: number, bytes: Uint8Array, network: number): void {
  if (version === 4) {
    key.fill(0);
    key[0] = loadWord(bytes, network + 12);
    key[4] = loadWord(bytes, network + 16);
    return;
  }
  for (let word = 0; word < 8; word++) key[word] = loadWord(bytes, network + 8 + word * 4);
}

function loadWord(bytes: Uint8Array, offset: number): number {
  return (read16(bytes, offset) << 16) | read16(bytes, offset + 2);
}
