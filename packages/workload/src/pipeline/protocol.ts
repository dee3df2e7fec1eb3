/**
 * A protocol CPU's role: link and IP headers of the frames that the driver steers here,
 * the datagrams whose fragments come here (fragments.ts), and the transport of the whole packets
 * of the flows that belong here (transport.ts).
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

import { type Address, ringPopMany } from '@umbuf/memory';
import { createFactsPart, type FactsPart } from '../capture/facts.ts';
import { createIpPacket, PARSED, parseIp } from '../capture/headers.ts';
import {
  decodeLink,
  linkHeaderLength,
  linkProtocol,
  NetworkProtocol,
} from '../capture/link-type.ts';
import { CHAIN, DETAIL, FRAME, KIND, Kind, MESSAGE_WORDS, protocolRing } from './control.ts';
import { Fragments, type Workbench } from './fragments.ts';
import { MbufChains } from './mbuf-chains.ts';
import { PacketView } from './packet-view.ts';
import type { PipelineCpu, Role } from './pipeline-cpu.ts';
import { PORTS_AT, Transport } from './transport.ts';

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
  readonly #inbox = new Int32Array(TURN * MESSAGE_WORDS);
  readonly #part = createFactsPart();
  readonly #view: PacketView;
  readonly #packet = createIpPacket();
  readonly #header = new Uint8Array(PORTS_AT + 4);
  readonly #chains: MbufChains;
  readonly #fragments: Fragments;
  readonly #transport: Transport;

  constructor(cpu: PipelineCpu, number: number) {
    this.name = `protocol CPU ${number}`;
    this.input = protocolRing(cpu.control, number);
    this.#cpu = cpu;
    this.#view = new PacketView(cpu);
    this.#chains = new MbufChains(cpu.mbufs);
    const bench: Workbench = {
      cpu,
      number,
      part: this.#part,
      view: this.#view,
      packet: this.#packet,
      header: this.#header,
    };
    this.#transport = new Transport(bench);
    this.#fragments = new Fragments(bench, this.#transport);
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
          this.#fragments.fence(detail, frame);
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
      handedOver: this.#fragments.handedOver,
      incomplete: this.#fragments.incomplete,
    };
  }

  /** The driver is done, and so are all fences: nothing can come any more. */
  #end(): void {
    this.#fragments.clear();
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
      if (whole) this.#fragments.offer(frame, chain, length);
      else this.#drop(chain);
      this.#fragments.tellHandled(frame);
    }
  }

  #parse(version: number, network: number, captured: number): number {
    const { bytes, at, contiguous } = this.#view;
    const there = Math.max(0, contiguous - network);
    return parseIp(version, bytes, at + network, there, captured, this.#packet);
  }

  /** Frees a packet that cannot be parsed, and counts it. */
  #drop(chain: Address): void {
    this.#part.unparsed++;
    this.#chains.free(chain);
  }
}
