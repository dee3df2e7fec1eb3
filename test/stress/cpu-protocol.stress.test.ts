/** Enter, leave, claim and drain between real threads; the proof is the conservation of tokens. */
import { afterEach, expect, test } from 'vitest';
import { Arena, claimCpu, type Cpu, CpuRecord } from '@umbuf/memory';
import type { TokenReport, TokenRole, TokenWorkerData } from '../fixtures/token-worker.ts';
import {
  auditTokens,
  createTokenPool,
  listedTokens,
  type TokenPool,
} from '../support/token-pool.ts';
import {
  allReady,
  allResults,
  scratchPage,
  sleep,
  type StartedWorker,
  startWorkers,
  stopWorkers,
  stressMs,
  testSeed,
  watchdog,
} from '../support/workers.ts';

const SEED = testSeed(0xc4e5);
const TOKENS = 60;

interface Setting {
  readonly arena: Arena;
  readonly supervisor: Cpu;
  readonly pool: TokenPool;
  readonly stop: number;
}

function setUp(): Setting {
  const arena = Arena.create({ bytes: 1 << 20, cpus: 8 });
  const supervisor = claimCpu(arena, { number: 0, mayBlock: false });
  const stop = scratchPage(supervisor);
  return { arena, supervisor, pool: createTokenPool(supervisor, TOKENS), stop };
}

function start(
  setting: Setting,
  cpu: number,
  role: TokenRole,
  more: Partial<TokenWorkerData> = {},
): StartedWorker {
  const [worker] = startWorkers<TokenWorkerData>('token-worker', [
    {
      arena: setting.arena.handle(),
      cpu,
      seed: SEED + cpu,
      role,
      stop: setting.stop,
      targets: [],
      timeoutMs: 1000,
      rounds: 0,
      ...more,
    },
  ]);
  return worker!;
}

function halt({ arena, stop }: Setting): void {
  Atomics.store(arena.words, stop, 1);
  Atomics.notify(arena.words, stop);
}

function expectAllListed({ arena, pool }: Setting): void {
  expect(auditTokens(arena, pool)).toEqual([]);
  expect(listedTokens(arena, pool)).toBe(TOKENS);
}

function statistic(arena: Arena, cpu: number, field: 'claims' | 'answers' | 'enters'): bigint {
  return arena.longs[(arena.cpuTable + cpu * CpuRecord.words + CpuRecord.fields[field].at) >> 1]!;
}

afterEach(stopWorkers);

test(`four users that work, sleep, idle and drain each other keep every token (seed ${SEED})`, async () => {
  const setting = setUp();
  const { arena } = setting;
  const cpus = [1, 2, 3, 4];
  const users = cpus.map((cpu) =>
    start(setting, cpu, 'user', { targets: cpus.filter((c) => c !== cpu), timeoutMs: 50 }),
  );
  await watchdog(arena, 20, allReady(users));
  await sleep(stressMs);
  halt(setting);
  const reports = await watchdog(arena, 20, allResults<TokenReport>(users));
  for (const report of reports) {
    expect(report.operations).toBeGreaterThan(1000);
    expect(report.drains.drained).toBeGreaterThan(0);
    expect(report.drains.gone).toBe(0);
  }
  for (const cpu of cpus) expect(statistic(arena, cpu, 'enters')).toBeGreaterThan(10n);
  expectAllListed(setting);
});

test('timer callbacks use a CPU that another one drains while it is idle', async () => {
  const setting = setUp();
  const timer = start(setting, 1, 'timer');
  await watchdog(setting.arena, 20, timer.ready);
  const drainer = start(setting, 2, 'drainer', { targets: [1], rounds: 2000 });
  const report = (await watchdog(setting.arena, 30, drainer.result)) as TokenReport;
  halt(setting);
  const { operations } = (await watchdog(setting.arena, 20, timer.result)) as TokenReport;
  expect(report.drains).toEqual({ drained: 2000, unanswered: 0, gone: 0 });
  expect(statistic(setting.arena, 2, 'claims'), 'it was idle most of the time').toBeGreaterThan(
    1000n,
  );
  expect(operations, 'the timer got its turns').toBeGreaterThan(20);
  expectAllListed(setting);
});

test('busy, blocked, idle and offline CPUs are drained; a deaf one is reported within the bound', async () => {
  const setting = setUp();
  const { arena } = setting;
  const roles: TokenRole[] = ['busy', 'blocked', 'timer', 'offline', 'deaf'];
  const targets = roles.map((_role, index) => index + 1);
  const others = roles.map((role, index) => start(setting, index + 1, role));
  await watchdog(arena, 20, allReady(others));
  const drainer = start(setting, 7, 'drainer', { targets, rounds: 3, timeoutMs: 300 });
  const report = (await watchdog(arena, 30, drainer.result)) as TokenReport;
  const thrice = (outcome: string): string[] => [outcome, outcome, outcome];
  expect(report.byTarget).toEqual({
    1: thrice('drained'),
    2: thrice('drained'),
    3: thrice('drained'),
    4: thrice('drained'),
    5: thrice('unanswered'),
  });
  expect(report.longestDrainMs).toBeGreaterThanOrEqual(299);
  expect(report.longestDrainMs, 'bound 300 ms, on a loaded machine').toBeLessThan(1500);
  expect(statistic(arena, 1, 'answers')).toBeGreaterThanOrEqual(3n);
  halt(setting);
  const live = others.filter((_worker, index) => roles[index] !== 'offline');
  await watchdog(arena, 20, allResults(live));
  expect(statistic(arena, 5, 'answers'), 'the deaf one answered when it could').toBeGreaterThan(0n);
  expectAllListed(setting);
});

test('two CPUs that drain each other do not starve', async () => {
  const setting = setUp();
  const workers = [
    start(setting, 1, 'drainer', { targets: [2], rounds: 1500, timeoutMs: 2000 }),
    start(setting, 2, 'drainer', { targets: [1], rounds: 1500, timeoutMs: 2000 }),
  ];
  const reports = await watchdog(setting.arena, 30, allResults<TokenReport>(workers));
  for (const report of reports) {
    expect(report.drains).toEqual({ drained: 1500, unanswered: 0, gone: 0 });
  }
  expectAllListed(setting);
});
