/**
 * The limit's semantics in one thread. Several virtual CPUs share the thread: as long as none
 * really sleeps every operation is synchronous, and `registerSleeper` with `takeGrant` are the two
 * halves of a sleep.
 */

import fc from 'fast-check';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import {
  Arena,
  ArgumentError,
  checkLimit,
  claimCpu,
  type Cpu,
  enterCpu,
  HandKind,
  LIMIT_MAX,
  LimitRecord,
  limitCount,
  limitHasSleepers,
  limitHasSleepersHint,
  limitInit,
  limitSleepers,
  limitWords,
  lockMutex,
  lockRegistry,
  markDead,
  Panic,
  recover,
  recoverLimit,
  releaseSlot,
  releaseUnits,
  reserveSlot,
  reserveUnits,
  setLimitMax,
  SleepFailure,
  sleepForUnits,
  sleepForUnitsAsync,
  STATIC_NEXT,
  staticSpace,
  unlockMutex,
  unlockRegistry,
  WaitCell,
  WouldBlockError,
} from '../src/index.ts';
import {
  abandonCell,
  reapCells,
  registerSleeper,
  takeGrant,
  withdrawSleeper,
} from '../src/sync/limit-sleep.ts';
import { CellState } from '../src/sync/wait-cell.ts';

let arena: Arena;
let cpus: Cpu[];
let limit: number;

function makeLimit(cpu: Cpu, max: number, cells: number): number {
  lockRegistry(cpu);
  const bytes = limitWords(cells) * 4;
  const address = staticSpace(cpu, bytes);
  limitInit(cpu, address >> 2, max, cells);
  cpu.words[STATIC_NEXT] = address + bytes;
  unlockRegistry(cpu);
  return address >> 2;
}

/** Four CPUs, the last of which may not block, and a limit of `max` units. */
function setUp(max: number, cells = 4): void {
  arena = Arena.create({ bytes: 1 << 20, cpus: 8 });
  cpus = [true, true, true, false].map((mayBlock) =>
    claimCpu(arena, { manualLeave: true, mayBlock }),
  );
  for (const cpu of cpus) enterCpu(cpu);
  limit = makeLimit(cpus[0]!, max, cells);
}

const statistic = (name: 'sleeps' | 'timeouts' | 'tableFull'): bigint =>
  arena.longs[(limit + LimitRecord.fields[name].at) >> 1]!;

beforeEach(() => setUp(4));

describe('reserveUnits and releaseUnits', () => {
  it('reserve what is free, into the hand slot, and nothing above the maximum', () => {
    const [cpu] = cpus as [Cpu];
    const slot = reserveSlot(cpu);
    expect(reserveUnits(cpu, limit, 3, slot)).toBe(3);
    expect([...cpu.words.subarray(slot, slot + 3)]).toEqual([HandKind.units, limit, 3]);
    const other = reserveSlot(cpu);
    expect(reserveUnits(cpu, limit, 3, other)).toBe(1);
    const third = reserveSlot(cpu);
    expect(reserveUnits(cpu, limit, 1, third)).toBe(0);
    expect(cpu.words[third]).toBe(HandKind.none);
    expect(limitCount(arena, limit)).toBe(4);
    releaseUnits(cpu, limit, 1, other);
    releaseUnits(cpu, limit, 1, slot);
    expect(cpu.words[other]).toBe(HandKind.none);
    expect([cpu.words[slot], cpu.words[slot + 2]]).toEqual([HandKind.units, 2]);
    releaseUnits(cpu, limit, 2, slot);
    expect(cpu.words[slot]).toBe(HandKind.none);
    expect(limitCount(arena, limit)).toBe(0);
    expect(checkLimit(cpu, limit)).toEqual([]);
  });

  it('panic when more is released than is out', () => {
    const [cpu] = cpus as [Cpu];
    reserveUnits(cpu, limit, 1, reserveSlot(cpu));
    expect(() => releaseUnits(cpu, limit, 2)).toThrow(Panic);
  });

  it('refuse maxima and cell counts out of range without a change', () => {
    const [cpu] = cpus as [Cpu];
    for (const max of [-1, 1.5, LIMIT_MAX + 1, Number.NaN]) {
      expect(() => setLimitMax(cpu, limit, max)).toThrow(ArgumentError);
    }
    expect(() => limitInit(cpu, limit, 4, 0)).toThrow(ArgumentError);
    expect(arena.words[limit + LimitRecord.fields.max.at]).toBe(4);
  });

  it('count to 2^30 - 1 units, and grant that many to one sleeper', () => {
    const [cpu, other] = cpus as [Cpu, Cpu];
    const slot = reserveSlot(cpu);
    setLimitMax(cpu, limit, LIMIT_MAX);
    expect(reserveUnits(cpu, limit, LIMIT_MAX, slot)).toBe(LIMIT_MAX);
    const cell = registerSleeper(other, limit, LIMIT_MAX);
    expect(checkLimit(cpu, limit)).toEqual([]);
    releaseUnits(cpu, limit, LIMIT_MAX, slot);
    expect(takeGrant(other, limit, cell, reserveSlot(other))).toBe(LIMIT_MAX);
    expect(limitCount(arena, limit)).toBe(LIMIT_MAX);
    expect(checkLimit(cpu, limit)).toEqual([]);
  });
});

