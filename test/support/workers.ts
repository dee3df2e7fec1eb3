/**
 * Real workers for tests: start compiled fixtures, wait for what they report, kill and recover
 * them, and fail with a dump instead of hanging. Imported by `test/**` test files (never by a
 * fixture; the worker's side is fixture.ts).
 *
 *   const supervisor = claimCpu(arena, { number: 0, mayBlock: false });
 *   const workers = startWorkers('mutex-worker', [{ arena: arena.handle(), cpu: 1, seed: 7 }]);
 *   afterEach(stopWorkers);
 *   await watchdog(arena, 20, allReady(workers));
 *   expect(await terminateAndRecover(supervisor, workers[0])).toBe('recovered');
 *   const results = await watchdog(arena, 20, allResults(workers));
 *
 * - A fixture is `test/fixtures/<name>.ts`, compiled by `tsc -b test` to `test/dist/fixtures`.
 * - When a worker's data has `arena` and `cpu`, that number is its own: the test gives each number
 *   to one worker at a time, and only once it is offline. So the incarnation that the worker will
 *   take is known before it starts, also when it is killed before it could say so.
 * - Durations: `stressMs` is UMBUF_STRESS_SECONDS (default 2) in milliseconds. Seeds: UMBUF_SEED.
 */

import { Worker } from 'node:worker_threads';
import {
  type Arena,
  ArenaHeader,
  type ArenaHandle,
  type Cpu,
  CpuRecord,
  describeOwner,
  describeState,
  HAND_SLOT_WORDS,
  HandKind,
  PAGE_SIZE,
  recover,
  type RecoverResult,
  releaseSlot,
  reserveSlot,
  stateIncarnation,
  takePages,
} from '@umbuf/memory';

/** How long a stress test lasts, in milliseconds: UMBUF_STRESS_SECONDS, 2 s when absent. */
export const stressMs: number = Number(process.env['UMBUF_STRESS_SECONDS'] ?? 2) * 1000;

/** UMBUF_SEED, or the test's own seed; print it in the message of what fails. */
export function testSeed(fallback: number): number {
  return Number(process.env['UMBUF_SEED'] ?? fallback) | 0;
}

/** What every fixture that is a CPU gets; fixtures add their own fields. */
export interface CpuWorkerData {
  readonly arena: ArenaHandle;
  readonly cpu: number;
  readonly seed: number;
}

/** A message of fixture.ts to its test. */
export type WorkerMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'result'; readonly value: unknown }
  | { readonly kind: 'note'; readonly value: unknown };

export interface StartedWorker {
  readonly worker: Worker;
  /** `fixture#index`, for messages. */
  readonly name: string;
  /** Its CPU number and the incarnation that it takes; undefined for a fixture that is no CPU. */
  readonly cpu: number | undefined;
  readonly incarnation: number | undefined;
  /** Fulfilled by `ready()` in the fixture; rejected when the worker ends before. */
  readonly ready: Promise<void>;
  /** The value of `result(value)` in the fixture; rejected when the worker ends without. */
  readonly result: Promise<unknown>;
  /** Exit code, after the thread's exit event: only now may it be recovered. */
  readonly exited: Promise<number>;
  /** Values of `note(value)`, in order. */
  readonly notes: unknown[];
}

const running = new Set<StartedWorker>();

/** Starts one worker per element of `data`, which becomes its `workerData`. */
export function startWorkers<Data extends object>(
  fixture: string,
  data: readonly Data[],
): StartedWorker[] {
  return data.map((workerData, index) => startWorker(fixture, workerData, index));
}

function startWorker(fixture: string, workerData: object, index: number): StartedWorker {
  const { arena, cpu } = workerData as Partial<CpuWorkerData>;
  const file = new URL(`../dist/fixtures/${fixture}.js`, import.meta.url);
  const incarnation =
    arena === undefined || cpu === undefined ? undefined : nextIncarnation(arena, cpu);
  const worker = new Worker(file, { workerData });
  const notes: unknown[] = [];
  const name = `${fixture}#${index}`;
  let failure: unknown;
  const exited = new Promise<number>((resolve) => worker.once('exit', resolve));
  worker.on('error', (error) => {
    failure = error;
  });
  const ready = new Promise<void>((resolve, reject) => {
    worker.on('message', (message: WorkerMessage) => {
      if (message.kind === 'ready') resolve();
      if (message.kind === 'note') notes.push(message.value);
    });
    void exited.then(() => reject(failure ?? new Error(`${name} ended before it was ready`)));
  });
  const result = new Promise<unknown>((resolve, reject) => {
    worker.on('message', (message: WorkerMessage) => {
      if (message.kind === 'result') resolve(message.value);
    });
    void exited.then(() => reject(failure ?? new Error(`${name} ended without a result`)));
  });
  // A killed worker has neither; only who awaits them shall see that.
  ready.catch(() => {});
  result.catch(() => {});
  const started = { worker, name, cpu, incarnation, ready, result, exited, notes };
  running.add(started);
  void exited.then(() => running.delete(started));
  return started;
}

