/**
 * The life of a Packet object: which chain it is over, and how it knows, at every debug level, that this
 * chain is still its own (decision 0024).
 *
 * An attached object writes its number, 24 bits that no other living object has, above m_type in the type
 * word of the chain's first mbuf. Nothing has to clear it: every free stores 0 in that word and every
 * allocation a bare type, as they always did. So the word equals the object's stamp exactly while the
 * mbuf has not been freed since. The page's epoch, read behind it, says that the word is still that of
 * the same item: pages change hands. (The order is that of typed items: an epoch that has not moved
 * vouches for what was read before it.)
 *
 * The word is an owned one and read plainly: whoever holds the packet reads what it wrote itself, and who
 * holds it no more reads what the free that it knows of has written. A free that nobody told this thread of
 * is a race of the users between free and use, which no check could decide. Only `adoptLife` takes the word by
 * compare-exchange: between `handOver` and `adopt` nobody owns it, and of several adopters one may win.
 */

import { type Address, ArgumentError, epochOfPage, NULL } from '@umbuf/memory';
import { type OwnedLife, StaleItemError, TRASH_WORD } from '@umbuf/uma';
import type { MbufCore } from '../core.ts';
import type { Mbufs } from '../mbufs.ts';
import { MbufRoot } from '../layout.ts';
import { TYPE, TYPE_BITS } from '../segment.ts';
import { arenaIdentity, type PacketMessage, requireMessage } from './message.ts';

const TAKEN = MbufRoot.fields.packets.at;
/** Numbers are handed to threads in blocks of 256: one atomic for so many packets. */
const BLOCK_BITS = 8;
const NUMBER_BITS = 24;
const TYPE_SHIFT = 8;

/** What the Packets of one thread share. */
export interface PacketContext {
  readonly mbufs: Mbufs;
  /** The arena in all widths. */
  readonly view: DataView;
  /** The rest of this thread's block of numbers. */
  nextNumber: number;
  numbersEnd: number;
}

/** What a Packet object knows of its chain. It does not lead to the object (see `rememberOwner`). */
export interface Life extends OwnedLife {
  readonly context: PacketContext;
  /** The first mbuf; NULL when the object is at its end. */
  address: Address;
  /** The object's number. */
  readonly generation: number;
  /** What stands in the type word while the object lives, and the epoch of its page. */
  stamp: number;
  epoch: number;
  /** Where the last mbuf was seen when pkthdr.len was `tailLength`; NULL: not known (reshape.ts). */
  tail: Address;
  tailLength: number;
}

/** Begins a life over the chain at `m`, which the caller owns and has checked. */
export function beginLife(context: PacketContext, m: Address): Life {
  const { words } = context.mbufs;
  const generation = takeNumber(context);
  const life = newLife(context, m, generation);
  life.stamp = (words[(m >> 2) + TYPE]! & TYPE_BITS) | (generation << TYPE_SHIFT);
  words[(m >> 2) + TYPE] = life.stamp;
  return life;
}

/**
 * Begins a life over the chain of a message, and ends every other that the message could begin. Throws
 * ForeignItemError, or StaleItemError when the packet is no more or somebody else's already.
 */
export function adoptLife(context: PacketContext, message: PacketMessage): Life {
  const { mbufs } = context;
  const { address, stamp, epoch } = requireMessage(mbufs, message);
  const generation = takeNumber(context);
  const life = newLife(context, address, generation);
  life.stamp = (stamp & TYPE_BITS) | (generation << TYPE_SHIFT);
  const word = (address >> 2) + TYPE;
  if (
    Atomics.load(mbufs.words, word) !== stamp ||
    life.epoch !== epoch ||
    Atomics.compareExchange(mbufs.words, word, stamp, life.stamp) !== stamp
  ) {
    throw stale(mbufs, address);
  }
  return life;
}

function newLife(context: PacketContext, address: Address, generation: number): Life {
  const life: Life = {
    context,
    address,
    generation,
    stamp: 0,
    epoch: epochOfPage(context.mbufs.arena, address),
    tail: NULL,
    tailLength: 0,
    lives: () => isLive(life),
  };
  return life;
}

/** Whether the chain is still the object's. */
export function isLive(life: Life): boolean {
  const { address } = life;
  const { mbufs } = life.context;
  return (
    address !== NULL &&
    mbufs.words[(address >> 2) + TYPE] === life.stamp &&
    epochOfPage(mbufs.arena, address) === life.epoch
  );
}

/** The first mbuf. Throws StaleItemError when the packet was freed, detached or handed over. */
export function headOf(life: Life): Address {
  if (!isLive(life)) throw stale(life.context.mbufs, life.address);
  return life.address;
}

/** Ends the life: the chain at the address returned is an ordinary one, and the caller's. */
export function endLife(life: Life): Address {
  const m = releaseHead(life);
  life.address = NULL;
  return m;
}

/** Takes the stamp off the first mbuf, for an operation that may end with another (`keepHead`). */
export function releaseHead(life: Life): Address {
  const m = headOf(life);
  life.context.mbufs.words[(m >> 2) + TYPE]! &= TYPE_BITS;
  return m;
}

/** The life goes on over the chain at `m`. */
export function keepHead(life: Life, m: Address): void {
  const { mbufs } = life.context;
  life.address = m;
  life.stamp = (mbufs.words[(m >> 2) + TYPE]! & TYPE_BITS) | (life.generation << TYPE_SHIFT);
  life.epoch = epochOfPage(mbufs.arena, m);
  life.tail = NULL;
  mbufs.words[(m >> 2) + TYPE] = life.stamp;
}

/** The message that `adoptLife` begins another life from; this one ends, the stamp stays. */
export function handOverLife(life: Life): PacketMessage {
  const { mbufs } = life.context;
  const address = headOf(life);
  const { stamp, epoch } = life;
  life.address = NULL;
  return { umbufPacket: 1, arena: arenaIdentity(mbufs), address, stamp, epoch };
}

/** Throws ArgumentError when a Packet object is over `m` already. */
export function requireUnattached(mbufs: MbufCore, m: Address): void {
  if ((mbufs.words[(m >> 2) + TYPE]! & ~TYPE_BITS) !== 0) {
    throw new ArgumentError(`Packets.over: mbuf ${m} belongs to a Packet: detach that first`);
  }
}

/** A number that no living packet of the arena has, unless 2^24 were made since. Never 0. */
function takeNumber(context: PacketContext): number {
  if (context.nextNumber === context.numbersEnd) {
    const { words, root } = context.mbufs;
    const block = Atomics.add(words, root + TAKEN, 1) & ((1 << (NUMBER_BITS - BLOCK_BITS)) - 1);
    context.nextNumber = block << BLOCK_BITS;
    context.numbersEnd = context.nextNumber + (1 << BLOCK_BITS);
  }
  const number = context.nextNumber++;
  // 0 is no number, and a stamp may not look like trash: both are firsts or middles of a block.
  return number === 0 || number === TRASH_WORD >>> TYPE_SHIFT ? takeNumber(context) : number;
}

function stale(mbufs: MbufCore, address: number): StaleItemError {
  return new StaleItemError(
    `Packet, CPU ${mbufs.cpu.number}: ` +
      (address === NULL
        ? 'it was freed, detached or handed over'
        : `the packet at ${address} is no more, or somebody else's`),
  );
}
