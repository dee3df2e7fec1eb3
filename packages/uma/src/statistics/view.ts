/**
 * UMA as a reader sees it: the arena's zones without a CPU. Statistics are read through this, so that
 * a dump of an arena, in which every CPU number is taken, can be read like a living one. A `Uma` is
 * a view too.
 */

import { type Arena, Root } from '@umbuf/memory';
import { readZoneName } from '../create.ts';
import { InternalFlag } from '../flags.ts';
import { KegRecord, UmaRoot, ZoneRecord } from '../layout.ts';
import { ZoneState, zoneState } from '../zone-life.ts';

const R = UmaRoot.fields;

export interface UmaView {
  readonly arena: Arena;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly longs: BigInt64Array<SharedArrayBuffer>;
  /** Word index of the root record. */
  readonly root: number;
}

/** The zones of an arena; undefined when no thread has attached UMA to it yet. */
export function viewUma(arena: Arena): UmaView | undefined {
  const { words, longs } = arena;
  const root = Atomics.load(words, Root.uma);
  return root === 0 ? undefined : { arena, words, longs, root: root >> 2 };
}

/** Word indices of all zones that are not destroyed, in the order of their creation. */
export function zonesOf(view: UmaView): number[] {
  const zones: { zone: number; made: number }[] = [];
  const count = Atomics.load(view.words, view.root + R.zoneCount.at);
  for (let id = 0; id < count; id++) {
    const zone = view.words[view.root + R.zones.at + id]!;
    if (zoneState(view, zone) === ZoneState.dead) continue;
    zones.push({ zone, made: view.words[zone + ZoneRecord.fields.made.at]! });
  }
  // A zone may have the number of one that was destroyed.
  return zones.sort((left, right) => left.made - right.made).map(({ zone }) => zone);
}

/** Name of the zone at word index `zone`. */
export function zoneName(view: UmaView, zone: number): string {
  return readZoneName(view.words, zone);
}

/** Word index of the zone's keg; 0 for a cache zone. */
export function zoneKeg(view: UmaView, zone: number): number {
  const cache = (view.words[zone + ZoneRecord.fields.flags.at]! & InternalFlag.CACHE) !== 0;
  return cache ? 0 : view.words[zone + ZoneRecord.fields.keg.at]!;
}

/** Whether the zone is the first of its keg. */
export function isFirstOfKeg(view: UmaView, zone: number): boolean {
  return view.words[zoneKeg(view, zone) + KegRecord.fields.zone.at] === zone;
}
