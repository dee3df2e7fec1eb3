/**
 * The oracle: facts of a capture by the simplest code that is right. Bytes are copied, datagrams
 * and streams are kept whole, a stream is put together byte by byte at the end. It shares nothing
 * with src/capture/ but the names of link types' facts, not even the file reader. It expects a
 * well-formed file; what the captures' README leaves open it decides as the pipeline does.
 */

import { createHash } from 'node:crypto';
import { isIPv6 } from 'node:net';

interface Frame {
  linkType: number;
  data: Buffer;
}

interface Segment {
  source: string;
  sequence: number;
  syn: boolean;
  payload: Buffer;
}

interface ReferenceStream {
  client: string;
  server: string;
  segments: Segment[];
}

interface Fragment {
  offset: number;
  data: Buffer;
  last: boolean;
  protocol: number;
}

const linkNames: Record<number, string> = {
  0: 'NULL/Loopback',
  1: 'Ethernet',
  12: 'Raw IP',
  14: 'Raw IP',
  101: 'Raw IP',
  108: 'OpenBSD loopback',
  113: 'Linux cooked-mode capture v1',
  228: 'Raw IPv4',
  229: 'Raw IPv6',
  276: 'Linux cooked-mode capture v2',
};

const transportNames: Record<number, string> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6' };

/** The facts of the capture in `bytes`. */
export function referenceFacts(file: string, bytes: Uint8Array): Record<string, unknown> {
  const buffer = Buffer.from(bytes);
  const { frames, interfaces } =
    buffer.readUInt32BE(0) === 0x0a0d0d0a ? readPcapng(buffer) : readPcap(buffer);
  const types = frames.length > 0 ? frames.map((frame) => frame.linkType) : interfaces;
  const reference = new ReferencePipeline();
  for (const frame of frames) reference.frame(frame);
  return {
    file,
    link: [...new Set(types.map((type) => linkNames[type] ?? `Link type ${type}`))].join(', '),
    ...reference.counts,
    'ipv4.reassembled.lengths': reference.lengths[4],
    'ipv6.reassembled.lengths': reference.lengths[6],
    'tcp.streams': reference.streams.map(describeStream),
  };
}

class ReferencePipeline {
  readonly counts: Record<string, number> = { frames: 0, bytes: 0, ip: 0, ipv6: 0, arp: 0 };
  readonly lengths: Record<4 | 6, number[]> = { 4: [], 6: [] };
  readonly streams: ReferenceStream[] = [];
  readonly #fragments = new Map<string, Fragment[]>();

  constructor() {
    for (const name of Object.values(transportNames)) this.counts[name] = 0;
    for (const name of ['ip', ...Object.values(transportNames)]) {
      this.counts[`${name}.checksum.good`] = 0;
      this.counts[`${name}.checksum.bad`] = 0;
    }
    this.counts['ipv4.fragments'] = 0;
    this.counts['ipv6.fragments'] = 0;
  }

  frame(frame: Frame): void {
    this.#count('frames');
    this.counts['bytes']! += frame.data.length;
    const [protocol, header] = linkLayer(frame);
    const packet = frame.data.subarray(Math.min(header, frame.data.length));
    if (protocol === 'arp') this.#count('arp');
    if (protocol === 'ipv4') this.#ipv4(packet);
    if (protocol === 'ipv6') this.#ipv6(packet);
  }

