/**
 * Dropping a reference, and what follows when it was the last: storage, holder and the freed mbuf go
 * back, in this order (mb_free_ext).
 *
 * From the moment the count reaches zero nobody but this CPU knows the holder, which may have been parked
 * for hours. So it stands in a hand slot until it is back in its zone: a worker that is terminated
 * in between loses neither storage nor holder. The subtraction and the filling of the slot are one straight
 * line (memory's cpu/hand-stack.ts). The slot's stage moves on in one straight line with the filling of
 * a slot of uma's, which holds what is put back next (uma's held.ts): nothing is freed twice, and
 * nothing is lost. An ext_free callback runs once at most: it may be what the worker died in.
 */

import {
  type Address,
  type Arena,
  type Cpu,
  HAND_SLOT_WORDS,
  HAND_SLOTS,
  HandKind,
  Panic,
  REFCOUNT_SATURATED,
  reserveSlot,
} from '@umbuf/memory';
import { freeHeld, HELD_ITEM, HELD_WHOLE, type Zone } from '@umbuf/uma';
import { checkFreedPacket } from '../construct.ts';
import type { MbufCore } from '../core.ts';
import { ExtType } from '../freebsd-flags.ts';
import { ExternalRecord, MbufStatistics } from '../layout.ts';
import { SHARED } from '../segment.ts';
import { runExternalFree } from './callbacks.ts';

// Constants of this module, which V8 folds: an imported one is a cell that it loads and checks.
const SLOTS = HAND_SLOTS;
const SLOT_WORDS = HAND_SLOT_WORDS;
const BUF = ExternalRecord.fields.buf.at;
const COUNT = ExternalRecord.fields.count.at;
const EXT_TYPE = ExternalRecord.fields.type.at;
const PARKED = MbufStatistics.fields.parked.at;

/**
 * Hand slot kind (mbuf has 32-47, memory's cpu/hand-stack.ts). value: holder whose count reached zero,
 * detail: mbuf that was freed, more: the stage.
 */
export const LAST_REFERENCE = 32;
const KIND: number = LAST_REFERENCE;

/** Stages: everything is still to be put back, the holder and the mbuf, the mbuf only, nothing. */
const STAGE_ALL = 0;
const STAGE_HOLDER = 1;
const STAGE_MBUF = 2;
const STAGE_DONE = 3;

/**
 * Drops m's reference to the storage of `holder`. Returns 0 when others remain; else the hand slot, for
 * `finishLast`. After 0 the holder is not ours to touch. Panics at a count that was zero already.
 */
export function dropReference(mbufs: MbufCore, holder: Address, m: Address): number {
  const { words, cpu } = mbufs;
  const { handTop } = cpu;
  const top = words[handTop]!;
  const slot = cpu.hand + top * SLOT_WORDS;
  const count = (holder >> 2) + mbufs.ext + COUNT;
  const parked = mbufs.statistics + PARKED;
  if (top >= SLOTS) throw new Panic(`CPU ${cpu.number}: hand stack full in m_free`);
  // straight
  const before = Atomics.sub(words, count, 1);
  if (before === 1) {
    words[slot + 1] = holder;
    words[slot + 2] = m;
    words[slot + 3] = STAGE_ALL;
    words[slot] = KIND;
    words[handTop] = top + 1;
    if (holder !== m) words[parked]! -= 1;
  }
  // end
  if (before <= 0) saturate(words, count, holder);
  return before === 1 ? slot : 0;
}

/** Gives back what the slot of a last reference holds, and the slot. */
export function finishLast(mbufs: MbufCore, slot: number): void {
  const { words, cpu } = mbufs;
  putLast(mbufs, slot);
  // A zone of a CPU that may not block can have left slots above ours filled: they stay.
  const height = (slot - cpu.hand) / HAND_SLOT_WORDS;
  let top = words[cpu.handTop]!;
  while (top > height && words[cpu.hand + (top - 1) * HAND_SLOT_WORDS] === HandKind.none) top--;
  words[cpu.handTop] = top;
}

/**
 * The puts, from the slot's stage on; voids the slot. Also the repair of a dead CPU's: what goes back
 * goes by a slot of this CPU's own.
 */
