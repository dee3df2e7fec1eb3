/**
 * Waiting for units without blocking the thread: for CPUs with `mayBlock: false`, and for threads
 * that serve other requests meanwhile. The cell protocol is that of limit-sleep.ts; what waits is
 * a promise of `Atomics.waitAsync`.
 *
 * No hand slot is held over the wait (two jobs of one thread would interleave on the stack): a
 * pending request owns its cell and nothing else, and the cell keeps a grant until the job that
 * takes it. Hence the `take` callback: grant, hand slot and use lie in one job. While a request
 * is pending a referenced timer runs, or Node would exit under it. Shared words are touched only
 * in the plain functions that are called from here.
 */

import type { Cpu } from '../cpu/cpu.ts';
import { HandKind, reserveSlot } from '../cpu/hand-stack.ts';
import { inJob } from '../cpu/job.ts';
import { HAND_SLOT_WORDS } from '../layout/records.ts';
import { CellState } from './wait-cell.ts';
import { releaseUnits } from './limit.ts';
import {
  abandonCell,
  BUSY_RETRY_MS,
  cellWaits,
  reapCells,
  registerSleeper,
  SleepFailure,
  takeGrant,
  withdrawSleeper,
} from './limit-sleep.ts';
import { LockBusyError } from './mutex.ts';

/** The longest delay that timers take. */
const TIMER_MAX = 2 ** 31 - 1;
export interface AsyncSleepOptions {
  /** Milliseconds until the request gives up; for ever when absent. */
  readonly timeoutMs?: number;
  /** Aborts the request: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * Brings cached units back; runs after the request has registered, again a millisecond later when
   * it returned false, and whenever the request is woken without units (see sleepForUnits).
   */
  readonly flush?: () => unknown;
}

/** `units` below 1 are a `SleepFailure`, and `value` is undefined then. */
export interface AsyncSleepResult<T> {
  readonly units: number;
  readonly value: T | undefined;
}

/**
 * Waits until up to `n` (>= 1) units are granted, in order of arrival among blocking and
 * asynchronous requests, then calls `take(slot, units)` with the units in hand slot `slot`, and
 * resolves with what it returned. `take` runs synchronously; units that it leaves in the slot go
 * back when it returns or throws. Rejects with what `take` or `flush` throws, and with the
 * signal's reason. The CPU must not be released while a request is pending: what it
 * was granted stays in its cell then, until `recoverLimit` is called for it.
 */
export async function sleepForUnitsAsync<T>(
  cpu: Cpu,
  limit: number,
  n: number,
  take: (slot: number, units: number) => T,
  options: AsyncSleepOptions = {},
): Promise<AsyncSleepResult<T>> {
  const { signal, timeoutMs = Infinity, flush } = options;
  const deadline = performance.now() + timeoutMs;
  signal?.throwIfAborted();
  let cell = tryRegister(cpu, limit, n);
  while (cell === undefined) {
    await pause(BUSY_RETRY_MS);
    signal?.throwIfAborted();
    if (performance.now() >= deadline) return { units: SleepFailure.timeout, value: undefined };
    cell = tryRegister(cpu, limit, n);
  }
  if (cell === 0) return { units: SleepFailure.tableFull, value: undefined };
  let complete = flushFor(cpu, limit, cell, flush);
  // Ends with a grant, an abort or the deadline; other wake-ups only look again.
  while (cellWaits(cpu, cell)) {
    if (signal?.aborted) break;
    if (performance.now() >= deadline) {
      if (!giveUp(cpu, limit, cell)) break; // granted at the last moment: ours
      return { units: SleepFailure.timeout, value: undefined };
    }
    await cellChange(cpu, cell, complete ? deadline : performance.now() + BUSY_RETRY_MS, signal);
    if (cellWaits(cpu, cell)) complete = flushFor(cpu, limit, cell, flush);
  }
  if (signal?.aborted) {
    withdraw(cpu, limit, cell);
    throw signal.reason;
  }
  return finish(cpu, limit, cell, take);
}

/** Registers; undefined when this thread may not block and the lock is busy. */
function tryRegister(cpu: Cpu, limit: number, n: number): number | undefined {
  return inJob(cpu, () => {
    try {
      return registerSleeper(cpu, limit, n);
    } catch (error) {
      if (error instanceof LockBusyError) return undefined;
      throw error;
    }
  });
}

/** Flushes; false when something was in the way. What it throws ends the request. */
function flushFor(
  cpu: Cpu,
  limit: number,
  cell: number,
  flush: (() => unknown) | undefined,
): boolean {
  if (flush === undefined) return true;
  return inJob(cpu, () => {
    try {
      return flush() !== false;
    } catch (error) {
      withdraw(cpu, limit, cell);
      throw error;
    }
  });
}

/** Takes the grant, lets the caller use it, and returns what he left. */
function finish<T>(
  cpu: Cpu,
  limit: number,
  cell: number,
  take: (slot: number, units: number) => T,
): AsyncSleepResult<T> {
  return inJob(cpu, () => {
    const slot = reserveSlot(cpu);
    const units = takeGrant(cpu, limit, cell, slot);
    try {
      return { units, value: take(slot, units) };
    } finally {
      // Not for deaths, which never run it, but for a `take` that throws or takes less.
      returnRest(cpu, limit, slot);
    }
  });
}

function returnRest(cpu: Cpu, limit: number, slot: number): void {
  const { words, hand, handTop } = cpu;
  if (words[slot] === HandKind.units) releaseUnits(cpu, limit, words[slot + 2]!, slot);
  const height = (slot - hand) / HAND_SLOT_WORDS;
  let top = words[handTop]!;
  // On a CPU that may not block a busy lock may have left filled slots above ours: they stay, and
  // ours, void, below them, until the CPU leaves.
  while (top > height && words[hand + (top - 1) * HAND_SLOT_WORDS] === HandKind.none) top--;
  words[handTop] = top;
}

function withdraw(cpu: Cpu, limit: number, cell: number): void {
  inJob(cpu, () => {
    const slot = reserveSlot(cpu);
    withdrawSleeper(cpu, limit, cell, slot);
    returnRest(cpu, limit, slot);
  });
}

/** Abandons the cell; false when it was granted first. */
function giveUp(cpu: Cpu, limit: number, cell: number): boolean {
  return inJob(cpu, () => {
    if (!abandonCell(cpu, cell)) return false;
    reapCells(cpu, limit);
    return true;
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/**
 * Resolves when the cell's word was notified or is not waiting any more, when the deadline comes,
 * or on abort. The timer is what keeps Node alive: a pending `waitAsync` does not.
 */
function cellChange(
  cpu: Cpu,
  cell: number,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const left = Math.ceil(deadline - performance.now());
    const timer = setTimeout(done, Math.min(Math.max(left, 0), TIMER_MAX));
    signal?.addEventListener('abort', done, { once: true });
    const woken = beginWait(cpu, cell);
    if (woken === undefined) done();
    else void woken.then(done);
  });
}

/** The promise of a wake-up, or undefined when the cell is not waiting any more. */
function beginWait(cpu: Cpu, cell: number): Promise<unknown> | undefined {
  const wait = Atomics.waitAsync(cpu.words, cell, CellState.waiting);
  return wait.async ? wait.value : undefined;
}
