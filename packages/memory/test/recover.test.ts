/** Recovery seen from one thread: who, when, how often, in what order, and broken off anywhere. */
import { expect, test } from 'vitest';
import {
  Arena,
  ArgumentError,
  checkPagePool,
  claimCpu,
  claimedState,
  type Cpu,
  CpuRecord,
  CpuState,
  describeState,
  enterCpu,
  freePageCount,
  HandKind,
  leaveCpu,
  LockBusyError,
  lockMutex,
  markDead,
  packState,
  recover,
  releaseCpu,
  reserveSlot,
  takePages,
  unlockMutex,
} from '../src/index.ts';
import {
  auditTokens,
  createTokenPool,
  giveToken,
  heldTokens,
  listedTokens,
  takeToken,
  type TokenPool,
} from '../../../test/support/token-pool.ts';
import { died, dyingAt } from './support/dying-cpu.ts';

const C = CpuRecord.fields;

function setUp(): { arena: Arena; pool: TokenPool; dead: Cpu; other: Cpu; third: Cpu } {
  const arena = Arena.create({ bytes: 1 << 20, cpus: 5, backing: 'shared-array-buffer' });
  const [dead, other, third] = [0, 1, 2].map((number) =>
    claimCpu(arena, { number, manualLeave: true }),
  ) as [Cpu, Cpu, Cpu];
  return { arena, pool: createTokenPool(other, 16), dead, other, third };
}

function state(cpu: Cpu): string {
  return describeState(Atomics.load(cpu.words, cpu.state));
}

/** Something in each place that recovery has to empty. */
function loadUp(cpu: Cpu, pool: TokenPool): void {
  for (let index = 0; index < 6; index++) takeToken(cpu, pool);
  for (let index = 0; index < 3; index++) giveToken(cpu, pool);
  takePages(cpu, 4, 0, reserveSlot(cpu));
  takePages(cpu, 1, 0, reserveSlot(cpu));
  lockMutex(cpu, pool.base);
}

test('puts back pages, cache and held tokens, frees the locks and the number', () => {
  const { arena, pool, dead, other } = setUp();
  const free = freePageCount(arena);
  loadUp(dead, pool);
  Atomics.add(dead.words, dead.base + C.posted.at, 3);
  expect(recover(other, dead.number, dead.incarnation)).toBe('recovered');
  expect(freePageCount(arena)).toBe(free);
  expect(checkPagePool(other, 0)).toEqual([]);
  expect(listedTokens(arena, pool)).toBe(16);
  expect(auditTokens(arena, pool)).toEqual([]);
  expect(dead.words[pool.base], 'the list lock').toBe(0);
  expect(state(dead)).toBe('offline (incarnation 1)');
  expect(dead.words[dead.base + C.answered.at]).toBe(3);
  expect([dead.words[dead.handTop], dead.words[dead.entered]]).toEqual([0, 0]);
  expect(claimCpu(arena, { number: dead.number }).incarnation).toBe(2);
});

test('a second call, another incarnation and an offline number are nothing', () => {
  const { arena, dead, other, third } = setUp();
  expect(recover(other, dead.number, dead.incarnation + 1)).toBe('nothing');
  expect(state(dead)).toBe('idle (incarnation 1)');
  expect(recover(other, dead.number, dead.incarnation)).toBe('recovered');
  expect(recover(other, dead.number, dead.incarnation)).toBe('nothing');
  const next = claimCpu(arena, { number: dead.number, manualLeave: true });
  enterCpu(next);
  expect(recover(third, dead.number, dead.incarnation)).toBe('nothing');
  expect(state(next)).toBe('running (incarnation 2)');
  releaseCpu(next);
  expect(recover(third, next.number, next.incarnation)).toBe('nothing');
  expect(recover(third, 4, 0), 'never online').toBe('nothing');
});

test('its own number and numbers out of range are refused', () => {
  const { other } = setUp();
  for (const number of [other.number, -1, 5, 0.5]) {
    expect(() => recover(other, number, 1)).toThrow(ArgumentError);
  }
  expect(state(other)).toBe('idle (incarnation 1)');
});

test('while another CPU recovers it the answer is busy', () => {
  const { arena, dead, other, third } = setUp();
  let inner = '';
  arena.hooks.cacheRepairs.push((_cpu, number) => {
    if (number === dead.number) inner = recover(third, number, dead.incarnation);
  });
  expect(recover(other, dead.number, dead.incarnation)).toBe('recovered');
  expect(inner).toBe('busy');
});

