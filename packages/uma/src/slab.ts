/**
 * Slab life (spec 1.5, 2.4b `keg_alloc_slab`, 2.10): pages, header, item table and keg init are
 * put together with no lock held, then the slab is inserted under `ud_lock`; destruction is the
 * same backwards.
 *
 * While it is on no list a slab stands in one hand slot (kind slab, with the number of items that
 * keg init has seen), so a worker that dies while building or destroying one loses nothing: the
 * repair is `destroySlab` again.
 */

import {
  type Address,
  HandKind,
  lockMutex,
  mapPages,
  PAGE_SHIFT,
  PAGE_SIZE,
  putPages,
  reserveSlot,
  takePages,
  unlockMutex,
  unmapPages,
} from '@umbuf/memory';
import { redzoneVerify, trashFill, trashVerify } from './debug.ts';
import { InternalFlag, ZoneFlag } from './flags.ts';
import { giveBack } from './hands.ts';
import { FailureSite, injected } from './inject.ts';
import { freeItem } from './item.ts';
import { clearTable, retireTable, slabEpoch } from './item-table.ts';
import { kegDomain, kegTake } from './keg.ts';
import {
  CacheRecord,
  CallbackBit,
  Hand,
  ItemState,
  KegDomain,
  KegRecord,
  SlabHeader,
  ZoneRecord,
} from './layout.ts';
import { fillRedzone } from './redzone.ts';
import { FailureReason } from './statistics/failures.ts';
import type { Uma } from './uma.ts';
import { mayRun, runFini, runInit } from './zone-callbacks.ts';
import { zoneCache } from './zone-domain.ts';
import { ZoneState, zoneState } from './zone-life.ts';

const SITE = FailureSite;
const K = KegRecord.fields;
const FREE = KegDomain.fields.free.at;
const PAGES = KegDomain.fields.pages.at;
const FREE_ITEMS = KegDomain.fields.freeItems.at;
const FREE_SLABS = KegDomain.fields.freeSlabs.at;
const NEXT = SlabHeader.fields.next.at;
const PREVIOUS = SlabHeader.fields.previous.at;
const S = SlabHeader.fields;
const BITS = SlabHeader.words;

/**
 * Builds a slab and puts it on the free list. False when pages, header or item table are not to
 * be had, or keg init refused an item: nothing is left of the attempt. A throwing init leaves the
 * slab in its slot, where the operation's `undo` destroys it.
 */
export function buildSlab(uma: Uma, keg: number, domain: number, flags: number): boolean {
  return buildSlabFrom(uma, keg, domain, flags, reserveSlot(uma.cpu));
}

/** `buildSlab` with the top hand slot `pages`, which it gives back: void, or with a run of its pages. */
export function buildSlabFrom(
  uma: Uma,
  keg: number,
  domain: number,
  flags: number,
  pages: number,
): boolean {
  const { words, cpu } = uma;
  const header = reserveSlot(cpu);
  const table = reserveSlot(cpu);
  if (!takeParts(uma, keg, domain, flags, pages, header, table)) {
    if (words[header] !== HandKind.none) returnPart(uma, header);
    if (words[table] !== HandKind.none) returnPart(uma, table);
    if (words[pages] !== HandKind.none) putPages(cpu, pages);
    giveBack(cpu, pages);
    uma.why = FailureReason.pages;
    return false;
  }
  assemble(uma, keg, domain, pages, header, table);
  const built = initItems(uma, keg, pages, flags);
  const inserted = built && insertSlab(uma, keg, domain, pages);
  if (!inserted) destroySlab(uma, pages);
  giveBack(cpu, pages);
  if (!built) uma.why = FailureReason.init;
  uma.shortKeg = 0;
  return inserted;
}

/**
 * Pages, and an offpage header and an item table where the keg has them. `uma.shortKeg` tells for which
 * keg pages were missing: this one, or that of its headers or tables.
 */
