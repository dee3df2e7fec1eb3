/**
 * Metrics as data: what a reader of many statistics at once gets, whatever format it is then written
 * in. Collectors in the layers make families (`arenaMetrics`, `umaMetrics`, ...); open-metrics.ts and
 * json.ts write them. Values are those of a moment; nothing here reads the arena.
 *
 * Names follow OpenMetrics 1.0: prefix `umbuf_`, base units (seconds, bytes) as suffix, and the name of
 * a counter without its `_total`, which the writer adds.
 */

import { UmbufError } from '@umbuf/memory';

/** A family breaks a rule of OpenMetrics; the message names family and rule. */
export class MetricError extends UmbufError {
  override name = 'MetricError';
}

export type MetricValue = number | bigint;
export type MetricLabels = Readonly<Record<string, string>>;

interface Described {
  /** Without the suffixes of its type (`_total`, `_info`, `_bucket`). */
  readonly name: string;
  readonly help: string;
  /** `bytes`, `seconds`, ...: the name then ends with it. */
  readonly unit?: string;
}

export interface MetricSample {
  readonly labels: MetricLabels;
  readonly value: MetricValue;
}

/** One value per label set: of the moment, or one that only grows. */
export interface ValueFamily extends Described {
  readonly type: 'gauge' | 'counter';
  readonly samples: readonly MetricSample[];
}

/** Texts that do not change, as labels. */
export interface InfoFamily extends Described {
  readonly type: 'info';
  readonly samples: readonly { readonly labels: MetricLabels }[];
}

/** Which of several states holds. */
export interface StateSetFamily extends Described {
  readonly type: 'stateset';
  readonly states: readonly string[];
  readonly samples: readonly { readonly labels: MetricLabels; readonly state: string }[];
}

export interface HistogramBucket {
  /** Largest value that it counts. */
  readonly upTo: number;
  /** Values in this bucket alone. */
  readonly count: MetricValue;
}

/** How values are spread. The writer accumulates the counts and adds the bucket up to infinity. */
export interface HistogramFamily extends Described {
  readonly type: 'histogram';
  readonly samples: readonly {
    readonly labels: MetricLabels;
    /** By rising bound. */
    readonly buckets: readonly HistogramBucket[];
    /** Values above the last bound. */
    readonly above: MetricValue;
    readonly sum: number;
  }[];
}

export type MetricFamily = ValueFamily | InfoFamily | StateSetFamily | HistogramFamily;

/** A gauge: values of the moment. `unit` is read off the name when that ends with a base unit. */
export function gauge(name: string, help: string, samples: readonly MetricSample[]): ValueFamily {
  return { name, type: 'gauge', help, ...unitOf(name), samples };
}

/** A counter: values that only grow. */
export function counter(name: string, help: string, samples: readonly MetricSample[]): ValueFamily {
  return { name, type: 'counter', help, ...unitOf(name), samples };
}

function unitOf(name: string): { readonly unit?: string } {
  const unit = /_(bytes|seconds)$/.exec(name)?.[1];
  return unit === undefined ? {} : { unit };
}
