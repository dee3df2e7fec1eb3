/**
 * The fragments of one protocol CPU: reassembly by chaining, the way of a completed datagram to
 * the protocol CPU of its flow, and the fences that keep the order (protocol.ts says why).
 */

import { type Address, NULL, ringPopMany } from '@umbuf/memory';
import { FreebsdType } from '@umbuf/mbuf';
import { M_NOWAIT } from '@umbuf/uma';
import type { FactsPart } from '../capture/facts.ts';
import { createKey, fragmentKey } from '../capture/flow-key.ts';
import { type IpPacket, PARSED, walkExtensionHeaders } from '../capture/headers.ts';
import { EXHAUSTED } from '../capture/piece-list.ts';
import { COMPLETE, OVERSIZE, ReassemblyTable } from '../capture/reassembly-table.ts';
import { CHAIN, DETAIL, FRAME, handledWord, MESSAGE_WORDS, peerRing } from './control.ts';
import { MbufChains } from './mbuf-chains.ts';
import type { PacketView } from './packet-view.ts';
import type { PipelineCpu } from './pipeline-cpu.ts';
import { Steering } from './steering.ts';
import { PORTS_AT, type Transport } from './transport.ts';

/** What a protocol CPU's parts work on together: one packet at a time. */
export interface Workbench {
  readonly cpu: PipelineCpu;
  /** Number of the protocol CPU. */
  readonly number: number;
  readonly part: FactsPart;
  readonly view: PacketView;
  /** The IP header of the packet in the view, parsed. */
  readonly packet: IpPacket;
  /** The same as bytes, and the transport's ports behind at PORTS_AT. */
  readonly header: Uint8Array;
}

export class Fragments {
  /** Completed datagrams that went to another protocol CPU. */
  handedOver = 0;
  /** Datagrams that never became complete. */
  incomplete = 0;

  readonly #bench: Workbench;
  readonly #cpu: PipelineCpu;
  readonly #transport: Transport;
  readonly #key = createKey();
  readonly #chains: MbufChains;
  readonly #datagrams: ReassemblyTable<Address>;
  readonly #steering: Steering;
  readonly #message = new Int32Array(MESSAGE_WORDS);
  /** By peer: the message that came off its ring before its fence; frame 0: none. */
  readonly #early: readonly Int32Array[];

  constructor(bench: Workbench, transport: Transport) {
    const { control, mbufs } = bench.cpu;
    this.#bench = bench;
    this.#cpu = bench.cpu;
    this.#transport = transport;
    this.#chains = new MbufChains(mbufs);
    this.#datagrams = new ReassemblyTable<Address>(this.#chains);
    this.#steering = new Steering(control.protocols);
    this.#early = Array.from({ length: control.protocols }, () => new Int32Array(MESSAGE_WORDS));
  }

