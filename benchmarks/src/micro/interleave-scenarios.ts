/**
 * What the rows of the interleaving explorer explore: ordinary code, turned into virtual CPUs when
 * `interleave.ts` loads it, together with the production modules it calls. The shapes are those of
 * test/interleave/tagged-stack.check.ts and test/interleave/uma.check.ts.
 */

import {
  Arena,
  claimCpu,
  type Cpu,
  leaveCpu,
  taggedInit,
  taggedPop,
  taggedPush,
} from '@umbuf/memory';
import { defineZone, M_NOWAIT, reclaim, Uma, type Zone } from '@umbuf/uma';

interface Stack {
  readonly longs: BigInt64Array<SharedArrayBuffer>;
  readonly words: Int32Array<SharedArrayBuffer>;
}

/** Three nodes on a tagged stack: pop, pop against pop, pop, push back. */
export const stack = {
  prepare(): Stack {
    const buffer = new SharedArrayBuffer(64);
    const made = { longs: new BigInt64Array(buffer), words: new Int32Array(buffer) };
    taggedInit(made.longs, 0);
    for (const node of [48, 32, 16]) taggedPush(made.longs, made.words, 0, node, 0);
    return made;
  },
  a({ longs, words }: Stack): void {
    taggedPop(longs, words, 0, 0);
    taggedPop(longs, words, 0, 0);
  },
  b({ longs, words }: Stack): void {
    const node = taggedPop(longs, words, 0, 0);
    taggedPop(longs, words, 0, 0);
    if (node !== 0) taggedPush(longs, words, 0, node, 0);
  },
};

interface Zones {
  readonly arena: Arena;
  readonly cpus: readonly Cpu[];
  readonly zones: readonly Zone[];
}

/** Buckets of one and slabs of one, so that every slow path is met within a few operations. */
const LARGE = defineZone({ name: 'large', size: 8128 });

function alloc({ zones }: Zones, number: number): number {
  const zone = zones[number]!;
  const item = zone.alloc(M_NOWAIT);
  if (item !== 0) zone.uma.words[item >> 2] = number + 1;
  return item;
}

/** A zone without slabs, open on two idle CPUs: allocate, free, allocate against allocate. */
export const zone = {
  prepare(): Zones {
    const arena = Arena.create({ bytes: 262_144, cpus: 3, backing: 'shared-array-buffer' });
    const cpus: Cpu[] = [];
    const zones: Zone[] = [];
    for (let number = 0; number < 2; number++) {
      const cpu = claimCpu(arena, { number, manualLeave: true });
      const opened = Uma.attach(cpu).open(LARGE);
      opened.free(opened.alloc(M_NOWAIT));
      reclaim(opened.uma, 'drain-cpu', opened.record);
      leaveCpu(cpu);
      cpus.push(cpu);
      zones.push(opened);
    }
    return { arena, cpus, zones };
  },
  a(made: Zones): void {
    const item = alloc(made, 0);
    if (made.zones[0]!.uma.words[item >> 2] !== 1) throw new Error(`item ${item} was written`);
    made.zones[0]!.free(item);
    alloc(made, 0);
    leaveCpu(made.cpus[0]!);
  },
  b(made: Zones): void {
    alloc(made, 1);
    leaveCpu(made.cpus[1]!);
  },
};