function takeParts(
  uma: Uma,
  keg: number,
  domain: number,
  flags: number,
  pages: number,
  header: number,
  table: number,
): boolean {
  const { words } = uma;
  return (
    takePart(uma, words[keg + K.slabZone.at]!, header, domain, flags, SITE.slabHeader) &&
    takePart(uma, words[keg + K.tableZone.at]!, table, domain, flags, SITE.slabTable) &&
    !injected(uma, SITE.slabPages) &&
    (words[pages] !== HandKind.none || takeOwnPages(uma, keg, domain, pages))
  );
}

function takeOwnPages(uma: Uma, keg: number, domain: number, pages: number): boolean {
  if (takePages(uma.cpu, uma.words[keg + K.ppera.at]!, domain, pages) !== 0) return true;
  uma.shortKeg = keg;
  return false;
}

/** One item of an internal zone, which never uses buckets; true when there is no such part. */
function takePart(
  uma: Uma,
  zone: number,
  slot: number,
  domain: number,
  flags: number,
  site: number,
): boolean {
  if (zone === 0) return true;
  if (injected(uma, site)) return false;
  const { words, longs } = uma;
  if (!kegTake(uma, words[zone + ZoneRecord.fields.keg.at]!, zone, slot, 0, domain, flags)) {
    return false;
  }
  const counter = zoneCache(zone, uma.cpu.number) + CacheRecord.fields.zoneAllocs.at;
  // straight
  longs[counter >> 1]! += 1n;
  words[slot + 3] = ItemState.whole;
  // end
  return true;
}

function returnPart(uma: Uma, slot: number): void {
  const zone = uma.words[slot + 2]!;
  freeItem(uma, zone, zoneCache(zone, uma.cpu.number), slot);
}

/** Writes the header over the parts in the three slots; afterwards `pages` holds the slab. */
function assemble(
  uma: Uma,
  keg: number,
  domain: number,
  pages: number,
  header: number,
  table: number,
): void {
  const { words, cpu } = uma;
  const first = (words[pages + 1]! << PAGE_SHIFT) as Address;
  const ppera = words[keg + K.ppera.at]!;
  const ipers = words[keg + K.ipers.at]!;
  const offpage = words[header] !== HandKind.none;
  const slab = (offpage ? words[header + 1]! : first + words[keg + K.pgoff.at]!) >> 2;
  const tableAddress = words[table] !== HandKind.none ? words[table + 1]! : 0;
  // Malloc zones' pages come as they are, but for the header (spec 1.5).
  if ((words[keg + K.flags.at]! & (ZoneFlag.MALLOC | ZoneFlag.ZINIT)) !== ZoneFlag.MALLOC) {
    cpu.kernels.zero(first, ppera * PAGE_SIZE);
  }
  mapPages(cpu, first, ppera, keg << 2, slab << 2);
  for (let index = 0; index < ipers; index += 32) {
    words[slab + BITS + (index >> 5)] = ipers - index >= 32 ? -1 : (1 << (ipers - index)) - 1;
  }
  // The bitset is whole 64-bit words: its second half may lie behind the last item's bit.
  if (((ipers + 31) >> 5) % 2 === 1) words[slab + BITS + ((ipers + 31) >> 5)] = 0;
  if (tableAddress !== 0) clearTable(uma, tableAddress, ipers, slabEpoch(uma.arena, first, ppera));
  // straight: three things in hand become one
  words[slab + NEXT] = 0;
  words[slab + PREVIOUS] = 0;
  words[slab + S.freeCount.at] = ipers;
  words[slab + S.domain.at] = domain;
  words[slab + S.data.at] = first;
  words[slab + S.table.at] = tableAddress;
  words[pages + 1] = slab;
  words[pages + 2] = keg;
  words[pages + 3] = 0;
  words[pages] = Hand.slab;
  words[header] = HandKind.none;
  words[table] = HandKind.none;
  // end
}

/**
 * Keg init (or the trash fill) for every item; false when one was refused. The slot's `more` and
 * the keg's counter of initialised items move together.
 */
