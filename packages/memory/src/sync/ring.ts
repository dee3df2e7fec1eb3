/**
 * Bounded ring of int32 values from one producer thread to one consumer thread.
 *
 * Positions count in steps of two and wrap; bit 0 of a position word says that the *other* side may
 * be asleep on it. Both sides publish with one `Atomics.exchange`, which returns that bit and clears
 * it. So there is no second word to look at and no lost wake-up: the sleeper sets the bit by
 * compare-exchange *on the very position that left it nothing to do*, then waits for that value. In
 * the order of all operations on this one word the next publication is either before the
 * compare-exchange, which then fails and the sleeper looks again, or after it, and then it finds the
 * bit and notifies; between the two the word changed, so `Atomics.wait` returns at once. (With
 * separate words this would be Dekker's handshake: two stores, two loads, all four sequentially
 * consistent. One word needs no such argument and one atomic less.)
 *
 * Slots are `owned`: the producer's between head + capacity and tail, the consumer's between head
 * and tail. They change hands with the exchange that moves a position and the atomic load that sees
 * it moved, so plain accesses to them never race.
 *
 * No side ever waits for an act of the other that has begun: each publication is one atomic, and what
 * was written before it is invisible. A side that dies leaves a ring that is exactly as full as it
 * had published; the other side sees it empty or full from then on, and waits are bounded. A
 * successor calls ringTakeOverProducer or ringTakeOverConsumer before its first use. (A value popped
 * by a thread that dies before it has noted it elsewhere is gone: cpu/hand-stack.ts is for that.)
 *
 * Who may call: push side functions only the producer's thread, pop side only the consumer's; ring
 * is the word index of the record, 128-byte aligned. Waits throw TypeError on a thread that may not
 * block (a browser's main thread).
 */

import { LINE_WORDS } from '../address.ts';
import { ArgumentError } from '../errors.ts';
import { RING_CAPACITY_MAX, RingRecord } from './ring-layout.ts';

const CAPACITY = RingRecord.fields.capacity.at;
const TAIL = RingRecord.fields.tail.at;
const PRODUCER_TAIL = RingRecord.fields.producerTail.at;
const PRODUCER_SEEN_HEAD = RingRecord.fields.producerSeenHead.at;
const HEAD = RingRecord.fields.head.at;
const CONSUMER_HEAD = RingRecord.fields.consumerHead.at;
const CONSUMER_SEEN_TAIL = RingRecord.fields.consumerSeenTail.at;
const SLOTS: number = RingRecord.words;

/** Bit 0 of a position word: the other side may be asleep on it. */
const SLEEPER = 1;

type Words = Int32Array<SharedArrayBuffer>;

/** What ringPop returns when there is nothing; the one int32 that cannot be pushed. */
export const RING_EMPTY: number = -(2 ** 31);

/**
 * Appends `value` (an int32 other than RING_EMPTY). False when the ring is full, and nothing was
 * changed. Wakes a sleeping consumer. Throws ArgumentError for RING_EMPTY.
 */
export function ringPush(words: Words, ring: number, value: number): boolean {
  if (value === RING_EMPTY) throw refusedValue('ringPush');
  const tail = words[ring + PRODUCER_TAIL]!;
  const capacity = words[ring + CAPACITY]!;
  // The head seen last may be old, which makes the ring look fuller than it is, never emptier.
  if (((tail - words[ring + PRODUCER_SEEN_HEAD]!) | 0) === capacity * 2) {
    const head = Atomics.load(words, ring + HEAD) & ~SLEEPER;
    words[ring + PRODUCER_SEEN_HEAD] = head;
    if (((tail - head) | 0) === capacity * 2) return false;
  }
  const next = (tail + 2) | 0;
  words[ring + SLOTS + ((tail >>> 1) & (capacity - 1))] = value;
  words[ring + PRODUCER_TAIL] = next;
  // Wakes all: a consumer that was killed may still stand before its successor in the queue.
  if ((Atomics.exchange(words, ring + TAIL, next) & SLEEPER) !== 0) {
    Atomics.notify(words, ring + TAIL);
  }
  return true;
}

