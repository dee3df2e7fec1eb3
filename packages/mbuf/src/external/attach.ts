/**
 * Attaching storage to an mbuf: clusters (m_clget, m_cljget, m_cljset) and buffers of the caller
 * (m_extadd, m_extaddref). The mbuf becomes the holder of the storage and its only user, so
 * `shared` is cleared, except for EXTREF and RXRING, whose counts others may touch.
 *
 * An mbuf that has storage already is refused: the kernels would leak the old buffer.
 */

import { type Address, ArgumentError, NULL, refcountAdd, refcountInit } from '@umbuf/memory';
import { M_NOWAIT, M_ZERO, type Zone } from '@umbuf/uma';
import { MCLBYTES, M_EXT, MJUM16BYTES, MJUM9BYTES, MJUMPAGESIZE } from '../constants.ts';
import { ExternalStorageError } from '../errors.ts';
import { ExtFlag, ExtType } from '../freebsd-flags.ts';
import { ExternalRecord } from '../layout.ts';
import type { MbufCore } from '../core.ts';
import { refOwner } from '../owner.ts';
import { DATA, FLAGS, SHARED } from '../segment.ts';

const E = ExternalRecord.fields;
const EMBREF = ExtFlag.EXT_FLAG_EMBREF << 8;

/** What attaching needs of the mbuf system; zones.ts has it before an `Mbufs` exists. */
export interface AttachView {
  readonly words: Int32Array<SharedArrayBuffer>;
  /** Word offset of the external record. */
  readonly ext: number;
  /** m_flags that describe storage, and those that a cluster sets. */
  readonly storageFlags: number;
  readonly clusterFlags: number;
}

/**
 * Makes `m` the holder and only user of the cluster `buf` (mb_ctor_clust). The count would be 1; it
 * is not stored, because nobody reads it before it is shared.
 */
export function attachCluster(
  view: AttachView,
  m: Address,
  buf: Address,
  size: number,
  type: number,
): void {
  const { words } = view;
  const base = m >> 2;
  words[base + FLAGS] = (words[base + FLAGS]! & ~view.storageFlags) | view.clusterFlags;
  attach(view, m, buf, size, type);
}

function attach(view: AttachView, m: Address, buf: Address, size: number, type: number): void {
  const { words } = view;
  const base = m >> 2;
  const ext = base + view.ext;
  words[base + DATA] = buf;
  words[base + SHARED] = 0;
  words[ext + E.holder.at] = m;
  words[ext + E.buf.at] = buf;
  words[ext + E.size.at] = size;
  words[ext + E.type.at] = type | EMBREF;
  words[ext + E.free.at] = 0;
  words[ext + E.arg1.at] = 0;
  words[ext + E.arg2.at] = 0;
  words[ext + E.paddr.at] = buf;
}

/**
 * Attaches a 2 KiB cluster (m_clget, MCLGET). False when there is none: nothing has changed. m_len
 * stays; m_data moves to the cluster. With M_NOWAIT an empty cluster zone is refilled once from the
 * packet zone's caches (FreeBSD only).
 */
export function clget(mbufs: MbufCore, m: Address, how: number): boolean {
  requireNoStorage(mbufs, 'm_clget', m);
  const { cluster } = mbufs.zones;
  let buf = cluster.alloc(how & ~M_ZERO);
  if (buf === NULL && (how & M_NOWAIT) !== 0 && mbufs.packetZone) {
    mbufs.drainPackets();
    buf = cluster.alloc(how & ~M_ZERO);
  }
  if (buf === NULL) return false;
  attachCluster(mbufs, m, buf, MCLBYTES, ExtType.EXT_CLUSTER);
  refOwner(mbufs, m);
  return true;
}

/**
 * Attaches a cluster of `size` bytes (2048, 4096, 9216 or 16384; m_cljget) and returns its address,
 * or NULL. With `m` NULL the bare cluster is returned: it has no count and goes back with
 * `cljset` and `free`, or with `freeCluster`.
 */
export function cljget(mbufs: MbufCore, m: Address, how: number, size: number): Address {
  const zone = clusterZone(mbufs, 'm_cljget', size);
  if (m !== NULL) requireNoStorage(mbufs, 'm_cljget', m);
  const buf = zone.alloc(how & ~M_ZERO);
  if (buf !== NULL && m !== NULL) {
    attachCluster(mbufs, m, buf, size, clusterType(size));
    refOwner(mbufs, m);
  }
  return buf;
}

/** Attaches the bare cluster `buf`, which came from `cljget`, by its EXT_ type (m_cljset). */
export function cljset(mbufs: MbufCore, m: Address, buf: Address, type: number): void {
  requireNoStorage(mbufs, 'm_cljset', m);
  const size = clusterSizes.get(type);
  if (size === undefined) {
    throw new ExternalStorageError(`m_cljset: ${type} is no EXT_ type of a cluster`);
  }
  attachCluster(mbufs, m, buf, size, type);
  refOwner(mbufs, m);
}

/** Gives back a bare cluster of `size` bytes that no mbuf has. */
export function freeCluster(mbufs: MbufCore, buf: Address, size: number): void {
  clusterZone(mbufs, 'freeCluster', size).free(buf);
}

/**
 * Attaches `size` bytes of the caller's memory at `buf` (m_extadd, MEXTADD). `free` is the id of a
 * registered ext_free callback, which runs once, with the holder, on whichever CPU drops the last
 * reference; EXT_RXRING has none (0). `flags` are added to m_flags. EXT_EXTREF needs `counter`, the
 * address of an aligned count word in the arena that already counts this reference.
 */
