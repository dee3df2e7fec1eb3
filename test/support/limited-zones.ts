/**
 * The zones and shared words of the tests of zone limits: imported by the tests and, compiled, by
 * their fixture. Limits so small that every CPU meets them all the time: with buckets, without, and
 * with callbacks that take long enough to be killed in.
 */

import { defineZone, type Uma, type Zone, type ZoneDefinition, ZoneFlag } from '@umbuf/uma';

/** A callback's work: some microseconds, with function calls for a termination to strike at. */
function slow(zone: Zone, item: number): void {
  const { words } = zone.uma;
  for (let turn = 0; turn < 100; turn++) touch(words, item, turn);
}

function touch(words: Int32Array, item: number, turn: number): void {
  words[(item >> 2) + 2 + (turn & 1)] = turn;
}

export interface LimitedZone {
  readonly definition: ZoneDefinition;
  readonly max: number;
}

export const limitedZones: readonly LimitedZone[] = [
  { definition: defineZone({ name: 'cached', size: 64 }), max: 40 },
  {
    definition: defineZone({ name: 'called', size: 300, ctor: slow, zinit: slow, zfini: slow }),
    max: 12,
  },
  { definition: defineZone({ name: 'tight', size: 1024, flags: ZoneFlag.NOBUCKET }), max: 3 },
];

/** Opens them; who comes first sets the limits. */
export function openLimitedZones(uma: Uma): Zone[] {
  return limitedZones.map(({ definition, max }) => {
    const zone = uma.open(definition);
    if (zone.getMax() === 0) zone.setMax(max);
    return zone;
  });
}

export const CPUS = 5;
/** Items that one CPU may hold per zone. */
export const HELD = 8;

/** Words of the board that all threads share. */
export const Board = {
  stop: 0,
  /** 1: every worker frees what it holds, leaves its CPU, and sleeps until it is 0. */
  pause: 1,
  /** Places in the order of grants (`queue`). */
  order: 2,
  /** One per CPU: 1 while it is parked. */
  parked: 8,
  /** One per CPU: steps made. */
  steps: 16,
  /** One per zone: items in users' hands. */
  inUse: 24,
  /** Then HELD per CPU and zone: addresses of the items that it holds. */
  ledgers: 32,
} as const;

export const BOARD_BYTES: number = (Board.ledgers + CPUS * limitedZones.length * HELD) * 4;

export function ledgerAt(cpu: number, zone: number): number {
  return Board.ledgers + (cpu * limitedZones.length + zone) * HELD;
}
