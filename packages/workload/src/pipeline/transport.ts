/**
 * What a protocol CPU does with whole packets, once the IP headers are off: counts the transport,
 * verifies its checksum over the chain, puts TCP segments in order, digests their payload in
 * place. Packets must come in order of their frames (protocol.ts).
 */

import { type Address, NULL } from '@umbuf/memory';
import { foldSum, pseudoHeaderSum } from '../capture/checksum.ts';
import { type FactsPart, StreamDigests } from '../capture/facts.ts';
import { createKey, flowKey } from '../capture/flow-key.ts';
import { IpProtocol } from '../capture/headers.ts';
import { EXHAUSTED } from '../capture/piece-list.ts';
import { type Stream, StreamTable } from '../capture/stream-table.ts';
import {
  ICMP_HEADER_BYTES,
  TCP_HEADER_BYTES,
  tcpDataOffset,
  tcpFlags,
  tcpSequence,
  UDP_HEADER_BYTES,
  udpChecksum,
  udpLength,
} from '../capture/transport-headers.ts';
import type { Workbench } from './fragments.ts';
import { MbufChains } from './mbuf-chains.ts';
import type { PacketView } from './packet-view.ts';
import type { PipelineCpu } from './pipeline-cpu.ts';

/** Where the ports stand in a header buffer: behind the longest IP header. */
export const PORTS_AT = 64;

export class Transport {
  readonly #cpu: PipelineCpu;
  readonly #view: PacketView;
  readonly #part: FactsPart;
  readonly #header: Uint8Array;
  readonly #ports: Uint8Array;
  readonly #key = createKey();
  readonly #digests = new StreamDigests<Address>();
  readonly #chains: MbufChains;
  readonly #streams: StreamTable<Address>;
  // Where `#digestSegment` adds the bytes that it is called for.
  #stream: Stream<Address> | undefined;
  #direction = 0;
  readonly #digestSegment: (address: Address, length: number) => void;

  constructor({ cpu, view, part, header }: Workbench) {
    this.#cpu = cpu;
    this.#view = view;
    this.#part = part;
    this.#header = header;
    this.#ports = header.subarray(PORTS_AT, PORTS_AT + 4);
    const chains = new MbufChains(cpu.mbufs);
    this.#chains = chains;
    this.#streams = new StreamTable<Address>({
      trim: (chain, from, length) => chains.trim(chain, from, length),
      take: (chain, from, length) => chains.take(chain, from, length),
      join: (head, tail) => chains.join(head, tail),
      free: (chain) => chains.free(chain),
      deliver: (stream, direction, chain) => this.#deliver(stream, direction, chain),
    });
    const { bytes } = cpu.mbufs;
    this.#digestSegment = (address, length) => {
      this.#digests.update(
        this.#stream!,
        this.#direction,
        bytes.subarray(address, address + length),
      );
    };
  }

  /**
   * A whole packet that frame `frame` carries or completes: `chain` (owned from here on) holds the
   * `length` bytes behind its IP headers, the workbench's `header` its IP header. `captured` is
   * false where the capture has less of the packet.
   */
  receive(
    frame: number,
    version: number,
    protocol: number,
    chain: Address,
    length: number,
    captured: boolean,
  ): void {
    const { counts } = this.#part;
    switch (protocol) {
      case IpProtocol.tcp:
        counts.tcp++;
        this.#tcp(frame, version, chain, length, captured);
        return;
      case IpProtocol.udp:
        counts.udp++;
        if (captured) this.#verifyUdp(version, chain, length);
        else this.#free(chain);
        return;
      case IpProtocol.icmp:
        counts.icmp++;
        if (captured && length >= ICMP_HEADER_BYTES) {
          const good = this.#sum(chain, length, 0);
          counts[good ? 'icmp.checksum.good' : 'icmp.checksum.bad']++;
        }
        break;
      case IpProtocol.icmpv6:
        counts.icmpv6++;
        if (captured && length >= ICMP_HEADER_BYTES) {
          const good = this.#sum(chain, length, this.#pseudo(version, protocol, length));
          counts[good ? 'icmpv6.checksum.good' : 'icmpv6.checksum.bad']++;
        }
        break;
    }
    this.#free(chain);
  }

  /** Frees what stands behind holes, and gives the streams' facts. */
  finish(): FactsPart['streams'] {
    this.#streams.clear();
    return this.#digests.finish(this.#streams.streams);
  }

  #tcp(frame: number, version: number, chain: Address, length: number, captured: boolean): void {
    const { counts } = this.#part;
    if (length < TCP_HEADER_BYTES) {
      this.#part.unparsed++;
      this.#free(chain);
      return;
    }
    if (captured) {
      const good = this.#sum(chain, length, this.#pseudo(version, IpProtocol.tcp, length));
      counts[good ? 'tcp.checksum.good' : 'tcp.checksum.bad']++;
    }
    const view = this.#view;
    view.open(chain);
    view.require(TCP_HEADER_BYTES);
    const { bytes, at } = view;
    const dataOffset = tcpDataOffset(bytes, at);
    if (dataOffset < TCP_HEADER_BYTES || dataOffset > length) {
      this.#part.unparsed++;
      this.#free(view.chain);
      return;
    }
    const sequence = tcpSequence(bytes, at);
    const flags = tcpFlags(bytes, at);
    for (let byte = 0; byte < 4; byte++) this.#ports[byte] = bytes[at + byte]!;
    const key = this.#key;
    const end = flowKey(key, version, IpProtocol.tcp, this.#header, 0, PORTS_AT, true);
    const payload = length - dataOffset;
    let segment: Address | null = null;
    if (payload > 0) segment = this.#chains.trim(view.chain, dataOffset, payload);
    else this.#free(view.chain);
    const streams = this.#streams;
    const result = streams.offer(key, end, frame, sequence, flags, payload, segment);
    if (result !== EXHAUSTED) return;
    this.#cpu.retry<number>(EXHAUSTED, () =>
      streams.offer(key, end, frame, sequence, flags, payload, segment),
    );
  }

  #verifyUdp(version: number, chain: Address, length: number): void {
    const { counts } = this.#part;
    const view = this.#view;
    if (length >= UDP_HEADER_BYTES) {
      view.open(chain);
      view.require(UDP_HEADER_BYTES);
      const covered = udpLength(view.bytes, view.at);
      if (
        udpChecksum(view.bytes, view.at) !== 0 &&
        covered >= UDP_HEADER_BYTES &&
        covered <= length
      ) {
        const pseudo = this.#pseudo(version, IpProtocol.udp, covered);
        const good = this.#sum(view.chain, covered, pseudo);
        counts[good ? 'udp.checksum.good' : 'udp.checksum.bad']++;
      }
      this.#free(view.chain);
    } else {
      this.#free(chain);
    }
  }

  /** Whether the range with its checksum field sums to all ones. */
  #sum(chain: Address, length: number, start: number): boolean {
    return this.#cpu.mbufs.checksumPartial(chain, 0, length, start) === 0xffff;
  }

  #pseudo(version: number, protocol: number, length: number): number {
    return foldSum(pseudoHeaderSum(version, this.#header, 0, protocol, length));
  }

  /** The next bytes of a stream: digested where they lie. */
  #deliver(stream: Stream<Address>, direction: number, chain: Address): void {
    this.#stream = stream;
    this.#direction = direction;
    this.#cpu.mbufs.forEachSegment(chain, this.#digestSegment);
    this.#free(chain);
  }

  #free(chain: Address): void {
    if (chain !== NULL) this.#cpu.mbufs.freem(chain);
  }
}
