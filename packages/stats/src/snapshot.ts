/**
 * Reading all statistics, and the difference of two readings.
 *
 * A snapshot stops nobody: each value is one that was there, but they are not of one moment. What counts
 * ends (frees, releases) is read before everything else, so that what is in use, the difference, is never
 * negative. With `quiesce` the other CPUs stand still meanwhile (memory's cpu/quiesce.ts), and the values
 * are of one moment: totals are exact, and the result says so.
 */

import { type Cpu, quiesce, quiesceAsync } from '@umbuf/memory';
import type { Statistic, StatisticRegistry, StatisticValue } from './registry.ts';

export interface Snapshot {
  /** `performance.now()` of the thread when it began to read, in milliseconds. */
  readonly atMs: number;
  readonly values: ReadonlyMap<string, StatisticValue>;
  /** The paths whose values may be subtracted. */
  readonly counters: ReadonlySet<string>;
  /** All values are of one moment. */
  readonly exact: boolean;
  /** With `quiesce`: CPUs that did not stand still; then the values are as without it. */
  readonly unanswered: readonly number[];
}

export interface SnapshotOptions {
  /** The reader's own CPU, for a reading at one moment; the others are waited for `answerMs` at most (50). */
  readonly quiesce?: { readonly cpu: Cpu; readonly answerMs?: number };
}

export interface SnapshotDifference {
  readonly elapsedMs: number;
  /** Counters: how much they grew. Gauges and texts: the later value. */
  readonly values: ReadonlyMap<string, StatisticValue>;
}

/** Reads every statistic at and below `path`. Throws what a layer's `read` throws. */
export function takeSnapshot(
  registry: StatisticRegistry,
  path: string = '',
  options: SnapshotOptions = {},
): Snapshot {
  const statistics = inOrder(registry.list(path));
  if (options.quiesce === undefined) return { ...readAll(statistics), ...running };
  const { cpu, answerMs } = options.quiesce;
  const { value, exact, unanswered } = quiesce(cpu, () => readAll(statistics), answerMs);
  return { ...value, exact, unanswered };
}

/**
 * The same for a thread that may not block: between its looks at CPUs that do not stand still yet, its
 * other tasks run.
 */
export async function takeSnapshotAsync(
  registry: StatisticRegistry,
  path: string,
  options: Required<SnapshotOptions>,
): Promise<Snapshot> {
  const statistics = inOrder(registry.list(path));
  const { cpu, answerMs } = options.quiesce;
  const { value, exact, unanswered } = await quiesceAsync(cpu, () => readAll(statistics), answerMs);
  return { ...value, exact, unanswered };
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

const running = { exact: false, unanswered: [] } as const;

/** Ends before begins; else as they were. */
function inOrder(statistics: readonly Statistic[]): Statistic[] {
  return [
    ...statistics.filter(({ readFirst }) => readFirst === true),
    ...statistics.filter(({ readFirst }) => readFirst !== true),
  ];
}

/** The values under their paths, sorted by path whatever the order of reading. */
function readAll(statistics: readonly Statistic[]): Pick<Snapshot, 'atMs' | 'values' | 'counters'> {
  const atMs = performance.now();
  const read: [string, StatisticValue][] = [];
  const counters = new Set<string>();
  for (const statistic of statistics) {
    read.push([statistic.path, statistic.read()]);
    if (statistic.kind === 'counter') counters.add(statistic.path);
  }
  read.sort(([left], [right]) => (left < right ? -1 : 1));
  return { atMs, values: new Map(read), counters };
}

function grown(before: StatisticValue | undefined, after: StatisticValue): StatisticValue {
  if (typeof after === 'bigint') {
    return BigInt.asIntN(64, after - (before === undefined ? 0n : BigInt(before)));
  }
  return typeof after === 'number' ? after - Number(before ?? 0) : after;
}
