/**
 * Typed items in messages: a plain object that `postMessage` clones, and the handler with which Comlink
 * does the same. The bytes stay in the arena; what travels is the item's name: arena, zone, address and
 * generation. A message that comes late, or to another arena, is an error and never somebody else's item.
 */

import { ArenaHeader } from '@umbuf/memory';
import { ForeignItemError } from '../errors.ts';
import type { Zone } from '../zone.ts';
import type { Reference } from './field.ts';
import { Item, type ItemHandle } from './item.ts';

/** What stands for an item in a message. */
export interface ItemMessage extends Reference {
  readonly umbufItem: 1;
  /** The identity of the arena. */
  readonly arena: bigint;
  /** Name of the zone. */
  readonly zone: string;
}

/** Whether `value` is a message for a typed item. */
export function isItemMessage(value: unknown): value is ItemMessage {
  return typeof value === 'object' && value !== null && 'umbufItem' in value;
}

/** Checks that a message is for this zone of this arena. */
export function requireMessage(zone: Zone, message: ItemMessage): ItemMessage {
  if (!isItemMessage(message) || message.umbufItem !== 1) {
    throw new ForeignItemError(`zone ${zone.name}: no message for an item`);
  }
  if (message.arena !== zone.uma.longs[ArenaHeader.fields.identity.at >> 1]) {
    throw new ForeignItemError(`zone ${zone.name}: the item is of another arena`);
  }
  if (message.zone !== zone.name) {
    throw new ForeignItemError(`zone ${zone.name}: the item is of zone ${message.zone}`);
  }
  if (!Number.isInteger(message.address) || !Number.isInteger(message.generation)) {
    throw new ForeignItemError(`zone ${zone.name}: the message has no address or generation`);
  }
  return message;
}

/** What the handler needs of a typed zone, whatever its struct. */
export interface ItemReceiver {
  readonly zone: Zone;
  adopt(message: ItemMessage): ItemHandle;
  borrow(message: ItemMessage): ItemHandle;
}

/** The shape that `Comlink.transferHandlers.set('umbuf item', …)` takes. */
export interface ItemTransferHandler {
  canHandle(value: unknown): value is ItemHandle;
  serialize(item: ItemHandle): [ItemMessage, Transferable[]];
  deserialize(message: ItemMessage): ItemHandle;
}

/**
 * A Comlink transfer handler for the items of `zones`. `mode` is what an item in an argument or a result
 * does: `handOver` makes the receiver its owner, `reference` leaves it with the sender. Both sides register
 * it with the same mode.
 */
export function itemTransferHandler(
  zones: readonly ItemReceiver[],
  mode: 'handOver' | 'reference',
): ItemTransferHandler {
  return {
    canHandle: (value): value is ItemHandle => value instanceof Item,
    serialize: (item) => [mode === 'handOver' ? item.handOver() : item.reference(), []],
    deserialize: (message) => {
      const typed = zones.find(({ zone }) => zone.name === message.zone);
      if (typed === undefined) {
        throw new ForeignItemError(`an item of zone ${message.zone}, which is not registered here`);
      }
      return mode === 'handOver' ? typed.adopt(message) : typed.borrow(message);
    },
  };
}
