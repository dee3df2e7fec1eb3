/**
 * The classic pcap file: a header of 24 bytes, then records of 16 bytes and a packet. The magic
 * number's byte order is that of every other field; `a1b2c3d4` means microseconds, `a1b23c4d`
 * nanoseconds. Times are not read.
 */

import { CaptureError } from './capture-error.ts';
import { PACKET_BYTES_MAX, type PacketCursor } from './packet-cursor.ts';

const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const MICROSECONDS = 0xa1b2c3d4;
const NANOSECONDS = 0xa1b23c4d;
/** A snapshot length above this is a way to write "no limit" and bounds nothing. */
const SNAPLEN_MAX = 1 << 24;

/** True where the bytes begin with one of the four magic numbers. */
export function isPcap(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && byteOrder(viewOf(bytes)) !== null;
}

/** A cursor over the records of a pcap file. See PacketCursor. */
export class PcapCursor implements PacketCursor {
  readonly file: string;
  readonly format = 'pcap';
  readonly bytes: Uint8Array;
  readonly linkType: number;
  readonly interfaces: readonly number[];
  dataOffset = 0;
  capturedLength = 0;
  originalLength = 0;
  recordOffset = 0;
  packets = 0;
  truncated: { readonly offset: number } | null = null;

  readonly #view: DataView;
  readonly #littleEndian: boolean;
  readonly #packetBytesMax: number;
  #position = FILE_HEADER_BYTES;

  /** @throws CaptureError where the file header is no pcap header, or not all there. */
  constructor(file: string, bytes: Uint8Array) {
    const view = viewOf(bytes);
    const littleEndian = bytes.length >= 4 ? byteOrder(view) : null;
    if (littleEndian === null) throw new CaptureError(file, 0, 'no pcap magic number');
    if (bytes.length < FILE_HEADER_BYTES) {
      throw new CaptureError(file, 0, `pcap file header of ${bytes.length} bytes instead of 24`);
    }
    const major = view.getUint16(4, littleEndian);
    if (major !== 2) throw new CaptureError(file, 0, `pcap version ${major} instead of 2`);
    const snaplen = view.getUint32(16, littleEndian);
    this.file = file;
    this.bytes = bytes;
    // The high half of the field holds flags and the length of the frame check sequence.
    this.linkType = view.getUint32(20, littleEndian) & 0xffff;
    this.interfaces = [this.linkType];
    this.#view = view;
    this.#littleEndian = littleEndian;
    this.#packetBytesMax = Math.max(PACKET_BYTES_MAX, snaplen > SNAPLEN_MAX ? 0 : snaplen);
  }

  next(): boolean {
    const at = this.#position;
    const left = this.bytes.length - at;
    if (left < RECORD_HEADER_BYTES) {
      if (left > 0) this.truncated = { offset: at };
      return false;
    }
    const captured = this.#view.getUint32(at + 8, this.#littleEndian);
    const original = this.#view.getUint32(at + 12, this.#littleEndian);
    if (captured > this.#packetBytesMax) {
      const reason = `record claims ${captured} captured bytes, the limit is ${this.#packetBytesMax}`;
      throw new CaptureError(this.file, at, reason);
    }
    if (captured > original) {
      const reason = `record claims ${captured} captured bytes of a packet of ${original}`;
      throw new CaptureError(this.file, at, reason);
    }
    if (captured > left - RECORD_HEADER_BYTES) {
      this.truncated = { offset: at };
      return false;
    }
    this.recordOffset = at;
    this.dataOffset = at + RECORD_HEADER_BYTES;
    this.capturedLength = captured;
    this.originalLength = original;
    this.#position = this.dataOffset + captured;
    this.packets++;
    return true;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Whether the file is little-endian; null without a magic number. */
function byteOrder(view: DataView): boolean | null {
  for (const littleEndian of [true, false]) {
    const magic = view.getUint32(0, littleEndian);
    if (magic === MICROSECONDS || magic === NANOSECONDS) return littleEndian;
  }
  return null;
}
