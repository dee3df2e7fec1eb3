/**
 * The table of rows. Ratios are of minima, against the baseline that the row's module names; the
 * first number is the target of the foundation, the second the one to hold at the end.
 *
 * Not here yet, because what they measure is not built: mowner.on (mbuf owners, <= 1.15) and
 * probe.off (a disabled probe, <= 1.01).
 */

import type { Row } from './row.ts';

function row(
  name: string,
  module: string,
  foundation: number | null,
  final: number | null,
  what: string,
): Row {
  return { name, module, foundation, final, what };
}

export const ROWS: readonly Row[] = [
  row('zone.batch128', 'micro/zone.js', 2, 1.4, '128 alloc, 128 free, one zone'),
  row('zone.random4096', 'micro/zone.js', 3, 2, '4096 live: free a random one, alloc'),
  row('zone.random4096.empty', 'micro/zone.js', null, 1.5, 'the same, cache exactly empty'),
  row('zone.mixed10', 'micro/zone-mixed.js', 3, 1.8, 'ten zones with ten ctors, one call site'),
  row('zone.scale.live', 'micro/zone-scale-live.js', 1.5, 1.2, 'a random pair, 10^6 items live'),
  row('zone.scale.cpus', 'micro/zone-scale-cpus.js', 1.2, 1.1, 'the pair while CPU 1 does it too'),
  row('zone.pipe', 'micro/zone-pipe.js', 3.5, 2.2, 'alloc, ring, free on the other CPU, per item'),
  row('zone.burst', 'micro/zone.js', 1.6, 1.2, '2048 alloc, 2048 free: buckets travel'),
  row('zone.zero2048', 'micro/zone.js', 0.2, 0.05, 'alloc of 2048 bytes with M_ZERO, and free'),
];

export const VERSUS: readonly Row[] = [];

export const ALL_ROWS: readonly Row[] = [...ROWS, ...VERSUS];
