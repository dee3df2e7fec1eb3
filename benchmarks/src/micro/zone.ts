/** One zone on one CPU: the pair in batches, at random, past what the cache holds, and zeroed. */

import { M_NOWAIT, M_ZERO, CacheRecord, type Zone, ZoneFlag } from '@umbuf/uma';
import {
  allocate,
  bareBatch,
  bareRandom,
  BATCH,
  RANDOM_PASS,
  zoneBatch,
  zoneRandom,
} from '../lib/baseline.ts';
import { compare, type Side } from '../lib/bench.ts';
import type { Effort, Measurement } from '../lib/row.ts';
import { bootSystem, itemZone } from '../lib/system.ts';

const BURST = 2048;
const LIVE = 4096;
const C = CacheRecord.fields;

export function measure(name: string, effort: Effort): Measurement {
  const { uma } = bootSystem(64);
  switch (name) {
    case 'zone.batch128':
      return compare(
        batchOf(uma.open(itemZone)),
        {
          name: 'bare Int32Array stack, 128 pops, 128 pushes',
          operations: BATCH,
          pass: bareBatch(),
        },
        effort,
      );
    case 'zone.random4096':
      return compare(
        randomOf(uma.open(itemZone)),
        {
          name: 'bare Int32Array stack, same loop',
          operations: RANDOM_PASS,
          pass: bareRandom(LIVE),
        },
        effort,
      );
    case 'zone.random4096.empty': {
      const zone = uma.open({ ...itemZone, name: 'empty' });
      const half = uma.open(itemZone);
      return compare(emptyOf(zone), { ...randomOf(half), name: 'zone.random4096' }, effort);
    }
    case 'zone.burst': {
      const zone = uma.open(itemZone);
      return compare(burstOf(zone), { ...batchOf(zone), name: 'zone.batch128' }, effort);
    }
    case 'zone.zero2048':
      return compare(
        zeroOf(uma.open({ name: 'zero', size: 2048, flags: ZoneFlag.MAXBUCKET })),
        fillOf(uma.bytes),
        effort,
      );
    default:
      throw new Error(`no row ${name}`);
  }
}

function batchOf(zone: Zone): Side {
  return { name: zone.name, operations: BATCH, pass: zoneBatch(zone) };
}

function randomOf(zone: Zone): Side {
  const spare = allocate(zone, BATCH);
  const held = allocate(zone, LIVE);
  // The cache sits half full: a free and an allocation each find room.
  zone.freeMany(spare, 0, BATCH);
  return { name: zone.name, operations: RANDOM_PASS, pass: zoneRandom(zone, held) };
}

/**
 * Both buckets of the cache exactly empty when the loop allocates what it has just freed. The worst
 * case of an allocator whose frees go to the other bucket: there each of these allocations swaps.
 * Here a free goes to the alloc bucket first, so none does; the row keeps it so.
 */
function emptyOf(zone: Zone): Side {
  const held = allocate(zone, LIVE);
  const { words } = zone.uma;
  while (words[zone.cache + C.allocCount.at]! + words[zone.cache + C.freeCount.at]! > 0) {
    if (zone.alloc(M_NOWAIT) === 0) throw new Error('no item for the empty cache');
  }
  return { name: zone.name, operations: RANDOM_PASS, pass: zoneRandom(zone, held) };
}

function burstOf(zone: Zone): Side {
  const items = new Int32Array(BURST);
  return {
    name: 'burst',
    operations: BURST,
    pass: () => {
      for (let index = 0; index < BURST; index++) items[index] = zone.alloc(M_NOWAIT);
      for (let index = 0; index < BURST; index++) zone.free(items[index]!);
    },
  };
}

function zeroOf(zone: Zone): Side {
  return {
    name: 'M_ZERO',
    operations: BATCH,
    pass: () => {
      for (let index = 0; index < BATCH; index++) zone.free(zone.alloc(M_NOWAIT | M_ZERO));
    },
  };
}

/** The same 2048 bytes again and again, as the LIFO pair of the other side has them. */
function fillOf(bytes: Uint8Array): Side {
  const at = bytes.length - 4096;
  return {
    name: 'Uint8Array.fill of 2048 bytes',
    operations: BATCH,
    pass: () => {
      for (let index = 0; index < BATCH; index++) bytes.fill(0, at, at + 2048);
    },
  };
}
