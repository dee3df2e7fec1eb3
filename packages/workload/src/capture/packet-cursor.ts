/**
 * What the readers of both file formats offer: a cursor over the packets of one capture that lies
 * in memory. Its fields describe the current packet, so stepping allocates no object; they mean
 * something only after `next()` returned true. Packet bytes are
 * `bytes.subarray(dataOffset, dataOffset + capturedLength)`: the cursor never copies them.
 */

/**
 * The longest packet that a writer may claim whatever its snapshot length says: libpcap's
 * MAXIMUM_SNAPLEN. A longer one is taken for a damaged record.
 */
export const PACKET_BYTES_MAX = 262144;

export interface PacketCursor {
  readonly file: string;
  readonly format: 'pcap' | 'pcapng';
  readonly bytes: Uint8Array;

  /** LINKTYPE_ number of the packet's interface. */
  readonly linkType: number;
  /** Where the packet's first byte stands in `bytes`. */
  readonly dataOffset: number;
  /** Bytes of the packet that the file holds, and bytes that it had on the wire. */
  readonly capturedLength: number;
  readonly originalLength: number;
  /** Where the packet's record or block begins in the file. */
  readonly recordOffset: number;
  /** Packets so far, the current one included. */
  readonly packets: number;

  /** Link types of the interfaces met so far, in order of the file; a pcap file has one. */
  readonly interfaces: readonly number[];
  /** The record or block that the end of the file cuts off, once the cursor came to it. */
  readonly truncated: { readonly offset: number } | null;

  /**
   * Moves to the next packet. False at the end of the file, or at a record that the end cuts off.
   * @throws CaptureError at a record that cannot be right; the cursor stays before it.
   */
  next(): boolean;
}
