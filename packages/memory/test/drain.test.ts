/** Draining, with several virtual CPUs in one thread; real threads are in test/stress. */
import { expect, test } from 'vitest';
import {
  Arena,
  ArgumentError,
  checkpoint,
  claimCpu,
  claimedState,
  type Cpu,
  CpuRecord,
  CpuState,
  describeState,
  drainCpu,
  enterCpu,
  leaveCpu,
  markDead,
  packState,
  Panic,
  recover,
  releaseCpu,
} from '../src/index.ts';
import {
  auditTokens,
  cachedTokens,
  createTokenPool,
  giveToken,
  heldTokens,
  listedTokens,
  takeToken,
  tokenClaim,
  type TokenPool,
} from '../../../test/support/token-pool.ts';
import { seeded } from './support/pages.ts';

const C = CpuRecord.fields;
const SEED = Number(process.env['UMBUF_SEED'] ?? 411) | 0;

interface Setting {
  arena: Arena;
  pool: TokenPool;
  one: Cpu;
  two: Cpu;
  three: Cpu;
}

function setUp(tokens = 20): Setting {
  const arena = Arena.create({ bytes: 1 << 20, cpus: 4, backing: 'shared-array-buffer' });
  const [one, two, three] = [0, 1, 2].map((number) =>
    claimCpu(arena, { number, manualLeave: true }),
  ) as [Cpu, Cpu, Cpu];
  return { arena, pool: createTokenPool(one, tokens), one, two, three };
}

/** Leaves `count` tokens in the cache of `cpu`. */
function fillCache(cpu: Cpu, pool: TokenPool, count: number): void {
  for (let index = 0; index < count; index++) takeToken(cpu, pool);
  for (let index = 0; index < count; index++) giveToken(cpu, pool);
}

test('an idle CPU is claimed: its cache is on the list and its state is as before', () => {
  const { arena, pool, one, two } = setUp();
  fillCache(two, pool, 5);
  leaveCpu(two);
  const before = Atomics.load(two.words, two.state);
  expect(drainCpu(one, two.number, tokenClaim(pool), 10)).toBe('drained');
  expect(cachedTokens(arena, pool, two.number)).toBe(0);
  expect(listedTokens(arena, pool)).toBe(20);
  expect(Atomics.load(two.words, two.state)).toBe(before);
  expect(one.longs[(one.base + C.claims.at) >> 1]).toBe(1n);
  enterCpu(two);
  expect(takeToken(two, pool)).not.toBe(0);
  expect(auditTokens(arena, pool)).toEqual([]);
});

test('a running CPU that does not answer is reported within the bound, its request stays posted', () => {
  const { pool, one, two } = setUp();
  enterCpu(two);
  const from = performance.now();
  expect(drainCpu(one, two.number, tokenClaim(pool), 20)).toBe('unanswered');
  const took = performance.now() - from;
  expect(took).toBeGreaterThanOrEqual(19);
  expect(took).toBeLessThan(500);
  expect(two.words[two.base + C.posted.at]).toBe(1);
  expect(two.words[two.base + C.answered.at]).toBe(0);
  expect(one.words[one.entered], 'entered again after its waits').toBe(1);
});

test('a request left posted is answered at the checkpoint, and a later one gets its own ticket', () => {
  const { arena, pool, one, two, three } = setUp();
  fillCache(two, pool, 4);
  drainCpu(one, two.number, tokenClaim(pool), 0);
  drainCpu(three, two.number, tokenClaim(pool), 0);
  expect(two.words[two.base + C.posted.at]).toBe(2);
  checkpoint(two);
  expect(two.words[two.base + C.answered.at]).toBe(2);
  expect(cachedTokens(arena, pool, two.number)).toBe(0);
});

test('tickets compare across the wrap of the counters', () => {
  const { arena, pool, one, two } = setUp();
  two.words[two.base + C.posted.at] = 0x7fffffff;
  two.words[two.base + C.answered.at] = 0x7fffffff;
  enterCpu(two);
  expect(drainCpu(one, two.number, tokenClaim(pool), 0)).toBe('unanswered');
  expect(two.words[two.base + C.posted.at]).toBe(-0x80000000);
  checkpoint(two);
  expect(two.words[two.base + C.answered.at]).toBe(-0x80000000);
  expect(auditTokens(arena, pool)).toEqual([]);
});