  #ipv4(packet: Buffer): void {
    this.#count('ip');
    if (packet.length < 20 || packet[0]! >> 4 !== 4) return;
    const headerLength = (packet[0]! & 15) * 4;
    const total = packet.readUInt16BE(2) || packet.length;
    if (headerLength < 20 || total < headerLength || packet.length < headerLength) return;
    this.#checksum('ip', packet.subarray(0, headerLength));
    const fragmentField = packet.readUInt16BE(6);
    const whole = packet.length >= total;
    const data = packet.subarray(headerLength, total);
    const addresses = packet.subarray(12, 20);
    const protocol = packet[9]!;
    if ((fragmentField & 0x3fff) === 0) {
      this.#transport(4, protocol, addresses, data, whole);
      return;
    }
    this.#count('ipv4.fragments');
    if (!whole) return;
    const key = `4 ${addresses.toString('hex')} ${packet.readUInt16BE(4)} ${protocol}`;
    const offset = (fragmentField & 0x1fff) * 8;
    const last = (fragmentField & 0x2000) === 0;
    const datagram = this.#reassemble(key, { offset, data, last, protocol });
    if (datagram === null) return;
    this.lengths[4].push(datagram.data.length);
    this.#transport(4, protocol, addresses, datagram.data, true);
  }

  #ipv6(packet: Buffer): void {
    this.#count('ipv6');
    if (packet.length < 40 || packet[0]! >> 4 !== 6) return;
    const stated = packet.readUInt16BE(4);
    const total = stated === 0 && packet[6] === 0 ? packet.length : 40 + stated;
    const whole = packet.length >= total;
    const rest = packet.subarray(40, total);
    this.#ipv6Headers(packet.subarray(8, 40), packet[6]!, rest, total - 40, whole, false);
  }

  /** `length` is what `data` would have been had it been captured whole. */
  #ipv6Headers(
    addresses: Buffer,
    first: number,
    data: Buffer,
    length: number,
    whole: boolean,
    reassembled: boolean,
  ): void {
    let next = first;
    let at = 0;
    let counted = reassembled;
    while ([0, 43, 44, 60].includes(next)) {
      if (at + 8 > length || at + 8 > data.length) return;
      const size = next === 44 ? 8 : (data[at + 1]! + 1) * 8;
      if (at + size > length) return;
      if (next === 44) {
        if (!counted) this.#count('ipv6.fragments');
        counted = true;
        const field = data.readUInt16BE(at + 2);
        const offset = field & 0xfff8;
        const last = (field & 1) === 0;
        if (offset !== 0 || !last) {
          if (reassembled || !whole) return;
          const key = `6 ${addresses.toString('hex')} ${data.readUInt32BE(at + 4)}`;
          const piece = { offset, data: data.subarray(at + 8), last, protocol: data[at]! };
          const datagram = this.#reassemble(key, piece);
          if (datagram === null) return;
          const complete = datagram.data;
          this.lengths[6].push(complete.length);
          this.#ipv6Headers(addresses, datagram.protocol, complete, complete.length, true, true);
          return;
        }
      }
      next = data[at]!;
      at += size;
    }
    this.#transport(6, next, addresses, data.subarray(at), whole);
  }

  #reassemble(key: string, piece: Fragment): { data: Buffer; protocol: number } | null {
    if (piece.offset + piece.data.length > 65535) return null;
    const pieces = this.#fragments.get(key) ?? [];
    this.#fragments.set(key, pieces);
    pieces.push(piece);
    const last = pieces.find((candidate) => candidate.last);
    const first = pieces.find((candidate) => candidate.offset === 0);
    if (last === undefined || first === undefined) return null;
    const data = Buffer.alloc(last.offset + last.data.length);
    const filled = new Uint8Array(data.length);
    for (const { offset, data: bytes } of pieces) {
      for (let index = 0; index < bytes.length && offset + index < data.length; index++) {
        if (filled[offset + index] === 1) continue;
        filled[offset + index] = 1;
        data[offset + index] = bytes[index]!;
      }
    }
    if (filled.includes(0)) return null;
    this.#fragments.delete(key);
    return { data, protocol: first.protocol };
  }

  #transport(
    version: 4 | 6,
    protocol: number,
    addresses: Buffer,
    data: Buffer,
    whole: boolean,
  ): void {
    const name = transportNames[protocol];
    if (name === undefined) return;
    this.#count(name);
    const pseudo = (length: number) => {
      const tail = Buffer.alloc(8);
      tail.writeUInt32BE(length, 0);
      tail.writeUInt32BE(protocol, 4);
      return Buffer.concat([addresses, tail]);
    };
    if (whole && name === 'icmp' && data.length >= 4) this.#checksum(name, data);
    if (whole && name === 'icmpv6' && data.length >= 4) {
      this.#checksum(name, Buffer.concat([pseudo(data.length), data]));
    }
    if (whole && name === 'udp' && data.length >= 8 && data.readUInt16BE(6) !== 0) {
      const length = data.readUInt16BE(4);
      if (length >= 8 && length <= data.length) {
        this.#checksum(name, Buffer.concat([pseudo(length), data.subarray(0, length)]));
      }
    }
    if (name !== 'tcp' || data.length < 20) return;
    if (whole) this.#checksum(name, Buffer.concat([pseudo(data.length), data]));
    const dataOffset = (data[12]! >> 4) * 4;
    if (dataOffset < 20 || dataOffset > data.length) return;
    const half = addresses.length / 2;
    const source = endOf(version, addresses.subarray(0, half), data.readUInt16BE(0));
    const destination = endOf(version, addresses.subarray(half), data.readUInt16BE(2));
    this.#segment(source, destination, data[13]!, data.readUInt32BE(4), data.subarray(dataOffset));
  }

  #segment(source: string, destination: string, flags: number, sequence: number, payload: Buffer) {
    let stream = this.streams.findLast(
      ({ client, server }) =>
        (client === source && server === destination) ||
        (client === destination && server === source),
    );
    const syn = (flags & 2) !== 0;
    if (stream !== undefined && syn && (flags & 16) === 0) {
      const first = stream.segments.find((segment) => segment.source === source);
      if (first !== undefined && first.sequence !== sequence) stream = undefined;
    }
    if (stream === undefined) {
      stream = { client: source, server: destination, segments: [] };
      this.streams.push(stream);
    }
    stream.segments.push({ source, sequence, syn, payload: Buffer.from(payload) });
  }

  /** `data` includes the checksum field; a sum of all ones is good. An odd byte is a high half. */
  #checksum(name: string, data: Buffer): void {
    let sum = 0;
    for (let at = 0; at < data.length; at += 2) {
      sum += data[at]! * 256 + (data[at + 1] ?? 0);
      if (sum > 0xffff) sum -= 0xffff;
    }
    this.#count(`${name}.checksum.${sum === 0xffff ? 'good' : 'bad'}`);
  }

  #count(name: string): void {
    this.counts[name] = (this.counts[name] ?? 0) + 1;
  }
}

