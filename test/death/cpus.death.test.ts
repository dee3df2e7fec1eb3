/**
 * Threads terminated at random moments while they hold locks, pages, caches and tokens: each is
 * recovered with the incarnation that died, a replacement takes its number, the others go on, and
 * at the end everything is where it belongs. 200 deaths and more over these tests.
 */
import { afterEach, expect, test } from 'vitest';
import {
  Arena,
  checkPagePool,
  claimCpu,
  type Cpu,
  freePageCount,
  largestFreeRun,
  markDead,
  mutexOwner,
  MutexRecord,
  recover,
} from '@umbuf/memory';
import { randomFrom } from '../fixtures/random.ts';
import type { MutexWorkerData } from '../fixtures/mutex-worker.ts';
import type { PageWorkerData } from '../fixtures/page-worker.ts';
import type { TokenWorkerData } from '../fixtures/token-worker.ts';
import { auditTokens, createTokenPool, listedTokens } from '../support/token-pool.ts';
import {
  allGoOn,
  allReady,
  allResults,
  type CpuWorkerData,
  progressOf,
  recoverUntilDone,
  scratchPage,
  sleep,
  type StartedWorker,
  startWorkers,
  stopWorkers,
  stressMs,
  terminateAndRecover,
  testSeed,
  watchdog,
} from '../support/workers.ts';

const SEED = testSeed(0xdead);
const CPUS = [1, 2, 3, 4];
/** Deaths grow with UMBUF_STRESS_SECONDS. */
const scale = stressMs / 2000;

interface Setting {
  readonly arena: Arena;
  readonly supervisor: Cpu;
  readonly random: (bound: number) => number;
  readonly page: number;
}

function setUp(salt: number, domains = 1): Setting {
  const arena = Arena.create({ bytes: 2 << 20, cpus: 6, domains });
  const supervisor = claimCpu(arena, { number: 0, mayBlock: false });
  return { arena, supervisor, random: randomFrom(SEED + salt), page: scratchPage(supervisor) };
}

/**
 * Kills one of the workers `deaths` times, at a random moment, also before it is online. Between
 * its exit and its recovery `atDeath` sees the corpse. Every death is recovered exactly once, the
 * survivors must go on, and a replacement takes the number with the next incarnation.
 */
async function reap<Data extends CpuWorkerData>(
  setting: Setting,
  fixture: string,
  data: (cpu: number, life: number) => Data,
  deaths: number,
  atDeath: (victim: StartedWorker) => void = () => {},
): Promise<StartedWorker[]> {
  const { arena, supervisor, random } = setting;
  const start = (cpu: number, life: number): StartedWorker =>
    startWorkers(fixture, [data(cpu, life)])[0]!;
  const workers = CPUS.map((cpu) => start(cpu, 0));
  await watchdog(arena, 20, allReady(workers));
  for (let death = 1; death <= deaths; death++) {
    const index = random(workers.length);
    const victim = workers[index]!;
    // One in eight is killed while it starts: perhaps before it has a number.
    if (random(8) !== 0) await watchdog(arena, 20, victim.ready);
    await sleep(random(4));
    await victim.worker.terminate();
    atDeath(victim);
    const { cpu, incarnation } = victim as { cpu: number; incarnation: number };
    const online = Atomics.load(arena.words, arena.cpuTable + cpu * 256) >>> 12 === incarnation;
    const outcome = await recoverUntilDone(supervisor, cpu, incarnation);
    expect(outcome, `death ${death}, seed ${SEED}`).toBe(online ? 'recovered' : 'nothing');
    workers[index] = start(cpu, death);
    expect(recover(supervisor, cpu, incarnation), 'twice').toBe('nothing');
    if (death % 10 === 0) {
      await watchdog(arena, 20, allReady(workers));
      await watchdog(arena, 10, allGoOn(arena, CPUS));
    }
  }
  await watchdog(arena, 20, allReady(workers));
  return workers;
}

function halt({ arena }: Setting, stop: number): void {
  Atomics.store(arena.words, stop, 1);
  Atomics.notify(arena.words, stop);
}

afterEach(stopWorkers);

