/**
 * Arenas as files: the bytes of the arena as they are, header first, with holes where nothing was
 * ever written. A file written while nobody ran is a consistent state; one written under running
 * CPUs shows counters that were there, and lists that need not agree.
 */

import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { Arena, ArenaFormatError } from '@umbuf/memory';

/** Bytes that are looked at and copied at once; also the grain of the holes. */
const CHUNK_BYTES = 1 << 16;

/** Writes the arena to `path`, replacing what is there. Throws what `node:fs` throws. */
export function writeArenaFile(arena: Arena, path: string): void {
  const file = openSync(path, 'w');
  try {
    const { length } = arena.bytes;
    ftruncateSync(file, length);
    for (let at = 0; at < length; at += CHUNK_BYTES) {
      // A copy that is not shared: what is tested for zeros is what is written.
      const chunk = arena.bytes.slice(at, at + CHUNK_BYTES);
      if (isZero(chunk)) continue;
      for (let done = 0; done < chunk.length; ) {
        done += writeSync(file, chunk, done, chunk.length - done, at + done);
      }
    }
  } finally {
    closeSync(file);
  }
}

/**
 * The arena in the file, in memory of its own: for reading; the CPUs in it are records only. Throws
 * `ArenaFormatError` when the file is none, and what `node:fs` throws.
 */
export function readArenaFile(path: string): Arena {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const memory = new SharedArrayBuffer(Math.floor(size / CHUNK_BYTES) * CHUNK_BYTES);
    const bytes = new Uint8Array(memory);
    const chunk = new Uint8Array(CHUNK_BYTES);
    for (let at = 0; at < bytes.length; ) {
      const got = readSync(file, chunk, 0, CHUNK_BYTES, at);
      if (got === 0) break;
      const read = chunk.subarray(0, Math.min(got, bytes.length - at));
      // Pages that stay untouched cost no memory.
      if (!isZero(read)) bytes.set(read, at);
      at += got;
    }
    return Arena.attach({ umbufArena: 1, memory });
  } catch (error) {
    if (!(error instanceof ArenaFormatError)) throw error;
    throw new ArenaFormatError(`${path}: ${error.message}`);
  } finally {
    closeSync(file);
  }
}

function isZero(chunk: Uint8Array): boolean {
  const whole = new BigInt64Array(chunk.buffer, chunk.byteOffset, chunk.length >> 3);
  for (let index = 0; index < whole.length; index++) if (whole[index] !== 0n) return false;
  return chunk.subarray(whole.length << 3).every((byte) => byte === 0);
}
