/**
 * A limit whose user dies: at the entry of every atomic access and of every function, the
 * recoverer too, and beside a sleeper who gives up at any moment. Afterwards no unit is lost or
 * counted twice, no cell is lost, and nobody sleeps while a unit is free.
 */

import { describe, expect, it } from 'vitest';
import {
  Arena,
  checkLimit,
  claimCpu,
  type Cpu,
  CpuRecord,
  enterCpu,
  HAND_SLOT_WORDS,
  HandKind,
  limitCount,
  limitInit,
  limitMax,
  LimitRecord,
  limitSleepers,
  limitWords,
  lockMutex,
  lockRegistry,
  markDead,
  recover,
  releaseSlot,
  releaseUnits,
  reserveSlot,
  reserveUnits,
  setLimitMax,
  sleepForUnits,
  STATIC_NEXT,
  staticSpace,
  unlockRegistry,
  WaitCell,
} from '../src/index.ts';
import { recoverLimit } from '../src/sync/limit-recover.ts';
import {
  abandonCell,
  reapCells,
  registerSleeper,
  takeGrant,
  withdrawSleeper,
} from '../src/sync/limit-sleep.ts';
import { CELL_UNITS_SHIFT, CellState } from '../src/sync/wait-cell.ts';
import { died, diedAtAtomic, dyingAt } from './support/dying-cpu.ts';

const CELLS = 6;

/** `victim` dies, `first` recovers it and may die over it, `last` recovers both; two may sleep. */
interface World {
  readonly arena: Arena;
  readonly limit: number;
  readonly victim: Cpu;
  readonly first: Cpu;
  readonly last: Cpu;
  readonly one: Cpu;
  readonly two: Cpu;
}

/** Four units at most, none taken. */
function makeWorld(): World {
  const arena = Arena.create({ bytes: 1 << 18, cpus: 5, backing: 'shared-array-buffer' });
  const cpus = Array.from({ length: 5 }, () => claimCpu(arena, { manualLeave: true }));
  for (const cpu of cpus) enterCpu(cpu);
  const [victim, first, last, one, two] = cpus as [Cpu, Cpu, Cpu, Cpu, Cpu];
  lockRegistry(last);
  const bytes = limitWords(CELLS) * 4;
  const address = staticSpace(last, bytes);
  const limit = address >> 2;
  limitInit(last, limit, 4, CELLS);
  last.words[STATIC_NEXT] = address + bytes;
  unlockRegistry(last);
  arena.hooks.cacheRepairs.push((by, dead) => {
    recoverLimit(by, limit, dead, cpus[dead]!.incarnation);
  });
  return { arena, limit, victim, first, last, one, two };
}

/** Units that the hands of the living and granted cells account for. */
function accounted({ arena, limit }: World): number {
  const { words } = arena;
  const C = CpuRecord.fields;
  let units = 0;
  for (let number = 0; number < arena.cpus; number++) {
    const base = arena.cpuTable + number * CpuRecord.words;
    for (let index = 0; index < words[base + C.handTop.at]!; index++) {
      const slot = base + C.hand.at + index * HAND_SLOT_WORDS;
      if (words[slot] === HandKind.units && words[slot + 1] === limit) units += words[slot + 2]!;
    }
  }
  for (let index = 0; index < CELLS; index++) {
    const state = words[limit + LimitRecord.words + index * WaitCell.words]!;
    if ((state & 3) === CellState.granted) units += state >>> CELL_UNITS_SHIFT;
  }
  return units;
}

/** What must hold once the dead are recovered, and those who gave up have been reaped. */
function expectWhole(world: World, where: string): void {
  const { arena, limit, last, victim } = world;
  reapCells(last, limit);
  expect(checkLimit(last, limit, 8), where).toEqual([]);
  expect(limitCount(arena, limit), where).toBe(accounted(world));
  if (limitSleepers(arena, limit) > 0) {
    expect(limitCount(arena, limit), `${where}: sleeps beside a free unit`).toBeGreaterThanOrEqual(
      limitMax(arena, limit),
    );
  }
  expect(arena.words[victim.handTop], where).toBe(0);
  expect(arena.words[limit], `${where}: lock`).toBe(0);
}