function describeStream(stream: ReferenceStream, index: number): object {
  const { client, server } = stream;
  const sent = (end: string) =>
    payloadOf(stream.segments.filter((segment) => segment.source === end));
  const fromClient = sent(client);
  const fromServer = client === server ? Buffer.alloc(0) : sent(server);
  return {
    stream: index,
    client,
    server,
    client_bytes: fromClient.length,
    client_sha256: createHash('sha256').update(fromClient).digest('hex'),
    server_bytes: fromServer.length,
    server_sha256: createHash('sha256').update(fromServer).digest('hex'),
  };
}

/** One direction's bytes by position, the first arrival of each; streams here are below 2^31. */
function payloadOf(segments: Segment[]): Buffer {
  const first = segments[0];
  if (first === undefined) return Buffer.alloc(0);
  const base = first.sequence + (first.syn ? 1 : 0);
  const bytes = new Map<number, number>();
  for (const { sequence, syn, payload } of segments) {
    const start = (sequence + (syn ? 1 : 0) - base) | 0;
    for (let index = 0; index < payload.length; index++) {
      if (!bytes.has(start + index)) bytes.set(start + index, payload[index]!);
    }
  }
  const inOrder: number[] = [];
  for (let byte = bytes.get(0); byte !== undefined; byte = bytes.get(inOrder.length)) {
    inOrder.push(byte);
  }
  return Buffer.from(inOrder);
}

