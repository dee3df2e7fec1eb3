/**
 * Misuse: at every level NULL and bad numbers are typed errors; from `checks` on also freed mbufs, wild
 * addresses and loops, with nothing changed. The checker finds what was broken on purpose.
 */

import { type Address, type DebugLevelName, NULL, Panic } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import {
  ChainLoopError,
  checkMbufs,
  FreedMbufError,
  M_PKTHDR,
  MbufHeader,
  type Mbufs,
  NotMbufError,
} from '@umbuf/mbuf';
import { UmbufError } from '@umbuf/memory';
import { describe, expect, test } from 'vitest';
import { build, bytesOf, expectEmpty, expectSound, makeMbufs, pattern } from './support.ts';

const H = MbufHeader.fields;

/** Every operation on a chain, with arguments that are right but for the chain. */
const operations: Record<string, (mbufs: Mbufs, m: Address) => void> = {
  free: (mbufs, m) => void mbufs.free(m),
  clget: (mbufs, m) => void mbufs.clget(m, M_NOWAIT),
  length: (mbufs, m) => void mbufs.length(m),
  fixhdr: (mbufs, m) => void mbufs.fixhdr(m),
  last: (mbufs, m) => void mbufs.last(m),
  copym: (mbufs, m) => void mbufs.copym(m, 0, 1, M_NOWAIT),
  dup: (mbufs, m) => void mbufs.dup(m, 0, 1, M_NOWAIT),
  copypacket: (mbufs, m) => void mbufs.copypacket(m, M_NOWAIT),
  copydata: (mbufs, m) => mbufs.copydata(m, 0, 1, new Uint8Array(1)),
  copybackCow: (mbufs, m) => void mbufs.copybackCow(m, 0, 1, pattern(1), M_NOWAIT),
  makewritable: (mbufs, m) => void mbufs.makewritable(m, 0, 1, M_NOWAIT),
  add: (mbufs, m) => void mbufs.add(NULL, m),
  append: (mbufs, m) => void mbufs.append(m, 1, pattern(1)),
  prepend: (mbufs, m) => void mbufs.prepend(m, 1, M_NOWAIT),
  prependMbuf: (mbufs, m) => void mbufs.prependMbuf(m, 1, M_NOWAIT),
  align: (mbufs, m) => mbufs.align(m, 8),
  ensureContig: (mbufs, m) => void mbufs.ensureContig(m, 1),
  pullup: (mbufs, m) => void mbufs.pullup(m, 1),
  copyup: (mbufs, m) => void mbufs.copyup(m, 1, 0),
  pulldown: (mbufs, m) => void mbufs.pulldown(m, 0, 1, true),
  split: (mbufs, m) => void mbufs.split(m, 1, M_NOWAIT),
  defrag: (mbufs, m) => void mbufs.defrag(m, M_NOWAIT),
  apply: (mbufs, m) => void mbufs.apply(m, 0, 1, () => {}),
  forEachSegment: (mbufs, m) => mbufs.forEachSegment(m, () => {}),
  getptr: (mbufs, m) => void mbufs.getptr(m, 0),
  checksum: (mbufs, m) => void mbufs.checksum(m, 0, 1),
  movePkthdr: (mbufs, m) => mbufs.movePkthdr(m, m),
  pkthdrRemove: (mbufs, m) => mbufs.pkthdrRemove(m),
  demote: (mbufs, m) => mbufs.demote(m, true, 0),
};

const names = Object.keys(operations);

describe.each(['none', 'checks', 'invariants'] as DebugLevelName[])('at level %s', (level) => {
  test.each(names)('%s of NULL is NotMbufError', (name) => {
    const mbufs = makeMbufs({}, level);
    expect(() => operations[name]!(mbufs, NULL)).toThrow(NotMbufError);
    expectEmpty(mbufs);
  });

  test('numbers that are none are typed errors and change nothing', () => {
    const mbufs = makeMbufs({}, level);
    const m = build(mbufs, 'h100 C500 d50');
    const before = bytesOf(mbufs, m);
    const source = pattern(10);
    for (const bad of [Number.NaN, 1.5, 2 ** 40, -(2 ** 40), '7' as unknown as number]) {
      const attempts: (() => unknown)[] = [
        () => mbufs.adj(m, bad),
        () => mbufs.copym(m, bad, 10, M_NOWAIT),
        () => mbufs.copym(m, 0, bad, M_NOWAIT),
        () => mbufs.copydata(m, bad, 1, source),
        () => mbufs.copyback(m, bad, 1, source),
        () => mbufs.copyback(m, 0, bad, source),
        () => mbufs.append(m, bad, source),
        () => mbufs.split(m, bad, M_NOWAIT),
        () => mbufs.pullup(m, bad),
        () => mbufs.copyup(m, 1, bad),
        () => mbufs.pulldown(m, bad, 1, true),
        () => mbufs.prepend(m, bad, M_NOWAIT),
        () => mbufs.getptr(m, bad),
        () => mbufs.apply(m, 0, bad, () => 0),
        () => mbufs.checksum(m, bad, 2),
        () => mbufs.devget(source, bad, 0, 1),
      ];
      for (const attempt of attempts) expect(attempt).toThrow(UmbufError);
    }
    for (const attempt of [
      () => mbufs.copydata(m, 0, 651, new Uint8Array(651)),
      () => mbufs.copydata(m, 0, 20, new Uint8Array(19)),
      () => mbufs.copydata(m, 0, 20, (mbufs.bytes.length - 10) as Address),
      () => mbufs.append(m, 20, source),
      () => mbufs.copym(m, 600, 100, M_NOWAIT),
      () => mbufs.prepend(m, 100000, M_NOWAIT),
      () => mbufs.copyback(m, 2 ** 31 - 5, 10, source),
      () => mbufs.devget(source, 10, 8, 1),
      () => mbufs.copyup(m, 0, mbufs.mhlen + 1),
      () => mbufs.align(m, mbufs.mlen + 1),
    ]) {
      expect(attempt).toThrow(UmbufError);
    }
    expect(bytesOf(mbufs, m)).toEqual(before);
    expectSound(mbufs, m);
    mbufs.freem(m);
    expectEmpty(mbufs);
  });

  test('a double free is FreedMbufError and damages no counter', () => {
    const mbufs = makeMbufs({}, level);
    for (const get of [
      () => mbufs.get(M_NOWAIT, 1),
      () => mbufs.getcl(M_NOWAIT, 1, M_PKTHDR),
      () => mbufs.getjcl(M_NOWAIT, 1, 0, 4096),
    ]) {
      const m = get();
      mbufs.free(m);
      expect(() => mbufs.free(m)).toThrow(FreedMbufError);
    }
    expectEmpty(mbufs);
  });
});

