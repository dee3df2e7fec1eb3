/**
 * A protocol CPU's role: link and IP headers of the frames that the driver steers here,
 * reassembly of the datagrams whose fragments come here, and the transport of whole packets
 * (transport.ts) of the flows that belong here.
 *
 * Order. Streams need the segments of a connection in order of the frames that carry or complete
 * them, and a segment that arrived in fragments is completed on the CPU of its datagram, p, while
 * its connection belongs to another, q. So the driver announces each fragment, frame g, to every
 * other protocol CPU by a *fence* (p, g) between the frames before and behind g. At the fence q
 * waits until p has handled g, then takes the datagram that g completed from the ring p -> q, if
 * there is one for q. So q handles everything in order of frame numbers, without comparing any.
 *
 * It cannot deadlock: every CPU handles its frames and fences in ascending order of number, and
 * waits only for CPUs that are at a lower one (a fence for p's frame g; a full ring p -> q for q,
 * whose first message in it belongs to a fence below the frame p is at). So the CPU that is at the
 * lowest number can always go on. docs/decisions/0010-pipeline-order.md has the whole argument.
 */

import { type Address, NULL, ringPopMany } from '@umbuf/memory';
import { FreebsdType } from '@umbuf/mbuf';
import { M_NOWAIT } from '@umbuf/uma';
import { createFactsPart, type FactsPart } from '../capture/facts.ts';
import { createKey, fragmentKey } from '../capture/flow-key.ts';
import { createIpPacket, PARSED, parseIp, walkExtensionHeaders } from '../capture/headers.ts';
import {
  decodeLink,
  linkHeaderLength,
  linkProtocol,
  NetworkProtocol,
} from '../capture/link-type.ts';
import { EXHAUSTED } from '../capture/piece-list.ts';
import { COMPLETE, OVERSIZE, ReassemblyTable } from '../capture/reassembly-table.ts';
import {
  CHAIN,
  DETAIL,
  FRAME,
  handledWord,
  KIND,
  Kind,
  MESSAGE_WORDS,
  peerRing,
  protocolRing,
} from './control.ts';
import { MbufChains } from './mbuf-chains.ts';
import { PacketView } from './packet-view.ts';
import type { PipelineCpu, Role } from './pipeline-cpu.ts';
import { Steering } from './steering.ts';
import { IP_HEADER_MAX, PORTS_AT, Transport } from './transport.ts';

export interface ProtocolResult {
  readonly part: FactsPart;
  readonly pullups: number;
  /** Completed datagrams that went to another protocol CPU. */
  readonly handedOver: number;
  /** Datagrams that never became complete. */
  readonly incomplete: number;
}

/** Messages per turn. */
const TURN = 32;

export class Protocol implements Role {
  readonly name: string;
  readonly input: number;
  busy = false;
  finished = false;

  readonly #cpu: PipelineCpu;
  readonly #number: number;
  readonly #part = createFactsPart();
  readonly #inbox = new Int32Array(TURN * MESSAGE_WORDS);
  /** By peer: the message that came off its ring before its fence; frame 0: none. */
  readonly #early: readonly Int32Array[];
  readonly #view: PacketView;
  readonly #packet = createIpPacket();
  readonly #key = createKey();
  /** The IP header of the packet at hand; its ports go behind. */
  readonly #header = new Uint8Array(PORTS_AT + 4);
  readonly #chains: MbufChains;
  readonly #datagrams: ReassemblyTable<Address>;
  readonly #transport: Transport;
  readonly #steering: Steering;
  #handedOver = 0;
  #incomplete = 0;

  constructor(cpu: PipelineCpu, number: number) {
    const { control, mbufs } = cpu;
    this.name = `protocol CPU ${number}`;
    this.input = protocolRing(control, number);
    this.#cpu = cpu;
    this.#number = number;
    this.#early = Array.from({ length: control.protocols }, () => new Int32Array(MESSAGE_WORDS));
    this.#view = new PacketView(cpu);
    this.#chains = new MbufChains(mbufs);
    this.#datagrams = new ReassemblyTable<Address>(this.#chains);
    this.#transport = new Transport(cpu, this.#view, this.#part, this.#header);
    this.#steering = new Steering(control.protocols);
  }

