/**
 * Is this address an mbuf that may be used? At level `none` only NULL is caught, and freed mbufs by
 * m_type where that is read anyway; from `checks` on every operation walks its chains first, so that
 * a freed mbuf, a wild address or a loop is an error before anything was changed.
 */

import { type Address, DebugLevel, kegOfPage } from '@umbuf/memory';
import { TRASH_WORD } from '@umbuf/uma';
import { ChainLoopError, FreedMbufError, NotMbufError } from './errors.ts';
import { FreebsdType } from './freebsd-flags.ts';
import type { MbufCore } from './core.ts';
import { FLAGS, NEXT, TYPE, TYPE_BITS } from './segment.ts';

/** Throws NotMbufError or FreedMbufError unless `m` is an mbuf in use. */
export function checkMbuf(mbufs: MbufCore, operation: string, m: Address): void {
  if (m === 0 || !isPlausible(mbufs, m)) {
    throw new NotMbufError(`${operation}: CPU ${mbufs.cpu.number}: ${String(m)} is no mbuf`);
  }
  const { words, arena, level } = mbufs;
  const type = words[(m >> 2) + TYPE]!;
  if (((type & TYPE_BITS) - 1) >>> 0 >= FreebsdType.MT_NOINIT - 1 || type === TRASH_WORD) {
    throw new FreedMbufError(
      `${operation}: CPU ${mbufs.cpu.number}: mbuf ${m} already freed (m_type ${type})`,
    );
  }
  if (level < DebugLevel.checks) return;
  // M_NOFREE mbufs live inside storage of any zone.
  if ((words[(m >> 2) + FLAGS]! & mbufs.noFreeFlag) !== 0) return;
  if ((m & (mbufs.msize - 1)) !== 0 || kegOfPage(arena, m) !== mbufs.zones.mbuf.keg << 2) {
    throw new NotMbufError(
      `${operation}: CPU ${mbufs.cpu.number}: ${m} is not the start of an item of zone mbuf`,
    );
  }
}

/** Whether an mbuf could stand there at all: inside the pages, word-aligned. */
export function isPlausible(mbufs: MbufCore, m: number): boolean {
  return (
    (m | 0) === m &&
    (m & 3) === 0 &&
    m >= mbufs.arena.firstPage * 4096 &&
    m + mbufs.msize <= mbufs.bytes.length
  );
}

/** `checkMbuf` for each mbuf of the chain; ChainLoopError when there are more than the arena has. */
export function checkChain(mbufs: MbufCore, operation: string, m: Address): void {
  const { words } = mbufs;
  let steps = 0;
  for (let at = m; ; ) {
    checkMbuf(mbufs, operation, at);
    at = words[(at >> 2) + NEXT]! as Address;
    if (at === 0) return;
    if (++steps > mbufs.chainMax) {
      throw new ChainLoopError(
        `${operation}: CPU ${mbufs.cpu.number}: the chain at ${m} has more mbufs than the arena`,
      );
    }
  }
}
