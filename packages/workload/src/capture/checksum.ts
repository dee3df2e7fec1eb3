/**
 * The Internet checksum (RFC 1071) where the payload lies in one piece, and the pseudo-header sums
 * that start it. The mbuf pipeline starts its kernel over the chain with the same sums (in_cksum
 * and in6_cksum of the BSDs). Sums are plain numbers below 2^53, folded once at the end.
 */

import { read16 } from './headers.ts';

/**
 * Sum of the pseudo-header of IPv4 or IPv6: addresses of the network header at `offset`, protocol,
 * and `length` bytes of transport header and payload. Feed it to the checksum as initial value.
 */
export function pseudoHeaderSum(
  version: number,
  bytes: Uint8Array,
  offset: number,
  protocol: number,
  length: number,
): number {
  const first = offset + (version === 4 ? 12 : 8);
  const addresses = version === 4 ? 8 : 32;
  // The length is a 32-bit field in IPv6, which sums as its two halves.
  let sum = protocol + (length & 0xffff) + (length >>> 16);
  for (let at = first; at < first + addresses; at += 2) sum += read16(bytes, at);
  return sum;
}

/** Adds `length` bytes as 16-bit words in network order; an odd last byte is a word's high half. */
export function addToSum(sum: number, bytes: Uint8Array, offset: number, length: number): number {
  const end = offset + length - (length & 1);
  let total = sum;
  for (let at = offset; at < end; at += 2) total += read16(bytes, at);
  return (length & 1) === 0 ? total : total + (bytes[end]! << 8);
}

/** Folds a sum to 16 bits in ones' complement. */
export function foldSum(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  return folded;
}

/** Whether a sum over data that includes its checksum field is right: all ones. */
export function sumIsGood(sum: number): boolean {
  return foldSum(sum) === 0xffff;
}
