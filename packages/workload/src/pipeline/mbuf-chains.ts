/** What the reassembly and stream tables do with chains, on mbufs. See ChainOperations. */

import { type Address, NULL } from '@umbuf/memory';
import type { Mbufs } from '@umbuf/mbuf';
import { M_NOWAIT } from '@umbuf/uma';
import type { ChainOperations } from '../capture/piece-list.ts';

export class MbufChains implements ChainOperations<Address> {
  readonly #mbufs: Mbufs;

  constructor(mbufs: Mbufs) {
    this.#mbufs = mbufs;
  }

  /** Moves no byte and frees no mbuf: emptied ones stay in the chain with length 0. */
  trim(chain: Address, from: number, length: number): Address {
    const mbufs = this.#mbufs;
    mbufs.adj(chain, from);
    const behind = mbufs.length(chain) - length;
    if (behind > 0) mbufs.adj(chain, -behind);
    return chain;
  }

  take(chain: Address, from: number, length: number): Address | null {
    const taken = this.#mbufs.copym(chain, from, length, M_NOWAIT);
    return taken === NULL ? null : taken;
  }

  /** Links, where m_cat would copy what fits into the room behind `head`. */
  join(head: Address, tail: Address): Address {
    const mbufs = this.#mbufs;
    mbufs.demote(tail, true, 0);
    mbufs.add(head, tail);
    mbufs.fixhdr(head);
    return head;
  }

  free(chain: Address): void {
    this.#mbufs.freem(chain);
  }
}
