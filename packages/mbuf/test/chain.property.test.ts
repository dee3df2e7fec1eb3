/**
 * Chain operations against a plain model: each chain is an array of bytes. After every operation all
 * chains have the model's bytes, also those that share storage with the one that was written; headers,
 * counts and statistics are right; at the end nothing is left. With injected allocation failures
 * each operation leaves the state that its docstring names. Quirks are off.
 */

import { type Address, type DebugLevelName, NULL } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import { M_PKTHDR, MbufHeader, type Mbufs, type PresetName, ReadOnlyError } from '@umbuf/mbuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  bytesOf,
  expectEmpty,
  expectSound,
  FailingZones,
  makeMbufs,
  mbufsOf,
  pattern,
} from './support.ts';

const H = MbufHeader.fields;
const SEED = 20261124;

interface Chain {
  m: Address;
  bytes: Uint8Array;
}

interface Step {
  readonly kind: number;
  readonly chain: number;
  readonly a: number;
  readonly b: number;
  /** Which allocation fails; 0 = none. */
  readonly fail: number;
  readonly sticky: boolean;
}

/** Numbers that meet the boundaries of both presets as well as anything between. */
const amount = fc.oneof(
  fc.integer({ min: 0, max: 40 }),
  fc.constantFrom(
    167,
    168,
    169,
    223,
    224,
    225,
    399,
    400,
    401,
    456,
    457,
    856,
    857,
    2047,
    2048,
    2049,
  ),
  fc.integer({ min: 0, max: 6000 }),
);

const steps = (failing: boolean): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.record({
      kind: fc.nat({ max: 999 }),
      chain: fc.nat({ max: 99 }),
      a: amount,
      b: amount,
      fail: failing ? fc.nat({ max: 4 }) : fc.constant(0),
      sticky: fc.boolean(),
    }),
    { minLength: 1, maxLength: 40 },
  );

class Model {
  readonly mbufs: Mbufs;
  readonly failing: FailingZones;
  readonly chains: Chain[] = [];
  private seed = 1;

  constructor(mbufs: Mbufs, failing: FailingZones) {
    this.mbufs = mbufs;
    this.failing = failing;
  }

  run(step: Step): void {
    const { mbufs, chains } = this;
    const makers = [this.devget, this.getm, this.getcl];
    const others = [
      this.copym,
      this.dup,
      this.copypacket,
      this.adj,
      this.prepend,
      this.append,
      this.catpkt,
      this.split,
      this.pullup,
      this.copyup,
      this.pulldown,
      this.copyback,
      this.copybackCow,
      this.makewritable,
      this.defrag,
      this.read,
      this.freem,
    ];
    const list =
      chains.length === 0 ? makers : chains.length > 8 ? [this.freem] : [...makers, ...others];
    const action = list[step.kind % list.length]!;
    if (step.fail > 0) this.failing.arm(step.fail, step.sticky);
    try {
      action.call(this, chains[step.chain % Math.max(1, chains.length)]!, step.a, step.b);
    } finally {
      this.failing.disarm();
    }
    for (const chain of chains) expect(bytesOf(mbufs, chain.m)).toEqual(chain.bytes);
    expectSound(mbufs, ...chains.map(({ m }) => m));
  }

  end(): void {
    for (const { m } of this.chains) this.mbufs.freem(m);
    expectEmpty(this.mbufs);
  }

  private drop(chain: Chain): void {
    this.chains.splice(this.chains.indexOf(chain), 1);
  }

  private add(m: Address, bytes: Uint8Array): void {
    if (m !== NULL) this.chains.push({ m, bytes });
  }

  private fresh(length: number): Uint8Array {
    return pattern(length, this.seed++);
  }

  // New chains.

  devget(_chain: Chain, a: number): void {
    const bytes = this.fresh(a);
    const m = this.mbufs.devget(bytes, a, 0, 7);
    if (a === 0) expect(m).toBe(NULL);
    this.add(m, bytes);
  }

  getm(_chain: Chain, a: number): void {
    const m = this.mbufs.getm2(NULL, a + 1, M_NOWAIT, 1, M_PKTHDR);
    if (m === NULL) return;
    const room = mbufsOf(this.mbufs, m).reduce((sum, at) => sum + this.mbufs.capacity(at), 0);
    expect(room).toBeGreaterThanOrEqual(a + 1);
    this.add(m, new Uint8Array());
  }

  getcl(_chain: Chain): void {
    this.add(this.mbufs.getcl(M_NOWAIT, 1, M_PKTHDR), new Uint8Array());
  }

  // Copies.