test(`holders and waiters of a mutex die; no increment is lost and nobody stalls (seed ${SEED})`, async () => {
  const setting = setUp(1);
  const { arena, page } = setting;
  const [lock, counter, stop] = [page, page + 64, page + 128];
  const died = { holding: 0, other: 0 };
  const workers = await reap<MutexWorkerData>(
    setting,
    'mutex-worker',
    (cpu, life) => ({
      arena: arena.handle(),
      cpu,
      seed: SEED + cpu + life * 8,
      lock,
      counter,
      stop,
      inside: 400,
      outside: 20,
    }),
    60 * scale,
    (victim) => {
      const held = mutexOwner(Atomics.load(arena.words, lock)) === victim.cpu;
      died[held ? 'holding' : 'other']++;
    },
  );
  halt(setting, stop);
  await watchdog(arena, 20, allResults(workers));
  expect(CPUS.reduce((sum, cpu) => sum + progressOf(arena, cpu), 0n)).toBe(
    arena.longs[counter >> 1],
  );
  expect(arena.words[lock]).toBe(0);
  expect(arena.words[lock + MutexRecord.fields.waiting.at], 'dead sleepers counted out').toBe(0);
  expect(died.holding, 'some must die with the lock').toBeGreaterThan(0);
  expect(died.other, 'some must die waiting').toBeGreaterThan(0);
});

test(`holders of pages die; all pages come back (seed ${SEED})`, async () => {
  const setting = setUp(2, 2);
  const { arena, supervisor, page: stop } = setting;
  const [free, largest] = [freePageCount(arena), largestFreeRun(supervisor)];
  let heldSomething = 0;
  const workers = await reap<PageWorkerData>(
    setting,
    'page-worker',
    (cpu, life) => ({ arena: arena.handle(), cpu, seed: SEED + cpu + life * 8, stop }),
    60 * scale,
    ({ cpu }) => {
      const hand = arena.cpuTable + cpu! * 256 + 36;
      for (let slot = 0; slot < 24; slot++) {
        if (arena.words[hand + slot * 4] === 2) return void heldSomething++;
      }
    },
  );
  halt(setting, stop);
  await watchdog(arena, 20, allResults(workers));
  for (const domain of [0, 1]) expect(checkPagePool(supervisor, domain)).toEqual([]);
  expect([freePageCount(arena), largestFreeRun(supervisor)]).toEqual([free, largest]);
  expect(heldSomething).toBeGreaterThan(20);
});

test(`users of per-CPU caches die while others drain them; no token is lost (seed ${SEED})`, async () => {
  const setting = setUp(3);
  const { arena, supervisor, page: stop } = setting;
  const pool = createTokenPool(supervisor, 60);
  const workers = await reap<TokenWorkerData>(
    setting,
    'token-worker',
    (cpu, life) => ({
      arena: arena.handle(),
      cpu,
      seed: SEED + cpu + life * 8,
      role: 'user',
      stop,
      targets: CPUS.filter((other) => other !== cpu),
      timeoutMs: 5,
      rounds: 0,
    }),
    80 * scale,
  );
  halt(setting, stop);
  await watchdog(arena, 20, allResults(workers));
  expect(auditTokens(arena, pool)).toEqual([]);
  expect(listedTokens(arena, pool)).toBe(60);
});

test(`two that die at once are marked, then recovered in either order (seed ${SEED})`, async () => {
  const setting = setUp(4);
  const { arena, supervisor, page: stop, random } = setting;
  const pool = createTokenPool(supervisor, 60);
  const data = (cpu: number, life: number): TokenWorkerData => ({
    arena: arena.handle(),
    cpu,
    seed: SEED + cpu + life * 8,
    role: 'user',
    stop,
    targets: CPUS.filter((other) => other !== cpu),
    timeoutMs: 5,
    rounds: 0,
  });
  for (let round = 0; round < 6 * scale; round++) {
    const workers = startWorkers(
      'token-worker',
      CPUS.map((cpu) => data(cpu, round)),
    );
    await watchdog(arena, 20, allReady(workers));
    await sleep(random(4));
    const pair = random(2) === 0 ? [0, 2] : [3, 1];
    const dead = pair.map((index) => workers[index]!);
    await Promise.all(dead.map(({ worker }) => worker.terminate()));
    for (const { cpu, incarnation } of dead) {
      expect(markDead(supervisor, cpu!, incarnation!)).toBe(true);
    }
    for (const { cpu, incarnation } of dead) {
      expect(await recoverUntilDone(supervisor, cpu!, incarnation!)).toBe('recovered');
    }
    const living = workers.filter((worker) => !dead.includes(worker));
    await watchdog(
      arena,
      10,
      allGoOn(
        arena,
        living.map(({ cpu }) => cpu!),
      ),
    );
    for (const worker of living) {
      expect(await terminateAndRecover(supervisor, worker)).toBe('recovered');
    }
    expect(auditTokens(arena, pool), `round ${round}`).toEqual([]);
    expect(listedTokens(arena, pool)).toBe(60);
  }
});
