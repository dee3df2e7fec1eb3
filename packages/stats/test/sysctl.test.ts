/** The sysctl tree: order, bytes of each type, and the errors of sysctl(3). */
import { Arena, ArgumentError } from '@umbuf/memory';
import { describe, expect, test } from 'vitest';
import {
  decodeSysctl,
  encodeSysctl,
  printSysctl,
  StatisticRegistry,
  SYSCTL_ERRNO,
  SysctlError,
  type SysctlNode,
  sysctlFormat,
  sysctlStatistics,
  SysctlTree,
  type SysctlType,
  type SysctlValue,
  takeSnapshot,
} from '../src/index.ts';

function node(path: string, type: SysctlType = 'int', value: SysctlValue = 1): SysctlNode {
  return { path, type, description: `what ${path} is`, read: () => value };
}

/** The error code that `operation` fails with. */
function codeOf(operation: () => unknown): string {
  try {
    operation();
  } catch (error) {
    expect(error).toBeInstanceOf(SysctlError);
    const { code, errno } = error as SysctlError;
    expect(errno).toBe(SYSCTL_ERRNO[code]);
    return code;
  }
  return 'none';
}

const samples: readonly (readonly [SysctlType, SysctlValue, readonly number[], string])[] = [
  ['int', -2, [0xfe, 0xff, 0xff, 0xff], 'I'],
  ['uint', 0xfffffffe, [0xfe, 0xff, 0xff, 0xff], 'IU'],
  ['u8', 200, [200], 'CU'],
  ['u16', 0x1234, [0x34, 0x12], 'SU'],
  ['u32', 0x89abcdef, [0xef, 0xcd, 0xab, 0x89], 'IU'],
  ['s64', -1n, [255, 255, 255, 255, 255, 255, 255, 255], 'Q'],
  ['u64', 0x0102030405060708n, [8, 7, 6, 5, 4, 3, 2, 1], 'QU'],
  ['long', -3n, [0xfd, 255, 255, 255, 255, 255, 255, 255], 'L'],
  ['ulong', 2n ** 64n - 1n, [255, 255, 255, 255, 255, 255, 255, 255], 'LU'],
  ['string', 'mbuf', [0x6d, 0x62, 0x75, 0x66, 0], 'A'],
  ['opaque', Uint8Array.of(1, 2, 3), [1, 2, 3], 'S'],
];

test.each(samples)('%s: %s is these bytes, and they are it', (type, value, bytes, format) => {
  expect([...encodeSysctl(type, value)]).toEqual(bytes);
  expect(decodeSysctl(type, Uint8Array.from(bytes))).toEqual(value);
  expect(sysctlFormat(type)).toBe(format);
});

test('an integer of another width is not decoded', () => {
  for (const bytes of [0, 1, 3, 5, 8]) {
    expect(decodeSysctl('int', new Uint8Array(bytes)), String(bytes)).toBeUndefined();
  }
  expect(decodeSysctl('u64', new Uint8Array(4))).toBeUndefined();
});

test('values print as sysctl(8) prints them', () => {
  expect(printSysctl(-1)).toBe('-1');
  expect(printSysctl(2n ** 63n)).toBe('9223372036854775808');
  expect(printSysctl('0x20<NOFREE>')).toBe('0x20<NOFREE>');
  expect(printSysctl(new Uint8Array(16))).toBe('Length:16');
});

describe('the tree', () => {
  test('lists children in the order of their creation, each with what is below it', () => {
    const tree = new SysctlTree();
    for (const path of ['vm.b.x', 'kern.a', 'vm.a', 'vm.b.w', 'kern.c.d']) tree.add(node(path));
    expect(tree.list().map(({ path }) => path)).toEqual([
      'vm.b.x',
      'vm.b.w',
      'vm.a',
      'kern.a',
      'kern.c.d',
    ]);
    expect(tree.list('vm.b').map(({ path }) => path)).toEqual(['vm.b.x', 'vm.b.w']);
    expect(tree.list('vm.a').map(({ path }) => path)).toEqual(['vm.a']);
  });

  test('refuses a bad path and one that is taken', () => {
    const tree = new SysctlTree();
    tree.add(node('vm.a'));
    for (const path of ['', '.vm', 'vm.', 'vm..a', 'vm.a b', 'vm.a', 'vm', 'vm.a.b']) {
      expect(() => tree.add(node(path)), path).toThrow(ArgumentError);
    }
    expect(() => tree.provide('a..b', () => [])).toThrow(ArgumentError);
  });

  test('asks the layers for their nodes at each look, and only those concerned', () => {
    const tree = new SysctlTree();
    const zones = ['mbuf'];
    let asked = 0;
    tree.provide('vm.uma', () => {
      asked++;
      return zones.map((zone) => node(`vm.uma.${zone}.size`));
    });
    tree.add(node('kern.ipc'));
    asked = 0;
    tree.value('kern.ipc');
    expect(asked).toBe(0);
    expect(tree.value('vm.uma.mbuf.size')).toBe(1);
    expect(codeOf(() => tree.value('vm.uma.late.size'))).toBe('ENOENT');
    zones.push('late');
    expect(tree.value('vm.uma.late.size')).toBe(1);
    expect(tree.list('vm')).toHaveLength(2);
  });
});

