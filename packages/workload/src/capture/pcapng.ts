/**
 * The pcapng file: blocks of `type, total length, body, total length`. A Section Header Block sets
 * the byte order and forgets the interfaces; Interface Description Blocks number them from 0.
 * Packets are Enhanced, Simple and obsolete Packet Blocks. Every other block, and all options,
 * are skipped by length. Times are not read.
 *
 * Order of checks for a block: its frame (type, length, trailer), whether the file holds all of
 * it, then its fields. So a block that the end of the file cuts off is never an error for what
 * its fields say.
 */

import { CaptureError } from './capture-error.ts';
import { PACKET_BYTES_MAX, type PacketCursor } from './packet-cursor.ts';

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const PACKET = 2;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
/** Type, both lengths: the smallest block there is. */
const BLOCK_OVERHEAD = 12;
/** A block that passes the end of the file and is longer than this was never written. */
const CUT_BLOCK_BYTES_MAX = 1 << 24;

/** Total length of a block without packet data and options; other types have no minimum. */
const minimumLengths: Readonly<Record<number, number>> = {
  [SECTION_HEADER]: 28,
  [INTERFACE_DESCRIPTION]: 20,
  [PACKET]: 32,
  [SIMPLE_PACKET]: 16,
  [ENHANCED_PACKET]: 32,
};

/** True where the bytes begin with a Section Header Block whose byte order is known. */
export function isPcapng(bytes: Uint8Array): boolean {
  if (bytes.length < BLOCK_OVERHEAD) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return view.getUint32(0) === SECTION_HEADER && sectionByteOrder(view, 0) !== null;
}

/** A cursor over the packets of a pcapng file. See PacketCursor. */
export class PcapngCursor implements PacketCursor {
  readonly file: string;
  readonly format = 'pcapng';
  readonly bytes: Uint8Array;
  readonly interfaces: number[] = [];
  linkType = 0;
  dataOffset = 0;
  capturedLength = 0;
  originalLength = 0;
  recordOffset = 0;
  packets = 0;
  truncated: { readonly offset: number } | null = null;

  readonly #view: DataView;
  #littleEndian = true;
  #position = 0;
  /** The current section's interfaces. */
  #linkTypes: number[] = [];
  #snaplens: number[] = [];

  /** @throws CaptureError where the file does not begin with a Section Header Block. */
  constructor(file: string, bytes: Uint8Array) {
    if (!isPcapng(bytes)) throw new CaptureError(file, 0, 'no pcapng Section Header Block');
    this.file = file;
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  next(): boolean {
    for (;;) {
      const at = this.#position;
      const left = this.bytes.length - at;
      if (left < BLOCK_OVERHEAD) {
        if (left > 0) this.truncated = { offset: at };
        return false;
      }
      // The type of a section header reads the same in both byte orders.
      const type = this.#view.getUint32(at, this.#littleEndian);
      const littleEndian =
        type === SECTION_HEADER ? this.#sectionByteOrder(at) : this.#littleEndian;
      const length = this.#blockLength(at, type, littleEndian, left);
      if (length > left) {
        this.truncated = { offset: at };
        return false;
      }
      const isPacket = this.#readBlock(at, type, length, littleEndian);
      this.#position = at + length;
      if (isPacket) {
        this.recordOffset = at;
        this.packets++;
        return true;
      }
    }
  }

  /** True where the block is a packet; its fields are then set. */
  #readBlock(at: number, type: number, length: number, littleEndian: boolean): boolean {
    const view = this.#view;
    switch (type) {
      case SECTION_HEADER: {
        const major = view.getUint16(at + 12, littleEndian);
        if (major !== 1) throw this.#error(at, `section of pcapng version ${major} instead of 1`);
        this.#littleEndian = littleEndian;
        this.#linkTypes = [];
        this.#snaplens = [];
        return false;
      }
      case INTERFACE_DESCRIPTION: {
        const linkType = view.getUint16(at + 8, littleEndian);
        this.#linkTypes.push(linkType);
        this.#snaplens.push(view.getUint32(at + 12, littleEndian));
        this.interfaces.push(linkType);
        return false;
      }
      case SIMPLE_PACKET: {
        const original = view.getUint32(at + 8, littleEndian);
        const snaplen = this.#snaplens[0] ?? 0;
        const captured = snaplen !== 0 && snaplen < original ? snaplen : original;
        this.#setPacket(at, 0, at + 12, captured, original, length - 16);
        return true;
      }
      case PACKET:
      case ENHANCED_PACKET: {
        const number =
          type === PACKET
            ? view.getUint16(at + 8, littleEndian)
            : view.getUint32(at + 8, littleEndian);
        const captured = view.getUint32(at + 20, littleEndian);
        const original = view.getUint32(at + 24, littleEndian);
        this.#setPacket(at, number, at + 28, captured, original, length - 32);
        return true;
      }
      default:
        return false;
    }
  }

  #setPacket(
    at: number,
    interfaceNumber: number,
    dataOffset: number,
    captured: number,
    original: number,
    room: number,
  ): void {
    const linkType = this.#linkTypes[interfaceNumber];
    if (linkType === undefined) {
      const reason = `packet of interface ${interfaceNumber}, the section has ${this.#linkTypes.length}`;
      throw this.#error(at, reason);
    }
    if (captured > room) {
      throw this.#error(at, `${captured} captured bytes in a block with room for ${room}`);
    }
    if (captured > original) {
      throw this.#error(at, `${captured} captured bytes of a packet of ${original}`);
    }
    const limit = Math.max(PACKET_BYTES_MAX, this.#snaplens[interfaceNumber] ?? 0);
    if (captured > limit) {
      throw this.#error(at, `packet claims ${captured} captured bytes, the limit is ${limit}`);
    }
    this.linkType = linkType;
    this.dataOffset = dataOffset;
    this.capturedLength = captured;
    this.originalLength = original;
  }

  /** The checked total length; it passes the end of the file where that cuts the block off. */
  #blockLength(at: number, type: number, littleEndian: boolean, left: number): number {
    const length = this.#view.getUint32(at + 4, littleEndian);
    const minimum = minimumLengths[type] ?? BLOCK_OVERHEAD;
    if (length < minimum) throw this.#error(at, `block length ${length} is below ${minimum}`);
    if (length % 4 !== 0) throw this.#error(at, `block length ${length} is no multiple of 4`);
    if (length > left) {
      if (length <= CUT_BLOCK_BYTES_MAX) return length;
      throw this.#error(at, `block of ${length} bytes in the last ${left} bytes of the file`);
    }
    const trailer = this.#view.getUint32(at + length - 4, littleEndian);
    if (trailer !== length) {
      throw this.#error(at, `block begins with length ${length} and ends with ${trailer}`);
    }
    return length;
  }

  #sectionByteOrder(at: number): boolean {
    const littleEndian = sectionByteOrder(this.#view, at);
    if (littleEndian === null) throw this.#error(at, 'section header without byte-order magic');
    return littleEndian;
  }

  #error(at: number, reason: string): CaptureError {
    return new CaptureError(this.file, at, reason);
  }
}

/** Whether the section at `at` is little-endian; null without a byte-order magic. */
function sectionByteOrder(view: DataView, at: number): boolean | null {
  if (view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC) return true;
  return view.getUint32(at + 8) === BYTE_ORDER_MAGIC ? false : null;
}