test('an offline CPU has nothing, a dead one is gone, and the own CPU answers itself', () => {
  const { arena, pool, one, two, three } = setUp();
  const never = (): boolean => {
    throw new Error('claimed');
  };
  fillCache(two, pool, 3);
  releaseCpu(two);
  expect(listedTokens(arena, pool)).toBe(20);
  expect(drainCpu(one, two.number, never, 10)).toBe('drained');
  fillCache(three, pool, 3);
  markDead(one, three.number, three.incarnation);
  expect(drainCpu(one, three.number, never, 10)).toBe('gone');
  expect(recover(one, three.number, three.incarnation)).toBe('recovered');
  fillCache(one, pool, 3);
  expect(drainCpu(one, one.number, never, 10)).toBe('drained');
  expect(listedTokens(arena, pool)).toBe(20);
});

test('a CPU claimed by another for longer than the bound is unanswered, never drained', () => {
  const { pool, one, two, three } = setUp();
  const idle = packState(CpuState.idle, two.incarnation);
  Atomics.store(two.words, two.state, claimedState(idle, three.number));
  expect(describeState(two.words[two.state]!)).toBe('claimed by 2 (incarnation 1)');
  expect(drainCpu(one, two.number, tokenClaim(pool), 5)).toBe('unanswered');
  const main = claimCpu(one.arena, { mayBlock: false, manualLeave: true });
  expect(drainCpu(main, two.number, tokenClaim(pool), 5)).toBe('unanswered');
});

test('a claim that loses its exchange is tried again against what the state has become', () => {
  const { arena, pool, one, two } = setUp();
  fillCache(two, pool, 4);
  leaveCpu(two);
  let attempts = 0;
  const claim = tokenClaim(pool);
  const result = drainCpu(
    one,
    two.number,
    (cpu, target, seen) => {
      // The target wakes up between our look and our exchange, once.
      if (++attempts === 1) enterCpu(two);
      const won = claim(cpu, target, seen);
      if (attempts === 1) leaveCpu(two);
      return won;
    },
    10,
  );
  expect([result, attempts]).toEqual(['drained', 2]);
  expect(cachedTokens(arena, pool, two.number)).toBe(0);
});

test('a CPU that goes idle between the post and the second look is claimed at once', () => {
  const { arena, pool, one, two } = setUp();
  fillCache(two, pool, 4);
  // The post itself is the moment: leave right after it, without having seen the request.
  const add = Atomics.add;
  Atomics.add = ((view: Int32Array, at: number, value: number) => {
    const old = add(view, at, value);
    if (view === two.words && at === two.base + C.posted.at) {
      two.words[two.entered] = 0;
      Atomics.store(two.words, two.state, packState(CpuState.idle, two.incarnation));
    }
    return old;
  }) as typeof Atomics.add;
  try {
    expect(drainCpu(one, two.number, tokenClaim(pool), 0)).toBe('drained');
  } finally {
    Atomics.add = add;
  }
  expect(cachedTokens(arena, pool, two.number)).toBe(0);
});

test('a CPU that may not block posts, looks once and does not sleep', () => {
  const { arena, pool, two } = setUp();
  const main = claimCpu(arena, { mayBlock: false, manualLeave: true });
  enterCpu(two);
  const from = performance.now();
  expect(drainCpu(main, two.number, tokenClaim(pool), 10_000)).toBe('unanswered');
  expect(performance.now() - from).toBeLessThan(100);
});

test('numbers out of range are refused', () => {
  const { pool, one } = setUp();
  for (const target of [-1, 4, 0.5, Number.NaN]) {
    expect(() => drainCpu(one, target, tokenClaim(pool), 1)).toThrow(ArgumentError);
  }
});

test('a state word that cannot be is a panic', () => {
  const { pool, one, two } = setUp();
  Atomics.store(two.words, two.state, 9);
  expect(() => drainCpu(one, two.number, tokenClaim(pool), 1)).toThrow(Panic);
});

test(`random takes, gives, leaves and drains of three CPUs keep every token (seed ${SEED})`, () => {
  const { arena, pool, one, two, three } = setUp(40);
  const random = seeded(SEED);
  const cpus = [one, two, three];
  let drained = 0;
  for (let operation = 0; operation < 20_000; operation++) {
    const cpu = cpus[random(3)]!;
    const choice = random(10);
    if (choice < 4 && heldTokens(arena, pool, cpu.number) < 20) takeToken(cpu, pool);
    else if (choice < 8) giveToken(cpu, pool);
    else if (choice === 8) leaveCpu(cpu);
    else if (drainCpu(cpu, random(4), tokenClaim(pool), 0) === 'drained') drained++;
    if (operation % 500 === 0) expect(auditTokens(arena, pool), `at ${operation}`).toEqual([]);
  }
  expect(drained).toBeGreaterThan(500);
  for (const cpu of cpus) releaseCpu(cpu);
  expect(auditTokens(arena, pool)).toEqual([]);
});
