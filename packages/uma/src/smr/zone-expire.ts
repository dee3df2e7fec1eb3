/**
 * What happens to a tagged bucket of an SMR zone when its goal is reached (spec 2.11): no reader
 * can see its items any more, so the dtor runs over them, trash is written, and the tag goes. The
 * CPU that takes the bucket off the queue does it, with no lock held.
 *
 * A bucket has a tag from when it leaves the free side of a cache until this is done; items of one
 * with a tag are freed and not yet destructed. A dtor that its thread dies in is not run again: that
 * item goes to the keg, fit for nothing else.
 */

import { isInSection, reserveSlot } from '@umbuf/memory';
import { trashFill } from '../debug.ts';
import { giveBack } from '../hands.ts';
import { kegRelease } from '../keg.ts';
import { BucketHeader, CallbackBit, Feature, Hand, ItemState, ZoneRecord } from '../layout.ts';
import type { Uma } from '../uma.ts';
import { canRun, mayRun, runDtor, runZfini } from '../zone-callbacks.ts';
import { ZoneState, zoneState } from '../zone-life.ts';
import { smrPoll } from './poll.ts';

const COUNT = BucketHeader.fields.count.at;
const TAG = BucketHeader.fields.seq.at;
const ITEMS = BucketHeader.words;
const Z = ZoneRecord.fields;

/**
 * Whether a bucket with this tag may be taken off the queue now; never waits. A bucket whose dtors
 * this thread cannot run stays there.
 */
export function mayTake(uma: Uma, zone: number, tag: number): boolean {
  if (tag === 0) return true;
  if (hasDtor(uma, zone) && !mayDestruct(uma, zone)) return false;
  return smrPoll(uma.cpu, uma.words[zone + Z.smr.at]!, tag);
}

/**
 * Not inside a read section: a dtor may free, which is not allowed there. Nor in a thread that has not
 * opened the zone, but for the end of a destroy that its thread did not live to see: there the dtors
 * are left out and counted, as a zone fini is.
 */
function mayDestruct(uma: Uma, zone: number): boolean {
  if (isInSection(uma.cpu)) return false;
  return canRun(uma, zone, CallbackBit.dtor) || zoneState(uma, zone) !== ZoneState.live;
}

/** Dtors and trash for the tagged bucket in `slot`, whose goal is reached; then it has no tag. */
export function expireBucket(uma: Uma, slot: number): void {
  const { words } = uma;
  // straight
  words[slot + 3] = 0;
  words[slot] = Hand.expiring;
  // end
  const zone = words[slot + 2]!;
  finish(uma, slot, hasDtor(uma, zone) && mayRun(uma, zone, CallbackBit.dtor));
}

function hasDtor(uma: Uma, zone: number): boolean {
  return (uma.words[zone + Z.callbacks.at]! & CallbackBit.dtor) !== 0;
}

/** From where the slot's `more` says it is. */
function finish(uma: Uma, slot: number, dtor: boolean): void {
  const { words } = uma;
  const bucket = words[slot + 1]!;
  const zone = words[slot + 2]!;
  const count = words[bucket + COUNT]!;
  const keg = words[zone + Z.keg.at]!;
  const trash = (words[zone + Z.features.at]! & Feature.trash) !== 0;
  if (dtor || trash) {
    for (let index = words[slot + 3]! >> 1; index < count; index++) {
      const item = words[bucket + ITEMS + index]!;
      if (dtor) {
        words[slot + 3] = 2 * index + 1;
        runDtor(uma, zone, item, 0);
      }
      if (trash) trashFill(uma, keg, item);
      words[slot + 3] = 2 * index + 2;
    }
  }
  // straight: `more` is now what it is in any bucket, items that zinit has seen
  words[bucket + TAG] = 0;
  words[slot + 3] = count;
  words[slot] = Hand.bucket;
  // end
}

/**
 * Repair of a slot of kind `expiring`: the item whose dtor was broken off goes to the keg, the
 * others are finished; afterwards the slot holds an ordinary bucket. A thread without the zone
 * leaves the dtors out, and counts that.
 */
export function repairExpiring(uma: Uma, slot: number): void {
  const { words, cpu } = uma;
  const bucket = words[slot + 1]!;
  const zone = words[slot + 2]!;
  const more = words[slot + 3]!;
  if ((more & 1) === 1) {
    const broken = reserveSlot(cpu);
    const index = more >> 1;
    const last = words[bucket + COUNT]! - 1;
    // straight: the last item takes its place
    words[broken + 1] = words[bucket + ITEMS + index]!;
    words[broken + 2] = zone;
    words[broken + 3] = ItemState.raw;
    words[broken] = Hand.item;
    words[bucket + ITEMS + index] = words[bucket + ITEMS + last]!;
    words[bucket + COUNT] = last;
    words[slot + 3] = more - 1;
    // end
    releaseBroken(uma, zone, broken);
    giveBack(cpu, broken);
  }
  finish(uma, slot, hasDtor(uma, zone) && mayRun(uma, zone, CallbackBit.dtor));
}

/** Its free was counted when it entered a cache. `raw`: a second death runs no zfini twice. */
function releaseBroken(uma: Uma, zone: number, slot: number): void {
  const { words } = uma;
  if ((words[zone + Z.features.at]! & Feature.trash) !== 0) {
    trashFill(uma, words[zone + Z.keg.at]!, words[slot + 1]!);
  }
  if ((words[zone + Z.callbacks.at]! & CallbackBit.zfini) !== 0) {
    runZfini(uma, zone, words[slot + 1]!);
  }
  kegRelease(uma, words[zone + Z.keg.at]!, slot, 0);
}
