/**
 * Redzones: at level `invariants` a few bytes behind each item that nobody may write. Written once, when
 * the slab is built; looked at when the item is freed (its user wrote past its end), when it is
 * allocated, by fsck, and when the slab is destroyed. The idea is that of redzone(9), its byte too; UMA
 * itself has none.
 *
 * What is written before an item lands in the redzone of the item before it, and is reported there.
 */

import { DebugLevel } from '@umbuf/memory';
import { RedzoneError } from './errors.ts';
import { InternalFlag, ZoneFlag } from './flags.ts';
import { KegRecord, ZoneRecord } from './layout.ts';
import type { Uma } from './uma.ts';

/** What redzone(9) writes. */
export const REDZONE_BYTE = 0x42;
const REDZONE_WORD = 0x42424242;
/** Bytes of redzone where the definition says nothing: items below `REDZONE_ITEM_MAX` have it. */
export const REDZONE_BYTES = 8;
/** From here on a redzone could cost a page per item, so there is one only where it is asked for. */
export const REDZONE_ITEM_MAX = 2048;

const REDZONE = KegRecord.fields.redzone.at;
const SIZE = KegRecord.fields.size.at;

/** No place behind the item, or none that belongs to it. */
const EXCLUDED: number =
  ZoneFlag.NOTOUCH |
  ZoneFlag.PCPU |
  ZoneFlag.CACHESPREAD |
  InternalFlag.INTERNAL |
  InternalFlag.BUCKET;

/** Bytes of redzone for a new keg. `wanted`: what the definition says. */
export function redzoneBytes(
  level: number,
  size: number,
  flags: number,
  wanted: number | undefined,
): number {
  if (level < DebugLevel.invariants || (flags & EXCLUDED) !== 0) return 0;
  return wanted ?? (size < REDZONE_ITEM_MAX ? REDZONE_BYTES : 0);
}

/** Writes the redzone of an item of a new slab. */
export function fillRedzone(uma: Uma, keg: number, item: number): void {
  const from = item + uma.words[keg + SIZE]!;
  uma.bytes.fill(REDZONE_BYTE, from, from + uma.words[keg + REDZONE]!);
}

/** Bytes of the item's redzone that are no longer what was written there. */
export function damagedBytes(uma: Uma, keg: number, item: number): number {
  const { bytes, words } = uma;
  const from = item + words[keg + SIZE]!;
  const end = from + words[keg + REDZONE]!;
  // As words where they are whole: that is nearly always, and nearly always nothing is damaged.
  let whole = from;
  if (((from | end) & 3) === 0) {
    while (whole < end && words[whole >> 2] === REDZONE_WORD) whole += 4;
  }
  let damaged = 0;
  for (let at = whole; at < end; at++) if (bytes[at] !== REDZONE_BYTE) damaged++;
  return damaged;
}

/** Throws `RedzoneError` when the bytes behind a live item of the zone are not as they were written. */
export function checkRedzone(uma: Uma, zone: number, item: number): void {
  const { words } = uma;
  const keg = words[zone + ZoneRecord.fields.keg.at]!;
  const damaged = damagedBytes(uma, keg, item);
  if (damaged === 0) return;
  throw new RedzoneError(
    `zone ${uma.zoneName(zone)}, CPU ${uma.cpu.number}: buffer overflow: ` +
      `${damaged} bytes corrupted after ${item} (${words[keg + SIZE]} bytes allocated)`,
  );
}