/** Takes the oldest value; RING_EMPTY when there is none. Wakes a sleeping producer. */
export function ringPop(words: Words, ring: number): number {
  const head = words[ring + CONSUMER_HEAD]!;
  // The tail seen last may be old, which makes the ring look emptier than it is, never fuller.
  if (head === words[ring + CONSUMER_SEEN_TAIL]) {
    const tail = Atomics.load(words, ring + TAIL) & ~SLEEPER;
    words[ring + CONSUMER_SEEN_TAIL] = tail;
    if (head === tail) return RING_EMPTY;
  }
  const next = (head + 2) | 0;
  const value = words[ring + SLOTS + ((head >>> 1) & (words[ring + CAPACITY]! - 1))]!;
  words[ring + CONSUMER_HEAD] = next;
  if ((Atomics.exchange(words, ring + HEAD, next) & SLEEPER) !== 0) {
    Atomics.notify(words, ring + HEAD);
  }
  return value;
}

/**
 * Appends up to `count` values of `source` from `offset` on, as many as fit, with one publication:
 * the consumer sees all or none of them. Returns how many. Throws ArgumentError, with nothing
 * published, when a value that fits is RING_EMPTY.
 */
export function ringPushMany(
  words: Words,
  ring: number,
  source: Int32Array,
  offset: number,
  count: number,
): number {
  const tail = words[ring + PRODUCER_TAIL]!;
  const capacity = words[ring + CAPACITY]!;
  let free = capacity - (((tail - words[ring + PRODUCER_SEEN_HEAD]!) | 0) >> 1);
  if (free < count) {
    const head = Atomics.load(words, ring + HEAD) & ~SLEEPER;
    words[ring + PRODUCER_SEEN_HEAD] = head;
    free = capacity - (((tail - head) | 0) >> 1);
  }
  const pushed = Math.min(free, count);
  if (pushed <= 0) return 0;
  const first = tail >>> 1;
  for (let i = 0; i < pushed; i++) {
    const value = source[offset + i]!;
    if (value === RING_EMPTY) throw refusedValue('ringPushMany');
    words[ring + SLOTS + ((first + i) & (capacity - 1))] = value;
  }
  const next = (tail + pushed * 2) | 0;
  words[ring + PRODUCER_TAIL] = next;
  if ((Atomics.exchange(words, ring + TAIL, next) & SLEEPER) !== 0) {
    Atomics.notify(words, ring + TAIL);
  }
  return pushed;
}

/**
 * Takes up to `count` values, oldest first, into `target` from `offset` on, with one publication.
 * Returns how many there were. A consumer that dies before it returns has taken all or none.
 */
export function ringPopMany(
  words: Words,
  ring: number,
  target: Int32Array,
  offset: number,
  count: number,
): number {
  const head = words[ring + CONSUMER_HEAD]!;
  const capacity = words[ring + CAPACITY]!;
  let filled = ((words[ring + CONSUMER_SEEN_TAIL]! - head) | 0) >> 1;
  if (filled < count) {
    const tail = Atomics.load(words, ring + TAIL) & ~SLEEPER;
    words[ring + CONSUMER_SEEN_TAIL] = tail;
    filled = ((tail - head) | 0) >> 1;
  }
  const popped = Math.min(filled, count);
  if (popped <= 0) return 0;
  const first = head >>> 1;
  for (let i = 0; i < popped; i++) {
    target[offset + i] = words[ring + SLOTS + ((first + i) & (capacity - 1))]!;
  }
  const next = (head + popped * 2) | 0;
  words[ring + CONSUMER_HEAD] = next;
  if ((Atomics.exchange(words, ring + HEAD, next) & SLEEPER) !== 0) {
    Atomics.notify(words, ring + HEAD);
  }
  return popped;
}

/**
 * Values in the ring, 0..capacity, at some moment during the call. Any thread may ask. The head is
 * loaded first and the tail may run on before it is loaded too, so their difference may exceed what
 * the ring ever held: it is cut to the capacity.
 */
export function ringSize(words: Words, ring: number): number {
  const head = Atomics.load(words, ring + HEAD) & ~SLEEPER;
  const tail = Atomics.load(words, ring + TAIL) & ~SLEEPER;
  return Math.min(((tail - head) | 0) >>> 1, words[ring + CAPACITY]!);
}

/**
 * Consumer: sleeps until the ring has a value, at most `timeoutMs` milliseconds (Infinity: for ever,
 * for a producer whose death someone recovers). True when it has one.
 */
