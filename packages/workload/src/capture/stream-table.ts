/**
 * TCP streams (README of the captures, "TCP streams"): which segment belongs to which stream and
 * which of its bytes come next. Bookkeeping only, the bytes stay in the caller's chains
 * (piece-list.ts).
 *
 * Interface. For each TCP segment, in order of the frames that carry or complete them:
 *
 *   end = flowKey(key, version, IpProtocol.tcp, bytes, network, transport, true)
 *   result = table.offer(key, end, frame, sequence, flags, length, chain)
 *
 * where `chain` holds exactly the payload, `length` bytes of it, or is null without payload. The
 * table then owns the chain, unless the result is EXHAUSTED. Bytes whose turn has come go to
 * `sink.deliver(stream, direction, chain, length)`, which owns what it gets: at once and uncopied
 * for a segment in order; out of order, when the hole before them is filled. `streams` lists all
 * streams in order of first segment; `frame` of each lets several tables' streams be merged in
 * order of the file. `clear` frees what stands behind holes.
 *
 * Sequence numbers count modulo 2^32: a segment stands within 2^31 of the next byte due. Positions
 * are plain numbers from the beginning of the direction, so a stream may be longer than 2^32.
 * Bytes before the beginning or delivered before are dropped; nothing but data fills a hole.
 *
 * One table belongs to one CPU: all segments between two ends must come to it (hashKey).
 */

import { KeyTable } from './key-table.ts';
import { type ChainOperations, EXHAUSTED, PieceList } from './piece-list.ts';
import { TcpFlag } from './transport-headers.ts';

/** Result of `offer`: taken. The other is EXHAUSTED. */
export const TAKEN = 0;

/** Who sends: the end that sent the stream's first segment, or the other one. */
export const FROM_CLIENT = 0;
export const FROM_SERVER = 1;

export interface StreamSink<Chain> extends ChainOperations<Chain> {
  /** The next `length` (at least 1) bytes of the direction; owns the chain. */
  deliver(stream: Stream<Chain>, direction: number, chain: Chain, length: number): void;
}

/** One direction of a stream. */
export interface Direction<Chain> {
  /** Sequence number of the sender's first segment in this stream; -1 before there is one. */
  firstSequence: number;
  /** Sequence number of position 0. */
  base: number;
  /** Position of the next byte due: the number of bytes delivered. */
  position: number;
  /** What arrived behind a hole; null until there was one. */
  waiting: PieceList<Chain> | null;
}

export interface Stream<Chain> {
  /** The flow key of both ends: see endText. */
  readonly key: Int32Array;
  /** Which end of the key is the client. */
  readonly client: number;
  /** Number of the frame that brought the first segment. */
  readonly frame: number;
  /** By FROM_CLIENT and FROM_SERVER. */
  readonly directions: readonly [Direction<Chain>, Direction<Chain>];
}

export class StreamTable<Chain> {
  /** In order of first segment. */
  readonly streams: Stream<Chain>[] = [];
  readonly #sink: StreamSink<Chain>;
  /** The current stream between two ends. */
  readonly #current = new KeyTable<Stream<Chain>>();

  constructor(sink: StreamSink<Chain>) {
    this.#sink = sink;
  }

  /**
   * Adds a segment that `end` of the key sent. See the head of this file. Returns TAKEN, or
   * EXHAUSTED: nothing changed, the chain is still the caller's, and it may offer again.
   */
  offer(
    key: Int32Array,
    end: number,
    frame: number,
    sequence: number,
    flags: number,
    length: number,
    chain: Chain | null,
  ): number {
    let stream = this.#current.find(key);
    if (stream === undefined || beginsStream(stream, end, sequence, flags)) {
      // A direction that has nothing cannot exhaust, so the new stream never has to be undone.
      stream = createStream<Chain>(key.slice(), end, frame);
      this.#current.insert(key, stream);
      this.streams.push(stream);
    }
    const index = end === stream.client ? FROM_CLIENT : FROM_SERVER;
    const direction = stream.directions[index];
    const first = (flags & TcpFlag.syn) === 0 ? sequence : (sequence + 1) % 2 ** 32;
    if (direction.firstSequence === -1) {
      direction.firstSequence = sequence;
      direction.base = first;
    }
    if (chain === null) return TAKEN;
    if (length === 0) {
      this.#sink.free(chain);
      return TAKEN;
    }
    return this.#place(stream, index, direction, first, length, chain);
  }

  /** Frees what stands behind holes. The streams stay to be read. */
  clear(): void {
    for (const stream of this.streams) {
      for (const direction of stream.directions) direction.waiting?.clear(this.#sink);
    }
  }

  #place(
    stream: Stream<Chain>,
    index: number,
    direction: Direction<Chain>,
    sequence: number,
    length: number,
    chain: Chain,
  ): number {
    const due = direction.position;
    // ToInt32 of the difference is the distance modulo 2^32 that is nearest to the byte due.
    const start = due + ((sequence - direction.base - due) | 0);
    const end = start + length;
    const nothingWaits = direction.waiting === null || direction.waiting.pieces.length === 0;
    if (start === due && nothingWaits) {
      direction.position = end;
      this.#sink.deliver(stream, index, chain, length);
      return TAKEN;
    }
    if (end <= due) {
      this.#sink.free(chain);
      return TAKEN;
    }
    const waiting = (direction.waiting ??= new PieceList<Chain>());
    const dropped = Math.max(0, due - start);
    if (dropped > 0 && nothingWaits) {
      direction.position = end;
      this.#sink.deliver(
        stream,
        index,
        this.#sink.trim(chain, dropped, length - dropped),
        end - due,
      );
      return TAKEN;
    }
    if (waiting.add(start, end, chain, this.#sink) === EXHAUSTED) return EXHAUSTED;
    this.#deliverWaiting(stream, index, direction, waiting);
    return TAKEN;
  }

  #deliverWaiting(
    stream: Stream<Chain>,
    index: number,
    direction: Direction<Chain>,
    waiting: PieceList<Chain>,
  ): void {
    for (let piece = waiting.pieces[0]; piece !== undefined; piece = waiting.pieces[0]) {
      if (piece.start > direction.position) return;
      waiting.shift();
      const skipped = direction.position - piece.start;
      const length = piece.end - direction.position;
      const chain = skipped === 0 ? piece.chain : this.#sink.trim(piece.chain, skipped, length);
      direction.position = piece.end;
      this.#sink.deliver(stream, index, chain, length);
    }
  }
}

/** A SYN that is neither its sender's first segment in the stream nor repeats that one's number. */
function beginsStream<Chain>(
  stream: Stream<Chain>,
  end: number,
  sequence: number,
  flags: number,
): boolean {
  if ((flags & (TcpFlag.syn | TcpFlag.ack)) !== TcpFlag.syn) return false;
  const { firstSequence } = stream.directions[end === stream.client ? FROM_CLIENT : FROM_SERVER];
  return firstSequence !== -1 && firstSequence !== sequence;
}

function createStream<Chain>(key: Int32Array, client: number, frame: number): Stream<Chain> {
  const direction = (): Direction<Chain> => ({
    firstSequence: -1,
    base: 0,
    position: 0,
    waiting: null,
  });
  return { key, client, frame, directions: [direction(), direction()] };
}
