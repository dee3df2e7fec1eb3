/**
 * Death in an SMR zone at every point, as death.test.ts has it for the others: nothing is lost, no
 * item that a reader may see is handed out, and no dtor runs twice over one life of an item.
 */
import { expect, test } from 'vitest';
import { leaveCpu, markDead, recover, releaseCpu } from '@umbuf/memory';
import {
  defineZone,
  fsck,
  M_NOWAIT,
  reclaim,
  type Uma,
  type Zone,
  type ZoneDefinition,
  ZoneFlag,
} from '../src/index.ts';
import { deathPoints, mark, restore, spread } from './support/death.ts';
import { allocAll, attachCpu, handTop, virtualCpus } from './support/virtual.ts';

const levels = ['none', 'checks', 'invariants'] as const;
const POINTS = Number(process.env['UMBUF_STRESS_SECONDS'] ?? 2) > 10 ? 100_000 : 12;

/** Word of an item that says how far its life is: 1 between ctor and dtor, 2 behind the dtor. */
const LIFE = 2;

/** Callbacks that check the order of an item's life and are points of death. */
function callbacks(words: Int32Array, broken: string[]): Partial<ZoneDefinition> {
  const step = (name: string, item: number, from: readonly number[], to: number): void => {
    mark();
    const life = words[(item >> 2) + LIFE]!;
    if (!from.includes(life)) broken.push(`${name} of ${item} in life ${life}`);
    words[(item >> 2) + LIFE] = to;
    mark();
  };
  return {
    // A ctor that its thread died in left a life begun.
    ctor: (_zone, item) => step('ctor', item, [0, 2], 1),
    dtor: (_zone, item) => step('dtor', item, [1], 2),
    zinit: (_zone, item) => step('zinit', item, [0, 1, 2], 0),
    zfini: (_zone, item) => step('zfini', item, [0, 1, 2], 0),
  };
}

interface Scenario {
  readonly name: string;
  prepare(zone: Zone, other: Zone): number[];
  operation(zone: Zone, held: number[]): void;
}

const scenarios: readonly Scenario[] = [
  {
    name: 'a free into the free bucket',
    prepare(zone) {
      const items = allocAll(zone, 6);
      zone.free(items.pop()!);
      return items;
    },
    operation: (zone, held) => zone.free(held.pop()!),
  },
  {
    name: 'frees that flush and tag the free bucket',
    prepare: (zone) => allocAll(zone, 14),
    operation(zone, held) {
      while (held.length > 2) zone.free(held.pop()!);
    },
  },
  {
    name: 'an allocation that takes an expired bucket, dtors and all',
    prepare(zone) {
      const items = allocAll(zone, 24);
      for (const item of items.splice(0, 18)) zone.free(item);
      return items;
    },
    operation(zone) {
      for (let turn = 0; turn < 9; turn++) zone.free(zone.alloc(M_NOWAIT));
    },
  },
  {
    name: 'a section, with frees before and behind it',
    prepare: (zone) => allocAll(zone, 6),
    operation(zone, held) {
      const smr = zone.getSmr()!;
      zone.free(held.pop()!);
      smr.enter();
      mark();
      smr.exit();
      zone.free(held.pop()!);
      zone.getSmr()!.synchronize();
    },
  },
  {
    name: 'a drain of everything',
    prepare(zone, other) {
      const items = allocAll(zone, 24);
      const foreign = allocAll(other, 6);
      for (const item of items.splice(0, 18)) zone.free(item);
      for (const item of foreign) other.free(item);
      leaveCpu(other.uma.cpu);
      return items;
    },
    operation: (zone) => void reclaim(zone.uma, 'drain-cpu', zone.record),
  },
  {
    name: 'going offline with a free bucket',
    prepare(zone) {
      const items = allocAll(zone, 8);
      for (const item of items.splice(0, 5)) zone.free(item);
      return items;
    },
    operation: (zone) => releaseCpu(zone.uma.cpu),
  },
];

const shapes: readonly (readonly [string, Partial<ZoneDefinition>, boolean])[] = [
  ['items of 4 KiB (buckets of 2)', { size: 4096 }, false],
  ['items of 4 KiB with all callbacks', { size: 4096 }, true],
  ['items of 300 bytes with all callbacks', { size: 300 }, true],
  [
    'NOBUCKET items with all callbacks',
    { size: 1024, flags: ZoneFlag.SMR | ZoneFlag.NOBUCKET },
    true,
  ],
];

interface Setting {
  readonly umas: readonly [victim: Uma, other: Uma, supervisor: Uma];
  readonly zones: readonly [Zone, Zone, Zone];
  readonly broken: string[];
}

