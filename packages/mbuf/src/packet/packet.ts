/**
 * A packet as an object: a view over a chain of mbufs that it owns. Every call checks, at every debug level,
 * that the chain is still its own (life.ts): of a packet that was freed, by whomever, all throw
 * StaleItemError. While the object lives, whoever has its address may read and write the bytes and header
 * fields, but the shape of the chain is the object's; `detach` ends that.
 *
 * Whether bytes are shared or copied is said with each method, and for all in docs/guide/packets.md.
 * Exhaustion is `false` or undefined, and then nothing has changed. Nothing here ever sleeps.
 *
 * Its accessors cannot be suspended by `interleave`: explored code uses Mbufs.
 */

import { type Address, ArgumentError, DebugLevel, NULL } from '@umbuf/memory';
import { ForeignItemError, forgetOwner, rememberOwner } from '@umbuf/uma';
import { ChainRangeError } from '../errors.ts';
import { requireExternalFrees } from '../external/callbacks.ts';
import { lastMbuf } from '../segment.ts';
import { bytesOf } from './bytes.ts';
import {
  beginLife,
  endLife,
  handOverLife,
  headOf,
  keepHead,
  type Life,
  releaseHead,
} from './life.ts';
import type { PacketMessage } from './message.ts';
import { lengthOf, rangeOf, requireInside } from './read.ts';
import { PacketReader } from './reader.ts';
import { appendBytes, prependBytes, shareRange, trimBytes } from './reshape.ts';
import { writeBytes } from './write.ts';

/** The constructor only stores fields; `Packets` makes packets. */
export class Packet extends PacketReader implements Disposable {
  /** For `Packets`: an object that owns the chain of `life`. */
  static over(life: Life): Packet {
    const packet = new Packet(life);
    const { uma, level } = life.context.mbufs;
    if (level >= DebugLevel.checks) rememberOwner(packet, uma, 'mbuf', life);
    return packet;
  }

  /** Frees the chain (m_freem). At the end of a `using` block an object that is not at its end does this. */
  free(): void {
    const { mbufs } = this.life.context;
    mbufs.checkChain('Packet.free', headOf(this.life));
    requireExternalFrees(mbufs, this.life.address);
    forgetOwner(this);
    mbufs.freem(endLife(this.life));
  }

  /** Gives the chain back as a plain address, which the caller owns; this object is at its end. */
  detach(): Address {
    forgetOwner(this);
    return endLife(this.life);
  }

  /**
   * Gives the packet away: returns the message that `Packets.adopt` of any thread makes an object of, once.
   * This object is at its end. No byte is copied.
   */
  handOver(): PacketMessage {
    forgetOwner(this);
    return handOverLife(this.life);
  }

  [Symbol.dispose](): void {
    if (this.life.address !== NULL) this.free();
  }

  // Bytes in.

  /** Appends a copy of the bytes; a string as UTF-8. False on exhaustion. */
  append(source: Uint8Array | string): boolean {
    const { life } = this;
    const m = headOf(life);
    const { mbufs } = life.context;
    const bytes = bytesOf('Packet.append', source);
    const length = this.requireRoom(bytes.length);
    mbufs.checkChain('Packet.append', m);
    const last = life.tail !== NULL && life.tailLength === length ? life.tail : m;
    const tail = appendBytes(mbufs, m, lastMbuf(mbufs, last), bytes);
    if (tail === NULL) return false;
    life.tail = tail;
    life.tailLength = length + bytes.length;
    return true;
  }

  /** Puts a copy of the bytes in front. False on exhaustion. */
  prepend(source: Uint8Array | string): boolean {
    const { mbufs } = this.life.context;
    const bytes = bytesOf('Packet.prepend', source);
    this.requireRoom(bytes.length);
    mbufs.checkChain('Packet.prepend', this.life.address);
    const m = releaseHead(this.life);
    const head = prependBytes(mbufs, m, bytes);
    keepHead(this.life, head === NULL ? m : head);
    return head !== NULL;
  }

  /**
   * Writes a copy of the bytes over those from `offset` on, which must all be there; what others share is
   * copied first (m_copyback_cow), so that they do not see it. False on exhaustion, with no byte changed.
   */
  write(source: Uint8Array | string, offset: number = 0): boolean {
    return writeBytes(this.life, offset, bytesOf('Packet.write', source));
  }

  // Shape. Bytes stay where they are.

  /** Drops `start` bytes in front and `end` behind (m_adj); mbufs that this empties are freed. */
  trim(start: number, end: number = 0): void {
    const { mbufs } = this.life.context;
    requireInside(this.life, start, 0);
    requireInside(this.life, end, 0);
    requireInside(this.life, start, end);
    mbufs.checkChain('Packet.trim', this.life.address);
    requireExternalFrees(mbufs, this.life.address);
    const { head, empty } = trimBytes(mbufs, releaseHead(this.life), start, end);
    keepHead(this.life, head);
    mbufs.freem(empty);
  }

  /**
   * A packet over the range that shares its storage (m_copym; what stands inside an mbuf itself, at most
   * MLEN bytes of each, is copied). Undefined on exhaustion. Writing to either copies first.
   */
  slice(start: number = 0, end?: number): Packet | undefined {
    const range = rangeOf(this.life, start, end);
    const { context, address } = this.life;
    const m = shareRange(context.mbufs, address, range.start, range.length);
    return m === NULL ? undefined : Packet.over(beginLife(context, m));
  }

  /** Takes the other packet's chain behind its own (m_catpkt); that object is at its end. */
  concat(other: Packet): void {
    const { mbufs } = this.life.context;
    if (!(other instanceof Packet) || other === this) {
      throw new ArgumentError('Packet.concat: another Packet is needed');
    }
    if (other.life.context.mbufs !== mbufs) {
      throw new ForeignItemError('Packet.concat: the packet is of another arena or thread');
    }
    this.requireRoom(other.length);
    mbufs.checkChain('Packet.concat', this.life.address);
    mbufs.checkChain('Packet.concat', other.life.address);
    requireExternalFrees(mbufs, other.life.address);
    this.life.tail = NULL;
    mbufs.catpkt(this.life.address, other.detach());
  }

  /** The length; throws when `more` bytes make it longer than pkthdr.len can say. */
  private requireRoom(more: number): number {
    const length = lengthOf(this.life);
    if (length + more > 0x7fffffff) {
      throw new ChainRangeError(`Packet: ${length} + ${more} bytes are more than 2^31 - 1`);
    }
    return length;
  }
}
