/**
 * Send tags (m_snd_tag): what a driver keeps per flow, and packets point to instead of their receiving
 * interface (CSUM_SND_TAG). FreeBSD's only: in NetBSD that bit of csum_flags means something else.
 *
 * A tag begins with a `SendTagRecord` in memory of the driver. Its count is one atomic word; whoever drops
 * the last reference, on whatever CPU, runs the driver's free hook. Functions cannot be shared, so
 * each thread registers the hooks of an interface under its number and a name, as it does with ext_free
 * callbacks; a thread without them refuses to free a packet that carries such a tag, the last reference or
 * not: what it was could not be known beforehand.
 *
 * A tag whose count has reached zero stands in a hand slot until it is destroyed. The slot's stage moves on
 * *before* the hook runs: a worker that dies inside it leaves the tag to the driver, as the hook had it.
 */

import {
  type Address,
  type Arena,
  ArgumentError,
  type Cpu,
  HAND_SLOT_WORDS,
  HAND_SLOTS,
  HandKind,
  hashText,
  NULL,
  Panic,
  REFCOUNT_SATURATED,
  refcountAdd,
  refcountInit,
} from '@umbuf/memory';
import type { MbufCore } from './core.ts';
import { SendTagError } from './errors.ts';
import { MbufRoot, PacketHeader } from './layout.ts';
import { FLAGS } from './segment.ts';
import { INTERFACE_MAX, MbufSystem, SendTagRecord } from './system-layout.ts';
import { M_PKTHDR } from './constants.ts';

const SLOTS = HAND_SLOTS;
const SLOT_WORDS = HAND_SLOT_WORDS;
const RCVIF = PacketHeader.fields.rcvif.at;
const CSUM = PacketHeader.fields.csumFlags.at;
const IFP = SendTagRecord.fields.ifp.at;
const COUNT = SendTagRecord.fields.count.at;
const TYPE = SendTagRecord.fields.type.at;
const NAMES = MbufSystem.fields.interfaces.at;
const HELD = MbufSystem.fields.interfaceTags.at;
const LIVE = MbufRoot.fields.sendTags.at;

/** What `sndTagAlloc` returns for an interface that has no hook for it. */
export const EOPNOTSUPP = 45;

/** Bytes at the beginning of a driver's tag that are ours. */
export const SEND_TAG_BYTES: number = SendTagRecord.words * 4;

/** Hand slot kind. value: tag whose count reached zero, detail: its interface, more: the stage. */
export const SEND_TAG = 40;
const KIND: number = SEND_TAG;
/** Stages: the free hook is still to run, the interface to be released, the tag to be counted out. */
const STAGE_FREE = 0;
const STAGE_INTERFACE = 1;
const STAGE_COUNT = 2;

/** What a driver's allocation hook returns: 0 and a tag, or an errno. */
export interface SendTagResult {
  readonly error: number;
  readonly tag: Address;
}

/** What a driver has for send tags (if_snd_tag_alloc, if_snd_tag_free). */
export interface InterfaceHooks {
  /** Makes a tag, by `sndTagInit`, for the parameters that were given to `sndTagAlloc`. */
  readonly sndTagAlloc?: (params: unknown) => SendTagResult;
  /** Takes the tag's memory back. Runs once, on the CPU that drops the last reference. */
  readonly sndTagFree?: (tag: Address) => void;
}

/**
 * Registers the hooks of interface `ifp` (1 to 31) in this thread. The same number and name again replaces
 * them. Throws SendTagError when the number has another name in this arena.
 */
export function registerInterface(
  mbufs: MbufCore,
  ifp: number,
  name: string,
  hooks: InterfaceHooks,
): void {
  if (!Number.isInteger(ifp) || ifp < 1 || ifp > INTERFACE_MAX) {
    throw new ArgumentError(`registerInterface: ${ifp} is not from 1 to ${INTERFACE_MAX}`);
  }
  if (typeof name !== 'string' || name === '') {
    throw new ArgumentError(`registerInterface: interface ${ifp} needs a name`);
  }
  const hash = (hashText(name) >>> 1) | 1;
  const seen = Atomics.compareExchange(mbufs.words, mbufs.system + NAMES + ifp, 0, hash);
  if (seen !== 0 && seen !== hash) {
    throw new SendTagError(`registerInterface: interface ${ifp} has another name than '${name}'`);
  }
  mbufs.interfaces[ifp] = hooks;
}

