/**
 * Death at every point of what limits add: units on their way, frees past the caches, the recall of
 * cached items, the first `setMax`. Another CPU recovers; then fsck must find nothing, no unit may
 * be lost, and no sleeper may be left behind while a unit is free or cached.
 */
import { expect, test } from 'vitest';
import {
  limitCount,
  limitMax,
  limitSleepers,
  markDead,
  recover,
  registerSleeper,
} from '@umbuf/memory';
import { CellState } from '../../memory/src/sync/wait-cell.ts';
import {
  defineZone,
  fsck,
  M_NOWAIT,
  M_WAITOK,
  reclaim,
  type Uma,
  type Zone,
  type ZoneDefinition,
  ZoneFlag,
  ZoneRecord,
} from '../src/index.ts';
import { type DeathPoint, deathPoints, mark, restore, spread } from './support/death.ts';
import { allocAll, enter, handTop, leave, virtualCpus } from './support/virtual.ts';

const POINTS = Number(process.env['UMBUF_STRESS_SECONDS'] ?? 2) > 10 ? 100_000 : 60;

interface Setting {
  /** The victim's, another CPU's, and the recoverer's. */
  readonly zones: readonly [Zone, Zone, Zone];
  readonly umas: readonly [Uma, Uma, Uma];
  /** Wait cells of sleepers that the scenario has registered. */
  readonly cells: number[];
}

interface Scenario {
  readonly name: string;
  /** Brings the arena into the state in which the operation dies; returns what the victim holds. */
  prepare(setting: Setting): number[];
  operation(zone: Zone, held: number[]): void;
}

function limitOf(zone: Zone): number {
  return zone.uma.words[zone.record + ZoneRecord.fields.limit.at]!;
}

/** A sleeper on `zone`'s CPU that has registered and done nothing else yet. */
function sleeper(setting: Setting, zone: Zone): void {
  enter(zone.uma);
  setting.cells.push(registerSleeper(zone.uma.cpu, limitOf(zone), 1));
  // What it does next: everything cached goes to the keg, frees go past the caches.
  zone.setMax(limitMax(zone.uma.cpu, limitOf(zone)));
  leave(zone.uma);
}

const scenarios: readonly Scenario[] = [
  {
    name: 'allocations up to the limit and the one beyond',
    prepare: ({ zones }) => {
      zones[0].setMax(12);
      return [];
    },
    operation(zone, held) {
      for (let item = zone.alloc(M_NOWAIT); item !== 0; item = zone.alloc(M_NOWAIT))
        held.push(item);
    },
  },
  {
    name: 'frees that fill the caches and go beyond them',
    prepare: ({ zones }) => {
      zones[0].setMax(12);
      return allocAll(zones[0], 12);
    },
    operation(zone, held) {
      while (held.length > 2) zone.free(held.pop()!);
    },
  },
  {
    name: 'frees while another sleeps',
    prepare(setting) {
      setting.zones[0].setMax(6);
      const held = allocAll(setting.zones[0], 6);
      sleeper(setting, setting.zones[1]);
      sleeper(setting, setting.zones[1]);
      return held;
    },
    operation(zone, held) {
      while (held.length > 3) zone.free(held.pop()!);
    },
  },
  {
    name: 'an allocation that finds what idle CPUs have cached',
    prepare({ zones }) {
      zones[0].setMax(24);
      for (const item of allocAll(zones[1], 6)) zones[1].free(item);
      leave(zones[1].uma);
      return allocAll(zones[0], 24 - zones[1].statistics().cached - zones[1].statistics().queued);
    },
    operation: (zone) => void zone.alloc(M_NOWAIT),
  },
  {
    name: 'a wait that ends with what idle CPUs have cached',
    prepare({ zones }) {
      zones[0].setMax(24);
      for (const item of allocAll(zones[1], 6)) zones[1].free(item);
      leave(zones[1].uma);
      return allocAll(zones[0], 24 - zones[1].statistics().cached - zones[1].statistics().queued);
    },
    operation: (zone) => void zone.allocWait(M_WAITOK, { timeoutMs: 0 }),
  },
  {
    name: 'a wait that ends without',
    prepare({ zones }) {
      zones[0].setMax(6);
      return allocAll(zones[0], 6);
    },
    operation: (zone) => void zone.allocWait(M_WAITOK, { timeoutMs: 0 }),
  },
  {
    name: 'the first limit of a zone in use',
    prepare({ zones }) {
      const held = allocAll(zones[0], 9);
      for (const item of allocAll(zones[1], 6)) zones[1].free(item);
      leave(zones[1].uma);
      return held;
    },
    operation: (zone) => void zone.setMax(40),
  },
  {
    name: 'a limit that is raised for a sleeper, and lowered',
    prepare(setting) {
      setting.zones[0].setMax(6);
      const held = allocAll(setting.zones[0], 6);
      sleeper(setting, setting.zones[1]);
      sleeper(setting, setting.zones[1]);
      return held;
    },
    operation(zone) {
      zone.setMax(7);
      zone.setMax(5);
    },
  },
];

const shapes: readonly (readonly [string, Partial<ZoneDefinition>])[] = [
  ['plain items', { size: 100 }],
  ['items with callbacks', callbacks({ size: 300 })],
  ['NOBUCKET items with callbacks', callbacks({ size: 1024, flags: ZoneFlag.NOBUCKET })],
];

function callbacks(base: Partial<ZoneDefinition>): Partial<ZoneDefinition> {
  const point = (): void => mark();
  return { ...base, ctor: point, dtor: point, zinit: point, zfini: point };
}

