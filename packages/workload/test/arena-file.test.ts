/** An arena in a file is the arena: every byte, holes included; what is no arena is refused. */
import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Arena, ArenaFormatError, claimCpu } from '@umbuf/memory';
import { formatVmstatZ, fsck, M_NOWAIT, readMemoryTypes, Uma, viewUma } from '@umbuf/uma';
import { afterAll, expect, test } from 'vitest';
import { readArenaFile, writeArenaFile } from '../src/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'umbuf-arena-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'one.arena');

test.each(['wasm', 'shared-array-buffer'] as const)('%s: the same bytes come back', (backing) => {
  const arena = Arena.create({ bytes: 8 << 20, cpus: 2, backing, level: 'checks' });
  const uma = Uma.attach(claimCpu(arena, { manualLeave: true }));
  const zone = uma.open({ name: 'z', size: 64 });
  for (let turn = 0; turn < 500; turn++) zone.alloc(M_NOWAIT);
  arena.bytes[arena.bytes.length - 1] = 7;
  writeArenaFile(arena, path);
  expect(statSync(path).size).toBe(arena.bytes.length);
  const read = readArenaFile(path);
  expect(Buffer.compare(read.bytes.slice(), arena.bytes.slice())).toBe(0);
  expect(formatVmstatZ(readMemoryTypes(viewUma(read)!))).toBe(formatVmstatZ(readMemoryTypes(uma)));
  // It is an arena like any other: the CPU number that is left can be claimed in it.
  expect(fsck(Uma.attach(claimCpu(read))).violations).toEqual([]);
});

test('an older file is replaced, also a longer one', () => {
  writeFileSync(path, Buffer.alloc(9 << 20, 1));
  const arena = Arena.create({ bytes: 1 << 20, cpus: 1 });
  writeArenaFile(arena, path);
  expect(Buffer.compare(readArenaFile(path).bytes.slice(), arena.bytes.slice())).toBe(0);
});

test('what is no arena, or not all of it, is refused by name', () => {
  for (const [size, byte] of [
    [0, 0],
    [100, 1],
    [1 << 20, 1],
    [1 << 20, 0],
  ] as const) {
    writeFileSync(path, Buffer.alloc(size, byte));
    expect(() => readArenaFile(path), String(size)).toThrow(ArenaFormatError);
    expect(() => readArenaFile(path)).toThrow(path);
  }
  writeArenaFile(Arena.create({ bytes: 4 << 20, cpus: 1 }), path);
  truncateSync(path, 2 << 20);
  expect(() => readArenaFile(path)).toThrow(/truncated/);
  expect(() => readArenaFile(join(folder, 'absent'))).toThrow(/ENOENT/);
});
