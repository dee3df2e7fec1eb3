/**
 * Builds network packets for synthetic captures: IPv4 and IPv6 with their variations (options,
 * extension headers, fragments in any order), around a transport with a right or wrong checksum.
 */

import type { Random } from './random.ts';

/** What follows a link header. */
export interface NetworkPacket {
  kind: 'ipv4' | 'ipv6' | 'arp' | 'other';
  bytes: Buffer;
}

/** Two ends that talk: addresses in 4 or 16 bytes. */
export interface Ends {
  version: 4 | 6;
  source: Buffer;
  destination: Buffer;
}

const addresses = {
  4: ['0a4d0001', '0a4d0002', 'c0a80163', 'ffffffff'],
  6: [
    'fd000077000000000000000000000001',
    'fd000077000000000000000000000002',
    '20010db8000000010000000000000001',
    '20010db8000000010001000000010000',
    'fe800000000000000a0b0c0d0e0f1011',
    '00000000000000000000ffffc0000201',
    '00000000000000000000000000000001',
    '20010db8000000000001000000000000',
  ],
} as const;

export function randomEnds(random: Random): Ends {
  const version = random.pick([4, 6] as const);
  const pool: readonly string[] = addresses[version];
  const source = Buffer.from(random.pick(pool), 'hex');
  return { version, source, destination: Buffer.from(random.pick(pool), 'hex') };
}

export function reversed({ version, source, destination }: Ends): Ends {
  return { version, source: destination, destination: source };
}

export function internetChecksum(...parts: Buffer[]): number {
  const all = Buffer.concat(parts);
  let sum = 0;
  for (let at = 0; at < all.length; at++) sum += at % 2 === 0 ? all[at]! * 256 : all[at]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65536);
  return ~sum & 0xffff;
}

function pseudoHeader({ version, source, destination }: Ends, protocol: number, length: number) {
  const tail = Buffer.alloc(version === 4 ? 4 : 8);
  if (version === 4) {
    tail[1] = protocol;
    tail.writeUInt16BE(length, 2);
  } else {
    tail.writeUInt32BE(length, 0);
    tail[7] = protocol;
  }
  return Buffer.concat([source, destination, tail]);
}

/** Writes the checksum at `at`, or a wrong one; UDP's 0 becomes ffff. */
function seal(random: Random, ends: Ends, protocol: number, data: Buffer, at: number): Buffer {
  const pseudo = protocol === 1 ? Buffer.alloc(0) : pseudoHeader(ends, protocol, data.length);
  let checksum = internetChecksum(pseudo, data);
  if (protocol === 17 && checksum === 0) checksum = 0xffff;
  if (random.oneIn(8)) checksum = (checksum + random.between(1, 0xfffd)) & 0xffff;
  data.writeUInt16BE(checksum, at);
  return data;
}

export interface TcpFields {
  sourcePort: number;
  destinationPort: number;
  sequence: number;
  flags: number;
  payload: Buffer;
}

export function tcp(random: Random, ends: Ends, fields: TcpFields): NetworkPacket[] {
  const options = Buffer.alloc(4 * random.pick([0, 0, 3, 5, 10]), 1);
  const header = Buffer.alloc(20);
  header.writeUInt16BE(fields.sourcePort, 0);
  header.writeUInt16BE(fields.destinationPort, 2);
  header.writeUInt32BE(fields.sequence >>> 0, 4);
  header.writeUInt32BE(random.below(2 ** 32), 8);
  header[12] = ((20 + options.length) / 4) << 4;
  header[13] = fields.flags;
  const data = Buffer.concat([header, options, fields.payload]);
  return internet(random, ends, 6, seal(random, ends, 6, data, 16));
}

export function udp(random: Random, ends: Ends): NetworkPacket[] {
  const payload = random.bytes(random.below(random.pick([3, 60, 1500, 5000])));
  const header = Buffer.alloc(8);
  header.writeUInt16BE(random.between(1, 65535), 0);
  header.writeUInt16BE(random.pick([53, 67, 443]), 2);
  header.writeUInt16BE(8 + payload.length, 4);
  const data = seal(random, ends, 17, Buffer.concat([header, payload]), 6);
  if (random.oneIn(6)) data.writeUInt16BE(0, 6);
  // Bytes that IP carries behind what UDP's own length covers.
  const behind = random.oneIn(8) ? random.bytes(random.between(1, 9)) : Buffer.alloc(0);
  if (random.oneIn(12)) data.writeUInt16BE(random.below(65536), 4);
  return internet(random, ends, 17, Buffer.concat([data, behind]));
}

/** Echo requests, and errors that quote a whole packet (its own protocols count for nothing). */
export function icmp(random: Random, ends: Ends): NetworkPacket[] {
  const protocol = ends.version === 4 ? 1 : 58;
  const quoted = random.oneIn(2) ? udp(random, ends)[0]?.bytes : undefined;
  const payload = quoted ?? random.bytes(random.below(random.pick([1, 100, 4000])));
  const header = Buffer.alloc(8);
  header[0] = quoted === undefined ? (protocol === 1 ? 8 : 128) : protocol === 1 ? 3 : 1;
  const data = Buffer.concat([header, payload.subarray(0, quoted === undefined ? 65000 : 1200)]);
  return internet(random, ends, protocol, seal(random, ends, protocol, data, 2));
}

