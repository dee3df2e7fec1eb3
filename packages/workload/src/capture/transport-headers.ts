/**
 * Fields of TCP, UDP, ICMP and ICMPv6 headers, read in place. `offset` is that of the transport
 * header; the caller has made the header's fixed part contiguous and checked that it is there.
 */

import { read16, read32 } from './headers.ts';

/** Bytes of the transport headers' fixed parts. */
export const TCP_HEADER_BYTES = 20;
export const UDP_HEADER_BYTES = 8;
export const ICMP_HEADER_BYTES = 4;

export const TcpFlag = { fin: 1, syn: 2, rst: 4, push: 8, ack: 16 } as const;

/** TCP and UDP alike; `offset` is that of the transport header. */
export function sourcePort(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset);
}

export function destinationPort(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset + 2);
}

/** Sequence number, 0 to 2^32 - 1. */
export function tcpSequence(bytes: Uint8Array, offset: number): number {
  return read32(bytes, offset + 4);
}

export function tcpAcknowledgement(bytes: Uint8Array, offset: number): number {
  return read32(bytes, offset + 8);
}

/** Bytes from the TCP header to the payload, 0 to 60; below 20 the header is malformed. */
export function tcpDataOffset(bytes: Uint8Array, offset: number): number {
  return (bytes[offset + 12]! >> 4) * 4;
}

/** The TcpFlag bits. */
export function tcpFlags(bytes: Uint8Array, offset: number): number {
  return bytes[offset + 13]!;
}

/** UDP header and payload in bytes, as the header states it. */
export function udpLength(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset + 4);
}

/** The UDP checksum field; 0 means that the sender computed none. */
export function udpChecksum(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset + 6);
}

/** ICMP and ICMPv6 type. */
export function icmpType(bytes: Uint8Array, offset: number): number {
  return bytes[offset]!;
}

export function icmpCode(bytes: Uint8Array, offset: number): number {
  return bytes[offset + 1]!;
}
