/**
 * Which fragments belong together and when a datagram is complete (README of the captures,
 * "Reassembly"): bookkeeping only, the bytes stay in the caller's chains (piece-list.ts).
 *
 * Interface. For each frame that is a partial fragment (`IpPacket.partial`), in order of frames:
 *
 *   fragmentKey(key, packet, bytes, network)
 *   result = table.offer(key, packet.fragmentOffset, pieceLength, packet.moreFragments === 0,
 *                        packet.protocol, chain)
 *
 * where `chain` holds exactly the piece (IPv4: behind the IP header; IPv6: behind the fragment
 * header; no padding). The table then owns the chain, unless the result is EXHAUSTED. On COMPLETE
 * the caller finds the datagram in `table.chain`, `.length` and `.protocol`, owns that chain, and
 * the table has forgotten the datagram: a later fragment of the same key begins another.
 * `clear` frees what never became complete.
 *
 * A datagram is complete when its last fragment and every byte before it are there; there is no
 * time limit. The first fragment with "no more fragments" says how long it is: bytes behind that
 * end are dropped. Bytes that arrived first win. The protocol is that of the fragment with offset
 * 0 (the first of these).
 *
 * One table belongs to one CPU: all fragments of a datagram must come to it (hashKey).
 */

import { KeyTable } from './key-table.ts';
import { type ChainOperations, EXHAUSTED, PieceList } from './piece-list.ts';

/** Results of `offer`, besides EXHAUSTED. */
export const WAITING = 0;
export const COMPLETE = 1;
/** The fragment reaches beyond 65535 bytes, which no datagram has; its chain was freed. */
export const OVERSIZE = 2;

const DATAGRAM_BYTES_MAX = 65535;

interface Datagram<Chain> {
  readonly list: PieceList<Chain>;
  /** Length of the datagram; -1 until a last fragment came. */
  length: number;
  protocol: number;
}

export class ReassemblyTable<Chain> {
  /** The datagram that the last COMPLETE was about; null for one without a byte. */
  chain: Chain | null = null;
  length = 0;
  protocol = 0;

  readonly #chains: ChainOperations<Chain>;
  readonly #datagrams = new KeyTable<Datagram<Chain>>();

  constructor(chains: ChainOperations<Chain>) {
    this.#chains = chains;
  }

  /** Datagrams that wait for fragments. */
  get incomplete(): number {
    return this.#datagrams.size;
  }

  /**
   * Adds the fragment that holds `length` bytes at `offset` of its datagram. See the head of this
   * file. Returns WAITING, COMPLETE, OVERSIZE, or EXHAUSTED (nothing changed, chain not taken).
   */
  offer(
    key: Int32Array,
    offset: number,
    length: number,
    last: boolean,
    protocol: number,
    chain: Chain,
  ): number {
    if (offset + length > DATAGRAM_BYTES_MAX) {
      this.#chains.free(chain);
      return OVERSIZE;
    }
    const found = this.#datagrams.find(key);
    const datagram = found ?? { list: new PieceList<Chain>(), length: -1, protocol: -1 };
    const { list } = datagram;
    if (list.add(offset, offset + length, chain, this.#chains) === EXHAUSTED) return EXHAUSTED;
    if (found === undefined) this.#datagrams.insert(key, datagram);
    if (last && datagram.length === -1) datagram.length = offset + length;
    if (datagram.length !== -1) list.truncate(datagram.length, this.#chains);
    if (offset === 0 && datagram.protocol === -1) datagram.protocol = protocol;
    if (datagram.protocol === -1 || list.bytes !== datagram.length) return WAITING;
    this.#datagrams.remove(key);
    this.#hand(datagram);
    return COMPLETE;
  }

  /** Frees what is incomplete. */
  clear(): void {
    this.#datagrams.forEach((datagram) => datagram.list.clear(this.#chains));
    this.#datagrams.clear();
  }

  #hand(datagram: Datagram<Chain>): void {
    let chain: Chain | null = null;
    for (const piece of datagram.list.pieces) {
      chain = chain === null ? piece.chain : this.#chains.join(chain, piece.chain);
    }
    this.chain = chain;
    this.length = datagram.length;
    this.protocol = datagram.protocol;
  }
}
