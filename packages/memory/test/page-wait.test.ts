/** Waiting for pages: who is served and when, giving up, aborts, deaths. Workers: test/reclaim. */
import { afterEach, describe, expect, test } from 'vitest';
import {
  Arena,
  checkPagePool,
  checkPageQueue,
  claimCpu,
  type Cpu,
  CpuRecord,
  enterCpu,
  freePageCount,
  HandKind,
  leaveCpu,
  markDead,
  PAGE_SHIFT,
  PagePool,
  PageSleepFailure,
  putPages,
  recover,
  releaseSlot,
  reserveSlot,
  sleepForPages,
  sleepForPagesAsync,
  takePages,
  WouldBlockError,
} from '../src/index.ts';
import { joinPageQueue, leavePageQueue, PageCell, PageWait } from '../src/page/page-wait.ts';

let checked: Cpu[] = [];
afterEach(() => {
  for (const cpu of checked) {
    for (let domain = 0; domain < cpu.arena.domains; domain++) {
      expect(checkPageQueue(cpu, domain)).toEqual([]);
      expect(checkPagePool(cpu, domain)).toEqual([]);
    }
  }
  checked = [];
});

function machine(cpus: number, mayBlock: boolean = true): { arena: Arena; cpus: Cpu[] } {
  const arena = Arena.create({ bytes: 1 << 20, cpus, backing: 'shared-array-buffer' });
  const all = Array.from({ length: cpus }, () => {
    const cpu = claimCpu(arena, { manualLeave: true, mayBlock });
    enterCpu(cpu);
    return cpu;
  });
  checked.push(all[0]!);
  return { arena, cpus: all };
}

/** Takes every page, in runs of `pages` and then of one; returns the slots. */
function exhaust(cpu: Cpu, pages: number): number[] {
  const slots: number[] = [];
  const all = freePageCount(cpu.arena);
  // The bulk in one run, so that few hand slots are needed.
  let slot = reserveSlot(cpu);
  expect(takePages(cpu, all - 6 * pages, 0, slot)).not.toBe(0);
  slots.push(slot);
  for (;;) {
    slot = reserveSlot(cpu);
    if (takePages(cpu, pages, 0, slot) === 0) break;
    slots.push(slot);
  }
  releaseSlot(cpu, slot);
  expect(freePageCount(cpu.arena)).toBe(0);
  return slots;
}

function state({ words }: Cpu, cell: number): number {
  return words[cell]!;
}

