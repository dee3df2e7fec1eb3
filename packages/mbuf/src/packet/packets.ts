/** Makes Packet objects over the mbufs of one thread's `Mbufs`. */

import { type Address, NULL, requireInteger } from '@umbuf/memory';
import { requirePacketHeader } from '../chain/header.ts';
import type { Mbufs } from '../mbufs.ts';
import { adoptLife, beginLife, type PacketContext, requireUnattached } from './life.ts';
import { bytesOf } from './bytes.ts';
import type { PacketMessage } from './message.ts';
import { Packet } from './packet.ts';
import { newPacket, newZeros } from './reshape.ts';

const known = new WeakMap<Mbufs, Packets>();

/** The constructor only stores fields. */
export class Packets {
  readonly mbufs: Mbufs;
  private readonly context: PacketContext;

  private constructor(mbufs: Mbufs) {
    this.mbufs = mbufs;
    const { buffer, length } = mbufs.bytes;
    const view = new DataView(buffer, 0, length);
    this.context = { mbufs, view, nextNumber: 0, numbersEnd: 0 };
  }

  /** The same object for the same `Mbufs`. */
  static of(mbufs: Mbufs): Packets {
    let packets = known.get(mbufs);
    if (packets === undefined) {
      packets = new Packets(mbufs);
      known.set(mbufs, packets);
    }
    return packets;
  }

  /** A packet with a copy of the bytes; a string as UTF-8. Undefined on exhaustion. */
  from(source: Uint8Array | string): Packet | undefined {
    return this.own(newPacket(this.mbufs, bytesOf('Packets.from', source)));
  }

  /** A packet of `length` zeros (0 when absent). Undefined on exhaustion. */
  alloc(length: number = 0): Packet | undefined {
    requireInteger('Packets.alloc: length', length, 0, 0x7fffffff);
    return this.own(newZeros(this.mbufs, length));
  }

  /**
   * An object that owns the packet at `m`, which was the caller's. Throws NotMbufError and its kin from
   * `checkChain`, PacketHeaderError without a packet header, ArgumentError when another object owns it.
   */
  over(m: Address): Packet {
    this.mbufs.checkChain('Packets.over', m);
    requirePacketHeader(this.mbufs, 'Packets.over', m);
    requireUnattached(this.mbufs, m);
    return Packet.over(beginLife(this.context, m));
  }

  /**
   * arena, StaleItemError when it is no more, or was adopted already.
   */
  adopt(message: PacketMessage): Packet {
    return Packet.over(adoptLife(this.context, message));
  }

  /** One packet with copies of all, in their order. Undefined on exhaustion. */
  concat(sources: Iterable<Uint8Array | string>): Packet | undefined {
    const packet = this.alloc();
    if (packet === undefined) return undefined;
    try {
      for (const source of sources) {
        if (packet.append(source)) continue;
        packet.free();
        return undefined;
      }
    } catch (error) {
      packet.free();
      throw error;
    }
    return packet;
  }

  /**
   * A packet with copies of all chunks of a stream: a Node Readable, a ReadableStream, or any other async
   * iterable of byte arrays or strings. Undefined on exhaustion, with the stream ended; what the stream
   * throws is thrown. Nothing is left behind then.
   */
  async fromReadable(
    source: AsyncIterable<Uint8Array | string> | Iterable<Uint8Array | string>,
  ): Promise<Packet | undefined> {
    const packet = this.alloc();
    if (packet === undefined) return undefined;
    try {
      for await (const chunk of source) {
        if (packet.append(chunk)) continue;
        packet.free();
        return undefined;
      }
    } catch (error) {
      packet.free();
      throw error;
    }
    return packet;
  }

  private own(m: Address): Packet | undefined {
    return m === NULL ? undefined : Packet.over(beginLife(this.context, m));
  }
}

/** The shape that `Comlink.transferHandlers.set('umbuf packet', …)` takes. */
export interface PacketTransferHandler {
  canHandle(value: unknown): value is Packet;
  serialize(packet: Packet): [PacketMessage, Transferable[]];
  deserialize(message: PacketMessage): Packet;
}

/** A Comlink transfer handler: a packet in an argument or a result is handed over. */
export function packetTransferHandler(packets: Packets): PacketTransferHandler {
  return {
    canHandle: (value): value is Packet => value instanceof Packet,
    serialize: (packet) => [packet.handOver(), []],
    deserialize: (message) => packets.adopt(message),
  };
}
