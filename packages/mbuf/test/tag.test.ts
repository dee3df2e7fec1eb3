/** Packet tags: list order, copies, what goes with the packet, exhaustion, misuse. */

import { type Address, NULL } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import { describe, expect, test } from 'vitest';
import {
  FreebsdType,
  liveTags,
  MTAG_PERSISTENT,
  type Mbufs,
  PacketHeaderError,
  TAG_HEADER_BYTES,
  TagError,
} from '../src/index.ts';
import { makeMbufs } from './support.ts';

const { MT_DATA } = FreebsdType;

function tagged(mbufs: Mbufs, ...ids: number[]): Address {
  const m = mbufs.gethdr(M_NOWAIT, MT_DATA);
  for (const id of ids.toReversed()) mbufs.tagPrepend(m, tag(mbufs, id));
  return m;
}

function tag(mbufs: Mbufs, id: number, length = id & 0xff, cookie = 0): Address {
  const made = mbufs.tagAlloc(cookie, id, length, M_NOWAIT);
  expect(made).not.toBe(NULL);
  mbufs.bytes.fill(id, made + TAG_HEADER_BYTES, made + TAG_HEADER_BYTES + length);
  return made;
}

function ids(mbufs: Mbufs, m: Address): number[] {
  const found: number[] = [];
  for (let at = mbufs.tagFirst(m); at !== NULL; at = mbufs.tagNext(at)) {
    const length = mbufs.tagLength(at);
    const data = mbufs.bytes.slice(at + TAG_HEADER_BYTES, at + TAG_HEADER_BYTES + length);
    expect(data.every((byte) => byte === (mbufs.tagId(at) & 0xff))).toBe(true);
    found.push(mbufs.tagId(at));
  }
  return found;
}

describe.each(['none', 'checks', 'invariants'] as const)('at level %s', (level) => {
  test('tags stand in the order of prepending, and go with their packet', () => {
    const mbufs = makeMbufs({}, level);
    const m = tagged(mbufs, 1, 2, 3);
    expect(ids(mbufs, m)).toEqual([1, 2, 3]);
    expect(liveTags(mbufs)).toBe(3);
    mbufs.freem(m);
    expect(liveTags(mbufs)).toBe(0);
  });

  test('copies of a packet have copies of its tags', () => {
    const mbufs = makeMbufs({}, level);
    const m = tagged(mbufs, 5, 6);
    mbufs.append(m, 100, new Uint8Array(100));
    const shared = mbufs.copypacket(m, M_NOWAIT);
    const deep = mbufs.dup(m, 0, mbufs.copyAll, M_NOWAIT);
    const part = mbufs.copym(m, 10, 20, M_NOWAIT);
    mbufs.tagDeleteChain(m);
    expect([ids(mbufs, shared), ids(mbufs, deep), ids(mbufs, m)]).toEqual([[5, 6], [5, 6], []]);
    for (const each of [m, shared, deep, part]) mbufs.freem(each);
    expect(liveTags(mbufs)).toBe(0);
  });

  test('a removed header takes its tags along, a moved one has them', () => {
    const mbufs = makeMbufs({}, level);
    const from = tagged(mbufs, 7);
    const to = mbufs.get(M_NOWAIT, MT_DATA);
    mbufs.movePkthdr(to, from);
    expect(ids(mbufs, to)).toEqual([7]);
    mbufs.pkthdrRemove(to);
    expect(liveTags(mbufs)).toBe(0);
    mbufs.freem(from);
    mbufs.freem(to);
  });
});

test('tags are found by cookie and id behind a start', () => {
  const mbufs = makeMbufs();
  const m = tagged(mbufs, 1, 2, 1);
  const other = tag(mbufs, 1, 4, 99);
  mbufs.tagPrepend(m, other);
  const first = mbufs.tagFind(m, 1);
  expect(first).toBe(mbufs.tagNext(other));
  const second = mbufs.tagFind(m, 1, first);
  expect(mbufs.tagNext(second)).toBe(NULL);
  expect(mbufs.tagFind(m, 1, second)).toBe(NULL);
  expect(mbufs.tagLocate(m, 99, 1)).toBe(other);
  expect(mbufs.tagLocate(m, 99, 2)).toBe(NULL);
  mbufs.freem(m);
});