test('a repair that calls recover for the same CPU is told busy, not let in', () => {
  const { arena, dead, other } = setUp();
  let inner = '';
  arena.hooks.cacheRepairs.push((cpu, number) => {
    inner = recover(cpu, number, dead.incarnation);
  });
  expect(recover(other, dead.number, dead.incarnation)).toBe('recovered');
  expect(inner).toBe('busy');
});

test('a live lock holder makes it busy for a CPU that may not block; it can be called again', () => {
  const { arena, pool, dead, third } = setUp();
  const main = claimCpu(arena, { mayBlock: false, manualLeave: true });
  loadUp(dead, pool);
  unlockMutex(dead, pool.base);
  lockMutex(third, pool.base);
  expect(recover(main, dead.number, dead.incarnation)).toBe('busy');
  expect(state(dead)).toBe('dead (incarnation 1)');
  expect(main.words[main.handTop]).toBe(0);
  unlockMutex(third, pool.base);
  expect(recover(main, dead.number, dead.incarnation)).toBe('recovered');
  expect(auditTokens(arena, pool)).toEqual([]);
});

test('a repair that throws leaves the CPU dead, for another thread to recover', () => {
  const { arena, dead, other, third } = setUp();
  dead.words[reserveSlot(dead)] = 63;
  expect(() => recover(other, dead.number, dead.incarnation)).toThrow(/hand kind 63 has no repair/);
  expect(state(dead)).toBe('dead (incarnation 1)');
  arena.hooks.slotRepairs[63] = (cpu, slot) => {
    cpu.words[slot] = HandKind.none;
  };
  expect(recover(third, dead.number, dead.incarnation)).toBe('recovered');
});

test('two dead at once, each holding the lock that the recovery of the other needs', () => {
  for (const order of [
    [0, 1],
    [1, 0],
  ]) {
    const { arena, pool, dead, other, third } = setUp();
    const free = freePageCount(arena);
    const deads = [dead, other];
    takePages(dead, 4, 0, reserveSlot(dead)); // needs the pool's lock
    for (let index = 0; index < 4; index++) takeToken(other, pool); // needs the list lock
    lockMutex(dead, pool.base);
    lockMutex(other, arena.poolTable);
    for (const cpu of deads) expect(markDead(third, cpu.number, cpu.incarnation)).toBe(true);
    for (const index of order) {
      const cpu = deads[index]!;
      expect(recover(third, cpu.number, cpu.incarnation)).toBe('recovered');
    }
    expect(freePageCount(arena)).toBe(free);
    expect(auditTokens(arena, pool)).toEqual([]);
    expect([arena.words[pool.base]! & 0xff, arena.words[arena.poolTable]! & 0xff]).toEqual([0, 0]);
  }
});

test('not marked, the second dead makes a CPU that may not block say busy, and then it works', () => {
  const { arena, pool, dead, other } = setUp();
  const main = claimCpu(arena, { mayBlock: false, manualLeave: true });
  takePages(dead, 4, 0, reserveSlot(dead));
  lockMutex(other, arena.poolTable);
  expect(recover(main, dead.number, dead.incarnation)).toBe('busy');
  expect(recover(main, other.number, other.incarnation)).toBe('recovered');
  expect(recover(main, dead.number, dead.incarnation)).toBe('recovered');
  expect(auditTokens(arena, pool)).toEqual([]);
});

test('a recoverer that dies at any entry is recovered, and then its patient', () => {
  let deaths = 0;
  for (let point = 1; ; point++) {
    const { arena, pool, dead, other, third } = setUp();
    const free = freePageCount(arena);
    loadUp(dead, pool);
    const ended = !died(() => recover(dyingAt(other, point), dead.number, dead.incarnation));
    if (!ended) {
      deaths++;
      if (state(dead).startsWith('recovering')) {
        expect(recover(third, dead.number, dead.incarnation)).toBe('busy');
      }
    }
    expect(recover(third, other.number, other.incarnation)).toBe('recovered');
    const again = recover(third, dead.number, dead.incarnation);
    expect(again).toBe(ended ? 'nothing' : 'recovered');
    expect(freePageCount(arena), `died at entry ${point}`).toBe(free);
    expect(checkPagePool(third, 0)).toEqual([]);
    expect(auditTokens(arena, pool), `died at entry ${point}`).toEqual([]);
    if (ended) break;
  }
  expect(
    deaths,
    'the look for a section (2); two page runs, one cache, three held tokens: lock and unlock each',
  ).toBe(14);
});

