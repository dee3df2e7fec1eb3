/**
 * Lock-free stack (Treiber) of nodes that live in the arena and are used again.
 *
 * The head is one 64-bit word: the top node in the low half (0 = empty), a tag in the high half that
 * every change of the head increments. A node is its address (a positive int32, multiple of 4); its
 * link is the int32 `linkOffset` bytes into it.
 *
 * - ABA: a pop reads the top's link and then swings the head to it. If the top was popped and pushed
 *   again in between, its link may be another by now; but then the tag is another too, and the
 *   compare-exchange fails. It would be deceived only by exactly a multiple of 2^32 changes between
 *   its load and its compare-exchange: at 20 ns each that is a thread stopped for 86 seconds within
 *   three statements, and then for the very multiple.
 * - Stale link: a pop may read the link of a node that another thread has popped meanwhile and whose
 *   owner stores something else there. What it reads is discarded, since the tag has moved. That is
 *   why a link is read and written with `Atomics` only, and why its word must stay an `atomic` one
 *   for as long as its memory can be a node of this stack: a plain store there by the node's owner
 *   would be a data race (with a harmless outcome, but a race detector is right to name it).
 * - Lock-free: a compare-exchange fails only if another thread's has succeeded since the load, so of
 *   all threads in these loops one gets on with each round. A thread that dies anywhere blocks
 *   nobody: before its compare-exchange nothing has happened, after it the operation is complete (and
 *   the node popped, or not yet pushed, is in its hands: see cpu/hand-stack.ts).
 *
 * `longs` and `words` are views of the same buffer; `head` is an index into `longs`.
 */

type Longs = BigInt64Array<SharedArrayBuffer>;
type Words = Int32Array<SharedArrayBuffer>;

const NODE_MASK = 0xffff_ffffn;
const ONE_TAG = 0x1_0000_0000n;
const TAG_MASK = ~NODE_MASK;

/** Makes the stack empty. To be called before any other thread knows it. */
export function taggedInit(longs: Longs, head: number): void {
  Atomics.store(longs, head, 0n);
}

/** Puts `node` on top. The caller owns it, and no longer does on return. */
export function taggedPush(
  longs: Longs,
  words: Words,
  head: number,
  node: number,
  linkOffset: number,
): void {
  const link = (node + linkOffset) >> 2;
  let seen = Atomics.load(longs, head);
  // Ends when no other thread changes the head between two lines of this loop (lock-free, above).
  for (;;) {
    Atomics.store(words, link, Number(BigInt.asIntN(32, seen)));
    const next = BigInt.asIntN(64, ((seen & TAG_MASK) + ONE_TAG) | BigInt(node));
    const before = Atomics.compareExchange(longs, head, seen, next);
    if (before === seen) return;
    seen = before;
  }
}

/** Takes the top node, which the caller then owns; 0 when the stack is empty. */
export function taggedPop(longs: Longs, words: Words, head: number, linkOffset: number): number {
  let seen = Atomics.load(longs, head);
  // Ends when no other thread changes the head between two lines of this loop (lock-free, above).
  for (;;) {
    const node = Number(BigInt.asIntN(32, seen));
    if (node === 0) return 0;
    const below = Atomics.load(words, (node + linkOffset) >> 2); // perhaps stale: then we fail below
    // Unsigned: a stale word may be anything, and must not reach into the tag.
    const next = BigInt.asIntN(64, ((seen & TAG_MASK) + ONE_TAG) | BigInt(below >>> 0));
    const before = Atomics.compareExchange(longs, head, seen, next);
    if (before === seen) return node;
    seen = before;
  }
}

/** The top node without taking it, 0 when empty: true at some moment during the call, a hint after. */
export function taggedTop(longs: Longs, head: number): number {
  return Number(BigInt.asIntN(32, Atomics.load(longs, head)));
}

/** How often the head has changed, modulo 2^32; for tests and dumps. */
export function taggedChanges(longs: Longs, head: number): number {
  return Number(BigInt.asUintN(32, Atomics.load(longs, head) >> 32n));
}
