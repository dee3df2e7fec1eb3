/**
 * Packets in messages: a plain object that `postMessage` clones, and the handler with which Comlink does the
 * same. The bytes stay in the arena; what travels is the packet's name. A message that comes late, twice or
 * to another arena is an error and never somebody else's packet.
 */

import { type Address, ArenaHeader } from '@umbuf/memory';
import { ForeignItemError } from '@umbuf/uma';
import type { MbufCore } from '../core.ts';
import { isPlausible } from '../validate.ts';

/** What stands for a packet in a message: good for one `adopt`. */
export interface PacketMessage {
  readonly umbufPacket: 1;
  /** The identity of the arena. */
  readonly arena: bigint;
  readonly address: Address;
  /** The type word of the first mbuf and the epoch of its page (life.ts). */
  readonly stamp: number;
  readonly epoch: number;
}

/** Whether `value` is a message for a packet. */
export function isPacketMessage(value: unknown): value is PacketMessage {
  return typeof value === 'object' && value !== null && 'umbufPacket' in value;
}

/** Checks that a message is for this arena, and that an mbuf could stand at its address. */
export function requireMessage(mbufs: MbufCore, message: PacketMessage): PacketMessage {
  if (!isPacketMessage(message) || message.umbufPacket !== 1) {
    throw new ForeignItemError('Packets.adopt: no message for a packet');
  }
  const { arena, address, stamp, epoch } = message;
  if (arena !== arenaIdentity(mbufs)) {
    throw new ForeignItemError('Packets.adopt: the packet is of another arena');
  }
  if (
    !isPlausible(mbufs, address) ||
    !Number.isInteger(stamp) ||
    stamp >>> 8 === 0 ||
    !Number.isInteger(epoch)
  ) {
    throw new ForeignItemError(`Packets.adopt: no packet can be at ${String(address)}`);
  }
  return message;
}

/** What names the arena. */
export function arenaIdentity(mbufs: MbufCore): bigint {
  return mbufs.longs[ArenaHeader.fields.identity.at >> 1]!;
}
