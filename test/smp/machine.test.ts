/** A machine on real workers: boot, tasks, snapshots, boot errors, shutdown. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import { Arena, ArgumentError, claimCpu, CpuRecord, releaseCpu } from '@umbuf/memory';
import {
  BootError,
  describeCpus,
  Machine,
  MachineStateError,
  type MachineOptions,
  TaskError,
  UnknownTaskError,
} from '@umbuf/smp';
import type { LockOrder, WhoAmI } from '../fixtures/smp-tasks.ts';
import { scratchPage } from '../support/workers.ts';

const TASKS = new URL('../dist/fixtures/smp-tasks.js', import.meta.url);
function moduleUrl(source: string): string {
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

/** Throws at once in CPU 1; in the others later, when the machine has given up. */
const SLOW_ATTACH = `export const attach = (cpu) => new Promise((_, reject) =>
  setTimeout(() => reject(Error('no')), cpu.number === 1 ? 0 : 60))`;
const machines: Machine[] = [];

async function boot(cpus: number, options: Partial<MachineOptions> = {}): Promise<Machine> {
  const arena = options.arena ?? Arena.create({ bytes: 1 << 20, cpus: cpus + 1 });
  const machine = await Machine.boot({ arena, cpus, tasks: [TASKS], ...options });
  machines.push(machine);
  return machine;
}

/** Kinds of all states: all 0 when every number is offline. */
function states(arena: Arena): number[] {
  return Array.from(
    { length: arena.cpus },
    (_, number) => Atomics.load(arena.words, arena.cpuTable + number * CpuRecord.words) & 0xf,
  );
}

afterEach(async () => {
  await Promise.all(machines.splice(0).map((machine) => machine.shutdown(200)));
});

test('four CPUs boot with distinct numbers, attach once, and get their own arguments', async () => {
  const machine = await boot(4);
  const results = await machine.run<string, WhoAmI>('whoAmI', (index) => `argument ${index}`);
  expect(results).toEqual(
    [0, 1, 2, 3].map((index) => ({
      number: machine.numbers[index],
      incarnation: 1,
      index,
      cpus: 4,
      argument: `argument ${index}`,
      attached: [machine.numbers[index]],
    })),
  );
  expect(new Set([...machine.numbers, machine.cpu!.number]).size).toBe(5);
  expect(machine.cpu!.mayBlock).toBe(false);
});

test('a task runs on all CPUs at once: each waits in it for all the others', async () => {
  const machine = await boot(4);
  const word = scratchPage(machine.cpu!);
  expect(await machine.run('meet', () => word)).toEqual([true, true, true, true]);
});

test('a task that throws is a TaskError that names it, and its CPU goes on', async () => {
  const machine = await boot(2);
  const failure = await machine
    .runOn(1, 'throwLater', 'too far')
    .catch((error: unknown) => error as TaskError);
  expect(failure).toBeInstanceOf(TaskError);
  expect(failure).toMatchObject({ task: 'throwLater', cpu: machine.numbers[1] });
  expect((failure as TaskError).cause).toMatchObject({ name: 'RangeError', message: 'too far' });
  const all = await machine.runSettled('throwLater', () => 'each');
  expect(all.map((outcome) => outcome.status)).toEqual(['rejected', 'rejected']);
  expect(await machine.runOn(1, 'whoAmI')).toMatchObject({ incarnation: 1 });
  expect(machine.deaths).toBe(0);
});

test('an unknown task and a bad index are typed errors, before any CPU begins', async () => {
  const machine = await boot(1);
  await expect(machine.run('nothing')).rejects.toThrow(UnknownTaskError);
  await expect(machine.runOn(1, 'whoAmI')).rejects.toThrow(ArgumentError);
  await expect(machine.kill(17)).rejects.toThrow(ArgumentError);
});

