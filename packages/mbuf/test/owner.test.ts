/** Owners of mbufs: the conservation laws of spec section 5 over random operations, in both presets. */

import { type Address, ArgumentError, NULL } from '@umbuf/memory';
import { attachOwner, detachOwner, readOwners } from '@umbuf/tracing';
import { M_NOWAIT } from '@umbuf/uma';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FreebsdType, M_EXT, M_PKTHDR, MbufHeader, type Mbufs, readMbstat } from '../src/index.ts';
import { expectEmpty, makeMbufs, mbufsOf } from './support.ts';

const H = MbufHeader.fields;
const { MT_DATA, MT_CONTROL } = FreebsdType;
const seed = Number(process.env['UMBUF_SEED'] ?? 0x0e11);

/** What the live chains say of each owner: mbufs, with storage. */
function census(mbufs: Mbufs, chains: readonly Address[]): Map<number, [bigint, bigint]> {
  const held = new Map<number, [bigint, bigint]>();
  for (const m of chains.flatMap((chain) => mbufsOf(mbufs, chain))) {
    const owner = mbufs.words[(m >> 2) + H.owner.at]!;
    const [small, ext] = held.get(owner) ?? [0n, 0n];
    const hasExt = (mbufs.words[(m >> 2) + H.flags.at]! & M_EXT) !== 0;
    held.set(owner, [small + 1n, ext + (hasExt ? 1n : 0n)]);
  }
  return held;
}

function expectConserved(mbufs: Mbufs, chains: readonly Address[]): void {
  const held = census(mbufs, chains);
  let total = 0n;
  for (const owner of readOwners(mbufs.arena)) {
    const [small, ext] = held.get(owner.address) ?? [0n, 0n];
    const name = `${owner.name}.${owner.description}`;
    expect([name, owner.claims - owner.releases]).toEqual([name, small]);
    expect([name, owner.extClaims - owner.extReleases]).toEqual([name, ext]);
    expect(owner.clusterClaims - owner.clusterReleases).toBeLessThanOrEqual(ext);
    if (owner.name === 'revoked') expect(owner.claims).toBe(0n);
    total += owner.claims - owner.releases;
  }
  const { types } = readMbstat(mbufs);
  expect(Number(total)).toBe(types.reduce((sum, count) => sum + count, 0));
}

const operation = fc.record({
  kind: fc.constantFrom(
    'get',
    'getcl',
    'getjcl',
    'claim',
    'claimm',
    'copy',
    'dup',
    'split',
    'pullup',
    'cat',
    'free',
    'clget',
  ),
  pick: fc.nat(),
  length: fc.integer({ min: 1, max: 3000 }),
});

describe.each(['freebsd', 'netbsd'] as const)('preset %s', (preset) => {
  test(`what owners hold is what chains say, after every operation (seed ${seed})`, () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
        const mbufs = makeMbufs({ preset, owners: true }, 'checks', 4 << 20);
        const owners = ['tcp', 'udp'].map((name) => attachOwner(mbufs.cpu, name, 'rx'));
        const chains: Address[] = [];
        const add = (m: Address): void => {
          if (m !== NULL) chains.push(m);
        };
        for (const { kind, pick, length } of operations) {
          const at = pick % Math.max(1, chains.length);
          const m = chains[at] ?? NULL;
          if (kind === 'get') add(mbufs.get(M_NOWAIT, pick % 2 === 0 ? MT_DATA : MT_CONTROL));
          else if (kind === 'getcl') {
            const fresh = mbufs.getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
            mbufs.append(fresh, length, new Uint8Array(length));
            add(fresh);
          } else if (kind === 'getjcl') add(mbufs.getjcl(M_NOWAIT, MT_DATA, M_PKTHDR, 9216));
          else if (m === NULL) continue;
          else if (kind === 'claim') mbufs.claim(m, owners[pick % 2]!);
          else if (kind === 'claimm') mbufs.claimm(m, owners[pick % 2]!);
          else if (kind === 'copy') add(mbufs.copym(m, 0, mbufs.copyAll, M_NOWAIT));
          else if (kind === 'dup') add(mbufs.dup(m, 0, mbufs.copyAll, M_NOWAIT));
          else if (kind === 'clget') {
            if (
              (mbufs.words[(m >> 2) + H.flags.at]! & M_EXT) === 0 &&
              mbufs.words[(m >> 2) + H.len.at] === 0
            ) {
              mbufs.clget(m, M_NOWAIT);
            }
          } else if (kind === 'free') {
            chains.splice(at, 1);
            mbufs.freem(m);
          } else if (mbufs.words[(m >> 2) + H.flags.at]! & M_PKTHDR && mbufs.length(m) > 0) {
            const off = pick % mbufs.length(m);
            if (kind === 'split' && off > 0) add(mbufs.split(m, off, M_NOWAIT));
            if (kind === 'pullup') {
              chains.splice(at, 1);
              add(mbufs.pullup(m, Math.min(off, mbufs.mhlen)));
            }
          }
          expectConserved(mbufs, chains);
        }
        for (const m of chains) mbufs.freem(m);
        expectConserved(mbufs, []);
        expectEmpty(mbufs);
      }),
      { seed, numRuns: 40 },
    );
  });
});

test('without `owners` nothing is counted, and m_owner stays 0', () => {
  const mbufs = makeMbufs();
  const owner = attachOwner(mbufs.cpu, 'tcp');
  const m = mbufs.getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
  mbufs.claim(m, owner);
  expect(mbufs.words[(m >> 2) + H.owner.at]).toBe(0);
  expect(readOwners(mbufs.arena)).toMatchObject([{ name: 'tcp', claims: 0n }]);
  mbufs.freem(m);
});

test('a claim by what is no owner changes nothing', () => {
  const mbufs = makeMbufs({ owners: true });
  const m = mbufs.get(M_NOWAIT, MT_DATA);
  const before = mbufs.words[(m >> 2) + H.owner.at];
  for (const bad of [8, m, -4]) {
    expect(() => {
      mbufs.claim(m, bad as Address);
    }).toThrow(ArgumentError);
    expect(() => {
      mbufs.claimm(m, bad as Address);
    }).toThrow(ArgumentError);
  }
  mbufs.claim(m, NULL);
  expect(mbufs.words[(m >> 2) + H.owner.at]).toBe(before);
  mbufs.freem(m);
});

test('what a detached owner holds is counted to it until it is freed', () => {
  const mbufs = makeMbufs({ owners: true });
  const owner = attachOwner(mbufs.cpu, 'fxp0');
  const m = mbufs.get(M_NOWAIT, MT_DATA);
  mbufs.claim(m, owner);
  detachOwner(mbufs.cpu, owner);
  const other = attachOwner(mbufs.cpu, 'fxp1');
  expect(other).not.toBe(owner);
  mbufs.freem(m);
  expect(readOwners(mbufs.arena)[0]).toMatchObject({ name: 'fxp1', claims: 0n, releases: 0n });
});
