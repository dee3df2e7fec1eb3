/**
 * Death at every point: for each operation and each state that it may find, the CPU is declared
 * dead at each function entry inside it, and in the middle of each callback. Another CPU recovers
 * it; then fsck must find nothing, and the items in users' hands must be those that the user has,
 * but for the one that the operation was about.
 */
import { expect, test } from 'vitest';
import { answerRequests, CpuRecord, describeState, markDead, recover } from '@umbuf/memory';
import {
  defineZone,
  fsck,
  M_NOWAIT,
  M_ZERO,
  reclaim,
  type Uma,
  type Zone,
  type ZoneDefinition,
  ZoneFlag,
  ZoneRecord,
} from '../src/index.ts';
import { type DeathPoint, deathPoints, mark, restore, spread } from './support/death.ts';
import { kegCallbacks } from './support/inspect.ts';
import { allocAll, attachCpu, handTop, leave, virtualCpus } from './support/virtual.ts';

/** Callbacks that are points of death, each before and after it has touched its item. */
function callbacks(words: Int32Array): Partial<ZoneDefinition> {
  const touch = (item: number): void => {
    mark();
    words[item >> 2]! += 1;
    mark();
  };
  return {
    ctor: (_zone, item) => touch(item),
    dtor: (_zone, item) => touch(item),
    init: (_zone, item) => touch(item),
    fini: (_zone, item) => touch(item),
    zinit: (_zone, item) => touch(item),
    zfini: (_zone, item) => touch(item),
  };
}

const levels = ['none', 'checks', 'invariants'] as const;
type Level = (typeof levels)[number];

interface Scenario {
  readonly name: string;
  /** Brings the arena into the state in which the operation dies; returns what the user holds. */
  prepare(zone: Zone, other: Zone): number[];
  /** The operation; `held` is the user's ledger. */
  operation(zone: Zone, held: number[]): void;
}

function stateOf(by: Uma, of: Uma): number {
  return by.words[by.arena.cpuTable + of.cpu.number * CpuRecord.words]!;
}

const scenarios: readonly Scenario[] = [
  {
    name: 'the first allocation, which builds everything',
    prepare: () => [],
    operation: (zone) => void zone.alloc(M_NOWAIT | M_ZERO),
  },
  {
    name: 'an allocation from the cache',
    prepare(zone) {
      const items = allocAll(zone, 3);
      zone.free(items.pop()!);
      return items;
    },
    operation: (zone) => void zone.alloc(M_NOWAIT | M_ZERO),
  },
  {
    name: 'an allocation that refills from the queue',
    prepare(_zone, other) {
      const items = allocAll(other, 12);
      for (const item of items.splice(0, 8)) other.free(item);
      answerRequests(other.uma.cpu);
      expect(other.statistics().queued).toBeGreaterThanOrEqual(
        other.definition.flags === ZoneFlag.NOBUCKET ? 0 : 8,
      );
      return items;
    },
    operation: (zone) => void zone.alloc(M_NOWAIT),
  },
  {
    name: 'a free into the cache',
    prepare: (zone) => allocAll(zone, 3),
    operation: (zone, held) => zone.free(held.pop()!),
  },
  {
    name: 'frees that flush the cache, and allocations that empty it',
    prepare: (zone) => allocAll(zone, 12),
    operation(zone, held) {
      while (held.length > 4) zone.free(held.pop()!);
    },
  },
  {
    name: 'a drain of the caches of all CPUs down to the pages',
    prepare(zone, other) {
      const items = allocAll(zone, 12);
      const foreign = allocAll(other, 6);
      for (const item of items.splice(0, 8)) zone.free(item);
      for (const item of foreign) other.free(item);
      leave(other.uma);
      return items;
    },
    operation: (zone) => void reclaim(zone.uma, 'drain-cpu', zone.record),
  },
];

const shapes: readonly (readonly [string, Partial<ZoneDefinition>, boolean])[] = [
  ['plain items of 100 bytes', { size: 100 }, false],
  ['plain items of 4 KiB (buckets of 2)', { size: 4096 }, false],
  ['items of 4 KiB with all callbacks', { size: 4096 }, true],
  ['items of 300 bytes with all callbacks', { size: 300 }, true],
  ['NOBUCKET items with all callbacks', { size: 1024, flags: ZoneFlag.NOBUCKET }, true],
];

/** Points tried per operation: a drain alone has some 500. All of them in a soak. */
const POINTS = Number(process.env['UMBUF_STRESS_SECONDS'] ?? 2) > 10 ? 100_000 : 40;

interface Setting {
  readonly zone: Zone;
  readonly definition: ZoneDefinition;
  readonly umas: readonly [victim: Uma, other: Uma, supervisor: Uma];
}