describe('the queue of a page pool', () => {
  test('serves in order of arrival, and each waiter once', () => {
    const { cpus } = machine(4);
    const slots = exhaust(cpus[0]!, 2);
    const cells = cpus.slice(1).map((cpu) => joinPageQueue(cpu, cpu.arena.poolTable, 2, 0));
    expect(cells.map((cell) => state(cpus[0]!, cell))).toEqual([1, 1, 1]);
    for (let served = 1; served <= 3; served++) {
      putPages(cpus[0]!, slots.pop()!);
      expect(cells.filter((cell) => state(cpus[0]!, cell) === PageCell.granted)).toHaveLength(
        served,
      );
      expect(state(cpus[0]!, cells[served - 1]!)).toBe(PageCell.granted);
      expect(freePageCount(cpus[0]!.arena)).toBe(0);
    }
  });

  test('one run put back serves as many as fit, and a run that is too short nobody', () => {
    const { arena, cpus } = machine(4);
    const slots = exhaust(cpus[0]!, 3);
    const wanted = [4, 2, 1];
    const cells = cpus
      .slice(1)
      .map((cpu, index) => joinPageQueue(cpu, arena.poolTable, wanted[index]!, 0));
    putPages(cpus[0]!, slots.pop()!);
    // Three pages: not for the first, whom the others do not wait for.
    expect(cells.map((cell) => state(cpus[0]!, cell))).toEqual([1, 2, 2]);
    putPages(cpus[0]!, slots.pop()!);
    expect(state(cpus[0]!, cells[0]!)).toBe(1);
    putPages(cpus[0]!, slots.pop()!);
    expect(state(cpus[0]!, cells[0]!)).toBe(2);
    expect(freePageCount(arena)).toBe(2);
  });

  test('who joins while there is a run has it at once', () => {
    const { arena, cpus } = machine(2);
    const cell = joinPageQueue(cpus[1]!, arena.poolTable, 5, PageWait.asynchronous);
    expect(state(cpus[0]!, cell)).toBe(PageCell.granted);
  });

  test('who leaves in the middle is out, the others keep their places', () => {
    const { arena, cpus } = machine(4);
    const slots = exhaust(cpus[0]!, 1);
    const cells = cpus.slice(1).map((cpu) => joinPageQueue(cpu, arena.poolTable, 1, 0));
    expect(leavePageQueue(cpus[2]!, cells[1]!)).toBe(true);
    putPages(cpus[0]!, slots.pop()!);
    putPages(cpus[0]!, slots.pop()!);
    expect(cells.map((cell) => state(cpus[0]!, cell))).toEqual([2, 0, 2]);
    expect(leavePageQueue(cpus[1]!, cells[0]!), 'granted').toBe(false);
    const { waits, waitsGivenUp } = PagePool.fields;
    expect(arena.longs[(arena.poolTable + waits.at) >> 1]).toBe(3n);
    expect(arena.longs[(arena.poolTable + waitsGivenUp.at) >> 1]).toBe(1n);
  });

  test('a CPU waits once in each way', () => {
    const { arena, cpus } = machine(2);
    exhaust(cpus[0]!, 1);
    expect(joinPageQueue(cpus[1]!, arena.poolTable, 1, PageWait.blocking)).not.toBe(0);
    expect(joinPageQueue(cpus[1]!, arena.poolTable, 1, PageWait.asynchronous)).not.toBe(0);
    expect(joinPageQueue(cpus[1]!, arena.poolTable, 1, PageWait.blocking)).toBe(0);
  });

  test.each([
    ['waiting', false],
    ['granted', true],
  ])('a waiter that dies %s loses nothing, and the next is served', (_state, granted) => {
    const { arena, cpus } = machine(3);
    const [mine, dead, next] = cpus as [Cpu, Cpu, Cpu];
    const slots = exhaust(mine, 1);
    const cell = joinPageQueue(dead, arena.poolTable, 1, PageWait.blocking);
    const later = joinPageQueue(next, arena.poolTable, 1, PageWait.blocking);
    if (granted) putPages(mine, slots.pop()!);
    expect(state(mine, cell)).toBe(granted ? PageCell.granted : PageCell.waiting);
    expect(state(mine, later)).toBe(PageCell.waiting);
    markDead(mine, dead.number, dead.incarnation);
    expect(recover(mine, dead.number, dead.incarnation)).toBe('recovered');
    expect(state(mine, cell)).toBe(PageCell.free);
    if (!granted) putPages(mine, slots.pop()!);
    expect(state(mine, later)).toBe(PageCell.granted);
    expect(mine.words[mine.handTop]).toBe(slots.length + 1);
  });
});

test('a CPU that dies between its put and the settle leaves no waiter beside free pages', () => {
  const { arena, cpus } = machine(3);
  const [mine, dead, waiter] = cpus as [Cpu, Cpu, Cpu];
  const slots = exhaust(mine, 1);
  // The put without its settle: the queue is empty while it happens.
  putPages(mine, slots.pop()!);
  const other = reserveSlot(mine);
  expect(takePages(mine, 1, 0, other)).not.toBe(0);
  const cell = joinPageQueue(waiter, arena.poolTable, 1, PageWait.blocking);
  const head = arena.words[arena.poolTable + PagePool.fields.waitHead.at]!;
  arena.words[arena.poolTable + PagePool.fields.waitHead.at] = 0;
  putPages(mine, other);
  arena.words[arena.poolTable + PagePool.fields.waitHead.at] = head;
  expect([state(mine, cell), freePageCount(arena)]).toEqual([PageCell.waiting, 1]);
  markDead(mine, dead.number, dead.incarnation);
  expect(recover(mine, dead.number, dead.incarnation)).toBe('recovered');
  expect([state(mine, cell), freePageCount(arena)]).toEqual([PageCell.granted, 0]);
});