  copym(chain: Chain, a: number, b: number): void {
    const off = a % (chain.bytes.length + 1);
    const len = b % (chain.bytes.length - off + 1);
    const m = this.mbufs.copym(chain.m, off, len, M_NOWAIT);
    if (m !== NULL && off > 0) this.mbufs.freem(m);
    else this.add(m, chain.bytes.slice(off, off + len));
  }

  dup(chain: Chain, a: number): void {
    const len = a % (chain.bytes.length + 1);
    const m = this.mbufs.dup(chain.m, 0, len, M_NOWAIT);
    if (m !== NULL)
      for (const at of mbufsOf(this.mbufs, m)) expect(this.mbufs.writable(at)).toBe(true);
    this.add(m, chain.bytes.slice(0, len));
  }

  copypacket(chain: Chain): void {
    this.add(this.mbufs.copypacket(chain.m, M_NOWAIT), chain.bytes);
  }

  // Lengths.

  adj(chain: Chain, a: number, b: number): void {
    const before = mbufsOf(this.mbufs, chain.m).length;
    this.mbufs.adj(chain.m, a % 2 === 0 ? b : -b);
    const { length } = chain.bytes;
    chain.bytes =
      a % 2 === 0 ? chain.bytes.slice(b) : chain.bytes.slice(0, Math.max(0, length - b));
    expect(mbufsOf(this.mbufs, chain.m)).toHaveLength(before);
  }

  prepend(chain: Chain, a: number): void {
    const len = a % (this.mbufs.mhlen + 1);
    const m = this.mbufs.prepend(chain.m, len, M_NOWAIT);
    if (m === NULL) {
      this.drop(chain);
      return;
    }
    const front = this.fresh(len);
    this.mbufs.bytes.set(front, this.mbufs.words[(m >> 2) + H.data.at]!);
    chain.m = m;
    chain.bytes = join(front, chain.bytes);
  }

  append(chain: Chain, a: number): void {
    const more = this.fresh(a);
    const ideal = join(chain.bytes, more);
    const done = this.mbufs.append(chain.m, a, more);
    this.partial(chain, ideal, done);
  }

  catpkt(chain: Chain, a: number): void {
    const other = this.chains[a % this.chains.length]!;
    if (other === chain) return;
    const before = mbufsOf(this.mbufs, chain.m).length + mbufsOf(this.mbufs, other.m).length;
    this.mbufs.catpkt(chain.m, other.m);
    chain.bytes = join(chain.bytes, other.bytes);
    this.drop(other);
    expect(mbufsOf(this.mbufs, chain.m).length).toBeLessThanOrEqual(before);
  }

  split(chain: Chain, a: number): void {
    const len = a % (chain.bytes.length + 2);
    const tail = this.mbufs.split(chain.m, len, M_NOWAIT);
    if (len > chain.bytes.length) expect(tail).toBe(NULL);
    if (tail === NULL) return;
    this.add(tail, chain.bytes.slice(len));
    chain.bytes = chain.bytes.slice(0, len);
  }

  // Contiguous bytes.

  pullup(chain: Chain, a: number): void {
    const len = a % (this.mbufs.mhlen + 20);
    this.front(chain, this.mbufs.pullup(chain.m, len), len, this.mbufs.mhlen);
  }

  copyup(chain: Chain, a: number, b: number): void {
    const dstoff = b % (this.mbufs.mhlen + 1);
    const len = a % (this.mbufs.mhlen + 20);
    const m = this.mbufs.copyup(chain.m, len, dstoff);
    this.front(chain, m, len, this.mbufs.mhlen - dstoff);
    if (m !== NULL) expect(this.mbufs.leadingSpace(m)).toBe(dstoff);
  }

  /** What pullup and copyup promise. */
  private front(chain: Chain, m: Address, len: number, most: number): void {
    if (m === NULL) {
      this.drop(chain);
      return;
    }
    expect(len).toBeLessThanOrEqual(chain.bytes.length);
    expect(this.mbufs.words[(m >> 2) + H.len.at]).toBeGreaterThanOrEqual(Math.min(len, most));
    chain.m = m;
  }

  pulldown(chain: Chain, a: number, b: number): void {
    const off = a % (chain.bytes.length + 1);
    const len = b % 2060;
    const m = this.mbufs.pulldown(chain.m, off, len, a % 3 !== 0);
    if (m === NULL) {
      this.drop(chain);
      return;
    }
    const at = this.mbufs.words[(m >> 2) + H.data.at]! + this.mbufs.offset;
    expect(this.mbufs.bytes.slice(at, at + len)).toEqual(chain.bytes.slice(off, off + len));
    expect(this.mbufs.offset + len).toBeLessThanOrEqual(this.mbufs.words[(m >> 2) + H.len.at]!);
    if (len > 0) expect(this.mbufs.writable(m)).toBe(true);
  }

  // Writing.

