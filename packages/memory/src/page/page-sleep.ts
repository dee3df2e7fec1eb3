/**
 * Sleeping for pages, and what a dead CPU leaves in a queue. The order keeps wake-ups: queue (and
 * settle) first, then `look` for what may bring pages back, then sleep; the state is read again after
 * every wake-up.
 *
 * Freed items do not come back as pages by themselves: they stay in caches until somebody drains them.
 * So a sleeper wakes from time to time and has `look` do that (low-memory.ts of uma); it is the page
 * daemon. The asynchronous form (page-sleep-async.ts) is made of the same steps.
 */

import { type Address, PAGE_SHIFT } from '../address.ts';
import type { Cpu } from '../cpu/cpu.ts';
import { HandKind, releaseSlot, reserveSlot } from '../cpu/hand-stack.ts';
import { enterCpu, leaveCpu } from '../cpu/protocol.ts';
import { WouldBlockError } from '../errors.ts';
import { PagePool } from '../layout/records.ts';
import { lockMutex, unlockMutex } from '../sync/mutex.ts';
import { putPages } from './page-pool.ts';
import {
  joinPageQueue,
  leavePageQueue,
  PageCell,
  pageCell,
  pageCellWaits,
  PageWait,
  settlePages,
  takeGrantedPages,
} from './page-wait.ts';

/** What a sleep returns instead of an address. All are below 1. */
export const PageSleepFailure = {
  /** The time was up. */
  timeout: 0,
  /** This CPU waits for pages already: a callback of `look` asks for more. */
  nested: -1,
  /** `look` found what it was after without pages. */
  found: -2,
} as const;

/** First and longest pause between two looks, milliseconds: each is twice the one before. */
export const LOOK_MS = 1;
export const LOOK_MS_MAX = 64;

/**
 * Sleeps until a run of `pages` pages of `domain` is granted and writes it into the void hand slot
 * `slot` (kind `pages`); returns its address. Otherwise a `PageSleepFailure`, with the slot void: after
 * `timeoutMs` milliseconds (Infinity: never), or when `look` returns true. `look`, where there is one, runs
 * in the queue, before the first sleep and then again and again; what it throws is thrown, out of the
 * queue.
 *
 * The CPU is left during the sleep: nothing that was read before the call is valid after it. Throws
 * `WouldBlockError` on a CPU that may not block, and on one that waits for pages asynchronously too: the
 * run that it waits for may have been given to that request, which needs this thread (vm_wait_domain).
 */
export function sleepForPages(
  cpu: Cpu,
  pages: number,
  domain: number,
  slot: number,
  timeoutMs: number,
  look?: () => boolean,
): number {
  if (!cpu.mayBlock) {
    throw new WouldBlockError(
      `CPU ${cpu.number} may not block for ${pages} pages: use sleepForPagesAsync (allocAsync of a zone)`,
    );
  }
  const { words, arena } = cpu;
  if (Atomics.load(words, pageCell(arena, cpu.number, PageWait.asynchronous)) !== PageCell.free) {
    throw new WouldBlockError(
      `CPU ${cpu.number} waits for pages asynchronously: blocking could wait for itself`,
    );
  }
  const deadline = performance.now() + timeoutMs;
  if (words[cpu.entered] === 0) enterCpu(cpu);
  const cell = joinPageQueue(cpu, poolOf(cpu, domain), pages, PageWait.blocking);
  if (cell === 0) return PageSleepFailure.nested;
  let pause = look === undefined ? Infinity : LOOK_MS;
  try {
    while (pageCellWaits(cpu, cell)) {
      if (look?.()) {
        if (leavePageQueue(cpu, cell)) return PageSleepFailure.found;
        break;
      }
      const left = deadline - performance.now();
      if (left <= 0) {
        if (leavePageQueue(cpu, cell)) return PageSleepFailure.timeout;
        break;
      }
      leaveCpu(cpu);
      Atomics.wait(words, cell, PageCell.waiting, Math.min(left, pause));
      enterCpu(cpu);
      if (look !== undefined) pause = Math.min(pause * 2, LOOK_MS_MAX);
    }
  } catch (error) {
    if (words[cpu.entered] === 0) enterCpu(cpu); // a hook threw at leaving, behind which we idle
    withdrawFromPages(cpu, cell);
    throw error;
  }
  return takeGrantedPages(cpu, cell, slot) << PAGE_SHIFT;
}

/** Ends a wait in any state: out of the queue, or the run that was granted goes back. */
export function withdrawFromPages(cpu: Cpu, cell: number): void {
  if (pageCellWaits(cpu, cell) && leavePageQueue(cpu, cell)) return;
  const slot = reserveSlot(cpu);
  takeGrantedPages(cpu, cell, slot);
  putPages(cpu, slot);
  releaseSlot(cpu, slot);
}

/**
 * Ends the waits of CPU `dead` while it is recovered, and settles every queue: it may have died between
 * the put of its pages and their settle. Repeatable, by another CPU too: a run on its way back stands in
 * the recoverer's hand.
 */
export function recoverPageWaits(cpu: Cpu, dead: number): void {
  for (const which of [PageWait.blocking, PageWait.asynchronous]) {
    const cell = pageCell(cpu.arena, dead, which);
    if (Atomics.load(cpu.words, cell) !== PageCell.free) withdrawFromPages(cpu, cell);
  }
  for (let domain = 0; domain < cpu.arena.domains; domain++) settlePageQueue(cpu, domain);
}

function settlePageQueue(cpu: Cpu, domain: number): void {
  const pool = poolOf(cpu, domain);
  lockMutex(cpu, pool);
  settlePages(cpu, pool);
  unlockMutex(cpu, pool);
}

/** Word index of a domain's pool. */
export function poolOf(cpu: Cpu, domain: number): number {
  return cpu.arena.poolTable + domain * PagePool.words;
}

/** The run in `slot` goes back unless somebody has taken it out of there. */
export function returnPages(cpu: Cpu, slot: number): void {
  if (cpu.words[slot] === HandKind.pages) putPages(cpu, slot);
}

/** Address of the run in a hand slot of kind `pages`. */
export function runAddress(cpu: Cpu, slot: number): Address {
  return (cpu.words[slot + 1]! << PAGE_SHIFT) as Address;
}
