/**
 * Destroying a zone (`uma_zdestroy`, spec 3.1), with the keg when the zone is its primary.
 *
 * 1. The zone is dying: every allocation and free throws `ZoneDestroyedError`, its name is free for a
 *    new zone, sleepers for its limit are woken, no new slab is inserted.
 * 2. Every CPU's cache is drained, whatever that CPU does; reclaims under way are waited for, and the
 *    readers of an SMR zone. All with a bound: who did not answer is named, and a second call goes on from there.
 * 3. Queues and free slabs go, with their callbacks. What is still out is reported, and lost with its
 *    pages: a user who keeps such an item may write to it, so nobody else gets that memory.
 * 4. The zone is dead. Its record serves again when nobody can be inside (zone-life.ts).
 *
 * Each step may be broken off by a death and done again: by another thread that calls destroy, or by
 * whoever opens a zone next.
 */

import {
  type Address,
  ArgumentError,
  enterCpu,
  leaveCpu,
  LIMIT_MAX,
  LockBusyError,
  lockMutex,
  lockRegistry,
  mapPages,
  postRequest,
  requireNoSection,
  reserveSlot,
  setLimitMax,
  settleHand,
  unlockMutex,
  unlockRegistry,
} from '@umbuf/memory';
import { drainBucket, freeBucket } from './bucket.ts';
import { isCacheKeg } from './cache-zone.ts';
import { takeCross } from './cross.ts';
import { drainCpus, flushOwn } from './drain-cpus.ts';
import { ZoneBusyError, ZoneDestroyedError } from './errors.ts';
import { InternalFlag, ZoneFlag } from './flags.ts';
import { fail, giveBack, giveBackTo, handHeight } from './hands.ts';
import { isLive, itemEntry, itemHolder } from './item-table.ts';
import { kegDomain } from './keg.ts';
import { ItemEntry, KegDomain, KegRecord, SlabHeader, UmaRoot, ZoneRecord } from './layout.ts';
import { zoneLimit } from './limit/reserve.ts';
import { revokeItemOwner } from './owner/item-owner.ts';
import { drainSlabs } from './slab.ts';
import { smrAdvanceNow, smrWait } from './smr/poll.ts';
import type { Uma } from './uma.ts';
import { fetchForReclaim } from './zone-domain.ts';
import {
  isGone,
  isOnline,
  letGo,
  markDead,
  otherOpeners,
  ZoneState,
  zoneState,
} from './zone-life.ts';
import { readZoneStatistics } from './zone-statistics.ts';

const Z = ZoneRecord.fields;
const K = KegRecord.fields;
const D = KegDomain.fields;
const S = SlabHeader.fields;

/** How long destroy waits for one running CPU, and for reclaims, in milliseconds. */
const ANSWER_MS = 50;

/** An item that was out when its zone was destroyed. */
export interface LeakedItem {
  readonly address: Address;
  /** CPU that allocated or adopted it; -1 without an item table. */
  readonly holder: number;
  /** Address of its owner; 0 = unattributed. */
  readonly owner: Address;
  /** Milliseconds since its allocation; -1 without an item table. */
  readonly ageMs: number;
}

export interface DestroyReport {
  /** False: the CPUs in `unanswered` (or a reclaim, or a reader) held it up; the zone is dying, call again. */
  readonly complete: boolean;
  readonly unanswered: readonly number[];
  /** Items still out, the oldest slab's first; of a secondary zone only their number is known. */
  readonly leaked: readonly LeakedItem[];
  /** Items still out. */
  readonly items: number;
  /** Pages lost with them; a NOFREE keg loses all it has. */
  readonly pages: number;
  /** The kernel's words when the keg was not empty. */
  readonly warning: string | undefined;
}

