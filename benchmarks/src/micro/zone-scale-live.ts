/**
 * Does the pair cost more with 10^6 items live than with 10^3? Both minus the same loop over a bare
 * array of indices, which pays for the cache misses of the user's own array. Items are 64 bytes and
 * are not touched: the allocator writes into none.
 */

import { M_NOWAIT, type Uma, type Zone } from '@umbuf/uma';
import { allocate, BATCH } from '../lib/baseline.ts';
import { measureSides, type Side } from '../lib/bench.ts';
import type { Effort, Measurement } from '../lib/row.ts';
import { bootSystem } from '../lib/system.ts';

const MANY = 1_000_000;
const FEW = 1_000;
const PASS = 4096;

export function measure(_name: string, effort: Effort): Measurement {
  const { uma } = bootSystem(160);
  const many = openLive(uma, 'many', MANY);
  const few = openLive(uma, 'few', FEW);
  const sides = [pairSide(many), indexSide(MANY), pairSide(few), indexSide(FEW)];
  const before = [many, few].map(({ zone }) => slowEntries(zone));
  const [manyPair, manyIndex, fewPair, fewIndex] = measureSides(sides, effort);
  const after = [many, few].map(({ zone }) => slowEntries(zone));
  const [manySlow, fewSlow] = after.map((entry, index) => perThousand(entry, before[index]!));
  const min = manyPair!.min - manyIndex!.min;
  const baseMin = fewPair!.min - fewIndex!.min;
  return {
    min,
    median: manyPair!.median - manyIndex!.median,
    baseline: {
      name: '10^3 items live',
      min: baseMin,
      median: fewPair!.median - fewIndex!.median,
    },
    ratio: min / baseMin,
    holds: Math.abs(manySlow! - fewSlow!) <= 0.1 * Math.max(manySlow!, fewSlow!),
    note:
      `minus the loop over indices (${manyIndex!.min.toFixed(2)} and ${fewIndex!.min.toFixed(2)} ns); ` +
      `slow-path entries per 1,000 pairs ${manySlow!.toFixed(3)} and ${fewSlow!.toFixed(3)}`,
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
