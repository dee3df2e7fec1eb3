/**
 * Reclaim with real workers: the caches of CPUs in every state, requests that wait for pages, arenas
 * that are full all the time, and deaths in all of that. In the end every page is back.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import {
  Arena,
  claimCpu,
  type Cpu,
  CpuRecord,
  CpuState,
  freePageCount,
  leaveCpu,
  limitSleepers,
  markDead,
  NULL,
  STATE_KIND_MASK,
} from '@umbuf/memory';
import {
  CacheRecord,
  fsck,
  M_NOWAIT,
  reclaim,
  Uma,
  type Zone,
  zoneCache,
  ZoneRecord,
} from '@umbuf/uma';
import type { BurstReport, ReclaimWorkerData, WaitReport } from '../fixtures/reclaim-worker.ts';
import { randomFrom } from '../fixtures/random.ts';
import {
  Board,
  boardBytes,
  HELD,
  ledgerAt,
  narrowZone,
  openReclaimZones,
} from '../support/reclaim-zones.ts';
import {
  allReady,
  allResults,
  recoverUntilDone,
  sleep,
  type StartedWorker,
  startWorkers,
  stopWorkers,
  stressMs,
  terminateAndRecover,
  testSeed,
  watchdog,
} from '../support/workers.ts';

afterEach(stopWorkers);

const SEED = testSeed(0x5eed);
const CPUS = 5;

class Bench {
  readonly arena: Arena;
  readonly cpu: Cpu;
  readonly uma: Uma;
  readonly zones: readonly Zone[];
  readonly board: Int32Array<SharedArrayBuffer>;
  /** Free pages when nothing is allocated. */
  readonly free: number;

  /** The main thread of Node may block, so it waits for answers as a worker does. */
  constructor(bytes: number, mayBlock: boolean) {
    this.arena = Arena.create({ bytes, cpus: CPUS });
    this.cpu = claimCpu(this.arena, { number: 0, mayBlock, manualLeave: true });
    this.uma = Uma.attach(this.cpu);
    this.zones = openReclaimZones(this.uma);
    this.uma.open(narrowZone);
    this.board = new Int32Array(new SharedArrayBuffer(boardBytes(CPUS)));
    reclaim(this.uma, 'drain-cpu');
    this.free = freePageCount(this.arena);
    leaveCpu(this.cpu);
  }

  start(
    role: ReclaimWorkerData['role'],
    cpus: readonly number[],
    more: Partial<ReclaimWorkerData> = {},
  ): StartedWorker[] {
    return startWorkers(
      'reclaim-worker',
      cpus.map(
        (cpu): ReclaimWorkerData => ({
          arena: this.arena.handle(),
          cpu,
          seed: SEED + cpu,
          role,
          board: this.board.buffer,
          ...more,
        }),
      ),
    );
  }

  stop(): void {
    Atomics.store(this.board, Board.stop, 1);
    Atomics.notify(this.board, Board.stop);
  }

  isIdle(number: number): boolean {
    const state = Atomics.load(this.arena.words, this.arena.cpuTable + number * CpuRecord.words);
    return (state & STATE_KIND_MASK) === CpuState.idle;
  }

  /** Items of the first zone in the caches of each CPU. */
  cachedBy(numbers: readonly number[]): number[] {
    const { allocCount, freeCount } = CacheRecord.fields;
    return numbers.map((number) => {
      const cache = zoneCache(this.zones[0]!.record, number);
      const { words } = this.arena;
      return Atomics.load(words, cache + allocCount.at) + Atomics.load(words, cache + freeCount.at);
    });
  }

  /** Takes everything that there is. */
  fill(zone: Zone): number[] {
    const items: number[] = [];
    for (;;) {
      const item = zone.alloc(M_NOWAIT);
      if (item === NULL) return items;
      items.push(item);
    }
  }
}

