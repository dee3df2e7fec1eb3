/**
 * Reading all statistics, and the difference of two readings. A snapshot stops nobody: each value
 * is one that was there, but they are not of one moment.
 */

import type { StatisticRegistry, StatisticValue } from './registry.ts';

export interface Snapshot {
  /** `performance.now()` of the thread when it began to read, in milliseconds. */
  readonly atMs: number;
  readonly values: ReadonlyMap<string, StatisticValue>;
  /** The paths whose values may be subtracted. */
  readonly counters: ReadonlySet<string>;
}

export interface SnapshotDifference {
  readonly elapsedMs: number;
  /** Counters: how much they grew. Gauges and texts: the later value. */
  readonly values: ReadonlyMap<string, StatisticValue>;
}

/** Reads every statistic at and below `path`. Throws what a layer's `read` throws. */
export function takeSnapshot(registry: StatisticRegistry, path: string = ''): Snapshot {
  const atMs = performance.now();
  const values = new Map<string, StatisticValue>();
  const counters = new Set<string>();
  for (const statistic of registry.list(path)) {
    values.set(statistic.path, statistic.read());
    if (statistic.kind === 'counter') counters.add(statistic.path);
  }
  return { atMs, values, counters };
}

/**
 * What happened between two snapshots. What only the later one has counts from 0; what only the
 * earlier one has is left out.
 */
export function differenceOf(before: Snapshot, after: Snapshot): SnapshotDifference {
  const values = new Map<string, StatisticValue>();
  for (const [path, value] of after.values) {
    values.set(path, after.counters.has(path) ? grown(before.values.get(path), value) : value);
  }
  return { elapsedMs: after.atMs - before.atMs, values };
}

function grown(before: StatisticValue | undefined, after: StatisticValue): StatisticValue {
  if (typeof after === 'bigint') {
    return BigInt.asIntN(64, after - (before === undefined ? 0n : BigInt(before)));
  }
  return typeof after === 'number' ? after - Number(before ?? 0) : after;
}
