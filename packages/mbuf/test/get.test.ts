/** Allocation: what each call returns, at which sizes, and what is left when memory is exhausted. */

import { type Address, ArgumentError, NULL } from '@umbuf/memory';
import { M_NOWAIT, M_ZERO } from '@umbuf/uma';
import {
  ChainRangeError,
  M_EOR,
  M_EXT,
  M_PKTHDR,
  MbufHeader,
  type Mbufs,
  type PresetName,
  PresetMismatchError,
  presets,
} from '@umbuf/mbuf';
import { Mbufs as System } from '@umbuf/mbuf';
import { describe, expect, test } from 'vitest';
import { expectEmpty, expectSound, FailingZones, makeMbufs, mbufsOf, shape } from './support.ts';

const H = MbufHeader.fields;

/** Capacities along a chain. */
const rooms = (mbufs: Mbufs, m: Address): number[] =>
  mbufsOf(mbufs, m).map((at) => mbufs.capacity(at));

describe.each(['freebsd', 'netbsd'] as PresetName[])('%s', (preset) => {
  const { msize, mlen, mhlen } = presets[preset];

  test('sizes are those of the preset', () => {
    const mbufs = makeMbufs({ preset });
    const plain = mbufs.get(M_NOWAIT, 1);
    const header = mbufs.gethdr(M_NOWAIT, 1);
    expect([plain, header].map((m) => mbufs.capacity(m))).toEqual([mlen, mhlen]);
    expect([plain % msize, header % msize]).toEqual([0, 0]);
    for (const m of [plain, header]) {
      expect(mbufs.words[(m >> 2) + H.data.at]! + mbufs.capacity(m)).toBe(m + msize);
      mbufs.free(m);
    }
    expectEmpty(mbufs);
  });

  test('a fresh header is zero, whatever was there, also with M_ZERO', () => {
    const mbufs = makeMbufs({ preset });
    for (const how of [M_NOWAIT, M_NOWAIT | M_ZERO]) {
      for (const get of [mbufs.gethdr, (h: number, t: number) => mbufs.getcl(h, t, M_PKTHDR)]) {
        const used = get(how, 1);
        const header = (used >> 2) + mbufs.pkthdr;
        mbufs.words.fill(-1, header, header + 1);
        mbufs.words.fill(-1, header + 2, header + 14);
        mbufs.words[header + 3]! ^= mbufs.sendTagFlag; // csum_flags: with this bit rcvif is a send tag
        mbufs.free(used);
        const m = get(how, 1);
        const words = mbufs.words.slice((m >> 2) + mbufs.pkthdr, (m >> 2) + mbufs.pkthdr + 14);
        expect([...words]).toEqual(Array.from({ length: 14 }, () => 0));
        expect(mbufs.words[(m >> 2) + H.len.at]).toBe(0);
        expect(mbufs.words[(m >> 2) + H.next.at]).toBe(NULL);
        mbufs.free(m);
      }
    }
    expectEmpty(mbufs);
  });

  test('m_get2 takes the cheapest that fits', () => {
    const mbufs = makeMbufs({ preset });
    const room = (size: number, flags: number): number => {
      const m = mbufs.get2(size, M_NOWAIT, 1, flags);
      if (m === NULL) return 0;
      const capacity = mbufs.capacity(m);
      mbufs.free(m);
      return capacity;
    };
    expect(room(mhlen, M_PKTHDR)).toBe(mhlen);
    expect(room(mhlen + 1, M_PKTHDR)).toBe(2048);
    expect(room(mlen, 0)).toBe(mlen);
    expect(room(mlen + 1, 0)).toBe(2048);
    expect(room(2048, M_PKTHDR)).toBe(2048);
    expect(room(2049, M_PKTHDR)).toBe(4096);
    expect(room(4096, 0)).toBe(4096);
    expect(room(4097, 0)).toBe(0);
    expect(() => mbufs.get2(-1, M_NOWAIT, 1, 0)).toThrow(ChainRangeError);
    expect(() => mbufs.get2(1.5, M_NOWAIT, 1, 0)).toThrow(ArgumentError);
    expectEmpty(mbufs);
  });

  test('m_getjcl by cluster size', () => {
    const mbufs = makeMbufs({ preset });
    for (const size of [2048, 4096, 9216, 16384]) {
      const m = mbufs.getjcl(M_NOWAIT, 1, M_PKTHDR, size);
      expect(mbufs.capacity(m)).toBe(size);
      expect(mbufs.writable(m)).toBe(true);
      expectSound(mbufs, m);
      mbufs.free(m);
    }
    expect(() => mbufs.getjcl(M_NOWAIT, 1, 0, 1000)).toThrow(/invalid cluster size/);
    expectEmpty(mbufs);
  });

  test('m_getm2: pages, then a cluster or an mbuf', () => {
    const mbufs = makeMbufs({ preset });
    const m = mbufs.getm2(NULL, 4096 + 2048 + 100, M_NOWAIT, 1, M_PKTHDR | M_EOR);
    expect(rooms(mbufs, m)).toEqual([4096, 4096]);
    const n = mbufs.getm2(NULL, 4096 + 100, M_NOWAIT, 1, M_PKTHDR);
    expect(rooms(mbufs, n)).toEqual([4096, mlen]);
    const eor = (at: Address): boolean => (mbufs.words[(at >> 2) + H.flags.at]! & M_EOR) !== 0;
    expect(mbufsOf(mbufs, m).map(eor)).toEqual([false, true]);
    // Appended: the header is not wanted twice, M_EOR moves to the new end.
    expect(mbufs.getm2(m, 1, M_NOWAIT, 1, M_PKTHDR | M_EOR)).toBe(m);
    expect(mbufsOf(mbufs, m).map(eor)).toEqual([false, false, true]);
    expect(shape(mbufs, m)).toBe('HC0 C0 d0');
    expect(mbufs.getm2(m, 0, M_NOWAIT, 1, 0)).toBe(m);
    expect(mbufsOf(mbufs, m).map(eor)).toEqual([false, false, false]);
    expect(() => mbufs.getm2(NULL, 0, M_NOWAIT, 1, M_EOR)).toThrow(ArgumentError);
    mbufs.freem(m);
    mbufs.freem(n);
    expectEmpty(mbufs);
  });

  test('a call whose k-th and later allocations fail leaves nothing', () => {
    const mbufs = makeMbufs({ preset });
    const failing = new FailingZones(mbufs);
    const calls: (() => Address)[] = [
      () => mbufs.get(M_NOWAIT, 1),
      () => mbufs.gethdr(M_NOWAIT, 1),
      () => mbufs.getcl(M_NOWAIT, 1, M_PKTHDR),
      () => mbufs.getjcl(M_NOWAIT, 1, 0, 9216),
      () => mbufs.get2(3000, M_NOWAIT, 1, M_PKTHDR),
      () => mbufs.getm2(NULL, 9000, M_NOWAIT, 1, M_PKTHDR),
    ];
    for (const call of calls) {
      failing.arm(0);
      const m = call();
      const attempts = failing.count;
      expect(m).not.toBe(NULL);
      mbufs.freem(m);
      for (let k = 1; k <= Math.min(attempts, 8); k++) {
        failing.arm(k, true);
        const n = call();
        // With the first failing for good, all do; later ones may be a refill that got enough.
        if (k === 1) expect(n).toBe(NULL);
        failing.disarm();
        mbufs.freem(n);
        expectEmpty(mbufs);
      }
    }
  });

  test('an exhausted arena returns NULL, and everything can be freed and had again', () => {
    const mbufs = makeMbufs({ preset }, 'checks', 2 << 20);
    const round = (): number => {
      const chains: Address[] = [];
      for (;;) {
        const m = mbufs.getcl(M_NOWAIT, 1, M_PKTHDR);
        if (m === NULL) break;
        chains.push(m);
      }
      expectSound(mbufs, ...chains);
      for (const m of chains) mbufs.freem(m);
      expectEmpty(mbufs);
      return chains.length;
    };
    const first = round();
    expect(first).toBeGreaterThan(100);
    // Which slabs the reclaim of a full arena gives up depends on what was in the caches.
    for (let again = 0; again < 3; again++) {
      expect(Math.abs(round() - first)).toBeLessThanOrEqual(first / 50);
    }
  });
});