export function extadd(
  mbufs: MbufCore,
  m: Address,
  buf: Address,
  size: number,
  free: number,
  arg1: number,
  arg2: number,
  flags: number,
  type: number,
  counter: Address = NULL,
): void {
  requireNoStorage(mbufs, 'm_extadd', m);
  requireStorage(mbufs, m, buf, size, type, free, counter);
  const { words } = mbufs;
  const base = m >> 2;
  const ext = base + mbufs.ext;
  words[base + FLAGS]! |= M_EXT | flags;
  attach(mbufs, m, buf, size, type);
  words[ext + E.free.at] = free;
  words[ext + E.arg1.at] = arg1;
  words[ext + E.arg2.at] = arg2;
  if (type === ExtType.EXT_EXTREF) {
    words[ext + E.type.at] = type;
    words[ext + E.counter.at] = counter;
    words[base + SHARED] = 1;
  } else if (type === ExtType.EXT_RXRING) {
    words[base + SHARED] = 1;
    refcountInit(words, ext + E.count.at, 1);
  }
  refOwner(mbufs, m);
}

/** As `extadd` with EXT_EXTREF, adding a reference to the caller's count first (m_extaddref). */
export function extaddref(
  mbufs: MbufCore,
  m: Address,
  buf: Address,
  size: number,
  counter: Address,
  free: number,
  arg1: number,
  arg2: number,
): void {
  requireNoStorage(mbufs, 'm_extaddref', m);
  requireStorage(mbufs, m, buf, size, ExtType.EXT_EXTREF, free, counter);
  refcountAdd(mbufs.words, counter >> 2);
  extadd(mbufs, m, buf, size, free, arg1, arg2, 0, ExtType.EXT_EXTREF, counter);
}

// What can be wrong.

/** ext_size of each EXT_ type that stands for a cluster. */
const clusterSizes: ReadonlyMap<number, number> = new Map<number, number>([
  [ExtType.EXT_CLUSTER, MCLBYTES],
  [ExtType.EXT_JUMBOP, MJUMPAGESIZE],
  [ExtType.EXT_JUMBO9, MJUM9BYTES],
  [ExtType.EXT_JUMBO16, MJUM16BYTES],
]);

/** EXT_ types whose storage is released by an ext_free callback. */
const callbackTypes: ReadonlySet<number> = new Set<number>([
  ExtType.EXT_SFBUF,
  ExtType.EXT_NET_DRV,
  ExtType.EXT_MOD_TYPE,
  ExtType.EXT_DISPOSABLE,
  ExtType.EXT_EXTREF,
]);

/** EXT_ type of a cluster of `size` bytes (m_gettype); the size was checked by `clusterZone`. */
export function clusterType(size: number): number {
  if (size === MCLBYTES) return ExtType.EXT_CLUSTER;
  if (size === MJUMPAGESIZE) return ExtType.EXT_JUMBOP;
  return size === MJUM9BYTES ? ExtType.EXT_JUMBO9 : ExtType.EXT_JUMBO16;
}

/** The zone of clusters of `size` bytes (m_getzone). Throws ArgumentError for other sizes. */
export function clusterZone(mbufs: MbufCore, operation: string, size: number): Zone {
  const { zones } = mbufs;
  switch (size) {
    case MCLBYTES:
      return zones.cluster;
    case MJUMPAGESIZE:
      return zones.jumboPage;
    case MJUM9BYTES:
      return zones.jumbo9;
    case MJUM16BYTES:
      return zones.jumbo16;
    default:
      throw new ArgumentError(`${operation}: invalid cluster size ${String(size)}`);
  }
}

function requireNoStorage(mbufs: MbufCore, operation: string, m: Address): void {
  mbufs.checkMbuf(operation, m);
  if ((mbufs.words[(m >> 2) + FLAGS]! & M_EXT) !== 0) {
    throw new ExternalStorageError(`${operation}: mbuf ${m} has external storage already`);
  }
}

function requireStorage(
  mbufs: MbufCore,
  m: Address,
  buf: Address,
  size: number,
  type: number,
  free: number,
  counter: Address,
): void {
  const { length } = mbufs.bytes;
  if (!Number.isInteger(buf) || !Number.isInteger(size) || size < 0 || buf <= 0) {
    throw new ArgumentError(`m_extadd: mbuf ${m}: no storage of ${size} bytes at ${buf}`);
  }
  if (buf + size > length) {
    throw new ArgumentError(`m_extadd: mbuf ${m}: ${size} bytes at ${buf} leave the arena`);
  }
  if (!callbackTypes.has(type) && type !== ExtType.EXT_RXRING) {
    throw new ExternalStorageError(`m_extadd: mbuf ${m}: type ${type} cannot be added`);
  }
  if (callbackTypes.has(type) ? mbufs.externalFrees[free] === undefined : free !== 0) {
    throw new ExternalStorageError(
      `m_extadd: mbuf ${m}: type ${type} with ext_free ${free}, which is ` +
        (type === ExtType.EXT_RXRING ? 'not allowed' : 'not registered in this thread'),
    );
  }
  if (type !== ExtType.EXT_EXTREF) return;
  if (!Number.isInteger(counter) || counter <= 0 || counter >= length || (counter & 3) !== 0) {
    throw new ArgumentError(`m_extadd: mbuf ${m}: EXT_EXTREF needs a count word, not ${counter}`);
  }
}
