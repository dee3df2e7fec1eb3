/**
 * Running a zone's callbacks. Rules (design.md): a throwing ctor, init or zinit fails its step and
 * is rethrown after everything was undone; a throwing dtor, fini or zfini does not stop the
 * operation and is reported once at its end; a returned promise is a typed error.
 *
 * A thread that has not opened the zone never gets here: `uma.opened` tells.
 */

import { type Address, Panic } from '@umbuf/memory';
import { AsyncCallbackError } from './errors.ts';
import { KegRecord, ZoneRecord } from './layout.ts';
import type { Uma } from './uma.ts';
import type { Zone } from './zone.ts';

/** The zone as this thread opened it; a Panic when it has not. */
export function openedZone(uma: Uma, zone: number): Zone {
  const opened = uma.opened[uma.words[zone + ZoneRecord.fields.id.at]!];
  if (opened === undefined) {
    throw new Panic(`zone at ${zone * 4} has callbacks and is not open in CPU ${uma.cpu.number}`);
  }
  return opened;
}

/** Runs zinit or (with a keg's primary zone) init; true when it refused the item. */
export function runInit(
  uma: Uma,
  zone: number,
  which: 'init' | 'zinit',
  item: number,
  flags: number,
): boolean {
  const opened = openedZone(uma, zone);
  const result: unknown = opened.definition[which]!(opened, item as Address, flags);
  return refusal(opened, which, result);
}

/** Whether a ctor, init or zinit refused: a non-zero number. A promise is an error. */
export function refusal(zone: Zone, which: string, result: unknown): boolean {
  if (result === undefined || result === 0) return false;
  if (typeof result === 'object' && result !== null && 'then' in result) {
    throw new AsyncCallbackError(`zone ${zone.name}: ${which} returned a promise`);
  }
  return true;
}

/** Zone fini; a throw is kept for the end of the operation. */
export function runZfini(uma: Uma, zone: number, item: number): void {
  const opened = openedZone(uma, zone);
  try {
    noPromise(opened, 'zfini', opened.definition.zfini!(opened, item as Address));
  } catch (error) {
    uma.keepError(error);
  }
}

/** Keg fini; a throw is kept for the end of the operation. */
export function runFini(uma: Uma, keg: number, item: number): void {
  const opened = openedZone(uma, uma.words[keg + KegRecord.fields.zone.at]!);
  try {
    noPromise(opened, 'fini', opened.definition.fini!(opened, item as Address));
  } catch (error) {
    uma.keepError(error);
  }
}

/** Throws `AsyncCallbackError` when a callback without a result returned a promise. */
export function noPromise(zone: Zone, which: string, result: unknown): void {
  if (typeof result === 'object' && result !== null && 'then' in result) {
    throw new AsyncCallbackError(`zone ${zone.name}: ${which} returned a promise`);
  }
}
