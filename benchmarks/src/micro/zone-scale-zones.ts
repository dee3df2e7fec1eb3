/**
 * Does the pair cost more when a program has many zones? The same loop, at the same call sites, over
 * 1, 2, 4 ... 64 zones in an order without a pattern, with items that are not touched. What remains is
 * that 64 zones' caches and buckets are 64 times as much memory to walk over.
 */

import { M_NOWAIT, type Uma, type Zone } from '@umbuf/uma';
import { BATCH } from '../lib/baseline.ts';
import { measureSides, type Side } from '../lib/bench.ts';
import { curve } from '../lib/curve.ts';
import type { Effort, Measurement } from '../lib/row.ts';
import { bootSystem, itemZone } from '../lib/system.ts';

const COUNTS = [1, 2, 4, 8, 16, 32, 64] as const;

export function measure(_name: string, effort: Effort): Measurement {
  const { uma } = bootSystem(64);
  const zones = Array.from({ length: 64 }, (_, index) =>
    uma.open({ ...itemZone, name: `zone ${index}` }),
  );
  const figures = measureSides(
    COUNTS.map((count) => pairs(uma, zones.slice(0, count))),
    effort,
  );
  const [one, many] = [figures[0]!, figures.at(-1)!];
  return {
    ...many,
    baseline: { name: 'one zone', ...one },
    ratio: many.min / one.min,
    note: curve('zones', COUNTS.map(String), figures),
  };
}

/** BATCH allocations, then BATCH frees, each in another zone than the one before. */
function pairs(uma: Uma, zones: readonly Zone[]): Side {
  const items = new Int32Array(BATCH);
  const order = Array.from({ length: BATCH }, (_, index) => zones[scatter(index) % zones.length]!);
  if (order.some((zone) => zone.uma !== uma)) throw new Error('one thread, one Uma');
  return {
    name: `${zones.length} zones`,
    operations: BATCH,
    pass: () => {
      for (let index = 0; index < BATCH; index++) items[index] = order[index]!.alloc(M_NOWAIT);
      for (let index = 0; index < BATCH; index++) order[index]!.free(items[index]!);
    },
  };
}

/** Uses each zone equally often, without a pattern that a prefetcher knows. */
function scatter(index: number): number {
  return (index * 37 + (index >> 6) * 11) & 127;
}
