/**
 * A zone as one thread sees it: the definition with its callbacks, and the word indices of the
 * shared record and of this CPU's cache. Items are plain addresses; no JavaScript object is made
 * per item. Objects with fields are built on top of this.
 */

import {
  type Address,
  ArgumentError,
  enterCpu,
  limitHasSleepers,
  limitMax,
  lockRegistry,
  unlockRegistry,
} from '@umbuf/memory';
import { createZone, findZone } from './create.ts';
import { defineZone, fingerprint, type ZoneDefinition } from './definition.ts';
import { ZoneMismatchError } from './errors.ts';
import { giveBackTo, handHeight } from './hands.ts';
import { adoptItem } from './item-table.ts';
import { KegRecord, ZoneRecord } from './layout.ts';
import { zoneLimit } from './limit/reserve.ts';
import { setMax, setMaxcache } from './limit/set-max.ts';
import { type LimitStatistics, readLimitStatistics } from './limit/statistics.ts';
import type { Fields, Struct } from './typed/struct.ts';
import { typedZone, type TypedZone } from './typed/typed-zone.ts';
import { setZoneSmr, smrAt } from './smr/open.ts';
import type { Smr } from './smr/smr.ts';
import type { Uma } from './uma.ts';
import { zoneCache } from './zone-domain.ts';
import { readZoneStatistics, type ZoneStatistics } from './zone-statistics.ts';

const Z = ZoneRecord.fields;

/** The constructor only stores fields. */
export class Zone {
  readonly uma: Uma;
  readonly definition: ZoneDefinition;
  readonly name: string;
  /** Bytes per item. */
  readonly size: number;
  /** Word index of the zone record, of this CPU's cache, and of the keg. */
  readonly record: number;
  readonly cache: number;
  readonly keg: number;
  private readonly allocOne: (cache: number, flags: number, argument: number) => Address;
  private readonly freeOne: (cache: number, item: number, argument: number) => void;

  constructor(uma: Uma, definition: ZoneDefinition, record: number, keg: number) {
    this.uma = uma;
    this.definition = definition;
    this.name = definition.name;
    this.size = definition.size;
    this.record = record;
    this.cache = zoneCache(record, uma.cpu.number);
    this.keg = keg;
    this.allocOne = uma.operations.alloc;
    this.freeOne = uma.operations.free;
  }

  /**
   * Allocates one item (`uma_zalloc_arg`). `flags`: M_NOWAIT, with M_ZERO to clear it; `argument`
   * goes to the ctor. Returns NULL (0) when the arena is exhausted or the ctor refused, and on a
   * CPU that may not block when a lock is busy. The bytes are shared by whoever has the address;
   * their content is what ctor and the last user left. Throws what ctor, init or zinit threw, with
   * everything undone.
   */
  alloc(flags: number, argument: number = 0): Address {
    return this.allocOne(this.cache, flags, argument);
  }

  /**
   * Frees an item of this zone (`uma_zfree_arg`), allocated by any CPU; NULL is a no-op. Throws
   * from level `checks` on: `WrongZoneError`, `UnalignedFreeError`, `DoubleFreeError`, with
   * nothing changed; on a CPU that may not block `LockBusyError`, with nothing changed, when too
   * many frees wait for busy locks already. What a dtor, zfini or fini threw is thrown at the end,
   * with the item freed.
   */
  free(item: number, argument: number = 0): void {
    this.freeOne(this.cache, item, argument);
  }

  /**
   * Allocates up to `count` items into `items` from index `from`; returns how many it got (fewer
   * only when the zone is exhausted). `items` is an ordinary array or typed array.
   */
  allocMany(items: number[] | Int32Array, from: number, count: number, flags: number): number {
    checkRange('allocMany', items, from, count);
    for (let index = 0; index < count; index++) {
      const item = this.allocOne(this.cache, flags, 0);
      if (item === 0) return index;
      items[from + index] = item;
    }
    return count;
  }

  /** Frees `count` items of `items` from index `from`. From `checks` on a bad one throws; those before it are freed. */
  freeMany(items: ArrayLike<number>, from: number, count: number): void {
    checkRange('freeMany', items, from, count);
    if (from + count > items.length) {
      throw new ArgumentError(`freeMany: ${from} + ${count} is behind the array's ${items.length}`);
    }
    for (let index = 0; index < count; index++) this.freeOne(this.cache, items[from + index]!, 0);
  }

  /**
   * Limits the items outside the keg (held by users and cached) to `items`, 1 to 2^30 - 1, and
   * splits the caches accordingly; returns `items` (`uma_zone_set_max`). At any time, from any CPU:
   * a first limit begins with the items that are outside already, and a raised one wakes as many
   * sleepers as fit. Items above a lowered limit stay until they are freed. There is no way to take
   * the limit away. Throws `ArgumentError` out of range, `TableFullError` without pages for the
   * record, `LockBusyError` on a CPU that may not block; nothing has changed then.
   */
  setMax(items: number): number {
    this.enter();
    setMax(this.uma, this.record, items);
    return items;
  }