describe('attach', () => {
  test('the same Uma gives the same object; other settings are refused', () => {
    const mbufs = makeMbufs({ preset: 'netbsd', maxProtohdr: 40 });
    expect(System.attach(mbufs.uma)).toBe(mbufs);
    expect(System.attach(mbufs.uma, { preset: 'netbsd' })).toBe(mbufs);
    expect(() => System.attach(mbufs.uma, { preset: 'freebsd' })).toThrow(PresetMismatchError);
    expect(() => System.attach(mbufs.uma, { maxProtohdr: 60 })).toThrow(PresetMismatchError);
    expect(() => System.attach(mbufs.uma, { maxProtohdr: -1 })).toThrow(ArgumentError);
    expect(() => makeMbufs({ preset: 'linux' as PresetName })).toThrow(PresetMismatchError);
  });

  test('packets of the freebsd preset come from the packet zone, those of netbsd do not', () => {
    const type = (mbufs: Mbufs): number => {
      const m = mbufs.getcl(M_NOWAIT, 1, 0);
      expect(mbufs.words[(m >> 2) + H.flags.at]! & M_EXT).toBe(M_EXT);
      return mbufs.words[(m >> 2) + mbufs.ext + 4]! & 0xff;
    };
    expect(type(makeMbufs({ preset: 'freebsd' }))).toBe(6);
    expect(type(makeMbufs({ preset: 'netbsd' }))).toBe(1);
  });

  test('m_clget without sleeping has the packet zone drained once when clusters are short', () => {
    const mbufs = makeMbufs({ preset: 'freebsd' });
    const { cluster } = mbufs.zones;
    const alloc = cluster.alloc.bind(cluster);
    let attempts = 0;
    cluster.alloc = (flags: number): Address => (attempts++ === 0 ? NULL : alloc(flags));
    let drained = 0;
    const drain = mbufs.drainPackets.bind(mbufs);
    mbufs.drainPackets = (): void => {
      drained++;
      drain();
    };
    const m = mbufs.get(M_NOWAIT, 1);
    expect(mbufs.clget(m, M_NOWAIT)).toBe(true);
    expect([attempts, drained]).toEqual([2, 1]);
    mbufs.free(m);
    expectEmpty(mbufs);
  });

  test('draining the packet zone gives clusters back to theirs', () => {
    const mbufs = makeMbufs({ preset: 'freebsd' });
    const packets = Array.from({ length: 1000 }, () => mbufs.getcl(M_NOWAIT, 1, 0));
    for (const m of packets) mbufs.free(m);
    const { cluster, packet } = mbufs.zones;
    expect(packet.statistics().queued).toBeGreaterThan(0);
    const before = cluster.statistics().live;
    mbufs.drainPackets();
    expect(packet.statistics().queued).toBe(0);
    expect(cluster.statistics().live).toBeLessThan(before);
    expectEmpty(mbufs);
  });
});