test('the caches of CPUs that are busy, idle, offline or asleep at a limit are drained', async () => {
  const bench = new Bench(4 << 20, true);
  const narrow = bench.uma.open(narrowZone);
  narrow.setMax(1);
  const item = narrow.alloc(M_NOWAIT);
  const limit = bench.uma.words[narrow.record + ZoneRecord.fields.limit.at]!;
  // The sleeper first: before it sleeps it asks the others for what they have cached.
  const workers = bench.start('asleep', [4]);
  while (limitSleepers(bench.cpu, limit) === 0) await sleep(1);
  const roles = ['busy', 'idle', 'offline'] as const;
  workers.push(...roles.flatMap((role, index) => bench.start(role, [index + 1])));
  await watchdog(bench.arena, 20, allReady(workers));
  // An idle one goes idle behind the job in which it said so, a sleeper before it sleeps.
  while (!bench.isIdle(2) || !bench.isIdle(4)) await sleep(1);
  const cached = bench.cachedBy([1, 2, 3, 4]);
  expect(cached.map((items) => items > 0)).toEqual([true, true, false, true]);
  const { unanswered } = reclaim(bench.uma, 'drain-cpu', undefined, 10_000);
  expect(unanswered).toEqual([]);
  expect(bench.zones[0]!.statistics()).toMatchObject({ cached: 0, queued: 0, pages: 0 });
  expect(limitSleepers(bench.cpu, limit), 'sleeps on').toBe(1);
  narrow.free(item);
  leaveCpu(bench.cpu);
  bench.stop();
  await watchdog(bench.arena, 20, Promise.all(workers.map((worker) => worker.exited)));
  expect(fsck(bench.uma).violations).toEqual([]);
});

test('a CPU that does not answer is named within the bound; a dead one holds nothing up', async () => {
  const bench = new Bench(4 << 20, true);
  const workers = [
    ...bench.start('deaf', [1]),
    ...bench.start('busy', [2]),
    ...bench.start('busy', [3]),
  ];
  await watchdog(bench.arena, 20, allReady(workers));
  const { worker, exited, incarnation } = workers[2]!;
  await worker.terminate();
  await exited;
  // Known to be dead, not yet recovered.
  markDead(bench.cpu, 3, incarnation!);
  const from = performance.now();
  const result = reclaim(bench.uma, 'drain-cpu', undefined, 100);
  expect(result.unanswered).toContain(1);
  expect(result.unanswered).not.toContain(3);
  // Not once for each zone, nor for each pass: there are eleven.
  expect(performance.now() - from).toBeLessThan(1000);
  const [deaf, , dead] = bench.cachedBy([1, 2, 3]);
  expect([deaf! > 0, dead! > 0]).toEqual([true, true]);
  expect(await recoverUntilDone(bench.cpu, 3, incarnation!)).toBe('recovered');
  expect(bench.cachedBy([3])).toEqual([0]);
  leaveCpu(bench.cpu);
  bench.stop();
  await watchdog(bench.arena, 20, Promise.all(workers.map((each) => each.exited)));
  // The deaf one answered when it left.
  expect(bench.zones[0]!.statistics().cached).toBe(0);
  expect(reclaim(bench.uma, 'drain-cpu').unanswered).toEqual([]);
  expect(freePageCount(bench.arena)).toBe(bench.free);
  expect(fsck(bench.uma).violations).toEqual([]);
});

test('requests that wait for pages are served when pages come; one gives up in time', async () => {
  const bench = new Bench(2 << 20, false);
  const items = bench.fill(bench.zones[2]!);
  leaveCpu(bench.cpu);
  const hasty = bench.start('waits', [1], { timeoutMs: 50 });
  expect(await watchdog(bench.arena, 20, hasty[0]!.result)).toMatchObject({
    item: 0,
    failure: 'timeout',
  });
  const waiting: StartedWorker[] = [];
  for (const cpu of [2, 3, 4]) {
    waiting.push(...bench.start('waits', [cpu]));
    await watchdog(bench.arena, 20, waiting.at(-1)!.ready);
    while (waitersIn(bench.arena) < waiting.length) await sleep(1);
  }
  // Freed by a CPU that then does something else: the sleepers themselves bring the pages back.
  for (const item of items) bench.zones[2]!.free(item);
  leaveCpu(bench.cpu);
  const reports = await watchdog(bench.arena, 20, allResults<WaitReport>(waiting));
  for (const { item } of reports) expect(item).not.toBe(0);
  await watchdog(bench.arena, 20, Promise.all(waiting.map((worker) => worker.exited)));
  reclaim(bench.uma, 'drain-cpu');
  expect(freePageCount(bench.arena)).toBe(bench.free);
  expect(fsck(bench.uma).violations).toEqual([]);
});

