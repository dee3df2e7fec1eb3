/**
 * Chains for tests: byte slices in a list, with the operations that the tables ask for. Every
 * chain knows whether it was freed or joined away, and the pool how many are alive, so a test sees
 * both a leak and a double free. `take` can be made to fail, as an exhausted allocator would.
 */

import type { ChainOperations } from '../src/index.ts';

export class BufferChain {
  slices: Uint8Array[];
  alive = true;

  constructor(slices: Uint8Array[]) {
    this.slices = slices;
  }

  get length(): number {
    return this.slices.reduce((sum, slice) => sum + slice.length, 0);
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.slices);
  }
}

export class BufferChains implements ChainOperations<BufferChain> {
  live = 0;
  takes = 0;
  /** Each call of `take` for which this returns true fails. */
  refuses: (take: number) => boolean = () => false;

  create(slices: Uint8Array[]): BufferChain {
    this.live++;
    return new BufferChain(slices);
  }

  trim(chain: BufferChain, from: number, length: number): BufferChain {
    this.#require(chain);
    chain.slices = cut(chain, from, length);
    return chain;
  }

  take(chain: BufferChain, from: number, length: number): BufferChain | null {
    this.#require(chain);
    if (this.refuses(this.takes++)) return null;
    return this.create(cut(chain, from, length));
  }

  join(head: BufferChain, tail: BufferChain): BufferChain {
    this.#require(head);
    this.free(tail);
    head.slices.push(...tail.slices);
    return head;
  }

  free(chain: BufferChain): void {
    this.#require(chain);
    chain.alive = false;
    this.live--;
  }

  #require(chain: BufferChain): void {
    if (!chain.alive) throw new Error('the chain was freed before');
  }
}

function cut(chain: BufferChain, from: number, length: number): Uint8Array[] {
  if (from < 0 || length < 1 || from + length > chain.length) {
    throw new Error(`no bytes ${from} + ${length} in a chain of ${chain.length}`);
  }
  const slices: Uint8Array[] = [];
  let position = 0;
  for (const slice of chain.slices) {
    const start = Math.max(from, position);
    const end = Math.min(from + length, position + slice.length);
    if (end > start) slices.push(slice.subarray(start - position, end - position));
    position += slice.length;
  }
  return slices;
}
