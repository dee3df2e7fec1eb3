/**
 * Synthetic captures: seeded traffic in every link type and file variant that the captures' README
 * names. The same seed gives the same bytes. `packets` lists what a reader must find.
 */

import { Random } from './random.ts';
import type { NetworkPacket } from './synthesize-packets.ts';
import { traffic } from './synthesize-traffic.ts';

export interface SynthesizedPacket {
  linkType: number;
  captured: Buffer;
  originalLength: number;
  recordOffset: number;
}

export interface SynthesizedCapture {
  file: string;
  bytes: Buffer;
  packets: SynthesizedPacket[];
  interfaces: number[];
  /** Where the last record begins that the end of the file cuts off. */
  truncatedAt: number | null;
}

const LINK_TYPES = [1, 1, 1, 113, 276, 101, 12, 14, 228, 229, 0, 108, 147];

/** The capture of this seed. */
export function synthesizeCapture(seed: number): SynthesizedCapture {
  const random = new Random(seed);
  const packets = random.oneIn(20) ? [] : traffic(random);
  return random.oneIn(2) ? pcap(random, seed, packets) : pcapng(random, seed, packets);
}

/** The frame that carries the packet on this link; null where the link cannot carry it. */
function linkFrame(random: Random, linkType: number, packet: NetworkPacket): Buffer | null {
  const { kind, bytes } = packet;
  const isIp = kind === 'ipv4' || kind === 'ipv6';
  switch (linkType) {
    case 1:
      return ethernet(random, packet);
    case 113: {
      const header = Buffer.alloc(16);
      const [type, tags] = etherType(random, packet);
      header.writeUInt16BE(type, 14);
      return Buffer.concat([header, tags, bytes]);
    }
    case 276: {
      const header = Buffer.alloc(20);
      const [type, tags] = etherType(random, packet);
      header.writeUInt16BE(type, 0);
      return Buffer.concat([header, tags, bytes]);
    }
    case 0:
    case 108: {
      const header = Buffer.alloc(4);
      const families = { ipv4: [2], ipv6: [24, 28, 30], arp: [7], other: [0, 9, 0x01020304] };
      const family = random.pick(families[kind]);
      if (linkType === 0 && random.oneIn(2)) header.writeUInt32LE(family, 0);
      else header.writeUInt32BE(family, 0);
      return Buffer.concat([header, bytes]);
    }
    case 228:
      return kind === 'ipv4' ? bytes : null;
    case 229:
      return kind === 'ipv6' ? bytes : null;
    case 101:
    case 12:
    case 14:
      return isIp ? bytes : random.oneIn(2) ? Buffer.alloc(0) : Buffer.from([0x50, 1, 2]);
    default:
      return bytes;
  }
}

function ethernet(random: Random, packet: NetworkPacket): Buffer {
  const header = random.bytes(14);
  const [type, tags] = etherType(random, packet);
  header.writeUInt16BE(type, 12);
  const frame = Buffer.concat([header, tags, packet.bytes]);
  const padding = Math.max(0, 60 - frame.length) + (random.oneIn(6) ? random.between(1, 8) : 0);
  return Buffer.concat([frame, random.bytes(random.oneIn(3) ? 0 : padding)]);
}

/** The first EtherType and what stands between it and the packet: up to twenty VLAN tags. */
function etherType(random: Random, { kind }: NetworkPacket): [number, Buffer] {
  const types = { ipv4: [0x0800], ipv6: [0x86dd], arp: [0x0806], other: [0x88cc, 0x8035, 46] };
  const tags = Buffer.alloc(4 * random.pick([0, 0, 0, 1, 1, 2, 3, 20]));
  let type = random.pick(types[kind]);
  for (let at = tags.length - 4; at >= 0; at -= 4) {
    tags.writeUInt16BE(random.below(65536), at);
    tags.writeUInt16BE(type, at + 2);
    type = random.pick([0x8100, 0x88a8, 0x9100]);
  }
  return [type, tags];
}

/** Writes numbers in one byte order into a growing file. */
class FileWriter {
  readonly little: boolean;
  readonly parts: Buffer[] = [];

  constructor(little: boolean) {
    this.little = little;
  }

  u16(value: number): this {
    const bytes = Buffer.alloc(2);
    if (this.little) bytes.writeUInt16LE(value);
    else bytes.writeUInt16BE(value);
    return this.raw(bytes);
  }

  u32(value: number): this {
    const bytes = Buffer.alloc(4);
    if (this.little) bytes.writeUInt32LE(value >>> 0);
    else bytes.writeUInt32BE(value >>> 0);
    return this.raw(bytes);
  }

  raw(bytes: Buffer): this {
    this.parts.push(bytes);
    return this;
  }

  /** Bytes and what pads them to a multiple of four. */
  padded(bytes: Buffer): this {
    return this.raw(bytes).raw(Buffer.alloc((4 - (bytes.length % 4)) % 4));
  }

  bytes(): Buffer {
    return Buffer.concat(this.parts);
  }
}

/** Cuts the last record at a random place: at least one byte of it stays, one goes. */
function cutLast(random: Random, capture: SynthesizedCapture, lastRecord: number): void {
  if (!random.oneIn(4) || lastRecord < 0) return;
  const end = random.between(lastRecord + 1, capture.bytes.length - 1);
  capture.bytes = capture.bytes.subarray(0, end);
  capture.packets = capture.packets.filter(({ recordOffset }) => recordOffset < lastRecord);
  capture.truncatedAt = lastRecord;
}