  /** The limit; 0 = none (`uma_zone_get_max`). */
  getMax(): number {
    const limit = zoneLimit(this.uma, this.record);
    return limit === 0 ? 0 : limitMax(this.uma, limit);
  }

  /** Items in users' hands, approximate while CPUs run (`uma_zone_get_cur`). */
  getCur(): number {
    return Math.max(0, this.statistics().live);
  }

  /**
   * Bounds the items that the zone caches to about `items`, 0 or more: the size of the CPUs'
   * buckets and the length of the domains' queues follow from it (`uma_zone_set_maxcache`). Buckets
   * that are larger already are drained, at the next slow path of a CPU that is running.
   */
  setMaxcache(items: number): void {
    this.enter();
    setMaxcache(this.uma, this.record, items);
  }

  /** Whether somebody waits for the limit: more than just "full" (`uma_zone_exhausted`). */
  exhausted(): boolean {
    const limit = zoneLimit(this.uma, this.record);
    return limit !== 0 && limitHasSleepers(this.uma, limit);
  }

  /** The limit and who waits for it; read without stopping anyone. */
  limitStatistics(): LimitStatistics {
    return readLimitStatistics(this.uma, this.record);
  }

  private enter(): void {
    const { cpu } = this.uma;
    if (cpu.words[cpu.entered] === 0) enterCpu(cpu);
  }

  /** This CPU becomes the item's holder in the item table (after it came over a ring). */
  adopt(item: Address): void {
    adoptItem(this.uma, this.record, item);
  }

  /**
   * The zone's items as objects with the fields of `struct`, from whose definition it was opened.
   * Throws `ZoneMismatchError` for any other.
   */
  of<F extends Fields>(struct: Struct<F>): TypedZone<F> {
    return typedZone(this, struct);
  }

  /**
   * Makes this an SMR zone (`uma_zone_set_smr`), before its first use: items are reused only when
   * no section of `smr` can see them. Throws `ZoneDefinitionError`, with nothing changed, when it is
   * one already, was used, or is open in another CPU (name the SMR in the definition then).
   */
  setSmr(smr: Smr): void {
    setZoneSmr(this.uma, this.record, smr);
  }

  /** The SMR that protects the items (`uma_zone_get_smr`); undefined for other zones. */
  getSmr(): Smr | undefined {
    const smr = this.uma.words[this.record + Z.smr.at]!;
    return smr === 0 ? undefined : smrAt(this.uma, smr);
  }

  /** Counters summed over all CPUs; read without stopping anyone. */
  statistics(): ZoneStatistics {
    return readZoneStatistics(this.uma, this.record);
  }
}

function checkRange(name: string, items: ArrayLike<number>, from: number, count: number): void {
  if (!Number.isInteger(from) || !Number.isInteger(count) || from < 0 || count < 0) {
    throw new ArgumentError(`${name}: from ${from} and count ${count} must be integers from 0`);
  }
  if (ArrayBuffer.isView(items) && from + count > items.length) {
    throw new ArgumentError(`${name}: ${from} + ${count} is behind the array's ${items.length}`);
  }
}

/** `uma.open`: finds the zone by name or makes it, and notes that this CPU has it open. */
export function openZone(uma: Uma, wanted: ZoneDefinition): Zone {
  const definition = defineZone(wanted);
  if (definition.primary !== undefined) uma.open(definition.primary);
  const { cpu, words } = uma;
  if (words[cpu.entered] === 0) enterCpu(cpu);
  let record = 0;
  lockRegistry(cpu);
  const height = handHeight(cpu);
  try {
    record = findZone(uma, definition.name);
    if (record === 0) record = createZone(uma, definition, 0);
  } finally {
    giveBackTo(cpu, height);
    unlockRegistry(cpu);
  }
  if (words[record + Z.fingerprint.at] !== fingerprint(definition)) {
    throw new ZoneMismatchError(
      `zone ${definition.name} exists with another size, alignment, flags, callbacks or version`,
    );
  }
  const id = words[record + Z.id.at]!;
  const known = uma.opened[id];
  if (known?.definition === definition) return known;
  const zone = new Zone(uma, definition, record, words[record + Z.keg.at]!);
  uma.opened[id] = zone;
  Atomics.or(words, record + Z.openers.at + (cpu.number >> 5), 1 << (cpu.number & 31));
  return zone;
}

/** Items per slab of a zone's keg. */
export function itemsPerSlab(zone: Zone): number {
  return zone.uma.words[zone.keg + KegRecord.fields.ipers.at]!;
}
