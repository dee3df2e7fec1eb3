/** All metrics of an arena: what each layer knows of it, in one list. */

import type { Arena } from '@umbuf/memory';
import { arenaMetrics, lockMetrics, arenaLocks, type MetricFamily } from '@umbuf/stats';
import { mbufMetrics, viewMbufs } from '@umbuf/mbuf';
import { ownerMetrics } from '@umbuf/tracing';
import { umaMetrics, viewUma } from '@umbuf/uma';

/** Reads everything, without stopping anyone. What the arena does not have is left out. */
export function collectMetrics(arena: Arena): MetricFamily[] {
  const uma = viewUma(arena);
  const mbufs = viewMbufs(arena);
  return [
    ...arenaMetrics(arena),
    ...(uma === undefined ? lockMetrics(arenaLocks(arena)) : umaMetrics(uma)),
    ...(mbufs === undefined ? [] : mbufMetrics(mbufs)),
    ...ownerMetrics(arena),
  ];
}