describe.each(['checks', 'invariants'] as DebugLevelName[])('at level %s', (level) => {
  test.each(names)('%s of a freed mbuf, a wild address or a loop changes nothing', (name) => {
    const mbufs = makeMbufs({}, level);
    const operation = operations[name]!;
    const keep = build(mbufs, 'h100 C500');
    const freed = build(mbufs, 'h10');
    mbufs.freem(freed);
    expect(() => operation(mbufs, freed)).toThrow(FreedMbufError);
    for (const wild of [4096, keep + 4, keep + 3, -256, mbufs.bytes.length, 2 ** 33, Number.NaN]) {
      expect(() => operation(mbufs, wild as Address)).toThrow(UmbufError);
    }
    const loop = build(mbufs, 'h10 d10');
    const second = mbufs.words[(loop >> 2) + H.next.at]!;
    mbufs.words[(second >> 2) + H.next.at] = loop;
    const single = [
      'free',
      'clget',
      'align',
      'prepend',
      'prependMbuf',
      'movePkthdr',
      'pkthdrRemove',
    ];
    if (!single.includes(name)) {
      expect(() => operation(mbufs, loop)).toThrow(ChainLoopError);
    }
    mbufs.words[(second >> 2) + H.next.at] = 0;
    expectSound(mbufs, keep, loop);
    mbufs.freem(keep);
    mbufs.freem(loop);
    expectEmpty(mbufs);
  });

  test('m_freem of a loop frees nothing', () => {
    const mbufs = makeMbufs({}, level);
    const m = build(mbufs, 'h10 d10');
    const second = mbufs.words[(m >> 2) + H.next.at]!;
    mbufs.words[(second >> 2) + H.next.at] = second;
    expect(() => mbufs.freem(m)).toThrow(ChainLoopError);
    mbufs.words[(second >> 2) + H.next.at] = 0;
    expectSound(mbufs, m);
    mbufs.freem(m);
    expectEmpty(mbufs);
  });
});

describe('at level invariants', () => {
  test('a write into a cached packet cluster is found when it is taken out', () => {
    const mbufs = makeMbufs({}, 'invariants');
    const m = mbufs.getcl(M_NOWAIT, 1, 0);
    const data = mbufs.words[(m >> 2) + H.data.at]!;
    mbufs.free(m);
    mbufs.bytes[data + 1000] = 1;
    expect(() => mbufs.getcl(M_NOWAIT, 1, 0)).toThrow(Panic);
  });
});

describe('checkMbufs', () => {
  const faults: [string, RegExp, (mbufs: Mbufs, m: Address) => void][] = [
    [
      'a wrong pkthdr.len',
      /pkthdr\.len 601/,
      (mbufs, m) => (mbufs.words[(m >> 2) + mbufs.pkthdr + 2]! += 1),
    ],
    [
      'a length outside the area',
      /outside its data area/,
      (mbufs, m) => (mbufs.words[(m >> 2) + H.len.at] = 5000),
    ],
    [
      'a wrong count',
      /count 3, users 2/,
      (mbufs, m) => {
        const second = mbufs.words[(m >> 2) + H.next.at]!;
        mbufs.words[(second >> 2) + mbufs.ext + 1]! += 1;
      },
    ],
    [
      'a cleared private byte',
      /says unshared/,
      (mbufs, m) => {
        const second = mbufs.words[(m >> 2) + H.next.at]!;
        mbufs.words[(second >> 2) + H.shared.at] = 0;
      },
    ],
    ['a freed type', /m_type 0/, (mbufs, m) => (mbufs.words[(m >> 2) + H.type.at] = 0)],
    ['a lost mbuf', /live items: \d+, should be/, (mbufs) => void mbufs.get(M_NOWAIT, 1)],
  ];

  test.each(faults)('reports %s', (_name, message, fault) => {
    const mbufs = makeMbufs({}, 'none');
    const m = build(mbufs, 'h100 C500');
    const copy = mbufs.copypacket(m, M_NOWAIT);
    expect(checkMbufs(mbufs, [m, copy])).toEqual([]);
    fault(mbufs, m);
    expect(checkMbufs(mbufs, [m, copy]).join('\n')).toMatch(message);
  });

  test('reports an mbuf in two chains', () => {
    const mbufs = makeMbufs({}, 'none');
    const m = build(mbufs, 'h100 d50');
    const second = mbufs.words[(m >> 2) + H.next.at]! as Address;
    expect(checkMbufs(mbufs, [m, second]).join('\n')).toMatch(/in two places/);
  });
});
