/**
 * What the debug levels cost, each side in a process of its own (a thread is made for one arena).
 *
 *   items.on    the pair of zone.batch128 at level `checks`, where all that UMA adds is the item
 *               table, against `none`
 *   checks      a packet (getcl and free) at `checks`, where the mbuf layer checks its chains too
 *   invariants  a packet at `invariants`: junk is written into freed memory and verified
 *
 *   invariants.pair     the pair of zone.batch128 at `invariants`: trash, redzones, item table
 *   invariants.sampled  the same, with every 64th item trashed (vm.debug.divisor)
 */

import { FreebsdType, M_PKTHDR, Mbufs } from '@umbuf/mbuf';
import { type Address, type DebugLevelName } from '@umbuf/memory';
import { M_NOWAIT } from '@umbuf/uma';
import { BATCH, zoneBatch } from '../lib/baseline.ts';
import { measureAlone } from '../lib/bench.ts';
import type { Effort, Measurement, SideName } from '../lib/row.ts';
import { bootSystem, itemZone } from '../lib/system.ts';

const LEVELS: Readonly<Record<string, DebugLevelName>> = {
  'items.on': 'checks',
  checks: 'checks',
  invariants: 'invariants',
  'invariants.pair': 'invariants',
  'invariants.sampled': 'invariants',
};

/** Rows that measure the pair. */
const PAIRS: readonly string[] = ['items.on', 'invariants.pair', 'invariants.sampled'];

const SAMPLED = 64;

export function measure(name: string, effort: Effort, side: SideName): Measurement {
  const divisor = name === 'invariants.sampled' ? SAMPLED : 1;
  const { uma } = bootSystem(64, side === 'baseline' ? 'none' : LEVELS[name]!, { divisor });
  const pass = PAIRS.includes(name) ? zoneBatch(uma.open(itemZone)) : packetPass(Mbufs.attach(uma));
  return measureAlone({ name, operations: BATCH, pass }, effort);
}

function packetPass(mbufs: Mbufs): () => void {
  const held = new Int32Array(BATCH);
  const { MT_DATA } = FreebsdType;
  return () => {
    for (let index = 0; index < BATCH; index++) {
      held[index] = mbufs.getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
    }
    for (let index = 0; index < BATCH; index++) mbufs.free(held[index]! as Address);
  };
}
