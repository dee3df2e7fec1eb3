/**
 * The pair against what npm and Node offer: Buffer.allocUnsafe and Uint8Array (garbage collection
 * included, it runs within the samples), @thi.ng/malloc over a SharedArrayBuffer, and a pool of
 * plain objects. Item sizes: 2048 bytes for the first two, 256 for the others.
 *
 * The pool is there for honesty: it is about as fast as we are, and none of its objects can ever be
 * seen by another thread.
 */

import { MemPool } from '@thi.ng/malloc';
import { M_NOWAIT as NOWAIT, type Uma, type Zone, ZoneFlag } from '@umbuf/uma';
import { allocate, BATCH as BATCH_OPERATIONS, zoneBatch, zoneRandom } from '../lib/baseline.ts';
import { compare, type Side } from '../lib/bench.ts';
import type { Effort, Measurement } from '../lib/row.ts';
import { bootSystem, ITEM_BYTES, itemZone } from '../lib/system.ts';

const BATCH: number = BATCH_OPERATIONS;
const M_NOWAIT = NOWAIT;
const CLUSTER = 2048;
const LIVE = 4096;

export function measure(name: string, effort: Effort): Measurement {
  const { uma } = bootSystem(64);
  return compare(...sides(name, uma), effort);
}

function sides(name: string, uma: Uma): [Side, Side] {
  switch (name) {
    case 'versus.buffer.allocUnsafe':
      return [batchOf(clusterZone(uma)), batchSide('Buffer.allocUnsafe(2048)', allocUnsafe())];
    case 'versus.uint8array':
      return [batchOf(clusterZone(uma)), batchSide('new Uint8Array(2048)', uint8Arrays())];
    case 'versus.pool':
      return [batchOf(uma.open(itemZone)), batchSide('a pool of plain objects', objectPool())];
    case 'versus.malloc.lifo':
      return [lifoOf(uma.open(itemZone)), mallocLifo()];
    case 'versus.malloc.batch':
      return [batchOf(uma.open(itemZone)), mallocBatch()];
    case 'versus.malloc.random': {
      const zone = uma.open(itemZone);
      const pass = zoneRandom(zone, allocate(zone, LIVE));
      return [{ name: zone.name, operations: LIVE, pass }, mallocRandom()];
    }
    default:
      throw new Error(`no row ${name}`);
  }
}

function clusterZone(uma: Uma): Zone {
  return uma.open({ name: 'cluster', size: CLUSTER, flags: ZoneFlag.MAXBUCKET });
}

function batchSide(name: string, pass: () => void): Side {
  return { name, operations: BATCH, pass };
}

function batchOf(zone: Zone): Side {
  return batchSide(zone.name, zoneBatch(zone));
}

function lifoOf(zone: Zone): Side {
  return batchSide(zone.name, () => {
    for (let turn = 0; turn < BATCH; turn++) zone.free(zone.alloc(M_NOWAIT));
  });
}

function allocUnsafe(): () => void {
  const held: (Buffer | undefined)[] = Array.from({ length: BATCH });
  return () => {
    for (let index = 0; index < BATCH; index++) held[index] = Buffer.allocUnsafe(CLUSTER);
    for (let index = 0; index < BATCH; index++) held[index] = undefined;
  };
}

function uint8Arrays(): () => void {
  const held: (Uint8Array | undefined)[] = Array.from({ length: BATCH });
  return () => {
    for (let index = 0; index < BATCH; index++) held[index] = new Uint8Array(CLUSTER);
    for (let index = 0; index < BATCH; index++) held[index] = undefined;
  };
}

interface Pooled {
  id: number;
}

function objectPool(): () => void {
  const pool: Pooled[] = Array.from({ length: 1024 }, (_, id) => ({ id }));
  const held: Pooled[] = pool.slice(0, BATCH);
  return () => {
    for (let index = 0; index < BATCH; index++) held[index] = pool.pop()!;
    for (let index = 0; index < BATCH; index++) pool.push(held[index]!);
  };
}

function memPool(): MemPool {
  return new MemPool({ buf: new SharedArrayBuffer(16 << 20) as unknown as ArrayBuffer });
}

function take(pool: MemPool): number {
  const address = pool.malloc(ITEM_BYTES);
  if (address === 0) throw new Error('@thi.ng/malloc: no memory');
  return address;
}

function mallocLifo(): Side {
  const pool = memPool();
  return batchSide('@thi.ng/malloc, LIFO', () => {
    for (let turn = 0; turn < BATCH; turn++) pool.free(take(pool));
  });
}

function mallocBatch(): Side {
  const pool = memPool();
  const held = new Int32Array(BATCH);
  return batchSide('@thi.ng/malloc, batch', () => {
    for (let index = 0; index < BATCH; index++) held[index] = take(pool);
    for (let index = 0; index < BATCH; index++) pool.free(held[index]!);
  });
}

/** Few turns per pass: one takes as long as thousands of ours. */
function mallocRandom(): Side {
  const pool = memPool();
  const held = Int32Array.from({ length: LIVE }, () => take(pool));
  const turns = 16;
  let random = 123;
  return {
    name: '@thi.ng/malloc, 4096 live',
    operations: turns,
    pass: () => {
      for (let turn = 0; turn < turns; turn++) {
        random ^= random << 13;
        random ^= random >>> 17;
        random ^= random << 5;
        const at = random & (LIVE - 1);
        pool.free(held[at]!);
        held[at] = take(pool);
      }
    },
  };
}