function initItems(uma: Uma, keg: number, slot: number, flags: number): boolean {
  const { words, longs } = uma;
  const zone = words[keg + K.zone.at]!;
  const ipers = words[keg + K.ipers.at]!;
  const inits = (keg + K.inits.at) >> 1;
  const rsize = words[keg + K.rsize.at]!;
  const data = words[words[slot + 1]! + S.data.at]!;
  const hasInit = (words[zone + ZoneRecord.fields.callbacks.at]! & CallbackBit.init) !== 0;
  const trash = (words[keg + K.flags.at]! & InternalFlag.TRASH) !== 0;
  const redzone = words[keg + K.redzone.at] !== 0;
  if (hasInit || trash || redzone) {
    for (let index = 0; index < ipers; index++) {
      const item = data + index * rsize;
      if (hasInit && (injected(uma, SITE.init) || runInit(uma, zone, 'init', item, flags))) {
        return false;
      }
      if (trash) trashFill(uma, keg, item);
      if (redzone) fillRedzone(uma, keg, item);
      // straight: the atomic first, which is a point of death before its effect
      Atomics.add(longs, inits, 1n);
      words[slot + 3] = index + 1;
      // end
    }
    return true;
  }
  const all = BigInt(ipers);
  // straight
  Atomics.add(longs, inits, all);
  words[slot + 3] = ipers;
  // end
  return true;
}

/** False when the zone is being destroyed: its keg takes no more slabs. */
function insertSlab(uma: Uma, keg: number, domain: number, slot: number): boolean {
  const { words, cpu } = uma;
  const record = kegDomain(keg, domain);
  const slab = words[slot + 1]!;
  const ipers = words[keg + K.ipers.at]!;
  const ppera = words[keg + K.ppera.at]!;
  lockMutex(cpu, record);
  if (zoneState(uma, words[keg + K.zone.at]!) !== ZoneState.live) {
    unlockMutex(cpu, record);
    return false;
  }
  // straight
  const head = words[record + FREE]!;
  words[slab + NEXT] = head;
  words[slab + PREVIOUS] = 0;
  if (head !== 0) words[head + PREVIOUS] = slab;
  words[record + FREE] = slab;
  words[record + FREE_SLABS]! += 1;
  words[record + FREE_ITEMS]! += ipers;
  words[record + PAGES]! += ppera;
  words[slot] = HandKind.none;
  // end
  unlockMutex(cpu, record);
  return true;
}

/**
 * Destroys free slabs, all but those that the reserve needs. Returns how many. `keg_drain_domain`;
 * the caller has looked at NOFREE and at whether it may run keg fini.
 *
 * The kernel takes all of them off the list at once; here each goes on its own, with what the
 * reserve needs computed anew, so that a death or a busy lock leaves the rest where they were.
 */
export function drainSlabs(uma: Uma, keg: number, domain: number): number {
  const { words, cpu } = uma;
  const record = kegDomain(keg, domain);
  const ipers = words[keg + K.ipers.at]!;
  const ppera = words[keg + K.ppera.at]!;
  let destroyed = 0;
  // Ends: each round destroys a slab; others may free more meanwhile, but not without end.
  for (;;) {
    const slot = reserveSlot(cpu);
    lockMutex(cpu, record);
    const slab =
      words[record + FREE_SLABS]! > slabsToKeep(words, keg, record) ? words[record + FREE]! : 0;
    if (slab !== 0) {
      // straight
      words[slot + 1] = slab;
      words[slot + 2] = keg;
      words[slot + 3] = ipers;
      words[slot] = Hand.slab;
      const next = words[slab + NEXT]!;
      words[record + FREE] = next;
      if (next !== 0) words[next + PREVIOUS] = 0;
      words[record + FREE_SLABS]! -= 1;
      words[record + FREE_ITEMS]! -= ipers;
      words[record + PAGES]! -= ppera;
      // end
    }
    unlockMutex(cpu, record);
    if (slab !== 0) destroySlab(uma, slot);
    giveBack(cpu, slot);
    if (slab === 0) return destroyed;
    destroyed++;
  }
}

