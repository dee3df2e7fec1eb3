/**
 * The front of a packet, contiguous, for parsers that read `(bytes, offset)`. `require` pulls more
 * of it up. One per protocol CPU, reused for every packet; the chain's head changes with a pullup,
 * so the holder of the packet reads `chain` again afterwards.
 */

import { type Address, NULL } from '@umbuf/memory';
import { MbufHeader } from '@umbuf/mbuf';
import type { PipelineCpu } from './pipeline-cpu.ts';

const DATA = MbufHeader.fields.data.at;
const LEN = MbufHeader.fields.len.at;

export class PacketView {
  chain: Address = NULL;
  /** The first `contiguous` bytes of the packet stand in `bytes` from `at` on. */
  bytes: Uint8Array;
  at = 0;
  contiguous = 0;
  pullups = 0;

  readonly #cpu: PipelineCpu;
  /** For headers longer than an mbuf; made when there is one. */
  #copy: Uint8Array = new Uint8Array(0);

  constructor(cpu: PipelineCpu) {
    this.#cpu = cpu;
    this.bytes = cpu.mbufs.bytes;
  }

  /** Looks at the packet's first mbuf. */
  open(chain: Address): void {
    const { words, bytes } = this.#cpu.mbufs;
    this.chain = chain;
    this.bytes = bytes;
    this.at = words[(chain >> 2) + DATA]!;
    this.contiguous = words[(chain >> 2) + LEN]!;
  }

  /** Makes the first `length` bytes contiguous; the packet has that many. */
  require(length: number): void {
    if (length <= this.contiguous) return;
    const { mbufs } = this.#cpu;
    if (length > mbufs.mhlen) {
      // No mbuf holds that much, as deep stacks of tags or extension headers need: read a copy.
      if (this.#copy.length < length) this.#copy = new Uint8Array(length * 2);
      mbufs.copydata(this.chain, 0, length, this.#copy);
      this.bytes = this.#copy;
      this.at = 0;
      this.contiguous = length;
      return;
    }
    this.pullups++;
    // m_pullup would free the packet where memory is exhausted; this keeps it for another try.
    if (!mbufs.ensureContig(this.chain, length)) {
      let head = mbufs.head;
      this.#cpu.retry(false, () => {
        const done = mbufs.ensureContig(head, length);
        head = mbufs.head;
        return done;
      });
    }
    this.open(mbufs.head);
  }
}