/** Send tags that hold a reference on the interface. */
export function interfaceTags(mbufs: MbufCore, ifp: number): number {
  if (!Number.isInteger(ifp) || ifp < 1 || ifp > INTERFACE_MAX) {
    throw new ArgumentError(`interfaceTags: ${ifp} is not from 1 to ${INTERFACE_MAX}`);
  }
  return Atomics.load(mbufs.words, mbufs.system + HELD + ifp);
}

/**
 * A tag of interface `ifp` (m_snd_tag_alloc): what its driver's hook answers, EOPNOTSUPP when this thread
 * has no such hook. The reference is the caller's.
 */
export function sndTagAlloc(mbufs: MbufCore, ifp: number, params: unknown): SendTagResult {
  const hook = mbufs.interfaces[ifp]?.sndTagAlloc;
  if (hook === undefined) return { error: EOPNOTSUPP, tag: NULL };
  return hook(params);
}

/**
 * Makes a tag of the first 16 bytes at `tag`, with one reference (m_snd_tag_init). Holds a reference on
 * the interface and is counted (num_snd_tags) until it is destroyed. Throws ArgumentError for what is
 * no aligned address of the arena, SendTagError for an interface that nobody has registered.
 */
export function sndTagInit(mbufs: MbufCore, tag: Address, ifp: number, type: number): void {
  const { words } = mbufs;
  if (!Number.isInteger(tag) || tag <= 0 || (tag & 3) !== 0) {
    throw new ArgumentError(`m_snd_tag_init: no tag can be at ${String(tag)}`);
  }
  if (tag + SEND_TAG_BYTES > mbufs.bytes.length) {
    throw new ArgumentError(`m_snd_tag_init: ${tag} is outside the arena`);
  }
  const named = Number.isInteger(ifp) && ifp >= 1 && ifp <= INTERFACE_MAX;
  if (!named || Atomics.load(words, mbufs.system + NAMES + ifp) === 0) {
    throw new SendTagError(`m_snd_tag_init: nobody has registered interface ${String(ifp)}`);
  }
  const record = tag >> 2;
  words[record + IFP] = ifp;
  words[record + TYPE] = type;
  // A thread that dies in here has counted a tag that nobody knows, as one that dies with the tag.
  Atomics.add(words, mbufs.system + HELD + ifp, 1);
  Atomics.add(words, mbufs.root + LIVE, 1);
  refcountInit(words, record + COUNT, 1);
}

/** Another reference for who has one (m_snd_tag_ref). Panics at a count of zero. */
export function sndTagRef(mbufs: MbufCore, tag: Address): Address {
  requireTag(mbufs, 'm_snd_tag_ref', tag);
  refcountAdd(mbufs.words, (tag >> 2) + COUNT);
  return tag;
}

/**
 * Drops a reference; the last one destroys the tag (m_snd_tag_rele). Throws SendTagError, with nothing
 * changed, in a thread that has not registered the interface's free hook, and at the end what that hook
 * threw. Panics at a count of zero.
 */
export function sndTagRele(mbufs: MbufCore, tag: Address): void {
  requireTag(mbufs, 'm_snd_tag_rele', tag);
  requireHook(mbufs, 'm_snd_tag_rele', tag);
  dropReference(mbufs, tag);
}

/** `sndTagRele` by who knows to have the only reference (m_snd_tag_destroy); else SendTagError. */
export function sndTagDestroy(mbufs: MbufCore, tag: Address): void {
  requireTag(mbufs, 'm_snd_tag_destroy', tag);
  requireHook(mbufs, 'm_snd_tag_destroy', tag);
  const count = Atomics.load(mbufs.words, (tag >> 2) + COUNT);
  if (count !== 1) throw new SendTagError(`m_snd_tag_destroy: tag ${tag} has ${count} references`);
  dropReference(mbufs, tag);
}

