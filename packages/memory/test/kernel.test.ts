/** The bulk kernels against naive ones, the same tests for WebAssembly and plain JavaScript. */
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { ArgumentError } from '../src/errors.ts';
import { checksumOf, createKernels, type Kernels } from '../src/kernel/index.ts';

const PAGE = 65_536;
const SEED = 0x5eed_0001;

function webAssemblyArena(pages: number): [Kernels, Uint8Array<SharedArrayBuffer>] {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const bytes = new Uint8Array(memory.buffer as unknown as SharedArrayBuffer);
  return [createKernels(memory, bytes), bytes];
}

function plainArena(pages: number): [Kernels, Uint8Array<SharedArrayBuffer>] {
  const bytes = new Uint8Array(new SharedArrayBuffer(pages * PAGE));
  return [createKernels(undefined, bytes), bytes];
}

/** Bytes that differ everywhere and do not repeat with a short period. */
function pattern(length: number, seed: number): Uint8Array {
  let state = seed | 1;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
    return state >>> 16;
  });
}

/** RFC 1071 by the book: every 16-bit big-endian word into one exact sum, then the carries. */
function naiveSum(bytes: Iterable<number>): number {
  let sum = 0;
  let index = 0;
  for (const byte of bytes) sum += index++ % 2 === 0 ? byte * 256 : byte;
  while (sum > 0xffff) sum = (sum % 65_536) + Math.floor(sum / 65_536);
  return sum;
}

