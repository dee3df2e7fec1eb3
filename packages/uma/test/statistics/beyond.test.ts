/** What the kernel does not show: stranded items, occupancy of partial slabs, lock contention. */
import { Arena, lockMutex, LockBusyError, unlockMutex } from '@umbuf/memory';
import { describe, expect, test } from 'vitest';
import {
  formatLocks,
  itemsPerSlab,
  lockStatistics,
  M_NOWAIT,
  OCCUPANCY_BINS,
  readOccupancy,
  readStranded,
  reclaim,
  SLABS_PER_WALK,
  viewUma,
  type Zone,
  zoneDomain,
  ZoneFlag,
} from '../../src/index.ts';
import { kegDomainOf, kegLists } from '../support/inspect.ts';
import { allocAll, attachCpu, enter, leave, virtualCpus } from '../support/virtual.ts';

describe('stranded items', () => {
  test('are those in the caches of CPUs at rest, none of running ones', () => {
    const { umas } = virtualCpus(2);
    const zones = umas.map((uma) => uma.open({ name: 'z', size: 64 }));
    zones[0]!.freeMany(allocAll(zones[0]!, 10), 0, 10);
    zones[1]!.freeMany(allocAll(zones[1]!, 20), 0, 20);
    for (const uma of umas) enter(uma);
    expect(readStranded(umas[0]!, zones[0]!.record)).toEqual([]);
    const { cached } = zones[0]!.statistics();
    leave(umas[1]!);
    const [only, ...others] = readStranded(umas[0]!, zones[0]!.record);
    expect(others).toEqual([]);
    expect(only).toMatchObject({ cpu: 1, state: 'idle' });
    expect(only!.items).toBeGreaterThan(0);
    expect(only!.items).toBeLessThan(cached);
    expect(only!.bytes).toBe(only!.items * 64);
  });

  test('over all zones they are the sum; a drain frees them', () => {
    const { umas } = virtualCpus(2);
    for (const size of [64, 128]) {
      const zone = umas[1]!.open({ name: `z${size}`, size });
      zone.freeMany(allocAll(zone, 10), 0, 10);
    }
    leave(umas[1]!);
    const all = readStranded(umas[0]!);
    const bySize = [64, 128].map((size) => {
      const zone = umas[0]!.open({ name: `z${size}`, size });
      return readStranded(umas[0]!, zone.record)[0]!;
    });
    expect(all[0]!.items).toBeGreaterThanOrEqual(bySize[0]!.items + bySize[1]!.items);
    reclaim(umas[0]!, 'drain-cpu');
    const zone = umas[0]!.open({ name: 'z64', size: 64 });
    expect(readStranded(umas[0]!, zone.record)).toEqual([]);
  });
});