  copyback(chain: Chain, a: number, b: number): void {
    const source = this.fresh(b);
    const ideal = overwrite(chain.bytes, a, source, Math.max(chain.bytes.length, a + b));
    try {
      const done = this.mbufs.copyback(chain.m, a, b, source);
      this.partial(chain, ideal, done);
    } catch (error) {
      expect(error).toBeInstanceOf(ReadOnlyError);
    }
  }

  copybackCow(chain: Chain, a: number, b: number): void {
    const source = this.fresh(b);
    const m = this.mbufs.copybackCow(chain.m, a, b, source, M_NOWAIT);
    if (m === NULL) {
      this.drop(chain);
      return;
    }
    chain.m = m;
    chain.bytes = overwrite(chain.bytes, a, source, chain.bytes.length);
  }

  makewritable(chain: Chain, a: number, b: number): void {
    const done = this.mbufs.makewritable(chain.m, a, b, M_NOWAIT);
    chain.m = this.mbufs.head;
    if (!done) return;
    let start = 0;
    for (const m of mbufsOf(this.mbufs, chain.m)) {
      const end = start + this.mbufs.words[(m >> 2) + H.len.at]!;
      if (end > start && start < a + b && end > a) expect(this.mbufs.writable(m)).toBe(true);
      start = end;
    }
  }

  defrag(chain: Chain): void {
    const m = this.mbufs.defrag(chain.m, M_NOWAIT);
    if (m === NULL) return;
    chain.m = m;
    const full = mbufsOf(this.mbufs, m).slice(0, -1);
    for (const at of full) expect(this.mbufs.words[(at >> 2) + H.len.at]).toBe(2048);
  }

  /** All that only reads. */
  read(chain: Chain, a: number, b: number): void {
    const { mbufs } = this;
    const off = a % (chain.bytes.length + 1);
    const len = b % (chain.bytes.length - off + 1);
    const wanted = chain.bytes.slice(off, off + len);
    const out = new Uint8Array(len + 3);
    mbufs.copydata(chain.m, off, len, out);
    expect(out).toEqual(join(wanted, new Uint8Array(3)));
    const pieces: number[] = [];
    mbufs.apply(chain.m, off, len, (address, length) => {
      pieces.push(...mbufs.bytes.subarray(address, address + length));
    });
    expect(pieces).toEqual([...wanted]);
    const n = mbufs.getptr(chain.m, off);
    const at = mbufs.words[(n >> 2) + H.data.at]! + mbufs.offset;
    if (off < chain.bytes.length) expect(mbufs.bytes[at]).toBe(chain.bytes[off]);
    expect(mbufs.getptr(chain.m, chain.bytes.length + 1)).toBe(NULL);
    expect(mbufs.checksum(chain.m, off, len)).toBe(referenceChecksum(wanted));
    expect(mbufs.length(chain.m)).toBe(chain.bytes.length);
  }

  freem(chain: Chain): void {
    this.mbufs.freem(chain.m);
    this.drop(chain);
  }

  /** All of `ideal` was written, or a part that ends where memory did and is not less than before. */
  private partial(chain: Chain, ideal: Uint8Array, done: boolean): void {
    const got = bytesOf(this.mbufs, chain.m);
    if (done) expect(got).toEqual(ideal);
    expect(got.length).toBeGreaterThanOrEqual(chain.bytes.length);
    expect(got).toEqual(ideal.slice(0, got.length));
    chain.bytes = got;
  }
}

function join(left: Uint8Array, right: Uint8Array): Uint8Array {
  return Uint8Array.from([...left, ...right]);
}

/** `bytes` with `source` at `off`, zeros between, cut to `length`. */
function overwrite(bytes: Uint8Array, off: number, source: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(Math.max(length, off + source.length));
  result.set(bytes);
  result.set(source, off);
  return result.slice(0, length);
}

/** in_cksum in the plainest way. */
function referenceChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

describe.each([
  ['freebsd', 'none'],
  ['freebsd', 'checks'],
  ['freebsd', 'invariants'],
  ['netbsd', 'checks'],
  ['netbsd', 'invariants'],
] as [PresetName, DebugLevelName][])('%s at level %s', (preset, level) => {
  test.each([
    ['with memory enough', false],
    ['with failing allocations', true],
  ] as [string, boolean][])('random operations agree with the model %s', (_name, failing) => {
    const mbufs = makeMbufs({ preset }, level);
    const zones = new FailingZones(mbufs);
    fc.assert(
      fc.property(steps(failing), (list) => {
        const model = new Model(mbufs, zones);
        try {
          for (const step of list) model.run(step);
        } finally {
          zones.disarm();
          model.end();
        }
      }),
      { seed: SEED, numRuns: 60 },
    );
  });
});
