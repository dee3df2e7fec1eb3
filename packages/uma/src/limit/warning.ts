/**
 * The warning of a zone that meets its limit (`uma_zone_set_warning`, spec 3.4). The text stands in
 * the arena, so whichever CPU meets the limit prints it, and whichever comes first within 300
 * seconds is the only one.
 *
 * Time base: wall-clock seconds of `performance.timeOrigin + performance.now()`, since a worker's
 * `performance.now()` alone begins with the worker. (The kernel's is the uptime.)
 */

import {
  ArgumentError,
  lockRegistry,
  STATIC_NEXT,
  staticSpace,
  TableFullError,
  unlockRegistry,
} from '@umbuf/memory';
import { giveBackTo, handHeight } from '../hands.ts';
import { UmaRoot, ZoneRecord } from '../layout.ts';
import type { Uma } from '../uma.ts';

const Z = ZoneRecord.fields;
const OFF = UmaRoot.fields.warningsOff.at;

/** Seconds between two warnings of one zone (`zone_warn_interval`). */
export const WARNING_INTERVAL_S = 300;

/** Bytes of UTF-8 that a warning may have. */
export const WARNING_BYTES_MAX = 124;

/** `vm.zone_warnings`: whether limits are warned of, in the whole arena. On unless it was turned off. */
export function zoneWarnings(uma: Pick<Uma, 'words' | 'root'>): boolean {
  return Atomics.load(uma.words, uma.root + OFF) === 0;
}

/** Sets `vm.zone_warnings`. */
export function setZoneWarnings(uma: Pick<Uma, 'words' | 'root'>, on: boolean): void {
  Atomics.store(uma.words, uma.root + OFF, on ? 0 : 1);
}

/** Publishes a text; the record of an older one stays as it is, for whoever is reading it. */
export function setWarning(uma: Uma, zone: number, text: string): void {
  const { cpu, words } = uma;
  const encoded = new TextEncoder().encode(text);
  if (encoded.length === 0 || encoded.length > WARNING_BYTES_MAX) {
    throw new ArgumentError(
      `setWarning: ${encoded.length} bytes of UTF-8 are not from 1 to ${WARNING_BYTES_MAX}`,
    );
  }
  lockRegistry(cpu);
  const height = handHeight(cpu);
  try {
    const bytes = 4 + encoded.length;
    const address = staticSpace(cpu, bytes);
    if (address === 0) {
      throw new TableFullError(`zone ${uma.zoneName(zone)}: no pages for its warning`);
    }
    words[address >> 2] = encoded.length;
    uma.bytes.set(encoded, address + 4);
    // straight
    Atomics.store(words, zone + Z.warning.at, address >> 2);
    words[STATIC_NEXT] = (address + bytes + 3) & -4;
    // end
  } finally {
    giveBackTo(cpu, height);
    unlockRegistry(cpu);
  }
}

/** Prints the zone's warning, if it has one that is due at `now` (seconds; the present by default). */
export function warnOfLimit(uma: Uma, zone: number, now: number = presentSeconds()): void {
  const { words } = uma;
  const text = Atomics.load(words, zone + Z.warning.at);
  if (text === 0 || !zoneWarnings(uma)) return;
  const seen = Atomics.load(words, zone + Z.lastWarning.at);
  // A clock that was set back is as good a reason to print as one that has gone on.
  if (seen !== 0 && now >= seen && now - seen < WARNING_INTERVAL_S) return;
  if (Atomics.compareExchange(words, zone + Z.lastWarning.at, seen, now) !== seen) return;
  const from = (text + 1) * 4;
  // A private copy: TextDecoder refuses shared views in browsers.
  const encoded = uma.bytes.slice(from, from + words[text]!);
  uma.warn(`[zone: ${uma.zoneName(zone)}] ${new TextDecoder().decode(encoded)}`);
}

function presentSeconds(): number {
  return Math.floor((performance.timeOrigin + performance.now()) / 1000);
}
