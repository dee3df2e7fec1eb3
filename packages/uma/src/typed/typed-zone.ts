/**
 * A zone of structs: items as objects (`using session = sessions.alloc()`), over the zone's plain
 * addresses. Made by `zone.of(struct)`, once per thread and zone; any thread may.
 *
 * Items come cleared. An owned pointer makes its target part of its struct: it is freed with it, first
 * looked at (each target must be alive, and a thing that is owned twice is refused), then freed, so that a
 * refusal changes nothing. Who dies in between leaves the rest as live items that he holds: they stand
 * in the leak report, as everything does that a dead user had.
 */

import { type Address, ArenaHeader, NULL } from '@umbuf/memory';
import { M_NOWAIT, M_ZERO } from '../flags.ts';
import { ForeignItemError, OwnershipError, StaleItemError, ZoneMismatchError } from '../errors.ts';
import { freeWithFeatures } from '../item.ts';
import { adoptItem, findEntry, isLive, itemEntry, itemGeneration } from '../item-table.ts';
import type { Uma } from '../uma.ts';
import type { Zone } from '../zone.ts';
import { type Accesses, createAccesses } from './access.ts';
import type { Field, Reference } from './field.ts';
import { createItemMaker, type ItemMaker, type TypedItem } from './item.ts';
import { type ItemMessage, requireMessage } from './message.ts';
import type { Fields, Struct, ValueOf } from './struct.ts';

/** Values to begin with, by field. */
export type Values<F extends Fields> = { readonly [Key in keyof F]?: ValueOf<F[Key]> };

/** Where an owned pointer stands, and the zone that it leads into. */
interface OwnedPointer {
  readonly get: (address: number) => Reference | undefined;
  readonly key: string;
  readonly target: string;
}

/** Typed zones that a thread has, by the name of their struct. */
const known = new WeakMap<Uma, Map<string, TypedZone<Fields>>>();

const NOTHING = Object.freeze({});
const NO_ENTRIES: readonly (readonly [string, unknown])[] = [];

/** The constructor only stores fields. */
export class TypedZone<F extends Fields> {
  readonly zone: Zone;
  readonly struct: Struct<F>;
  /** Fields by address, unchecked and without objects: `sessions.fields.hits.add(address, 1)`. */
  readonly fields: Accesses<F>;
  private readonly make: ItemMaker<F>;
  private readonly owned: readonly OwnedPointer[];

  constructor(zone: Zone, struct: Struct<F>) {
    this.zone = zone;
    this.struct = struct;
    this.fields = createAccesses(zone.uma.arena, struct);
    this.owned = ownedPointers(struct, this.fields);
    this.make = createItemMaker(this, struct);
  }

  /**
   * Allocates an item, cleared, with `values` in its fields (`uma_zalloc`). Undefined on exhaustion and
   * when the ctor refused. `flags`: as for `Zone.alloc`; M_ZERO is implied unless the zone has a ctor, which
   * then has to write every field. Throws `FieldValueError` for a value that a field cannot hold, with
   * nothing allocated, and what the ctor threw.
   */
  alloc(values: Values<F> = NOTHING, flags: number = M_NOWAIT): TypedItem<F> | undefined {
    const entries = values === NOTHING ? NO_ENTRIES : Object.entries(values);
    for (const [key, value] of entries) {
      const access = this.fields[key];
      if (access === undefined) {
        throw new ForeignItemError(`struct ${this.struct.name} has no field ${key}`);
      }
      (access.check as (value: unknown) => void)(value);
    }
    const cleared = this.zone.definition.ctor === undefined ? M_ZERO : 0;
    const address = this.zone.alloc(flags | cleared);
    if (address === NULL) return undefined;
    for (const [key, value] of entries) {
      (this.fields[key]!.set as (address: number, value: unknown) => void)(address, value);
    }
    return this.make({ address, generation: generationOf(this.zone, address) }, true);
  }

  /**
   * An object over an item that others own: what a pointer leads to. It does not free. Throws
   * `StaleItemError` when that life of the item has ended.
   */
  at(item: Reference): TypedItem<F> {
    return this.make(item, false);
  }

  /** An object over a live item known by its address alone (an atomic pointer's). It does not free. */
  atAddress(address: Address): TypedItem<F> {
    const entry = findEntry(this.zone.uma, this.zone.record, address);
    if (entry === 0 || !isLive(this.zone.uma, entry)) {
      throw new StaleItemError(`zone ${this.zone.name}: no item lives at ${address}`);
    }
    return this.make({ address, generation: itemGeneration(this.zone.uma, entry) }, false);
  }