function pcap(random: Random, seed: number, packets: NetworkPacket[]): SynthesizedCapture {
  const linkType = random.pick(LINK_TYPES);
  const writer = new FileWriter(random.oneIn(2));
  const snaplen = random.oneIn(4) ? random.between(40, 400) : random.pick([262144, 65535, 0]);
  writer
    .u32(random.pick([0xa1b2c3d4, 0xa1b23c4d]))
    .u16(2)
    .u16(4)
    .u32(0)
    .u32(0)
    .u32(snaplen);
  // The high bits say that frames end with a check sequence of two 16-bit words.
  writer.u32(random.oneIn(4) ? linkType + 0x24000000 : linkType);
  const found: SynthesizedPacket[] = [];
  let at = 24;
  for (const packet of packets) {
    const frame = linkFrame(random, linkType, packet);
    if (frame === null) continue;
    const captured = frame.subarray(0, snaplen === 0 ? frame.length : snaplen);
    writer.u32(random.below(2 ** 32)).u32(random.below(1e6));
    writer.u32(captured.length).u32(frame.length).raw(captured);
    found.push({ linkType, captured, originalLength: frame.length, recordOffset: at });
    at += 16 + captured.length;
  }
  const capture: SynthesizedCapture = {
    file: `synthetic-${seed}.pcap`,
    bytes: writer.bytes(),
    packets: found,
    interfaces: [linkType],
    truncatedAt: null,
  };
  cutLast(random, capture, found.at(-1)?.recordOffset ?? -1);
  return capture;
}

function pcapng(random: Random, seed: number, packets: NetworkPacket[]): SynthesizedCapture {
  const capture: SynthesizedCapture = {
    file: `synthetic-${seed}.pcapng`,
    bytes: Buffer.alloc(0),
    packets: [],
    interfaces: [],
    truncatedAt: null,
  };
  const parts: Buffer[] = [];
  let at = 0;
  let last = 0;
  let lastType = 0;
  const block = (writer: FileWriter, type: number, body: (body: FileWriter) => unknown) => {
    const content = new FileWriter(writer.little);
    body(content);
    const length = 12 + content.bytes().length;
    const whole = new FileWriter(writer.little);
    parts.push(whole.u32(type).u32(length).raw(content.bytes()).u32(length).bytes());
    last = at;
    lastType = type;
    at += length;
  };
  const queue = [...packets];
  const sections = random.between(1, 3);
  for (let section = 1; section <= sections; section++) {
    const writer = new FileWriter(random.oneIn(2));
    block(writer, 0x0a0d0d0a, (body) => {
      body
        .u32(0x1a2b3c4d)
        .u16(1)
        .u16(random.pick([0, 2]));
      const length = random.oneIn(2) ? 0xffffffff : random.below(2 ** 31);
      body.u32(length).u32(length === 0xffffffff ? length : 0);
      if (random.oneIn(2)) options(random, body);
    });
    const interfaces: { linkType: number; snaplen: number }[] = [];
    const quota = section === sections ? queue.length : random.below(queue.length + 1);
    for (const packet of queue.splice(0, quota)) {
      while (interfaces.length === 0 || random.oneIn(30)) {
        const linkType = random.pick(LINK_TYPES);
        const snaplen = random.oneIn(4) ? random.between(40, 400) : random.pick([0, 262144]);
        interfaces.push({ linkType, snaplen });
        capture.interfaces.push(linkType);
        block(writer, 1, (body) => {
          body.u16(linkType).u16(0).u32(snaplen);
          if (random.oneIn(2)) options(random, body);
        });
      }
      if (random.oneIn(8)) {
        // Custom, name resolution, interface statistics, and a type that nobody has defined.
        const type = random.pick([0xbad, 0x40000bad, 4, 5, 0x7fffffff, 0x80000001]);
        block(writer, type, (body) => body.raw(random.bytes(4 * random.below(20))));
      }
      const number = random.below(interfaces.length);
      const { linkType, snaplen } = interfaces[number]!;
      const frame = linkFrame(random, linkType, packet);
      if (frame === null) continue;
      const captured = frame.subarray(0, snaplen === 0 ? frame.length : snaplen);
      const recordOffset = at;
      const form = random.pick(number === 0 ? ['enhanced', 'simple', 'obsolete'] : ['enhanced']);
      if (form === 'simple') {
        block(writer, 3, (body) => body.u32(frame.length).padded(captured));
      } else {
        block(writer, form === 'enhanced' ? 6 : 2, (body) => {
          if (form === 'enhanced') body.u32(number);
          else body.u16(number).u16(random.below(65536));
          body.u32(random.below(2 ** 32)).u32(random.below(2 ** 32));
          body.u32(captured.length).u32(frame.length).padded(captured);
          if (random.oneIn(3)) options(random, body);
        });
      }
      capture.packets.push({ linkType, captured, originalLength: frame.length, recordOffset });
    }
  }
  capture.bytes = Buffer.concat(parts);
  // Not the first block: cut within its first 12 bytes the file is no capture. Not an interface:
  // it is in `interfaces`.
  if (last > 0 && lastType !== 1) cutLast(random, capture, last);
  return capture;
}

/** A comment and the end of the options. */
function options(random: Random, body: FileWriter): void {
  const comment = random.bytes(random.between(1, 30));
  body.u16(1).u16(comment.length).padded(comment).u16(0).u16(0);
}
