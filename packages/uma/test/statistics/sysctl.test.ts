/** `vm.uma.<zone>` and its neighbours: names, types, order, values, and what may be written. */
import { limitInit, limitWords, reserveUnits, staticSpace } from '@umbuf/memory';
import { printSysctl, SysctlError, sysctlFormat, type SysctlTree } from '@umbuf/stats';
import { describe, expect, test } from 'vitest';
import {
  decodeZoneStats,
  encodeZoneStats,
  M_NOVM,
  M_NOWAIT,
  onLowMemory,
  sysctlName,
  type Uma,
  umaSysctl,
  viewUma,
  type Zone,
  ZoneFlag,
  ZoneRecord,
} from '../../src/index.ts';
import { allocAll, leave, virtualCpus } from '../support/virtual.ts';

function one(): { uma: Uma; tree: SysctlTree; zone: Zone } {
  const uma = virtualCpus(1).umas[0]!;
  const zone = uma.open({ name: 'z', size: 192 });
  return { uma, tree: umaSysctl(uma), zone };
}

function codeOf(operation: () => unknown): string {
  try {
    operation();
  } catch (error) {
    if (error instanceof SysctlError) return error.code;
    throw error;
  }
  return 'none';
}

test('the nodes of a zone, with type and value, in the kernel’s order and ours behind', async () => {
  const { umas } = virtualCpus(2);
  const definition = { name: 'Buffer list, 192', size: 192 };
  const zone = umas[0]!.open(definition);
  const there = umas[1]!.open(definition);
  for (const item of allocAll(zone, 700).slice(0, 600)) there.free(item);
  zone.alloc(M_NOWAIT | M_NOVM);
  leave(umas[1]!);
  const lines = umaSysctl(umas[0]!)
    .list('vm.uma.Buffer_list,_192')
    // How often a lock is taken is no promise.
    .filter(({ path }) => !path.includes('.lock.'))
    .map(({ path, type, read }) => `${path} ${sysctlFormat(type)} ${printSysctl(read())}`);
  await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('../golden/sysctl-zone.txt');
});

test('each node says what it is', async () => {
  const { tree } = one();
  const lines = tree.list().filter(({ path }) => !/^vm\.uma\.(?!z\.)/.test(path));
  const text = lines.map(({ path, description }) => `${path}: ${description}`).join('\n');
  await expect(`${text}\n`).toMatchFileSnapshot('../golden/sysctl-descriptions.txt');
});

test('what is special in a name becomes an underscore; a later zone of the name has a number', () => {
  expect(sysctlName('mbuf', 0)).toBe('mbuf');
  expect(sysctlName('a.b/c\\d e-f', 0)).toBe('a_b_c_d_e_f');
  expect(sysctlName('2 Bucket', 0)).toBe('2_Bucket');
  expect(sysctlName('a,b:c', 0)).toBe('a,b:c');
  expect(sysctlName('tmp zone', 12)).toBe('tmp_zone_12');
});

test('a zone that is made later is there at the next look', () => {
  const { uma, tree } = one();
  expect(codeOf(() => tree.value('vm.uma.late.size'))).toBe('ENOENT');
  expect(tree.value('vm.zone_count')).toBe(uma.zoneCount());
  uma.open({ name: 'late', size: 48 });
  expect(tree.value('vm.uma.late.size')).toBe(48);
  expect(tree.value('vm.zone_count')).toBe(uma.zoneCount());
});