describe('sleepers', () => {
  it('are granted in order of arrival, and no newcomer passes them', () => {
    const [a, b, c] = cpus as [Cpu, Cpu, Cpu];
    const slot = reserveSlot(a);
    reserveUnits(a, limit, 4, slot);
    const first = registerSleeper(b, limit, 2);
    const second = registerSleeper(c, limit, 1);
    expect(limitSleepers(arena, limit)).toBe(2);
    expect(limitHasSleepers(arena, limit) && limitHasSleepersHint(arena, limit)).toBe(true);
    releaseUnits(a, limit, 1, slot);
    // A partial grant: b gets one of its two, as the kernel's bulk requests do.
    expect(limitSleepers(arena, limit)).toBe(1);
    expect(takeGrant(b, limit, first, reserveSlot(b))).toBe(1);
    expect(reserveUnits(a, limit, 1, reserveSlot(a))).toBe(0);
    releaseUnits(a, limit, 3, slot);
    expect(takeGrant(c, limit, second, reserveSlot(c))).toBe(1);
    expect(limitHasSleepers(arena, limit) || limitHasSleepersHint(arena, limit)).toBe(false);
    expect(limitCount(arena, limit)).toBe(2);
    expect(checkLimit(a, limit)).toEqual([]);
  });

  it('are granted at once when units are free while they register', () => {
    const [a] = cpus as [Cpu];
    const slot = reserveSlot(a);
    expect(sleepForUnits(a, limit, 2, slot, 1000)).toBe(2);
    expect(a.words[slot]).toBe(HandKind.units);
    expect(limitHasSleepers(arena, limit)).toBe(false);
    expect(statistic('sleeps')).toBe(1n);
  });

  it('are granted what their own flush brings back, and stay registered during it', () => {
    const [a] = cpus as [Cpu];
    const cached = reserveSlot(a);
    reserveUnits(a, limit, 4, cached);
    const slot = reserveSlot(a);
    let sleepers = 0;
    const units = sleepForUnits(a, limit, 1, slot, 1000, () => {
      sleepers = limitSleepers(arena, limit);
      releaseUnits(a, limit, 4, cached);
    });
    expect([units, sleepers, limitCount(arena, limit)]).toEqual([1, 1, 1]);
  });

  it('time out, leave nothing behind, and let the next in', () => {
    const [a, b] = cpus as [Cpu, Cpu];
    const slot = reserveSlot(a);
    reserveUnits(a, limit, 4, slot);
    const waiting = reserveSlot(b);
    expect(sleepForUnits(b, limit, 1, waiting, 5)).toBe(SleepFailure.timeout);
    expect(b.words[waiting]).toBe(HandKind.none);
    expect(limitHasSleepers(arena, limit)).toBe(false);
    expect(statistic('timeouts')).toBe(1n);
    releaseUnits(a, limit, 1, slot);
    expect(reserveUnits(b, limit, 1, waiting)).toBe(1);
    expect(checkLimit(a, limit)).toEqual([]);
  });

  it('keep their slot on the hand stack over the sleep', () => {
    const [a, b] = cpus as [Cpu, Cpu];
    reserveUnits(a, limit, 4, reserveSlot(a));
    const waiting = reserveSlot(b);
    sleepForUnits(b, limit, 1, waiting, 1);
    expect(reserveSlot(b)).toBeGreaterThan(waiting);
  });

  it('are withdrawn when the flush throws', () => {
    const [a] = cpus as [Cpu];
    const cached = reserveSlot(a);
    reserveUnits(a, limit, 4, cached);
    const slot = reserveSlot(a);
    for (const free of [0, 2]) {
      const failing = (): void => {
        if (free > 0) releaseUnits(a, limit, free, cached);
        throw new Error('flush failed');
      };
      expect(() => sleepForUnits(a, limit, 1, slot, 1000, failing)).toThrow('flush failed');
      expect(a.words[slot]).toBe(HandKind.none);
      expect(limitCount(arena, limit)).toBe(4 - free);
      expect(checkLimit(a, limit)).toEqual([]);
    }
  });

  it('find a full table counted and reported, and abandoned cells reused before that', () => {
    setUp(1, 2);
    const [a, b, c] = cpus as [Cpu, Cpu, Cpu];
    reserveUnits(a, limit, 1, reserveSlot(a));
    registerSleeper(b, limit, 1);
    const gone = registerSleeper(c, limit, 1);
    expect(registerSleeper(a, limit, 1)).toBe(0);
    expect(sleepForUnits(a, limit, 1, reserveSlot(a), 1000)).toBe(SleepFailure.tableFull);
    expect(statistic('tableFull')).toBe(2n);
    expect(abandonCell(c, gone)).toBe(true);
    expect(registerSleeper(a, limit, 1)).toBe(gone);
    expect(checkLimit(a, limit)).toEqual([]);
  });

  it('are reaped out of the middle of the queue', () => {
    const [a, b, c, d] = cpus as [Cpu, Cpu, Cpu, Cpu];
    const slot = reserveSlot(a);
    reserveUnits(a, limit, 4, slot);
    const cells = [b, c, d].map((cpu) => registerSleeper(cpu, limit, 1));
    abandonCell(c, cells[1]!);
    reapCells(c, limit);
    expect(checkLimit(a, limit)).toEqual([]);
    expect(limitSleepers(arena, limit)).toBe(2);
    releaseUnits(a, limit, 4, slot);
    for (const [cpu, cell] of [
      [b, cells[0]!],
      [d, cells[2]!],
    ] as const) {
      expect(takeGrant(cpu, limit, cell, reserveSlot(cpu))).toBe(1);
    }
    expect(checkLimit(a, limit)).toEqual([]);
  });

  it('give an aborted grant back to the next sleeper', () => {
    const [a, b, c] = cpus as [Cpu, Cpu, Cpu];
    const slot = reserveSlot(a);
    reserveUnits(a, limit, 4, slot);
    const first = registerSleeper(b, limit, 1);
    const second = registerSleeper(c, limit, 1);
    releaseUnits(a, limit, 1, slot);
    withdrawSleeper(b, limit, first, reserveSlot(b));
    expect(takeGrant(c, limit, second, reserveSlot(c))).toBe(1);
    expect(limitCount(arena, limit)).toBe(4);
    expect(checkLimit(a, limit)).toEqual([]);
  });

  it('that give up in the moment of their grant leave the units to the next', () => {
    const [a, b, c] = cpus as [Cpu, Cpu, Cpu];
    const slot = reserveSlot(a);
    reserveUnits(a, limit, 4, slot);
    const first = registerSleeper(b, limit, 1);
    const second = registerSleeper(c, limit, 1);
    // The window: the units are counted for b, whose cell is about to be granted.
    const compareExchange = Atomics.compareExchange;
    let struck = false;
    const spy = vi.spyOn(Atomics, 'compareExchange').mockImplementation(((
      ...args: [never, number, 0, 0]
    ) => {
      if (!struck && args[1] === first) {
        struck = true;
        abandonCell(b, first);
      }
      return compareExchange(...(args as [never, 0, 0, 0]));
    }) as unknown as typeof Atomics.compareExchange);
    releaseUnits(a, limit, 1, slot);
    spy.mockRestore();
    expect(struck).toBe(true);
    expect(takeGrant(c, limit, second, reserveSlot(c))).toBe(1);
    expect(limitCount(arena, limit)).toBe(4);
    expect(checkLimit(a, limit)).toEqual([]);
  });

  it('are all granted by a raised maximum as far as it reaches', () => {
    const [a, b, c, d] = cpus as [Cpu, Cpu, Cpu, Cpu];
    reserveUnits(a, limit, 4, reserveSlot(a));
    const cells = [b, c, d].map((cpu) => registerSleeper(cpu, limit, 1));
    setLimitMax(a, limit, 6);
    expect(limitSleepers(arena, limit)).toBe(1);
    setLimitMax(a, limit, 2);
    expect(checkLimit(a, limit, 6)).toEqual([]);
    expect(checkLimit(a, limit)).toEqual(['count 6 is above the maximum 2']);
    for (const [index, cpu] of [b, c].entries()) {
      const slot = reserveSlot(cpu);
      releaseUnits(cpu, limit, takeGrant(cpu, limit, cells[index]!, slot), slot);
    }
    expect(limitSleepers(arena, limit)).toBe(1);
    setLimitMax(a, limit, 5);
    expect(limitSleepers(arena, limit)).toBe(0);
  });
});

