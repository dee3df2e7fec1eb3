/**
 * The kernels in plain JavaScript, for a buffer that is no WebAssembly memory and for engines
 * without WebAssembly or SIMD. Same results as kernel.wat to the last bit; the same tests run
 * against both. The built-ins are slow over a SharedArrayBuffer (copyWithin and fill cost 20-45 ns
 * before the first byte, fill of bytes four times fill of words), so short ranges are loops over
 * words and long fills go by words.
 *
 * The checksum reads 16-bit words in the host's order, which must be little-endian.
 */

import type { KernelExports } from './webassembly.ts';

/** Below this many bytes a loop over words beats the built-in. */
const LOOP_BYTES = 64;
/** Words that a 32-bit sum of 16-bit words takes without overflow into the sign. */
const SUM_WORDS = 0x7fff;

/** Adds the carries of a sum below 2^32 to its low half: a one's complement sum in 0..0xffff. */
function foldCarries(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/**
 * Kernels over `bytes`, a view that starts at offset 0 of its buffer (so that an index is an
 * address). The buffer's length must be a multiple of four, as every arena's is.
 */
export function createFallback(bytes: Uint8Array<SharedArrayBuffer>): KernelExports {
  const words = new Int32Array(bytes.buffer, 0, bytes.length >> 2);
  const halves = new Uint16Array(bytes.buffer, 0, bytes.length >> 1);

  function copy(to: number, from: number, length: number): void {
    if (length >= LOOP_BYTES || ((to | from | length) & 3) !== 0) {
      bytes.copyWithin(to, from, from + length);
      return;
    }
    const target = to >> 2;
    const source = from >> 2;
    const count = length >> 2;
    // Towards the side that the target lies on, or an overlap would be read after it is written.
    if (target <= source) {
      for (let i = 0; i < count; i++) words[target + i] = words[source + i]!;
    } else {
      for (let i = count - 1; i >= 0; i--) words[target + i] = words[source + i]!;
    }
  }

  function fill(at: number, value: number, length: number): void {
    const end = at + length;
    const byte = value & 0xff;
    let here = at;
    while ((here & 3) !== 0 && here < end) bytes[here++] = byte;
    const pattern = Math.imul(byte, 0x01010101);
    const wordEnd = end >> 2;
    if (wordEnd - (here >> 2) >= LOOP_BYTES >> 2) words.fill(pattern, here >> 2, wordEnd);
    else for (let word = here >> 2; word < wordEnd; word++) words[word] = pattern;
    for (here = Math.max(here, wordEnd << 2); here < end; here++) bytes[here] = byte;
  }

  function zero(at: number, length: number): void {
    fill(at, 0, length);
  }

  function compare(left: number, right: number, length: number): number {
    let i = 0;
    if (((left | right) & 3) === 0) {
      const words4 = length >> 2;
      let word = 0;
      while (word < words4 && words[(left >> 2) + word] === words[(right >> 2) + word]) word++;
      i = word << 2;
    }
    for (; i < length; i++) {
      const difference = bytes[left + i]! - bytes[right + i]!;
      if (difference !== 0) return difference;
    }
    return 0;
  }

  /** Folded sum of `count` 16-bit words from index `first` on, in host order, plus `sum`. */
  function sumHalves(first: number, count: number, sum: number): number {
    let here = first;
    let total = sum;
    const end = first + count;
    while (here < end) {
      const blockEnd = Math.min(end, here + SUM_WORDS);
      // Four accumulators: one alone makes each addition wait for the one before it.
      let a = total;
      let b = 0;
      let c = 0;
      let d = 0;
      for (; here + 4 <= blockEnd; here += 4) {
        a += halves[here]!;
        b += halves[here + 1]!;
        c += halves[here + 2]!;
        d += halves[here + 3]!;
      }
      while (here < blockEnd) a += halves[here++]!;
      total = foldCarries(a + b + c + d);
    }
    return total;
  }

  function checksum(at: number, length: number, sum: number, oddOffset: number): number {
    let total = 0;
    // `swapped`: the words that `halves` sees are one byte off the words of this piece.
    const swapped = at & 1;
    let here = at;
    let left = length;
    if (swapped === 1 && left > 0) {
      total = bytes[here++]! << 8;
      left--;
    }
    total = sumHalves(here >> 1, left >> 1, total);
    if ((left & 1) === 1) total = foldCarries(total + bytes[here + left - 1]!);
    // Little-endian words need one swap, a shifted view and an odd offset in the chain one each.
    if (((1 + swapped + oddOffset) & 1) === 1) total = ((total << 8) | (total >> 8)) & 0xffff;
    return foldCarries(total + sum);
  }

  return { copy, fill, zero, compare, checksum };
}
