/**
 * Voluntary trimming (`uma_timeout`, `zone_timeout`; spec 1.8): at the end of each period of 20 s the
 * working-set estimate of every queue moves on, and what was idle for more than 15 minutes is given
 * back, a quarter at a time.
 *
 * There is no callout. Each thread knows when the period ends and looks at the clock at slow paths, and
 * a timer looks where threads have nothing to do. Whoever's compare-exchange moves the shared word on
 * ends the period, and those that were missed before it: queues change at slow paths only, the first of
 * which look at the clock (one in sixteen of each thread does), so the missed periods are what the timer
 * would have found, idle ones. Who dies at it leaves an estimate that is a period late.
 */

import { type Cpu, enterCpu, LockBusyError, requireInteger } from '@umbuf/memory';
import { ZoneFlag } from './flags.ts';
import { handHeight, undo } from './hands.ts';
import { UmaRoot, ZoneRecord } from './layout.ts';
import { clock } from './low-memory.ts';
import { updateBucketDisable } from './page-shortage.ts';
import { ANY_DOMAIN, emptyPass, reclaimZone } from './reclaim-zone.ts';
import type { Uma } from './uma.ts';

const R = UmaRoot.fields;
const BEGAN = R.periodBegan.at;
const LENGTH = R.periodMs.at;

/** `UMA_TIMEOUT`, milliseconds. */
export const PERIOD_MS = 20_000;
/** Missed periods that are made up for: an hour. What was idle for longer is as good as that. */
export const MISSED_PERIODS_MAX = 180;

/** Sets the clock of a root record that nobody else knows yet. */
export function beginPeriods(cpu: Cpu, root: number): void {
  Atomics.store(cpu.words, root + LENGTH, PERIOD_MS);
  Atomics.store(cpu.longs, (root + BEGAN) >> 1, BigInt(clock()));
}

/**
 * Sets the length of a period in the whole arena, in milliseconds; 0 switches voluntary trimming off.
 * Other threads know of it at their next look, after the old period at the latest.
 */
export function setTrimPeriod(uma: Uma, periodMs: number): void {
  requireInteger('setTrimPeriod: periodMs', periodMs, 0, 2 ** 31 - 1);
  Atomics.store(uma.words, uma.root + LENGTH, periodMs);
  if (uma.nextPeriod !== Infinity) uma.nextPeriod = 0;
}

/**
 * Ends the periods that are over at `now` (milliseconds since 1970), unless another CPU does; returns
 * how many. What a zone fini or keg fini throws, the next operation that returns nothing throws. On a
 * CPU that may not block a zone whose lock is busy misses this time.
 */
export function endPeriods(uma: Uma, now: number = clock()): number {
  const { words, longs, root } = uma;
  const length = Atomics.load(words, root + LENGTH);
  const word = (root + BEGAN) >> 1;
  const began = Atomics.load(longs, word);
  const elapsed = now - Number(began);
  const over = length === 0 ? 0 : Math.floor(elapsed / length);
  // Where nothing is to be done a look now and then sees the period that is switched on.
  uma.nextPeriod = performance.now() + (length === 0 ? PERIOD_MS : length - (elapsed % length));
  if (over <= 0 || uma.reclaiming) return 0;
  const begins = began + BigInt(over * length);
  if (Atomics.compareExchange(longs, word, began, begins) !== began) return 0;
  const periods = Math.min(over, MISSED_PERIODS_MAX);
  Atomics.add(words, root + R.periods.at, periods);
  trimAll(uma, periods);
  return periods;
}

function trimAll(uma: Uma, periods: number): void {
  if (uma.words[uma.cpu.entered] === 0) enterCpu(uma.cpu);
  updateBucketDisable(uma);
  uma.reclaiming = true;
  for (let id = uma.zoneCount() - 1; id >= 0; id--) {
    const zone = uma.zoneAt(id);
    if ((uma.words[zone + ZoneRecord.fields.flags.at]! & ZoneFlag.UNMANAGED) === 0) {
      trimZone(uma, zone, periods);
    }
  }
  uma.reclaiming = false;
}

/** `zone_timeout`, once for each period. */
function trimZone(uma: Uma, zone: number, periods: number): void {
  const height = handHeight(uma.cpu);
  try {
    for (let period = 0; period < periods; period++) {
      reclaimZone(uma, zone, 'idle', ANY_DOMAIN, emptyPass());
    }
  } catch (error) {
    undo(uma, height);
    if (!(error instanceof LockBusyError) || uma.cpu.mayBlock) uma.keepError(error);
  }
}

/** Slow paths for each look at the clock, which costs as much as a tenth of one. */
const SLOW_PATHS_PER_LOOK = 16;

/** What a slow path does: a look at the clock now and then. */
export function lookAtClock(uma: Uma): void {
  if (--uma.looksLeft > 0) return;
  uma.looksLeft = SLOW_PATHS_PER_LOOK;
  if (performance.now() >= uma.nextPeriod) endPeriods(uma);
}

/**
 * Has this thread look at the clock at its slow paths and by a timer that keeps neither the process nor
 * the arena alive. Returns the function that ends that.
 */
export function watchPeriods(uma: Uma): () => void {
  uma.nextPeriod = 0;
  uma.looksLeft = 0;
  const known = new WeakRef(uma);
  const timer: unknown = setInterval(() => {
    const own = known.deref();
    if (own === undefined || !own.cpu.online || own.nextPeriod === Infinity) {
      clearInterval(timer as number);
    } else {
      timerLook(own);
    }
  }, PERIOD_MS);
  // Node's timers are objects; a browser's worker ends with its page in any case.
  (timer as { unref?: () => void }).unref?.();
  return () => {
    uma.nextPeriod = Infinity;
    clearInterval(timer as number);
  };
}

function timerLook(uma: Uma): void {
  try {
    endPeriods(uma);
  } catch (error) {
    // A CPU that cannot be entered now looks again next time.
    if (!(error instanceof LockBusyError)) throw error;
  }
}
