/** Owners: attached, counted on several CPUs, detached, and their records used again. */

import { Arena, ArgumentError, claimCpu, type Cpu, freePageCount } from '@umbuf/memory';
import { expect, test } from 'vitest';
import {
  attachOwner,
  countOwner,
  detachOwner,
  OwnerCounter,
  ownerName,
  OWNERS_MAX,
  readOwners,
  requireOwner,
} from '../src/index.ts';

function cpus(): [Cpu, Cpu] {
  const arena = Arena.create({ bytes: 1 << 20, cpus: 2 });
  return [claimCpu(arena, { manualLeave: true }), claimCpu(arena, { manualLeave: true })];
}

function count(cpu: Cpu, owner: number, counter: keyof typeof OwnerCounter): void {
  countOwner(cpu.longs, owner, cpu.number, OwnerCounter[counter]);
}

test('an owner is the same for every CPU, and listed newest first', () => {
  const [a, b] = cpus();
  expect(readOwners(a.arena)).toEqual([]);
  const tcp = attachOwner(a, 'tcp', 'tx');
  const udp = attachOwner(b, 'udp', 'rx');
  expect(attachOwner(b, 'tcp', 'tx')).toBe(tcp);
  expect(attachOwner(b, 'tcp', 'rx')).not.toBe(tcp);
  expect(readOwners(b.arena).map(({ name, description }) => `${name}.${description}`)).toEqual([
    'tcp.rx',
    'udp.rx',
    'tcp.tx',
  ]);
  expect(ownerName(a.arena, udp)).toEqual({ name: 'udp', description: 'rx' });
});

test('claims and releases may stand on different CPUs; the sums count', () => {
  const [a, b] = cpus();
  const owner = attachOwner(a, 'fxp0');
  for (let turn = 0; turn < 5; turn++) count(a, owner, 'claims');
  for (let turn = 0; turn < 3; turn++) count(b, owner, 'releases');
  count(b, owner, 'extClaims');
  count(a, owner, 'clusterClaims');
  expect(readOwners(b.arena)).toMatchObject([
    { name: 'fxp0', description: '', claims: 5n, releases: 3n, extClaims: 1n, clusterClaims: 1n },
  ]);
});

test('a detached owner is used again only when it holds nothing', () => {
  const [a] = cpus();
  const first = attachOwner(a, 'first');
  count(a, first, 'claims');
  detachOwner(a, first);
  expect(readOwners(a.arena)).toEqual([]);
  const second = attachOwner(a, 'second');
  expect(second).not.toBe(first);
  count(a, first, 'releases');
  expect(attachOwner(a, 'third')).toBe(first);
  const free = freePageCount(a.arena);
  for (let turn = 0; turn < 1000; turn++) detachOwner(a, attachOwner(a, `turn ${turn}`));
  expect(freePageCount(a.arena)).toBe(free);
});

test('one more owner than there is room for is 0', () => {
  const [a] = cpus();
  const all = Array.from({ length: OWNERS_MAX }, (_, index) => attachOwner(a, `owner ${index}`));
  expect(new Set(all).size).toBe(OWNERS_MAX);
  expect(attachOwner(a, 'one more')).toBe(0);
  expect(attachOwner(a, 'owner 7')).toBe(all[7]);
});

test('bad texts and addresses are refused, and change nothing', () => {
  const [a] = cpus();
  expect(() => attachOwner(a, '')).toThrow(ArgumentError);
  expect(() => attachOwner(a, 'sixteen bytes ..')).toThrow(/name "sixteen bytes \.\."/);
  expect(() => attachOwner(a, 'x', 'ééééééééé')).toThrow(/description/);
  const owner = attachOwner(a, 'fifteen bytes .', 'fifteen bytes .');
  expect(ownerName(a.arena, owner).name).toBe('fifteen bytes .');
  for (const bad of [0, owner + 4, 4096, NaN]) {
    expect(() => requireOwner(a.arena, bad)).toThrow(ArgumentError);
  }
  expect(readOwners(a.arena)).toHaveLength(1);
});
