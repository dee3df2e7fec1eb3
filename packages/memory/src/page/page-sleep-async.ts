/**
 * Waiting for pages without blocking the thread: for CPUs with `mayBlock: false`, and for threads that
 * serve other requests meanwhile. The steps are those of page-sleep.ts.
 *
 * A CPU has one cell for this, so the requests of one thread stand in a line of their own (a chain of
 * promises) and only the first of it in the queue of the pool. No hand slot is held over the wait: the
 * cell keeps the run until the job that takes it. While a request is pending a referenced timer runs,
 * or Node would exit under it.
 */

import type { Cpu } from '../cpu/cpu.ts';
import { releaseSlot, reserveSlot } from '../cpu/hand-stack.ts';
import { inJob } from '../cpu/job.ts';
import { LockBusyError } from '../errors.ts';
import {
  LOOK_MS,
  LOOK_MS_MAX,
  poolOf,
  returnPages,
  runAddress,
  withdrawFromPages,
} from './page-sleep.ts';
import {
  joinPageQueue,
  leavePageQueue,
  PageCell,
  pageCellWaits,
  PageWait,
  takeGrantedPages,
} from './page-wait.ts';

export interface AsyncPageOptions {
  /** Milliseconds until the request gives up; for ever when absent. */
  readonly timeoutMs?: number;
  /** Aborts the request: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Tries to bring pages back; true when they are not needed any more. Runs in the queue. */
  readonly look?: () => boolean;
}

/** How a wait ended; `value` is what `take` returned, and undefined unless `granted`. */
export interface AsyncPageResult<T> {
  readonly outcome: 'granted' | 'found' | 'timeout';
  readonly value: T | undefined;
}

/** The last request of each thread. */
const lines = new WeakMap<Cpu, Promise<unknown>>();

/**
 * Waits until a run of `pages` pages of `domain` is granted, then calls `take(slot)` with the run in
 * hand slot `slot` (kind `pages`), synchronously; a run that it leaves there goes back. Rejects with
 * what `take` or `look` throws and with the signal's reason. The CPU must not be released while a
 * request is pending.
 */
export async function sleepForPagesAsync<T>(
  cpu: Cpu,
  pages: number,
  domain: number,
  take: (slot: number, address: number) => T,
  options: AsyncPageOptions = {},
): Promise<AsyncPageResult<T>> {
  const before = lines.get(cpu) ?? Promise.resolve();
  let done = (): void => {};
  const mine = new Promise<void>((resolve) => {
    done = resolve;
  });
  lines.set(
    cpu,
    before.then(() => mine),
  );
  try {
    return await inLine(cpu, pages, domain, take, options, before);
  } finally {
    done();
  }
}

async function inLine<T>(
  cpu: Cpu,
  pages: number,
  domain: number,
  take: (slot: number, address: number) => T,
  options: AsyncPageOptions,
  before: Promise<unknown>,
): Promise<AsyncPageResult<T>> {
  const { signal, timeoutMs = Infinity, look } = options;
  const deadline = performance.now() + timeoutMs;
  const over = (): boolean => performance.now() >= deadline;
  signal?.throwIfAborted();
  await race(before, deadline - performance.now(), signal);
  let cell = 0;
  let pause = LOOK_MS;
  // Ends with a grant, `look`, an abort or the deadline; every pass in between has waited.
  for (;;) {
    if (cell === 0) {
      signal?.throwIfAborted();
      if (over()) return { outcome: 'timeout', value: undefined };
      cell =
        attempt(cpu, () => joinPageQueue(cpu, poolOf(cpu, domain), pages, PageWait.asynchronous)) ??
        0;
    }
    if (cell !== 0 && !waits(cpu, cell)) break;
    if (cell !== 0) {
      const ending =
        signal?.aborted === true ? 'abort' : over() ? 'timeout' : looked(cpu, cell, look);
      if (ending !== undefined && leaveQueue(cpu, cell)) {
        if (ending === 'abort') throw signal!.reason;
        return { outcome: ending, value: undefined };
      }
    }
    const woken = cell === 0 ? undefined : beginWait(cpu, cell);
    await race(woken, Math.min(pause, Math.max(deadline - performance.now(), 1)), signal);
    pause = Math.min(pause * 2, LOOK_MS_MAX);
  }
  if (signal?.aborted) {
    withdraw(cpu, cell);
    throw signal.reason;
  }
  return { outcome: 'granted', value: finish(cpu, cell, take) };
}

/** The plain steps: each is one job. */

function waits(cpu: Cpu, cell: number): boolean {
  return pageCellWaits(cpu, cell);
}

/** `found` when `look` has made the wait unnecessary. A throw of it ends the wait. */
function looked(cpu: Cpu, cell: number, look: (() => boolean) | undefined): 'found' | undefined {
  if (look === undefined) return undefined;
  try {
    return attempt(cpu, look) === true ? 'found' : undefined;
  } catch (error) {
    withdraw(cpu, cell);
    throw error;
  }
}

/** False when the run was granted first, or a busy lock is in the way: look again. */
function leaveQueue(cpu: Cpu, cell: number): boolean {
  return attempt(cpu, () => leavePageQueue(cpu, cell)) === true;
}

function withdraw(cpu: Cpu, cell: number): void {
  inJob(cpu, () => withdrawFromPages(cpu, cell));
}

function finish<T>(cpu: Cpu, cell: number, take: (slot: number, address: number) => T): T {
  return inJob(cpu, () => {
    const slot = reserveSlot(cpu);
    takeGrantedPages(cpu, cell, slot);
    try {
      return take(slot, runAddress(cpu, slot));
    } finally {
      // Not for deaths, which never run it, but for a `take` that throws or takes nothing.
      returnPages(cpu, slot);
      releaseSlot(cpu, slot);
    }
  });
}

/** Runs one step entered; undefined where this thread may not block and a lock is busy. */
function attempt<T>(cpu: Cpu, step: () => T): T | undefined {
  return inJob(cpu, () => {
    try {
      return step();
    } catch (error) {
      if (error instanceof LockBusyError && !cpu.mayBlock) return undefined;
      throw error;
    }
  });
}

/** The promise of a wake-up, or undefined when the cell is not waiting any more. */
function beginWait(cpu: Cpu, cell: number): Promise<unknown> | undefined {
  const wait = Atomics.waitAsync(cpu.words, cell, PageCell.waiting);
  return wait.async ? wait.value : Promise.resolve();
}

/** Resolves with `event`, after `ms` milliseconds (at most 2^31 - 1) or on abort. */
function race(
  event: Promise<unknown> | undefined,
  ms: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, Math.min(Math.max(Math.ceil(ms), 0), 2 ** 31 - 1));
    signal?.addEventListener('abort', done, { once: true });
    void event?.then(done);
  });
}