/**
 * Gives the packet the tag with the caller's reference, in place of its interface; a tag that it had is
 * released. Throws PacketHeaderError for what begins no packet (the caller looked), SendTagError in preset
 * `netbsd`.
 */
export function setPacketSendTag(mbufs: MbufCore, m: Address, tag: Address): void {
  const { words, pkthdr, sendTagFlag } = mbufs;
  requireTag(mbufs, 'setSendTag', tag);
  if (sendTagFlag === 0) throw new SendTagError('setSendTag: packets of NetBSD have no send tags');
  requireSendTag(mbufs, 'setSendTag', m);
  releaseSendTag(mbufs, m);
  words[(m >> 2) + pkthdr + RCVIF] = tag;
  words[(m >> 2) + pkthdr + CSUM]! |= sendTagFlag;
}

/** The tag of the packet, which keeps its reference; NULL without one. */
export function packetSendTag(mbufs: MbufCore, m: Address): Address {
  const { words, pkthdr } = mbufs;
  return hasSendTag(mbufs, m) ? (words[(m >> 2) + pkthdr + RCVIF]! as Address) : NULL;
}

// For the operations on packets. `m` has a packet header.

/** Whether the packet carries a send tag. */
export function hasSendTag(mbufs: MbufCore, m: Address): boolean {
  return (mbufs.words[(m >> 2) + mbufs.pkthdr + CSUM]! & mbufs.sendTagFlag) !== 0;
}

/** The packet header at word index `header`, a copy, takes its own reference to the tag. */
export function shareSendTag(words: Int32Array<SharedArrayBuffer>, header: number): void {
  refcountAdd(words, (words[header + RCVIF]! >> 2) + COUNT);
}

/**
 * The copy `m` of a packet, NULL or unfinished, gives its reference back before it is freed. Never the last
 * one, since the packet that it was copied from has one: any thread may.
 */
export function unshareSendTag(mbufs: MbufCore, m: Address): void {
  const { words, pkthdr } = mbufs;
  if (m === NULL || (words[(m >> 2) + FLAGS]! & M_PKTHDR) === 0 || !hasSendTag(mbufs, m)) return;
  const count = (words[(m >> 2) + pkthdr + RCVIF]! >> 2) + COUNT;
  forgetSendTag(mbufs, (m >> 2) + pkthdr);
  Atomics.sub(words, count, 1);
}

/** The packet header at word index `header` has handed its tag over. */
export function forgetSendTag(mbufs: MbufCore, header: number): void {
  const { words, sendTagFlag } = mbufs;
  if ((words[header + CSUM]! & sendTagFlag) === 0) return;
  words[header + CSUM]! &= ~sendTagFlag;
  words[header + RCVIF] = 0;
}

/** Throws SendTagError unless this thread can release what send tag the mbuf has, if it has one. */
export function requireSendTag(mbufs: MbufCore, operation: string, m: Address): void {
  const { words, pkthdr } = mbufs;
  if ((words[(m >> 2) + FLAGS]! & M_PKTHDR) === 0 || !hasSendTag(mbufs, m)) return;
  requireHook(mbufs, operation, words[(m >> 2) + pkthdr + RCVIF]! as Address);
}

/**
 * Takes the packet's send tag and drops the reference; `requireSendTag` has agreed. What the hook throws is
 * left in `callbackErrors`, for the operation's end.
 */
export function releaseSendTag(mbufs: MbufCore, m: Address): void {
  const { words, pkthdr } = mbufs;
  if (!hasSendTag(mbufs, m)) return;
  const header = (m >> 2) + pkthdr;
  const tag = words[header + RCVIF]! as Address;
  forgetSendTag(mbufs, header);
  dropSlot(mbufs, tag);
}

