/**
 * Watches a run from the supervisor: shared counters read on a timer, no messages. Ends the run
 * when its time is over, and says so when nothing moves any more.
 */

import { CpuRecord, pagesInUse } from '@umbuf/memory';
import { describeCpus } from '@umbuf/smp';
import { allZoneStatistics, type Uma } from '@umbuf/uma';
import type { Violation } from '../scenario/scenario.ts';

export interface StressProgress {
  readonly seconds: number;
  /** Operations per second of each CPU since the last call. */
  readonly rates: readonly number[];
  readonly live: number;
  readonly pages: number;
}

export interface WatchOptions {
  readonly seconds: number;
  readonly operations?: number;
  readonly stallMs?: number;
  readonly onProgress?: (progress: StressProgress) => void;
}

const PERIOD_MS = 200;
const STALL_MS = 10_000;

export class Watch {
  private readonly uma: Uma;
  private readonly options: WatchOptions;
  private last: bigint[] = [];
  private lastAt = 0;
  private movedAt = 0;

  constructor(uma: Uma, options: WatchOptions) {
    this.uma = uma;
    this.options = options;
  }

  /** Resolves when `running` settles, or with a violation when no counter moves for `stallMs`. */
  async until(running: Promise<unknown>, stop: () => void): Promise<Violation | undefined> {
    const { seconds, operations, stallMs = STALL_MS } = this.options;
    const from = performance.now();
    this.last = this.counters();
    this.lastAt = from;
    this.movedAt = from;
    let stopped = operations !== undefined;
    let done = false;
    const end = running.then(
      () => void (done = true),
      () => void (done = true),
    );
    while (!done) {
      await Promise.race([end, sleep(PERIOD_MS)]);
      const now = performance.now();
      this.sample(from, now);
      if (!stopped && now - from >= seconds * 1000) {
        stop();
        stopped = true;
      }
      if (!done && now - this.movedAt > stallMs) {
        return {
          invariant: 'progress',
          cpu: -1,
          message: `no CPU made progress for ${stallMs} ms\n${describeCpus(this.uma.arena)}`,
        };
      }
    }
    return undefined;
  }

  private counters(): bigint[] {
    const { arena } = this.uma;
    return Array.from({ length: arena.cpus }, (_, cpu) =>
      Atomics.load(
        arena.longs,
        (arena.cpuTable + cpu * CpuRecord.words + CpuRecord.fields.progress.at) >> 1,
      ),
    );
  }

  private sample(from: number, now: number): void {
    const counters = this.counters();
    const elapsed = Math.max(now - this.lastAt, 1) / 1000;
    const moved = counters.map((value, cpu) => Number(value - (this.last[cpu] ?? 0n)));
    if (moved.some((count) => count !== 0)) this.movedAt = now;
    this.last = counters;
    this.lastAt = now;
    this.options.onProgress?.({
      seconds: (now - from) / 1000,
      rates: moved.filter((_, cpu) => counters[cpu] !== 0n).map((count) => count / elapsed),
      live: allZoneStatistics(this.uma).reduce((sum, zone) => sum + zone.live, 0),
      pages: pagesInUse(this.uma.arena),
    });
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