function setUp(
  level: (typeof levels)[number],
  shape: Partial<ZoneDefinition>,
  calls: boolean,
): Setting {
  const { arena, umas } = virtualCpus(3, { level, bytes: 1 << 18 });
  const broken: string[] = [];
  const definition = defineZone({
    name: 'z',
    size: 1,
    flags: ZoneFlag.SMR,
    ...shape,
    ...(calls ? callbacks(arena.words, broken) : {}),
  });
  const zones = umas.map((uma) => uma.open(definition));
  return {
    umas: umas as [Uma, Uma, Uma],
    zones: zones as [Zone, Zone, Zone],
    broken,
  };
}

for (const level of levels) {
  // Every shape with item tables; callbacks without them, trash with neither.
  const some = { none: shapes.slice(1, 2), checks: shapes, invariants: shapes.slice(0, 1) }[level];
  for (const [shape, base, calls] of some) {
    test.each(scenarios)(`level ${level}, ${shape}: $name`, (scenario) => {
      const { umas, zones, broken } = setUp(level, base, calls);
      const [victim, , supervisor] = umas;
      const held = scenario.prepare(zones[0], zones[1]);
      leaveCpu(umas[1].cpu);
      const work = (): void => scenario.operation(zones[0], held);
      const { points, error } = deathPoints(victim, work, () => held.length, POINTS);
      expect(error).toBeUndefined();
      expect(points.length).toBeGreaterThan(0);
      spread(points, POINTS).forEach((point, index) => {
        restore(victim, point);
        const where = `point ${index}`;
        const { number, incarnation } = victim.cpu;
        if (!markDead(supervisor.cpu, number, incarnation)) return; // offline already
        expect(recover(supervisor.cpu, number, incarnation), where).toBe('recovered');
        const report = fsck(supervisor);
        expect(report.violations, where).toEqual([]);
        expect(report.live['z'], where).toBeGreaterThanOrEqual(point.owned);
        expect(report.live['z'], where).toBeLessThanOrEqual(point.owned + 1);
        expect(handTop(supervisor), where).toBe(0);
        // Nobody reads any more: everything on the queues can be reclaimed, every dtor has run.
        reclaim(supervisor, 'drain', zones[2].record);
        expect(zones[2].statistics().queued, where).toBe(0);
        expect(fsck(supervisor).violations, where).toEqual([]);
        expect(broken, where).toEqual([]);
      });
    });
  }
}

test('a reader keeps the items that another CPU freed and died over', () => {
  const { umas, zones } = setUp('checks', { size: 4096 }, false);
  const [victim, reader, supervisor] = umas;
  const items = allocAll(zones[0], 12);
  for (const item of items) victim.words[item >> 2] = item;
  zones[1].getSmr()!.enter();
  const work = (): void => {
    for (const item of items) zones[0].free(item);
  };
  const { points } = deathPoints(victim, work, undefined, POINTS);
  spread(points, POINTS).forEach((point, index) => {
    restore(victim, point);
    const { number, incarnation } = victim.cpu;
    expect(recover(supervisor.cpu, number, incarnation)).toBe('recovered');
    reclaim(supervisor, 'drain', zones[2].record);
    for (const item of allocAll(zones[2], 20)) {
      expect(items, `point ${index}`).not.toContain(item);
      victim.words[item >> 2] = -1;
    }
    for (const item of items) expect(victim.words[item >> 2], `point ${index}`).toBe(item);
  });
  expect(points.length).toBeGreaterThan(8);
  zones[1].getSmr()!.exit();
  leaveCpu(reader.cpu);
});

test('a thread without the zone recovers a bucket whose dtors were under way', () => {
  const { arena, umas } = virtualCpus(2, { level: 'checks', bytes: 1 << 18 });
  const [victim, supervisor] = umas as [Uma, Uma];
  const broken: string[] = [];
  const zone = victim.open(
    defineZone({ name: 'z', size: 300, flags: ZoneFlag.SMR, ...callbacks(arena.words, broken) }),
  );
  for (const item of allocAll(zone, 40)) zone.free(item);
  const { points } = deathPoints(victim, () => void allocAll(zone, 40), undefined, POINTS);
  spread(points, POINTS).forEach((point, index) => {
    restore(victim, point);
    const { number, incarnation } = victim.cpu;
    expect(recover(supervisor.cpu, number, incarnation)).toBe('recovered');
    expect(fsck(supervisor).violations, `point ${index}`).toEqual([]);
    expect(handTop(supervisor)).toBe(0);
    const next = attachCpu(arena, { number });
    const again = next.open(zone.definition);
    again.free(again.alloc(M_NOWAIT));
    expect(fsck(next).violations, `point ${index}`).toEqual([]);
    releaseCpu(next.cpu);
  });
});