describe('a CPU that may not block', () => {
  it('is told of the asynchronous form', () => {
    const main = cpus[3]!;
    const sleep = (): number => sleepForUnits(main, limit, 1, reserveSlot(main), 1000);
    expect(sleep).toThrow(WouldBlockError);
    expect(sleep).toThrow(/sleepForUnitsAsync/);
  });

  it('releases past a busy lock, and its holder looks again after the unlock', () => {
    const [a, b, , main] = cpus as [Cpu, Cpu, Cpu, Cpu];
    const slot = reserveSlot(main);
    reserveUnits(main, limit, 4, slot);
    const cell = registerSleeper(b, limit, 1);
    // The window: a has settled and is about to unlock when main frees the units.
    const exchange = Atomics.exchange;
    let struck = false;
    const spy = vi.spyOn(Atomics, 'exchange').mockImplementation(((...args: [never, 0, 0]) => {
      if (!struck) {
        struck = true;
        releaseUnits(main, limit, 4, slot);
      }
      return exchange(...args);
    }) as unknown as typeof Atomics.exchange);
    reapCells(a, limit);
    spy.mockRestore();
    expect(struck).toBe(true);
    expect(takeGrant(b, limit, cell, reserveSlot(b))).toBe(1);
    expect(checkLimit(a, limit)).toEqual([]);
  });

  it('abandons past a busy lock, and the next holder reaps', () => {
    const [a, , , main] = cpus as [Cpu, Cpu, Cpu, Cpu];
    reserveUnits(a, limit, 4, reserveSlot(a));
    const cell = registerSleeper(main, limit, 1);
    lockMutex(a, limit);
    withdrawSleeper(main, limit, cell, reserveSlot(main));
    unlockMutex(a, limit);
    expect(limitHasSleepers(arena, limit)).toBe(true);
    reapCells(a, limit);
    expect(limitHasSleepers(arena, limit)).toBe(false);
    expect(checkLimit(a, limit)).toEqual([]);
  });
});

