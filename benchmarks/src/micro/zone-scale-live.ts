/**
 * Does the pair cost more with 10^6 items live than with 10^3? Each point of the curve is minus the
 * same loop over a bare array of indices, which pays for the cache misses of the user's own array.
 * Items are 64 bytes and are not touched: the allocator writes into none.
 */

import { M_NOWAIT, type Uma, type Zone } from '@umbuf/uma';
import { allocate, BATCH } from '../lib/baseline.ts';
import { measureSides, type Side } from '../lib/bench.ts';
import { curve } from '../lib/curve.ts';
import type { Effort, Measurement } from '../lib/row.ts';
import { bootSystem } from '../lib/system.ts';

/** Live items of each point: literals, since 10 ** 3 is a double to V8, and so would be `% length`. */
const COUNTS = [1_000, 10_000, 100_000, 1_000_000] as const;
const NAMES = ['10^3', '10^4', '10^5', '10^6'] as const;
const PASS = 4096;

export function measure(_name: string, effort: Effort): Measurement {
  const { uma } = bootSystem(192);
  const live = COUNTS.map((count) => openLive(uma, `${count} live`, count));
  const before = live.map(({ zone }) => slowEntries(zone));
  const figures = measureSides([...live.map(pairSide), ...COUNTS.map(indexSide)], effort);
  const indices = figures.slice(COUNTS.length);
  const net = indices.map((index, at) => ({
    min: figures[at]!.min - index.min,
    median: figures[at]!.median - index.median,
  }));
  const slow = live.map(({ zone }, at) => perThousand(slowEntries(zone), before[at]!));
  const [few, many] = [net[0]!, net.at(-1)!];
  const [fewSlow, manySlow] = [slow[0]!, slow.at(-1)!];
  return {
    ...many,
    baseline: { name: '10^3 items live', ...few },
    ratio: many.min / few.min,
    holds: Math.abs(manySlow - fewSlow) <= 0.1 * Math.max(manySlow, fewSlow),
    note:
      `${curve('live items', NAMES, net)}, minus the loop over ` +
      `indices (${indices.map(({ min }) => min.toFixed(2)).join(', ')}); slow-path entries per ` +
      `1,000 pairs ${slow.map((entries) => entries.toFixed(3)).join(', ')}`,
  };
}

interface Live {
  readonly zone: Zone;
  readonly items: Int32Array;
}

function openLive(uma: Uma, name: string, count: number): Live {
  const zone = uma.open({ name, size: 64 });
  const spare = allocate(zone, BATCH);
  const items = allocate(zone, count);
  zone.freeMany(spare, 0, BATCH);
  return { zone, items };
}

interface SlowEntries {
  readonly entries: number;
  readonly pairs: number;
}

function slowEntries(zone: Zone): SlowEntries {
  const { refills, flushes, frees } = zone.statistics();
  return { entries: refills + flushes, pairs: frees };
}

function perThousand(after: SlowEntries, before: SlowEntries): number {
  return (1000 * (after.entries - before.entries)) / (after.pairs - before.pairs);
}

/** PASS times: free a uniformly random live item, allocate another in its place. */
function pairSide({ zone, items }: Live): Side {
  const { length } = items;
  let random = 123;
  return {
    name: zone.name,
    operations: PASS,
    pass: () => {
      for (let turn = 0; turn < PASS; turn++) {
        random ^= random << 13;
        random ^= random >>> 17;
        random ^= random << 5;
        const at = (random & 0x7fffffff) % length;
        zone.free(items[at]!);
        items[at] = zone.alloc(M_NOWAIT);
      }
    },
  };
}

/** The same loop with the array alone: what it finds goes out, another value comes in. */
function indexSide(length: number): Side {
  const items = Int32Array.from({ length }, (_, index) => index);
  let random = 123;
  let last = 0;
  return {
    name: 'indices',
    operations: PASS,
    pass: () => {
      for (let turn = 0; turn < PASS; turn++) {
        random ^= random << 13;
        random ^= random >>> 17;
        random ^= random << 5;
        const at = (random & 0x7fffffff) % length;
        const found = items[at]!;
        items[at] = last;
        last = found;
      }
    },
  };
}
