/**
 * Boot sizing of the mbuf limits (`tunable_mbinit`). Pure integer arithmetic on bytes and counts;
 * a tunable of 0, or none, means "compute".
 */

import { ArgumentError, PAGE_SIZE } from '@umbuf/memory';
import { MCLBYTES, MJUM16BYTES, MJUM9BYTES, MJUMPAGESIZE } from './constants.ts';

/** What `kern.ipc.*` loader tunables may override. */
export interface MbufTunables {
  /** `kern.ipc.maxmbufmem`, bytes. */
  readonly maxmbufmem?: number;
  readonly nmbclusters?: number;
  readonly nmbjumbop?: number;
  readonly nmbjumbo9?: number;
  readonly nmbjumbo16?: number;
  readonly nmbufs?: number;
}

export interface MbufLimits {
  /** Bytes that can back mbufs at all. */
  readonly realmem: number;
  /** Bytes that the limits are computed from: at most three quarters of `realmem`. */
  readonly maxmbufmem: number;
  readonly nmbclusters: number;
  readonly nmbjumbop: number;
  readonly nmbjumbo9: number;
  readonly nmbjumbo16: number;
  /** Never below the sum of the four cluster limits. */
  readonly nmbufs: number;
}

/**
 * The limits of an mbuf system on `physicalPages` pages of which `kmemBytes` can be mapped.
 * `msize` is MSIZE of the preset. Throws `ArgumentError` naming what is no non-negative integer.
 */
export function sizeMbufs(
  physicalPages: number,
  kmemBytes: number,
  msize: number,
  tunables: MbufTunables = {},
): MbufLimits {
  requireCount('physicalPages', physicalPages);
  requireCount('kmemBytes', kmemBytes);
  requireCount('msize', msize);
  if (msize === 0) throw new ArgumentError('msize: 0 is no size of an mbuf');
  for (const [name, value] of Object.entries(tunables)) requireCount(name, value);

  const realmem = Math.min(physicalPages * PAGE_SIZE, kmemBytes);
  const wanted = tunables.maxmbufmem || Math.floor(realmem / 2);
  const maxmbufmem = Math.min(wanted, Math.floor(realmem / 4) * 3);
  const share = (bytes: number, part: number): number =>
    Math.floor(Math.floor(maxmbufmem / bytes) / part);
  const nmbclusters = tunables.nmbclusters || share(MCLBYTES, 4);
  const nmbjumbop = tunables.nmbjumbop || share(MJUMPAGESIZE, 4);
  const nmbjumbo9 = tunables.nmbjumbo9 || share(MJUM9BYTES, 6);
  const nmbjumbo16 = tunables.nmbjumbo16 || share(MJUM16BYTES, 6);
  const clusters = nmbclusters + nmbjumbop + nmbjumbo9 + nmbjumbo16;
  const asked = tunables.nmbufs ?? 0;
  const nmbufs = asked < clusters ? Math.max(share(msize, 5), clusters) : asked;
  return { realmem, maxmbufmem, nmbclusters, nmbjumbop, nmbjumbo9, nmbjumbo16, nmbufs };
}

function requireCount(name: string, value: number | undefined): void {
  if (value === undefined) return;
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new ArgumentError(`${name}: ${value} is no non-negative integer`);
  }
}