describe('sleepForUnitsAsync', () => {
  it('hands the units to take, and puts back what take leaves', async () => {
    const [a, , , main] = cpus as [Cpu, Cpu, Cpu, Cpu];
    const slot = reserveSlot(a);
    reserveUnits(a, limit, 4, slot);
    const pending = sleepForUnitsAsync(main, limit, 2, (taken, units) => {
      expect([main.words[taken], units]).toEqual([HandKind.units, 2]);
      main.words[taken + 2]! = 1; // one unit goes into the caller's own record
      return 'used';
    });
    expect(limitSleepers(arena, limit)).toBe(1);
    releaseUnits(a, limit, 3, slot);
    expect(await pending).toEqual({ units: 2, value: 'used' });
    expect(limitCount(arena, limit)).toBe(2);
    expect(main.words[main.handTop]).toBe(0);
    expect(checkLimit(a, limit)).toEqual([]);
  });

  it('returns the units when take throws', async () => {
    const main = cpus[3]!;
    const failing = sleepForUnitsAsync(main, limit, 2, () => {
      throw new Error('no use for it');
    });
    await expect(failing).rejects.toThrow('no use for it');
    expect(limitCount(arena, limit)).toBe(0);
  });

  it('times out, aborts with the reason, and keeps the order of those who stay', async () => {
    const [a, , , main] = cpus as [Cpu, Cpu, Cpu, Cpu];
    const slot = reserveSlot(a);
    reserveUnits(a, limit, 4, slot);
    const abort = new AbortController();
    const order: string[] = [];
    const waitFor = (name: string, options: { timeoutMs?: number; signal?: AbortSignal }) =>
      sleepForUnitsAsync(main, limit, 1, () => order.push(name), options);
    const late = waitFor('late', { timeoutMs: 5 });
    const aborted = waitFor('aborted', { signal: abort.signal });
    const first = waitFor('first', {});
    const second = waitFor('second', {});
    expect(limitSleepers(arena, limit)).toBe(4);
    abort.abort(new Error('changed my mind'));
    await expect(aborted).rejects.toThrow('changed my mind');
    expect(await late).toEqual({ units: SleepFailure.timeout, value: undefined });
    expect(checkLimit(a, limit)).toEqual([]);
    releaseUnits(a, limit, 2, slot);
    await Promise.all([first, second]);
    expect(order).toEqual(['first', 'second']);
    await expect(waitFor('never', { signal: abort.signal })).rejects.toThrow('changed my mind');
    expect(checkLimit(a, limit)).toEqual([]);
  });

  it('puts a grant back when the abort comes between grant and use', async () => {
    const [a, , , main] = cpus as [Cpu, Cpu, Cpu, Cpu];
    const slot = reserveSlot(a);
    reserveUnits(a, limit, 4, slot);
    const abort = new AbortController();
    const pending = sleepForUnitsAsync(main, limit, 1, () => 1, { signal: abort.signal });
    releaseUnits(a, limit, 1, slot);
    expect(limitCount(arena, limit)).toBe(4);
    abort.abort(new Error('too late'));
    await expect(pending).rejects.toThrow('too late');
    expect(limitCount(arena, limit)).toBe(3);
  });

  it('registers later when the lock is busy', async () => {
    const [a, , , main] = cpus as [Cpu, Cpu, Cpu, Cpu];
    lockMutex(a, limit);
    const pending = sleepForUnitsAsync(main, limit, 1, (_slot, units) => units);
    unlockMutex(a, limit);
    expect(await pending).toEqual({ units: 1, value: 1 });
    lockMutex(a, limit);
    const late = sleepForUnitsAsync(main, limit, 1, () => 1, { timeoutMs: 1 });
    expect(await late).toEqual({ units: SleepFailure.timeout, value: undefined });
    unlockMutex(a, limit);
  });

  it('reports a full table', async () => {
    setUp(0, 1);
    const main = cpus[3]!;
    registerSleeper(cpus[0]!, limit, 1);
    const result = await sleepForUnitsAsync(main, limit, 1, () => 1);
    expect(result.units).toBe(SleepFailure.tableFull);
  });
});

