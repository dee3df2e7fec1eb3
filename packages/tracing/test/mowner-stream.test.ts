/** kern.mbuf.mowners: sizes, the ENOMEM protocol, bytes and a client that meets a growing list. */

import { Arena, claimCpu, type Cpu } from '@umbuf/memory';
import { SysctlError } from '@umbuf/stats';
import { expect, test } from 'vitest';
import {
  attachOwner,
  countOwner,
  decodeMowners,
  MOWNER_BYTES,
  MOWNER_COUNTERS,
  MownerStreamError,
  OwnerCounter,
  readMowners,
  sysctlMowners,
} from '../src/index.ts';

function boot(): Cpu {
  return claimCpu(Arena.create({ bytes: 1 << 20, cpus: 2 }), { manualLeave: true });
}

function codeOf(call: () => unknown): { code: string; errno: number; needed: number } {
  try {
    call();
  } catch (error) {
    if (error instanceof SysctlError) {
      const { code, errno, needed } = error;
      return { code, errno, needed };
    }
    throw error;
  }
  throw new Error('nothing was thrown');
}

test('without a buffer it says how many bytes there are: 96 per owner', () => {
  const cpu = boot();
  expect(sysctlMowners(cpu.arena, undefined)).toBe(0);
  attachOwner(cpu, 'tcp', 'tx');
  attachOwner(cpu, 'tcp', 'rx');
  expect(sysctlMowners(cpu.arena, undefined)).toBe(2 * MOWNER_BYTES);
});

test('a record is name, description, 16 zeros and six sums, little-endian', () => {
  const cpu = boot();
  const owner = attachOwner(cpu, 'fifteen bytes .', 'tx');
  const counts = [7, 6, 5, 4, 3, 2];
  for (const [index, name] of MOWNER_COUNTERS.entries()) {
    for (let turn = 0; turn < counts[index]!; turn++) {
      countOwner(cpu.longs, owner, turn % 2, OwnerCounter[name]);
    }
  }
  const bytes = new Uint8Array(MOWNER_BYTES).fill(0xff);
  expect(sysctlMowners(cpu.arena, bytes)).toBe(MOWNER_BYTES);
  expect(new TextDecoder().decode(bytes.slice(0, 16))).toBe('fifteen bytes .\0');
  expect(Array.from(bytes.subarray(16, 20))).toEqual([0x74, 0x78, 0, 0]);
  expect(Array.from(bytes.subarray(32, 48))).toEqual(Array.from({ length: 16 }, () => 0));
  expect(Array.from(bytes.subarray(48))).toEqual(
    counts.flatMap((count) => [count, 0, 0, 0, 0, 0, 0, 0]),
  );
  expect(decodeMowners(bytes)).toEqual([
    {
      name: 'fifteen bytes .',
      description: 'tx',
      claims: 7n,
      releases: 6n,
      clusterClaims: 5n,
      clusterReleases: 4n,
      extClaims: 3n,
      extReleases: 2n,
    },
  ]);
});

test('a short buffer gets whole records, then ENOMEM with what is needed', () => {
  const cpu = boot();
  for (const name of ['a', 'b', 'c']) attachOwner(cpu, name);
  const short = new Uint8Array(2 * MOWNER_BYTES + 95).fill(0xff);
  expect(codeOf(() => sysctlMowners(cpu.arena, short))).toEqual({
    code: 'ENOMEM',
    errno: 12,
    needed: 3 * MOWNER_BYTES,
  });
  expect(decodeMowners(short.slice(0, 2 * MOWNER_BYTES)).map(({ name }) => name)).toEqual([
    'c',
    'b',
  ]);
  expect(short.slice(2 * MOWNER_BYTES).every((byte) => byte === 0xff)).toBe(true);
});

test('a longer name is EINVAL before a new value is EPERM', () => {
  const { arena } = boot();
  const newValue = new Uint8Array(4);
  const both = codeOf(() => sysctlMowners(arena, undefined, { name: [1], newValue }));
  expect(both).toMatchObject({ code: 'EINVAL', errno: 22 });
  expect(codeOf(() => sysctlMowners(arena, undefined, { newValue }))).toMatchObject({
    code: 'EPERM',
    errno: 1,
  });
});

test('a client has room for ten owners attached meanwhile, and asks again after eleven', () => {
  const cpu = boot();
  let attached = 0;
  const attach = (count: number): void => {
    for (let turn = 0; turn < count; turn++) attachOwner(cpu, `owner ${attached++}`);
  };
  attach(1);
  const sizes: number[] = [];
  let growth = [10];
  const growing = (old: Uint8Array | undefined): number => {
    if (old !== undefined) {
      sizes.push(old.length / MOWNER_BYTES);
      attach(growth.shift() ?? 0);
    }
    return sysctlMowners(cpu.arena, old);
  };
  expect(readMowners(growing)).toHaveLength(11);
  expect(sizes).toEqual([11]);
  growth = [11, 10];
  expect(readMowners(growing)).toHaveLength(32);
  expect(sizes).toEqual([11, 21, 32]);
});

test('bytes that are no whole records are refused', () => {
  expect(decodeMowners(new Uint8Array(0))).toEqual([]);
  expect(() => decodeMowners(new Uint8Array(95))).toThrow(MownerStreamError);
});