describe('values', () => {
  test('statistics are of the moment: current, allocs, frees, and each reason of a failure', () => {
    const { tree, zone } = one();
    zone.free(allocAll(zone, 3)[0]!);
    const of = (leaf: string): unknown => tree.value(`vm.uma.z.${leaf}`);
    expect(['current', 'allocs', 'frees', 'fails'].map((leaf) => of(`stats.${leaf}`))).toEqual([
      2,
      3n,
      1n,
      0n,
    ]);
    // The free item is in the cache: M_NOVM finds it, and then nothing.
    while (zone.alloc(M_NOWAIT | M_NOVM) !== 0);
    expect(of('failures.novm')).toBe(of('stats.fails'));
    expect(of('failures.novm')).toBeGreaterThan(0n);
    expect(of('failures.pages')).toBe(0n);
  });

  test('efficiency counts the offpage header as well', () => {
    const { uma, tree } = one();
    // 21 items of 192 bytes in a page.
    expect(tree.value('vm.uma.z.keg.efficiency')).toBe(Math.floor((100 * 21 * 192) / 4096));
    uma.open({ name: 'off', size: 4096 });
    const header = tree.value('vm.uma.UMA_Slabs_0.keg.rsize') as number;
    const pages = tree.value('vm.uma.off.keg.ppera') as number;
    const items = tree.value('vm.uma.off.keg.ipers') as number;
    expect(tree.value('vm.uma.off.flags')).toContain('OFFPAGE');
    expect(tree.value('vm.uma.off.keg.efficiency')).toBe(
      Math.floor((100 * items * 4096) / (pages * 4096 + header)),
    );
  });

  test('a secondary zone shows its keg under the keg’s name, and not its occupancy twice', () => {
    const { uma, tree, zone } = one();
    uma.open({ name: 'second', size: 192, primary: zone.definition });
    expect(tree.value('vm.uma.second.keg.name')).toBe('z');
    expect(tree.value('vm.uma.second.flags')).toContain('SECONDARY');
    expect(codeOf(() => tree.value('vm.uma.second.occupancy'))).toBe('ENOENT');
    expect(tree.value('vm.uma.z.occupancy')).toBe('0 0 0 0 0 0 0 0 0 0');
  });

  test('a cache zone has the name of no keg, and no other leaf of one', () => {
    const { uma, tree } = one();
    uma.open({ name: 'c', size: 8, importItems: () => 0, releaseItems: () => {} }).alloc(M_NOWAIT);
    const leaves = tree.list('vm.uma.c').map(({ path }) => path.slice('vm.uma.c.'.length));
    expect(leaves.filter((leaf) => leaf.startsWith('keg'))).toEqual(['keg.name']);
    expect(leaves.filter((leaf) => leaf.startsWith('lock.keg'))).toEqual([]);
    expect(leaves).not.toContain('occupancy');
    expect(tree.value('vm.uma.c.keg.name')).toBe('cache zone');
    expect(tree.value('vm.uma.c.flags')).toContain('CACHE');
    expect(tree.value('vm.uma.c.failures.import')).toBe(tree.value('vm.uma.c.stats.fails'));
    expect(tree.value('vm.uma.c.failures.import')).toBeGreaterThan(0n);
  });

  test('frees from the wrong domain are counted where the cross bucket leaves, as in the stream', () => {
    const { umas } = virtualCpus(2, { domains: 2, bytes: 4 << 20 });
    const [here, there] = umas.map((uma) =>
      uma.open({ name: 'z', size: 192, flags: ZoneFlag.FIRSTTOUCH }),
    );
    for (const item of allocAll(here!, 500)) there!.free(item);
    const crossed = umaSysctl(umas[0]!).value('vm.uma.z.stats.xdomain');
    expect(crossed).toBeGreaterThan(100n);
    const stream = decodeZoneStats(encodeZoneStats(umas[0]!));
    expect(stream.find(({ name }) => name === 'z')!.xdomain).toBe(crossed);
  });

  test('a limit shows its items, maximum, sleepers and sleeps; without one all are 0', () => {
    const { uma, tree, zone } = one();
    const limits = (): unknown[] =>
      tree
        .list('vm.uma.z.limit')
        .map(({ read }) => read())
        .slice(0, 4);
    expect(limits()).toEqual([0n, 0n, 0, 0n]);
    const limit = staticSpace(uma.cpu, limitWords(4) * 4) >> 2;
    limitInit(uma.cpu, limit, 50, 4);
    Atomics.store(uma.words, zone.record + ZoneRecord.fields.limit.at, limit);
    reserveUnits(uma.cpu, limit, 7, 0);
    expect(limits()).toEqual([7n, 50n, 0, 0n]);
  });

  test('vm.zone_stats is the stream, and fits a buffer of its length only', () => {
    const { uma, tree } = one();
    const needed = tree.get('vm.zone_stats');
    expect(needed).toBe(encodeZoneStats(uma).length);
    expect(codeOf(() => tree.get('vm.zone_stats', new Uint8Array(needed - 1)))).toBe('ENOMEM');
    const bytes = new Uint8Array(needed);
    expect(tree.get('vm.zone_stats', bytes)).toBe(needed);
    expect(decodeZoneStats(bytes)[0]!.name).toBe('z');
    // A zone more: the caller asks again, as libmemstat does.
    uma.open({ name: 'more', size: 8 });
    expect(codeOf(() => tree.get('vm.zone_stats', bytes))).toBe('ENOMEM');
  });

  test('vm.uma_kmem_total is the bytes of all slabs, secondary zones not twice', () => {
    const { uma, tree, zone } = one();
    uma.open({ name: 'second', size: 192, primary: zone.definition });
    const before = tree.value('vm.uma_kmem_total') as bigint;
    const pages = zone.statistics().pages;
    allocAll(zone, 100);
    const own = BigInt(zone.statistics().pages - pages) * 4096n;
    expect(own).toBeGreaterThan(0n);
    const kegs = tree.list().filter(({ path }) => path.endsWith('keg.domain.0.pages'));
    const sum = kegs
      .filter(({ path }) => !path.includes('second'))
      .reduce((all, { read }) => all + (read() as number), 0);
    expect(tree.value('vm.uma_kmem_total')).toBe(BigInt(sum) * 4096n);
    expect(tree.value('vm.uma_kmem_total')).toBeGreaterThanOrEqual(before + own);
  });
});

