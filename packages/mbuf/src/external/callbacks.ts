/**
 * ext_free callbacks. Functions cannot be shared, so an mbuf names its callback by an id, and every
 * thread that may drop the last reference registers the same id under the same name. The arena
 * keeps a hash of the name: an id that means two things in two threads is found at registration.
 *
 * A thread that has not registered an id refuses to free any mbuf that carries it, the last
 * reference or not: nothing is changed, and whether it was the last could not be known beforehand.
 * Operations that free on their way look at the whole chain first; `freem` stops there.
 *
 * A callback that throws does not stop the free; the first error is thrown when the outermost
 * operation is done. A promise is refused the same way.
 */

import { type Address, ArgumentError, hashText, NULL } from '@umbuf/memory';
import { M_EXT } from '../constants.ts';
import { ExternalFreeError } from '../errors.ts';
import { FLAGS, NEXT } from '../segment.ts';
import { requireSendTag } from '../send-tag.ts';
import { EXTERNAL_FREE_MAX, ExternalRecord, MbufRoot, MbufStatistics } from '../layout.ts';
import type { MbufCore } from '../core.ts';

/** Releases the storage of `holder`; its m_ext (ext_buf, ext_size, ext_arg1, ext_arg2) is intact. */
export type ExternalFree = (holder: Address) => void;

const HOLDER = ExternalRecord.fields.holder.at;
const FREE = ExternalRecord.fields.free.at;
const NAMES = MbufRoot.fields.externalFree.at;
const EXTERNAL_FREES = MbufStatistics.fields.externalFrees.at;

/**
 * Registers `callback` in this thread under `id` (1 to 255) and `name`. Registering the same id and
 * name again replaces the function. Throws ExternalFreeError when the id has another name in this
 * arena.
 */
export function registerExternalFree(
  mbufs: MbufCore,
  id: number,
  name: string,
  callback: ExternalFree,
): void {
  if (!Number.isInteger(id) || id < 1 || id > EXTERNAL_FREE_MAX) {
    throw new ArgumentError(`registerExternalFree: id ${id} is not from 1 to ${EXTERNAL_FREE_MAX}`);
  }
  if (typeof name !== 'string' || name === '' || typeof callback !== 'function') {
    throw new ArgumentError(`registerExternalFree: id ${id} needs a name and a function`);
  }
  const hash = hashName(name);
  const seen = Atomics.compareExchange(mbufs.words, mbufs.root + NAMES + id, 0, hash);
  if (seen !== 0 && seen !== hash) {
    throw new ExternalFreeError(`registerExternalFree: id ${id} has another name than '${name}'`);
  }
  mbufs.externalFrees[id] = callback;
}

/** Throws ExternalFreeError unless this thread can run the callback of m's storage, if it has one. */
export function requireExternalFree(mbufs: MbufCore, m: Address): void {
  const { words, ext } = mbufs;
  const holder = words[(m >> 2) + ext + HOLDER]!;
  const id = words[(holder >> 2) + ext + FREE]!;
  if (id !== 0 && mbufs.externalFrees[id] === undefined) {
    throw new ExternalFreeError(
      `m_free: CPU ${mbufs.cpu.number} has not registered ext_free ${id} of mbuf ${m}`,
      m,
    );
  }
}

/**
 * The same for every mbuf of a chain: for operations that free some of it on their way, so that they
 * begin only what they can end.
 */
export function requireExternalFrees(mbufs: MbufCore, m: Address): void {
  const { words } = mbufs;
  for (let at: number = m; at !== NULL; at = words[(at >> 2) + NEXT]!) {
    if ((words[(at >> 2) + FLAGS]! & M_EXT) !== 0) requireExternalFree(mbufs, at as Address);
    requireSendTag(mbufs, 'm_free', at as Address);
  }
}

/** Runs the callback of `holder`; keeps what it throws for `throwCallbackError`. */
export function runExternalFree(mbufs: MbufCore, holder: Address): void {
  const { words, longs } = mbufs;
  const id = words[(holder >> 2) + mbufs.ext + FREE]!;
  if (id === 0) return;
  longs[(mbufs.statistics + EXTERNAL_FREES) >> 1]! += 1n;
  try {
    const result: unknown = mbufs.externalFrees[id]!(holder);
    if (result instanceof Promise) {
      result.catch(() => {}); // the promise itself is the error that is reported
      throw new ExternalFreeError(`ext_free ${id} returned a promise; it must be synchronous`);
    }
  } catch (error) {
    mbufs.callbackErrors.push(error);
  }
}

/** Throws the first error that callbacks left, if any, and forgets the others. */
export function throwCallbackError(mbufs: MbufCore): void {
  if (mbufs.callbackErrors.length === 0) return;
  const [error] = mbufs.callbackErrors.splice(0);
  throw error;
}

/** 31-bit FNV-1a, never 0. */
function hashName(name: string): number {
  return (hashText(name) >>> 1) | 1;
}
