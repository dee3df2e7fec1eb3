/**
 * A typed item: an object over one item of a typed zone, with a property for each field of its struct.
 *
 * It carries the generation of the item's life and is checked at every access, at every debug level: one
 * whose item was freed, by whomever, throws `StaleItemError` and never shows somebody else's object.
 * Two loads decide: the entry in the item table, then the epoch of the item's page. In this order,
 * because the table may go when its slab does: an epoch that has not moved (it only grows) says that the
 * entry read before it was this item's. What the item's holders do to it at the same moment is theirs to
 * synchronise, as with any memory.
 *
 * Its properties are accessors, which `interleave` cannot suspend: explored code uses access.ts.
 */

import { type Address, PAGE_SHIFT, PageEntry } from '@umbuf/memory';
import { StaleItemError } from '../errors.ts';
import { isLive, itemGeneration } from '../item-table.ts';
import { ItemEntry } from '../layout.ts';
import type { Access } from './access.ts';
import type { Reference } from './field.ts';
import { forgetOwner, rememberOwner } from './forgotten.ts';
import type { Fields, Struct, ValueOf } from './struct.ts';
import type { ItemMessage } from './message.ts';
import type { TypedZone } from './typed-zone.ts';

const STATE = ItemEntry.fields.state.at;
const EPOCH = PageEntry.fields.epoch.at;

/** What every typed item has besides its fields. */
export interface ItemHandle extends Reference, Disposable {
  /** The item's address; throws `StaleItemError` when its life has ended. */
  readonly address: Address;
  readonly generation: number;
  /** Whether the item still lives. Never throws. */
  readonly alive: boolean;
  /**
   * Frees the item, and what its owned pointers lead to. Throws `StaleItemError` when it is freed
   * already. At the end of a `using` block an item that this object owns is freed like this.
   */
  free(): void;
  /**
   * Gives the item away: returns the message that `adopt` of another CPU makes an owner of. This object
   * is at its end.
   */
  handOver(): ItemMessage;
  /** A message that others may `borrow` from while the owner keeps the item alive. */
  reference(): ItemMessage;
}

/** A typed item: `ItemHandle`, and the fields as properties. */
export type TypedItem<F extends Fields> = ItemHandle & {
  -readonly [Key in keyof F]: ValueOf<F[Key]>;
};

/** Makes the objects of one typed zone. */
export type ItemMaker<F extends Fields> = (item: Reference, owns: boolean) => TypedItem<F>;

/** What an object knows of its item. */
export interface Life extends Reference {
  readonly zone: TypedZone<Fields>;
  /** Word indices of the item's entry in the item table (0: the object is at its end) and of its page's epoch. */
  entry: number;
  readonly epochWord: number;
  /** The epoch that stood there. */
  readonly epoch: number;
  readonly owns: boolean;
  /** Views of its fields of bytes, made at the first access. */
  views: Record<string, unknown> | undefined;
}

/** Base of the classes that `createItemMaker` makes. Its state is private: any name may be a field's. */
export class Item implements ItemHandle {
  readonly #life: Life;

  constructor(life: Life) {
    this.#life = life;
  }

  static lifeOf(item: Item): Life {
    return item.#life;
  }

  get address(): Address {
    return requireAlive(this.#life);
  }

  get generation(): number {
    return this.#life.generation;
  }

  get alive(): boolean {
    return isAlive(this.#life);
  }

  free(): void {
    const life = this.#life;
    requireAlive(life);
    life.zone.release(life);
    end(this);
  }

  handOver(): ItemMessage {
    const message = this.reference();
    end(this);
    return message;
  }

  reference(): ItemMessage {
    const life = this.#life;
    requireAlive(life);
    return life.zone.message(life);
  }

  [Symbol.dispose](): void {
    if (this.#life.owns && this.#life.entry !== 0) this.free();
  }
}

/** Makes the class of a struct's items, with an accessor for each field. */
export function createItemMaker<F extends Fields>(
  typed: TypedZone<F>,
  struct: Struct<F>,
): ItemMaker<F> {
  const zone = typed as unknown as TypedZone<Fields>;
  class StructItem extends Item {}
  Object.defineProperty(StructItem, 'name', { value: struct.name });
  for (const [key, access] of Object.entries(zone.fields)) {
    const views = struct.fields[key]!.format === 'bytes';
    Object.defineProperty(
      StructItem.prototype,
      key,
      accessor(key, access as Access<unknown>, views),
    );
  }
  return (item, owns) => {
    const made = new StructItem(lifeOf(zone, item, owns));
    if (owns) watch(made);
    return made as unknown as TypedItem<F>;
  };
}

/** Reports the object when it is collected while its item lives. */
function watch(item: Item): void {
  const { uma, name } = Item.lifeOf(item).zone.zone;
  const { address, generation, entry } = Item.lifeOf(item);
  const lives = (): boolean => isLive(uma, entry) && itemGeneration(uma, entry) === generation;
  rememberOwner(item, uma, name, { address, generation, lives });
}

function accessor(key: string, access: Access<unknown>, views: boolean): PropertyDescriptor {
  const { get, set, check } = access;
  return {
    enumerable: true,
    // A view of bytes is an object: made at the first access and kept.
    get: views
      ? function bytesOf(this: Item): unknown {
          const life = Item.lifeOf(this);
          const address = requireAlive(life);
          life.views ??= {};
          return (life.views[key] ??= get(address));
        }
      : function valueOf(this: Item): unknown {
          return get(requireAlive(Item.lifeOf(this)));
        },
    set: function store(this: Item, value: unknown): void {
      check(value);
      set(requireAlive(Item.lifeOf(this)), value);
    },
  };
}

/** Finds the words of an item; throws `StaleItemError` when that life of it has ended. */
function lifeOf(zone: TypedZone<Fields>, { address, generation }: Reference, owns: boolean): Life {
  const { words, arena } = zone.zone.uma;
  const entry = zone.entryOf(address);
  // An address out of range has no page; it has no entry either.
  const epochWord =
    entry === 0 ? 0 : arena.pageTable + (address >> PAGE_SHIFT) * PageEntry.words + EPOCH;
  const epoch = Atomics.load(words, epochWord);
  const life = { zone, address, generation, entry, epochWord, epoch, owns, views: undefined };
  if (!isAlive(life)) throw stale(life);
  return life;
}

function isAlive({ zone, entry, generation, epochWord, epoch }: Life): boolean {
  if (entry === 0) return false;
  const { words } = zone.zone.uma;
  return (
    Atomics.load(words, entry + STATE) === ((generation << 1) | 1) &&
    Atomics.load(words, epochWord) === epoch
  );
}

function requireAlive(life: Life): Address {
  if (!isAlive(life)) throw stale(life);
  return life.address as Address;
}

/** The object's own end: its item is freed, or somebody else's. */
function end(item: Item): void {
  const life = Item.lifeOf(item);
  if (life.owns) forgetOwner(item);
  life.entry = 0;
}

function stale({ zone, address, generation }: Life): StaleItemError {
  return new StaleItemError(
    `zone ${zone.zone.name}, CPU ${zone.zone.uma.cpu.number}: the item at ${address} of ` +
      `generation ${generation} is no more`,
  );
}