function linkLayer({ linkType, data }: Frame): [protocol: string, headerLength: number] {
  const byType = (type: number, header: number): [string, number] => {
    if (data.length < header) return ['other', 0];
    if (type === 0x8100 || type === 0x88a8 || type === 0x9100) {
      if (data.length < header + 4) return ['other', 0];
      return byType(data.readUInt16BE(header + 2), header + 4);
    }
    const names: Record<number, string> = { 0x0800: 'ipv4', 0x86dd: 'ipv6', 0x0806: 'arp' };
    return [names[type] ?? 'other', header];
  };
  const byFamily = (family: number): string =>
    family === 2 ? 'ipv4' : [24, 28, 30].includes(family) ? 'ipv6' : 'other';
  switch (linkType) {
    case 1:
      return data.length < 14 ? ['other', 0] : byType(data.readUInt16BE(12), 14);
    case 113:
      return data.length < 16 ? ['other', 0] : byType(data.readUInt16BE(14), 16);
    case 276:
      return data.length < 20 ? ['other', 0] : byType(data.readUInt16BE(0), 20);
    case 12:
    case 14:
    case 101:
      return [{ 4: 'ipv4', 6: 'ipv6' }[data.length === 0 ? 0 : data[0]! >> 4] ?? 'other', 0];
    case 228:
      return ['ipv4', 0];
    case 229:
      return ['ipv6', 0];
    case 0:
    case 108: {
      if (data.length < 4) return ['other', 0];
      const big = byFamily(data.readUInt32BE(0));
      const little = linkType === 0 ? byFamily(data.readUInt32LE(0)) : 'other';
      return [big === 'other' ? little : big, 4];
    }
    default:
      return ['other', 0];
  }
}

/** `address:port`; the platform's own URL parser writes IPv6 shortly, but without dotted quads. */
function endOf(version: 4 | 6, address: Buffer, port: number): string {
  if (version === 4) return `${[...address].join('.')}:${port}`;
  const mapped = address.subarray(0, 12).equals(Buffer.from('00000000000000000000ffff', 'hex'));
  if (mapped) return `[::ffff:${[...address.subarray(12)].join('.')}]:${port}`;
  const groups = address.toString('hex').match(/..../g)!.join(':');
  if (!isIPv6(groups)) throw new Error(`no IPv6 address: ${groups}`);
  return `${new URL(`http://[${groups}]`).hostname}:${port}`;
}

function readPcap(file: Buffer): { frames: Frame[]; interfaces: number[] } {
  const little = [0xd4, 0x4d].includes(file[0]!);
  const read = (at: number) => (little ? file.readUInt32LE(at) : file.readUInt32BE(at));
  const linkType = read(20) % 65536;
  const frames: Frame[] = [];
  for (let at = 24; at + 16 <= file.length; ) {
    const end = at + 16 + read(at + 8);
    if (end > file.length) break;
    frames.push({ linkType, data: file.subarray(at + 16, end) });
    at = end;
  }
  return { frames, interfaces: [linkType] };
}

function readPcapng(file: Buffer): { frames: Frame[]; interfaces: number[] } {
  const frames: Frame[] = [];
  const interfaces: number[] = [];
  let section: { linkType: number; snaplen: number }[] = [];
  let little = true;
  const read = (at: number) => (little ? file.readUInt32LE(at) : file.readUInt32BE(at));
  const read2 = (at: number) => (little ? file.readUInt16LE(at) : file.readUInt16BE(at));
  for (let at = 0; at + 12 <= file.length; ) {
    if (file.readUInt32BE(at) === 0x0a0d0d0a) {
      little = file[at + 8] === 0x4d;
      section = [];
    }
    const end = at + read(at + 4);
    if (end > file.length) break;
    const type = read(at);
    if (type === 1) {
      section.push({ linkType: read2(at + 8), snaplen: read(at + 12) });
      interfaces.push(read2(at + 8));
    }
    if (type === 3) {
      const { linkType, snaplen } = section[0]!;
      const length = Math.min(read(at + 8), snaplen || Number.POSITIVE_INFINITY);
      frames.push({ linkType, data: file.subarray(at + 12, at + 12 + length) });
    }
    if (type === 2 || type === 6) {
      const { linkType } = section[type === 2 ? read2(at + 8) : read(at + 8)]!;
      frames.push({ linkType, data: file.subarray(at + 28, at + 28 + read(at + 20)) });
    }
    at = end;
  }
  return { frames, interfaces };
}