describe('recovery', () => {
  it('takes a dead CPU out of the queue, the cells and the hand, and wakes who can go on', () => {
    const [a, b, c, d] = cpus as [Cpu, Cpu, Cpu, Cpu];
    a.arena.hooks.cacheRepairs.push((by, dead) =>
      recoverLimit(by, limit, dead, dead === b.number ? b.incarnation : -1),
    );
    const held = reserveSlot(a);
    reserveUnits(a, limit, 3, held);
    reserveUnits(b, limit, 1, reserveSlot(b)); // in the hand of the dead
    registerSleeper(b, limit, 1); // will be granted, not taken
    releaseUnits(a, limit, 1, held);
    registerSleeper(b, limit, 1); // waiting in front of the living
    const living = [c, d].map((cpu) => registerSleeper(cpu, limit, 1));
    expect(limitCount(arena, limit)).toBe(4);
    expect(recover(a, b.number, b.incarnation)).toBe('recovered');
    expect(limitCount(arena, limit)).toBe(4);
    for (const [index, cpu] of [c, d].entries()) {
      const slot = reserveSlot(cpu);
      expect(takeGrant(cpu, limit, living[index]!, slot)).toBe(1);
      releaseUnits(cpu, limit, 1, slot);
    }
    expect(limitCount(arena, limit)).toBe(2);
    expect(checkLimit(a, limit)).toEqual([]);
  });

  it('may be repeated, and leaves the cells of the next life of the number alone', () => {
    const [a, b] = cpus as [Cpu, Cpu];
    reserveUnits(a, limit, 4, reserveSlot(a));
    registerSleeper(b, limit, 1);
    markDead(a, b.number, b.incarnation);
    recoverLimit(a, limit, b.number, b.incarnation);
    recoverLimit(a, limit, b.number, b.incarnation);
    expect(limitSleepers(arena, limit)).toBe(0);
    expect(recover(a, b.number, b.incarnation)).toBe('recovered');
    const next = claimCpu(arena, { manualLeave: true, number: b.number });
    registerSleeper(next, limit, 1);
    recoverLimit(a, limit, b.number, b.incarnation);
    expect(limitSleepers(arena, limit)).toBe(1);
    expect(checkLimit(a, limit)).toEqual([]);
  });

  it('frees the cell of a dead sleeper in the middle of the queue', () => {
    setUp(1, 2);
    const [a, b, c] = cpus as [Cpu, Cpu, Cpu];
    reserveUnits(a, limit, 1, reserveSlot(a));
    registerSleeper(b, limit, 1);
    const gone = registerSleeper(c, limit, 1);
    markDead(a, c.number, c.incarnation);
    recoverLimit(a, limit, c.number, c.incarnation);
    expect(arena.words[gone]).toBe(CellState.free);
    expect(checkLimit(a, limit)).toEqual([]);
  });

  it('settles for a CPU that died between its subtraction and its settle', () => {
    const [a, b, c] = cpus as [Cpu, Cpu, Cpu];
    const slot = reserveSlot(b);
    reserveUnits(b, limit, 4, slot);
    const cell = registerSleeper(c, limit, 1);
    Atomics.sub(arena.words, limit + LimitRecord.fields.items.at, 4);
    b.words[slot] = HandKind.none;
    markDead(a, b.number, b.incarnation);
    recoverLimit(a, limit, b.number, b.incarnation);
    expect(takeGrant(c, limit, cell, reserveSlot(c))).toBe(1);
    expect(checkLimit(a, limit)).toEqual([]);
  });

  it('takes the lock over from a dead holder', () => {
    const [a, b] = cpus as [Cpu, Cpu];
    lockMutex(b, limit);
    markDead(a, b.number, b.incarnation);
    recoverLimit(a, limit, b.number, b.incarnation);
    expect(checkLimit(a, limit)).toEqual([]);
  });
});

