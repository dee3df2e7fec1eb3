/**
 * The worked examples of the behaviour specification (netbsd-mbuf.md, marked [O] there: confirmed by
 * running the C code), in its notation, with the preset `netbsd` and max_protohdr 40. What they say
 * about B1, B5, B9 and B10 is tested in quirks.test.ts.
 */

import { type Address, NULL } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import { MbufHeader } from '@umbuf/mbuf';
import { afterEach, describe, expect, test } from 'vitest';
import { build, bytesOf, expectEmpty, FailingZones, makeMbufs, pattern, shape } from './support.ts';

const H = MbufHeader.fields;
const mbufs = makeMbufs({ preset: 'netbsd', maxLinkhdr: 16, maxProtohdr: 40 });
const failing = new FailingZones(mbufs);
const live: Address[] = [];

/** A chain that is freed after the test. */
function chain(recipe: string): Address {
  return keep(build(mbufs, recipe));
}

function keep(m: Address): Address {
  if (m !== NULL) live.push(m);
  return m;
}

/** The handle `old` now stands for `m`. */
function replace(old: Address, m: Address): Address {
  live.splice(live.indexOf(old), 1);
  return keep(m);
}

/** A chain whose external storage is shared with another chain. */
function shared(recipe: string): Address {
  const m = chain(recipe);
  keep(mbufs.copym(m, 0, mbufs.copyAll, M_NOWAIT));
  return m;
}

afterEach(() => {
  failing.disarm();
  for (const m of live.splice(0)) mbufs.freem(m);
  expectEmpty(mbufs);
});

describe('m_align and m_append', () => {
  test.each([
    [0, 400],
    [1, 392],
    [8, 392],
    [100, 296],
    [396, 0],
    [400, 0],
  ])('m_align of %d bytes on a header mbuf moves the data by %d', (len, moved) => {
    const m = chain('h0');
    const before = mbufs.words[(m >> 2) + H.data.at]!;
    mbufs.align(m, len);
    expect(mbufs.words[(m >> 2) + H.data.at]! - before).toBe(moved);
  });

  test('m_append fills the last mbuf, then adds mbufs without clusters', () => {
    const m = chain('h10');
    expect(mbufs.append(m, 900, pattern(900))).toBe(true);
    expect(shape(mbufs, m, true)).toBe('h400 d456 d54');
    expect(mbufs.length(m)).toBe(910);
  });
});

describe('m_prepend', () => {
  test('20 bytes in front of a header mbuf take the header along', () => {
    const m = chain('h100');
    const n = replace(m, mbufs.prependMbuf(m, 20, M_NOWAIT));
    expect(shape(mbufs, n, true)).toBe('h(376,20) d(56,100)');
  });

  test('400 bytes in front of a plain mbuf', () => {
    const m = chain('d10');
    const n = replace(m, mbufs.prependMbuf(m, 400, M_NOWAIT));
    expect(shape(mbufs, n, true)).toBe('d(56,400) d10');
  });
});

describe('m_getptr and m_apply', () => {
  test.each([
    ['d10 d0 d5', 10, 2, 0],
    ['d10 d0', 10, 1, 0],
    ['d10 d5', 15, 1, 5],
  ])('byte %s @%d', (recipe, loc, index, offset) => {
    const m = chain(recipe);
    let wanted = m;
    for (let i = 0; i < index; i++) wanted = mbufs.words[(wanted >> 2) + H.next.at]! as Address;
    expect(mbufs.getptr(m, loc)).toBe(wanted);
    expect(mbufs.offset).toBe(offset);
  });

  test.each([
    [3, 10, [7, 0, 3]],
    [10, 2, [0, 2]],
  ])('m_apply(%d, %d) on 10/0/5 calls with empty mbufs too', (off, len, pieces) => {
    const got: number[] = [];
    mbufs.apply(chain('d10 d0 d5'), off, len, (_address, length) => void got.push(length));
    expect(got).toEqual(pieces);
  });
});

describe('m_cat', () => {
  test.each([
    ['h10', 'd20 d360 d15 d1', 'h390 d15 d1'],
    ['HC2040', 'd8 d0 d1', 'HC2048 d1'],
  ])('%s + %s', (left, right, joined) => {
    const m = chain(left);
    mbufs.cat(m, build(mbufs, right));
    expect(shape(mbufs, m)).toBe(joined);
    mbufs.fixhdr(m);
  });
});