type Scenario = readonly [
  name: string,
  /** Builds the state, and returns what the victim does in it. */
  prepare: (world: World) => (victim: Cpu) => void,
];

/** A hand slot with `n` units. */
function hold(cpu: Cpu, limit: number, n: number): number {
  const slot = reserveSlot(cpu);
  expect(reserveUnits(cpu, limit, n, slot)).toBe(n);
  return slot;
}

const scenarios: readonly Scenario[] = [
  [
    'reserves',
    ({ limit }) =>
      (victim) =>
        void reserveUnits(victim, limit, 3, reserveSlot(victim)),
  ],
  [
    'releases in two parts',
    ({ limit, victim }) => {
      const slot = hold(victim, limit, 3);
      return (cpu) => {
        releaseUnits(cpu, limit, 1, slot);
        releaseUnits(cpu, limit, 2, slot);
        releaseSlot(cpu, slot);
      };
    },
  ],
  [
    'releases what two sleepers wait for, with one who gave up before each',
    ({ limit, victim, one, two, last }) => {
      const slot = hold(victim, limit, 4);
      const cells = [last, one, last, two].map((cpu) => registerSleeper(cpu, limit, 2));
      abandonCell(last, cells[0]!);
      abandonCell(last, cells[2]!);
      return (cpu) => releaseUnits(cpu, limit, 3, slot);
    },
  ],
  [
    'registers, is granted at once and takes the grant',
    ({ limit }) =>
      (victim) => {
        const slot = reserveSlot(victim);
        takeGrant(victim, limit, registerSleeper(victim, limit, 2), slot);
      },
  ],
  [
    'registers behind another and gives up',
    ({ limit, last, one }) => {
      hold(last, limit, 4);
      registerSleeper(one, limit, 1);
      return (victim) => {
        abandonCell(victim, registerSleeper(victim, limit, 1));
        reapCells(victim, limit);
      };
    },
  ],
  [
    'registers first of all and gives up',
    ({ limit, last }) => {
      hold(last, limit, 4);
      return (victim) => {
        abandonCell(victim, registerSleeper(victim, limit, 1));
        reapCells(victim, limit);
      };
    },
  ],
  [
    'takes a grant back for the next sleeper',
    ({ limit, victim, last, two }) => {
      const slot = hold(last, limit, 4);
      const cell = registerSleeper(victim, limit, 2);
      registerSleeper(two, limit, 1);
      releaseUnits(last, limit, 1, slot);
      return (cpu) => withdrawSleeper(cpu, limit, cell, reserveSlot(cpu));
    },
  ],
  [
    'raises the maximum',
    ({ limit, last, one, two }) => {
      hold(last, limit, 4);
      for (const cpu of [one, two]) registerSleeper(cpu, limit, 1);
      return (victim) => setLimitMax(victim, limit, 8);
    },
  ],
  [
    'sleeps for what its own flush brings back, then releases it',
    ({ limit, victim, one, last }) => {
      hold(last, limit, 2);
      const cached = hold(victim, limit, 2);
      registerSleeper(one, limit, 1);
      return (cpu) => {
        const slot = reserveSlot(cpu);
        const flush = (): void => releaseUnits(cpu, limit, 2, cached);
        expect(sleepForUnits(cpu, limit, 1, slot, 1000, flush)).toBe(1);
        releaseUnits(cpu, limit, 1, slot);
      };
    },
  ],
];