  poll(): boolean {
    const inbox = this.#inbox;
    const taken = ringPopMany(this.#cpu.words, this.input, inbox, 0, inbox.length);
    for (let at = 0; at < taken; at += MESSAGE_WORDS) {
      const frame = inbox[at + FRAME]!;
      const detail = inbox[at + DETAIL]!;
      switch (inbox[at + KIND]) {
        case Kind.frame:
          this.#frame(inbox[at + CHAIN]! as Address, frame, detail);
          break;
        case Kind.fence:
          this.#fence(detail, frame);
          break;
        default:
          this.#end();
      }
    }
    return taken > 0;
  }

  result(): ProtocolResult {
    return {
      part: this.#part,
      pullups: this.#view.pullups,
      handedOver: this.#handedOver,
      incomplete: this.#incomplete,
    };
  }

  /** The driver is done, and so are all fences: nothing can come any more. */
  #end(): void {
    this.#incomplete = this.#datagrams.incomplete;
    this.#datagrams.clear();
    this.#part.streams = this.#transport.finish();
    this.finished = true;
  }

  #frame(chain: Address, frame: number, linkType: number): void {
    const { counts } = this.#part;
    const view = this.#view;
    const length = this.#cpu.mbufs.length(chain);
    counts.frames++;
    counts.bytes += length;
    view.open(chain);
    let link = decodeLink(linkType, view.bytes, view.at, view.contiguous);
    while (linkProtocol(link) === NetworkProtocol.more && linkHeaderLength(link) <= length) {
      view.require(linkHeaderLength(link));
      link = decodeLink(linkType, view.bytes, view.at, view.contiguous);
    }
    const network = linkHeaderLength(link);
    switch (linkProtocol(link)) {
      case NetworkProtocol.ipv4:
        counts.ip++;
        this.#ip(4, frame, network, length - network);
        return;
      case NetworkProtocol.ipv6:
        counts.ipv6++;
        this.#ip(6, frame, network, length - network);
        return;
      case NetworkProtocol.arp:
        counts.arp++;
        break;
      case NetworkProtocol.more:
        this.#part.unparsed++;
        break;
    }
    this.#chains.free(view.chain);
  }

  /** The packet in the view, whose IP header begins at `network`, with `captured` bytes. */
  #ip(version: number, frame: number, network: number, captured: number): void {
    const { mbufs } = this.#cpu;
    const { counts } = this.#part;
    const view = this.#view;
    const packet = this.#packet;
    packet.fragment = packet.partial = 0;
    let needed = this.#parse(version, network, captured);
    while (needed > 0) {
      view.require(network + needed);
      needed = this.#parse(version, network, captured);
    }
    if (version === 6) counts['ipv6.fragments'] += packet.fragment;
    if (needed !== PARSED) {
      this.#drop(view.chain);
      return;
    }
    const { ipHeaderLength, payload } = packet;
    if (version === 4) {
      counts['ipv4.fragments'] += packet.fragment;
      const good = mbufs.checksumPartial(view.chain, network, ipHeaderLength) === 0xffff;
      counts[good ? 'ip.checksum.good' : 'ip.checksum.bad']++;
    }
    mbufs.copydata(view.chain, network, ipHeaderLength, this.#header);
    const whole = captured >= packet.end;
    const length = Math.min(captured, packet.end) - payload;
    const chain = this.#chains.trim(view.chain, network + payload, length);
    if (packet.partial === 0) {
      this.#transport.receive(frame, version, packet.protocol, chain, length, whole);
    } else {
      if (whole) this.#fragment(frame, chain, length);
      else this.#drop(chain);
      this.#tellHandled(frame);
    }
  }

  #parse(version: number, network: number, captured: number): number {
    const { bytes, at, contiguous } = this.#view;
    const there = Math.max(0, contiguous - network);
    return parseIp(version, bytes, at + network, there, captured, this.#packet);
  }

  /** The fragment that `#packet` describes; `chain` holds its piece of the datagram. */
  #fragment(frame: number, chain: Address, length: number): void {
    const datagrams = this.#datagrams;
    const key = this.#key;
    const { version, protocol, fragmentOffset: offset, moreFragments } = this.#packet;
    const last = moreFragments === 0;
    fragmentKey(key, this.#packet, this.#header, 0);
    let result = datagrams.offer(key, offset, length, last, protocol, chain);
    if (result === EXHAUSTED) {
      result = this.#cpu.retry<number>(EXHAUSTED, () =>
        datagrams.offer(key, offset, length, last, protocol, chain),
      );
    }
    if (result === OVERSIZE) this.#part.unparsed++;
    if (result !== COMPLETE) return;
    this.#part.reassembled.push({ frame, version, length: datagrams.length });
    this.#datagram(frame, datagrams.chain ?? NULL, datagrams.length, datagrams.protocol);
  }

  /** A datagram is complete: over its extension headers to the transport, and to the CPU of its flow. */
  #datagram(frame: number, datagram: Address, total: number, protocol: number): void {
    const packet = this.#packet;
    const view = this.#view;
    const { version } = packet;
    packet.payload = packet.partial = 0;
    packet.end = total;
    packet.protocol = protocol;
    let chain = datagram;
    if (version === 6 && chain !== NULL) {
      view.open(chain);
      let needed = this.#walk(total);
      while (needed > 0) {
        view.require(needed);
        needed = this.#walk(total);
      }
      chain = view.chain;
      if (needed !== PARSED || packet.partial === 1) {
        this.#drop(chain);
        return;
      }
      this.#chains.trim(chain, packet.payload, total - packet.payload);
    }
    const length = total - packet.payload;
    const owner = this.#owner(version, packet.protocol, chain, length);
    if (owner === this.#number) {
      this.#transport.receive(frame, version, packet.protocol, chain, length, true);
    } else {
      this.#handOver(owner, frame, chain);
    }
  }

  #walk(total: number): number {
    const { bytes, at, contiguous } = this.#view;
    return walkExtensionHeaders(bytes, at, Math.min(contiguous, total), total, this.#packet);
  }

  #owner(version: number, protocol: number, chain: Address, length: number): number {
    if (this.#cpu.control.protocols === 1) return 0;
    const header = this.#header;
    if (length >= 4) {
      const view = this.#view;
      view.open(chain);
      view.require(4);
      for (let byte = 0; byte < 4; byte++) header[PORTS_AT + byte] = view.bytes[view.at + byte]!;
    }
    return this.#steering.steerFlow(version, protocol, header, 0, PORTS_AT, length);
  }

  /** Sends the datagram behind its IP header to protocol CPU `owner`, as ip_reass leaves it. */
  #handOver(owner: number, frame: number, chain: Address): void {
    const { mbufs, control } = this.#cpu;
    const { version, protocol, ipHeaderLength } = this.#packet;
    const { MT_DATA } = FreebsdType;
    let head = mbufs.gethdr(M_NOWAIT, MT_DATA);
    if (head === NULL) {
      head = this.#cpu.retry<Address>(NULL, () => mbufs.gethdr(M_NOWAIT, MT_DATA));
    }
    // An IP header fits the room of a fresh mbuf.
    mbufs.append(head, ipHeaderLength, this.#header);
    if (chain !== NULL) this.#chains.join(head, chain);
    const detail = version | (protocol << 8) | (ipHeaderLength << 16);
    this.#cpu.send(peerRing(control, this.#number, owner), head, frame, detail, 0);
    this.#handedOver++;
  }

  /** Frame `frame` was a fragment, and what it completed is where it belongs. */
  #tellHandled(frame: number): void {
    const { words, control } = this.#cpu;
    if (control.protocols === 1) return;
    const word = handledWord(control, this.#number);
    Atomics.store(words, word, frame);
    Atomics.notify(words, word);
  }

  /** Frame `frame` is a fragment on protocol CPU `peer`: takes over what it completed. */
  #fence(peer: number, frame: number): void {
    this.#cpu.awaitHandled(peer, frame);
    const { words, control } = this.#cpu;
    const message = this.#early[peer]!;
    if (message[FRAME] === 0) {
      ringPopMany(words, peerRing(control, peer, this.#number), message, 0, MESSAGE_WORDS);
    }
    // What is there may belong to a later fence.
    if (message[FRAME] !== frame) return;
    message[FRAME] = 0;
    this.#takeOver(message[CHAIN]! as Address, frame, message[DETAIL]!);
  }

  #takeOver(chain: Address, frame: number, detail: number): void {
    const { mbufs } = this.#cpu;
    const version = detail & 0xff;
    const protocol = (detail >> 8) & 0xff;
    const headerLength = (detail >> 16) & 0xff;
    const length = mbufs.length(chain) - headerLength;
    mbufs.copydata(chain, 0, Math.min(headerLength, IP_HEADER_MAX), this.#header);
    mbufs.adj(chain, headerLength);
    this.#transport.receive(frame, version, protocol, chain, length, true);
  }

  /** Frees a packet that cannot be parsed, and counts it. */
  #drop(chain: Address): void {
    this.#part.unparsed++;
    if (chain !== NULL) this.#chains.free(chain);
  }
}