/** See Zone.destroy. */
export function destroyZone(uma: Uma, zone: number, answerMs: number = ANSWER_MS): DestroyReport {
  const { cpu, words } = uma;
  if (words[cpu.entered] === 0) enterCpu(cpu);
  requireNoSection(cpu, 'destroy');
  if (!cpu.mayBlock) settleHand(cpu);
  if (words[cpu.handTop] !== 0) {
    throw new ZoneBusyError(`zone ${uma.zoneName(zone)}: destroy inside another operation`);
  }
  // In use until the end: this thread does not let go of the zone in a wait meanwhile.
  const guard = reserveSlot(cpu);
  let report: DestroyReport;
  try {
    begin(uma, zone);
    report = finish(uma, zone, answerMs);
  } catch (error) {
    fail(uma, 0, error);
  }
  giveBack(cpu, guard);
  if (report.complete) letGo(uma);
  uma.rethrow();
  return report;
}

/** Step 1. Throws when the zone is destroyed already, or cannot be. */
function begin(uma: Uma, zone: number): void {
  const { words, cpu } = uma;
  lockRegistry(cpu);
  try {
    if (zoneState(uma, zone) === ZoneState.dead) {
      throw new ZoneDestroyedError(`zone ${uma.zoneName(zone)} was destroyed by another thread`);
    }
    checkUsers(uma, zone);
    // Who dies from here on leaves a dying zone with his name on it: see finishBroken.
    Atomics.store(words, zone + Z.destroyer.at, cpu.lockWord);
    Atomics.store(words, zone + Z.state.at, ZoneState.dying);
  } finally {
    unlockRegistry(cpu);
  }
  markDead(uma, zone);
  const limit = zoneLimit(uma, zone);
  if (limit !== 0) setLimitMax(cpu, limit, LIMIT_MAX);
}

function checkUsers(uma: Uma, zone: number): void {
  const { words } = uma;
  const name = uma.zoneName(zone);
  if ((words[zone + Z.flags.at]! & (InternalFlag.INTERNAL | InternalFlag.BUCKET)) !== 0) {
    throw new ArgumentError(`zone ${name} is the allocator's own`);
  }
  for (let id = 0; id < uma.zoneCount(); id++) {
    const other = uma.zoneAt(id);
    if (other === zone || zoneState(uma, other) === ZoneState.dead) continue;
    if (words[other + Z.primary.at] === zone) {
      throw new ZoneBusyError(
        `zone ${name}: destroy its secondary zone ${uma.zoneName(other)} first`,
      );
    }
    if (words[other + Z.carried.at] === zone) {
      throw new ZoneBusyError(`zone ${name}: items of zone ${uma.zoneName(other)} carry its items`);
    }
  }
}

/** Steps 2 to 4. */
function finish(uma: Uma, zone: number, answerMs: number): DestroyReport {
  const { cpu } = uma;
  const unanswered = new Set<number>();
  drainCpus(uma, [zone], answerMs, unanswered);
  for (const number of otherOpeners(uma, zone)) if (isGone(cpu, number)) unanswered.add(number);
  if (unanswered.size > 0 || !reclaimsEnd(uma, zone, answerMs)) {
    return { complete: false, unanswered: [...unanswered], ...nothing };
  }
  flushOwn(uma, zone);
  if (!readersPass(uma, zone, answerMs)) return { complete: false, unanswered: [], ...nothing };
  emptyQueues(uma, zone);
  const keg = words(uma, zone + Z.keg.at);
  const owner = !isCacheKeg(uma, keg) && words(uma, keg + K.zone.at) === zone;
  if (owner) {
    Atomics.store(uma.words, keg + K.reserve.at, 0);
    for (let domain = 0; domain < uma.arena.domains; domain++) {
      if ((words(uma, keg + K.flags.at) & ZoneFlag.NOFREE) === 0) drainSlabs(uma, keg, domain);
    }
  }
  const losses = bury(uma, zone, keg, owner);
  // Others let go at their next answer; nobody waits for that.
  for (const number of otherOpeners(uma, zone)) postRequest(cpu, number);
  return { complete: true, unanswered: [], ...losses };
}

type Losses = Pick<DestroyReport, 'leaked' | 'items' | 'pages' | 'warning'>;
const nothing: Losses = { leaked: [], items: 0, pages: 0, warning: undefined };

function words(uma: Uma, at: number): number {
  return uma.words[at]!;
}