describe('occupancy of partial slabs', () => {
  const definition = { name: 'z', size: 400, flags: ZoneFlag.NOBUCKET };

  /** Slab after slab, with as many items in use as said. */
  function fill(zone: Zone, used: readonly number[]): void {
    const ipers = itemsPerSlab(zone);
    const slabs = used.map(() => allocAll(zone, ipers));
    for (const [index, items] of slabs.entries()) {
      zone.freeMany(items, used[index]!, ipers - used[index]!);
    }
  }

  test('counts each partial slab in its tenth; free and full ones apart', () => {
    const uma = virtualCpus(1).umas[0]!;
    const zone = uma.open(definition);
    expect(itemsPerSlab(zone)).toBe(10);
    fill(zone, [1, 1, 5, 9, 9, 9, 0, 10]);
    expect(kegLists(zone)).toMatchObject({ free: [10], full: [0] });
    expect(readOccupancy(uma, zone.record, uma.cpu)).toEqual({
      itemsPerSlab: 10,
      slabs: 8,
      freeSlabs: 1,
      partialSlabs: 6,
      histogram: [0, 2, 0, 0, 0, 1, 0, 0, 0, 3],
      truncated: false,
    });
  });

  test('a long list is looked at so far and no further, and that is said', () => {
    const uma = virtualCpus(1, { bytes: 16 << 20 }).umas[0]!;
    const zone = uma.open(definition);
    fill(
      zone,
      Array.from({ length: SLABS_PER_WALK + 5 }, () => 5),
    );
    const occupancy = readOccupancy(uma, zone.record, uma.cpu)!;
    expect(occupancy).toMatchObject({
      slabs: SLABS_PER_WALK + 5,
      partialSlabs: SLABS_PER_WALK,
      truncated: true,
    });
    expect(occupancy.histogram[5]).toBe(SLABS_PER_WALK);
  });

  test('it is read under the keg’s lock, which is given back; without a CPU, without the lock', () => {
    const { arena, umas } = virtualCpus(3);
    leave(umas[2]!);
    const uma = umas[0]!;
    const zone = uma.open(definition);
    fill(zone, [3]);
    lockMutex(umas[1]!.cpu, kegDomainOf(zone));
    expect(readOccupancy(viewUma(arena)!, zone.record, undefined)).toMatchObject({
      partialSlabs: 1,
    });
    unlockMutex(umas[1]!.cpu, kegDomainOf(zone));
    readOccupancy(uma, zone.record, uma.cpu);
    expect(uma.words[kegDomainOf(zone)]).toBe(0);
    expect(OCCUPANCY_BINS).toBe(10);
  });

  test('a CPU that may not block does not wait for it', () => {
    const arena = Arena.create({ bytes: 1 << 20, cpus: 2 });
    const holder = attachCpu(arena);
    const main = attachCpu(arena, { mayBlock: false });
    const zone = holder.open(definition);
    lockMutex(holder.cpu, kegDomainOf(zone));
    expect(() => readOccupancy(main, zone.record, main.cpu)).toThrow(LockBusyError);
    unlockMutex(holder.cpu, kegDomainOf(zone));
    expect(readOccupancy(main, zone.record, main.cpu)).toMatchObject({ slabs: 0 });
  });
});

test('locks: the seven columns of each, the most waited for first', () => {
  const { umas } = virtualCpus(2);
  const zone = umas[0]!.open({ name: 'z', size: 64 });
  zone.alloc(M_NOWAIT);
  const { longs, words } = umas[0]!;
  const lock = zoneDomain(umas[0]!, zone.record, 0);
  lockMutex(umas[1]!.cpu, lock);
  unlockMutex(umas[1]!.cpu, lock);
  lockMutex(umas[0]!.cpu, lock);
  unlockMutex(umas[0]!.cpu, lock);
  const before = lockStatistics(umas[0]!).find(({ name }) => name === 'z domain 0')!;
  expect(before.n_lock_ops).toBeGreaterThanOrEqual(2n);
  expect(before.n_owner_switch).toBeGreaterThanOrEqual(2n);
  // As two sleepers would leave it (sync/mutex.ts).
  longs[(lock + 6) >> 1] = 2n;
  longs[(lock + 8) >> 1] = 3n;
  longs[(lock + 12) >> 1] = 70_000n;
  longs[(lock + 14) >> 1] = 50_000n;
  words[lock + 3] = 1;
  const locks = lockStatistics(umas[0]!);
  expect(locks[0]).toEqual({
    ...before,
    n_waiting: 2n,
    n_spin_acq: 3n,
    total_wait_ns: 70_000n,
    max_wait_ns: 50_000n,
    max_n_thds: 1n,
  });
  expect(locks.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['registry', 'page pool 0', 'z keg 0']),
  );
  const [head, first] = formatLocks(locks).split('\n');
  expect(head!.split(/ +/)).toEqual([
    'lock',
    'n_lock_ops',
    'n_waiting',
    'n_spin_acq',
    'n_owner_switch',
    'total_wait_ns',
    'max_wait_ns',
    'max_n_thds',
  ]);
  expect(first).toMatch(/^z domain 0 +\d+ +2 +3 +\d+ +70000 +50000 +1$/);
});
