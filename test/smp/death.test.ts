/** CPUs that die in every way: recovered once, replaced with the next incarnation, nothing stalls. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { Arena, CpuRecord, lockMutex, STATE_KIND_MASK, unlockMutex } from '@umbuf/memory';
import {
  CpuDiedError,
  type Death,
  Machine,
  type MachineOptions,
  MachineStateError,
  RecoveryIncompleteError,
} from '@umbuf/smp';
import type { LockOrder, WhoAmI } from '../fixtures/smp-tasks.ts';
import { scratchPage } from '../support/workers.ts';

const TASKS = new URL('../dist/fixtures/smp-tasks.js', import.meta.url);
const machines: Machine[] = [];

interface Watched {
  readonly machine: Machine;
  readonly deaths: Death[];
  /** CPU numbers whose caches a recovery emptied, in order. */
  readonly repaired: number[];
}

async function boot(cpus: number, options: Partial<MachineOptions> = {}): Promise<Watched> {
  const arena = Arena.create({ bytes: 1 << 20, cpus: cpus + 1 });
  const deaths: Death[] = [];
  const repaired: number[] = [];
  arena.hooks.cacheRepairs.push((_cpu, dead) => void repaired.push(dead));
  const machine = await Machine.boot({
    arena,
    cpus,
    tasks: [TASKS],
    onDeath: (death) => void deaths.push(death),
    ...options,
  });
  machines.push(machine);
  return { machine, deaths, repaired };
}

function kindOf(arena: Arena, number: number): number {
  return Atomics.load(arena.words, arena.cpuTable + number * CpuRecord.words) & STATE_KIND_MASK;
}

afterEach(async () => {
  await Promise.all(machines.splice(0).map((machine) => machine.shutdown(200).catch(() => {})));
});

test.each([
  ['crash', 'boom', { how: 'error', error: { name: 'RangeError', message: 'boom' } }],
  ['exitProcess', 7, { how: 'exit', exitCode: 7, error: undefined }],
])('death by %s: a CpuDiedError, one recovery, the same number again', async (task, given, end) => {
  const { machine, deaths, repaired } = await boot(2);
  const [first, second] = machine.numbers;
  const failure = await machine.runOn(0, task, given).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(CpuDiedError);
  expect(failure).toMatchObject({ cpu: first, incarnation: 1 });
  const results = await expect
    .poll(() => deaths.length)
    .toBe(1)
    .then(() => machine.run<undefined, WhoAmI>('whoAmI'));
  expect(results.map(({ number, incarnation }) => [number, incarnation])).toEqual([
    [first, 2],
    [second, 1],
  ]);
  expect(deaths).toMatchObject([
    { index: 0, number: first, incarnation: 1, recovery: 'recovered', ...end },
  ]);
  expect(repaired).toEqual([first]);
});

test('killed while asleep for a mutex: the holder and the other waiter go on', async () => {
  const { machine, repaired } = await boot(3);
  const { words } = machine.cpu!;
  const progress = scratchPage(machine.cpu!);
  const order: LockOrder = { lock: progress + 32, progress, holdMs: Number.POSITIVE_INFINITY };
  const holder = machine.runOn(0, 'hold', order);
  await expect.poll(() => Atomics.load(words, progress)).toBe(2);
  const killed = machine.runOn(1, 'hold', order).catch((error: unknown) => error);
  const waiter = machine.runOn<LockOrder, number>(2, 'hold', { ...order, holdMs: 0 });
  await expect.poll(() => Atomics.load(words, order.lock + 2)).toBe(2); // two asleep
  expect(await machine.kill(machine.numbers[1]!)).toMatchObject({
    how: 'killed',
    recovery: 'recovered',
  });
  expect(await killed).toBeInstanceOf(CpuDiedError);
  expect(Atomics.load(words, order.lock + 2)).toBe(1);
  Atomics.store(words, progress + 1, 1);
  Atomics.notify(words, progress + 1);
  expect(await holder).toBe(2);
  expect(await waiter).toBe(5);
  expect(repaired).toEqual([machine.numbers[1]]);
});

test('killed while it holds a mutex: its waiter gets it, and a replacement gets it again', async () => {
  const { machine } = await boot(2);
  const { words } = machine.cpu!;
  const progress = scratchPage(machine.cpu!);
  const order: LockOrder = { lock: progress + 32, progress, holdMs: Number.POSITIVE_INFINITY };
  const holder = machine.runOn(0, 'hold', order).catch((error: unknown) => error);
  await expect.poll(() => Atomics.load(words, progress)).toBe(2);
  const waiter = machine.runOn<LockOrder, number>(1, 'hold', { ...order, holdMs: 0 });
  await expect.poll(() => Atomics.load(words, order.lock + 2)).toBe(1);
  await machine.kill(machine.numbers[0]!);
  expect(await holder).toBeInstanceOf(CpuDiedError);
  expect(await waiter).toBe(4);
  expect(await machine.runOn(0, 'hold', { ...order, holdMs: 0 })).toBe(6);
});

