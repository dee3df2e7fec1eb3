/** vm.debug.divisor: which items are looked at, and that both counters tell. Redzones' sizes. */
import { expect, test } from 'vitest';
import { ArgumentError, Arena, claimCpu, Panic } from '@umbuf/memory';
import {
  fsck,
  itemsPerSlab,
  KegRecord,
  M_NOWAIT,
  REDZONE_BYTES,
  reclaim,
  TRASH_WORD,
  Uma,
  umaSysctl,
  type Zone,
  ZoneDefinitionError,
  ZoneFlag,
  ZoneMismatchError,
} from '../src/index.ts';
import { allocAll, virtualCpus } from './support/virtual.ts';

function arenaWith(divisor: number | undefined): Uma {
  const arena = Arena.create({ bytes: 1 << 20, cpus: 2, level: 'invariants' });
  const cpu = claimCpu(arena, { manualLeave: true });
  return Uma.attach(cpu, divisor === undefined ? {} : { divisor });
}

/** The kernel's ordinal of an item (uma_dbg_kskip), written down once more. */
function ordinal(zone: Zone, item: number): number {
  const rsize = zone.uma.words[zone.keg + KegRecord.fields.rsize.at]!;
  const ipers = itemsPerSlab(zone);
  const page = Math.floor(item / 4096);
  return ipers === 1 ? page : page * ipers + Math.floor((item % 4096) / rsize);
}

test.each([0, 1, 2, 7])(
  'divisor %i: exactly every such item is trashed and verified',
  (divisor) => {
    const uma = arenaWith(divisor);
    const zone = uma.open({ name: 'z', size: 100 });
    const items = allocAll(zone, 150);
    for (const item of items) uma.words.fill(0x5a5a5a5a, item >> 2, (item >> 2) + 25);
    zone.freeMany(items, 0, items.length);
    const looked = items.filter((item) => uma.words[item >> 2] === TRASH_WORD);
    const expected = items.filter((item) =>
      divisor === 0 ? false : ordinal(zone, item) % divisor === 0,
    );
    expect(looked).toEqual(expected);
    expect(fsck(uma).violations).toEqual([]);
    // Written after the free: found for those that are looked at, not for the others.
    const last = items.at(-1)!;
    uma.words[last >> 2] = 1;
    let noticed: unknown;
    try {
      expect(zone.alloc(M_NOWAIT)).toBe(last);
    } catch (error) {
      noticed = error;
    }
    expect(noticed instanceof Panic).toBe(expected.includes(last));
  },
);

test('trashed and skipped count each look at an allocation or free, with a divisor above 1', () => {
  for (const divisor of [0, 1, 5]) {
    const uma = arenaWith(divisor);
    const zone = uma.open({ name: 'z', size: 100 });
    const items = allocAll(zone, 60);
    zone.freeMany(items, 0, items.length);
    const tree = umaSysctl(uma);
    const [trashed, skipped] = ['trashed', 'skipped'].map(
      (leaf) => tree.value(`vm.debug.${leaf}`) as bigint,
    );
    const looked = items.filter((item) => ordinal(zone, item) % divisor === 0).length;
    expect(tree.value('vm.debug.divisor')).toBe(divisor);
    if (divisor <= 1) expect([trashed, skipped]).toEqual([0n, 0n]);
    else expect([trashed, skipped]).toEqual([BigInt(2 * looked), BigInt(2 * (60 - looked))]);
  }
});

test('a slab with unsampled items can be destroyed, whatever they hold', () => {
  const uma = arenaWith(4);
  const zone = uma.open({ name: 'z', size: 100 });
  const items = allocAll(zone, 150);
  for (const item of items) uma.words[item >> 2] = 9;
  zone.freeMany(items, 0, items.length);
  expect(reclaim(uma, 'drain-cpu').slabs).toBeGreaterThan(0);
  expect(zone.statistics().pages).toBe(0);
});

test('the divisor is of the arena: the first thread sets it, the others take it', () => {
  const uma = arenaWith(3);
  const other = claimCpu(uma.arena, { manualLeave: true });
  expect(() => Uma.attach(other, { divisor: 4 })).toThrow(/divisor 4, but the arena's is 3/);
  expect(umaSysctl(Uma.attach(other)).value('vm.debug.divisor')).toBe(3);
  expect(Uma.attach(other, { divisor: 3 })).toBe(Uma.attach(other));
  expect(() => Uma.attach(other, { divisor: 1 })).toThrow(ArgumentError);
  for (const bad of [-1, 1.5, Number.NaN, 2 ** 31]) {
    expect(() => arenaWith(bad), String(bad)).toThrow(ArgumentError);
  }
  expect(umaSysctl(arenaWith(undefined)).value('vm.debug.divisor')).toBe(1);
});

test('redzones are at level invariants only, and where the definition wants them', () => {
  const rsizeOf = (zone: Zone): number => zone.uma.words[zone.keg + KegRecord.fields.rsize.at]!;
  const open = (level: 'checks' | 'invariants', definition: object): number =>
    rsizeOf(virtualCpus(1, { level }).umas[0]!.open({ name: 'z', size: 64, ...definition }));
  expect(open('checks', { redzone: 32 })).toBe(64);
  expect(open('invariants', {})).toBe(64 + REDZONE_BYTES);
  expect(open('invariants', { redzone: 0 })).toBe(64);
  expect(open('invariants', { redzone: 5 })).toBe(72);
  expect(open('invariants', { redzone: 256 })).toBe(320);
  expect(open('invariants', { size: 2048 })).toBe(2048);
  expect(open('invariants', { size: 2048, redzone: 8 })).toBe(2056);
  for (const flags of [ZoneFlag.NOTOUCH, ZoneFlag.CACHESPREAD]) {
    const plain = open('checks', { flags });
    expect(open('invariants', { flags, redzone: 16 }), String(flags)).toBe(plain);
  }
});

test('the last item of a slab has its whole redzone', () => {
  for (const size of [1, 13, 40, 100, 1000, 2047]) {
    const uma = virtualCpus(1, { level: 'invariants' }).umas[0]!;
    const zone = uma.open({ name: 'z', size });
    const items = allocAll(zone, itemsPerSlab(zone));
    for (const item of items) uma.bytes.fill(0xff, item, item + size);
    zone.freeMany(items, 0, items.length);
    expect(fsck(uma).violations, String(size)).toEqual([]);
  }
});

test('a redzone is data of the definition, and the primary’s', () => {
  const { umas } = virtualCpus(2, { level: 'invariants' });
  const definition = { name: 'z', size: 64, redzone: 16 };
  umas[0]!.open(definition);
  expect(() => umas[1]!.open({ ...definition, redzone: 8 })).toThrow(ZoneMismatchError);
  for (const bad of [-1, 257, 1.5]) {
    expect(() => umas[0]!.open({ name: 'b', size: 64, redzone: bad })).toThrow(ZoneDefinitionError);
  }
  const second = { name: 's', size: 64, primary: definition, redzone: 16 };
  expect(() => umas[0]!.open(second)).toThrow(/redzone belongs to the primary/);
});