describe('m_copym and m_dup', () => {
  test('a copy that begins on a boundary begins with the next mbuf, even an empty one', () => {
    const m = chain('d10 d0 C50');
    expect(shape(mbufs, keep(mbufs.copym(m, 10, 20, M_NOWAIT)))).toBe('d0 C20');
  });

  test('m_dup without clusters makes more mbufs', () => {
    const m = chain('HC1500');
    const alloc = mbufs.zones.cluster.alloc;
    mbufs.zones.cluster.alloc = () => NULL;
    const copy = keep(mbufs.dup(m, 0, mbufs.copyAll, M_NOWAIT));
    mbufs.zones.cluster.alloc = alloc;
    expect(shape(mbufs, copy)).toBe('h400 d456 d456 d188');
    expect(bytesOf(mbufs, copy)).toEqual(bytesOf(mbufs, m));
  });
});

describe('m_adj on h10/d20/d5', () => {
  test.each([
    [15, 'h0 d(5,15) d5', 20],
    [30, 'h0 d0 d5', 5],
    [99, 'h0 d0 d0', 0],
    [-5, 'h10 d20 d0', 30],
    [-25, 'h10 d0 d0', 10],
    [-99, 'h0 d0 d0', 0],
  ])('%d', (len, result, total) => {
    const m = chain('h10 d20 d5');
    mbufs.adj(m, len);
    expect(shape(mbufs, m, true)).toBe(result);
    expect(mbufs.length(m)).toBe(total);
  });

  test('a trailing empty mbuf takes the slow path, which repairs the header', () => {
    const m = chain('h10 d20 d0');
    mbufs.words[(m >> 2) + mbufs.pkthdr + 2] = 77;
    mbufs.adj(m, -3);
    expect(shape(mbufs, m)).toBe('h10 d17 d0');
    expect(mbufs.length(m)).toBe(27);
  });
});

describe('m_pullup', () => {
  test.each([
    ['h100', 50, 'h50 d(106,50)'],
    ['h30 d100', 31, 'h70 d(40,60)'],
    ['h30 d100', 90, 'h90 d(60,40)'],
    ['h(369,30) d100', 30, 'h(369,30) d100'],
    ['h(370,30) d100', 30, 'h30 d100'],
    ['h30 d370', 400, 'h400'],
    ['HC3 d100', 0, 'h3 d100'],
  ])('%s, %d', (recipe, len, result) => {
    const m = chain(recipe);
    const n = replace(m, mbufs.pullup(m, len));
    expect(shape(mbufs, n, true)).toBe(result);
  });

  test('401 bytes of a cluster that holds 500 cannot be had: the chain is freed', () => {
    const m = chain('HC500');
    expect(replace(m, mbufs.pullup(m, 401))).toBe(NULL);
  });
});

describe('m_copyup', () => {
  test.each([
    ['HC100', 20, 16, 'h(16,40) C(40,60)'],
    ['HC500', 384, 16, 'h(16,384) C(384,116)'],
    ['HC500', 385, 16, 'NULL'],
  ])('%s, (%d, %d)', (recipe, len, dstoff, result) => {
    const m = chain(recipe);
    const n = replace(m, mbufs.copyup(m, len, dstoff));
    expect(shape(mbufs, n, true)).toBe(result);
  });
});

describe('m_split', () => {
  test.each([
    ['h100 d200', 100, 'h100', 'h(400,0) d200'],
    ['h100 d200', 300, 'h100 d200', 'h(400,0)'],
    ['h100 d200', 301, 'h100 d200', 'NULL'],
    ['h100 d200', 0, 'h0', 'h(296,100) d200'],
    ['h100 d200', 150, 'h100 d50', 'h(248,150)'],
    ['h100 d456', 110, 'h100 d10', 'h(400,0) d(8,446)'],
    ['h100 C2000', 600, 'h100 C500', 'HC(500,1500)'],
    ['HC100 d50', 100, 'HC100', 'HC(100,0) d50'],
    ['d100 d200', 300, 'd100 d200', 'NULL'],
    ['d10 d0 d5', 10, 'd10', 'd0 d5'],
  ])('%s @%d', (recipe, len, front, back) => {
    const m = chain(recipe);
    const tail = keep(mbufs.split(m, len, M_NOWAIT));
    expect([shape(mbufs, m, true), shape(mbufs, tail, true)]).toEqual([front, back]);
  });

  test('an exhausted second allocation restores everything', () => {
    const m = chain('h100 d456');
    failing.arm(2);
    expect(mbufs.split(m, 110, M_NOWAIT)).toBe(NULL);
    expect(shape(mbufs, m)).toBe('h100 d456');
    expect(mbufs.length(m)).toBe(556);
  });
});

