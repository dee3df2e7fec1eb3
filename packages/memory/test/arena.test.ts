/** Arena.create and attach: what they make, what they share, what they refuse. */
import { describe, expect, test } from 'vitest';
import {
  Arena,
  ARENA_BYTES_MAX,
  ARENA_MAGIC,
  ARENA_VERSION,
  ArenaFormatError,
  type ArenaHandle,
  ArenaHeader,
  ArgumentError,
  DebugLevel,
  freePageCount,
  PAGE_SIZE,
  pagesInUse,
} from '../src/index.ts';

const H = ArenaHeader.fields;

describe.each(['wasm', 'shared-array-buffer'] as const)('an arena backed by %s', (backing) => {
  const small = { bytes: 1 << 20, cpus: 4, backing } as const;

  test('has the geometry that was asked for', () => {
    const arena = Arena.create({ ...small, domains: 3, level: 'checks' });
    expect(arena.pages).toBe(256);
    expect(arena.cpus).toBe(4);
    expect(arena.domains).toBe(3);
    expect(arena.level).toBe(DebugLevel.checks);
    expect(arena.bytes.length).toBe(1 << 20);
    expect(arena.kernels.kind).toBe(backing === 'wasm' ? 'webassembly' : 'javascript');
    expect(freePageCount(arena)).toBe(arena.pages - arena.firstPage);
    expect(pagesInUse(arena)).toBe(0);
  });

  test('puts header, pools, CPU records and page table below the first page, without overlap', () => {
    for (const domains of [1, 8]) {
      const arena = Arena.create({ bytes: 1 << 22, cpus: 250, domains, backing });
      const poolsEnd = arena.poolTable + domains * 96;
      expect(arena.poolTable).toBeGreaterThanOrEqual(ArenaHeader.words);
      expect(arena.cpuTable).toBeGreaterThanOrEqual(poolsEnd);
      expect(arena.pageTable).toBe(arena.cpuTable + 250 * 256);
      expect(arena.firstPage * PAGE_SIZE).toBeGreaterThanOrEqual(
        (arena.pageTable + arena.pages * 8) * 4,
      );
      expect(arena.cpuTable % 32).toBe(0);
      expect(arena.poolTable % 32).toBe(0);
    }
  });

  test('is the same memory after attach, through other views', () => {
    const arena = Arena.create(small);
    const other = Arena.attach(structuredClone(arena.handle()));
    arena.words[5000] = 4711;
    expect(other.words[5000]).toBe(4711);
    expect(other.hooks).not.toBe(arena.hooks);
    expect(other.firstPage).toBe(arena.firstPage);
  });

  test('rounds its size up to 64 KiB', () => {
    expect(Arena.create({ ...small, bytes: 65536 * 3 + 1 }).bytes.length).toBe(65536 * 4);
  });

  test('refuses another layout version', () => {
    const arena = Arena.create(small);
    arena.words[H.version.at] = ARENA_VERSION + 1;
    expect(() => Arena.attach(arena.handle())).toThrow(ArenaFormatError);
    expect(() => Arena.attach(arena.handle())).toThrow(`version ${ARENA_VERSION + 1}`);
  });

  test('refuses a header whose sizes disagree', () => {
    for (const [at, value] of [
      [H.bytes.at, 1 << 21],
      [H.bytes.at, 0],
      [H.bytes.at, -65536],
      [H.pages.at, 255],
    ] as const) {
      const arena = Arena.create(small);
      arena.words[at] = value;
      if (at === H.bytes.at) arena.words[H.pages.at] = value / PAGE_SIZE;
      expect(() => Arena.attach(arena.handle()), `${at} = ${value}`).toThrow(/truncated/);
    }
  });
});

test('a truncated copy of an arena is refused', () => {
  const arena = Arena.create({ bytes: 1 << 20, cpus: 1, backing: 'shared-array-buffer' });
  for (const bytes of [1 << 19, 65536, PAGE_SIZE]) {
    const memory = new SharedArrayBuffer(bytes);
    new Uint8Array(memory).set(arena.bytes.subarray(0, bytes));
    expect(() => Arena.attach({ umbufArena: 1, memory })).toThrow(/truncated/);
  }
  expect(() => Arena.attach({ umbufArena: 1, memory: new SharedArrayBuffer(100) })).toThrow(
    /100 bytes cannot hold an arena/,
  );
});

test('foreign memory and things that are no handle are refused', () => {
  const foreign = [
    { umbufArena: 1, memory: new SharedArrayBuffer(1 << 20) },
    { umbufArena: 1, memory: new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true }) },
    { umbufArena: 1, memory: new WebAssembly.Memory({ initial: 16 }) },
    { umbufArena: 1, memory: new ArrayBuffer(1 << 20) },
    { umbufArena: 2, memory: new SharedArrayBuffer(1 << 20) },
    { memory: new SharedArrayBuffer(1 << 20) },
    {},
    null,
    undefined,
    new SharedArrayBuffer(1 << 20),
  ];
  for (const handle of foreign) {
    expect(() => Arena.attach(handle as ArenaHandle)).toThrow(ArenaFormatError);
  }
});

test('arguments out of range are refused, by name', () => {
  const good = { bytes: 1 << 20, cpus: 1, backing: 'shared-array-buffer' } as const;
  const bad: [object, string][] = [
    [{ bytes: 65535 }, 'bytes'],
    [{ bytes: ARENA_BYTES_MAX + 1 }, 'bytes'],
    [{ bytes: 1e6 + 0.5 }, 'bytes'],
    [{ bytes: '1000000' }, 'bytes'],
    [{ bytes: Number.NaN }, 'bytes'],
    [{ cpus: 0 }, 'cpus'],
    [{ cpus: 251 }, 'cpus'],
    [{ domains: 0 }, 'domains'],
    [{ domains: 9 }, 'domains'],
    [{ level: 'all' }, 'level'],
    [{ level: 'toString' }, 'level'],
    [{ backing: 'disk' }, 'backing'],
  ];
  for (const [change, name] of bad) {
    const create = (): Arena => Arena.create({ ...good, ...change });
    expect(create, JSON.stringify(change)).toThrow(ArgumentError);
    expect(create).toThrow(new RegExp(`^${name}`));
  }
});

test('an arena too small for its CPUs says so', () => {
  expect(() => Arena.create({ bytes: 65536, cpus: 250 })).toThrow(/leave no pages for 250 CPUs/);
  expect(Arena.create({ bytes: 65536, cpus: 1 }).firstPage).toBe(1);
});

test('the largest arena can be made, and its last page has an address', () => {
  const arena = Arena.create({ bytes: ARENA_BYTES_MAX, cpus: 8 });
  expect(arena.words[0]).toBe(ARENA_MAGIC);
  expect((arena.pages - 1) << 12).toBe(ARENA_BYTES_MAX - PAGE_SIZE);
  expect(freePageCount(arena)).toBe(arena.pages - arena.firstPage);
});

test('two arenas have different identities', () => {
  const one = Arena.create({ bytes: 65536, cpus: 1 });
  const two = Arena.create({ bytes: 65536, cpus: 1 });
  expect(one.longs[H.identity.at >> 1]).not.toBe(two.longs[H.identity.at >> 1]);
});