describe('sleepForPages', () => {
  test('takes the run that is there', () => {
    const { cpus } = machine(1);
    const slot = reserveSlot(cpus[0]!);
    const address = sleepForPages(cpus[0]!, 3, 0, slot, 0, () => false);
    expect(address).toBeGreaterThan(0);
    expect([...cpus[0]!.words.subarray(slot, slot + 3)]).toEqual([
      HandKind.pages,
      address >> PAGE_SHIFT,
      3,
    ]);
    putPages(cpus[0]!, slot);
  });

  test('looks before it sleeps, and again and again until the time is up', () => {
    const { cpus } = machine(1);
    exhaust(cpus[0]!, 1);
    let looks = 0;
    const slot = reserveSlot(cpus[0]!);
    const from = performance.now();
    const found = sleepForPages(cpus[0]!, 1, 0, slot, 30, () => {
      looks++;
      return false;
    });
    expect(found).toBe(PageSleepFailure.timeout);
    expect(performance.now() - from).toBeGreaterThanOrEqual(29);
    expect(looks).toBeGreaterThan(2);
    expect(cpus[0]!.words[slot]).toBe(HandKind.none);
  });

  test('has what its own look puts back', () => {
    const { cpus } = machine(1);
    const slots = exhaust(cpus[0]!, 1);
    const slot = reserveSlot(cpus[0]!);
    const address = sleepForPages(cpus[0]!, 1, 0, slot, 1000, () => {
      putPages(cpus[0]!, slots[3]!);
      return false;
    });
    expect(address).toBeGreaterThan(0);
  });

  test('ends when look needs no pages any more, and does not nest', () => {
    const { cpus } = machine(1);
    exhaust(cpus[0]!, 1);
    const slot = reserveSlot(cpus[0]!);
    const inner = reserveSlot(cpus[0]!);
    let nested = 0;
    const found = sleepForPages(cpus[0]!, 1, 0, slot, Infinity, () => {
      nested = sleepForPages(cpus[0]!, 1, 0, inner, Infinity, () => false);
      return true;
    });
    expect([found, nested]).toEqual([PageSleepFailure.found, PageSleepFailure.nested]);
  });

  test('a look that throws leaves the queue', () => {
    const { arena, cpus } = machine(1);
    exhaust(cpus[0]!, 1);
    const slot = reserveSlot(cpus[0]!);
    const look = (): boolean => {
      throw new Error('look');
    };
    expect(() => sleepForPages(cpus[0]!, 1, 0, slot, Infinity, look)).toThrow('look');
    expect(arena.words[arena.poolTable + PagePool.fields.waitHead.at]).toBe(0);
  });

  test('a thread that may not block gets an error that names the other form', () => {
    const { cpus } = machine(1, false);
    const slot = reserveSlot(cpus[0]!);
    const attempt = (): unknown => sleepForPages(cpus[0]!, 1, 0, slot, 1, () => false);
    expect(attempt).toThrow(WouldBlockError);
    expect(attempt).toThrow(/sleepForPagesAsync/);
  });
});