function requireTag(mbufs: MbufCore, operation: string, tag: Address): void {
  const ifp = Number.isInteger(tag) && tag > 0 && (tag & 3) === 0 ? mbufs.words[tag >> 2] : 0;
  if (ifp !== undefined && ifp >= 1 && ifp <= INTERFACE_MAX) return;
  throw new SendTagError(`${operation}: CPU ${mbufs.cpu.number}: ${String(tag)} is no send tag`);
}

function requireHook(mbufs: MbufCore, operation: string, tag: Address): void {
  const ifp = mbufs.words[(tag >> 2) + IFP]!;
  if (mbufs.interfaces[ifp]?.sndTagFree !== undefined) return;
  throw new SendTagError(
    `${operation}: CPU ${mbufs.cpu.number} has no free hook of interface ${ifp} for send tag ${tag}`,
  );
}

function dropReference(mbufs: MbufCore, tag: Address): void {
  dropSlot(mbufs, tag);
  const { callbackErrors } = mbufs;
  if (callbackErrors.length > 0) throw callbackErrors.splice(0)[0];
}

/** The drop, and the destruction behind the last. */
function dropSlot(mbufs: MbufCore, tag: Address): void {
  const { words, cpu } = mbufs;
  const { handTop } = cpu;
  const top = words[handTop]!;
  const slot = cpu.hand + top * SLOT_WORDS;
  const count = (tag >> 2) + COUNT;
  const ifp = words[(tag >> 2) + IFP]!;
  if (top >= SLOTS) throw new Panic(`CPU ${cpu.number}: hand stack full in m_snd_tag_rele`);
  // straight
  const before = Atomics.sub(words, count, 1);
  if (before === 1) {
    words[slot + 1] = tag;
    words[slot + 2] = ifp;
    words[slot + 3] = STAGE_FREE;
    words[slot] = KIND;
    words[handTop] = top + 1;
  }
  // end
  if (before <= 0) {
    // A count that was zero already never frees again.
    Atomics.store(words, count, REFCOUNT_SATURATED);
    if (before === 0) throw new Panic(`m_snd_tag_rele: the count of tag ${tag} was zero already`);
  }
  if (before !== 1) return;
  destroy(mbufs, slot);
  // A zone of a CPU that may not block can have left slots above ours filled: they stay.
  let height = words[handTop]!;
  while (height > top && words[cpu.hand + (height - 1) * SLOT_WORDS] === HandKind.none) height--;
  words[handTop] = height;
}

/** From the slot's stage on; voids the slot. Also the repair of a dead CPU's. */
function destroy(mbufs: MbufCore, slot: number): void {
  const { words } = mbufs;
  const ifp = words[slot + 2]!;
  const held = mbufs.system + HELD + ifp;
  const live = mbufs.root + LIVE;
  if (words[slot + 3] === STAGE_FREE) {
    words[slot + 3] = STAGE_INTERFACE;
    runFree(mbufs, words[slot + 1]! as Address, ifp);
  }
  if (words[slot + 3] === STAGE_INTERFACE) {
    // straight
    Atomics.sub(words, held, 1);
    words[slot + 3] = STAGE_COUNT;
    // end
  }
  // straight
  Atomics.sub(words, live, 1);
  words[slot] = HandKind.none;
  // end
}

function runFree(mbufs: MbufCore, tag: Address, ifp: number): void {
  try {
    const hook = mbufs.interfaces[ifp]?.sndTagFree;
    // Only in the repair of a dead CPU: a free looks beforehand.
    if (hook === undefined) throw new SendTagError(`send tag ${tag} is lost: no free hook here`);
    const result: unknown = hook(tag);
    if (result instanceof Promise) {
      result.catch(() => {}); // the promise itself is the error that is reported
      throw new SendTagError(`sndTagFree of interface ${ifp} returned a promise`);
    }
  } catch (error) {
    mbufs.callbackErrors.push(error);
  }
}

/** Registers the repair of dead CPUs' slots in this thread; `system` gives the recoverer's view. */
export function registerSendTagRepair(arena: Arena, system: (cpu: Cpu) => MbufCore): void {
  arena.hooks.slotRepairs[SEND_TAG] ??= (cpu, slot) => destroy(system(cpu), slot);
}
