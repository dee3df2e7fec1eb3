/**
 * Every misuse of a zone at every debug level: what is thrown, by which operation, with zone, address
 * and CPU in the message; what goes unnoticed at which level is written down too.
 */
import { expect, test } from 'vitest';
import { kegOfPage, Panic } from '@umbuf/memory';
import {
  DoubleFreeError,
  FreeError,
  fsck,
  itemEntry,
  itemsPerSlab,
  KegRecord,
  M_NOWAIT,
  reclaim,
  RedzoneError,
  UnalignedFreeError,
  WildFreeError,
  WrongZoneError,
  type Zone,
} from '../src/index.ts';
import { markLive } from '../src/item-table.ts';
import { allocAll, thrownBy, virtualCpus } from './support/virtual.ts';

const LEVELS = ['none', 'checks', 'invariants'] as const;
type Level = (typeof LEVELS)[number];

/** What one case works on: zone `z` on CPUs 0 and 1, another zone, three live items of `z`. */
interface World {
  readonly zone: Zone;
  readonly there: Zone;
  readonly other: Zone;
  readonly items: readonly number[];
}

interface Misuse {
  readonly what: string;
  /** Does it; returns the address that the message must name. Its last call is what may throw. */
  readonly run: (world: World) => number;
  /** The level from which on it is noticed. Below, it is not: that is what the level costs less. */
  readonly from: Level;
  readonly error: new (message: string) => Error;
  readonly message: RegExp;
  /** CPU that notices; 0 when absent. */
  readonly cpu?: number;
  /** False: the case leaves damage behind that is not the error's doing. */
  readonly clean?: false;
}

const SIZE = 40;

function rsize(zone: Zone): number {
  return zone.uma.words[zone.keg + KegRecord.fields.rsize.at]!;
}

/** Runs `operation`, which throws `error` from the level on, and hands the address through. */
function at(address: number, operation: () => unknown): number {
  last = { address, error: undefined };
  try {
    operation();
  } catch (error) {
    last = { address, error };
  }
  return address;
}

let last: { address: number; error: unknown } = { address: 0, error: undefined };

const MISUSES: readonly Misuse[] = [
  {
    what: 'free of an address outside the arena',
    run: ({ zone }) =>
      at(zone.uma.arena.bytes.length, () => zone.free(zone.uma.arena.bytes.length)),
    from: 'checks',
    error: WildFreeError,
    message: /wild free of \d+: no address of the arena/,
  },
  {
    what: 'free of a negative address',
    run: ({ zone }) => at(-8, () => zone.free(-8)),
    from: 'checks',
    error: WildFreeError,
    message: /wild free of -8: no address of the arena/,
  },
  {
    what: 'free of what is no integer',
    run: ({ zone }) => at(1.5, () => zone.free(1.5)),
    from: 'checks',
    error: WildFreeError,
    message: /wild free of 1\.5: no address of the arena/,
  },
  {
    what: 'free of an address in no slab',
    run({ zone }) {
      const { arena } = zone.uma;
      let page = arena.pages - 1;
      while (kegOfPage(arena, page << 12) !== 0) page--;
      return at(page << 12, () => zone.free(page << 12));
    },
    from: 'checks',
    error: WildFreeError,
    message: /wild free of \d+: in no slab/,
  },
  {
    what: 'free of an item of another zone',
    run({ zone, other }) {
      const foreign = other.alloc(M_NOWAIT);
      return at(foreign, () => zone.free(foreign));
    },
    from: 'checks',
    error: WrongZoneError,
    message: /item \d+ did not belong to the zone, but to other/,
  },
  {
    what: 'free of an address inside an item',
    run: ({ zone, items }) => at(items[0]! + 8, () => zone.free(items[0]! + 8)),
    from: 'checks',
    error: UnalignedFreeError,
    message: /unaligned free of \d+/,
  },
  {
    what: 'free of an address behind the last item of a slab',
    run({ zone, items }) {
      const behind = (items[0]! & -4096) + itemsPerSlab(zone) * rsize(zone);
      expect(behind >> 12).toBe(items[0]! >> 12);
      return at(behind, () => zone.free(behind));
    },
    from: 'checks',
    error: UnalignedFreeError,
    message: /invalid free of \d+: no item of its slab is there/,
  },
  {
    what: 'free of an item twice',
    run({ zone, items }) {
      zone.free(items[0]!);
      return at(items[0]!, () => zone.free(items[0]!));
    },
    from: 'checks',
    error: DoubleFreeError,
    message: /duplicate free of \d+/,
  },
  {
    what: 'free of an item that another CPU has freed',
    run({ zone, there, items }) {
      zone.free(items[1]!);
      return at(items[1]!, () => there.free(items[1]!));
    },
    from: 'checks',
    error: DoubleFreeError,
    message: /duplicate free of \d+/,
    cpu: 1,
  },
  {
    what: 'free of an item twice in one call',
    run: ({ zone, items }) =>
      at(items[2]!, () => zone.freeMany([items[1]!, items[2]!, items[2]!], 0, 3)),
    from: 'checks',
    error: DoubleFreeError,
    message: /duplicate free of \d+/,
  },
  {
    what: 'free of an item that was never handed out',
    run({ zone, items }) {
      const first = items[0]! & -4096;
      const places = [0, 1, 2, 3].map((index) => first + index * rsize(zone));
      const item = places.find((each) => !items.includes(each))!;
      return at(item, () => zone.free(item));
    },
    from: 'checks',
    error: DoubleFreeError,
    message: /duplicate free of \d+/,
  },
  {
    what: 'an item that is handed out twice',
    run({ zone, items }) {
      zone.free(items[2]!);
      const entry = itemEntry(zone.uma, zone.keg, items[2]!);
      if (entry !== 0) markLive(zone.uma, entry);
      return at(items[2]!, () => zone.alloc(M_NOWAIT));
    },
    from: 'checks',
    error: Panic,
    message: /Duplicate alloc of \d+ from zone z, CPU 0/,
    clean: false,
  },
  {
    what: 'a write into a freed item, found by the next allocation',
    run({ zone, items }) {
      zone.free(items[2]!);
      zone.uma.words[(items[2]! >> 2) + 3] = 0x1234;
      return at(items[2]!, () => zone.alloc(M_NOWAIT));
    },
    from: 'invariants',
    error: Panic,
    message: /Memory modified after free \d+ \(40, z\) \+ 12 = 0x1234, found by CPU 0/,
  },
  {
    what: 'a write into a freed item, found when its slab goes',
    run({ zone, items }) {
      zone.freeMany(items, 0, 3);
      zone.uma.words[items[1]! >> 2] = 7;
      return at(items[1]!, () => reclaim(zone.uma, 'drain-cpu', zone.record));
    },
    from: 'invariants',
    error: Panic,
    message: /Memory modified after free \d+ \(40, z\) \+ 0 = 0x7, found by CPU 0/,
  },
  {
    what: 'a write past the end of an item, found when it is freed',
    run({ zone, items }) {
      zone.uma.bytes[items[0]! + SIZE] = 1;
      zone.uma.bytes[items[0]! + SIZE + 2] = 1;
      return at(items[0]!, () => zone.free(items[0]!));
    },
    from: 'invariants',
    error: RedzoneError,
    message: /buffer overflow: 2 bytes corrupted after \d+ \(40 bytes allocated\)/,
    clean: false,
  },
  {
    what: 'a write before an item, found when the item before it is freed',
    run({ zone, items }) {
      const first = items.find((item) => items.includes(item + rsize(zone)))!;
      if (zone.uma.arena.level === 2) zone.uma.words[((first + rsize(zone)) >> 2) - 1] = -1;
      return at(first, () => zone.free(first));
    },
    from: 'invariants',
    error: RedzoneError,
    message: /buffer overflow: 4 bytes corrupted after \d+ \(40 bytes allocated\)/,
    clean: false,
  },
  {
    what: 'a write behind a free item, found by the next allocation',
    run({ zone, items }) {
      zone.free(items[0]!);
      if (zone.uma.arena.level === 2) zone.uma.bytes[items[0]! + SIZE] = 0;
      return at(items[0]!, () => zone.alloc(M_NOWAIT));
    },
    from: 'invariants',
    error: Panic,
    message: /zone z, CPU 0: 1 bytes written behind \d+, which is free/,
    clean: false,
  },
];

