/**
 * A received frame as an mbuf chain. Real drivers do it in different ways, and what comes behind
 * must cope with all of them, so frames take turns:
 *
 *   m_devget       internal data for small frames, clusters of 2 KiB for the others
 *   split header   the first bytes in an mbuf of their own, as cards with header split give them
 *   one cluster    the smallest of 2, 4, 9 and 16 KiB that holds the frame
 */

import { type Address, NULL } from '@umbuf/memory';
import {
  FreebsdType,
  M_PKTHDR,
  type Mbufs,
  MCLBYTES,
  MJUM16BYTES,
  MJUM9BYTES,
  MJUMPAGESIZE,
} from '@umbuf/mbuf';
import { M_NOWAIT } from '@umbuf/uma';

/** Ethernet and IPv4 headers: what a card that splits headers by layer puts first. */
const SPLIT_BYTES = 34;
/** In order of size. */
const CLUSTER_BYTES = [MCLBYTES, MJUMPAGESIZE, MJUM9BYTES, MJUM16BYTES];
/** MT_DATA has the same number in both presets. */
const { MT_DATA } = FreebsdType;

export class FrameMbufs {
  readonly #mbufs: Mbufs;
  #file: Uint8Array = new Uint8Array(0);
  #start = 0;
  readonly #copy: (to: Address, source: unknown, at: number, length: number) => void;

  constructor(mbufs: Mbufs) {
    this.#mbufs = mbufs;
    const { kernels } = mbufs;
    // The frame stands at `#start` of the file: no view of it has to be made.
    this.#copy = (to, _source, at, length) => {
      kernels.copyIn(to, this.#file, this.#start + at, length);
    };
  }

  /** A packet with the `length` bytes of `file` from `offset` on; NULL on exhaustion. */
  receive(file: Uint8Array, offset: number, length: number, frame: number): Address {
    const turn = frame % 3;
    if (length === 0) return this.#mbufs.gethdr(M_NOWAIT, MT_DATA);
    if (turn === 1 && length > SPLIT_BYTES) return this.#splitHeader(file, offset, length);
    if (turn === 2 && length <= MJUM16BYTES) {
      const m = this.#oneCluster(file, offset, length);
      if (m !== NULL) return m; // else there may still be mbufs, or clusters of 2 KiB
    }
    return this.#devget(file, offset, length);
  }

  #devget(file: Uint8Array, offset: number, length: number): Address {
    this.#file = file;
    this.#start = offset;
    return this.#mbufs.devget(file, length, 0, 0, this.#copy);
  }

  #splitHeader(file: Uint8Array, offset: number, length: number): Address {
    const mbufs = this.#mbufs;
    const head = mbufs.gethdr(M_NOWAIT, MT_DATA);
    if (head === NULL) return NULL;
    const rest = this.#devget(file, offset + SPLIT_BYTES, length - SPLIT_BYTES);
    if (rest === NULL) {
      mbufs.free(head);
      return NULL;
    }
    mbufs.append(head, SPLIT_BYTES, file.subarray(offset, offset + SPLIT_BYTES));
    mbufs.demote(rest, true, 0);
    mbufs.add(head, rest);
    mbufs.fixhdr(head);
    return head;
  }

  #oneCluster(file: Uint8Array, offset: number, length: number): Address {
    const mbufs = this.#mbufs;
    const size = CLUSTER_BYTES.find((bytes) => bytes >= length)!;
    const m = mbufs.getjcl(M_NOWAIT, MT_DATA, M_PKTHDR, size);
    if (m !== NULL) mbufs.append(m, length, file.subarray(offset, offset + length));
    return m;
  }
}
