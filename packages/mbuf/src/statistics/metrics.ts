/** The mbuf system's metrics: mbufs by type, parked holders, reclaims. Stops nobody. */

import { counter, gauge, type MetricFamily } from '@umbuf/stats';
import { readMbstat, type StatisticsView } from '../check.ts';
import { drainCount } from '../drain.ts';

/** Names of `m_type`, as netstat -m of NetBSD has them, in the form of a label. */
const TYPES: readonly string[] = [
  'free',
  'data',
  'header',
  'soname',
  'soopts',
  'ftable',
  'control',
  'oobdata',
];

/** What the zones' metrics do not say of mbufs. */
export function mbufMetrics(view: StatisticsView): MetricFamily[] {
  const { types, parked } = readMbstat(view);
  const samples = types
    .map((value, type) => ({ labels: { type: TYPES[type] ?? String(type) }, value }))
    .filter(({ value }, type) => type > 0 && (type < TYPES.length || value !== 0));
  return [
    gauge('umbuf_mbufs', 'mbufs in use, by m_type', samples),
    gauge(
      'umbuf_mbuf_parked_holders',
      'Freed mbufs that hold the reference count of storage still in use',
      [{ labels: {}, value: parked }],
    ),
    counter('umbuf_mbuf_drains', 'Calls to the drain routines', [
      { labels: {}, value: drainCount(view) },
    ]),
  ];
}
