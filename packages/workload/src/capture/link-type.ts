/**
 * Link types: their names in facts, and the way from a frame's first byte to its network header.
 *
 * `decodeLink` reads bytes in place (arena or file buffer) and returns one packed integer, so the
 * pipeline allocates nothing per frame. It may be given less than the frame: where the contiguous
 * bytes end before the answer is known it returns `more`, and the caller pulls up and retries.
 */

/** What a frame carries behind its link header and VLAN tags. */
export const NetworkProtocol = { other: 0, ipv4: 1, ipv6: 2, arp: 3, more: 4 } as const;

const PROTOCOL_BITS = 3;
const PROTOCOL_MASK = (1 << PROTOCOL_BITS) - 1;

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_IPV6 = 0x86dd;

const LINKTYPE_NULL = 0;
const LINKTYPE_ETHERNET = 1;
const LINKTYPE_LOOP = 108;
const LINKTYPE_LINUX_SLL = 113;
const LINKTYPE_IPV4 = 228;
const LINKTYPE_IPV6 = 229;
const LINKTYPE_LINUX_SLL2 = 276;

const names: ReadonlyMap<number, string> = new Map([
  [LINKTYPE_NULL, 'NULL/Loopback'],
  [LINKTYPE_ETHERNET, 'Ethernet'],
  [12, 'Raw IP'],
  [14, 'Raw IP'],
  [101, 'Raw IP'],
  [LINKTYPE_LOOP, 'OpenBSD loopback'],
  [LINKTYPE_LINUX_SLL, 'Linux cooked-mode capture v1'],
  [LINKTYPE_IPV4, 'Raw IPv4'],
  [LINKTYPE_IPV6, 'Raw IPv6'],
  [LINKTYPE_LINUX_SLL2, 'Linux cooked-mode capture v2'],
]);

/** The name of a link type in facts; those that `decodeLink` does not know have one as well. */
export function linkTypeName(linkType: number): string {
  return names.get(linkType) ?? `Link type ${linkType}`;
}

/** The `link` fact: each name once, in order of first appearance. */
export function linkNames(linkTypes: Iterable<number>): string {
  return [...new Set(Array.from(linkTypes, linkTypeName))].join(', ');
}

/** The NetworkProtocol of a result of `decodeLink`. */
export function linkProtocol(decoded: number): number {
  return decoded & PROTOCOL_MASK;
}

/**
 * The number of a result of `decodeLink`: bytes from the frame's start to the network header; for
 * `more`, the contiguous bytes that the next step needs (a frame that is shorter is cut off).
 */
export function linkHeaderLength(decoded: number): number {
  return decoded >>> PROTOCOL_BITS;
}

/**
 * Decodes the link header of the frame at `offset`, of which `length` bytes are contiguous.
 * Returns NetworkProtocol and length in one integer: see linkProtocol and linkHeaderLength.
 * Link types without an entry in the table, LLC and unknown EtherTypes give `other`.
 */
export function decodeLink(
  linkType: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
): number {
  switch (linkType) {
    case LINKTYPE_ETHERNET:
      return decodeEtherType(bytes, offset, length, 12, 14);
    case LINKTYPE_LINUX_SLL:
      return decodeEtherType(bytes, offset, length, 14, 16);
    case LINKTYPE_LINUX_SLL2:
      return decodeEtherType(bytes, offset, length, 0, 20);
    case LINKTYPE_NULL:
    case LINKTYPE_LOOP:
      return decodeAddressFamily(bytes, offset, length, linkType === LINKTYPE_LOOP);
    case LINKTYPE_IPV4:
      return NetworkProtocol.ipv4;
    case LINKTYPE_IPV6:
      return NetworkProtocol.ipv6;
    case 12:
    case 14:
    case 101:
      return decodeIpVersion(bytes, offset, length);
    default:
      return NetworkProtocol.other;
  }
}

/** `typeAt` is where the EtherType stands; `headerLength` where what it names begins. */
function decodeEtherType(
  bytes: Uint8Array,
  offset: number,
  length: number,
  typeAt: number,
  headerLength: number,
): number {
  let at = typeAt;
  let header = headerLength;
  for (;;) {
    // Cooked v2 has its protocol first: the header must be there all the same.
    if (length < header) return (header << PROTOCOL_BITS) | NetworkProtocol.more;
    const etherType = (bytes[offset + at]! << 8) | bytes[offset + at + 1]!;
    switch (etherType) {
      case ETHERTYPE_IPV4:
        return (header << PROTOCOL_BITS) | NetworkProtocol.ipv4;
      case ETHERTYPE_IPV6:
        return (header << PROTOCOL_BITS) | NetworkProtocol.ipv6;
      case ETHERTYPE_ARP:
        return (header << PROTOCOL_BITS) | NetworkProtocol.arp;
      case 0x8100:
      case 0x88a8:
      case 0x9100:
        // A VLAN tag is two bytes of priority and number, then the next EtherType.
        at = header + 2;
        header += 4;
        break;
      default:
        return (header << PROTOCOL_BITS) | NetworkProtocol.other;
    }
  }
}

/** BSD loopback: the family's value tells which byte order the recording machine had. */
function decodeAddressFamily(
  bytes: Uint8Array,
  offset: number,
  length: number,
  bigEndian: boolean,
): number {
  if (length < 4) return (4 << PROTOCOL_BITS) | NetworkProtocol.more;
  const big =
    (bytes[offset]! << 24) |
    (bytes[offset + 1]! << 16) |
    (bytes[offset + 2]! << 8) |
    bytes[offset + 3]!;
  const inBigEndian = familyProtocol(big);
  const protocol =
    inBigEndian !== NetworkProtocol.other || bigEndian
      ? inBigEndian
      : familyProtocol(
          (bytes[offset + 3]! << 24) |
            (bytes[offset + 2]! << 16) |
            (bytes[offset + 1]! << 8) |
            bytes[offset]!,
        );
  return (4 << PROTOCOL_BITS) | protocol;
}

function familyProtocol(family: number): number {
  if (family === 2) return NetworkProtocol.ipv4;
  if (family === 24 || family === 28 || family === 30) return NetworkProtocol.ipv6;
  return NetworkProtocol.other;
}

function decodeIpVersion(bytes: Uint8Array, offset: number, length: number): number {
  if (length < 1) return (1 << PROTOCOL_BITS) | NetworkProtocol.more;
  const version = bytes[offset]! >> 4;
  if (version === 4) return NetworkProtocol.ipv4;
  return version === 6 ? NetworkProtocol.ipv6 : NetworkProtocol.other;
}
