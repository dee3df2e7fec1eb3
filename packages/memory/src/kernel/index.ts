/**
 * Bulk kernels: everything that touches more than a few words of the arena at once goes through
 * this one module (so the schedule explorer has one place to stand in), in WebAssembly where that
 * is possible and in plain JavaScript where not.
 *
 * Invariants
 * - Callers have checked their ranges: at, length >= 0, at + length <= arena. Nothing is checked
 *   here. A wrong range traps or throws in WebAssembly and is clamped in JavaScript; neither ever
 *   leaves the arena.
 * - Callers own both ranges (kind `owned`): all accesses are plain.
 * - Lengths and addresses are bytes. Length 0 does nothing.
 */

import { ArgumentError } from '../errors.ts';
import { createCopyIn, createCopyOut } from './copy-in-out.ts';
import { createFallback } from './fallback.ts';
import { instantiateKernel } from './webassembly.ts';

/** Bulk operations over one arena; addresses are byte offsets in it. See the header for ranges. */
export interface Kernels {
  /** Which implementation this is. */
  readonly kind: 'webassembly' | 'javascript';
  /** Copies `length` bytes. The ranges may overlap (memmove). */
  readonly copy: (to: number, from: number, length: number) => void;
  /** Stores the low byte of `value` `length` times. */
  readonly fill: (at: number, value: number, length: number) => void;
  /** Stores zero `length` times. */
  readonly zero: (at: number, length: number) => void;
  /** As memcmp: 0, or the difference of the first two bytes that differ (below 0: left is less). */
  readonly compare: (left: number, right: number, length: number) => number;
  /**
   * Adds a piece to an internet checksum (RFC 1071; in_cksum): the one's complement sum of its
   * big-endian 16-bit words, an odd last byte counting as the first of a word.
   * `sum` is the result for the pieces before it (0..0xffff; 0 for the first), and `oddOffset` the
   * number of bytes before it, of which only the lowest bit counts. Returns 0..0xffff: the folded
   * sum, not complemented, 0 only if every byte so far was zero. See checksumOf.
   */
  readonly checksum: (at: number, length: number, sum: number, oddOffset: number) => number;
  /** Copies `length` bytes of `source` from `sourceOffset` on into the arena at `to`. */
  readonly copyIn: (to: number, source: Uint8Array, sourceOffset: number, length: number) => void;
  /** Copies `length` bytes of the arena at `from` to `target` from `targetOffset` on. */
  readonly copyOut: (
    from: number,
    target: Uint8Array,
    targetOffset: number,
    length: number,
  ) => void;
}

/** The checksum to put into a header, 0..0xffff: the complement of a partial sum. */
export function checksumOf(sum: number): number {
  return ~sum & 0xffff;
}

/**
 * Kernels over an arena. `memory` is the WebAssembly memory that `bytes` is a view of, or undefined
 * for a plain SharedArrayBuffer; `bytes` starts at offset 0 of its buffer and covers the arena.
 * Throws ArgumentError for a view that does not, and WebAssembly.LinkError for a memory that is
 * not shared.
 */
export function createKernels(
  memory: WebAssembly.Memory | undefined,
  bytes: Uint8Array<SharedArrayBuffer>,
): Kernels {
  if (bytes.byteOffset !== 0 || bytes.length % 4 !== 0) {
    throw new ArgumentError(
      `createKernels: the view starts at ${bytes.byteOffset} and has ${bytes.length} bytes; ` +
        'it must start at 0 and have a multiple of 4',
    );
  }
  const accelerated = memory === undefined ? null : instantiateKernel(memory);
  const { copy, fill, zero, compare, checksum } = accelerated ?? createFallback(bytes);
  return {
    kind: accelerated === null ? 'javascript' : 'webassembly',
    copy,
    fill,
    zero,
    compare,
    checksum,
    copyIn: createCopyIn(bytes),
    copyOut: createCopyOut(bytes),
  };
}
