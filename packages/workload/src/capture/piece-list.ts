/**
 * Pieces of a byte sequence in order of position, without overlap: what a fragmented datagram or
 * one direction of a TCP stream holds until its turn comes. The bytes themselves lie elsewhere: a
 * piece carries a *chain*, a handle that this code never looks into (an mbuf chain's address in
 * the pipeline, slices of a Buffer in tests), and works on it through `ChainOperations` only.
 *
 * Where a new piece overlaps older ones, the bytes that arrived first win: only the parts of the
 * new one that fill gaps are kept. One part is trimmed out of the chain in place. Several are
 * taken as further chains over the same bytes first, and when one of those cannot be had nothing
 * was changed.
 */

/** What the tables do with chains. Payload is never copied. None may call back into the table. */
export interface ChainOperations<Chain> {
  /**
   * Keeps `length` (at least 1) bytes from byte `from` on, frees the rest, and returns the chain.
   * Cannot fail. m_adj from both ends.
   */
  trim(chain: Chain, from: number, length: number): Chain;
  /**
   * Another chain over `length` (at least 1) bytes from byte `from` on, sharing them with `chain`,
   * which stays as it is. Null when memory is exhausted. m_copym.
   */
  take(chain: Chain, from: number, length: number): Chain | null;
  /** Appends `tail` to `head` and returns the whole. Cannot fail. m_cat. */
  join(head: Chain, tail: Chain): Chain;
  /** Frees the chain. m_freem. */
  free(chain: Chain): void;
}

/** `chain` holds exactly the bytes from `start` to before `end`. */
export interface Piece<Chain> {
  start: number;
  end: number;
  chain: Chain;
}

/** Result of `add`: memory ran out. Nothing was changed, and the chain is still the caller's. */
export const EXHAUSTED = -1;

export class PieceList<Chain> {
  /** In order of position; read freely, changed only here. */
  readonly pieces: Piece<Chain>[] = [];
  /** Bytes in all pieces. */
  bytes = 0;

  /**
   * Adds the bytes from `start` to before `end`, as far as they are not there yet. The list owns
   * the chain afterwards (it is freed where all of it was there). Returns the number of bytes that
   * were new, or EXHAUSTED.
   */
  add(start: number, end: number, chain: Chain, chains: ChainOperations<Chain>): number {
    const { pieces } = this;
    const last = pieces.at(-1);
    if (end > start && (last === undefined || start >= last.end)) {
      pieces.push({ start, end, chain });
      this.bytes += end - start;
      return end - start;
    }
    return this.#fillGaps(start, end, chain, chains);
  }

  /** Removes the first piece and returns it. The caller owns its chain. */
  shift(): Piece<Chain> | undefined {
    const piece = this.pieces.shift();
    if (piece !== undefined) this.bytes -= piece.end - piece.start;
    return piece;
  }

  /** Drops everything from position `end` on. */
  truncate(end: number, chains: ChainOperations<Chain>): void {
    for (let last = this.pieces.at(-1); last !== undefined; last = this.pieces.at(-1)) {
      if (last.end <= end) return;
      const kept = Math.max(0, end - last.start);
      this.bytes -= last.end - last.start - kept;
      if (kept > 0) {
        last.chain = chains.trim(last.chain, 0, kept);
        last.end = end;
        return;
      }
      this.pieces.pop();
      chains.free(last.chain);
    }
  }

  /** Frees every chain. */
  clear(chains: ChainOperations<Chain>): void {
    for (const piece of this.pieces) chains.free(piece.chain);
    this.pieces.length = 0;
    this.bytes = 0;
  }

  #fillGaps(start: number, end: number, chain: Chain, chains: ChainOperations<Chain>): number {
    const { pieces } = this;
    const first = this.#firstEndingAfter(start);
    const gaps: Piece<Chain>[] = [];
    let position = start;
    let next = first;
    // Gaps between the pieces that the new one reaches; all but the first need chains of their own.
    for (; position < end; next++) {
      const piece = pieces[next];
      const gapEnd = piece === undefined ? end : Math.min(piece.start, end);
      if (gapEnd > position) {
        if (gaps.length === 0) {
          gaps.push({ start: position, end: gapEnd, chain });
        } else {
          const taken = chains.take(chain, position - start, gapEnd - position);
          if (taken === null) {
            for (const gap of gaps.slice(1)) chains.free(gap.chain);
            return EXHAUSTED;
          }
          gaps.push({ start: position, end: gapEnd, chain: taken });
        }
      }
      if (piece === undefined || piece.start >= end) break;
      position = piece.end;
    }
    const kept = gaps[0];
    if (kept === undefined) {
      chains.free(chain);
      return 0;
    }
    const keptBytes = kept.end - kept.start;
    if (keptBytes < end - start) kept.chain = chains.trim(chain, kept.start - start, keptBytes);
    const before = this.bytes;
    for (const gap of gaps) {
      pieces.splice(this.#firstEndingAfter(gap.start), 0, gap);
      this.bytes += gap.end - gap.start;
    }
    return this.bytes - before;
  }

  /** Index of the first piece that ends behind `position`. */
  #firstEndingAfter(position: number): number {
    let low = 0;
    let high = this.pieces.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.pieces[middle]!.end > position) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
