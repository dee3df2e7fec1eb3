/**
 * mbufq: a FIFO of packets linked by m_nextpkt, over four words of memory that the caller has (an item of a
 * zone of his, bytes of a typed item). The words and the packets are owned words: whoever holds the queue
 * may use it, and hands it over as he hands over any item.
 */

import { type Address, ArgumentError, NULL } from '@umbuf/memory';
import type { MbufCore } from './core.ts';
import { MbufQueue } from './layout.ts';
import { NEXTPKT } from './segment.ts';

const Q = MbufQueue.fields;
const HEAD = Q.head.at;
const TAIL = Q.tail.at;
const LENGTH = Q.length.at;
const MAX = Q.max.at;

/** What `enqueue` returns for a full queue. */
export const ENOBUFS = 55;

/** A queue of one thread's mbufs. It keeps nothing but the address: make as many objects as you like. */
export class PacketQueue {
  private readonly mbufs: MbufCore;
  private readonly at: number;

  private constructor(mbufs: MbufCore, at: number) {
    this.mbufs = mbufs;
    this.at = at;
  }

  /**
   * Makes an empty queue of at most `max` packets in the 16 bytes at `address` (mbufq_init); 0 and less:
   * unbounded. Throws ArgumentError for an address that is no multiple of 4 in the arena.
   */
  static init(mbufs: MbufCore, address: Address, max: number): PacketQueue {
    const queue = PacketQueue.at(mbufs, address);
    if ((max | 0) !== max) throw new ArgumentError(`mbufq_init: max ${max} is no 32-bit integer`);
    queue.clear(max);
    return queue;
  }

  /** The queue that stands at `address`, made by whomever. */
  static at(mbufs: MbufCore, address: Address): PacketQueue {
    if (!Number.isInteger(address) || address <= 0 || (address & 3) !== 0) {
      throw new ArgumentError(`mbufq: no queue can be at ${String(address)}`);
    }
    if (address + MbufQueue.words * 4 > mbufs.bytes.length) {
      throw new ArgumentError(`mbufq: ${address} is outside the arena`);
    }
    return new PacketQueue(mbufs, address >> 2);
  }

  /** Puts a packet behind the last (mbufq_enqueue). 0, or ENOBUFS when the queue is full. */
  enqueue(m: Address): number {
    this.mbufs.checkMbuf('mbufq_enqueue', m);
    if (this.full()) return ENOBUFS;
    const { words } = this.mbufs;
    const tail = words[this.at + TAIL]!;
    words[(m >> 2) + NEXTPKT] = 0;
    if (tail === 0) words[this.at + HEAD] = m;
    else words[(tail >> 2) + NEXTPKT] = m;
    words[this.at + TAIL] = m;
    words[this.at + LENGTH]! += 1;
    return 0;
  }

  /** Takes the first packet, or NULL (mbufq_dequeue). Its m_nextpkt is NULL. */
  dequeue(): Address {
    const { words } = this.mbufs;
    const m = words[this.at + HEAD]! as Address;
    if (m === NULL) return NULL;
    const next = words[(m >> 2) + NEXTPKT]!;
    words[this.at + HEAD] = next;
    if (next === 0) words[this.at + TAIL] = 0;
    words[this.at + LENGTH]! -= 1;
    words[(m >> 2) + NEXTPKT] = 0;
    return m;
  }

  /** Puts a packet in front of the first, whatever the maximum (mbufq_prepend). */
  prepend(m: Address): void {
    this.mbufs.checkMbuf('mbufq_prepend', m);
    const { words } = this.mbufs;
    const head = words[this.at + HEAD]!;
    words[(m >> 2) + NEXTPKT] = head;
    words[this.at + HEAD] = m;
    if (head === 0) words[this.at + TAIL] = m;
    words[this.at + LENGTH]! += 1;
  }

  /** Moves all packets of `source` behind ours, whatever the maximum (mbufq_concat). */
  concat(source: PacketQueue): void {
    const { words } = this.mbufs;
    if (source.at === this.at) throw new ArgumentError('mbufq_concat: a queue behind itself');
    const first = words[source.at + HEAD]!;
    if (first === 0) return;
    const tail = words[this.at + TAIL]!;
    if (tail === 0) words[this.at + HEAD] = first;
    else words[(tail >> 2) + NEXTPKT] = first;
    words[this.at + TAIL] = words[source.at + TAIL]!;
    words[this.at + LENGTH]! += words[source.at + LENGTH]!;
    source.clear(words[source.at + MAX]!);
  }

  /** Takes all packets at once, linked by m_nextpkt; NULL when there are none (mbufq_flush). */
  flush(): Address {
    const { words } = this.mbufs;
    const first = words[this.at + HEAD]! as Address;
    this.clear(words[this.at + MAX]!);
    return first;
  }

  /** Frees all packets (mbufq_drain). */
  drain(): void {
    for (let m = this.dequeue(); m !== NULL; m = this.dequeue()) this.mbufs.freem(m);
  }

  /** The first and the last packet, or NULL (mbufq_first, mbufq_last). */
  first(): Address {
    return this.mbufs.words[this.at + HEAD]! as Address;
  }

  last(): Address {
    return this.mbufs.words[this.at + TAIL]! as Address;
  }

  /** Packets (mbufq_len). */
  length(): number {
    return this.mbufs.words[this.at + LENGTH]!;
  }

  /** Whether an `enqueue` would fail (mbufq_full). */
  full(): boolean {
    const { words } = this.mbufs;
    const max = words[this.at + MAX]!;
    return max > 0 && words[this.at + LENGTH]! >= max;
  }

  private clear(max: number): void {
    const { words } = this.mbufs;
    words[this.at + HEAD] = 0;
    words[this.at + TAIL] = 0;
    words[this.at + LENGTH] = 0;
    words[this.at + MAX] = max;
  }
}
