/**
 * Stranded items: free items in the caches of CPUs that are doing nothing. No other CPU gets at them
 * by itself (spec 2.6: a zone at its limit can fail although free items exist); a drain does.
 */

import { CpuRecord, CpuState, STATE_KIND_MASK, stateIncarnation } from '@umbuf/memory';
import { ZoneRecord } from '../layout.ts';
import { cachedItems } from './zone-stats.ts';
import { type UmaView, zonesOf } from './view.ts';

export type StrandedState = 'idle' | 'offline' | 'dead';

export interface StrandedCpu {
  readonly cpu: number;
  readonly state: StrandedState;
  /** Items in its caches, and their bytes. */
  readonly items: number;
  readonly bytes: number;
}

/** State of a CPU that runs nothing; undefined while it runs, or is being drained or recovered. */
export function restingState(view: UmaView, cpu: number): StrandedState | undefined {
  const { words, arena } = view;
  const kind = Atomics.load(words, arena.cpuTable + cpu * CpuRecord.words) & STATE_KIND_MASK;
  if (kind === CpuState.idle) return 'idle';
  if (kind === CpuState.offline) return 'offline';
  return kind === CpuState.dead ? 'dead' : undefined;
}

/** Whether a thread has ever held the number. */
export function wasOnline(view: UmaView, cpu: number): boolean {
  const state = Atomics.load(view.words, view.arena.cpuTable + cpu * CpuRecord.words);
  return stateIncarnation(state) > 0;
}

/** Items of one zone in the cache of CPU `cpu` if that CPU rests, else 0. */
export function strandedItems(view: UmaView, zone: number, cpu: number): number {
  return restingState(view, cpu) === undefined ? 0 : cachedItems(view, zone, cpu);
}

/** What lies in the caches of resting CPUs, over all zones or one; CPUs with nothing left out. */
export function readStranded(view: UmaView, zone?: number): StrandedCpu[] {
  const zones = zone === undefined ? zonesOf(view) : [zone];
  const stranded: StrandedCpu[] = [];
  for (let cpu = 0; cpu < view.arena.cpus; cpu++) {
    const state = restingState(view, cpu);
    if (state === undefined) continue;
    let items = 0;
    let bytes = 0;
    for (const each of zones) {
      const cached = cachedItems(view, each, cpu);
      items += cached;
      bytes += cached * view.words[each + ZoneRecord.fields.size.at]!;
    }
    if (items > 0) stranded.push({ cpu, state, items, bytes });
  }
  return stranded;
}
