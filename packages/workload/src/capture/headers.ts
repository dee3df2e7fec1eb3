/**
 * IPv4 and IPv6 headers with the extension headers behind them, read in place from
 * `(bytes, offset)`.
 *
 * `parseIp` fills a reusable `IpPacket`, so no object is made per frame. All its positions are
 * relative to the network header. It may be given fewer contiguous bytes than the packet has:
 * a positive result is the number of contiguous bytes (from the network header) it needs next;
 * pull them up and call again. It never asks for more than `captured`.
 */

/** IANA protocol numbers that the pipeline knows. */
export const IpProtocol = {
  hopByHop: 0,
  icmp: 1,
  tcp: 6,
  udp: 17,
  routing: 43,
  fragment: 44,
  icmpv6: 58,
  destinationOptions: 60,
} as const;

/** Results of `parseIp` and `walkExtensionHeaders` that ask for no bytes. */
export const PARSED = 0;
/** The header contradicts itself: frame of its IP version, but not to be parsed further. */
export const MALFORMED = -1;
/** The frame was captured too short to hold the header. */
export const CUT_OFF = -2;

/** One parsed IP header with the extension headers behind it. Make one, use it for every frame. */
export interface IpPacket {
  /** 4 or 6. */
  version: number;
  /** Bytes of the IP header itself: what the IPv4 header checksum covers. */
  ipHeaderLength: number;
  /** Where the packet ends, as the IP header states it; bytes behind are padding. */
  end: number;
  /** Where the transport header, or a fragment's piece, begins. */
  payload: number;
  /** Protocol of what stands at `payload`; for a fragment that of the datagram's first header. */
  protocol: number;
  /** 1 for every frame that counts as a fragment, whole packets with a fragment header included. */
  fragment: number;
  /** 1 where the piece must be reassembled: not offset 0 together with "no more fragments". */
  partial: number;
  fragmentOffset: number;
  moreFragments: number;
  identification: number;
}

/** An IpPacket for `parseIp` to fill. */
export function createIpPacket(): IpPacket {
  return {
    version: 0,
    ipHeaderLength: 0,
    end: 0,
    payload: 0,
    protocol: 0,
    fragment: 0,
    partial: 0,
    fragmentOffset: 0,
    moreFragments: 0,
    identification: 0,
  };
}

/**
 * Parses the network header at `offset`, down to the transport header or the fragment's piece.
 * `version` is 4 or 6 as the link header names it; `contiguous` bytes may be read at `offset`, and
 * `captured` bytes of the frame were captured from there on. Returns PARSED, MALFORMED, CUT_OFF,
 * or the number of contiguous bytes needed. A total length of 0 (segmentation offload, jumbograms)
 * is taken as "to the end of the frame".
 */
export function parseIp(
  version: number,
  bytes: Uint8Array,
  offset: number,
  contiguous: number,
  captured: number,
  packet: IpPacket,
): number {
  return version === 4
    ? parseIpv4(bytes, offset, contiguous, captured, packet)
    : parseIpv6(bytes, offset, contiguous, captured, packet);
}

function parseIpv4(
  bytes: Uint8Array,
  offset: number,
  contiguous: number,
  captured: number,
  packet: IpPacket,
): number {
  if (captured < 20) return CUT_OFF;
  if (contiguous < 20) return 20;
  const headerLength = (bytes[offset]! & 15) * 4;
  const totalLength = read16(bytes, offset + 2);
  if (bytes[offset]! >> 4 !== 4 || headerLength < 20) return MALFORMED;
  if (totalLength !== 0 && totalLength < headerLength) return MALFORMED;
  if (captured < headerLength) return CUT_OFF;
  // The whole header, for its checksum.
  if (contiguous < headerLength) return headerLength;
  const fragmentField = read16(bytes, offset + 6);
  packet.version = 4;
  packet.ipHeaderLength = headerLength;
  packet.end = totalLength === 0 ? captured : totalLength;
  packet.payload = headerLength;
  packet.protocol = bytes[offset + 9]!;
  packet.identification = read16(bytes, offset + 4);
  packet.fragmentOffset = (fragmentField & 0x1fff) * 8;
  packet.moreFragments = (fragmentField >> 13) & 1;
  packet.fragment = packet.partial = (fragmentField & 0x3fff) === 0 ? 0 : 1;
  return PARSED;
}

function parseIpv6(
  bytes: Uint8Array,
  offset: number,
  contiguous: number,
  captured: number,
  packet: IpPacket,
): number {
  if (captured < 40) return CUT_OFF;
  if (contiguous < 40) return 40;
  if (bytes[offset]! >> 4 !== 6) return MALFORMED;
  const payloadLength = read16(bytes, offset + 4);
  const nextHeader = bytes[offset + 6]!;
  packet.version = 6;
  packet.ipHeaderLength = 40;
  packet.end =
    payloadLength === 0 && nextHeader === IpProtocol.hopByHop ? captured : 40 + payloadLength;
  packet.payload = 40;
  packet.protocol = nextHeader;
  packet.fragment = packet.partial = 0;
  packet.fragmentOffset = packet.moreFragments = packet.identification = 0;
  return walkExtensionHeaders(bytes, offset, contiguous, captured, packet);
}

/**
 * Passes over the extension headers that begin at `packet.payload` with type `packet.protocol`,
 * and updates both. Stops at the transport, or behind a fragment header with `partial` set. Also
 * for a reassembled IPv6 datagram, whose extension headers follow in its first bytes: set
 * `payload` to 0, `end` to its length, `protocol` to that of the first fragment, clear `partial`.
 * Returns as parseIp does, and may be called again with more bytes: it goes on where it was, but
 * parseIp as a whole starts afresh, which comes to the same.
 */
export function walkExtensionHeaders(
  bytes: Uint8Array,
  offset: number,
  contiguous: number,
  captured: number,
  packet: IpPacket,
): number {
  while (packet.partial === 0) {
    const type = packet.protocol;
    if (
      type !== IpProtocol.hopByHop &&
      type !== IpProtocol.destinationOptions &&
      type !== IpProtocol.routing &&
      type !== IpProtocol.fragment
    ) {
      break;
    }
    const at = packet.payload;
    if (at + 8 > packet.end) return MALFORMED;
    if (at + 8 > captured) return CUT_OFF;
    if (at + 8 > contiguous) return at + 8;
    const header = offset + at;
    const length = type === IpProtocol.fragment ? 8 : (bytes[header + 1]! + 1) * 8;
    if (at + length > packet.end) return MALFORMED;
    packet.payload = at + length;
    packet.protocol = bytes[header]!;
    if (type === IpProtocol.fragment) {
      const field = read16(bytes, header + 2);
      packet.fragment = 1;
      packet.fragmentOffset = field & 0xfff8;
      packet.moreFragments = field & 1;
      packet.partial = (field & 0xfff9) === 0 ? 0 : 1;
      packet.identification = read32(bytes, header + 4);
    }
  }
  return PARSED;
}

/** Two bytes in network order. */
export function read16(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 8) | bytes[offset + 1]!;
}

/** Four bytes in network order, 0 to 2^32 - 1. */
export function read32(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset]! << 24) |
      (bytes[offset + 1]! << 16) |
      (bytes[offset + 2]! << 8) |
      bytes[offset + 3]!) >>>
    0
  );
}