/** Free slabs that the keg's reserve needs besides the free items of its partial slabs. */
function slabsToKeep(words: Int32Array, keg: number, record: number): number {
  const reserve = words[keg + K.reserve.at]!;
  const ipers = words[keg + K.ipers.at]!;
  const partial = words[record + FREE_ITEMS]! - words[record + FREE_SLABS]! * ipers;
  return partial < reserve ? Math.ceil((reserve - partial) / ipers) : 0;
}

/** Destroys the slab in `slot` (on no list, no item in use) and voids the slot. Repeatable. */
export function destroySlab(uma: Uma, slot: number): void {
  const { words, cpu } = uma;
  const slab = words[slot + 1]!;
  const keg = words[slot + 2]!;
  finiItems(uma, keg, slot);
  const first = words[slab + S.data.at]! as Address;
  const ppera = words[keg + K.ppera.at]!;
  const table = words[slab + S.table.at]!;
  if (table !== 0) retireTable(uma, table, words[keg + K.ipers.at]!, first, ppera);
  // Before header and table go: nobody may find them through the map when they are others'.
  unmapPages(cpu, first, ppera);
  const part = reserveSlot(cpu);
  if (table !== 0) {
    const tableZone = words[keg + K.tableZone.at]!;
    // straight
    words[part + 1] = table;
    words[part + 2] = tableZone;
    words[part + 3] = ItemState.whole;
    words[part] = Hand.item;
    words[slab + S.table.at] = 0;
    // end
    returnPart(uma, part);
  }
  const slabZone = words[keg + K.slabZone.at]!;
  // straight: one thing in hand becomes two
  words[slot + 1] = first >> PAGE_SHIFT;
  words[slot + 2] = ppera;
  words[slot] = HandKind.pages;
  if (slabZone !== 0) {
    words[part + 1] = slab << 2;
    words[part + 2] = slabZone;
    words[part + 3] = ItemState.whole;
    words[part] = Hand.item;
  }
  // end
  if (slabZone !== 0) returnPart(uma, part);
  giveBack(cpu, part);
  putPages(cpu, slot);
}

/**
 * Keg fini in descending order for the items that init has seen. An item that was modified after
 * its free is reported like a throwing fini: the slab is destroyed all the same.
 */
function finiItems(uma: Uma, keg: number, slot: number): void {
  const { words, longs } = uma;
  const slab = words[slot + 1]!;
  const zone = words[keg + K.zone.at]!;
  const hasFini = (words[zone + ZoneRecord.fields.callbacks.at]! & CallbackBit.fini) !== 0;
  const trash = (words[keg + K.flags.at]! & InternalFlag.TRASH) !== 0;
  const finis = (keg + K.finis.at) >> 1;
  const seen = words[slot + 3]!;
  // A repair in a thread without the zone gives the pages back all the same, and counts it.
  const redzone = words[keg + K.redzone.at] !== 0;
  const fini = hasFini && mayRun(uma, zone, CallbackBit.fini);
  if (trash || redzone || fini) {
    const rsize = words[keg + K.rsize.at]!;
    const data = words[slab + S.data.at]!;
    for (let index = seen - 1; index >= 0; index--) {
      // straight: whoever dies in a fini does not run it twice
      Atomics.add(longs, finis, 1n);
      words[slot + 3] = index;
      // end
      const item = data + index * rsize;
      if (trash || redzone) verifyFree(uma, zone, item, trash);
      if (fini) runFini(uma, keg, item);
    }
    return;
  }
  const all = BigInt(seen);
  // straight
  Atomics.add(longs, finis, all);
  words[slot + 3] = 0;
  // end
}

/** The debug checks for an item that is going away: a Panic is kept for the end of the operation. */
function verifyFree(uma: Uma, zone: number, item: number, trash: boolean): void {
  try {
    redzoneVerify(uma, zone, item);
    if (trash) trashVerify(uma, zone, item);
  } catch (error) {
    uma.keepError(error);
  }
}
