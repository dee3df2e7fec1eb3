/**
 * References to external storage: `mb_dupcl` and `mb_free_ext`.
 *
 * The count lives in the mbuf that the storage was first attached to, its *holder*. When the
 * holder's own user frees it while others still share, it stays allocated, *parked*, until the last
 * reference goes. All users point directly at the holder, so a count is never moved.
 *
 * Storage that was never shared needs no atomic. The private byte `shared` says so:
 * - it is set by `addReference`, in both mbufs, and by every EXTREF and RXRING attach;
 * - it is cleared by attach, when a packet goes back to its zone, and by the holder's owner that has loaded 1;
 * - while it is clear, its mbuf is the holder and only user, and nobody reads the count.
 * The first share stores 2; nobody else can know the storage then, so the store is no race.
 *
 * Why each drop is right: only who holds a reference can add one, so a count of 1 is final. The
 * release is one fetch-and-subtract (SeqCst): exactly one user sees the last reference go, and it
 * sees everything the others wrote before they dropped theirs. Whoever did not get the last one
 * touches the holder no more: another CPU may already have recycled it.
 */

import { type Address, refcountAdd, refcountInit, refcountRelease } from '@umbuf/memory';
import { M_EXT as EXT } from '../constants.ts';
import { ExternalStorageError } from '../errors.ts';
import { ExtFlag, ExtType } from '../freebsd-flags.ts';
import { ExternalRecord, MbufHeader, MbufStatistics } from '../layout.ts';
import type { MbufCore } from '../core.ts';
import { refOwner } from '../owner.ts';
import { countWord } from '../segment.ts';
import { requireExternalFree, runExternalFree } from './callbacks.ts';
import { dropReference, finishLast, freeHolder, releaseStorage } from './last-reference.ts';

// Constants of this module, which V8 folds: an imported one is a cell that it loads and checks.
const M_EXT = EXT;
const { EXT_EXTREF } = ExtType;
const FLAGS = MbufHeader.fields.flags.at;
const TYPE = MbufHeader.fields.type.at;
const SHARED = MbufHeader.fields.shared.at;
const COUNT = ExternalRecord.fields.count.at;
const HOLDER = ExternalRecord.fields.holder.at;
const BUF = ExternalRecord.fields.buf.at;
const SIZE = ExternalRecord.fields.size.at;
const EXT_TYPE = ExternalRecord.fields.type.at;
const FREE = ExternalRecord.fields.free.at;
const ARG1 = ExternalRecord.fields.arg1.at;
const ARG2 = ExternalRecord.fields.arg2.at;
const COUNTER = ExternalRecord.fields.counter.at;
const EMBREF = ExtFlag.EXT_FLAG_EMBREF << 8;

const PARKED = MbufStatistics.fields.parked.at;

/**
 * Makes `n`, which has no external storage, a user of m's (mb_dupcl). The single place that raises
 * a count by one. m_data and m_len of `n` are the caller's to set. Throws ExternalStorageError when
 * m has none or n has some.
 */
export function addReference(mbufs: MbufCore, n: Address, m: Address): void {
  const { words, ext, sharedFlags } = mbufs;
  if ((words[(m >> 2) + FLAGS]! & M_EXT) === 0 || (words[(n >> 2) + FLAGS]! & M_EXT) !== 0) {
    throw new ExternalStorageError(
      `mb_dupcl: mbuf ${m} must have external storage, and ${n} must have none`,
    );
  }
  shareStorage(words, ext, sharedFlags, n, m);
  refOwner(mbufs, n);
}

