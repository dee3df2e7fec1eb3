/**
 * What can be asked of a packet, and its bytes as views, copies, text and streams. Nothing here changes it.
 * Ranges are given as `Uint8Array.slice` takes them: integers, negative from the end, cut to the packet.
 */

import { type Address, ArgumentError } from '@umbuf/memory';
import { bytesOf } from './bytes.ts';
import { headOf, isLive } from './life.ts';
import { PacketNumbers } from './numbers.ts';
import { indexOfBytes, lengthOf, matches, rangeOf, requireInside, viewsOf } from './read.ts';

/** What `toReadable` makes a stream with: Node's `Readable`, or `ReadableStream`. */
export interface StreamClass<Stream> {
  from(chunks: Iterable<Uint8Array<ArrayBuffer>>): Stream;
}

/** The constructor only stores fields. */
export class PacketReader extends PacketNumbers {
  /** Whether the packet still is this object's. Never throws. */
  get alive(): boolean {
    return isLive(this.life);
  }

  /** Address of the first mbuf, for reading and writing its fields. */
  get address(): Address {
    return headOf(this.life);
  }

  /** Bytes of the packet. */
  get length(): number {
    return lengthOf(this.life);
  }

  // Bytes out.

  /**
   * The segments that have bytes, as views of the shared memory: valid until the packet is freed, trimmed
   * or written over. What is kept longer than that has to be copied (`toBytes`).
   */
  segments(): Uint8Array<SharedArrayBuffer>[] {
    const { mbufs } = this.life.context;
    const m = headOf(this.life);
    mbufs.checkChain('Packet.segments', m);
    return viewsOf(mbufs, m);
  }

  /** A copy of the range in ordinary memory; `start` and `end` as in `Uint8Array.slice`. */
  toBytes(start: number = 0, end?: number): Uint8Array<ArrayBuffer> {
    const range = rangeOf(this.life, start, end);
    const bytes = new Uint8Array(range.length);
    const { mbufs } = this.life.context;
    mbufs.copydata(this.life.address, range.start, range.length, bytes);
    return bytes;
  }

  /**
   * Copies as much of the range as fits into `target` from `at` on, and returns how many bytes that were
   * (Buffer's `copy`).
   */
  copy(target: Uint8Array, at: number = 0, start: number = 0, end?: number): number {
    const range = rangeOf(this.life, start, end);
    if (!(target instanceof Uint8Array) || !Number.isInteger(at) || at < 0 || at > target.length) {
      throw new ArgumentError(`Packet.copy: no Uint8Array with a place at ${String(at)}`);
    }
    const length = Math.min(range.length, target.length - at);
    const { mbufs } = this.life.context;
    mbufs.copydata(this.life.address, range.start, length, target.subarray(at));
    return length;
  }

  /** The range as text, of an encoding that TextDecoder knows. */
  decode(encoding: string = 'utf-8', start: number = 0, end?: number): string {
    return decoderOf(encoding).decode(this.toBytes(start, end));
  }

  /** A stream of copies of the segments, made now: `packet.toReadable(Readable)`. The packet stays. */
  toReadable<Stream>(streams: StreamClass<Stream>): Stream {
    return streams.from(this.segments().map((segment) => new Uint8Array(segment)));
  }

  // Questions.

  /**
   * Offset of the first occurrence from `from` on, -1 without one; a number is one byte, a string its
   * UTF-8. Also across segments.
   */
  indexOf(what: number | string | Uint8Array, from: number = 0): number {
    const range = rangeOf(this.life, from, undefined);
    const needle = typeof what === 'number' ? byteOf(what) : bytesOf('Packet.indexOf', what);
    if (needle.length === 0) return range.start;
    const { mbufs } = this.life.context;
    mbufs.checkChain('Packet.indexOf', this.life.address);
    return indexOfBytes(mbufs, this.life.address, needle, range.start);
  }

  /** Whether the packet has these bytes, and no others. */
  equals(other: PacketReader | Uint8Array | string): boolean {
    const { mbufs } = this.life.context;
    const m = headOf(this.life);
    mbufs.checkChain('Packet.equals', m);
    if (!(other instanceof PacketReader)) {
      const bytes = bytesOf('Packet.equals', other);
      return bytes.length === this.length && matches(mbufs, m, 0, bytes);
    }
    if (other.length !== this.length) return false;
    let at = 0;
    return other.segments().every((segment) => {
      at += segment.length;
      return this.hasAt(at - segment.length, segment);
    });
  }

  /** Whether these bytes stand at `offset`. */
  hasAt(offset: number, bytes: Uint8Array | string): boolean {
    const wanted = bytesOf('Packet.hasAt', bytes);
    requireInside(this.life, offset, 0);
    if (offset + wanted.length > this.length) return false;
    const { mbufs } = this.life.context;
    const m = mbufs.getptr(this.life.address, offset);
    return wanted.length === 0 || matches(mbufs, m, mbufs.offset, wanted);
  }

  /** The internet checksum of the range (in_cksum), 0 to 0xffff. */
  checksum(start: number = 0, end?: number): number {
    const range = rangeOf(this.life, start, end);
    return this.life.context.mbufs.checksum(this.life.address, range.start, range.length);
  }
}

/** One byte to look for. */
function byteOf(value: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > 0xff) {
    throw new ArgumentError(`Packet.indexOf: ${String(value)} is no byte`);
  }
  return Uint8Array.of(value);
}

function decoderOf(encoding: string): TextDecoder {
  try {
    return new TextDecoder(encoding);
  } catch {
    throw new ArgumentError(`Packet.decode: no encoding ${String(encoding)}`);
  }
}
