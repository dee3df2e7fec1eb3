/** Zones and shared words of test/stress/reclaim.stress.test.ts and its fixture. */

import { defineZone, type Uma, type Zone, ZoneFlag } from '@umbuf/uma';

export const reclaimZones = [
  defineZone({ name: 'cached', size: 1024 }),
  defineZone({ name: 'large', size: 9000 }),
  defineZone({ name: 'single', size: 2000, flags: ZoneFlag.NOBUCKET }),
] as const;

/** A zone of one item, to sleep at the limit of. */
export const narrowZone = defineZone({ name: 'narrow', size: 64 });

export function openReclaimZones(uma: Uma): Zone[] {
  return reclaimZones.map((definition) => uma.open(definition));
}

/** Words of the test's own shared buffer. */
export const Board = {
  stop: 0,
  /** Order in which waiting requests returned. */
  order: 1,
  /** 1: workers leave their CPUs, say so in `parked`, and sleep until it is 0. */
  pause: 2,
  parked: 16,
  /** Then a ledger for each CPU: item | zone, 0 = none. */
  ledgers: 32,
} as const;

/** Items that one CPU may hold. */
export const HELD = 200;

export function ledgerAt(cpu: number): number {
  return Board.ledgers + cpu * HELD;
}

export function boardBytes(cpus: number): number {
  return ledgerAt(cpus) * 4;
}
