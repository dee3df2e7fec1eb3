/** Zones for checks: an arena with UMA attached on every virtual CPU, and one more that inspects. */
import { type Arena, type ArenaOptions, leaveCpu } from '@umbuf/memory';
import {
  CacheRecord,
  EventRecord,
  type FsckReport,
  KegDomain,
  KegRecord,
  M_NOWAIT,
  reclaim,
  Uma,
  UmaRoot,
  type Zone,
  zoneCache,
  type ZoneDefinition,
  ZoneDomain,
  zoneDomain,
  ZoneRecord,
} from '@umbuf/uma';
import { areHandsEmpty, type Machine, machine } from './arena.ts';
// @ts-expect-error -- the query is the explorer's; the types are those of ./inspect.ts
import { inspector as makeInspector } from './inspect.ts?native';
import type { ArenaWords } from './words.ts';

const inspector: typeof import('./inspect.ts').inspector = makeInspector;

/** fsck by ordinary code, behind the end of a run. */
export type Inspect = () => FsckReport;

/** An inspector of `arena` on CPU `number`; to be made when all zones are. */
export function inspect(arena: Arena, number: number): Inspect {
  return inspector(arena.memory as SharedArrayBuffer, number);
}

export interface ZoneMachine extends Machine {
  /** The same zone, as each virtual CPU opened it. */
  readonly zones: readonly Zone[];
  readonly inspect: Inspect;
}

/** `cpus` virtual CPUs that all have `definition` open and are idle; its keg has no slab. */
export function zoneMachine(
  words: ArenaWords,
  cpus: number,
  definition: ZoneDefinition,
  options: Partial<ArenaOptions> = {},
): ZoneMachine {
  const made = machine(words, { bytes: 262_144, ...options, cpus: cpus + 1 }, [], cpus);
  const zones: Zone[] = [];
  for (const cpu of made.cpus) {
    const uma = Uma.attach(cpu);
    const zone = uma.open(definition);
    zones.push(zone);
    // The buckets' own zones get their slabs now; the zone's go back to the page pool.
    zone.free(zone.alloc(M_NOWAIT));
    reclaim(uma, 'drain-cpu', zone.record);
    leaveCpu(cpu);
  }
  placeZones(words, zones[0]!.uma);
  return { ...made, zones, inspect: inspect(made.arena, cpus) };
}

/** Declares the root, every zone with its caches and queues, and every keg. */
export function placeZones(words: ArenaWords, uma: Uma): void {
  const { arena } = uma;
  words.place(UmaRoot, uma.root, 'uma');
  for (let id = 0; id < uma.zoneCount(); id++) {
    const zone = uma.zoneAt(id);
    const name = uma.zoneName(zone);
    const keg = uma.words[zone + ZoneRecord.fields.keg.at]!;
    words.place(ZoneRecord, zone, name);
    words.place(KegRecord, keg, `${name} keg`);
    for (let cpu = 0; cpu < arena.cpus; cpu++) {
      words.place(CacheRecord, zoneCache(zone, cpu), `${name} cache ${cpu}`);
      const events = uma.words[zone + ZoneRecord.fields.events.at]! + cpu * EventRecord.words;
      words.place(EventRecord, events, `${name} events ${cpu}`);
    }
    for (let domain = 0; domain < arena.domains; domain++) {
      words.place(ZoneDomain, zoneDomain(uma, zone, domain), `${name} queue ${domain}`);
      const kegDomain = keg + KegRecord.words + domain * KegDomain.words;
      words.place(KegDomain, kegDomain, `${name} keg ${domain}`);
    }
  }
}

/** Allocates one item and writes its CPU into it, plainly: nobody else may have it. 0: none. */
export function alloc({ zones }: ZoneMachine, number: number): number {
  const zone = zones[number]!;
  const item = zone.alloc(M_NOWAIT);
  if (item !== 0) zone.uma.words[item >> 2] = number + 1;
  return item;
}

/** Reads what `alloc` wrote, and frees. */
export function free({ zones }: ZoneMachine, number: number, item: number): void {
  const zone = zones[number]!;
  if (item === 0) return;
  if (zone.uma.words[item >> 2] !== number + 1) throw new Error(`item ${item} was written`);
  zone.free(item);
}

/** The end of a job. */
export function leave({ cpus }: Machine, number: number): void {
  leaveCpu(cpus[number]!);
}

/**
 * Empty hands, a clean fsck, and `live` items of the zone in users' hands; after a death that took
 * a user's item with it before the user had noted it, one more.
 */
export function isClean(made: ZoneMachine, live: number, oneMore: boolean = false): boolean {
  if (!areHandsEmpty(made)) return false;
  const report = made.inspect();
  if (report.violations.length > 0) throw new Error(report.violations.join('; '));
  const found = report.live[made.zones[0]!.name]!;
  if (found !== live && !(oneMore && found === live + 1)) {
    throw new Error(`${found} items live, ${live} expected`);
  }
  return true;
}