test('who is killed while it waits for pages leaves its place, and takes no page along', async () => {
  const bench = new Bench(2 << 20, false);
  const items = bench.fill(bench.zones[2]!);
  leaveCpu(bench.cpu);
  const [victim, other] = bench.start('waits', [1, 2]);
  while (waitersIn(bench.arena) < 2) await sleep(1);
  expect(await terminateAndRecover(bench.cpu, victim!)).toBe('recovered');
  expect(waitersIn(bench.arena)).toBe(1);
  for (const item of items) bench.zones[2]!.free(item);
  leaveCpu(bench.cpu);
  expect(await watchdog(bench.arena, 20, other!.result)).toMatchObject({ failure: undefined });
  await other!.exited;
  reclaim(bench.uma, 'drain-cpu');
  expect(freePageCount(bench.arena)).toBe(bench.free);
});

/** CPUs in the queues for pages. */
function waitersIn(arena: Arena): number {
  const { pageState } = CpuRecord.fields;
  let waiters = 0;
  for (let cpu = 0; cpu < arena.cpus; cpu++) {
    const cell = arena.cpuTable + cpu * CpuRecord.words + pageState.at;
    if (Atomics.load(arena.words, cell) === 1) waiters++;
  }
  return waiters;
}

test(`an arena that is full again and again has all its pages in the end (seed ${SEED})`, async () => {
  const bench = new Bench(2 << 20, false);
  const workers = bench.start('burst', [1, 2, 3, 4]);
  await watchdog(bench.arena, 20, allReady(workers));
  await sleep(stressMs / 2);
  bench.stop();
  const reports = await watchdog(bench.arena, 20, allResults<BurstReport>(workers));
  await watchdog(bench.arena, 20, Promise.all(workers.map((worker) => worker.exited)));
  for (const report of reports) {
    expect(report).toMatchObject({ violations: 0 });
    expect(report.rounds).toBeGreaterThan(3);
  }
  // The arena was too small for four of them.
  expect(reports.reduce((sum, { nulls }) => sum + nulls, 0)).toBeGreaterThan(0);
  reclaim(bench.uma, 'drain-cpu');
  const report = fsck(bench.uma);
  expect(report.violations).toEqual([]);
  expect(freePageCount(bench.arena)).toBe(bench.free);
});

test(`CPUs die in a full arena and no page is lost but those of items in flight (seed ${SEED})`, async () => {
  const bench = new Bench(2 << 20, false);
  const { arena, uma, board } = bench;
  const random = randomFrom(SEED);
  const numbers = [1, 2, 3];
  const alive = new Map<number, StartedWorker>();
  const begin = async (cpus: readonly number[]): Promise<void> => {
    bench.start('burst', cpus).forEach((worker, index) => alive.set(cpus[index]!, worker));
    await watchdog(arena, 20, allReady([...alive.values()]));
  };
  await begin(numbers);
  const rounds = Math.max(4, Math.round((4 * stressMs) / 2000));
  for (let round = 0; round < rounds; round++) {
    await sleep(2 + random(8));
    const victim = numbers[random(numbers.length)]!;
    const { worker, incarnation } = alive.get(victim)!;
    await worker.terminate();
    await alive.get(victim)!.exited;
    expect(await recoverUntilDone(bench.cpu, victim, incarnation!)).toBe('recovered');
    Atomics.store(board, Board.parked + victim, 0);
    for (let entry = ledgerAt(victim); entry < ledgerAt(victim) + HELD; entry++) {
      const item = board[entry]!;
      board[entry] = 0;
      if (item !== 0) bench.zones[item & 7]!.free(item & ~7);
    }
    leaveCpu(bench.cpu);
    await begin([victim]);
  }
  bench.stop();
  await watchdog(arena, 20, Promise.all([...alive.values()].map((one) => one.exited)));
  for (let pass = 0; pass < 2; pass++) reclaim(uma, 'drain-cpu');
  const report = fsck(uma);
  expect(report.violations).toEqual([]);
  const lost = bench.zones.reduce((sum, { name }) => sum + report.live[name]!, 0);
  expect(lost).toBeLessThanOrEqual(rounds);
  // A slab of ten pages and one of headers for each.
  expect(bench.free - freePageCount(arena)).toBeLessThanOrEqual(lost * 12);
});

test('the timer of the periods keeps no process alive', async () => {
  const from = performance.now();
  const script = fileURLToPath(new URL('../dist/fixtures/trim-child.js', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [script], { timeout: 60_000 });
  expect(stdout.trim()).toBe('16 items live');
  // Far less than the period of its timer.
  expect(performance.now() - from).toBeLessThan(19_000);
});
