/**
 * The zones and the shared words of the UMA stress and death tests: imported by the tests and,
 * compiled, by their fixtures. Sizes are chosen so that slow paths dominate: buckets of one or two
 * items, no buckets at all, and callbacks that take long enough to be killed in.
 */

import { ringWords } from '@umbuf/memory';
import { defineZone, type Uma, type Zone, type ZoneDefinition, ZoneFlag } from '@umbuf/uma';

/** A callback's work: some microseconds, with function calls for a termination to strike at. */
function slow(zone: Zone, item: number): void {
  const { words } = zone.uma;
  for (let turn = 0; turn < 200; turn++) touch(words, item, turn);
}

function touch(words: Int32Array, item: number, turn: number): void {
  words[(item >> 2) + 2 + (turn & 1)] = turn;
}

const all: Partial<ZoneDefinition> = {
  ctor: slow,
  dtor: slow,
  init: slow,
  fini: slow,
  zinit: slow,
  zfini: slow,
};

export const stressZones: readonly ZoneDefinition[] = [
  defineZone({ name: 'small', size: 64 }),
  defineZone({ name: 'page', size: 4096 }),
  defineZone({ name: 'uncached', size: 1024, flags: ZoneFlag.NOBUCKET, ...all }),
  defineZone({ name: 'large', size: 5000, ...all }),
  defineZone({ name: 'slabs', size: 3000, init: slow, fini: slow }),
];

export function openStressZones(uma: Uma): Zone[] {
  return stressZones.map((definition) => uma.open(definition));
}

/** Words of the test's own shared buffer. */
export const Control = {
  stop: 0,
  /** 1: every worker leaves its CPU, sets its word of `parked`, and sleeps until it is 0. */
  pause: 1,
  /** Workers that send no more. */
  finished: 2,
  /** One word per CPU: 1 while it is parked. */
  parked: 16,
  /** Then one ledger per CPU, then the rings. */
  ledgers: 32,
} as const;

/** Items that one CPU may hold per zone. */
export const HELD = 16;
export const LEDGER_WORDS = HELD * 8;
export const CPUS = 5;
export const RING_CAPACITY = 64;

/** Word index of the ledger entries of one CPU and zone: addresses of items, 0 = none. */
export function ledgerAt(cpu: number, zone: number): number {
  return Control.ledgers + cpu * LEDGER_WORDS + zone * HELD;
}

/** Word index of the ring from one CPU to another. */
export function ringAt(from: number, to: number): number {
  return Control.ledgers + CPUS * LEDGER_WORDS + (from * CPUS + to) * ringWords(RING_CAPACITY);
}

export function controlBytes(): number {
  return ringAt(CPUS, 0) * 4;
}

/** What the owner writes into an item, and finds there when the item is freed. */
export function stamp(words: Int32Array, zone: number, item: number): void {
  words[item >> 2] = item ^ 0x5a5a5a5a;
  words[(item >> 2) + 1] = zone;
  words[(item + stressZones[zone]!.size - 4) >> 2] = ~item;
}

export function stampHolds(words: Int32Array, zone: number, item: number): boolean {
  return (
    words[item >> 2] === (item ^ 0x5a5a5a5a) &&
    words[(item >> 2) + 1] === zone &&
    words[(item + stressZones[zone]!.size - 4) >> 2] === ~item
  );
}
