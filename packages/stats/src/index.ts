/** `@umbuf/stats`: per-CPU statistics over shared memory. See docs/architecture/layers.md. */

export {
  type Counter,
  counterAdd,
  counterFetch,
  counterFetchCpu,
  counterIncrement,
} from './counter.ts';
export {
  type CounterDescription,
  type CounterSet,
  createCounters,
  findCounters,
  listCounters,
  SET_COUNTERS_MAX,
} from './counter-set.ts';
export { CounterSetRecord, LINE_COUNTERS } from './layout.ts';
export { type Statistic, StatisticRegistry, type StatisticValue } from './registry.ts';
export {
  differenceOf,
  type Snapshot,
  type SnapshotDifference,
  type SnapshotOptions,
  takeSnapshot,
  takeSnapshotAsync,
} from './snapshot.ts';
export {
  SYSCTL_ERRNO,
  type SysctlErrno,
  SysctlError,
  type SysctlNode,
  sysctlStatistics,
  SysctlTree,
} from './sysctl.ts';
export {
  decodeSysctl,
  encodeSysctl,
  printSysctl,
  sysctlBytes,
  sysctlFormat,
  type SysctlType,
  type SysctlValue,
} from './sysctl-value.ts';
export {
  arenaLocks,
  arenaMetrics,
  cpusEverOnline,
  cpuStateName,
  lockMetrics,
  type PoolUsage,
  readPools,
} from './metrics/arena-metrics.ts';
export {
  counter,
  gauge,
  type HistogramBucket,
  type HistogramFamily,
  type InfoFamily,
  MetricError,
  type MetricFamily,
  type MetricLabels,
  type MetricSample,
  type MetricValue,
  type StateSetFamily,
  type ValueFamily,
} from './metrics/family.ts';
export { METRICS_VERSION, metricsDocument, type MetricsDocument } from './metrics/json.ts';
export { formatOpenMetrics, OPEN_METRICS_TYPE } from './metrics/open-metrics.ts';
