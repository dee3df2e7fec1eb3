/** What the unit tests of mbufs share: an arena with the system, chains by recipe, failing zones. */

import { type Address, Arena, claimCpu, type DebugLevelName, NULL } from '@umbuf/memory';
import { fsck, M_NOWAIT, Uma, type Zone } from '@umbuf/uma';
import { checkMbufs, M_PKTHDR, MbufHeader, type MbufOptions, Mbufs } from '@umbuf/mbuf';
import { expect } from 'vitest';

const H = MbufHeader.fields;

/** A fresh arena of one thread with the mbuf system. */
export function makeMbufs(
  options: MbufOptions = {},
  level: DebugLevelName = 'checks',
  bytes: number = 16 << 20,
): Mbufs {
  const arena = Arena.create({ bytes, cpus: 2, level });
  return Mbufs.attach(Uma.attach(claimCpu(arena, { manualLeave: true })), options);
}

/** The mbufs of a chain. */
export function mbufsOf({ words }: Mbufs, m: Address): Address[] {
  const chain: Address[] = [];
  for (let at = m; at !== NULL; at = words[(at >> 2) + H.next.at]! as Address) chain.push(at);
  return chain;
}

/** All bytes of a chain, read without the code under test. */
export function bytesOf(mbufs: Mbufs, m: Address): Uint8Array {
  const { words, bytes } = mbufs;
  const pieces = mbufsOf(mbufs, m).map((at) => {
    const data = words[(at >> 2) + H.data.at]!;
    return bytes.slice(data, data + words[(at >> 2) + H.len.at]!);
  });
  return Uint8Array.from(pieces.flatMap((piece) => [...piece]));
}

/** Bytes that differ from each other and from other seeds. */
export function pattern(length: number, seed = 1): Uint8Array {
  let x = Math.imul(seed + 1, 2654435761) | 1;
  return Uint8Array.from({ length }, () => {
    x = (Math.imul(x, 1103515245) + 12345) | 0;
    return (x >>> 16) & 0xff;
  });
}

/**
 * A chain in the notation of the specification: `h10` an mbuf with packet header and 10 bytes, `d20`
 * one without, `HC30` and `C40` with a cluster. A number in brackets is the offset of the data in its area:
 * `h(16,384)`. pkthdr.len is right. Bytes are a pattern over the whole chain.
 */
export function build(mbufs: Mbufs, recipe: string): Address {
  const { words } = mbufs;
  let head: Address = NULL;
  let last: Address = NULL;
  let total = 0;
  for (const part of recipe.split(' ')) {
    const match = /^(HC|C|h|d)(?:\((\d+),(\d+)\)|(\d+))$/.exec(part);
    if (match === null) throw new Error(`recipe ${part}`);
    const [, kind = '', offset = '0', inner, plain] = match;
    const len = Number(inner ?? plain);
    const header = kind === 'h' || kind === 'HC';
    const m = header ? mbufs.gethdr(M_NOWAIT, 1) : mbufs.get(M_NOWAIT, 1);
    if (kind.endsWith('C')) expect(mbufs.clget(m, M_NOWAIT)).toBe(true);
    words[(m >> 2) + H.data.at]! += Number(offset);
    words[(m >> 2) + H.len.at] = len;
    if (head === NULL) head = m;
    else words[(last >> 2) + H.next.at] = m;
    last = m;
    total += len;
  }
  const source = pattern(total);
  let done = 0;
  for (const m of mbufsOf(mbufs, head)) {
    const len = words[(m >> 2) + H.len.at]!;
    mbufs.bytes.set(source.subarray(done, done + len), words[(m >> 2) + H.data.at]!);
    done += len;
  }
  if ((words[(head >> 2) + H.flags.at]! & M_PKTHDR) !== 0) mbufs.fixhdr(head);
  return head;
}

/** The notation of `build` for a chain as it is; offsets only where `offsets`. */
export function shape(mbufs: Mbufs, m: Address, offsets = false): string {
  const { words, ext, dat, pktdat } = mbufs;
  if (m === NULL) return 'NULL';
  return mbufsOf(mbufs, m)
    .map((at) => {
      const flags = words[(at >> 2) + H.flags.at]!;
      const header = (flags & M_PKTHDR) !== 0;
      const external = (flags & 1) !== 0;
      const kind = external ? (header ? 'HC' : 'C') : header ? 'h' : 'd';
      const start = external ? words[(at >> 2) + ext + 2]! : at + (header ? pktdat : dat);
      const len = words[(at >> 2) + H.len.at]!;
      const offset = words[(at >> 2) + H.data.at]! - start;
      return offsets && offset !== 0 ? `${kind}(${offset},${len})` : `${kind}${len}`;
    })
    .join(' ');
}

/** Makes allocations of all zones fail: the `at`-th attempt (1-based), and all after it if sticky. */
export class FailingZones {
  private at = 0;
  private sticky = false;
  private attempts = 0;

  constructor(mbufs: Mbufs) {
    for (const zone of Object.values(mbufs.zones) as Zone[]) {
      const alloc = zone.alloc.bind(zone);
      zone.alloc = (flags: number, argument?: number): Address =>
        this.fails() ? NULL : alloc(flags, argument);
    }
  }

  arm(at: number, sticky = false): void {
    this.at = at;
    this.sticky = sticky;
    this.attempts = 0;
  }

  disarm(): void {
    this.at = 0;
  }

  /** Attempts since `arm`. */
  get count(): number {
    return this.attempts;
  }

  private fails(): boolean {
    this.attempts++;
    return this.at > 0 && (this.attempts === this.at || (this.sticky && this.attempts > this.at));
  }
}

/** Structure, counts, statistics and zones are right, with exactly these chains alive. */
export function expectSound(mbufs: Mbufs, ...chains: Address[]): void {
  expect(checkMbufs(mbufs, chains)).toEqual([]);
}

/** Nothing is left, and UMA's own check agrees. */
export function expectEmpty(mbufs: Mbufs): void {
  expectSound(mbufs);
  expect(fsck(mbufs.uma).violations).toEqual([]);
}