describe('checkLimit', () => {
  it('names a lost cell, a lost bit and a lost hint', () => {
    const [a, b] = cpus as [Cpu, Cpu];
    reserveUnits(a, limit, 4, reserveSlot(a));
    const cell = registerSleeper(b, limit, 1);
    Atomics.store(arena.words, cell + WaitCell.fields.state.at, 7);
    Atomics.and(arena.words, limit + LimitRecord.fields.items.at, 0xff);
    expect(checkLimit(a, limit)).toEqual([
      'cell 0 in state 7 is linked wrongly',
      'sleepers bit false over a queue of 1',
      'hint differs from the sleepers bit false',
    ]);
  });
});

/** Commands of the property test: [kind, cpu, units]. */
type Command = readonly [number, number, number];

/** The plain model: units held per CPU, a queue of requests, grants not yet taken. */
class Model {
  max = 3;
  readonly held: number[] = [0, 0, 0, 0];
  queue: { cpu: number; wanted: number }[] = [];
  readonly granted: Map<number, number> = new Map();

  count(): number {
    return [...this.held, ...this.granted.values()].reduce((sum, units) => sum + units, 0);
  }

  settle(): void {
    while (this.queue.length > 0 && this.count() < this.max) {
      const { cpu, wanted } = this.queue.shift()!;
      this.granted.set(cpu, Math.min(wanted, this.max - this.count()));
    }
  }
}