  /** The fragment that `packet` describes; `chain` holds its `length` bytes of the datagram. */
  offer(frame: number, chain: Address, length: number): void {
    const datagrams = this.#datagrams;
    const key = this.#key;
    const { packet, header, part } = this.#bench;
    const { version, protocol, fragmentOffset: offset, moreFragments } = packet;
    const last = moreFragments === 0;
    fragmentKey(key, packet, header, 0);
    let result = datagrams.offer(key, offset, length, last, protocol, chain);
    if (result === EXHAUSTED) {
      result = this.#cpu.retry<number>(EXHAUSTED, () =>
        datagrams.offer(key, offset, length, last, protocol, chain),
      );
    }
    if (result === OVERSIZE) part.unparsed++;
    if (result !== COMPLETE) return;
    part.reassembled.push({ frame, version, length: datagrams.length });
    this.#complete(frame, datagrams.chain ?? NULL, datagrams.length, datagrams.protocol);
  }

  /** Frame `frame` was a fragment, and what it completed is where it belongs: fences may pass. */
  tellHandled(frame: number): void {
    const { words, control } = this.#cpu;
    if (control.protocols === 1) return;
    const word = handledWord(control, this.#bench.number);
    Atomics.store(words, word, frame);
    Atomics.notify(words, word);
  }

  /** Frame `frame` is a fragment on protocol CPU `peer`: takes over what it completed. */
  fence(peer: number, frame: number): void {
    this.#cpu.awaitHandled(peer, frame);
    const { words, control } = this.#cpu;
    const message = this.#early[peer]!;
    if (message[FRAME] === 0) {
      const ring = peerRing(control, peer, this.#bench.number);
      ringPopMany(words, ring, message, 0, MESSAGE_WORDS);
    }
    // What is there may belong to a later fence.
    if (message[FRAME] !== frame) return;
    message[FRAME] = 0;
    this.#takeOver(message[CHAIN]! as Address, frame, message[DETAIL]!);
  }

  /** Frees what is incomplete. */
  clear(): void {
    this.incomplete = this.#datagrams.incomplete;
    this.#datagrams.clear();
  }

  /** A datagram is complete: past its extension headers, and to the CPU of its flow. */
  #complete(frame: number, datagram: Address, total: number, protocol: number): void {
    const { packet, view, part, number } = this.#bench;
    const { version } = packet;
    packet.payload = packet.partial = 0;
    packet.end = total;
    packet.protocol = protocol;
    if (datagram === NULL) {
      this.#transport.receive(frame, version, protocol, NULL, 0, true);
      return;
    }
    view.open(datagram);
    if (version === 6 && !this.#passExtensionHeaders(total)) {
      part.unparsed++;
      this.#chains.free(view.chain);
      return;
    }
    const length = total - packet.payload;
    view.open(this.#chains.trim(view.chain, packet.payload, length));
    const owner = this.#owner(length);
    if (owner === number) {
      this.#transport.receive(frame, version, packet.protocol, view.chain, length, true);
    } else {
      this.#handOver(owner, frame, view.chain);
    }
  }

  /** Moves `packet` from the start of the datagram in the view to its transport; false: cannot. */
  #passExtensionHeaders(total: number): boolean {
    const { packet, view } = this.#bench;
    let needed = this.#walk(total);
    while (needed > 0) {
      view.require(needed);
      needed = this.#walk(total);
    }
    return needed === PARSED && packet.partial === 0;
  }

  #walk(total: number): number {
    const { bytes, at, contiguous } = this.#bench.view;
    return walkExtensionHeaders(bytes, at, contiguous, total, this.#bench.packet);
  }

  /** The protocol CPU of the datagram in the view, which holds `length` bytes of transport. */
  #owner(length: number): number {
    if (this.#cpu.control.protocols === 1) return this.#bench.number;
    const { view, header, packet } = this.#bench;
    if (length >= 4) {
      view.require(4);
      for (let byte = 0; byte < 4; byte++) header[PORTS_AT + byte] = view.bytes[view.at + byte]!;
    }
    const { version, protocol } = packet;
    return this.#steering.steerFlow(version, protocol, header, 0, PORTS_AT, length);
  }

  /** Sends the datagram behind its IP header, as ip_reass leaves it, to protocol CPU `owner`. */
  #handOver(owner: number, frame: number, chain: Address): void {
    const { mbufs, control } = this.#cpu;
    const { packet, header, number } = this.#bench;
    const { version, protocol, ipHeaderLength } = packet;
    const { MT_DATA } = FreebsdType;
    let head = mbufs.gethdr(M_NOWAIT, MT_DATA);
    if (head === NULL) {
      head = this.#cpu.retry<Address>(NULL, () => mbufs.gethdr(M_NOWAIT, MT_DATA));
    }
    mbufs.append(head, ipHeaderLength, header); // fits the room of a fresh mbuf
    this.#chains.join(head, chain);
    const detail = version | (protocol << 8) | (ipHeaderLength << 16);
    const message = this.#message;
    message[CHAIN] = head;
    message[FRAME] = frame;
    message[DETAIL] = detail;
    this.#cpu.push(peerRing(control, number, owner), message, MESSAGE_WORDS);
    this.handedOver++;
  }

  #takeOver(chain: Address, frame: number, detail: number): void {
    const { mbufs } = this.#cpu;
    const version = detail & 0xff;
    const protocol = (detail >> 8) & 0xff;
    const headerLength = detail >> 16;
    const length = mbufs.length(chain) - headerLength;
    mbufs.copydata(chain, 0, headerLength, this.#bench.header);
    mbufs.adj(chain, headerLength);
    this.#transport.receive(frame, version, protocol, chain, length, true);
  }
}