/** `addReference` without its checks, over views, so that m_copym has it inlined. */
export function shareStorage(
  words: Int32Array<SharedArrayBuffer>,
  ext: number,
  sharedFlags: number,
  n: number,
  m: number,
): void {
  const from = m >> 2;
  const to = n >> 2;
  const source = from + ext;
  const target = to + ext;
  const type = words[source + EXT_TYPE]!;
  const holder = words[source + HOLDER]!;
  if ((type & 0xff) === EXT_EXTREF) {
    shareExtref(words, ext, n, m);
  } else {
    const count = (holder >> 2) + ext + COUNT;
    if (words[from + SHARED] === 0) firstShare(words, from, count);
    else refcountAdd(words, count);
    words[target + HOLDER] = holder;
  }
  words[to + SHARED] = 1;
  words[to + FLAGS]! |= words[from + FLAGS]! & sharedFlags;
  words[target + BUF] = words[source + BUF]!;
  words[target + SIZE] = words[source + SIZE]!;
  words[target + EXT_TYPE] = type & ~EMBREF;
}

/**
 * The second reference: the mbuf at word index `from` is the holder and only user of its storage, so
 * the count starts with both.
 */
function firstShare(words: Int32Array<SharedArrayBuffer>, from: number, count: number): void {
  refcountInit(words, count, 2);
  words[from + SHARED] = 1;
}

/** EXT_EXTREF: the count is in caller memory, and every user has all of the record. */
function shareExtref(
  words: Int32Array<SharedArrayBuffer>,
  ext: number,
  n: number,
  m: number,
): void {
  const source = (m >> 2) + ext;
  const target = (n >> 2) + ext;
  refcountAdd(words, words[source + COUNTER]! >> 2);
  words[target + HOLDER] = n;
  words[target + FREE] = words[source + FREE]!;
  words[target + ARG1] = words[source + ARG1]!;
  words[target + ARG2] = words[source + ARG2]!;
  words[target + COUNTER] = words[source + COUNTER]!;
}

/**
 * Frees `m`, which has M_EXT, and drops its reference (mb_free_ext). Its share of the type statistic
 * is gone already, and `checkFreeExternal` has agreed. No atomic while `shared` is clear.
 */
export function freeExternal(mbufs: MbufCore, m: Address): void {
  const { words } = mbufs;
  const base = m >> 2;
  if (words[base + SHARED] === 0) {
    words[base + TYPE] = 0;
    releaseStorage(mbufs, m);
    freeHolder(mbufs, m);
    return;
  }
  if ((words[base + mbufs.ext + EXT_TYPE]! & 0xff) === EXT_EXTREF) {
    freeExtref(mbufs, m);
    return;
  }
  const holder = words[base + mbufs.ext + HOLDER]! as Address;
  words[base + TYPE] = 0; // before the drop: afterwards a holder is not ours to write
  const slot = dropReference(mbufs, holder, m);
  if (slot !== 0) finishLast(mbufs, slot);
  else if (holder === m) words[mbufs.statistics + PARKED]! += 1;
  else mbufs.zones.mbuf.free(m);
}

/** EXT_EXTREF: the count is the caller's, nothing is parked, and m may live inside its storage. */
function freeExtref(mbufs: MbufCore, m: Address): void {
  const { words } = mbufs;
  // Nothing of an M_NOFREE mbuf is read after its storage is released.
  const noFree = (words[(m >> 2) + FLAGS]! & mbufs.noFreeFlag) !== 0;
  words[(m >> 2) + TYPE] = 0;
  if (refcountRelease(words, countWord(mbufs, m))) runExternalFree(mbufs, m);
  if (!noFree) mbufs.zones.mbuf.free(m);
}

/** Throws what makes the free of `m`, which has M_EXT, impossible. Changes nothing. */
export function checkFreeExternal(mbufs: MbufCore, m: Address): void {
  const { words } = mbufs;
  const ext = (m >> 2) + mbufs.ext;
  const type = words[ext + EXT_TYPE]! & 0xff;
  requireExternalFree(mbufs, m);
  if (
    (words[(m >> 2) + FLAGS]! & mbufs.noFreeFlag) !== 0 &&
    type !== EXT_EXTREF &&
    type !== ExtType.EXT_RXRING
  ) {
    throw new ExternalStorageError(`m_free: M_NOFREE mbuf ${m} has storage of type ${type}`);
  }
}
