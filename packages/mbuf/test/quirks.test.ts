/** NetBSD's four defects that have a switch: correct by default, as recorded with it (B5, B9, B10). */

import { M_NOWAIT } from '@umbuf/uma';
import { describe, expect, test } from 'vitest';
import { build, expectEmpty, makeMbufs, shape } from './support.ts';

describe.each([false, true])('quirks %s', (quirks) => {
  const mbufs = makeMbufs({ preset: 'netbsd', quirks: quirks ? 'netbsd-1.191' : 'none' });

  test('B5: a packet header is removed from an mbuf with read-only storage, too', () => {
    const m = build(mbufs, 'HC100');
    const copy = mbufs.copypacket(m, M_NOWAIT);
    mbufs.pkthdrRemove(m);
    expect(shape(mbufs, m)).toBe(quirks ? 'HC100' : 'C100');
    mbufs.freem(m);
    mbufs.freem(copy);
    expectEmpty(mbufs);
  });

  test('B10: pkthdr.len follows an extension by zero bytes', () => {
    const m = build(mbufs, 'h10');
    mbufs.copyback(m, 20, 0, new Uint8Array());
    expect(shape(mbufs, m)).toBe('h20');
    expect(mbufs.length(m)).toBe(quirks ? 10 : 20);
    mbufs.freem(m);
    expectEmpty(mbufs);
  });

  test('B9: m_devget of nothing leaks no header', () => {
    expect(mbufs.devget(new Uint8Array(), 0, 0, 1)).toBe(0);
    expect(mbufs.zones.mbuf.statistics().live).toBe(quirks ? 1 : 0);
  });
});