  /**
   * Makes this CPU the owner of an item that came in a message of `handOver`. Throws `ForeignItemError` for
   * an item of another arena or zone, `StaleItemError` when it is no more.
   */
  adopt(message: ItemMessage): TypedItem<F> {
    const item = this.make(requireMessage(this.zone, message), true);
    adoptItem(this.zone.uma, this.zone.record, item.address);
    return item;
  }

  /** An object that does not own the item of a message of `reference`. Throws as `adopt` does. */
  borrow(message: ItemMessage): TypedItem<F> {
    return this.make(requireMessage(this.zone, message), false);
  }

  /** The message for an item of this zone. */
  message(item: Reference): ItemMessage {
    const { zone } = this;
    return {
      umbufItem: 1,
      arena: zone.uma.longs[ArenaHeader.fields.identity.at >> 1]!,
      zone: zone.name,
      address: item.address,
      generation: item.generation,
    };
  }

  /** Frees an item of this zone with all that it owns. For typed items; see `ItemHandle.free`. */
  release(item: Reference): void {
    const { uma, cache } = this.zone;
    if (this.owned.length === 0) {
      freeWithFeatures(uma, cache, item.address, 0, item.generation);
      return;
    }
    const all = ownedTree(uma, this as unknown as TypedZone<Fields>, item);
    // Behind this point only another thread's free of the same item can make one fail; the rest is freed.
    let failure: unknown;
    for (const { zone, reference } of all) {
      try {
        freeWithFeatures(uma, zone.zone.cache, reference.address, 0, reference.generation);
      } catch (error) {
        failure ??= error;
      }
    }
    if (failure !== undefined) throw failure;
  }

  /** Word index of the entry of `address` in the item table; 0 when it is no item of this zone. */
  entryOf(address: number): number {
    return findEntry(this.zone.uma, this.zone.record, address);
  }

  /** The owned pointers of an item that are not empty. */
  ownedBy(address: number): readonly (OwnedPointer & { readonly to: Reference })[] {
    const found: (OwnedPointer & { readonly to: Reference })[] = [];
    for (const pointer of this.owned) {
      const to = pointer.get(address);
      if (to !== undefined) found.push({ ...pointer, to });
    }
    return found;
  }
}

/** `zone.of(struct)`. Throws `ZoneMismatchError` when the zone was not made for this struct. */
export function typedZone<F extends Fields>(zone: Zone, struct: Struct<F>): TypedZone<F> {
  const { definition } = zone;
  const wanted = struct.definition;
  if (
    definition.holders !== true ||
    definition.size !== wanted.size ||
    definition.version !== wanted.version
  ) {
    throw new ZoneMismatchError(
      `zone ${zone.name} was not defined for struct ${struct.name}: spread its definition`,
    );
  }
  let zones = known.get(zone.uma);
  if (zones === undefined) {
    zones = new Map();
    known.set(zone.uma, zones);
  }
  const made = zones.get(struct.name);
  if (made?.zone === zone && made.struct === (struct as unknown)) {
    return made as unknown as TypedZone<F>;
  }
  const typed = new TypedZone(zone, struct);
  zones.set(struct.name, typed as unknown as TypedZone<Fields>);
  return typed;
}

/** An item and all that it owns, itself first. Throws and changes nothing unless it is a tree of live items. */
function ownedTree(
  uma: Uma,
  zone: TypedZone<Fields>,
  root: Reference,
): readonly { readonly zone: TypedZone<Fields>; readonly reference: Reference }[] {
  const all = [{ zone, reference: root }];
  const seen = new Set([root.address]);
  // Ends: `seen` admits each address once.
  for (let index = 0; index < all.length; index++) {
    const parent = all[index]!;
    for (const { key, target, to } of parent.zone.ownedBy(parent.reference.address)) {
      const where = `${parent.zone.struct.name}.${key} of the item at ${parent.reference.address}`;
      const targetZone = known.get(uma)?.get(target);
      if (targetZone === undefined) {
        throw new OwnershipError(`${where} owns a ${target}, whose zone this thread has not typed`);
      }
      if (seen.has(to.address)) throw new OwnershipError(`${where}: ${to.address} is owned twice`);
      seen.add(to.address);
      targetZone.at(to);
      all.push({ zone: targetZone, reference: to });
    }
  }
  return all;
}

function ownedPointers<F extends Fields>(
  struct: Struct<F>,
  fields: Accesses<F>,
): readonly OwnedPointer[] {
  return Object.entries(struct.fields as Record<string, Field<unknown>>)
    .filter(([, field]) => field.ownership === 'owned')
    .map(([key, field]) => ({
      key,
      target: field.target!,
      get: fields[key]!.get as (address: number) => Reference | undefined,
    }));
}

function generationOf(zone: Zone, address: Address): number {
  return itemGeneration(zone.uma, itemEntry(zone.uma, zone.keg, address));
}