export function ringWaitNotEmpty(words: Words, ring: number, timeoutMs: number): boolean {
  return sleepWhile(words, ring + TAIL, words[ring + CONSUMER_HEAD]!, timeoutMs);
}

/**
 * Producer: sleeps until the ring has a free slot, at most `timeoutMs` milliseconds (Infinity: for
 * ever). True when it has one.
 */
export function ringWaitNotFull(words: Words, ring: number, timeoutMs: number): boolean {
  const fullAt = (words[ring + PRODUCER_TAIL]! - words[ring + CAPACITY]! * 2) | 0;
  return sleepWhile(words, ring + HEAD, fullAt, timeoutMs);
}

/**
 * Sleeps while the position word stands at `position`, with or without the bit. False on timeout.
 * The loop ends: a position once left does not come back while this side, the only one that could
 * make the other move on by 2^31 values, is in here; and each turn at the same position has slept
 * until a notification or the deadline. A bit that a timed-out sleeper leaves behind costs the other
 * side one notify and nothing else.
 */
function sleepWhile(words: Words, word: number, position: number, timeoutMs: number): boolean {
  const deadline = performance.now() + timeoutMs;
  const asleep = position | SLEEPER;
  for (;;) {
    const seen = Atomics.compareExchange(words, word, position, asleep);
    if ((seen & ~SLEEPER) !== position) return true;
    const left = deadline - performance.now();
    if (left <= 0) return false;
    Atomics.wait(words, word, asleep, left);
  }
}

/**
 * Makes the calling thread the producer after another: reads the private words again from the
 * published ones, and wakes the consumer in case its predecessor died before it could. Call it after
 * the predecessor's exit event, or after a hand-over that synchronises.
 */
export function ringTakeOverProducer(words: Words, ring: number): void {
  words[ring + PRODUCER_TAIL] = Atomics.load(words, ring + TAIL) & ~SLEEPER;
  words[ring + PRODUCER_SEEN_HEAD] = Atomics.load(words, ring + HEAD) & ~SLEEPER;
  Atomics.notify(words, ring + TAIL);
}

/** Makes the calling thread the consumer after another; see ringTakeOverProducer. */
export function ringTakeOverConsumer(words: Words, ring: number): void {
  words[ring + CONSUMER_HEAD] = Atomics.load(words, ring + HEAD) & ~SLEEPER;
  words[ring + CONSUMER_SEEN_TAIL] = Atomics.load(words, ring + TAIL) & ~SLEEPER;
  Atomics.notify(words, ring + HEAD);
}

/**
 * Makes an empty ring of `capacity` slots (a power of two, 1..RING_CAPACITY_MAX) of the
 * ringWords(capacity) words from `ring` on (a multiple of 32). To be called once, before any other
 * thread knows the ring. Throws ArgumentError for a bad capacity or place, with nothing changed.
 */
export function initRing(words: Words, ring: number, capacity: number): void {
  const isPowerOfTwo = Number.isInteger(Math.log2(capacity));
  if (!isPowerOfTwo || capacity < 1 || capacity > RING_CAPACITY_MAX) {
    throw new ArgumentError(
      `initRing: capacity ${capacity} is no power of two from 1 to ${RING_CAPACITY_MAX}`,
    );
  }
  if (!Number.isInteger(ring) || ring < 0 || ring % LINE_WORDS !== 0) {
    throw new ArgumentError(`initRing: word ${ring} is no multiple of ${LINE_WORDS}`);
  }
  if (ring + SLOTS + capacity > words.length) {
    throw new ArgumentError(
      `initRing: ${capacity} slots at word ${ring} do not fit ${words.length} words`,
    );
  }
  words[ring + CAPACITY] = capacity;
  words[ring + PRODUCER_TAIL] = 0;
  words[ring + PRODUCER_SEEN_HEAD] = 0;
  words[ring + CONSUMER_HEAD] = 0;
  words[ring + CONSUMER_SEEN_TAIL] = 0;
  Atomics.store(words, ring + HEAD, 0);
  Atomics.store(words, ring + TAIL, 0);
}

function refusedValue(where: string): ArgumentError {
  return new ArgumentError(`${where}: the value ${RING_EMPTY} means an empty ring`);
}