test('idle CPUs answer a snapshot; of one asleep for a mutex the shared words tell', async () => {
  const machine = await boot(2);
  const idle = await machine.snapshot(5000);
  for (const cpu of idle) {
    expect(cpu.worker).toMatchObject({ running: 0 });
    expect(cpu.worker!.heapUsed).toBeGreaterThan(0);
    expect(cpu.online).toBe(true);
  }
  const progress = scratchPage(machine.cpu!);
  const order: LockOrder = { lock: progress + 32, progress, holdMs: Number.POSITIVE_INFINITY };
  const { words } = machine.cpu!;
  const holder = machine.runOn(0, 'hold', order);
  await expect.poll(() => Atomics.load(words, progress)).toBe(2);
  const waiter = machine.runOn(1, 'hold', { ...order, holdMs: 0 });
  const owner = `CPU ${machine.numbers[0]} (incarnation 1)`;
  await expect
    .poll(async () => (await machine.snapshot(20))[1]!.waitsFor)
    .toEqual({ mutex: order.lock * 4, owner });
  const [held, waiting] = await machine.snapshot(20);
  expect(held!.worker).toBeUndefined();
  expect(held!.waitsFor).toBeUndefined();
  expect(held!.hand.map((slot) => slot.name)).toEqual(['lock']);
  await expect.poll(() => describeCpus(machine.arena)).toContain('lockSleep');
  expect(describeCpus(machine.arena)).toContain(`waits for mutex ${order.lock * 4} of ${owner}`);
  expect(waiting!.worker).toBeUndefined();
  Atomics.store(words, progress + 1, 1);
  Atomics.notify(words, progress + 1);
  await Promise.all([holder, waiter]);
});

test.each([
  ['a module that does not exist', /Cannot find module/, ['file:///nowhere/tasks.js']],
  ['two modules that export the same task', /is exported by/, [TASKS, `${TASKS.href}?again`]],
  [
    'an attach that throws',
    /Error: no/,
    [moduleUrl("export function attach() { throw Error('no'); }")],
  ],
  ['an attach that throws while the next CPU still boots', /Error: no/, [moduleUrl(SLOW_ATTACH)]],
  ['a module that ends its thread', /exit with code 3/, [moduleUrl('process.exit(3)')]],
])('%s is a BootError, and nothing is left', async (_name, why, tasks) => {
  const arena = Arena.create({ bytes: 1 << 20, cpus: 3 });
  const failure = await Machine.boot({ arena, cpus: 2, tasks }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(BootError);
  expect((failure as BootError).message).toMatch(why);
  expect((failure as BootError).message).not.toContain('; then');
  expect(states(arena)).toEqual([0, 0, 0]);
});

test('too many CPUs, and a main CPU that may block, are ArgumentErrors', async () => {
  const arena = Arena.create({ bytes: 1 << 20, cpus: 2 });
  await expect(Machine.boot({ arena, cpus: 2 })).rejects.toThrow(ArgumentError);
  await expect(Machine.boot({ arena, cpus: 0 })).rejects.toThrow(ArgumentError);
  const cpu = claimCpu(arena);
  await expect(Machine.boot({ arena, cpus: 1, mainCpu: cpu })).rejects.toThrow(ArgumentError);
  releaseCpu(cpu);
  expect(states(arena)).toEqual([0, 0]);
});

test('a main CPU that was given is used, and kept at shutdown', async () => {
  const arena = Arena.create({ bytes: 1 << 20, cpus: 2 });
  const cpu = claimCpu(arena, { mayBlock: false });
  const machine = await boot(1, { arena, mainCpu: cpu });
  expect(machine.cpu).toBe(cpu);
  await machine.shutdown();
  expect(cpu.online).toBe(true);
});

test('shutdown waits for running tasks, releases every number, and ends the machine', async () => {
  const machine = await boot(2);
  const { arena } = machine;
  const progress = scratchPage(machine.cpu!);
  const order: LockOrder = { lock: progress + 32, progress, holdMs: 150 };
  const running = machine.run<LockOrder, number>('hold', () => order);
  await expect.poll(() => Atomics.load(arena.words, progress)).toBeGreaterThan(0);
  await machine.shutdown();
  expect((await running).length).toBe(2);
  expect(states(arena)).toEqual([0, 0, 0]);
  expect(machine.deaths).toBe(0);
  await expect(machine.run('whoAmI')).rejects.toThrow(MachineStateError);
  await machine.shutdown();
});

test('a hung CPU is terminated by shutdown after its bound, and recovered', async () => {
  const machine = await boot(2);
  const { arena } = machine;
  const word = scratchPage(machine.cpu!);
  const hung = machine.runOn(0, 'spinForEver', word).catch((error) => error);
  await expect.poll(() => Atomics.load(arena.words, word)).toBeGreaterThan(0);
  const from = performance.now();
  await machine.shutdown(100);
  expect(performance.now() - from).toBeLessThan(3000);
  expect(await hung).toMatchObject({ name: 'CpuDiedError' });
  expect(states(arena)).toEqual([0, 0, 0]);
});

test('a process ends by itself after shutdown, with dead and hung CPUs behind it', async () => {
  const child = fileURLToPath(new URL('../dist/fixtures/smp-child.js', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [child], { timeout: 20_000 });
  expect(JSON.parse(stdout)).toEqual({ states: [0, 0, 0, 0], left: [] });
});