describe('m_devget', () => {
  test.each([
    [384, 'h(16,384)'],
    [385, 'h385'],
    [401, 'h400 d1'],
    [856, 'h400 d456'],
    [857, 'HC857'],
    [2049, 'HC2048 d1'],
    [2904, 'HC2048 d456 d400'],
    [2905, 'HC2048 C857'],
  ])('%d bytes', (len, result) => {
    const m = keep(mbufs.devget(pattern(len), len, 0, 1));
    expect(shape(mbufs, m, true)).toBe(result);
    expect(bytesOf(mbufs, m)).toEqual(pattern(len));
  });

  test('a trailer wraps around: (100, off 30)', () => {
    const source = pattern(100);
    const m = keep(mbufs.devget(source, 100, 30, 1));
    expect(shape(mbufs, m, true)).toBe('h(16,66) d30');
    expect(bytesOf(mbufs, m)).toEqual(
      Uint8Array.from([...source.slice(34), ...source.slice(0, 30)]),
    );
  });
});

describe('m_copyback', () => {
  test.each([
    ['h10', 5, 10, 'h15'],
    ['h10', 20, 10, 'h30'],
    ['h10', 395, 10, 'h400 d5'],
    ['h10', 405, 10, 'h400 d15'],
    ['h10', 1500, 1500, 'h400 C2048 d456 d96'],
    ['h0', 0, 1000, 'HC1000'],
    ['h0', 0, 500, 'h400 d100'],
    ['h400', 400, 856, 'h400 d456 d400'],
    ['h400', 400, 857, 'h400 C857'],
    ['h10 d10', 20, 5, 'h10 d15'],
  ])('%s (%d, %d)', (recipe, off, len, result) => {
    const m = chain(recipe);
    expect(mbufs.copyback(m, off, len, pattern(len))).toBe(true);
    expect(shape(mbufs, m)).toBe(result);
  });

  test.each([
    [10, 5, 'HC10 d5'],
    [15, 5, 'HC10 d10'],
  ])('a shared cluster is extended behind: (%d, %d)', (off, len, result) => {
    const m = shared('HC10');
    expect(mbufs.copyback(m, off, len, pattern(len))).toBe(true);
    expect(shape(mbufs, m)).toBe(result);
  });

  test('without memory the zeros and bytes that fit stay', () => {
    const m = chain('h10');
    failing.arm(1, true);
    expect(mbufs.copyback(m, 395, 20, pattern(20))).toBe(false);
    expect(shape(mbufs, m)).toBe('h400');
    expect(mbufs.length(m)).toBe(400);
  });
});

describe('m_copyback_cow and m_makewritable', () => {
  test.each([
    ['HC1000', 100, 50, 'HC100 d50 C(150,850)'],
    ['HC1000', 0, 1000, 'h400 d456 d144'],
    ['HC1500', 0, 1500, 'h400 C1100'],
  ])('write %s (%d, %d), shared', (recipe, off, len, result) => {
    const m = shared(recipe);
    const n = replace(m, mbufs.copybackCow(m, off, len, pattern(len, 9), M_NOWAIT));
    expect(shape(mbufs, n, true)).toBe(result);
  });

  test('the range is cut at the end of the chain', () => {
    const m = shared('HC1000');
    expect(mbufs.makewritable(m, 990, 100, M_NOWAIT)).toBe(true);
    expect(shape(mbufs, replace(m, mbufs.head))).toBe('HC990 d10');
  });

  test('a range over several mbufs', () => {
    const m = shared('h50 C2048 C300');
    expect(mbufs.makewritable(m, 60, 2200, M_NOWAIT)).toBe(true);
    const n = replace(m, mbufs.head);
    expect(shape(mbufs, n, true)).toBe('h50 C10 C2048 d152 C(162,138)');
    expect(bytesOf(mbufs, n)).toEqual(pattern(2398));
  });

  test('what frees the last other reference makes the rest writable as it is', () => {
    const m = chain('C1000');
    const tail = mbufs.split(m, 400, M_NOWAIT);
    mbufs.add(m, tail);
    expect(mbufs.makewritable(m, 0, 1000, M_NOWAIT)).toBe(true);
    expect(shape(mbufs, replace(m, mbufs.head), true)).toBe('C400 C(400,600)');
  });

  test('failure after the first allocation keeps the bytes', () => {
    const m = shared('HC1000');
    failing.arm(2, true);
    expect(mbufs.makewritable(m, 0, 1000, M_NOWAIT)).toBe(false);
    const n = replace(m, mbufs.head);
    expect(shape(mbufs, n, true)).toBe('h400 C(400,600)');
    expect(bytesOf(mbufs, n)).toEqual(pattern(1000));
  });
});