/** Protocols without a count of their own: IGMP, OSPF, ESP, no next header, SCTP. */
export function otherTransport(random: Random, ends: Ends): NetworkPacket[] {
  const protocol = random.pick([2, 89, 50, 59, 132]);
  return internet(random, ends, protocol, random.bytes(random.below(200)));
}

/** Frames that carry no IP. */
export function noIp(random: Random): NetworkPacket[] {
  const kind = random.pick(['arp', 'other'] as const);
  return [{ kind, bytes: random.bytes(kind === 'arp' ? 28 : random.below(200)) }];
}

/** Puts IP around a transport: one packet, or fragments with repetition, disorder and loss. */
function internet(random: Random, ends: Ends, protocol: number, data: Buffer): NetworkPacket[] {
  const build = ends.version === 4 ? ipv4 : ipv6;
  const mustFragment = data.length > 60000;
  if (!mustFragment && !random.oneIn(data.length > 2000 ? 2 : 6)) {
    return [build(random, ends, protocol, data, null)];
  }
  const identification = random.pick([1, 2, 0xfffe, 0xffff]);
  let whole = data;
  let first = protocol;
  if (ends.version === 6 && random.oneIn(3)) {
    whole = Buffer.concat([extensionHeader(random, protocol), data]);
    first = 60;
  }
  const pieces: Fragment[] = [];
  const step = Math.max(8, 8 * random.between(1, random.pick([4, 40, 185])));
  for (let offset = 0; offset === 0 || offset < whole.length; offset += step) {
    pieces.push({ offset, end: Math.min(offset + step, whole.length), identification });
  }
  let sent = pieces;
  if (random.oneIn(2)) sent = random.shuffle(sent);
  if (random.oneIn(3)) sent = random.shuffle([...sent, random.pick(pieces)]);
  if (random.oneIn(3)) {
    // A piece of another size over the same bytes, as a path with two MTUs makes them.
    const offset = random.pick(pieces).offset;
    const end = Math.min(offset + 8 * random.between(1, 100), whole.length);
    sent = [...sent];
    sent.splice(random.below(sent.length + 1), 0, { offset, end, identification });
  }
  if (random.oneIn(5)) sent = sent.filter(() => !random.oneIn(sent.length));
  return sent.map((piece) => build(random, ends, first, whole, piece));
}

interface Fragment {
  offset: number;
  end: number;
  identification: number;
}

function ipv4(
  random: Random,
  ends: Ends,
  protocol: number,
  whole: Buffer,
  fragment: Fragment | null,
): NetworkPacket {
  const options = Buffer.alloc(random.oneIn(6) ? 4 * random.between(1, 10) : 0, 1);
  const data = fragment === null ? whole : whole.subarray(fragment.offset, fragment.end);
  const header = Buffer.concat([Buffer.alloc(20), options]);
  header[0] = 0x40 + header.length / 4;
  header.writeUInt16BE(header.length + data.length, 2);
  header.writeUInt16BE(fragment?.identification ?? random.below(65536), 4);
  if (fragment !== null) {
    const more = fragment.end < whole.length ? 0x2000 : 0;
    header.writeUInt16BE(more + fragment.offset / 8, 6);
  } else if (random.oneIn(2)) {
    header.writeUInt16BE(random.pick([0x4000, 0x8000]), 6);
  }
  header[8] = 64;
  header[9] = protocol;
  ends.source.copy(header, 12);
  ends.destination.copy(header, 16);
  const checksum = internetChecksum(header);
  header.writeUInt16BE(random.oneIn(20) ? checksum ^ random.between(1, 0xfffe) : checksum, 10);
  return { kind: 'ipv4', bytes: Buffer.concat([header, data]) };
}

function ipv6(
  random: Random,
  ends: Ends,
  protocol: number,
  whole: Buffer,
  fragment: Fragment | null,
): NetworkPacket {
  let data = fragment === null ? whole : whole.subarray(fragment.offset, fragment.end);
  let next = protocol;
  if (fragment !== null || random.oneIn(8)) {
    const header = Buffer.alloc(8);
    header[0] = next;
    const offset = fragment?.offset ?? 0;
    const more = fragment !== null && fragment.end < whole.length ? 1 : 0;
    header.writeUInt16BE(offset + more, 2);
    header.writeUInt32BE(fragment?.identification ?? random.pick([1, 2]), 4);
    data = Buffer.concat([header, data]);
    next = 44;
  }
  for (let count = random.pick([0, 0, 1, 2]); count > 0; count--) {
    data = Buffer.concat([extensionHeader(random, next), data]);
    next = count === 1 ? random.pick([0, 43, 60]) : random.pick([43, 60]);
  }
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(data.length, 4);
  header[6] = next;
  header[7] = 64;
  ends.source.copy(header, 8);
  ends.destination.copy(header, 24);
  return { kind: 'ipv6', bytes: Buffer.concat([header, data]) };
}

/** A hop-by-hop, routing or destination options header: all three begin alike. */
function extensionHeader(random: Random, next: number): Buffer {
  const units = random.pick([0, 0, 1, 20]);
  const header = Buffer.alloc(8 + 8 * units);
  header[0] = next;
  header[1] = units;
  return header;
}