function setUp(base: Partial<ZoneDefinition>): Setting {
  const { umas } = virtualCpus(3, { level: 'checks', bytes: 1 << 18 });
  const definition = defineZone({ name: 'z', size: 1, ...base });
  const zones = umas.map((uma) => uma.open(definition));
  return {
    zones: zones as unknown as Setting['zones'],
    umas: umas as unknown as Setting['umas'],
    cells: [],
  };
}

/** Nothing lost, nothing twice, nobody left behind. */
function check(setting: Setting, owned: number, where: string): void {
  const [, , supervisor] = setting.umas;
  const zone = setting.zones[2];
  leave(supervisor);
  const report = fsck(supervisor);
  expect(report.violations, where).toEqual([]);
  expect(handTop(supervisor), where).toBe(0);
  const live = report.live['z']!;
  expect(live, where).toBeGreaterThanOrEqual(owned);
  expect(live, where).toBeLessThanOrEqual(owned + 1);
  const limit = limitOf(zone);
  if (limit === 0 || limitSleepers(supervisor, limit) === 0) return;
  const { cached, queued } = zone.statistics();
  expect(cached + queued, `${where}: cached while somebody sleeps`).toBe(0);
  const count = limitCount(supervisor, limit);
  expect(count, `${where}: free while somebody sleeps`).toBeGreaterThanOrEqual(
    limitMax(supervisor, limit),
  );
}

function recoverVictim(setting: Setting, where: string): void {
  const [victim, , supervisor] = setting.umas;
  markDead(supervisor.cpu, victim.cpu.number, victim.cpu.incarnation);
  const { number, incarnation } = victim.cpu;
  expect(recover(supervisor.cpu, number, incarnation), where).toBe('recovered');
}

function run(scenario: Scenario, setting: Setting): readonly DeathPoint[] {
  const held = scenario.prepare(setting);
  leave(setting.umas[1]);
  leave(setting.umas[2]);
  const work = (): void => scenario.operation(setting.zones[0], held);
  const { points, error } = deathPoints(setting.umas[0], work, () => held.length, POINTS);
  expect(error).toBeUndefined();
  expect(points.length).toBeGreaterThan(10);
  return points;
}

for (const [shape, base] of shapes) {
  test.each(scenarios)(`${shape}: $name`, (scenario) => {
    const setting = setUp(base);
    const points = spread(run(scenario, setting), POINTS);
    let granted = 0;
    points.forEach((point, index) => {
      restore(setting.umas[0], point);
      const where = `point ${index}`;
      recoverVictim(setting, where);
      check(setting, point.owned, where);
      for (const cell of setting.cells) {
        if ((Atomics.load(setting.umas[0].words, cell) & 3) === CellState.granted) granted++;
      }
    });
    // Both sleepers are granted at some points, none at others.
    if (setting.cells.length > 0) {
      expect(granted).toBeGreaterThan(0);
      expect(granted).toBeLessThan(points.length * setting.cells.length);
    }
  });
}

test('a sleeper that dies leaves its place, and what it was granted, to the next', () => {
  const setting = setUp({ size: 100 });
  const [victim, other] = setting.zones;
  victim.setMax(2);
  const items = allocAll(other, 2);
  sleeper(setting, victim);
  sleeper(setting, other);
  other.free(items.pop()!);
  const [first, second] = setting.cells as [number, number];
  expect(Atomics.load(victim.uma.words, first) & 3).toBe(CellState.granted);
  recoverVictim(setting, 'granted');
  expect(Atomics.load(victim.uma.words, first)).toBe(CellState.free);
  expect(Atomics.load(victim.uma.words, second) & 3).toBe(CellState.granted);
  check(setting, 1, 'granted');
});

test('what a CPU had cached when it died goes to who sleeps', () => {
  const setting = setUp({ size: 100 });
  const [victim, other] = setting.zones;
  victim.setMax(40);
  for (const item of allocAll(victim, 4)) victim.free(item);
  const { cached, queued } = victim.statistics();
  expect(cached).toBeGreaterThan(0);
  const held = allocAll(other, 40 - cached - queued);
  // The victim is running: it was asked, and dies before it answers.
  sleeper(setting, other);
  expect(Atomics.load(other.uma.words, setting.cells[0]!)).toBe(CellState.waiting);
  recoverVictim(setting, 'running');
  expect(Atomics.load(other.uma.words, setting.cells[0]!) & 3).toBe(CellState.granted);
  check(setting, held.length, 'running');
});

test('a recoverer without the zone leaves a note and wakes the sleepers', () => {
  const { umas } = virtualCpus(3, { level: 'checks', bytes: 1 << 18 });
  const [victim, other, supervisor] = umas as unknown as Setting['umas'];
  const definition = defineZone({ name: 'z', ...callbacks({ size: 300 }), size: 300 });
  const zones = [victim.open(definition), other.open(definition)];
  zones[0]!.setMax(40);
  for (const item of allocAll(zones[0]!, 4)) zones[0]!.free(item);
  const { cached, queued } = zones[0]!.statistics();
  allocAll(zones[1]!, 40 - cached - queued);
  enter(other);
  const cell = registerSleeper(other.cpu, limitOf(zones[1]!), 1);
  leave(other);
  markDead(supervisor.cpu, victim.cpu.number, victim.cpu.incarnation);
  expect(recover(supervisor.cpu, victim.cpu.number, victim.cpu.incarnation)).toBe('recovered');
  expect(Atomics.load(other.words, cell)).toBe(CellState.waiting);
  expect(zones[1]!.statistics().queued).toBe(cached + queued);
  // The sleeper, woken, does what the recoverer could not: here by hand.
  reclaim(other, 'drain', zones[1]!.record);
  expect(Atomics.load(other.words, cell) & 3).toBe(CellState.granted);
  expect(fsck(supervisor).violations).toEqual([]);
});
