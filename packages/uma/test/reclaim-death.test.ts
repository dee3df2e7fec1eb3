/**
 * Death at every point of what reclaim adds: a shortage of pages, a wait for pages, the end of a
 * period, a run that is put back while another CPU waits for one. Another CPU recovers; then fsck must
 * find nothing, nobody may own the event or count as a reclaimer, no waiter stand beside a run that it
 * wants, and the pages come back when everything is freed.
 */
import {
  CpuRecord,
  freePageCount,
  markDead,
  PagePool,
  recover,
  reserveSlot,
  takePages,
} from '@umbuf/memory';
import { expect, test } from 'vitest';
import { joinPageQueue, leavePageQueue, PageCell } from '../../memory/src/page/page-wait.ts';
import {
  defineZone,
  endPeriods,
  fsck,
  M_NOWAIT,
  onLowMemory,
  PERIOD_MS,
  reclaim,
  reclaimersOf,
  type Uma,
  UmaRoot,
  type Zone,
  type ZoneDefinition,
  ZoneFlag,
} from '../src/index.ts';
import { deathPoints, mark, restore, spread } from './support/death.ts';
import { allocAll, enter, handTop, leave, virtualCpus } from './support/virtual.ts';

const POINTS = Number(process.env['UMBUF_STRESS_SECONDS'] ?? 2) > 10 ? 100_000 : 60;
const R = UmaRoot.fields;

interface Setting {
  /** The zone under test and another one, as victim, other and supervisor have them. */
  readonly zones: readonly (readonly [Zone, Zone])[];
  readonly umas: readonly [victim: Uma, other: Uma, supervisor: Uma];
  /** Items that the victim holds, of either zone. */
  readonly held: { zone: number; item: number }[];
  /** Free pages with nothing allocated. */
  readonly free: number;
  /** A cell in which the other CPU waits for pages, 0 = none. */
  cell: number;
}

function setUp(): Setting {
  const { arena, umas } = virtualCpus(3, { level: 'checks', bytes: 1 << 19 });
  const touch = (item: number): void => {
    mark();
    arena.words[item >> 2]! += 1;
    mark();
  };
  const calls: Partial<ZoneDefinition> = {
    init: (_zone, item) => touch(item),
    fini: (_zone, item) => touch(item),
    zfini: (_zone, item) => touch(item),
  };
  const definitions = [
    defineZone({ name: 'z', size: 4096, flags: ZoneFlag.NOBUCKET, ...calls }),
    defineZone({ name: 'other', size: 4000, ...calls }),
  ] as const;
  const zones = umas.map((uma) => [uma.open(definitions[0]), uma.open(definitions[1])] as const);
  reclaim(umas[0]!, 'drain-cpu');
  return {
    zones,
    umas: umas as [Uma, Uma, Uma],
    held: [],
    free: freePageCount(arena),
    cell: 0,
  };
}

/** The victim takes `count` items of zone `zone`, or all that there are. */
function take(setting: Setting, zone: number, count: number = Infinity): void {
  for (let taken = 0; taken < count; taken++) {
    const item = setting.zones[0]![zone]!.alloc(M_NOWAIT);
    if (item === 0) return;
    setting.held.push({ zone, item });
  }
}

function give(setting: Setting): void {
  const { zone, item } = setting.held.pop()!;
  setting.zones[0]![zone]!.free(item);
}

/** Takes the free pages out of the pool for good. */
function exhaust({ umas: [victim] }: Setting): void {
  const slot = reserveSlot(victim.cpu);
  const pages = freePageCount(victim.arena);
  for (let page = 0; page < pages; page++) {
    if (takePages(victim.cpu, 1, 0, slot) === 0) break;
  }
  victim.words[slot] = 0;
  victim.words[victim.cpu.handTop]! -= 1;
}

interface Scenario {
  readonly name: string;
  prepare(setting: Setting): void;
  operation(setting: Setting): void;
  /** Pages that the scenario has taken for good. */
  readonly exhausted?: boolean;
}

