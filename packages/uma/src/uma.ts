/**
 * UMA in one thread: the zones of an arena as one CPU sees them. `Uma.attach(cpu)` makes the shared
 * root record on first use in the arena, with the internal zones in the order in which they need
 * each other: slab headers, item tables, buckets.
 *
 * Everything shared is in the arena; this object holds the views, the two hot functions, and which
 * zones this thread has opened (callbacks are JavaScript functions and cannot be shared).
 */

import {
  type Address,
  type Arena,
  ArgumentError,
  type Cpu,
  DebugLevel,
  enterCpu,
  type Kernels,
  lockRegistry,
  requireInteger,
  Root,
  STATIC_NEXT,
  staticSpace,
  TableFullError,
  UmbufError,
  unlockRegistry,
} from '@umbuf/memory';
import { BUCKET_ZONES } from './bucket-ladder.ts';
import { type CacheOperations, createCacheOperations } from './cache.ts';
import { createZone, findZone, readZoneName } from './create.ts';
import type { ZoneDefinition } from './definition.ts';
import { InternalFlag } from './flags.ts';
import { giveBackTo, handHeight } from './hands.ts';
import type { Injector } from './inject.ts';
import { offpageHeaderItemBytes } from './keg-layout.ts';
import { KegDomain, UmaRoot } from './layout.ts';
import { registerRepairs } from './recover.ts';
import { FailureReason } from './statistics/failures.ts';
import { openSmr } from './smr/open.ts';
import type { Smr } from './smr/smr.ts';
import { beginPeriods, watchPeriods } from './voluntary-trim.ts';
import { openZone, type Zone } from './zone.ts';
import { clearOpenerBits, digGrave, graveWords } from './zone-life.ts';

const R = UmaRoot.fields;

/** Sizes of the internal zones of item tables, bytes; a keg takes the first that fits. */
export const TABLE_ZONE_BYTES: readonly number[] = [256, 1024, 4096, 8192];

/** Tunables of an arena, set by the first thread that attaches UMA to it. */
export interface UmaOptions {
  /**
   * `vm.debug.divisor`: at level `invariants` only every Nth item is filled with trash and verified; 0 is
   * none, 1 (when absent) all. Live bits and redzones are checked for all.
   */
  readonly divisor?: number;
}

const attached = new WeakMap<Cpu, Uma>();

/** The constructor only stores fields. */
export class Uma {
  readonly cpu: Cpu;
  readonly arena: Arena;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly longs: BigInt64Array<SharedArrayBuffer>;
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly kernels: Kernels;
  /** Word index of the root record. */
  readonly root: number;
  readonly operations: CacheOperations;
  /** Word indices of the internal zones. */
  readonly slabZones: readonly number[];
  readonly tableZones: readonly number[];
  readonly bucketZones: readonly number[];
  /** Zones that this thread has opened, by number. */
  readonly opened: (Zone | undefined)[];
  /** Why the last step of an allocation gave up (a `FailureReason`); for whoever counts it. */
  why: number;
  /** Failure injection, for tests (inject.ts). */
  injector: Injector | undefined;
  /** The reason last counted. */
  failed: number;
  /** When a request of this thread that waits gives up (`performance.now()`, ms); Infinity: never. */
  waitUntil: number;
  /** Prints warnings: `console.warn` unless replaced. */
  warn: (text: string) => void;
  /** The keg for whose slab the last attempt found no pages, 0 when it found them. */
  shortKeg: number;
  /** This thread handles a shortage of pages, or ends a period: not again inside. */
  reclaiming: boolean;
  /** `performance.now()` at which this thread looks next whether a period is over. */
  nextPeriod: number;
  /** Slow paths until that look. */
  looksLeft: number;
  /** What other layers do in a shortage of pages (low-memory.ts). */
  readonly lowMemoryHandlers: Set<(uma: Uma) => void>;
  private pending: unknown;

  private constructor(cpu: Cpu, root: number) {
    this.cpu = cpu;
    this.arena = cpu.arena;
    this.words = cpu.words;
    this.longs = cpu.longs;
    this.bytes = cpu.bytes;
    this.kernels = cpu.kernels;
    this.root = root;
    this.slabZones = [];
    this.tableZones = [];
    this.bucketZones = [];
    this.opened = [];
    this.why = FailureReason.pages;
    this.injector = undefined;
    this.failed = 0;
    this.waitUntil = Infinity;
    this.warn = (text) => console.warn(text);
    this.shortKeg = 0;
    this.reclaiming = false;
    this.nextPeriod = Infinity;
    this.looksLeft = 0;
    this.lowMemoryHandlers = new Set();
    this.pending = undefined;
    this.operations = createCacheOperations(this);
  }

  /**
   * UMA as `cpu` sees it; the same object for the same Cpu. Throws `TableFullError` when the arena
   * has no pages for the root record and the internal zones, `ArgumentError` for bad options, and for
   * options that are not those with which the arena's first thread attached.
   */
  static attach(cpu: Cpu, options: UmaOptions = {}): Uma {
    const known = attached.get(cpu);
    if (known !== undefined) {
      checkOptions(known.words, known.root, options);
      return known;
    }
    requireInteger('divisor', options.divisor ?? 1, 0, 2 ** 31 - 1);
    if (cpu.words[cpu.entered] === 0) enterCpu(cpu);
    lockRegistry(cpu);
    const height = handHeight(cpu);
    let uma: Uma;
    try {
      const root = rootRecord(cpu, options) >> 2;
      checkOptions(cpu.words, root, options);
      uma = new Uma(cpu, root);
      bootstrap(uma);
    } finally {
      // A busy page pool leaves a void slot behind, and the lock's must be the top one.
      giveBackTo(cpu, height);
      unlockRegistry(cpu);
    }
    attached.set(cpu, uma);
    registerRepairs(cpu.arena);
    // A CPU that leaves by hand says itself when a period may end.
    if (cpu.queueLeave !== undefined) watchPeriods(uma);
    return uma;
  }