describe.each(scenarios)('a CPU that %s', (_name, prepare) => {
  it('and dies at any atomic access leaves the limit whole to its recovery', () => {
    let deaths = 0;
    for (let point = 1; ; point++) {
      const world = makeWorld();
      const { limit, victim, last } = world;
      const act = prepare(world);
      const dead = diedAtAtomic(point, () => act(victim));
      // The queue is whole for whoever takes the lock over, before any recovery.
      markDead(last, victim.number, victim.incarnation);
      reapCells(last, limit);
      expect(checkLimit(last, limit, 8), `taken over at access ${point}`).toEqual([]);
      expect(recover(last, victim.number, victim.incarnation)).toBe('recovered');
      expectWhole(world, `died at access ${point}`);
      if (!dead) break;
      deaths++;
    }
    expect(deaths).toBeGreaterThan(1);
  });

  it('and dies at any function entry leaves the limit whole to its recovery', () => {
    for (let point = 1; ; point++) {
      const world = makeWorld();
      const { victim, last } = world;
      const act = prepare(world);
      const dead = died(() => act(dyingAt(victim, point)));
      expect(recover(last, victim.number, victim.incarnation)).toBe('recovered');
      expectWhole(world, `died at entry ${point}`);
      if (!dead) break;
    }
  });

  it('may also have a recoverer that dies at any atomic access', () => {
    let broken = 0;
    // Every third death of the victim: those between are the same to a recoverer.
    for (let point = 1, dead = true; dead; point += 3) {
      for (let second = 1, again = true; again; second++) {
        const world = makeWorld();
        const { victim, first, last } = world;
        const act = prepare(world);
        dead = diedAtAtomic(point, () => act(victim));
        again = diedAtAtomic(second, () => recover(first, victim.number, victim.incarnation));
        // Both are marked before either is recovered: each may hold the other's lock.
        markDead(last, victim.number, victim.incarnation);
        expect(recover(last, first.number, first.incarnation)).toBe('recovered');
        const result = recover(last, victim.number, victim.incarnation);
        const where = `died at access ${point}, its recoverer at ${second}`;
        expect(result, where).toBe(again ? 'recovered' : 'nothing');
        expectWhole(world, where);
        if (again) broken++;
      }
    }
    expect(broken).toBeGreaterThan(20);
  });
});

it('a sleeper who gives up at any moment of a release that dies loses nothing', () => {
  let struck = 0;
  for (let point = 1, dead = true; dead; point++) {
    for (let at = 1; at <= point; at++) {
      const world = makeWorld();
      const { limit, victim, last, one, two } = world;
      const slot = hold(victim, limit, 4);
      const cell = registerSleeper(one, limit, 2);
      registerSleeper(two, limit, 1);
      const giveUp = (): void => void (abandonCell(one, cell) && struck++);
      dead = diedAtAtomic(point, () => releaseUnits(victim, limit, 3, slot), { at, run: giveUp });
      expect(recover(last, victim.number, victim.incarnation)).toBe('recovered');
      expectWhole(world, `died at access ${point}, the sleeper gave up at ${at}`);
    }
  }
  expect(struck).toBeGreaterThan(50);
});

it('a recoverer that dies over a dead CPU in every state at once is replaced without a loss', () => {
  let deaths = 0;
  for (let point = 1, dead = true; dead; point++) {
    const world = makeWorld();
    const { limit, victim, first, last, one, two } = world;
    const held = hold(last, limit, 3);
    hold(victim, limit, 1);
    registerSleeper(victim, limit, 2); // granted below, not taken
    registerSleeper(one, limit, 1);
    registerSleeper(victim, limit, 1); // waits between two that live
    registerSleeper(two, limit, 1);
    releaseUnits(last, limit, 2, held);
    lockMutex(victim, limit);
    dead = diedAtAtomic(point, () => recover(first, victim.number, victim.incarnation));
    if (dead) deaths++;
    markDead(last, victim.number, victim.incarnation);
    expect(recover(last, first.number, first.incarnation)).toBe('recovered');
    expect(recover(last, victim.number, victim.incarnation)).toBe(dead ? 'recovered' : 'nothing');
    expectWhole(world, `recoverer died at access ${point}`);
    expect(limitCount(world.arena, limit), 'one held, two granted to the living').toBe(3);
  }
  expect(deaths).toBeGreaterThan(30);
});