/** Waits until no reclaim of the zone is under way; false after `answerMs`. */
function reclaimsEnd(uma: Uma, zone: number, answerMs: number): boolean {
  const { cpu } = uma;
  const count = zone + Z.reclaimers.at;
  const deadline = performance.now() + answerMs;
  // Ends at the deadline.
  for (;;) {
    const seen = Atomics.load(uma.words, count);
    if (seen === 0) return true;
    if (!cpu.mayBlock || performance.now() >= deadline) return false;
    leaveCpu(cpu);
    Atomics.wait(uma.words, count, seen, 1);
    enterCpu(cpu);
  }
}

/**
 * Of an SMR zone: the sections that are open now end, so that all on its queues can be taken; false
 * after `answerMs`.
 */
function readersPass(uma: Uma, zone: number, answerMs: number): boolean {
  const smr = words(uma, zone + Z.smr.at);
  return smr === 0 || smrWait(uma.cpu, smr, smrAdvanceNow(uma.cpu, smr), answerMs);
}

/** Everything on the queues, and the partial buckets, down to the keg. */
export function emptyQueues(uma: Uma, zone: number): void {
  const { cpu, arena } = uma;
  for (let domain = 0; domain < arena.domains; domain++) {
    // Ends: each round takes a bucket, and nobody puts more into a dying zone but what he had in hand.
    for (;;) {
      const slot = reserveSlot(cpu);
      const took =
        fetchForReclaim(uma, zone, domain, 0, slot) || takeCross(uma, zone, domain, slot);
      if (took) {
        drainBucket(uma, slot);
        freeBucket(uma, slot, InternalFlag.BUCKET);
      }
      giveBack(cpu, slot);
      if (!took) break;
    }
  }
}

/** Steps 3 and 4 behind the drains: what is out is lost, and the zone is dead. */
function bury(uma: Uma, zone: number, keg: number, owner: boolean): Losses {
  const { cpu } = uma;
  lockRegistry(cpu);
  const height = handHeight(cpu);
  try {
    if (zoneState(uma, zone) === ZoneState.dead) return nothing;
    const losses = owner ? loseSlabs(uma, zone, keg) : countOut(uma, zone, keg);
    const root = uma.root + UmaRoot.fields.destroyed.at;
    uma.words[root] = uma.words[root]! + 1;
    Atomics.store(uma.words, zone + Z.state.at, ZoneState.dead);
    return losses;
  } finally {
    giveBackTo(cpu, height);
    unlockRegistry(cpu);
  }
}

/** A cache zone's items are whoever's imported them. A secondary zone's items stay in the primary's keg, which counts them from now on. */
function countOut(uma: Uma, zone: number, keg: number): Losses {
  const items = readZoneStatistics(uma, zone).live;
  if (!isCacheKeg(uma, keg)) uma.words[keg + K.orphans.at]! += items;
  return { ...nothing, items };
}

/** The slabs that are left, out of the lists and the page map; their pages are nobody's. */
function loseSlabs(uma: Uma, zone: number, keg: number): Losses {
  const { arena } = uma;
  const leaked: LeakedItem[] = [];
  const ppera = words(uma, keg + K.ppera.at);
  for (let domain = 0; domain < arena.domains; domain++) {
    const record = kegDomain(keg, domain);
    lockMutex(uma.cpu, record);
    for (const list of [D.full.at, D.partial.at, D.free.at]) {
      // Ends with the list: each round takes its head.
      for (let slab = words(uma, record + list); slab !== 0; slab = words(uma, record + list)) {
        listLeaks(uma, keg, slab, leaked);
        loseSlab(uma, keg, record, list, slab);
      }
    }
    unlockMutex(uma.cpu, record);
  }
  // By the keg's own counts: a destroy that was broken off may have lost some before.
  const pages = words(uma, keg + K.lostSlabs.at) * ppera;
  const items = words(uma, keg + K.lostItems.at);
  const warning =
    pages === 0
      ? undefined
      : `Freed UMA keg (${uma.zoneName(zone)}) was not empty (${items} items).  Lost ${pages} pages of memory.`;
  return { leaked, items, pages, warning };
}