test('a user that dies at any entry of take and give loses no token', () => {
  for (let point = 1; ; point++) {
    const { arena, pool, dead, other } = setUp();
    const dying = dyingAt(dead, point);
    const ended = !died(() => {
      for (let index = 0; index < 12; index++) takeToken(dying, pool);
      for (let index = 0; index < 12; index++) giveToken(dying, pool);
    });
    const held = heldTokens(arena, pool, dead.number);
    expect(recover(other, dead.number, dead.incarnation), `held ${held}`).toBe('recovered');
    expect(auditTokens(arena, pool), `died at entry ${point}`).toEqual([]);
    expect(listedTokens(arena, pool)).toBe(16);
    if (ended) {
      expect(point).toBeGreaterThan(12 * 4);
      break;
    }
  }
});

test('a CPU that died idle, running or under a claim that has just ended is recovered alike', () => {
  for (const kind of [CpuState.idle, CpuState.running, CpuState.dead]) {
    const { arena, pool, dead, other } = setUp();
    for (let index = 0; index < 5; index++) takeToken(dead, pool);
    for (let index = 0; index < 5; index++) giveToken(dead, pool);
    leaveCpu(dead);
    Atomics.store(dead.words, dead.state, packState(kind, dead.incarnation));
    expect(recover(other, dead.number, dead.incarnation)).toBe('recovered');
    expect(listedTokens(arena, pool)).toBe(16);
  }
});

// `worker.terminate()` can strike at the entry of the store that ends a claim (see
// test/death/straight-line.guard.test.ts): the claimer dies, everything moved, state still claimed.
test('a claim left by a dead claimer is ended by the claimed CPU, or by the recovery', () => {
  for (const byRecovery of [true, false]) {
    const { dead: claimer, other, third } = setUp();
    Atomics.store(
      other.words,
      other.state,
      claimedState(packState(CpuState.idle, other.incarnation), claimer.number),
    );
    if (byRecovery) expect(recover(third, claimer.number, claimer.incarnation)).toBe('recovered');
    else expect(markDead(third, claimer.number, claimer.incarnation)).toBe(true);
    enterCpu(other);
    expect(state(other)).toBe('running (incarnation 1)');
  }
});

test('a supervisor claimed by the very CPU whose death it handles recovers it all the same', () => {
  const { arena, dead: claimer } = setUp();
  const main = claimCpu(arena, { mayBlock: false, manualLeave: true });
  const idle = packState(CpuState.idle, main.incarnation);
  Atomics.store(main.words, main.state, claimedState(idle, claimer.number));
  expect(recover(main, claimer.number, claimer.incarnation)).toBe('recovered');
});

test('a supervisor claimed by a CPU of whose death it does not know yet is told busy', () => {
  const { arena, dead, other: claimer } = setUp();
  const main = claimCpu(arena, { mayBlock: false, manualLeave: true });
  const idle = packState(CpuState.idle, main.incarnation);
  Atomics.store(main.words, main.state, claimedState(idle, claimer.number));
  expect(() => enterCpu(main)).toThrow(LockBusyError);
  expect(recover(main, dead.number, dead.incarnation)).toBe('busy');
  expect(recover(main, claimer.number, claimer.incarnation)).toBe('recovered');
  expect(recover(main, dead.number, dead.incarnation)).toBe('recovered');
});

test('a dead CPU under the claim of another dead one is recovered in either order', () => {
  for (const mayBlock of [true, false]) {
    const { arena, dead, other: claimer } = setUp();
    const main = claimCpu(arena, { mayBlock, manualLeave: true });
    const idle = packState(CpuState.idle, dead.incarnation);
    Atomics.store(dead.words, dead.state, claimedState(idle, claimer.number));
    expect(markDead(main, dead.number, dead.incarnation), 'its claimer may be alive').toBe(false);
    expect(recover(main, dead.number, dead.incarnation)).toBe('busy');
    expect(markDead(main, claimer.number, claimer.incarnation)).toBe(true);
    expect(recover(main, dead.number, dead.incarnation)).toBe('recovered');
    expect(recover(main, claimer.number, claimer.incarnation)).toBe('recovered');
  }
});