test('the chain behind a start goes, then the start; those before it stay', () => {
  const mbufs = makeMbufs();
  const m = tagged(mbufs, 1, 2, 3, 4);
  mbufs.tagDeleteChain(m, mbufs.tagFind(m, 3));
  expect(ids(mbufs, m)).toEqual([1, 2]);
  mbufs.tagDelete(m, mbufs.tagFirst(m));
  expect(ids(mbufs, m)).toEqual([2]);
  mbufs.tagDeleteChain(m);
  mbufs.tagDeleteChain(m);
  expect(ids(mbufs, m)).toEqual([]);
  mbufs.freem(m);
});

test('persistent tags stay when the others are deleted', () => {
  const mbufs = makeMbufs();
  const m = tagged(mbufs, 1, MTAG_PERSISTENT | 2, 3, MTAG_PERSISTENT | 4);
  mbufs.tagDeleteNonpersistent(m);
  expect(ids(mbufs, m)).toEqual([MTAG_PERSISTENT | 2, MTAG_PERSISTENT | 4]);
  mbufs.freem(m);
});

test('every length from 0 to 65,535 has its zone; longer ones and negative ones have none', () => {
  const mbufs = makeMbufs({}, 'checks', 4 << 20);
  for (const length of [0, 1, 16, 17, 48, 240, 1008, 1009, 16368, 16369, 65535]) {
    const made = tag(mbufs, 9, length);
    const copy = mbufs.tagCopy(made);
    expect(mbufs.tagLength(copy)).toBe(length);
    mbufs.tagFree(made);
    mbufs.tagFree(copy);
  }
  expect(mbufs.tagAlloc(0, 1, -1, M_NOWAIT)).toBe(NULL);
  for (const [id, length] of [
    [1, 65536],
    [65536, 1],
    [-1, 1],
    [1.5, 1],
    [1, NaN],
  ] as const) {
    expect(() => mbufs.tagAlloc(0, id, length, M_NOWAIT)).toThrow(TagError);
  }
  expect(liveTags(mbufs)).toBe(0);
});

test('a copy without memory for the tags has none, and the packet keeps its own', () => {
  const mbufs = makeMbufs({}, 'checks', 1 << 20);
  const m = tagged(mbufs, 1, 2);
  const copy = mbufs.gethdr(M_NOWAIT, MT_DATA);
  const held: Address[] = [];
  for (let t = mbufs.tagGet(3, 2, M_NOWAIT); t !== NULL; t = mbufs.tagGet(3, 2, M_NOWAIT)) {
    held.push(t);
  }
  mbufs.tagFree(held.pop()!);
  expect(mbufs.tagCopyChain(copy, m)).toBe(false);
  expect([ids(mbufs, m), ids(mbufs, copy)]).toEqual([[1, 2], []]);
  for (const t of held) mbufs.tagFree(t);
  expect(mbufs.tagCopyChain(copy, m)).toBe(true);
  mbufs.freem(m);
  mbufs.freem(copy);
  expect(liveTags(mbufs)).toBe(0);
});

test('what has no header has no tags, and a tag of another list is not unlinked', () => {
  const mbufs = makeMbufs();
  const plain = mbufs.get(M_NOWAIT, MT_DATA);
  const m = tagged(mbufs, 1);
  const loose = tag(mbufs, 2);
  expect(() => {
    mbufs.tagPrepend(plain, loose);
  }).toThrow(PacketHeaderError);
  expect(() => mbufs.tagFirst(plain)).toThrow(PacketHeaderError);
  expect(() => {
    mbufs.tagUnlink(m, loose);
  }).toThrow(TagError);
  expect(() => {
    mbufs.tagDelete(m, loose);
  }).toThrow(TagError);
  expect(ids(mbufs, m)).toEqual([1]);
  mbufs.tagFree(loose);
  mbufs.freem(m);
  mbufs.freem(plain);
});
