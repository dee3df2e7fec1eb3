/** m_unshare, m_collapse, m_fragment: the bytes stay, the mbufs change. With injected exhaustion. */

import { type Address, ArgumentError, NULL } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MbufHeader, type Mbufs, PacketHeaderError } from '../src/index.ts';
import { build, bytesOf, expectEmpty, makeMbufs, mbufsOf } from './support.ts';

const H = MbufHeader.fields;
const seed = Number(process.env['UMBUF_SEED'] ?? 0x5eed);
const presets = ['freebsd', 'netbsd'] as const;

/** Recipes of packets: a head, then plain mbufs and clusters; some of them shared with a copy. */
const recipe = fc
  .tuple(
    fc.constantFrom('h0', 'h10', 'h120', 'HC0', 'HC700', 'HC2048'),
    fc.array(fc.constantFrom('d0', 'd1', 'd60', 'd200', 'C1', 'C300', 'C1500', 'C2048'), {
      maxLength: 7,
    }),
  )
  .map(([head, rest]) => [head, ...rest].join(' '));

/** Zones of which the n-th allocation fails. */
function failAfter(mbufs: Mbufs, count: number): () => void {
  let left = count;
  const zones = [mbufs.zones.mbuf, mbufs.zones.packet, mbufs.zones.cluster];
  const originals = zones.map((zone) => zone.alloc);
  for (const zone of zones) {
    const { alloc } = zone;
    zone.alloc = (flags, argument) => (left-- <= 0 ? NULL : alloc.call(zone, flags, argument));
  }
  return () => {
    for (const [index, zone] of zones.entries()) zone.alloc = originals[index]!;
  };
}

describe.each(presets)('preset %s', (preset) => {
  test(`unshare leaves every byte and makes every mbuf writable (seed ${seed})`, () => {
    fc.assert(
      fc.property(recipe, fc.boolean(), fc.integer({ min: 0, max: 9 }), (text, shared, budget) => {
        const mbufs = makeMbufs({ preset }, 'checks', 4 << 20);
        const m = build(mbufs, text);
        const copy = shared ? mbufs.copym(m, 0, mbufs.copyAll, M_NOWAIT) : NULL;
        const before = bytesOf(mbufs, m);
        const restore = budget > 5 ? () => {} : failAfter(mbufs, budget);
        const head = mbufs.unshare(m, M_NOWAIT);
        restore();
        if (head !== NULL) {
          expect(bytesOf(mbufs, head)).toEqual(before);
          expect(mbufs.length(head)).toBe(before.length);
          mbufs.verifyPacket(head);
          for (const n of mbufsOf(mbufs, head)) expect(mbufs.writable(n)).toBe(true);
          mbufs.freem(head);
        }
        if (copy !== NULL) {
          expect(bytesOf(mbufs, copy)).toEqual(before);
          mbufs.freem(copy);
        }
        expectEmpty(mbufs);
      }),
      { seed, numRuns: 150 },
    );
  });

  test(`collapse gives at most so many mbufs, or NULL with the bytes in place (seed ${seed})`, () => {
    fc.assert(
      fc.property(
        recipe,
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 0, max: 9 }),
        (text, most, budget) => {
          const mbufs = makeMbufs({ preset }, 'checks', 4 << 20);
          const m = build(mbufs, text);
          const before = bytesOf(mbufs, m);
          const fragments = mbufsOf(mbufs, m).length;
          const restore = budget > 5 ? () => {} : failAfter(mbufs, budget);
          const head = mbufs.collapse(m, M_NOWAIT, most);
          restore();
          expect([NULL, m]).toContain(head);
          expect(bytesOf(mbufs, m)).toEqual(before);
          mbufs.verifyPacket(m);
          const after = mbufsOf(mbufs, m).length;
          expect(after).toBeLessThanOrEqual(head === NULL ? fragments : Math.max(most, 1));
          if (fragments <= most) expect(after).toBe(fragments);
          mbufs.freem(m);
          expectEmpty(mbufs);
        },
      ),
      { seed, numRuns: 150 },
    );
  });

  test(`fragment cuts into pieces of the length asked for (seed ${seed})`, () => {
    fc.assert(
      fc.property(
        recipe,
        fc.constantFrom(-3, -2, -1, 0, 1, 7, 255, 2048, 9999),
        fc.integer({ min: 0, max: 40 }),
        (text, length, budget) => {
          const mbufs = makeMbufs({ preset }, 'checks', 24 << 20);
          const m = build(mbufs, text);
          const before = bytesOf(mbufs, m);
          let x = 1;
          const random = (): number => {
            x = (x * 48271) % 2147483647;
            return x / 2147483647;
          };
          const restore = budget > 30 ? () => {} : failAfter(mbufs, budget);
          const head = mbufs.fragment(m, M_NOWAIT, length, random);
          restore();
          expect(bytesOf(mbufs, head)).toEqual(before);
          mbufs.verifyPacket(head);
          if (head !== m) {
            const pieces = mbufsOf(mbufs, head).map((n) => mbufs.words[(n >> 2) + H.len.at]!);
            const wanted = length > 0 ? Math.min(length, 2048) : pieces[0]!;
            if (length !== -2) {
              expect(pieces.slice(0, -1).every((piece) => piece === wanted)).toBe(true);
            } else {
              expect(Math.max(...pieces)).toBeLessThanOrEqual(256);
            }
          } else {
            expect(length === 0 || length === -3 || budget <= 30).toBe(true);
          }
          mbufs.freem(head);
          expectEmpty(mbufs);
        },
      ),
      { seed, numRuns: 60 },
    );
  });
});

test('unshare moves small mbufs into the room of the cluster before them', () => {
  const mbufs = makeMbufs();
  const m = build(mbufs, 'HC100 d50 d60');
  const head = mbufs.unshare(m, M_NOWAIT);
  expect(head).toBe(m);
  expect(mbufsOf(mbufs, head)).toHaveLength(1);
  mbufs.freem(head);
});

test('what makes no sense is refused by name', () => {
  const mbufs = makeMbufs();
  const m = build(mbufs, 'h20');
  const plain = build(mbufs, 'd20') as Address;
  expect(() => mbufs.collapse(m, M_NOWAIT, 0)).toThrow(ArgumentError);
  expect(() => mbufs.fragment(m, M_NOWAIT, 1.5)).toThrow(ArgumentError);
  expect(() => mbufs.fragment(plain, M_NOWAIT, 5)).toThrow(PacketHeaderError);
  mbufs.freem(m);
  mbufs.freem(plain);
});
