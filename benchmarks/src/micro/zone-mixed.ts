/**
 * Ten zones with ten different ctors at one call site of `alloc` and one of `free`: the world that
 * a program with many types lives in. Each ctor is a function of its own, as ten modules would
 * have them, and each writes the first words of its item.
 */

import type { Address } from '@umbuf/memory';
import { M_NOWAIT, type Uma, type Zone, type ZoneDefinition } from '@umbuf/uma';
import { BATCH, zoneBatch } from '../lib/baseline.ts';
import { compare, type Side } from '../lib/bench.ts';
import type { Effort, Measurement } from '../lib/row.ts';
import { bootSystem, itemZone } from '../lib/system.ts';

type Ctor = (zone: Zone, item: Address) => void;

export function measure(_name: string, effort: Effort): Measurement {
  const { uma } = bootSystem(64);
  const zones = ctors(uma.words).map((ctor, index) => uma.open(zoneWith(ctor, index)));
  const baseline: Side = {
    name: 'zone.batch128',
    operations: BATCH,
    pass: zoneBatch(uma.open(itemZone)),
  };
  return compare(
    { name: 'mixed', operations: BATCH, pass: mixedPass(uma, zones) },
    baseline,
    effort,
  );
}

function zoneWith(ctor: Ctor, index: number): ZoneDefinition {
  return { ...itemZone, name: `mixed ${index}`, ctor };
}

/** BATCH allocations and frees, the zones in an order without a pattern. */
function mixedPass(uma: Uma, zones: readonly Zone[]): () => void {
  const items = new Int32Array(BATCH);
  const order = Array.from(
    { length: BATCH },
    (_, index) => zones[(index * 7 + (index >> 3)) % 10]!,
  );
  if (order.some((zone) => zone.uma !== uma)) throw new Error('one thread, one Uma');
  return () => {
    for (let index = 0; index < BATCH; index++) items[index] = order[index]!.alloc(M_NOWAIT);
    for (let index = 0; index < BATCH; index++) order[index]!.free(items[index]!);
  };
}

function ctors(words: Int32Array): readonly Ctor[] {
  return [
    (_zone, item) => {
      words[item >> 2] = 1;
    },
    (_zone, item) => {
      words[item >> 2] = 2;
      words[(item >> 2) + 1] = 0;
    },
    (_zone, item) => {
      words[item >> 2] = item;
    },
    (_zone, item) => {
      words[item >> 2] = 4;
      words[(item >> 2) + 2] = item;
    },
    (_zone, item) => {
      words[(item >> 2) + 1] = 5;
    },
    (_zone, item) => {
      words[item >> 2] = 6;
      words[(item >> 2) + 3] = 1;
    },
    (_zone, item) => {
      words[item >> 2] = 0;
      words[(item >> 2) + 1] = 0;
      words[(item >> 2) + 2] = 0;
    },
    (_zone, item) => {
      words[(item >> 2) + 4] = 8;
    },
    (_zone, item) => {
      words[item >> 2] = item + 9;
    },
    (_zone, item) => {
      words[(item >> 2) + 5] = 10;
      words[item >> 2] = 10;
    },
  ];
}
