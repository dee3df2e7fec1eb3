/**
 * Writing into a packet in place, copying first what others share (m_makewritable): the other users of the
 * storage keep their bytes. All or nothing on exhaustion.
 */

import { M_NOWAIT } from '@umbuf/uma';
import { copyback } from '../chain/copyback.ts';
import { makewritable } from '../chain/copy-on-write.ts';
import { DATA, isWritable, LEN, NEXT } from '../segment.ts';
import { headOf, keepHead, type Life, releaseHead } from './life.ts';
import { gathered, requireInside } from './read.ts';

const gatheredBytes = new Uint8Array(gathered.buffer);

/** Writes the bytes over those from `offset` on; false on exhaustion, with no byte changed. */
export function writeBytes(life: Life, offset: number, source: Uint8Array): boolean {
  requireInside(life, offset, source.length);
  const { mbufs } = life.context;
  // A view of the arena may overlap the target.
  const bytes = source.buffer === mbufs.bytes.buffer ? source.slice() : source;
  const m = releaseHead(life);
  mbufs.head = m;
  try {
    if (!makewritable(mbufs, m, offset, bytes.length, M_NOWAIT)) return false;
    return copyback(mbufs, mbufs.head, offset, bytes.length, bytes);
  } finally {
    // Replaced or not; `head` is right also when a callback threw.
    keepHead(life, mbufs.head);
  }
}

/** Writes the first `size` bytes of `gathered` at `offset`; false on exhaustion. */
export function writeGathered(life: Life, offset: number, size: number): boolean {
  const at = findWritable(life, offset, size);
  if (at < 0) return writeBytes(life, offset, gatheredBytes.subarray(0, size));
  const { bytes } = life.context.mbufs;
  for (let index = 0; index < size; index++) bytes[at + index] = gatheredBytes[index]!;
  return true;
}

/** Address of `size` bytes at `offset` that are in one mbuf and writable; else -1. */
function findWritable(life: Life, offset: number, size: number): number {
  const m = headOf(life);
  const { mbufs } = life.context;
  const { words } = mbufs;
  if (!Number.isInteger(offset) || offset < 0) return -1;
  let skip = offset;
  for (let at = m; at !== 0; at = words[(at >> 2) + NEXT]! as typeof m) {
    const length = words[(at >> 2) + LEN]!;
    if (skip < length) {
      if (skip + size > length || !isWritable(mbufs, at)) return -1;
      return words[(at >> 2) + DATA]! + skip;
    }
    skip -= length;
  }
  return -1;
}