  /**
   * Opens a zone by its definition: creates it when the arena has none of that name. Throws
   * `ZoneMismatchError` when it exists with other data, `ZoneDefinitionError` for a definition
   * that cannot be, `TableFullError` when the zone table or the arena's pages are exhausted.
   */
  open(definition: ZoneDefinition): Zone {
    return openZone(this, definition);
  }

  /**
   * Opens a safe memory reclamation context by name (`smr_create`), made when the arena has none of
   * that name; the same object for the same name. Throws `ArgumentError` for a name that is no 1
   * to 63 bytes, `TableFullError` when the arena has no pages.
   */
  smr(name: string): Smr {
    return openSmr(this, name);
  }

  /** Name of the zone at word index `zone`. */
  zoneName(zone: number): string {
    return readZoneName(this.words, zone);
  }

  /** Zones made so far; entries below the count never change. */
  zoneCount(): number {
    return Atomics.load(this.words, this.root + R.zoneCount.at);
  }

  /** Word index of zone `id`. */
  zoneAt(id: number): number {
    return this.words[this.root + R.zones.at + id]!;
  }

  /** While set no new buckets are made; existing ones keep working. */
  bucketsDisabled(): boolean {
    return this.words[this.root + R.bucketDisable.at] !== 0;
  }

  bucketRowEntries(row: number): number {
    return BUCKET_ZONES[row]!.entries;
  }

  /** Keeps the first error of callbacks that may not stop an operation. */
  keepError(error: unknown): void {
    this.pending ??= error ?? new UmbufError(`a callback threw ${String(error)}`);
  }

  /** Sets aside what the operation around a callback has kept; `restoreError` brings it back. */
  takeError(): unknown {
    const error = this.pending;
    this.pending = undefined;
    return error;
  }

  restoreError(outer: unknown): void {
    if (outer !== undefined) this.pending = outer;
  }

  /**
   * Throws what was kept, at the end of the operation. An allocation that has an item to return
   * does not call it (the item would be lost): the next operation that has none does.
   */
  rethrow(): void {
    if (this.pending === undefined) return;
    const error = this.pending;
    this.pending = undefined;
    throw error;
  }
}

/** The divisor never changes: whoever fills an item and whoever verifies it must agree. */
function checkOptions(words: Int32Array, root: number, options: UmaOptions): void {
  const { divisor } = options;
  const known = words[root + R.divisor.at]!;
  if (divisor === undefined || divisor === known) return;
  throw new ArgumentError(`Uma.attach: divisor ${divisor}, but the arena's is ${known}`);
}

/** Uma of a Cpu for memory's hooks, which know only the Cpu. */
export function umaOf(cpu: Cpu): Uma {
  return attached.get(cpu) ?? Uma.attach(cpu);
}

/** Address of the root record, made when absent. Under the registry lock. */
function rootRecord(cpu: Cpu, options: UmaOptions): Address {
  const { words } = cpu;
  const known = Atomics.load(words, Root.uma);
  if (known !== 0) return known as Address;
  const root = staticSpace(cpu, UmaRoot.words * 4);
  if (root === 0) throw new TableFullError('Uma.attach: no pages for the root record');
  words[(root >> 2) + R.divisor.at] = options.divisor ?? 1;
  beginPeriods(cpu, root >> 2);
  // straight
  Atomics.store(words, Root.uma, root);
  words[STATIC_NEXT] = root + UmaRoot.words * 4;
  // end
  return root;
}

/**
 * The internal zones, found or made. Repeatable: a thread that dies between two of them leaves
 * the rest to the next. Under the registry lock.
 */
function bootstrap(uma: Uma): void {
  const invariants = uma.arena.level >= DebugLevel.invariants;
  const internal = (name: string, size: number, flags: number): number =>
    findZone(uma, name) || createZone(uma, { name, size, flags: 0 }, flags);
  const slabZones = uma.slabZones as number[];
  slabZones.push(
    internal('UMA Slabs 0', offpageHeaderItemBytes(256, invariants), InternalFlag.INTERNAL),
    internal('UMA Slabs 1', offpageHeaderItemBytes(512, invariants), InternalFlag.INTERNAL),
  );
  for (const size of TABLE_ZONE_BYTES) {
    (uma.tableZones as number[]).push(internal(`UMA Items ${size}`, size, InternalFlag.INTERNAL));
  }
  for (const { name, bytes } of BUCKET_ZONES) {
    (uma.bucketZones as number[]).push(internal(name, bytes, InternalFlag.BUCKET));
  }
  if (uma.words[uma.root + R.grave.at] === 0) makeGrave(uma);
  clearOpenerBits(uma);
}

/** Where the Zone objects of destroyed zones point to. */
function makeGrave(uma: Uma): void {
  const { words, cpu } = uma;
  const bytes = graveWords(uma.arena.domains * KegDomain.words) * 4;
  const address = staticSpace(cpu, bytes);
  if (address === 0) throw new TableFullError('Uma.attach: no pages for the root record');
  digGrave(uma, address >> 2);
  const end = address + bytes;
  // straight
  Atomics.store(words, uma.root + R.grave.at, address >> 2);
  words[STATIC_NEXT] = end;
  // end
}