describe('m_defrag', () => {
  test.each([
    ['h100 C2048 d340', 'HC2048 C440'],
    ['h100 C2048 d300', 'HC2048 d400'],
  ])('%s', (recipe, result) => {
    const m = chain(recipe);
    const before = bytesOf(mbufs, m);
    const n = replace(m, mbufs.defrag(m, M_NOWAIT));
    expect(shape(mbufs, n)).toBe(result);
    expect(bytesOf(mbufs, n)).toEqual(before);
  });
});

describe('m_pulldown', () => {
  test.each([
    ['h100 d100', 90, 20, true, 'h110 d(10,90)', 0, 90],
    ['h100 d100', 90, 20, false, 'h90 d20 d(10,90)', 1, 0],
    ['h100 d100', 20, 30, false, 'h20 d80 d100', 1, 0],
    ['h100 d100', 20, 30, true, 'h100 d100', 0, 20],
    ['h100 d100', 100, 30, true, 'h100 d100', 1, 0],
    ['h400 d(100,20)', 390, 25, true, 'h390 d(90,30)', 1, 0],
    ['h400 d200 d300', 0, 700, true, 'h0 C700 d0 d(100,200)', 1, 0],
  ] as const)('%s (%d, %d, %s)', (recipe, off, len, any, result, index, offset) => {
    const m = chain(recipe);
    const n = mbufs.pulldown(m, off, len, any);
    expect(shape(mbufs, m, true)).toBe(result);
    let wanted = m;
    for (let i = 0; i < index; i++) wanted = mbufs.words[(wanted >> 2) + H.next.at]! as Address;
    expect([n, mbufs.offset]).toEqual([wanted, offset]);
  });

  test('a chain that is too short is freed', () => {
    const m = chain('h100 d100');
    expect(replace(m, mbufs.pulldown(m, 150, 51, true))).toBe(NULL);
  });

  test.each([
    [100, 'HC100 C900'],
    [0, 'HC0 HC1000'],
  ])('shared storage is copied from %d on', (off, result) => {
    const m = shared('HC1000');
    mbufs.pulldown(m, off, 50, true);
    expect(shape(mbufs, m)).toBe(result);
  });
});

describe('m_pkthdr_remove and m_free', () => {
  test('the header goes, the data stays where it is', () => {
    const m = chain('h10');
    mbufs.pkthdrRemove(m);
    expect(shape(mbufs, m, true)).toBe('d(56,10)');
  });

  test('root first, then its sharers: header counts as recorded', () => {
    const zones = (): number[] => [
      mbufs.zones.mbuf.statistics().live,
      mbufs.zones.cluster.statistics().live,
    ];
    const a = build(mbufs, 'C100');
    const b = mbufs.copym(a, 0, mbufs.copyAll, M_NOWAIT);
    const c = mbufs.copym(b, 0, mbufs.copyAll, M_NOWAIT);
    const [headers = 0, clusters = 0] = zones();
    mbufs.free(a);
    expect(zones()).toEqual([headers, clusters]);
    expect(mbufs.referenceCount(b)).toBe(2);
    mbufs.free(b);
    expect(zones()).toEqual([headers - 1, clusters]);
    mbufs.free(c);
    expect(zones()).toEqual([headers - 3, clusters - 1]);
  });
});
