/** Bytes and text that a caller gives. */

import { ArgumentError } from '@umbuf/memory';

const encoder = new TextEncoder();

/** The bytes of a byte array (also a Buffer) or a string, as UTF-8. Throws ArgumentError for anything else. */
export function bytesOf(operation: string, source: unknown): Uint8Array {
  if (source instanceof Uint8Array) return source;
  if (typeof source === 'string') return encoder.encode(source);
  throw new ArgumentError(`${operation}: ${typeof source} is neither a Uint8Array nor a string`);
}
