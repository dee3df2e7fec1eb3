/**
 * Allocation that waits without blocking its thread (`Zone.allocAsync`): for CPUs with `mayBlock:
 * false`, and for threads that serve others meanwhile. It stands in the same queues as the blocking
 * requests, that of the zone's limit and that for pages (wait.ts). No hand slot is held over the wait; grant and item are taken in one job.
 */

import {
  type Address,
  BUSY_RETRY_MS,
  LockBusyError,
  NULL,
  SleepFailure,
  sleepForUnitsAsync,
} from '@umbuf/memory';
import { type AllocResult, allocResult, failedWith } from '../alloc-result.ts';
import { M_NOWAIT, M_WAITOK } from '../flags.ts';
import { fail, giveBackTo, handHeight } from '../hands.ts';
import { allocGranted } from '../item.ts';
import { countFailure, FailureReason } from '../statistics/failures.ts';
import { getPagesAsync } from '../wait.ts';
import type { Zone } from '../zone.ts';
import { recallCached } from './flush.ts';
import { M_LATER, zoneLimit } from './reserve.ts';

export interface AllocWaitOptions {
  /** Goes to the ctor; 0 when absent. */
  readonly argument?: number;
  /** Milliseconds until the request gives up; for ever when absent. */
  readonly timeoutMs?: number;
}

export interface AllocAsyncOptions extends AllocWaitOptions {
  /** M_ZERO, M_USE_RESERVE; whether to wait is not asked. */
  readonly flags?: number;
  /** Aborts the wait: the promise rejects with the signal's reason, and nothing is held. */
  readonly signal?: AbortSignal;
}

/** See Zone.allocAsync. */
export async function allocAsync(zone: Zone, options: AllocAsyncOptions): Promise<AllocResult> {
  const { signal, timeoutMs = Infinity } = options;
  const deadline = performance.now() + timeoutMs;
  signal?.throwIfAborted();
  // Ends with an item, a reason, an abort or the deadline; a busy lock is another CPU's progress, and
  // so is another attempt behind a wait for pages.
  for (;;) {
    const first = tryAlloc(zone, options);
    if (first.failure === 'pages') {
      const waited = await waitForPages(zone, options, deadline - performance.now());
      if (waited === 'again') continue;
      return waited === 'failed' ? first : failedWith('timeout');
    }
    if (first.failure !== 'limit' && first.failure !== 'busy') return first;
    const left = deadline - performance.now();
    const second = first.failure === 'busy' ? first : await waitForUnit(zone, options, left);
    if (second.failure === 'pages') continue;
    if (second.failure !== 'busy') return second;
    if (performance.now() >= deadline) return second;
    await new Promise((resolve) => {
      setTimeout(resolve, BUSY_RETRY_MS);
    });
    signal?.throwIfAborted();
  }
}

/** The first attempt: from the cache, or a unit that is free. */
function tryAlloc(zone: Zone, options: AllocAsyncOptions): AllocResult {
  const { uma } = zone;
  const flags = requestFlags(options) | M_LATER;
  return allocResult(uma, uma.operations.alloc(zone.cache, flags, options.argument ?? 0));
}

/** In the job of the attempt that found none. */
async function waitForPages(
  zone: Zone,
  options: AllocAsyncOptions,
  left: number,
): ReturnType<typeof getPagesAsync> {
  const { uma, record, cache } = zone;
  const { signal } = options;
  const waited = await getPagesAsync(uma, record, requestFlags(options), {
    timeoutMs: left,
    ...(signal === undefined ? {} : { signal }),
  });
  if (waited === 'timeout') countFailure(uma, cache, FailureReason.timeout);
  return waited;
}

async function waitForUnit(
  zone: Zone,
  options: AllocAsyncOptions,
  left: number,
): Promise<AllocResult> {
  const { uma, record, cache } = zone;
  const { signal, argument = 0 } = options;
  const flags = requestFlags(options);
  const take = (units: number): AllocResult => takeGranted(zone, units, flags, argument);
  zone.asyncWaits++;
  try {
    const { units, value } = await sleepForUnitsAsync(uma.cpu, zoneLimit(uma, record), 1, take, {
      timeoutMs: left,
      flush: () => recallCached(uma, record),
      ...(signal === undefined ? {} : { signal }),
    });
    if (value !== undefined) return value;
    const full = units === SleepFailure.tableFull;
    countFailure(uma, cache, full ? FailureReason.tableFull : FailureReason.timeout);
    return failedWith(full ? 'tableFull' : 'timeout');
  } finally {
    zone.asyncWaits--;
  }
}

/** In the job that took the grant, with its unit in hand slot `units`. */
function takeGranted(zone: Zone, units: number, flags: number, argument: number): AllocResult {
  const { uma, record, cache } = zone;
  const { cpu } = uma;
  const height = handHeight(cpu);
  let item: Address = NULL;
  try {
    item = allocGranted(uma, record, cache, units, flags, argument);
  } catch (error) {
    if (!(error instanceof LockBusyError) || cpu.mayBlock) fail(uma, height, error);
    giveBackTo(cpu, height);
    return failedWith('busy');
  }
  if (item === NULL) uma.rethrow();
  return allocResult(uma, item);
}

function requestFlags(options: AllocAsyncOptions): number {
  return ((options.flags ?? 0) & ~M_WAITOK) | M_NOWAIT;
}
