/** Metric families as JSON with stable keys: the same model as the OpenMetrics text. Pure. */

import type { MetricFamily, MetricLabels } from './family.ts';

/** The form of the document; grows when a key changes its meaning. */
export const METRICS_VERSION = 1;

export interface MetricsDocument {
  readonly version: typeof METRICS_VERSION;
  readonly metrics: readonly MetricsEntry[];
}

export interface MetricsEntry {
  readonly name: string;
  readonly type: MetricFamily['type'];
  /** Empty when there is none. */
  readonly unit: string;
  readonly help: string;
  readonly samples: readonly MetricsEntrySample[];
}

export interface MetricsEntrySample {
  readonly labels: MetricLabels;
  /** Gauges and counters. Beyond 2^53 the last digits are lost, as in any JSON. */
  readonly value?: number;
  /** State sets. */
  readonly state?: string;
  /** Histograms: buckets by upper bound, each with its own count; `above` the last one; the sum. */
  readonly buckets?: readonly { readonly upTo: number; readonly count: number }[];
  readonly above?: number;
  readonly sum?: number;
}

/** The document; its keys stand in a fixed order. */
export function metricsDocument(families: readonly MetricFamily[]): MetricsDocument {
  return { version: METRICS_VERSION, metrics: families.map(entryOf) };
}

function entryOf(family: MetricFamily): MetricsEntry {
  const { name, type, unit = '', help } = family;
  return { name, type, unit, help, samples: samplesOf(family) };
}

function samplesOf(family: MetricFamily): MetricsEntrySample[] {
  switch (family.type) {
    case 'info':
      return family.samples.map(({ labels }) => ({ labels }));
    case 'stateset':
      return family.samples.map(({ labels, state }) => ({ labels, state }));
    case 'histogram':
      return family.samples.map(({ labels, buckets, above, sum }) => ({
        labels,
        buckets: buckets.map(({ upTo, count }) => ({ upTo, count: Number(count) })),
        above: Number(above),
        sum,
      }));
    default:
      return family.samples.map(({ labels, value }) => ({ labels, value: Number(value) }));
  }
}
