/**
 * Running a zone's callbacks. Rules (design.md): a throwing ctor, init or zinit fails its step and
 * is rethrown after everything was undone; a throwing dtor, fini or zfini does not stop the
 * operation and is reported once at its end; a returned promise is a typed error. An operation
 * reports one error, its first.
 *
 * A callback may use the allocator. What the operation around it has kept to report is set aside
 * meanwhile, so that an inner operation reports its own errors only.
 *
 * A thread that has not opened the zone runs none of its callbacks. Only a repair can get here in
 * one: a zone fini or keg fini is left out then, and counted.
 */

import { type Address, Panic } from '@umbuf/memory';
import { AsyncCallbackError } from './errors.ts';
import { CallbackBit, KegRecord, ZoneRecord } from './layout.ts';
import type { Uma } from './uma.ts';
import type { Zone } from './zone.ts';

/** The zone as this thread opened it; a Panic when it has not. */
export function openedZone(uma: Uma, zone: number): Zone {
  const opened = uma.opened[uma.words[zone + ZoneRecord.fields.id.at]!];
  if (opened === undefined) {
    throw new Panic(
      `zone ${uma.zoneName(zone)} has callbacks and is not open in CPU ${uma.cpu.number}`,
    );
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
  const outer = uma.takeError();
  const result: unknown = opened.definition[which]!(opened, item as Address, flags);
  uma.restoreError(outer);
  return refusal(opened, which, result);
}

/** Runs the ctor; true when it refused the item. */
export function runCtor(
  uma: Uma,
  zone: number,
  item: number,
  argument: number,
  flags: number,
): boolean {
  const opened = openedZone(uma, zone);
  const outer = uma.takeError();
  const result: unknown = opened.definition.ctor!(opened, item as Address, argument, flags);
  uma.restoreError(outer);
  return refusal(opened, 'ctor', result);
}

/** Runs the dtor; a throw is kept for the end of the operation. */
export function runDtor(uma: Uma, zone: number, item: number, argument: number): void {
  const opened = openedZone(uma, zone);
  const outer = uma.takeError();
  try {
    noPromise(opened, 'dtor', opened.definition.dtor!(opened, item as Address, argument));
    uma.restoreError(outer);
  } catch (error) {
    uma.restoreError(outer);
    uma.keepError(error);
  }
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
  if (!mayRun(uma, zone, CallbackBit.zfini)) return;
  const opened = openedZone(uma, zone);
  const outer = uma.takeError();
  try {
    noPromise(opened, 'zfini', opened.definition.zfini!(opened, item as Address));
    uma.restoreError(outer);
  } catch (error) {
    uma.restoreError(outer);
    uma.keepError(error);
  }
}

/** `importItems` of a cache zone; what it returned is the caller's to check. A throw goes through. */
export function runImport(
  uma: Uma,
  zone: number,
  store: Int32Array,
  domain: number,
  flags: number,
): unknown {
  const opened = openedZone(uma, zone);
  const outer = uma.takeError();
  const { definition } = opened;
  const result: unknown = definition.importItems!(opened, store, store.length, domain, flags);
  uma.restoreError(outer);
  noPromise(opened, 'importItems', result);
  return result;
}

/** `releaseItems` of a cache zone; a throw is kept for the end of the operation. */
export function runRelease(uma: Uma, zone: number, store: Int32Array, count: number): void {
  const opened = openedZone(uma, zone);
  const outer = uma.takeError();
  try {
    const { definition } = opened;
    noPromise(opened, 'releaseItems', definition.releaseItems!(opened, store, count));
    uma.restoreError(outer);
  } catch (error) {
    uma.restoreError(outer);
    uma.keepError(error);
  }
}

/** Keg fini; a throw is kept for the end of the operation. */
export function runFini(uma: Uma, keg: number, item: number): void {
  const opened = openedZone(uma, uma.words[keg + KegRecord.fields.zone.at]!);
  const outer = uma.takeError();
  try {
    noPromise(opened, 'fini', opened.definition.fini!(opened, item as Address));
    uma.restoreError(outer);
  } catch (error) {
    uma.restoreError(outer);
    uma.keepError(error);
  }
}

/** Whether this thread can run the callback, if the zone has it. When not, that is counted. */
export function mayRun(uma: Uma, zone: number, callback: number): boolean {
  if (canRun(uma, zone, callback)) return true;
  Atomics.add(uma.words, zone + ZoneRecord.fields.needsOpener.at, 1);
  return false;
}

/** `mayRun` without counting. */
export function canRun(uma: Uma, zone: number, callback: number): boolean {
  const { words } = uma;
  // Items that leave a cache zone pass both.
  const needed =
    (callback & CallbackBit.zfini) !== 0 ? callback | CallbackBit.releaseItems : callback;
  if ((words[zone + ZoneRecord.fields.callbacks.at]! & needed) === 0) return true;
  return uma.opened[words[zone + ZoneRecord.fields.id.at]!] !== undefined;
}

/** Throws `AsyncCallbackError` when a callback without a result returned a promise. */
export function noPromise(zone: Zone, which: string, result: unknown): void {
  if (typeof result === 'object' && result !== null && 'then' in result) {
    throw new AsyncCallbackError(`zone ${zone.name}: ${which} returned a promise`);
  }
}
