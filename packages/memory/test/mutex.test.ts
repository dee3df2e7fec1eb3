/** The mutex seen from one thread: word, statistics, hand slots, misuse, takeover from the dead. */
import { describe, expect, test } from 'vitest';
import {
  Arena,
  claimCpu,
  type Cpu,
  describeOwner,
  HandKind,
  LockBusyError,
  lockMutex,
  markDead,
  mutexOwner,
  MutexRecord,
  Panic,
  recover,
  reserveSlot,
  unlockMutex,
  WAITERS,
} from '../src/index.ts';
import { died, dyingAt } from './support/dying-cpu.ts';

const M = MutexRecord.fields;

function setUp(): { arena: Arena; lock: number; one: Cpu; two: Cpu; main: Cpu } {
  const arena = Arena.create({ bytes: 1 << 20, cpus: 4, backing: 'shared-array-buffer' });
  const lock = (arena.pages - 1) << 10;
  const one = claimCpu(arena, { manualLeave: true });
  const two = claimCpu(arena, { manualLeave: true });
  const main = claimCpu(arena, { manualLeave: true, mayBlock: false });
  return { arena, lock, one, two, main };
}

test('the word names owner and incarnation while held, and is 0 while free', () => {
  const { lock, two } = setUp();
  expect(lockMutex(two, lock)).toBe(false);
  expect(mutexOwner(two.words[lock]!)).toBe(1);
  expect(describeOwner(two.words[lock]!)).toBe('CPU 1 (incarnation 1)');
  expect([two.words[two.hand], two.words[two.hand + 1]]).toEqual([HandKind.lock, lock]);
  unlockMutex(two, lock);
  expect(two.words[lock]).toBe(0);
  expect(two.words[two.handTop]).toBe(0);
  expect(describeOwner(0)).toBe('nobody');
});

test('operations and changes of owner are counted', () => {
  const { lock, one, two } = setUp();
  for (const cpu of [one, one, two, two, two, one]) {
    lockMutex(cpu, lock);
    unlockMutex(cpu, lock);
  }
  expect(one.longs[(lock + M.operations.at) >> 1]).toBe(6n);
  expect(one.longs[(lock + M.ownerSwitches.at) >> 1]).toBe(3n);
  expect(one.longs[(lock + M.waits.at) >> 1]).toBe(0n);
});

test('a CPU that may not block gives up with a typed error and holds nothing', () => {
  const { lock, one, main } = setUp();
  lockMutex(one, lock);
  expect(() => lockMutex(main, lock)).toThrow(LockBusyError);
  expect(() => lockMutex(main, lock)).toThrow(/held by CPU 0 \(incarnation 1\)/);
  expect(main.words[main.handTop]).toBe(0);
  expect(main.words[lock]! & WAITERS, 'it never registers').toBe(0);
  unlockMutex(one, lock);
  lockMutex(main, lock);
});

describe('misuse is a panic', () => {
  test('taking a mutex twice', () => {
    const { lock, one } = setUp();
    lockMutex(one, lock);
    expect(() => lockMutex(one, lock)).toThrow(/takes mutex \d+ twice/);
  });

  test('releasing out of order, under a reserved slot, or what is not held, changing nothing', () => {
    const { lock, one, two } = setUp();
    const other = lock + 16;
    expect(() => unlockMutex(one, lock)).toThrow(Panic);
    lockMutex(one, lock);
    lockMutex(one, other);
    expect(() => unlockMutex(one, lock)).toThrow(/not the last thing in its hands/);
    expect(() => unlockMutex(two, lock)).toThrow(Panic);
    unlockMutex(one, other);
    reserveSlot(one);
    expect(() => unlockMutex(one, lock)).toThrow(Panic);
    expect(mutexOwner(one.words[lock]!)).toBe(0);
    expect(one.words[one.handTop]).toBe(2);
    expect([two.words[two.handTop], two.words[two.entered]]).toEqual([0, 0]);
  });
});

describe('the lock of a dead CPU', () => {
  test('is taken over, with the waiters bit, once its holder is known to be dead', () => {
    const { lock, one, two, main } = setUp();
    lockMutex(one, lock);
    expect(() => lockMutex(main, lock)).toThrow(LockBusyError);
    markDead(two, one.number, one.incarnation);
    expect(lockMutex(main, lock)).toBe(true);
    expect(main.words[lock]).toBe(main.lockWord | WAITERS);
    // The late recovery of its first holder must not free it under the second.
    expect(recover(two, one.number, one.incarnation)).toBe('recovered');
    expect(main.words[lock]).toBe(main.lockWord | WAITERS);
    unlockMutex(main, lock);
  });

  test('is not mistaken for the lock of the next thread with that number', () => {
    const { arena, lock, one, two, main } = setUp();
    recover(two, one.number, one.incarnation);
    const next = claimCpu(arena, { manualLeave: true, number: one.number });
    lockMutex(next, lock);
    expect(recover(two, one.number, one.incarnation)).toBe('nothing');
    expect(() => lockMutex(main, lock)).toThrow(/incarnation 2/);
    unlockMutex(next, lock);
  });

  test('is freed at whatever entry of lock and unlock it died', () => {
    for (let point = 1; ; point++) {
      const { lock, one, main } = setUp();
      const dying = dyingAt(one, point);
      const ended = !died(() => {
        lockMutex(dying, lock);
        lockMutex(dying, lock + 16);
        unlockMutex(dying, lock + 16);
        unlockMutex(dying, lock);
      });
      expect(recover(main, one.number, one.incarnation)).toBe('recovered');
      for (const word of [lock, lock + 16]) {
        expect(lockMutex(main, word)).toBe(false);
        unlockMutex(main, word);
      }
      if (ended) {
        expect(point).toBe(5);
        break;
      }
    }
  });

  test('counts a dead sleeper out of its waiting column, once', () => {
    const { lock, one, two, main } = setUp();
    lockMutex(two, lock);
    // What sleepForLock writes before it sleeps; the real thing is in test/death.
    one.words[one.hand] = HandKind.lockSleep;
    one.words[one.hand + 1] = lock;
    one.words[one.handTop] = 1;
    Atomics.add(one.words, lock + M.waiting.at, 1);
    expect(recover(main, one.number, one.incarnation)).toBe('recovered');
    expect(recover(main, one.number, one.incarnation)).toBe('nothing');
    expect(one.words[lock + M.waiting.at]).toBe(0);
    expect(mutexOwner(one.words[lock]!)).toBe(two.number);
  });
});