describe.each([
  ['webassembly', webAssemblyArena],
  ['javascript', plainArena],
] as const)('%s kernels', (kind, createArena) => {
  const [kernels, bytes] = createArena(1);

  /** Runs `change` on the arena and `model` on an ordinary copy of it; the whole range must agree. */
  function agree(length: number, change: () => void, model: (copy: Uint8Array) => unknown): void {
    const expected = pattern(length, length + 7);
    bytes.set(expected);
    model(expected);
    change();
    expect(Buffer.compare(Buffer.from(bytes.slice(0, length)), expected)).toBe(0);
  }

  test('are the implementation asked for', () => expect(kernels.kind).toBe(kind));

  test('copy is memmove for every length to 140 at every alignment and overlap near it', () => {
    for (let length = 0; length <= 140; length++) {
      for (const distance of [-length - 3, -length, -17, -16, -4, -3, -1, 0, 1, 3, 4, 16, 17, 64]) {
        for (let alignment = 0; alignment < 4; alignment++) {
          const from = 200 + alignment;
          const to = from + distance;
          agree(
            600,
            () => kernels.copy(to, from, length),
            (copy) => copy.copyWithin(to, from, from + length),
          );
        }
      }
    }
  });

  test('copy is memmove for arbitrary ranges', () => {
    const place = fc.integer({ min: 0, max: 4000 });
    fc.assert(
      fc.property(place, place, place, (to, from, length) => {
        agree(
          8192,
          () => kernels.copy(to, from, length),
          (copy) => copy.copyWithin(to, from, from + length),
        );
      }),
      { seed: SEED, numRuns: 300 },
    );
  });

  test('fill and zero touch their range only, for every length to 140 and alignment to 16', () => {
    for (let length = 0; length <= 140; length++) {
      for (let at = 32; at < 48; at++) {
        const value = length * 16 + at; // above 255 too: the low byte counts
        agree(
          220,
          () => kernels.fill(at, value, length),
          (copy) => copy.fill(value & 0xff, at, at + length),
        );
        agree(
          220,
          () => kernels.zero(at, length),
          (copy) => copy.fill(0, at, at + length),
        );
      }
    }
  });

  test('fill of long ranges', () => {
    for (const [at, length] of [
      [0, PAGE],
      [1, PAGE - 2],
      [3, 4097],
      [PAGE - 2048, 2048],
    ] as const) {
      agree(
        PAGE,
        () => kernels.fill(at, 0xdeadc0de, length),
        (copy) => copy.fill(0xde, at, at + length),
      );
    }
  });

  test('compare is memcmp at every position of the first difference', () => {
    for (let length = 0; length <= 70; length++) {
      for (const [left, right] of [
        [64, 256],
        [65, 256],
        [67, 259],
      ] as const) {
        bytes.set(pattern(length, 3), left);
        bytes.set(pattern(length, 3), right);
        bytes[left + length] = 0; // a difference behind the range does not count
        bytes[right + length] = 255;
        expect(kernels.compare(left, right, length)).toBe(0);
        for (let at = 0; at < length; at++) {
          const before = bytes[right + at]!;
          bytes[right + at] = before ^ 0x80;
          expect(Math.sign(kernels.compare(left, right, length))).toBe(
            Math.sign(before - (before ^ 0x80)),
          );
          bytes[right + at] = before;
        }
      }
    }
  });

  test('checksum is RFC 1071 for every length to 200 at every alignment to 4', () => {
    bytes.set(pattern(512, 99));
    for (let length = 0; length <= 200; length++) {
      for (let at = 0; at < 4; at++) {
        expect(kernels.checksum(at, length, 0, 0)).toBe(naiveSum(bytes.slice(at, at + length)));
      }
    }
  });

  test("checksum of RFC 1071's example", () => {
    bytes.set([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 40);
    expect(kernels.checksum(40, 8, 0, 0)).toBe(0xddf2);
    expect(checksumOf(0xddf2)).toBe(0x220d);
  });

  test('checksum composes over a chain cut anywhere, in pieces of any length and alignment', () => {
    const cuts = fc.array(fc.integer({ min: 0, max: 90 }), { minLength: 1, maxLength: 12 });
    const filler = fc.constantFrom(undefined, 0x00, 0xff);
    fc.assert(
      fc.property(cuts, filler, fc.integer(), (lengths, byte, seed) => {
        const total = lengths.reduce((sum, length) => sum + length, 0);
        const chain = byte === undefined ? pattern(total, seed) : new Uint8Array(total).fill(byte);
        let sum = 0;
        let offset = 0;
        for (const [index, length] of lengths.entries()) {
          const at = index * 128 + ((seed >>> index) & 7);
          bytes.set(chain.subarray(offset, offset + length), at);
          sum = kernels.checksum(at, length, sum, offset);
          offset += length;
        }
        expect(sum).toBe(naiveSum(chain));
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  test('checksum carries over megabytes of ones', () => {
    const [large, all] = createArena(48);
    for (const value of [0xff, 0xfe]) {
      all.fill(value);
      for (const [at, length] of [
        [0, 48 * PAGE],
        [1, 48 * PAGE - 2],
        [5, 16 * PAGE + 33],
      ] as const) {
        const expected = naiveSum(all.subarray(at, at + length));
        expect(large.checksum(at, length, 0, 0)).toBe(expected);
        expect(large.checksum(at, length, 0xffff, 0)).toBe(expected);
      }
    }
  });

  test('copyIn and copyOut move exactly the range asked for', () => {
    const source = pattern(400, 5);
    for (const length of [0, 1, 7, 31, 32, 33, 64, 255, 400]) {
      for (const sourceOffset of [0, 1, 5].filter((offset) => offset + length <= 400)) {
        agree(
          1024,
          () => kernels.copyIn(101, source, sourceOffset, length),
          (copy) => copy.set(source.subarray(sourceOffset, sourceOffset + length), 101),
        );
        const target = new Uint8Array(500).fill(0xee);
        kernels.copyOut(101, target, 3, length);
        expect([...target.subarray(3, 3 + length)]).toEqual(
          [...source].slice(sourceOffset, sourceOffset + length),
        );
        expect(target.subarray(0, 3).every((byte) => byte === 0xee)).toBe(true);
        expect(target.subarray(3 + length).every((byte) => byte === 0xee)).toBe(true);
      }
    }
  });
});

describe('createKernels', () => {
  test('refuses a view that does not start at address 0', () => {
    const shifted = new Uint8Array(new SharedArrayBuffer(64), 8);
    expect(() => createKernels(undefined, shifted)).toThrow(ArgumentError);
    expect(() => createKernels(undefined, shifted)).toThrow(/starts at 8/);
  });

  test('refuses a WebAssembly memory that is not shared', () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
    const bytes = new Uint8Array(new SharedArrayBuffer(PAGE));
    expect(() => createKernels(memory, bytes)).toThrow(WebAssembly.LinkError);
  });

  test.each([
    ['has no WebAssembly', undefined],
    ['lacks SIMD or threads', { validate: () => false }],
    ['may not compile', { ...forbidding() }],
  ])('falls back to JavaScript where the engine %s', async (_, substitute) => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const bytes = new Uint8Array(memory.buffer as unknown as SharedArrayBuffer);
    vi.resetModules(); // the compiled module is kept per thread
    vi.stubGlobal('WebAssembly', substitute);
    try {
      const fresh = await import('../src/kernel/index.ts');
      expect(fresh.createKernels(memory, bytes).kind).toBe('javascript');
    } finally {
      vi.unstubAllGlobals();
    }
  });
});

/** A WebAssembly whose compiler a content security policy forbids. */
function forbidding(): object {
  class CompileError extends Error {}
  return {
    CompileError,
    validate: () => true,
    Module: class {
      constructor() {
        throw new CompileError('blocked by CSP');
      }
    },
  };
}