describe('against a plain model', () => {
  it('gives the same units to the same CPUs in any order of operations', () => {
    const command = fc.tuple(fc.nat(5), fc.nat(3), fc.integer({ min: 1, max: 4 }));
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => runAgainstModel(commands)),
      { numRuns: 300, seed: 20261124 },
    );
  });
});

function runAgainstModel(commands: readonly Command[]): void {
  setUp(3, 4);
  const model = new Model();
  const slots = cpus.map((cpu) => reserveSlot(cpu));
  const cells = cpus.map(() => 0);
  let largest = model.max;
  for (const [kind, number, n] of commands) {
    const cpu = cpus[number]!;
    const slot = slots[number]!;
    const idle = cells[number] === 0;
    if (kind === 0 && idle && model.held[number] === 0) {
      const free = model.queue.length > 0 ? 0 : Math.max(0, model.max - model.count());
      expect(reserveUnits(cpu, limit, n, slot)).toBe(Math.min(n, free));
      model.held[number] = Math.min(n, free);
    } else if (kind === 1 && model.held[number]! > 0) {
      const units = Math.min(n, model.held[number]!);
      releaseUnits(cpu, limit, units, slot);
      model.held[number]! -= units;
    } else if (kind === 2 && idle && model.held[number] === 0) {
      cells[number] = registerSleeper(cpu, limit, n);
      model.queue.push({ cpu: number, wanted: n });
    } else if (kind === 3 && !idle && model.granted.has(number)) {
      expect(takeGrant(cpu, limit, cells[number]!, slot)).toBe(model.granted.get(number));
      model.held[number] = model.granted.get(number)!;
      model.granted.delete(number);
      cells[number] = 0;
    } else if (kind === 4 && !idle) {
      withdrawSleeper(cpu, limit, cells[number]!, slot);
      model.granted.delete(number);
      model.queue = model.queue.filter((request) => request.cpu !== number);
      cells[number] = 0;
    } else if (kind === 5) {
      setLimitMax(cpu, limit, n);
      model.max = n;
      largest = Math.max(largest, n);
    }
    model.settle();
    expect(limitCount(arena, limit)).toBe(model.count());
    expect(limitSleepers(arena, limit)).toBe(model.queue.length);
    expect(checkLimit(cpu, limit, largest)).toEqual([]);
  }
  for (const [number, slot] of slots.entries()) releaseSlot(cpus[number]!, slot);
}
