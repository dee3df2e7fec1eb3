/**
 * Drives the modules of src/capture/ over Buffers, the way the mbuf pipeline drives them over
 * mbufs: each frame comes as a chain of slices, of which only the first is contiguous, and is
 * pulled up when a parser asks for more.
 */

import {
  addToSum,
  COMPLETE,
  createFactsPart,
  createIpPacket,
  createKey,
  EXHAUSTED,
  type CaptureFacts,
  decodeLink,
  type FactsPart,
  flowKey,
  fragmentKey,
  IpProtocol,
  linkHeaderLength,
  linkProtocol,
  mergeFacts,
  NetworkProtocol,
  type PacketCursor,
  PARSED,
  parseIp,
  pseudoHeaderSum,
  ReassemblyTable,
  type Stream,
  StreamDigests,
  StreamTable,
  sumIsGood,
  tcpDataOffset,
  tcpFlags,
  tcpSequence,
  udpChecksum,
  udpLength,
  walkExtensionHeaders,
} from '../src/index.ts';
import { type BufferChain, BufferChains } from './buffer-chain.ts';

const transportNames = new Map<number, 'tcp' | 'udp' | 'icmp' | 'icmpv6'>([
  [IpProtocol.tcp, 'tcp'],
  [IpProtocol.udp, 'udp'],
  [IpProtocol.icmp, 'icmp'],
  [IpProtocol.icmpv6, 'icmpv6'],
]);

export class BufferPipeline {
  readonly chains: BufferChains = new BufferChains();
  readonly part: FactsPart = createFactsPart();
  readonly linkTypes: number[] = [];
  pullups = 0;