describe('sleepForPagesAsync', () => {
  test('its thread may not block for pages meanwhile', async () => {
    const { cpus } = machine(1);
    const slots = exhaust(cpus[0]!, 1);
    const pending = sleepForPagesAsync(cpus[0]!, 1, 0, () => 1);
    await new Promise((resolve) => setTimeout(resolve, 2));
    const slot = reserveSlot(cpus[0]!);
    expect(() => sleepForPages(cpus[0]!, 1, 0, slot, 1, () => false)).toThrow(
      /could wait for itself/,
    );
    releaseSlot(cpus[0]!, slot);
    putPages(cpus[0]!, slots.pop()!);
    expect((await pending).outcome).toBe('granted');
  });

  test.each([true, false])(
    'mayBlock %s: resolves in the job that takes the run',
    async (mayBlock) => {
      const { arena, cpus } = machine(1, mayBlock);
      const cpu = cpus[0]!;
      const slots = exhaust(cpu, 1);
      const taken = sleepForPagesAsync(cpu, 1, 0, (slot, address) => {
        expect(cpu.words[slot]).toBe(HandKind.pages);
        return address;
      });
      const page = cpu.words[slots.at(-1)! + 1]!;
      await Promise.resolve();
      putPages(cpu, slots.pop()!);
      expect(await taken).toEqual({ outcome: 'granted', value: page << PAGE_SHIFT });
      // What `take` leaves in the slot goes back.
      expect(freePageCount(arena)).toBe(1);
    },
  );

  test('the requests of one thread are served in order, one at a time in the queue', async () => {
    const { arena, cpus } = machine(1, false);
    const cpu = cpus[0]!;
    const slots = exhaust(cpu, 1);
    const order: number[] = [];
    const all = [0, 1, 2].map((index) =>
      sleepForPagesAsync(cpu, 1, 0, () => {
        order.push(index);
      }),
    );
    await Promise.resolve();
    putPages(cpu, slots.pop()!);
    await Promise.all(all);
    expect(order).toEqual([0, 1, 2]);
    expect(freePageCount(arena)).toBe(1);
  });

  test('gives up in time, in the line of its thread too', async () => {
    const { cpus } = machine(1, false);
    exhaust(cpus[0]!, 1);
    const take = (): number => 1;
    const outcomes = await Promise.all(
      [20, 5].map((timeoutMs) => sleepForPagesAsync(cpus[0]!, 1, 0, take, { timeoutMs })),
    );
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['timeout', 'timeout']);
  });

  test('rejects with the reason of an abort, before, in the line and in the queue', async () => {
    const { cpus } = machine(1, false);
    exhaust(cpus[0]!, 1);
    const take = (): number => 1;
    const controller = new AbortController();
    const { signal } = controller;
    const pending = [0, 1].map(() => sleepForPagesAsync(cpus[0]!, 1, 0, take, { signal }));
    const settled = Promise.allSettled(pending);
    setTimeout(() => controller.abort(new Error('enough')), 5);
    for (const each of await settled) expect(each).toMatchObject({ reason: { message: 'enough' } });
    await expect(sleepForPagesAsync(cpus[0]!, 1, 0, take, { signal })).rejects.toThrow('enough');
  });

  test('ends when look says so, and with what it throws', async () => {
    const { cpus } = machine(1, false);
    exhaust(cpus[0]!, 1);
    let looks = 0;
    const look = (): boolean => ++looks === 3;
    const { outcome } = await sleepForPagesAsync(cpus[0]!, 1, 0, () => 1, { look });
    expect([outcome, looks]).toEqual(['found', 3]);
    const bad = (): boolean => {
      throw new Error('look');
    };
    await expect(sleepForPagesAsync(cpus[0]!, 1, 0, () => 1, { look: bad })).rejects.toThrow(
      'look',
    );
  });

  test('a take that throws gives the run back', async () => {
    const { arena, cpus } = machine(1, false);
    const free = freePageCount(arena);
    const take = (): never => {
      throw new Error('take');
    };
    await expect(sleepForPagesAsync(cpus[0]!, 4, 0, take)).rejects.toThrow('take');
    expect(freePageCount(arena)).toBe(free);
    expect(cpus[0]!.words[cpus[0]!.handTop]).toBe(0);
    leaveCpu(cpus[0]!);
    expect(CpuRecord.fields.pageState.kind).toBe('atomic');
  });
});
