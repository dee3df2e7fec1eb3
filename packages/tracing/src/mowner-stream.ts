/**
 * The stream of `kern.mbuf.mowners` (NetBSD's `struct mowner_user`, LP64): one record of 96 bytes per
 * attached owner, the one attached last first: name (16 bytes), description (16), 16 unused, six 64-bit
 * sums over all CPUs in the order of `OwnerCounters`. Read without stopping anyone, releases before claims.
 *
 * The list may grow between two calls: a reader asks for the size, makes room for ten records more, and
 * asks again when it was too little, as netstat does (`readMowners`).
 */

import { type Arena, UmbufError } from '@umbuf/memory';
import { SysctlError } from '@umbuf/stats';
import { type OwnerCounts, readOwners } from './owner.ts';

/** `sizeof(struct mowner_user)`. */
export const MOWNER_BYTES = 96;
/** Records that a reader makes room for besides those that it was told of. */
export const MOWNER_ROOM = 10;
const TEXT_BYTES = 16;
const COUNTERS_AT = 48;

/** The counters of a mowner, in the order of the stream. */
export const MOWNER_COUNTERS: readonly MownerCounter[] = [
  'claims',
  'releases',
  'clusterClaims',
  'clusterReleases',
  'extClaims',
  'extReleases',
];

type MownerCounter = Exclude<keyof OwnerCounts, 'itemClaims' | 'itemReleases'>;

/** An owner as the stream has it: what it claimed of mbufs. */
export interface Mowner extends Pick<OwnerCounts, MownerCounter> {
  readonly name: string;
  readonly description: string;
}

/** What else a sysctl call of the node may bring; each is refused. */
export interface MownerRequest {
  /** Components of the name behind the node's. */
  readonly name?: readonly number[];
  readonly newValue?: Uint8Array;
}

/**
 * The node's handler. Without `old` it returns the bytes that all owners take now; else it writes whole
 * records into `old` and returns their bytes. Throws `SysctlError`: EINVAL when the name goes on, EPERM for
 * a new value, ENOMEM when not every owner has room, with `needed`; the records that had room stand in `old`.
 */
export function sysctlMowners(
  arena: Arena,
  old: Uint8Array | undefined,
  request: MownerRequest = {},
): number {
  if ((request.name ?? []).length > 0) {
    throw new SysctlError('EINVAL', 'kern.mbuf.mowners: the name goes on behind the node');
  }
  if (request.newValue !== undefined) {
    throw new SysctlError('EPERM', 'kern.mbuf.mowners is read-only');
  }
  const owners = readOwners(arena);
  const needed = owners.length * MOWNER_BYTES;
  if (old === undefined) return needed;
  let at = 0;
  for (const owner of owners) {
    if (at + MOWNER_BYTES > old.length) {
      const text = `kern.mbuf.mowners: ${owners.length} owners have ${needed} bytes, the buffer ${old.length}`;
      throw new SysctlError('ENOMEM', text, needed);
    }
    old.set(encodeMowner(owner), at);
    at += MOWNER_BYTES;
  }
  return at;
}

/** One record of the stream. */
export function encodeMowner(owner: Mowner): Uint8Array {
  const bytes = new Uint8Array(MOWNER_BYTES);
  const text = new TextEncoder();
  // A name of all 16 bytes would have no NUL: attachOwner lets none be that long.
  bytes.set(text.encode(owner.name).subarray(0, TEXT_BYTES), 0);
  bytes.set(text.encode(owner.description).subarray(0, TEXT_BYTES), TEXT_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, name] of MOWNER_COUNTERS.entries()) {
    view.setBigUint64(COUNTERS_AT + index * 8, BigInt.asUintN(64, owner[name]), true);
  }
  return bytes;
}

/** The bytes are no stream of mowners. */
export class MownerStreamError extends UmbufError {
  override name = 'MownerStreamError';
}

/** The owners of a stream. Throws `MownerStreamError` when its bytes are not whole records. */
export function decodeMowners(bytes: Uint8Array): Mowner[] {
  if (bytes.length % MOWNER_BYTES !== 0) {
    throw new MownerStreamError(
      `mowners: ${bytes.length} bytes are no multiple of ${MOWNER_BYTES}`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / MOWNER_BYTES }, (_, index) => {
    const at = index * MOWNER_BYTES;
    const long = (field: number): bigint => view.getBigUint64(at + COUNTERS_AT + field * 8, true);
    return {
      name: textAt(bytes, at),
      description: textAt(bytes, at + TEXT_BYTES),
      claims: long(0),
      releases: long(1),
      clusterClaims: long(2),
      clusterReleases: long(3),
      extClaims: long(4),
      extReleases: long(5),
    };
  });
}

/**
 * The owners as a client of the stream gets them. `sysctl` is `sysctlMowners` or another's handler of the
 * same protocol. Ends: each further round means that more than ten owners were attached during one.
 */
export function readMowners(sysctl: (old: Uint8Array | undefined) => number): Mowner[] {
  for (;;) {
    const buffer = new Uint8Array(sysctl(undefined) + MOWNER_ROOM * MOWNER_BYTES);
    try {
      return decodeMowners(buffer.subarray(0, sysctl(buffer)));
    } catch (error) {
      if (!(error instanceof SysctlError && error.code === 'ENOMEM')) throw error;
    }
  }
}

function textAt(bytes: Uint8Array, at: number): string {
  const text = bytes.subarray(at, at + TEXT_BYTES);
  const end = text.indexOf(0);
  return new TextDecoder().decode(text.slice(0, end < 0 ? TEXT_BYTES : end));
}