function world(level: Level): World {
  const { umas } = virtualCpus(2, { level });
  const zone = umas[0]!.open({ name: 'z', size: SIZE });
  const there = umas[1]!.open(zone.definition);
  const other = umas[0]!.open({ name: 'other', size: 64 });
  return { zone, there, other, items: allocAll(zone, 3) };
}

const cases = LEVELS.flatMap((level) => MISUSES.map((misuse) => ({ level, misuse, ...misuse })));

test.each(cases)('$level: $what', ({ level, misuse }) => {
  const { zone, there, other, items } = world(level);
  const frees = zone.statistics().frees;
  const address = misuse.run({ zone, there, other, items });
  const { error } = last;
  if (LEVELS.indexOf(level) < LEVELS.indexOf(misuse.from)) {
    expect(error).toBeUndefined();
    return;
  }
  expect(error).toBeInstanceOf(misuse.error);
  const { message } = error as Error;
  expect(message).toMatch(misuse.message);
  expect(message).toContain(String(address));
  expect(message).toMatch(/\bz\b/);
  expect(message).toContain(`CPU ${misuse.cpu ?? 0}`);
  if (misuse.clean === false) return;
  // Nothing of the misuse is left: the arena is as fsck wants it.
  expect(fsck(zone.uma).violations).toEqual([]);
  if (error instanceof FreeError) expect(zone.statistics().frees - frees).toBeLessThanOrEqual(2);
});

test.each(LEVELS)('%s: free of NULL is no misuse', (level) => {
  const { zone } = world(level);
  zone.free(0);
  expect(zone.statistics()).toMatchObject({ frees: 0, live: 3 });
});

test('an item with a damaged redzone stays live until it is repaired', () => {
  const { zone, items } = world('invariants');
  const { bytes } = zone.uma;
  const before = bytes[items[0]! + SIZE]!;
  bytes[items[0]! + SIZE] = before + 1;
  expect(thrownBy(() => zone.free(items[0]!))).toBeInstanceOf(RedzoneError);
  expect(zone.statistics()).toMatchObject({ frees: 0, live: 3 });
  expect(fsck(zone.uma).violations).toEqual([
    expect.stringMatching(/^12: keg z, .*: 1 bytes written behind item/),
  ]);
  bytes[items[0]! + SIZE] = before;
  zone.free(items[0]!);
  expect(zone.statistics()).toMatchObject({ frees: 1, live: 2 });
  expect(fsck(zone.uma).violations).toEqual([]);
});