test('all CPUs killed at once, three times: one recovery per incarnation, never two', async () => {
  const { machine, deaths, repaired } = await boot(4);
  const word = scratchPage(machine.cpu!);
  for (let round = 0; round < 3; round++) {
    await machine.ready();
    const before = Atomics.load(machine.cpu!.words, word);
    const spinning = machine.runSettled('spinForEver', () => word);
    await expect.poll(() => Atomics.load(machine.cpu!.words, word)).not.toBe(before);
    const killed = await Promise.all(machine.numbers.map((number) => machine.kill(number)));
    expect(killed.map((death) => death.recovery)).toEqual(Array(4).fill('recovered'));
    expect((await spinning).map((outcome) => outcome.status)).toEqual(Array(4).fill('rejected'));
  }
  await machine.ready();
  expect(machine.incarnations).toEqual([4, 4, 4, 4]);
  const lives = deaths.map((death) => `${death.number}.${death.incarnation}`);
  expect(new Set(lives).size).toBe(12);
  expect(machine.deaths).toBe(12);
  for (const number of machine.numbers) {
    expect(repaired.filter((each) => each === number).length).toBe(3);
  }
  expect((await machine.run('whoAmI')).length).toBe(4);
});

test('a recovery that meets a busy lock waits for it without blocking the main thread', async () => {
  const { machine, deaths } = await boot(2);
  const { arena } = machine;
  const progress = scratchPage(machine.cpu!);
  const lock = progress + 32;
  let attempts = 0;
  arena.hooks.cacheRepairs.push((cpu) => {
    attempts++;
    lockMutex(cpu, lock);
    unlockMutex(cpu, lock);
  });
  const order: LockOrder = { lock, progress, holdMs: Number.POSITIVE_INFINITY };
  const holder = machine.runOn(0, 'hold', order);
  await expect.poll(() => Atomics.load(arena.words, progress)).toBe(2);
  const killed = machine.kill(machine.numbers[1]!);
  await expect.poll(() => attempts).toBeGreaterThan(2);
  expect(deaths).toEqual([]);
  const from = performance.now();
  await sleep(1);
  expect(performance.now() - from).toBeLessThan(500);
  Atomics.store(arena.words, progress + 1, 1);
  Atomics.notify(arena.words, progress + 1);
  expect(await killed).toMatchObject({ recovery: 'recovered' });
  expect(await holder).toBe(2);
});

test('without a repair for what the dead held, the machine says so and does not go on', async () => {
  const { machine, deaths } = await boot(2);
  const number = machine.numbers[0]!;
  await machine.runOn(0, 'dieWithUnknownHand', 61).catch(() => {});
  await expect(machine.run('whoAmI')).rejects.toThrow(/kind 61 has no repair/);
  await expect(machine.ready()).rejects.toThrow(MachineStateError);
  expect(deaths).toMatchObject([{ recovery: 'failed', failure: { name: 'Panic' } }]);
  const failure = await machine.shutdown().catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(RecoveryIncompleteError);
  expect(failure).toMatchObject({ cpus: [number], causes: [{ name: 'Panic' }] });
});

test('with replace: false the dead are recovered and their numbers stay offline', async () => {
  const { machine } = await boot(2, { replace: false });
  expect(await machine.kill(machine.numbers[1]!)).toMatchObject({ recovery: 'recovered' });
  expect(kindOf(machine.arena, machine.numbers[1]!)).toBe(0);
  await expect(machine.ready()).rejects.toThrow(MachineStateError);
});

test('with mainCpu: false the main thread takes a number only for a recovery, attached once', async () => {
  const attached: number[] = [];
  const { machine } = await boot(1, {
    mainCpu: false,
    onAttach: (cpu) => void attached.push(cpu.number),
  });
  expect(machine.cpu).toBeUndefined();
  await machine.kill(machine.numbers[0]!);
  await machine.ready();
  await machine.kill(machine.numbers[0]!);
  expect(attached).toEqual([machine.cpu!.number]);
  await machine.shutdown();
  expect(kindOf(machine.arena, attached[0]!)).toBe(0);
});
