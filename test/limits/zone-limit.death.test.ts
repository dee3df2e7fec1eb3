/**
 * Users of limited zones who are killed: asleep, granted, on their way to the keg or back. What they
 * held is freed from their ledger; then everybody goes on, and no unit is lost or counted twice.
 */
import { Arena, claimCpu, markDead } from '@umbuf/memory';
import { fsck, M_NOWAIT, Uma, type Zone } from '@umbuf/uma';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ZoneLimitWorkerData } from '../fixtures/zone-limit-worker.ts';
import { randomFrom } from '../fixtures/random.ts';
import {
  Board,
  BOARD_BYTES,
  CPUS,
  HELD,
  ledgerAt,
  limitedZones,
  openLimitedZones,
} from '../support/limited-zones.ts';
import {
  allReady,
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

const SEED = testSeed(0xd1e);
const SECONDS = 30;
const ROUNDS = Math.max(6, Math.round((6 * stressMs) / 2000));
const numbers = [1, 2, 3, 4];
const TIGHT = 2;

let arena: Arena;
let uma: Uma;
let zones: Zone[];
let board: Int32Array<SharedArrayBuffer>;
let life = 0;

function setUp(level: 'none' | 'checks'): void {
  arena = Arena.create({ bytes: 2 << 20, cpus: CPUS, level });
  uma = Uma.attach(claimCpu(arena, { number: 0, mayBlock: false }));
  zones = openLimitedZones(uma);
  board = new Int32Array(new SharedArrayBuffer(BOARD_BYTES));
}

beforeEach(() => setUp('checks'));
afterEach(stopWorkers);

async function start(cpus: readonly number[], role: 'churn' | 'queue'): Promise<StartedWorker[]> {
  const data = cpus.map((cpu): ZoneLimitWorkerData => {
    const seed = SEED + life++;
    return { arena: arena.handle(), cpu, seed, role, board, sum: false };
  });
  const started = startWorkers('zone-limit-worker', data);
  await watchdog(arena, SECONDS, allReady(started));
  return started;
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + SECONDS * 1000;
  while (!condition()) {
    if (performance.now() > deadline) {
      throw new Error(`no ${what}, seed ${SEED}; fsck: ${fsck(uma).violations.join('; ')}`);
    }
    await sleep(1);
  }
}

/** The dead user's items, from his ledger. */
function freeHeld(cpu: number): void {
  for (const [index, zone] of zones.entries()) {
    for (let at = ledgerAt(cpu, index); at < ledgerAt(cpu, index) + HELD; at++) {
      zone.free(board[at]!);
      board[at] = 0;
    }
  }
}

test.each(['none', 'checks'] as const)(
  `killed at random moments, level %s (seed ${SEED})`,
  async (level) => {
    setUp(level);
    const random = randomFrom(SEED);
    const crew = new Map<number, StartedWorker>();
    const hire = async (cpus: readonly number[]): Promise<void> => {
      const started = await start(cpus, 'churn');
      started.forEach((worker, index) => crew.set(cpus[index]!, worker));
    };
    let deaths = 0;
    const lost = zones.map(() => 0);
    await hire(numbers);
    for (let round = 0; round < ROUNDS; round++) {
      await sleep(random(10));
      const victims = numbers.filter(() => random(3) === 0);
      if (victims.length === 0) victims.push(numbers[random(numbers.length)]!);
      const dead = victims.map((cpu) => crew.get(cpu)!);
      await Promise.all(dead.map(({ worker }) => worker.terminate()));
      await Promise.all(dead.map(({ exited }) => exited));
      for (const { cpu, incarnation } of dead) markDead(uma.cpu, cpu!, incarnation!);
      for (const { cpu, incarnation } of dead) {
        expect(await recoverUntilDone(uma.cpu, cpu!, incarnation!)).toBe('recovered');
        freeHeld(cpu!);
        Atomics.store(board, Board.parked + cpu!, 0);
        deaths++;
      }
      // The others free what they have and stop, those asleep for the limit included.
      const where = `round ${round}, ${deaths} deaths, seed ${SEED}`;
      const living = numbers.filter((cpu) => !victims.includes(cpu));
      Atomics.store(board, Board.pause, 1);
      await until(`parking in ${where}`, () =>
        living.every((cpu) => Atomics.load(board, Board.parked + cpu) === 1),
      );
      await sleep(0);
      expect(fsck(uma).violations, where).toEqual([]);
      for (const [index, zone] of zones.entries()) {
        const { sleepers, items, max } = zone.limitStatistics();
        expect(sleepers, where).toBe(0);
        expect(items, where).toBeLessThanOrEqual(max);
        // What a user had not noted when he died is lost; here its unit is given back.
        const live = zone.getCur();
        expect(live, `${zone.name}, ${where}`).toBeGreaterThanOrEqual(lost[index]!);
        const more = live - lost[index]!;
        expect(more, `${zone.name}, ${where}`).toBeLessThanOrEqual(victims.length);
        lost[index] = live;
        if (more > 0) zone.setMax(limitedZones[index]!.max + live);
      }
      Atomics.store(board, Board.pause, 0);
      Atomics.notify(board, Board.pause);
      await hire(victims);
    }
    // Everybody still gets what he waits for.
    const steps = numbers.map((cpu) => Atomics.load(board, Board.steps + cpu));
    await until('progress', () =>
      numbers.every((cpu, index) => Atomics.load(board, Board.steps + cpu) > steps[index]! + 20),
    );
    Atomics.store(board, Board.stop, 1);
    await watchdog(arena, SECONDS, Promise.all([...crew.values()].map(({ exited }) => exited)));
    expect(fsck(uma).violations).toEqual([]);
    expect(zones.map((zone) => zone.getCur())).toEqual(lost);
    expect(lost.reduce((sum, items) => sum + items, 0)).toBeLessThanOrEqual(deaths);
  },
);

test('killed asleep or just granted, they leave place and unit to the next', async () => {
  for (let round = 0; round < 4; round++) {
    setUp('checks');
    const target = zones[TIGHT]!;
    const [first, second] = await start([1, 2], 'queue');
    const items = [1, 2, 3].map(() => target.alloc(M_NOWAIT));
    for (const [ahead, member] of [first!, second!].entries()) {
      member.worker.postMessage(TIGHT);
      await until('registration', () => target.limitStatistics().sleepers === ahead + 1);
    }
    // Even rounds kill a sleeper; odd ones race the grant, which may have come to an item by then.
    if (round % 2 === 1) target.free(items.pop()!);
    expect(await terminateAndRecover(uma.cpu, first!)).toBe('recovered');
    if (round % 2 === 0) target.free(items.pop()!);
    for (let turn = 0; turn < 200 && second!.notes.length === 0; turn++) await sleep(1);
    if (second!.notes.length === 0) {
      // Then the dead had the item: its user is gone, and its unit with it.
      expect(target.getCur()).toBe(3);
      target.setMax(4);
    }
    await until('grant of the second', () => second!.notes.length === 1);
    Atomics.store(board, Board.stop, 1);
    Atomics.notify(board, Board.stop);
    for (const item of items) target.free(item);
    const most = target.getMax() - 3;
    await until('frees', () => target.getCur() === most);
    await terminateAndRecover(uma.cpu, second!);
    expect(fsck(uma).violations, `round ${round}`).toEqual([]);
    expect(target.limitStatistics()).toMatchObject({ sleepers: 0, items: most });
  }
});
