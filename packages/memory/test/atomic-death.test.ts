/**
 * Death at the entry of every atomic access (cpu/hand-stack.ts): locks, pages, the CPU's own states,
 * drains and recovery itself, broken off and begun again. Limits: limit-death.test.ts.
 */

import { expect, test } from 'vitest';
import {
  Arena,
  checkPagePool,
  claimCpu,
  type Cpu,
  CpuState,
  drainCpu,
  enterCpu,
  freePageCount,
  HandKind,
  leaveCpu,
  lockMutex,
  markDead,
  MutexRecord,
  putPages,
  recover,
  releaseCpu,
  releaseSlot,
  reserveSlot,
  STATE_KIND_MASK,
  takePages,
  unlockMutex,
} from '../src/index.ts';
import {
  auditTokens,
  createTokenPool,
  giveToken,
  listedTokens,
  takeToken,
  tokenClaim,
  type TokenPool,
} from '../../../test/support/token-pool.ts';
import { diedAtAtomic } from './support/dying-cpu.ts';

const WAITING = MutexRecord.fields.waiting.at;
const TOKENS = 16;

interface World {
  readonly arena: Arena;
  readonly pool: TokenPool;
  readonly victim: Cpu;
  readonly other: Cpu;
  readonly last: Cpu;
  /** A free mutex in a page that nobody uses. */
  readonly lock: number;
}

function makeWorld(): World {
  const arena = Arena.create({ bytes: 1 << 18, cpus: 4, backing: 'shared-array-buffer' });
  const [victim, other, last] = [0, 1, 2].map((number) =>
    claimCpu(arena, { number, manualLeave: true }),
  ) as [Cpu, Cpu, Cpu];
  return {
    arena,
    pool: createTokenPool(last, TOKENS),
    victim,
    other,
    last,
    lock: (arena.pages - 1) << 10,
  };
}

/** Nothing lost, nothing twice, no lock held, and every number that is offline can be taken. */
function expectWhole({ arena, pool, last, lock }: World, free: number, where: string): void {
  expect(freePageCount(arena), where).toBe(free);
  expect(checkPagePool(last, 0), where).toEqual([]);
  expect(auditTokens(arena, pool), where).toEqual([]);
  for (const word of [lock, pool.base, arena.poolTable]) {
    expect(arena.words[word], `${where}: lock`).toBe(0);
    expect(arena.words[word + WAITING], `${where}: waiting`).toBe(0);
  }
}

/** Runs `act` with a death at access 1, 2, ... until it comes to its end; returns the deaths. */
function atEachAccess(
  prepare: (world: World) => () => void,
  check: (world: World, dead: boolean) => void = () => undefined,
): number {
  for (let point = 1; ; point++) {
    const world = makeWorld();
    const { arena, victim, last } = world;
    const free = freePageCount(arena);
    const act = prepare(world);
    const dead = diedAtAtomic(point, act);
    check(world, dead);
    const result = recover(last, victim.number, victim.incarnation);
    expect(result).toBe('recovered');
    expectWhole(world, free, `died at access ${point}`);
    if (!dead) return point - 1;
  }
}

test.each([1, 4, 40])('taking and putting %i pages loses none', (pages) => {
  const deaths = atEachAccess(({ victim }) => () => {
    const slot = reserveSlot(victim);
    takePages(victim, pages, 0, slot);
    putPages(victim, slot);
    releaseSlot(victim, slot);
  });
  expect(deaths, 'lock and unlock, twice').toBe(4);
});

test('two nested locks are freed, wherever their holder died', () => {
  const deaths = atEachAccess(({ victim, lock }) => () => {
    lockMutex(victim, lock);
    lockMutex(victim, lock + 16);
    unlockMutex(victim, lock + 16);
    unlockMutex(victim, lock);
  });
  expect(deaths).toBe(4);
});

test('a lock is freed whose taker died while it took it over from another dead CPU', () => {
  const deaths = atEachAccess(
    ({ victim, other, last, lock }) => {
      lockMutex(other, lock);
      markDead(last, other.number, other.incarnation);
      return () => {
        lockMutex(victim, lock);
        unlockMutex(victim, lock);
      };
    },
    ({ last, other, victim }) => {
      markDead(last, victim.number, victim.incarnation);
      expect(recover(last, other.number, other.incarnation)).toBe('recovered');
    },
  );
  expect(deaths, 'two tries, the state of the holder, the take-over, the unlock').toBeGreaterThan(
    4,
  );
});