  /** How a frame's bytes are cut into slices. */
  readonly #slice: (frame: Uint8Array) => Uint8Array[];
  readonly #packet = createIpPacket();
  readonly #key = createKey();
  readonly #digests = new StreamDigests<BufferChain>();
  readonly #datagrams = new ReassemblyTable<BufferChain>(this.chains);
  readonly #streams = new StreamTable<BufferChain>({
    trim: (chain, from, length) => this.chains.trim(chain, from, length),
    take: (chain, from, length) => this.chains.take(chain, from, length),
    join: (head, tail) => this.chains.join(head, tail),
    free: (chain) => this.chains.free(chain),
    deliver: (stream, direction, chain, length) => this.#deliver(stream, direction, chain, length),
  });

  constructor(slice: (frame: Uint8Array) => Uint8Array[] = (frame) => [frame]) {
    this.#slice = slice;
  }

  /** Moves all packets of the capture through; the facts carry the name `file`. */
  run(file: string, cursor: PacketCursor): CaptureFacts {
    while (cursor.next()) {
      const { dataOffset, capturedLength, linkType } = cursor;
      this.linkTypes.push(linkType);
      const frame = cursor.bytes.subarray(dataOffset, dataOffset + capturedLength);
      this.#frame(linkType, cursor.packets, this.chains.create(this.#slice(frame)));
    }
    this.#datagrams.clear();
    this.#streams.clear();
    this.part.streams = this.#digests.finish(this.#streams.streams);
    const linkTypes = this.linkTypes.length > 0 ? this.linkTypes : cursor.interfaces;
    return mergeFacts(file, linkTypes, [this.part]);
  }

  #frame(linkType: number, number: number, chain: BufferChain): void {
    const { counts } = this.part;
    const length = chain.length;
    counts.frames++;
    counts.bytes += length;
    let bytes = this.#contiguous(chain, 0);
    let link = decodeLink(linkType, bytes, 0, bytes.length);
    while (linkProtocol(link) === NetworkProtocol.more && linkHeaderLength(link) <= length) {
      bytes = this.#contiguous(chain, linkHeaderLength(link));
      link = decodeLink(linkType, bytes, 0, bytes.length);
    }
    const network = linkHeaderLength(link);
    switch (linkProtocol(link)) {
      case NetworkProtocol.ipv4:
        counts.ip++;
        this.#ip(4, number, chain, network, length - network);
        break;
      case NetworkProtocol.ipv6:
        counts.ipv6++;
        this.#ip(6, number, chain, network, length - network);
        break;
      case NetworkProtocol.arp:
        counts.arp++;
        this.chains.free(chain);
        break;
      default:
        this.chains.free(chain);
    }
  }

  #ip(
    version: number,
    number: number,
    chain: BufferChain,
    network: number,
    captured: number,
  ): void {
    const { counts } = this.part;
    const packet = this.#packet;
    packet.fragment = 0;
    let bytes = this.#contiguous(chain, 0);
    const parse = () =>
      parseIp(version, bytes, network, Math.max(0, bytes.length - network), captured, packet);
    let needed = parse();
    while (needed > 0) {
      bytes = this.#contiguous(chain, network + needed);
      needed = parse();
    }
    if (version === 6 && packet.fragment === 1) counts['ipv6.fragments']++;
    if (needed !== PARSED) {
      this.part.unparsed++;
      this.chains.free(chain);
      return;
    }
    if (version === 4) {
      counts['ipv4.fragments'] += packet.fragment;
      const good = sumIsGood(addToSum(0, bytes, network, packet.ipHeaderLength));
      counts[good ? 'ip.checksum.good' : 'ip.checksum.bad']++;
    }
    // The addresses, for what comes after the header was trimmed off.
    const header = bytes.slice(network, network + packet.ipHeaderLength);
    const whole = captured >= packet.end;
    const payloadLength = Math.min(captured, packet.end) - packet.payload;
    const piece = this.#trim(chain, network + packet.payload, payloadLength);
    if (packet.partial === 0) {
      this.#transport(number, header, packet.protocol, piece, payloadLength, whole);
      return;
    }
    if (!whole) {
      this.#free(piece);
      return;
    }
    this.#fragment(number, header, piece, payloadLength);
  }

  #fragment(number: number, header: Uint8Array, piece: BufferChain | null, length: number): void {
    const packet = this.#packet;
    const { version, protocol, fragmentOffset } = packet;
    const chain = piece ?? this.chains.create([]);
    const last = packet.moreFragments === 0;
    fragmentKey(this.#key, packet, header, 0);
    const offer = () =>
      this.#datagrams.offer(this.#key, fragmentOffset, length, last, protocol, chain);
    let result = offer();
    while (result === EXHAUSTED) result = offer();
    if (result !== COMPLETE) return;
    let datagram = this.#datagrams.chain;
    this.part.reassembled.push({ frame: number, version, length: this.#datagrams.length });
    packet.protocol = this.#datagrams.protocol;
    packet.payload = packet.partial = 0;
    packet.end = this.#datagrams.length;
    if (version === 6) {
      const walk = () => {
        const bytes = datagram === null ? new Uint8Array(0) : this.#contiguous(datagram, 0);
        return walkExtensionHeaders(bytes, 0, bytes.length, packet.end, packet);
      };
      let needed = walk();
      while (needed > 0 && datagram !== null) {
        this.#contiguous(datagram, needed);
        needed = walk();
      }
      if (needed !== PARSED || packet.partial === 1) {
        this.part.unparsed++;
        this.#free(datagram);
        return;
      }
      if (datagram !== null) {
        datagram = this.#trim(datagram, packet.payload, packet.end - packet.payload);
      }
    }
    this.#transport(number, header, packet.protocol, datagram, packet.end - packet.payload, true);
  }

  #transport(
    number: number,
    header: Uint8Array,
    protocol: number,
    chain: BufferChain | null,
    length: number,
    whole: boolean,
  ): void {
    const { counts } = this.part;
    const name = transportNames.get(protocol);
    if (name !== undefined) counts[name]++;
    if (chain === null || name === undefined) {
      this.#free(chain);
      return;
    }
    const bytes = this.#contiguous(chain, Math.min(length, 20));
    if (whole) {
      const covered = checksummed(name, bytes, length);
      if (covered > 0) {
        const sum =
          name === 'icmp' ? 0 : pseudoHeaderSum(this.#packet.version, header, 0, protocol, covered);
        const good = sumIsGood(addToSum(sum, chain.bytes(), 0, covered));
        counts[`${name}.checksum.${good ? 'good' : 'bad'}`]++;
      }
    }
    const dataOffset = name === 'tcp' && length >= 20 ? tcpDataOffset(bytes, 0) : 0;
    if (dataOffset < 20 || dataOffset > length) {
      this.#free(chain);
      return;
    }
    const contiguous = Buffer.concat([header, bytes.subarray(0, 20)]);
    const { version } = this.#packet;
    const end = flowKey(this.#key, version, protocol, contiguous, 0, header.length, true);
    const sequence = tcpSequence(bytes, 0);
    const flags = tcpFlags(bytes, 0);
    const payload = this.#trim(chain, dataOffset, length - dataOffset);
    const offer = () =>
      this.#streams.offer(this.#key, end, number, sequence, flags, length - dataOffset, payload);
    while (offer() === EXHAUSTED);
  }

  #deliver(stream: Stream<BufferChain>, direction: number, chain: BufferChain, length: number) {
    if (chain.length !== length) throw new Error(`${length} bytes in a chain of ${chain.length}`);
    for (const slice of chain.slices) this.#digests.update(stream, direction, slice);
    this.chains.free(chain);
  }

  /** The first slice, after pulling up at least `length` bytes into it. */
  #contiguous(chain: BufferChain, length: number): Uint8Array {
    const first = chain.slices[0] ?? new Uint8Array(0);
    if (first.length >= length) return first;
    const bytes = chain.bytes();
    if (bytes.length < length) throw new Error(`pull-up of ${length} of ${bytes.length} bytes`);
    this.pullups++;
    chain.slices = [bytes.slice(0, length), bytes.subarray(length)];
    return chain.slices[0]!;
  }

  /** As `trim` of the chains, but frees a chain of which nothing is left. */
  #trim(chain: BufferChain, from: number, length: number): BufferChain | null {
    if (length > 0) return this.chains.trim(chain, from, length);
    this.chains.free(chain);
    return null;
  }

  #free(chain: BufferChain | null): void {
    if (chain !== null) this.chains.free(chain);
  }
}

/** Bytes that the transport's checksum covers; 0 where there is none to verify. */
function checksummed(name: string, bytes: Uint8Array, length: number): number {
  switch (name) {
    case 'tcp':
      return length >= 20 ? length : 0;
    case 'udp': {
      if (length < 8 || udpChecksum(bytes, 0) === 0) return 0;
      const stated = udpLength(bytes, 0);
      return stated >= 8 && stated <= length ? stated : 0;
    }
    default:
      return length >= 4 ? length : 0;
  }
}
