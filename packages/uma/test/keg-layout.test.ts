import { describe, expect, it } from 'vitest';
import { ZoneDefinitionError } from '../src/errors.ts';
import { InternalFlag, ZoneFlag } from '../src/flags.ts';
import {
  EFFICIENCY_ONE,
  type KegLayout,
  kegLayout,
  type KegShape,
  offpageHeaderItemBytes,
} from '../src/keg-layout.ts';
import { naiveKegLayout } from './naive-keg-layout.ts';

const { CONTIG, NOTOUCH, NOTPAGE, PCPU, CACHESPREAD, VM, MALLOC } = ZoneFlag;

function layout(
  size: number,
  alignMask: number,
  flags = 0,
  more: Partial<KegShape> = {},
): KegLayout {
  const usual = { name: 'test', cpus: 4, invariants: false, multipageSlabs: true };
  return kegLayout({ ...usual, size, alignMask, flags, ...more });
}

describe('kegLayout', () => {
  // size, align mask, flags, rsize, ipers, ppera, format, lookup, pgoff, efficiency in percent
  it.each([
    [256, 255, CONTIG, 256, 15, 1, 'inline', 'page-mask', 4064, 93.8],
    [2048, 7, CONTIG, 2048, 2, 1, 'offpage', 'vtoslab', 0, 98.1],
    [4096, 7, CONTIG, 4096, 1, 1, 'offpage', 'vtoslab', 0, 98.1],
    [9216, 7, CONTIG, 9216, 1, 3, 'inline', 'page-mask', 12256, 75.0],
    [16384, 7, CONTIG, 16384, 1, 4, 'offpage', 'vtoslab', 0, 99.5],
    [9216, 7, 0, 9216, 2, 5, 'inline', 'vtoslab', 20448, 90.0],
    [8, 7, 0, 8, 501, 1, 'inline', 'page-mask', 4008, 97.9],
    [16, 7, 0, 16, 252, 1, 'inline', 'page-mask', 4040, 98.4],
    [100, 7, 0, 104, 39, 1, 'inline', 'page-mask', 4064, 99.0],
    [1360, 7, 0, 1360, 3, 1, 'offpage', 'vtoslab', 0, 97.7],
    [2056, 7, 0, 2056, 9, 5, 'inline', 'vtoslab', 20448, 90.4],
    [3000, 7, 0, 3000, 4, 3, 'inline', 'vtoslab', 12256, 97.7],
    [4097, 7, 0, 4104, 9, 10, 'inline', 'vtoslab', 40928, 90.2],
    [512, 7, NOTOUCH, 512, 8, 1, 'offpage', 'vtoslab', 0, 98.1],
    [512, 7, NOTOUCH | NOTPAGE, 512, 8, 1, 'offpage', 'hash', 0, 98.1],
    [64, 7, PCPU, 64, 64, 4, 'offpage', 'vtoslab', 0, 98.1],
  ] as const)('lays out %i-byte items (mask %i, flags %i) as the kernel does', (...row) => {
    const [size, mask, flags, rsize, ipers, ppera, format, lookup, pgoff, percent] = row;
    const got = layout(size, mask, flags);
    expect(got).toMatchObject({ rsize, ipers, ppera, format, lookup, pgoff });
    expect(got.slabBytes).toBe(ppera * 4096);
    expect(Math.round((got.efficiency / EFFICIENCY_ONE) * 1000) / 10).toBe(percent);
  });

  it.each([
    [32, 126, 'inline'],
    [48, 84, 'inline'],
    [80, 50, 'inline'],
    [144, 28, 'inline'],
    [256, 15, 'inline'],
    [512, 8, 'offpage'],
    [1024, 4, 'offpage'],
    [2048, 2, 'offpage'],
  ])('puts the bucket zone of %i bytes in one page of %i items, %s', (size, ipers, format) => {
    expect(layout(size, 7)).toMatchObject({ rsize: size, ipers, ppera: 1, format });
  });

  it('sizes "UMA Slabs 0" and "UMA Slabs 1" with and without INVARIANTS', () => {
    expect([256, 257].map((n) => offpageHeaderItemBytes(n, false))).toEqual([80, 112]);
    expect([256, 257].map((n) => offpageHeaderItemBytes(n, true))).toEqual([112, 176]);
  });

  it('gives an INTERNAL or VM keg one page more only if nothing fits inline', () => {
    expect(layout(4096, 7, VM | CONTIG)).toMatchObject({ format: 'internal', ppera: 2, ipers: 1 });
    expect(layout(4096, 7, VM)).toMatchObject({ format: 'inline', ppera: 10, ipers: 9 });
    expect(layout(64, 7, InternalFlag.INTERNAL)).toMatchObject({ format: 'inline', ppera: 1 });
  });

  it.each([
    ['size', { size: 0 }],
    ['size', { size: 1.5 }],
    ['size', { size: 4097, flags: PCPU }],
    ['size', { size: 2 ** 31 - 1 }],
    ['align', { alignMask: 6 }],
    ['align', { alignMask: 8191 }],
    ['cpus', { cpus: 0 }],
    ['flags', { flags: PCPU | CACHESPREAD }],
    ['flags', { flags: InternalFlag.INTERNAL | NOTOUCH }],
  ])('refuses a bad %s by zone and field: %o', (field, bad) => {
    const refused = (): KegLayout => layout(64, 7, 0, { name: 'sessions', ...bad });
    expect(refused).toThrow(ZoneDefinitionError);
    expect(refused).toThrow(new RegExp(`sessions: ${field}:`));
  });

  it('agrees with a search from the prose on 10,000 random shapes', () => {
    const seed = 0x5eed_1360;
    console.log(`keg layout shapes: seed ${seed}`);
    const random = mulberry32(seed);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
    const seen = new Map<string, number>();
    for (let round = 0; round < 10_000; round++) {
      const flags = pick(flagSets);
      const biggest = (flags & PCPU) !== 0 ? 4096 : 65536;
      const size = Math.min(biggest, Math.max(1, randomSize(random)));
      const alignMask = 2 ** Math.floor(random() * 13) - 1;
      const cpus = 1 + Math.floor(random() * 16);
      const invariants = random() < 0.5;
      const multipageSlabs = random() < 0.9;
      const input = { size, alignMask, flags, cpus, invariants, multipageSlabs };
      const got = kegLayout({ name: 'random', ...input });
      expect(got, JSON.stringify({ seed, round, ...input })).toEqual(naiveKegLayout(input));
      const kind = `${got.format} ${got.lookup}`;
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
    }
    // All that can occur did. (An internal slab holds one item, so only MALLOC moves its lookup.)
    expect([...seen.keys()].sort()).toEqual([
      'inline hash',
      'inline page-mask',
      'inline vtoslab',
      'internal page-mask',
      'internal vtoslab',
      'offpage hash',
      'offpage vtoslab',
    ]);
  });
});

/** Every combination of the flags that the layout reads, without those that are refused. */
const flagSets: readonly number[] = Array.from({ length: 256 }, (_, bits) =>
  [CONTIG, NOTOUCH, NOTPAGE, PCPU, CACHESPREAD, VM, MALLOC, InternalFlag.INTERNAL].reduce(
    (all: number, bit, index) => (((bits >> index) & 1) === 1 ? all | bit : all),
    0,
  ),
).filter((flags) => {
  const has = (bit: number): boolean => (flags & bit) !== 0;
  if (has(PCPU) && has(CACHESPREAD)) return false;
  if (has(MALLOC) && has(NOTPAGE)) return false;
  return !(has(VM | InternalFlag.INTERNAL) && has(NOTOUCH | PCPU));
});

/** 1 to 64 KiB, half of them within 40 bytes of a fraction or multiple of a page. */
function randomSize(random: () => number): number {
  if (random() < 0.5) return Math.floor(2 ** (random() * 16)) + Math.floor(random() * 8);
  const parts = 1 + Math.floor(random() * 16);
  const boundary = random() < 0.5 ? 4096 / parts : 4096 * parts;
  return Math.floor(boundary) + Math.floor(random() * 81) - 40;
}

function mulberry32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