describe('writing', () => {
  const int = (value: number): Uint8Array => new Uint8Array(Int32Array.of(value).buffer);

  test('nothing of a zone can be written', () => {
    const { tree } = one();
    for (const { path } of tree.list('vm.uma.z')) {
      expect(
        codeOf(() => tree.set(path, int(1))),
        path,
      ).toBe('EPERM');
    }
  });

  test('debug.uma_reclaim takes 1, 2 and 3', () => {
    const { tree, zone } = one();
    zone.freeMany(allocAll(zone, 300), 0, 300);
    for (const bad of [0, 4, -1]) {
      expect(
        codeOf(() => tree.set('debug.uma_reclaim', int(bad))),
        String(bad),
      ).toBe('EINVAL');
    }
    expect(tree.value('debug.uma_reclaim')).toBe(0);
    expect(zone.statistics().pages).toBeGreaterThan(1);
    tree.set('debug.uma_reclaim', int(2));
    expect(zone.statistics()).toMatchObject({ cached: 0, queued: 0, pages: 0 });
  });

  test('debug.uma_reclaim_domain takes a request, and a domain above its four bits', () => {
    const { umas } = virtualCpus(2, { domains: 2, bytes: 4 << 20 });
    const tree = umaSysctl(umas[0]!);
    // Memory of both domains: each CPU allocates from its own.
    const zones = umas.map((uma) => uma.open({ name: 'z', size: 192 }));
    for (const zone of zones) zone.freeMany(allocAll(zone, 300), 0, 300);
    leave(umas[1]!);
    const pages = (): unknown[] =>
      [0, 1].map((domain) => tree.value(`vm.uma.z.keg.domain.${domain}.pages`));
    const [first] = pages();
    expect(first).toBeGreaterThan(0);
    for (const bad of [0, 4, 0xf, 2 | (2 << 4), -14]) {
      expect(
        codeOf(() => tree.set('debug.uma_reclaim_domain', int(bad))),
        String(bad),
      ).toBe('EINVAL');
    }
    tree.set('debug.uma_reclaim_domain', int(2 | (1 << 4)));
    expect(pages()).toEqual([first, 0]);
    tree.set('debug.uma_reclaim_domain', int(2));
    expect(pages()).toEqual([0, 0]);
  });

  test('debug.vm_lowmem calls the handlers of this thread, and takes two flags', () => {
    const { uma, tree } = one();
    let calls = 0;
    onLowMemory(uma, () => {
      calls++;
    });
    for (const bad of [4, 8, -1]) {
      expect(
        codeOf(() => tree.set('debug.vm_lowmem', int(bad))),
        String(bad),
      ).toBe('EINVAL');
    }
    tree.set('debug.vm_lowmem', int(0));
    expect(calls).toBe(0);
    for (const flags of [1, 2, 3]) tree.set('debug.vm_lowmem', int(flags));
    expect(calls).toBe(3);
    onLowMemory(uma, () => {
      throw new Error('in the handler');
    });
    expect(() => tree.set('debug.vm_lowmem', int(1))).toThrow('in the handler');
  });

  test('vm.zone_warnings turns the warnings of limits off and on', () => {
    const { tree } = one();
    expect(tree.value('vm.zone_warnings')).toBe(1);
    tree.set('vm.zone_warnings', int(0));
    expect(tree.value('vm.zone_warnings')).toBe(0);
    tree.set('vm.zone_warnings', int(5));
    expect(tree.value('vm.zone_warnings')).toBe(1);
  });

  test('an arena that is only looked at is read-only, all of it', () => {
    const { uma, zone } = one();
    allocAll(zone, 5);
    const tree = umaSysctl(viewUma(uma.arena)!);
    for (const { path } of tree.list()) {
      expect(
        codeOf(() => tree.set(path, int(1))),
        path,
      ).toBe('EPERM');
    }
    expect(tree.value('vm.uma.z.stats.current')).toBe(5);
  });
});

test('vm.debug is there at level invariants only, as in the kernel', () => {
  for (const level of ['none', 'checks', 'invariants'] as const) {
    const tree = umaSysctl(virtualCpus(1, { level }).umas[0]!);
    const code = codeOf(() => tree.value('vm.debug.trashed'));
    expect(code, level).toBe(level === 'invariants' ? 'none' : 'ENOENT');
  }
});

test('zones of flags with special bits print as the kernel prints them', () => {
  const { uma, tree } = one();
  uma.open({ name: 'nb', size: 8, flags: ZoneFlag.NOBUCKET | ZoneFlag.NOFREE });
  expect(tree.value('vm.uma.nb.flags')).toMatch(/^0x[0-9a-f]+<.*NOFREE>$/);
});
