/**
 * Never-shared storage costs no atomic: Atomics is replaced by a counting one while mbufs, packets and
 * clusters are allocated and freed with the CPU entered and its caches warm.
 */

import { M_NOWAIT } from '@umbuf/uma';
import { M_PKTHDR, type PresetName } from '@umbuf/mbuf';
import { afterEach, describe, expect, test } from 'vitest';
import { build, makeMbufs } from './support.ts';

const real = globalThis.Atomics;

afterEach(() => {
  globalThis.Atomics = real;
});

/** Atomics calls of `body`. */
function countAtomics(body: () => void): number {
  let calls = 0;
  globalThis.Atomics = new Proxy(real, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        calls++;
        return Reflect.apply(value, target, args);
      };
    },
  });
  body();
  globalThis.Atomics = real;
  return calls;
}

describe.each(['freebsd', 'netbsd'] as PresetName[])('%s', (preset) => {
  const mbufs = makeMbufs({ preset }, 'none');

  test.each([
    ['mbuf', () => mbufs.get(M_NOWAIT, 1)],
    ['packet header', () => mbufs.gethdr(M_NOWAIT, 1)],
    ['packet with cluster', () => mbufs.getcl(M_NOWAIT, 1, M_PKTHDR)],
    ['jumbo cluster', () => mbufs.getjcl(M_NOWAIT, 1, 0, 9216)],
  ])('%s: allocation and free make no Atomics call', (_name, get) => {
    mbufs.free(get()); // the caches are warm, the CPU is entered
    expect(countAtomics(() => void mbufs.free(get()))).toBe(0);
  });

  test('the counter counts: a share and its release are two calls, the first as the second', () => {
    const m = mbufs.getcl(M_NOWAIT, 1, M_PKTHDR);
    const copyAndFree = (): void => mbufs.freem(mbufs.copym(m, 0, mbufs.copyAll, M_NOWAIT));
    mbufs.freem(mbufs.get(M_NOWAIT, 1));
    expect(countAtomics(copyAndFree)).toBe(2);
    expect(countAtomics(copyAndFree)).toBe(2);
    mbufs.freem(m);
  });

  test('writing, trimming and reading unshared chains make none', () => {
    const m = build(mbufs, 'h100 C1500 d50');
    const calls = countAtomics(() => {
      mbufs.adj(m, 20);
      mbufs.copyback(m, 30, 100, new Uint8Array(100));
      mbufs.prepend(m, 14, M_NOWAIT);
      mbufs.checksum(m, 0, 500);
    });
    expect(calls).toBe(0);
    mbufs.freem(m);
  });
});