const scenarios: readonly Scenario[] = [
  {
    name: 'a request without pages that reclaims what two CPUs have cached',
    exhausted: true,
    prepare(setting) {
      const { umas, zones } = setting;
      for (const item of allocAll(zones[1]![1], 4)) zones[1]![1].free(item);
      leave(umas[1]);
      take(setting, 1, 6);
      for (let index = 0; index < 3; index++) give(setting);
      exhaust(setting);
    },
    operation: (setting) => take(setting, 0, 3),
  },
  {
    name: 'a request that waits for pages, while a handler frees some',
    exhausted: true,
    prepare(setting) {
      leave(setting.umas[1]);
      take(setting, 1, 12);
      exhaust(setting);
      onLowMemory(setting.umas[0], () => {
        for (let index = 0; index < 4 && setting.held.length > 2; index++) give(setting);
      });
    },
    operation(setting) {
      const { item } = setting.zones[0]![0].allocWait(0, { timeoutMs: 60 });
      if (item !== 0) setting.held.push({ zone: 0, item });
    },
  },
  {
    name: 'a free whose slab goes to one that waits for pages',
    exhausted: true,
    prepare(setting) {
      take(setting, 0, 3);
      exhaust(setting);
      const { cpu, arena } = setting.umas[1];
      setting.cell = joinPageQueue(cpu, arena.poolTable, 1, 0);
      leave(setting.umas[1]);
    },
    operation(setting) {
      give(setting);
      reclaim(setting.umas[0], 'drain', setting.zones[0]![0].record);
    },
  },
  {
    name: 'the end of a period with something to trim',
    prepare(setting) {
      take(setting, 1, 60);
      while (setting.held.length > 5) give(setting);
      leave(setting.umas[1]);
      endPeriods(setting.umas[0], Date.now() + 100.5 * PERIOD_MS);
    },
    operation: ({ umas: [victim] }) => {
      endPeriods(victim, Date.now() + 103 * PERIOD_MS);
    },
  },
  {
    name: 'a trim of all zones',
    prepare(setting) {
      take(setting, 1, 40);
      while (setting.held.length > 5) give(setting);
      leave(setting.umas[1]);
    },
    operation: ({ umas: [victim] }) => void reclaim(victim, 'trim'),
  },
];

test.each(scenarios)('death in $name', (scenario) => {
  const setting = setUp();
  const { umas, zones, free } = setting;
  const [victim, other, supervisor] = umas;
  enter(victim);
  scenario.prepare(setting);
  leave(supervisor);
  enter(victim);
  const work = (): void => scenario.operation(setting);
  const { points, error } = deathPoints(victim, work, () => setting.held.length, POINTS);
  expect(error).toBeUndefined();
  expect(points.length).toBeGreaterThan(20);
  spread(points, POINTS).forEach((point, index) => {
    const where = `point ${index} of ${points.length}`;
    restore(victim, point);
    markDead(supervisor.cpu, victim.cpu.number, victim.cpu.incarnation);
    expect(recover(supervisor.cpu, victim.cpu.number, victim.cpu.incarnation)).toBe('recovered');
    const report = fsck(supervisor);
    expect(report.violations, where).toEqual([]);
    expect(handTop(supervisor), where).toBe(0);
    const live = report.live['z']! + report.live['other']!;
    expect(Math.abs(live - point.owned), where).toBeLessThanOrEqual(1);
    expect(supervisor.words[supervisor.root + R.lowMemoryOwner.at], where).toBe(0);
    for (const zone of zones[2]!) expect(reclaimersOf(supervisor, zone.record), where).toBe(0);
    // Its own waits are over; another's goes on, or was served.
    const { pageState } = CpuRecord.fields;
    for (const which of [0, 1]) {
      expect(supervisor.words[victim.cpu.base + pageState.at + which], where).toBe(PageCell.free);
    }
    if (setting.cell !== 0) {
      enter(other);
      if (!leavePageQueue(other.cpu, setting.cell)) {
        expect(supervisor.words[setting.cell], where).toBe(PageCell.granted);
      }
      leave(other);
    }
    expect(supervisor.words[supervisor.arena.poolTable + PagePool.fields.waitHead.at]).toBe(0);
    if (scenario.exhausted !== true) {
      // Everything but the slabs of what the user held is back.
      reclaim(supervisor, 'drain-cpu');
      expect(free - freePageCount(supervisor.arena), where).toBeLessThanOrEqual(live * 3);
    }
    leave(supervisor);
  });
});