describe('sysctl(3)', () => {
  let written: SysctlValue | undefined;
  const tree = new SysctlTree();
  tree.add(node('vm.total', 'u64', 5n));
  tree.add({
    ...node('vm.warnings', 'int', 1),
    write: (value) => {
      if (value !== 0 && value !== 1) throw new SysctlError('EINVAL', 'vm.warnings: 0 or 1');
      written = value;
    },
  });
  const int = (value: number): Uint8Array => encodeSysctl('int', value);

  test('ENOENT: no such name, also below a value', () => {
    for (const path of ['vm.other', 'v', 'vm.total.x', '']) {
      expect(
        codeOf(() => tree.get(path)),
        path,
      ).toBe(path === '' ? 'EISDIR' : 'ENOENT');
      expect(
        codeOf(() => tree.set(path, int(1))),
        path,
      ).toBe(path === '' ? 'EISDIR' : 'ENOENT');
    }
    expect(codeOf(() => tree.list('vm.other'))).toBe('ENOENT');
  });

  test('EISDIR: the name of a node', () => {
    expect(codeOf(() => tree.get('vm'))).toBe('EISDIR');
    expect(codeOf(() => tree.set('vm', int(1)))).toBe('EISDIR');
  });

  test('EPERM: a read-only value', () => {
    expect(codeOf(() => tree.set('vm.total', new Uint8Array(8)))).toBe('EPERM');
  });

  test('EINVAL: a wrong length or a value that the node refuses, with nothing changed', () => {
    written = undefined;
    expect(codeOf(() => tree.set('vm.warnings', new Uint8Array(8)))).toBe('EINVAL');
    expect(codeOf(() => tree.set('vm.warnings', new Uint8Array(3)))).toBe('EINVAL');
    expect(codeOf(() => tree.set('vm.warnings', int(2)))).toBe('EINVAL');
    expect(written).toBeUndefined();
    tree.set('vm.warnings', int(0));
    expect(written).toBe(0);
  });

  test('without a buffer the needed length; ENOMEM fills what there is and tells it too', () => {
    expect(tree.get('vm.total')).toBe(8);
    const short = new Uint8Array(3).fill(0xee);
    let error: unknown;
    try {
      tree.get('vm.total', short);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'ENOMEM', errno: 12, needed: 8 });
    expect([...short]).toEqual([5, 0, 0]);
    const roomy = new Uint8Array(10).fill(0xee);
    expect(tree.get('vm.total', roomy)).toBe(8);
    expect([...roomy]).toEqual([5, 0, 0, 0, 0, 0, 0, 0, 0xee, 0xee]);
  });
});

test('a tree in a registry is part of its snapshots: counters, gauges, texts; no opaque bytes', () => {
  const tree = new SysctlTree();
  tree.add({ ...node('vm.a.allocs', 'u64', 7n), counter: true });
  tree.add(node('vm.a.size', 'u32', 64));
  tree.add(node('vm.a.name', 'string', 'a'));
  tree.add(node('vm.stats', 'opaque', new Uint8Array(16)));
  const registry = new StatisticRegistry(Arena.create({ bytes: 1 << 16, cpus: 1 }));
  registry.include(() => sysctlStatistics(tree));
  const snapshot = takeSnapshot(registry, 'vm');
  expect(Object.fromEntries(snapshot.values)).toEqual({
    'vm.a.allocs': 7n,
    'vm.a.name': 'a',
    'vm.a.size': 64,
  });
  expect([...snapshot.counters]).toEqual(['vm.a.allocs']);
  expect(registry.get('vm.a.size')?.kind).toBe('gauge');
});
