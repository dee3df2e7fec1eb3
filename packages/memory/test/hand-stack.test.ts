/** Hand slots: reservation, what settles them, and who may settle when. */
import { expect, test } from 'vitest';
import {
  Arena,
  claimCpu,
  type Cpu,
  enterCpu,
  freePageCount,
  HAND_SLOT_WORDS,
  HAND_SLOTS,
  HandKind,
  leaveCpu,
  LockBusyError,
  lockMutex,
  Panic,
  pagesInUse,
  releaseCpu,
  releaseSlot,
  reserveSlot,
  settleHand,
  takePages,
  unlockMutex,
} from '../src/index.ts';

function makeArena(): Arena {
  return Arena.create({ bytes: 1 << 20, cpus: 4, backing: 'shared-array-buffer' });
}

function online(arena: Arena, mayBlock = true): Cpu {
  return claimCpu(arena, { manualLeave: true, mayBlock });
}

test('slots are void when reserved, four words apart, last in first out', () => {
  const cpu = online(makeArena());
  cpu.words.fill(9, cpu.hand, cpu.hand + 3 * HAND_SLOT_WORDS);
  const first = reserveSlot(cpu);
  const second = reserveSlot(cpu);
  expect(second - first).toBe(HAND_SLOT_WORDS);
  expect([cpu.words[first], cpu.words[second]]).toEqual([HandKind.none, HandKind.none]);
  releaseSlot(cpu, first);
  expect(cpu.words[cpu.handTop]).toBe(0);
  expect(reserveSlot(cpu)).toBe(first);
});

test('a full stack panics at a reservation and at a lock, and writes nothing behind the record', () => {
  const cpu = online(makeArena());
  const behind = cpu.base + 256;
  const before = cpu.words[behind];
  for (let index = 0; index < HAND_SLOTS; index++) reserveSlot(cpu);
  expect(() => reserveSlot(cpu)).toThrow(Panic);
  expect(() => lockMutex(cpu, cpu.arena.poolTable)).toThrow(/hand stack full/);
  expect(cpu.words[behind]).toBe(before);
  expect(cpu.words[cpu.arena.poolTable]).toBe(0);
});

test('settleHand puts a run back, and leaves it in the hand while its lock is busy', () => {
  const arena = makeArena();
  const main = online(arena, false);
  const holder = online(arena);
  const free = freePageCount(arena);
  takePages(main, 4, 0, reserveSlot(main));
  lockMutex(holder, arena.poolTable);
  settleHand(main);
  expect(main.words[main.handTop]).toBe(1);
  expect(main.words[main.hand]).toBe(HandKind.pages);
  expect(freePageCount(arena)).toBe(free - 4);
  unlockMutex(holder, arena.poolTable);
  settleHand(main);
  expect(main.words[main.handTop]).toBe(0);
  expect(freePageCount(arena)).toBe(free);
});

test('settleHand of a kind that nobody repairs is a panic', () => {
  const cpu = online(makeArena(), false);
  cpu.words[reserveSlot(cpu)] = 63;
  expect(() => settleHand(cpu)).toThrow(/kind 63 has no repair/);
});

test('a CPU that may not block puts its hand back when it leaves, one that may block keeps it', () => {
  const arena = makeArena();
  const main = online(arena, false);
  enterCpu(main);
  takePages(main, 4, 0, reserveSlot(main));
  leaveCpu(main);
  expect(main.words[main.handTop]).toBe(0);
  expect(pagesInUse(arena)).toBe(0);

  // A slow path that sleeps (for memory, a limit, an answer) leaves with its slots reserved.
  const worker = online(arena);
  enterCpu(worker);
  const slot = reserveSlot(worker);
  takePages(worker, 4, 0, slot);
  leaveCpu(worker);
  expect(worker.words[worker.entered]).toBe(0);
  expect([worker.words[worker.handTop], worker.words[slot]]).toEqual([1, HandKind.pages]);
  enterCpu(worker);
  expect(pagesInUse(arena)).toBe(4);
});

test('a busy lock while leaving does not throw out of the microtask: the CPU goes idle', () => {
  const arena = makeArena();
  const main = online(arena, false);
  const holder = online(arena);
  arena.hooks.answers.push((cpu) => {
    lockMutex(cpu, arena.poolTable);
    unlockMutex(cpu, arena.poolTable);
  });
  enterCpu(main);
  takePages(main, 2, 0, reserveSlot(main));
  Atomics.add(main.words, main.base + 1, 1); // posted: somebody drains us
  lockMutex(holder, arena.poolTable);
  leaveCpu(main);
  expect(main.words[main.entered]).toBe(0);
  expect(main.words[main.state]! & 0xf).toBe(1);
  expect(main.words[main.base + 2], 'not answered').toBe(0);
  enterCpu(main);
  expect(() => releaseCpu(main)).toThrow(LockBusyError);
  expect(main.online).toBe(true);
  unlockMutex(holder, arena.poolTable);
  releaseCpu(main);
  expect(pagesInUse(arena)).toBe(0);
});

test('releaseCpu with something still in the hands of a CPU that may block is a panic', () => {
  const cpu = online(makeArena());
  reserveSlot(cpu);
  expect(() => releaseCpu(cpu)).toThrow(/goes offline with 1 hand slots/);
});