/**
 * The map still tells the slab of an item, for whoever has one in hand, but the pages name no keg: a
 * free of such an item to any zone is a wrong one.
 */
function loseSlab(uma: Uma, keg: number, record: number, list: number, slab: number): void {
  const memory = uma.words;
  const ppera = words(uma, keg + K.ppera.at);
  mapPages(uma.cpu, memory[slab + S.data.at]! as Address, ppera, 0, slab << 2);
  const lost = uma.root + UmaRoot.fields.lostPages.at;
  const out = memory[keg + K.ipers.at]! - memory[slab + S.freeCount.at]!;
  const headerZone = memory[keg + K.slabZone.at]!;
  const tableZone = memory[slab + S.table.at]! !== 0 ? memory[keg + K.tableZone.at]! : 0;
  // straight
  const next = memory[slab + S.next.at]!;
  memory[record + list] = next;
  if (next !== 0) memory[next + S.previous.at] = 0;
  memory[slab + S.next.at] = 0;
  memory[slab + S.previous.at] = 0;
  memory[record + D.pages.at]! -= ppera;
  memory[record + D.freeItems.at]! -= memory[slab + S.freeCount.at]!;
  if (list === D.free.at) memory[record + D.freeSlabs.at]! -= 1;
  memory[lost]! += ppera;
  memory[keg + K.lostSlabs.at]! += 1;
  memory[keg + K.lostItems.at]! += out;
  if (headerZone !== 0) memory[headerZone + Z.lostParts.at]! += 1;
  if (tableZone !== 0) memory[tableZone + Z.lostParts.at]! += 1;
  // end
}

function listLeaks(uma: Uma, keg: number, slab: number, leaked: LeakedItem[]): void {
  const memory = uma.words;
  const ipers = words(uma, keg + K.ipers.at);
  const table = memory[slab + S.table.at]!;
  const now = Date.now() | 0;
  for (let index = 0; index < ipers; index++) {
    const free = (memory[slab + SlabHeader.words + (index >> 5)]! >>> (index & 31)) & 1;
    if (free === 1) continue;
    const address = (memory[slab + S.data.at]! + index * words(uma, keg + K.rsize.at)) as Address;
    const entry = table === 0 ? 0 : itemEntry(uma, keg, address);
    if (entry === 0 || !isLive(uma, entry)) {
      leaked.push({ address, holder: -1, owner: 0 as Address, ageMs: -1 });
      continue;
    }
    leaked.push({
      address,
      holder: itemHolder(uma, entry),
      owner: Atomics.load(memory, entry + ItemEntry.fields.owner.at) as Address,
      ageMs: (now - Atomics.load(memory, entry + ItemEntry.fields.time.at)) | 0,
    });
    // A lost item is nobody's.
    revokeItemOwner(uma, entry);
  }
}

/**
 * Finishes destroys whose thread died or went offline in the middle, and this thread's own that were held
 * up; whoever opens a zone calls it.
 * Callbacks that this thread cannot run are left out and counted, as in a recovery. What is busy now
 * is left to the next.
 */
export function finishBroken(uma: Uma): void {
  const { cpu } = uma;
  if (uma.words[cpu.handTop] !== 0) return;
  for (let id = 0; id < uma.zoneCount(); id++) {
    const zone = uma.zoneAt(id);
    if (zoneState(uma, zone) !== ZoneState.dying || isAtWork(uma, zone)) continue;
    try {
      destroyZone(uma, zone, 0);
    } catch (error) {
      if (!(error instanceof LockBusyError) && !(error instanceof ZoneDestroyedError)) throw error;
    }
  }
}

/** Whether another thread destroys the zone and still has its CPU. */
function isAtWork(uma: Uma, zone: number): boolean {
  const destroyer = Atomics.load(uma.words, zone + Z.destroyer.at);
  if (destroyer === uma.cpu.lockWord) return false;
  return isOnline(uma.cpu, (destroyer & 0xff) - 1, destroyer >>> 9);
}