function putLast(mbufs: MbufCore, slot: number): void {
  const { words, zones } = mbufs;
  const holder = words[slot + 1]! as Address;
  const m = words[slot + 2]! as Address;
  if (words[slot + 3] === STAGE_ALL) {
    const zone = storageZone(mbufs, holder);
    if (zone !== undefined) {
      const buf = words[(holder >> 2) + mbufs.ext + BUF]!;
      putNext(mbufs, slot, STAGE_HOLDER, zone, buf);
    } else {
      words[slot + 3] = STAGE_HOLDER;
      releaseStorage(mbufs, holder);
    }
  }
  if (words[slot + 3] === STAGE_HOLDER) {
    const zone = holderZone(mbufs, holder);
    if (zone !== undefined) putNext(mbufs, slot, STAGE_MBUF, zone, holder);
  }
  if (m !== holder && words[slot + 3] !== STAGE_DONE) {
    putNext(mbufs, slot, STAGE_DONE, zones.mbuf, m);
  }
  words[slot] = HandKind.none;
}

/** Moves on to `stage` and frees `item`, which is in one of the two slots all the time. */
function putNext(mbufs: MbufCore, slot: number, stage: number, zone: Zone, item: number): void {
  const { words, cpu, uma } = mbufs;
  const { record } = zone;
  const held = reserveSlot(cpu);
  const whole = HELD_WHOLE;
  const kind = HELD_ITEM;
  // straight
  words[held + 1] = item;
  words[held + 2] = record;
  words[held + 3] = whole;
  words[held] = kind;
  words[slot + 3] = stage;
  // end
  freeHeld(uma, held);
}

/** The storage, by its type; a packet keeps its cluster. */
export function releaseStorage(mbufs: MbufCore, holder: Address): void {
  const { words } = mbufs;
  const ext = (holder >> 2) + mbufs.ext;
  const zone = storageZone(mbufs, holder);
  if (zone !== undefined) zone.free(words[ext + BUF]!);
  else if (!staysWithItsHolder(words[ext + EXT_TYPE]! & 0xff)) runExternalFree(mbufs, holder);
}

/** The holder itself: a packet with its cluster attached and unshared from now on (mb_dtor_pack). */
export function freeHolder(mbufs: MbufCore, holder: Address): void {
  holderZone(mbufs, holder)?.free(holder);
}

/** The zone of storage that is a cluster of its own. */
function storageZone({ words, zones, ext }: MbufCore, holder: Address): Zone | undefined {
  switch (words[(holder >> 2) + ext + EXT_TYPE]! & 0xff) {
    case ExtType.EXT_CLUSTER:
      return zones.cluster;
    case ExtType.EXT_JUMBOP:
      return zones.jumboPage;
    case ExtType.EXT_JUMBO9:
      return zones.jumbo9;
    case ExtType.EXT_JUMBO16:
      return zones.jumbo16;
    default:
      return undefined;
  }
}

/** A packet's cluster stays with it; a receive ring's storage is the ring's. */
function staysWithItsHolder(type: number): boolean {
  return type === ExtType.EXT_PACKET || type === ExtType.EXT_RXRING;
}

/** Where the holder goes, made ready for it; undefined for a receive ring's, which is in the ring's memory. */
function holderZone(mbufs: MbufCore, holder: Address): Zone | undefined {
  const { words, zones } = mbufs;
  const type = words[(holder >> 2) + mbufs.ext + EXT_TYPE]! & 0xff;
  if (type === ExtType.EXT_RXRING) return undefined;
  if (type !== ExtType.EXT_PACKET) return zones.mbuf;
  words[(holder >> 2) + SHARED] = 0;
  checkFreedPacket(words, holder, mbufs.ext, mbufs.level);
  return zones.packet;
}

/** Registers the repair of dead CPUs' slots in this thread; `system` gives the recoverer's view. */
export function registerRepair(arena: Arena, system: (cpu: Cpu) => MbufCore): void {
  arena.hooks.slotRepairs[LAST_REFERENCE] ??= (cpu, slot) => putLast(system(cpu), slot);
}

/** A count that was zero already never frees again; the caller gets a Panic. */
function saturate(words: Int32Array<SharedArrayBuffer>, count: number, holder: number): never {
  Atomics.store(words, count, REFCOUNT_SATURATED);
  throw new Panic(`m_free: the count of holder ${holder} was zero already`);
}