/** The incarnation that the next thread with this number takes (the wrap is out of reach here). */
function nextIncarnation(arena: ArenaHandle, cpu: number): number {
  const { memory } = arena;
  const words = new Int32Array(memory instanceof WebAssembly.Memory ? memory.buffer : memory);
  const table = words[ArenaHeader.fields.cpuTable.at]! >> 2;
  return stateIncarnation(Atomics.load(words, table + cpu * CpuRecord.words)) + 1;
}

/** Terminates every worker that still runs; for `afterEach`. */
export async function stopWorkers(): Promise<void> {
  await Promise.all([...running].map((started) => started.worker.terminate()));
}

export async function allReady(workers: readonly StartedWorker[]): Promise<void> {
  await Promise.all(workers.map((started) => started.ready));
}

export async function allResults<Result>(workers: readonly StartedWorker[]): Promise<Result[]> {
  return (await Promise.all(workers.map((started) => started.result))) as Result[];
}

export async function allExited(workers: readonly StartedWorker[]): Promise<void> {
  await Promise.all(workers.map((started) => started.exited));
}

/** Waits for a thread's exit event; resolves with its exit code. */
export async function waitForExit(started: StartedWorker): Promise<number> {
  return started.exited;
}

/** Terminates one worker, waits for its exit event, then recovers its CPU as `supervisor`. */
export async function terminateAndRecover(
  supervisor: Cpu,
  started: StartedWorker,
): Promise<RecoverResult> {
  await started.worker.terminate();
  await started.exited;
  if (started.cpu === undefined) throw new Error(`${started.name} is no CPU`);
  return recoverUntilDone(supervisor, started.cpu, started.incarnation!);
}

/** `recover`, again while a lock that it needs is busy; throws after 5 s of that. */
export async function recoverUntilDone(
  supervisor: Cpu,
  cpu: number,
  incarnation: number,
): Promise<RecoverResult> {
  const deadline = performance.now() + 5000;
  for (;;) {
    const outcome = recover(supervisor, cpu, incarnation);
    if (outcome !== 'busy') return outcome;
    if (performance.now() > deadline) {
      throw new Error(`recovery of CPU ${cpu} stays busy\n${dumpCpus(supervisor.arena)}`);
    }
    await sleep(1);
  }
}

/** `work`, or an error with the state of all CPUs when it takes longer than `seconds`. */
export async function watchdog<Value>(
  arena: Arena,
  seconds: number,
  work: Promise<Value>,
): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const bite = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`watchdog: not done after ${seconds} s\n${dumpCpus(arena)}`));
    }, seconds * 1000);
  });
  try {
    return await Promise.race([work, bite]);
  } finally {
    clearTimeout(timer);
  }
}

/** A zeroed page of the test's own, as a word index: stop words, counters, mutexes. */
export function scratchPage(cpu: Cpu): number {
  const slot = reserveSlot(cpu);
  const address = takePages(cpu, 1, 0, slot);
  cpu.words[slot] = HandKind.none;
  releaseSlot(cpu, slot);
  if (address === 0) throw new Error('no page for the test');
  cpu.kernels.zero(address, PAGE_SIZE);
  return address >> 2;
}

/** Operations that CPU `number` has counted in its record, over all its incarnations. */
export function progressOf(arena: Arena, number: number): bigint {
  const at = arena.cpuTable + number * CpuRecord.words + CpuRecord.fields.progress.at;
  return Atomics.load(arena.longs, at >> 1);
}

/** Resolves when each of these CPUs has gone on; give it to `watchdog`, which fails a stall. */
export async function allGoOn(arena: Arena, numbers: readonly number[]): Promise<void> {
  const before = numbers.map((number) => progressOf(arena, number));
  while (numbers.some((number, index) => progressOf(arena, number) === before[index])) {
    await sleep(1);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** State, requests, counters, hand slots and the locks in them, of every CPU ever online. */
export function dumpCpus(arena: Arena): string {
  const { words, longs } = arena;
  const C = CpuRecord.fields;
  const lines: string[] = [];
  for (let cpu = 0; cpu < arena.cpus; cpu++) {
    const base = arena.cpuTable + cpu * CpuRecord.words;
    const state = Atomics.load(words, base + C.state.at);
    if (state === 0) continue;
    const word = (at: number): number => Atomics.load(words, base + at);
    const long = (at: number): bigint => Atomics.load(longs, (base + at) >> 1);
    lines.push(
      `CPU ${cpu}: ${describeState(state)}, entered ${word(C.entered.at)}, ` +
        `posted ${word(C.posted.at)} answered ${word(C.answered.at)}, ` +
        `enters ${long(C.enters.at)} answers ${long(C.answers.at)} progress ${long(C.progress.at)}`,
    );
    for (let index = 0; index < word(C.handTop.at); index++) {
      const slot = base + C.hand.at + index * HAND_SLOT_WORDS;
      const [kind, value, detail] = [0, 1, 2].map((at) => Atomics.load(words, slot + at));
      const owner =
        kind === HandKind.lock
          ? `, held by ${describeOwner(Atomics.load(words, value!))} waiting ${Atomics.load(words, value! + 2)}`
          : '';
      lines.push(`  hand ${index}: kind ${kind} value ${value} detail ${detail}${owner}`);
    }
  }
  return lines.join('\n');
}