function setUp(level: Level, base: Partial<ZoneDefinition>, calls: boolean): Setting {
  const { arena, umas } = virtualCpus(3, { level, bytes: 1 << 18 });
  const definition = defineZone({
    name: 'z',
    size: 1,
    ...base,
    ...(calls ? callbacks(arena.words) : {}),
  });
  const zones = umas.map((uma) => uma.open(definition));
  return { zone: zones[0]!, definition, umas: umas as [Uma, Uma, Uma] };
}

/** Runs the scenario on the victim, marking its points of death. */
function run(scenario: Scenario, { zone, definition, umas }: Setting): readonly DeathPoint[] {
  const other = umas[1].open(definition);
  const held = scenario.prepare(zone, other);
  leave(umas[1]);
  const work = (): void => scenario.operation(zone, held);
  const { points, error } = deathPoints(umas[0], work, () => held.length, POINTS);
  expect(error).toBeUndefined();
  // Where the fast path does all the work nothing can strike.
  if (zone.definition.ctor !== undefined) expect(points.length).toBeGreaterThan(3);
  return points;
}

function recoverAll(by: Uma, ...dead: readonly Uma[]): string[] {
  for (const { cpu } of dead) markDead(by.cpu, cpu.number, cpu.incarnation);
  return dead.map(({ cpu }) => recover(by.cpu, cpu.number, cpu.incarnation));
}

/** Nothing lost, nothing twice; the user's items live, and at most one more. */
function check(by: Uma, zone: Zone, owned: number, where: string): void {
  const report = fsck(by);
  expect(report.violations, where).toEqual([]);
  const live = report.live['z']!;
  expect(live, where).toBeGreaterThanOrEqual(owned);
  expect(live, where).toBeLessThanOrEqual(owned + 1);
  expect(handTop(by), where).toBe(0);
  expect(kegCallbacks(zone).inits, where).toBeGreaterThanOrEqual(kegCallbacks(zone).finis);
}

/** Bucket, table and slab zones too: too many points to try with every shape. */
const drainAll: Scenario = {
  ...scenarios.at(-1)!,
  name: 'a drain of all zones',
  operation: (zone) => void reclaim(zone.uma, 'drain-cpu'),
};

for (const level of levels) {
  for (const [shape, base, calls] of shapes) {
    const some = level === 'checks' && base.size === 300 ? [...scenarios, drainAll] : scenarios;
    test.each(some)(`level ${level}, ${shape}: $name`, (scenario) => {
      const setting = setUp(level, base, calls);
      const { zone, definition, umas } = setting;
      const [victim, , supervisor] = umas;
      const points = run(scenario, setting);
      spread(points, POINTS).forEach((point, index) => {
        restore(victim, point);
        const where = `point ${index}`;
        expect(recoverAll(supervisor, victim), where).toEqual(['recovered']);
        check(supervisor, zone, point.owned, where);
      });
      // The number serves again.
      if (points.length === 0) return;
      const next = attachCpu(supervisor.arena, { number: victim.cpu.number });
      const again = next.open(definition);
      again.free(again.alloc(M_NOWAIT));
      expect(fsck(next).violations).toEqual([]);
    });
  }
}

test.each(scenarios)('the recoverer dies as well, anywhere in its recovery: $name', (scenario) => {
  const setting = setUp('checks', { size: 4096 }, true);
  const { zone, umas } = setting;
  const [victim, second, supervisor] = umas;
  spread(run(scenario, setting), Math.ceil(POINTS / 2)).forEach((point, index) => {
    restore(victim, point);
    const deaths = deathPoints(
      second,
      () => void recoverAll(second, victim),
      undefined,
      POINTS,
    ).points;
    spread(deaths, Math.ceil(POINTS / 2)).forEach((death, inner) => {
      restore(second, death);
      const where = `point ${index}, recovery point ${inner}`;
      const outcome = recoverAll(supervisor, second, victim);
      expect(outcome[0], where).toBe('recovered');
      check(supervisor, zone, point.owned, where);
      expect(describeState(stateOf(supervisor, victim)), where).toMatch(/^offline/);
    });
  });
});

test('a zone fini that the recoverer cannot run is left out and counted, the item kept whole', () => {
  const { arena, umas } = virtualCpus(2, { level: 'checks', bytes: 1 << 18 });
  const [victim, supervisor] = umas as [Uma, Uma];
  const definition = defineZone({
    name: 'z',
    size: 512,
    flags: ZoneFlag.NOBUCKET,
    ...callbacks(arena.words),
  });
  const zone = victim.open(definition);
  const needed = (): number => arena.words[zone.record + ZoneRecord.fields.needsOpener.at]!;
  const { points } = deathPoints(victim, () => zone.free(zone.alloc(M_NOWAIT)));
  let most = 0;
  points.forEach((point, index) => {
    restore(victim, point);
    expect(recoverAll(supervisor, victim)).toEqual(['recovered']);
    check(supervisor, zone, 0, `point ${index}`);
    most = Math.max(most, needed());
  });
  expect(most).toBeGreaterThan(0);
});
