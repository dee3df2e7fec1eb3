/**
 * Opens a capture that lies in memory, whatever its format. Works on any `Uint8Array`, so browser
 * code can use it; capture-file.ts reads files of Node.
 */

import { CaptureError } from './capture-error.ts';
import type { PacketCursor } from './packet-cursor.ts';
import { isPcap, PcapCursor } from './pcap.ts';
import { isPcapng, PcapngCursor } from './pcapng.ts';

/** First bytes of files that are near misses, and what to tell about them. */
const nearMisses: readonly (readonly [magic: number, what: string])[] = [
  [0x1f8b, 'a gzip file: decompress it first'],
  [0x28b5, 'a Zstandard file: decompress it first'],
];

/**
 * A cursor before the first packet of a pcap or pcapng file. `file` names it in errors.
 * @throws CaptureError where the bytes are no capture.
 */
export function openCapture(file: string, bytes: Uint8Array): PacketCursor {
  if (isPcap(bytes)) return new PcapCursor(file, bytes);
  if (isPcapng(bytes)) return new PcapngCursor(file, bytes);
  throw new CaptureError(file, 0, `no pcap or pcapng capture, but ${describe(bytes)}`);
}

/** A packet as an object of its own. See PacketCursor for the fields. */
export interface CapturedPacket {
  readonly linkType: number;
  readonly dataOffset: number;
  readonly capturedLength: number;
  readonly originalLength: number;
  readonly recordOffset: number;
}

/** All packets from the cursor's place on, as objects: for tests and tools, not for hot paths. */
export function readPackets(cursor: PacketCursor): CapturedPacket[] {
  const packets: CapturedPacket[] = [];
  while (cursor.next()) {
    const { linkType, dataOffset, capturedLength, originalLength, recordOffset } = cursor;
    packets.push({ linkType, dataOffset, capturedLength, originalLength, recordOffset });
  }
  return packets;
}

function describe(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'an empty file';
  const magic = ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
  const known = nearMisses.find(([first]) => first === magic);
  if (known !== undefined) return known[1];
  const first = Array.from(bytes.subarray(0, 4), (byte) => byte.toString(16).padStart(2, '0'));
  return `a file of ${bytes.length} bytes that begins with ${first.join(' ')}`;
}
