/**
 * Bytes that an operation copies from or to: an address in the arena, or an ordinary byte array of
 * the caller. Copies go through the bulk kernels; ranges were checked by `requireBytes`.
 */

import { type Address, ArgumentError } from '@umbuf/memory';
import type { MbufCore } from './core.ts';

/** Arena memory from an address on, or a byte array (also a view of the arena). */
export type Bytes = Address | Uint8Array;

/** Copies `length` bytes of `source`, from `at` on, to the arena at `to`. */
export function copyFrom(
  mbufs: MbufCore,
  to: number,
  source: Bytes,
  at: number,
  length: number,
): void {
  if (typeof source === 'number') mbufs.kernels.copy(to, source + at, length);
  else mbufs.kernels.copyIn(to, source, at, length);
}

/** Copies `length` bytes of the arena from `from` on to `target` at `at`. */
export function copyTo(
  mbufs: MbufCore,
  from: number,
  target: Bytes,
  at: number,
  length: number,
): void {
  if (typeof target === 'number') mbufs.kernels.copy(target + at, from, length);
  else mbufs.kernels.copyOut(from, target, at, length);
}

/** Throws ArgumentError unless `bytes` has `length` bytes from `at` on. */
export function requireBytes(
  mbufs: MbufCore,
  operation: string,
  bytes: Bytes,
  length: number,
): void {
  if (typeof bytes === 'number') {
    if (Number.isInteger(bytes) && bytes > 0 && bytes + length <= mbufs.bytes.length) return;
    throw new ArgumentError(`${operation}: ${length} bytes at ${bytes} leave the arena`);
  }
  if (bytes instanceof Uint8Array && bytes.length >= length) return;
  throw new ArgumentError(
    `${operation}: ${length} bytes, but the buffer has ${String(bytes?.length)}`,
  );
}
