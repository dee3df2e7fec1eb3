/**
 * The worker's side of workers.ts: what a fixture in `test/fixtures` imports to become a CPU and
 * to report. Compiled with the fixtures; no test file imports it.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { Arena, claimCpu, type Cpu, type CpuOptions } from '@umbuf/memory';
import type { CpuWorkerData, WorkerMessage } from './workers.ts';

/** This worker's data, as the fixture's own type. */
export function fixtureData<Data>(): Data {
  return workerData as Data;
}

/** Attaches the arena of the worker's data and takes the CPU number given there. */
export function goOnline(options: CpuOptions = {}): Cpu {
  const data = workerData as CpuWorkerData;
  return claimCpu(Arena.attach(data.arena), { number: data.cpu, ...options });
}

/** Tells the test that the worker is at work. */
export function ready(): void {
  post({ kind: 'ready' });
}

/** The worker's result; the worker may go on or end after it. */
export function result(value: unknown): void {
  post({ kind: 'result', value });
}

/** Something the test wants to read while the worker runs. */
export function note(value: unknown): void {
  post({ kind: 'note', value });
}

function post(message: WorkerMessage): void {
  parentPort!.postMessage(message);
}