test('entering, caching, answering and leaving lose no token', () => {
  const deaths = atEachAccess(({ victim, pool }) => () => {
    for (let round = 0; round < 2; round++) {
      for (let index = 0; index < 10; index++) takeToken(victim, pool);
      for (let index = 0; index < 10; index++) giveToken(victim, pool);
      leaveCpu(victim);
    }
  });
  expect(deaths).toBeGreaterThan(40);
});

test('a drain of an idle CPU loses no token, whoever dies in it, and the claim is ended', () => {
  const deaths = atEachAccess(
    ({ victim, other, pool }) => {
      for (let index = 0; index < 6; index++) takeToken(other, pool);
      for (let index = 0; index < 6; index++) giveToken(other, pool);
      leaveCpu(other);
      return () => expect(drainCpu(victim, other.number, tokenClaim(pool), 0)).toBe('drained');
    },
    ({ last, victim, other, pool }) => {
      // It enters at once when its claimer is known to be dead, before the recovery.
      markDead(last, victim.number, victim.incarnation);
      enterCpu(other);
      takeToken(other, pool);
    },
  );
  expect(deaths, 'enter, look, lock, claim, end of the claim, unlock').toBe(6);
});

test('a number whose taker died is offline still, or is recovered', () => {
  for (let point = 1, dead = true; dead; point++) {
    const { arena, last } = makeWorld();
    dead = diedAtAtomic(point, () => claimCpu(arena, { number: 3, manualLeave: true }));
    const state = arena.words[arena.cpuTable + 3 * 256]! & STATE_KIND_MASK;
    expect(state).toBe(dead ? CpuState.offline : CpuState.idle);
    expect(recover(last, 3, 1)).toBe(dead ? 'nothing' : 'recovered');
    expect(claimCpu(arena, { number: 3 }).incarnation).toBe(dead ? 1 : 2);
  }
});

test('a CPU that dies while it goes offline keeps nothing back', () => {
  for (let point = 1, dead = true; dead; point++) {
    const world = makeWorld();
    const { arena, pool, victim, last } = world;
    const free = freePageCount(arena);
    for (let index = 0; index < 6; index++) takeToken(victim, pool);
    for (let index = 0; index < 6; index++) giveToken(victim, pool);
    dead = diedAtAtomic(point, () => releaseCpu(victim));
    expect(recover(last, victim.number, victim.incarnation)).toBe(dead ? 'recovered' : 'nothing');
    expectWhole(world, free, `died at access ${point}`);
    expect(listedTokens(arena, pool)).toBe(TOKENS);
  }
});

test('a recovery broken off at any access is begun again by another CPU, and nothing is done twice', () => {
  let deaths = 0;
  for (let point = 1, dead = true; dead; point++) {
    const world = makeWorld();
    const { arena, pool, victim, other, last, lock } = world;
    const free = freePageCount(arena);
    for (let index = 0; index < 6; index++) takeToken(victim, pool);
    for (let index = 0; index < 3; index++) giveToken(victim, pool);
    takePages(victim, 4, 0, reserveSlot(victim));
    takePages(victim, 1, 0, reserveSlot(victim));
    // As sleepForLock leaves it: asleep for a mutex, and counted by it.
    const slot = reserveSlot(victim);
    victim.words[slot + 1] = lock;
    victim.words[slot] = HandKind.lockSleep;
    Atomics.add(victim.words, lock + WAITING, 1);
    lockMutex(victim, pool.base);
    dead = diedAtAtomic(point, () => recover(other, victim.number, victim.incarnation));
    if (dead) deaths++;
    markDead(last, victim.number, victim.incarnation);
    expect(recover(last, other.number, other.incarnation)).toBe('recovered');
    expect(recover(last, victim.number, victim.incarnation)).toBe(dead ? 'recovered' : 'nothing');
    expectWhole(world, free, `recoverer died at access ${point}`);
    expect(listedTokens(arena, pool)).toBe(TOKENS);
  }
  expect(deaths).toBeGreaterThan(30);
});
