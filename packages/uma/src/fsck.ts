/**
 * `fsck`: the invariants of spec section 9 over a quiescent arena (no other CPU inside an
 * operation; idle or offline CPUs may hold caches). One implementation for stress runs, property
 * tests, interleaving checks and users. It takes each lock in turn and changes nothing.
 *
 * The numbers in the messages are those of the spec: 1 keg conservation, 2 slabs, 3 exactly one
 * place, 4 live bits, 5 accounting, 6 limits, 7 sleepers, 8 buckets, 9 estimator, 10 callbacks of
 * the keg, 11 SMR, 12 contents, 13 pages, with slab headers and item tables. (14 is the mbufs'.)
 * 15 owners of items (owner/check.ts).
 */

import {
  checkPagePool,
  enterCpu,
  kegOfPage,
  lockMutex,
  PAGE_SHIFT,
  slabOfPage,
  unlockMutex,
} from '@umbuf/memory';
import { isSampled, TRASH_WORD } from './debug.ts';
import { InternalFlag } from './flags.ts';
import { isCacheKeg } from './cache-zone.ts';
import { checkImports, countForeign } from './fsck-cache.ts';
import { type Census, checkPageTotal, checkParts, countPart } from './fsck-census.ts';
import { isLive } from './item-table.ts';
import { kegDomain } from './keg.ts';
import {
  BucketHeader,
  CacheRecord,
  Feature,
  ItemEntry,
  KegDomain,
  KegRecord,
  SlabHeader,
  ZoneDomain,
  ZoneRecord,
} from './layout.ts';
import { checkZoneLimit } from './limit/check.ts';
import { ownerViolations } from './owner/check.ts';
import { damagedBytes } from './redzone.ts';
import { smrViolations } from './smr/check.ts';
import type { Uma } from './uma.ts';
import { zoneCache, zoneDomain } from './zone-domain.ts';
import { ZoneState, zoneState } from './zone-life.ts';
import { failureViolations } from './statistics/failures.ts';
import { readZoneStatistics } from './zone-statistics.ts';

const K = KegRecord.fields;
const D = KegDomain.fields;
const S = SlabHeader.fields;
const C = CacheRecord.fields;
const Q = ZoneDomain.fields;
const B = BucketHeader.fields;

export interface FsckReport {
  /** What is broken, in words, each with the number of its invariant; empty when all holds. */
  readonly violations: readonly string[];
  /** Items in users' hands by zone name, as far as the structures tell. */
  readonly live: Readonly<Record<string, number>>;
}

/** Checks the arena. Quiescence is the caller's business. */
export function fsck(uma: Uma): FsckReport {
  const { cpu, words, arena } = uma;
  if (words[cpu.entered] === 0) enterCpu(cpu);
  const census: Census = {
    cached: new Map(),
    buckets: new Map(),
    placed: new Set(),
    parts: new Map(),
    violations: [],
  };
  const live: Record<string, number> = {};
  const kegs = new Set<number>();
  const cachedByKeg = new Map<number, number>();
  const liveByKeg = new Map<number, number>();
  for (let id = 0; id < uma.zoneCount(); id++) {
    const zone = uma.zoneAt(id);
    if (zoneState(uma, zone) === ZoneState.dead) {
      if (countCaches(uma, zone, census) + countQueues(uma, zone, census) > 0) {
        census.violations.push(`8: destroyed zone ${uma.zoneName(zone)}: items cached`);
      }
      continue;
    }
    const keg = words[zone + ZoneRecord.fields.keg.at]!;
    kegs.add(keg);
    const cached = countCaches(uma, zone, census) + countQueues(uma, zone, census);
    const statistics = readZoneStatistics(uma, zone);
    if (zoneState(uma, zone) === ZoneState.live) live[statistics.name] = statistics.live;
    const orphans = words[keg + K.orphans.at]!;
    if (statistics.live + orphans < 0) {
      census.violations.push(
        `5: zone ${statistics.name}: ${-statistics.live} more frees than allocs`,
      );
    }
    census.violations.push(...checkZoneLimit(uma, zone, cached + statistics.live));
    census.violations.push(...failureViolations(uma, zone, statistics));
    cachedByKeg.set(keg, (cachedByKeg.get(keg) ?? 0) + cached);
    liveByKeg.set(keg, (liveByKeg.get(keg) ?? 0) + statistics.live);
  }
  let pages = 0;
  for (const keg of kegs) {
    // A destroy that was broken off has lost slabs already.
    const lost = words[keg + K.lostItems.at]!;
    const live = liveByKeg.get(keg)! + words[keg + K.orphans.at]! - lost;
    if (isCacheKeg(uma, keg)) checkImports(uma, keg, cachedByKeg.get(keg)! + live, census);
    else pages += checkKeg(uma, keg, census, cachedByKeg.get(keg)!, live);
  }
  for (let domain = 0; domain < arena.domains; domain++) {
    for (const text of checkPagePool(cpu, domain)) census.violations.push(`13: ${text}`);
  }
  checkPageTotal(uma, pages, census);
  for (const [item, where] of census.cached) {
    if (!census.placed.has(item)) census.violations.push(`3: ${where}: ${item} is no item's start`);
  }
  checkParts(uma, live, census);
  census.violations.push(...smrViolations(uma), ...ownerViolations(uma));
  return { violations: census.violations, live };
}

/** Buckets loaded in CPU caches; returns their items. */
function countCaches(uma: Uma, zone: number, census: Census): number {
  const { words, arena } = uma;
  const smr = words[zone + ZoneRecord.fields.smr.at] !== 0;
  let items = 0;
  for (let cpu = 0; cpu < arena.cpus; cpu++) {
    const cache = zoneCache(zone, cpu);
    const where = `cache of CPU ${cpu} in zone ${uma.zoneName(zone)}`;
    for (const [bucket, count, entries] of [
      [C.allocBucket.at, C.allocCount.at, C.allocEntries.at],
      [C.freeBucket.at, C.freeCount.at, C.freeEntries.at],
      [C.crossBucket.at, C.crossCount.at, C.crossEntries.at],
    ] as const) {
      const index = words[cache + bucket]!;
      const held = words[cache + count]!;
      if (index === 0) {
        if (held !== 0) census.violations.push(`8: ${where}: ${held} items in no bucket`);
        continue;
      }
      if (words[index + B.seq.at] !== 0) {
        census.violations.push(`11: ${where}: bucket ${index * 4} has a tag`);
      }
      const visible = smr && bucket !== C.allocBucket.at;
      countBucket(uma, zone, index, held, words[cache + entries]!, where, visible, census);
      items += held;
    }
  }
  return items;
}

/** Buckets on the zone's queues; returns their items. */
function countQueues(uma: Uma, zone: number, census: Census): number {
  const { words, cpu, arena } = uma;
  let items = 0;
  for (let domain = 0; domain < arena.domains; domain++) {
    const record = zoneDomain(uma, zone, domain);
    const where = `queue ${domain} of zone ${uma.zoneName(zone)}`;
    lockMutex(cpu, record);
    let queued = 0;
    let buckets = 0;
    let last = 0;
    let first = 0;
    for (
      let bucket = words[record + Q.head.at]!;
      bucket !== 0;
      bucket = words[bucket + B.link.at]!
    ) {
      const count = words[bucket + B.count.at]!;
      if (count <= 0) census.violations.push(`8: ${where}: empty bucket queued`);
      if (census.buckets.has(bucket)) {
        census.violations.push(
          `8: ${where}: bucket ${bucket * 4} is also in ${census.buckets.get(bucket)}`,
        );
        break;
      }
      const tag = words[bucket + B.seq.at]!;
      if (tag !== 0 && words[zone + ZoneRecord.fields.smr.at] === 0) {
        census.violations.push(`11: ${where}: bucket ${bucket * 4} has a tag`);
      }
      if (buckets === 0) first = tag;
      const entries = words[bucket + B.entries.at]! & 0xffff;
      countBucket(uma, zone, bucket, count, entries, where, tag !== 0, census);
      queued += count;
      buckets++;
      last = bucket;
    }
    if (last !== words[record + Q.tail.at])
      census.violations.push(`8: ${where}: tail is not the last`);
    if (first !== words[record + Q.seq.at]) {
      census.violations.push(`11: ${where}: seq ${words[record + Q.seq.at]}, first tag ${first}`);
    }
    if (queued !== words[record + Q.nitems.at]) {
      census.violations.push(`8: ${where}: ${queued} items, nitems ${words[record + Q.nitems.at]}`);
    }
    if (buckets !== words[record + Q.buckets.at]) {
      census.violations.push(
        `8: ${where}: ${buckets} buckets, count ${words[record + Q.buckets.at]}`,
      );
    }
    const imin = words[record + Q.imin.at]!;
    const bimin = words[record + Q.bimin.at]!;
    const nitems = words[record + Q.nitems.at]!;
    const imax = Atomics.load(words, record + Q.imax.at);
    if (!(imin <= bimin && bimin <= nitems && nitems <= imax)) {
      census.violations.push(
        `9: ${where}: imin ${imin}, bimin ${bimin}, nitems ${nitems}, imax ${imax}`,
      );
    }
    const cross = words[record + Q.cross.at]!;
    if (cross !== 0) {
      const count = words[cross + B.count.at]!;
      const entries = words[cross + B.entries.at]! & 0xffff;
      countBucket(uma, zone, cross, count, entries, `partial bucket ${where}`, false, census);
      items += count;
    }
    if (words[record + Q.wss.at]! < 0 || words[record + Q.limin.at]! < 0) {
      census.violations.push(`9: ${where}: negative wss or limin`);
    }
    unlockMutex(cpu, record);
    items += queued;
  }
  return items;
}

/** One bucket: its items enter the census, each once. `visible` to SMR readers: no trash yet. */
function countBucket(
  uma: Uma,
  zone: number,
  bucket: number,
  count: number,
  entries: number,
  where: string,
  visible: boolean,
  census: Census,
): void {
  const { words } = uma;
  const keg = words[zone + ZoneRecord.fields.keg.at]!;
  if (census.buckets.has(bucket)) {
    census.violations.push(
      `8: ${where}: bucket ${bucket * 4} is also in ${census.buckets.get(bucket)}`,
    );
  }
  census.buckets.set(bucket, where);
  const header = words[bucket + B.entries.at]!;
  const rowZone = uma.bucketZones[header >>> 16];
  if (rowZone === undefined || kegOfPage(uma.arena, bucket << 2) !== kegOf(uma, rowZone) << 2) {
    census.violations.push(`8: ${where}: ${bucket * 4} is no bucket`);
    return;
  }
  countPart(census, rowZone);
  const capacity = uma.bucketRowEntries(header >>> 16);
  if (count < 0 || count > entries || entries !== (header & 0xffff) || entries > capacity) {
    census.violations.push(
      `8: ${where}: ${count} of ${entries} entries in a bucket of ${capacity}`,
    );
    return;
  }
  const trash = !visible && (words[zone + ZoneRecord.fields.features.at]! & Feature.trash) !== 0;
  if (isCacheKeg(uma, keg)) {
    countForeign(uma, zone, bucket, count, where, census);
    return;
  }
  for (let index = 0; index < count; index++) {
    const item = words[bucket + BucketHeader.words + index]!;
    const elsewhere = census.cached.get(item);
    if (elsewhere !== undefined)
      census.violations.push(`3: item ${item} in ${where} and in ${elsewhere}`);
    if (
      item <= 0 ||
      item >> PAGE_SHIFT >= uma.arena.pages ||
      kegOfPage(uma.arena, item) !== keg << 2
    ) {
      census.violations.push(`3: ${where}: ${item} is no item of its keg`);
      continue;
    }
    census.cached.set(item, where);
    if (trash) checkTrash(uma, keg, item, where, census);
  }
}

function checkTrash(uma: Uma, keg: number, item: number, where: string, census: Census): void {
  if (!isSampled(uma, keg, item)) return;
  const end = (item >> 2) + ((uma.words[keg + K.size.at]! >> 3) << 1);
  for (let word = item >> 2; word < end; word++) {
    if (uma.words[word] !== TRASH_WORD) {
      census.violations.push(
        `12: ${where}: item ${item} was modified after free at + ${(word << 2) - item}`,
      );
      return;
    }
  }
}

/** A keg's slabs, bitsets and lists against the census. Returns its pages. */
function checkKeg(uma: Uma, keg: number, census: Census, cached: number, live: number): number {
  const { words, cpu, arena } = uma;
  const name = uma.zoneName(words[keg + K.zone.at]!);
  const ipers = words[keg + K.ipers.at]!;
  const ppera = words[keg + K.ppera.at]!;
  let slabs = 0;
  let free = 0;
  let pages = 0;
  let liveBits = 0;
  for (let domain = 0; domain < arena.domains; domain++) {
    const record = kegDomain(keg, domain);
    lockMutex(cpu, record);
    let listed = 0;
    let listedFree = 0;
    let freeSlabs = 0;
    for (const list of [D.partial, D.free, D.full]) {
      let previous = 0;
      for (let slab = words[record + list.at]!; slab !== 0; slab = words[slab + S.next.at]!) {
        const count = words[slab + S.freeCount.at]!;
        const belongs = count === ipers ? D.free : count === 0 ? D.full : D.partial;
        const where = `keg ${name}, slab ${slab * 4}`;
        if (belongs !== list)
          census.violations.push(`2: ${where}: ${count} free items, wrong list`);
        if (words[slab + S.previous.at] !== previous)
          census.violations.push(`2: ${where}: wrong back link`);
        if (words[slab + S.domain.at] !== domain)
          census.violations.push(`2: ${where}: wrong domain`);
        liveBits += checkSlab(uma, keg, slab, ipers, where, census);
        if (list === D.free) freeSlabs++;
        listed++;
        listedFree += count;
        previous = slab;
        if (listed > arena.pages) break;
      }
    }
    if (freeSlabs !== words[record + D.freeSlabs.at]) {
      census.violations.push(
        `2: keg ${name}: ${freeSlabs} free slabs, counter ${words[record + D.freeSlabs.at]}`,
      );
    }
    if (listedFree !== words[record + D.freeItems.at]) {
      census.violations.push(
        `2: keg ${name}: ${listedFree} free items, counter ${words[record + D.freeItems.at]}`,
      );
    }
    if (listed * ppera !== words[record + D.pages.at]) {
      census.violations.push(
        `2: keg ${name}: ${listed} slabs, ${words[record + D.pages.at]} pages`,
      );
    }
    slabs += listed;
    const inUse = words[keg + K.slabZone.at]!;
    if (inUse !== 0) countPart(census, inUse, listed);
    if (words[keg + K.tableZone.at] !== 0) countPart(census, words[keg + K.tableZone.at]!, listed);
    free += listedFree;
    pages += listed * ppera;
    unlockMutex(cpu, record);
  }
  if (slabs * ipers !== free + cached + live) {
    census.violations.push(
      `1: keg ${name}: ${slabs * ipers} items, but ${free} free + ${cached} cached + ${live} live`,
    );
  }
  const inits = Number(Atomics.load(uma.longs, (keg + K.inits.at) >> 1));
  const finis = Number(Atomics.load(uma.longs, (keg + K.finis.at) >> 1));
  const lost = words[keg + K.lostSlabs.at]! * ipers;
  if (inits - finis - lost !== slabs * ipers) {
    census.violations.push(
      `10: keg ${name}: ${inits} items initialised and ${finis} finished, ${slabs * ipers} in slabs`,
    );
  }
  if (words[keg + K.tableZone.at] !== 0 && liveBits !== live) {
    census.violations.push(`4: keg ${name}: ${liveBits} live bits, ${live} items live`);
  }
  return pages;
}

/** One slab: count, bits, page map; cached items are not free in it. Returns live bits. */
function checkSlab(
  uma: Uma,
  keg: number,
  slab: number,
  ipers: number,
  where: string,
  census: Census,
): number {
  const { words } = uma;
  const rsize = words[keg + K.rsize.at]!;
  const data = words[slab + S.data.at]!;
  const table = words[slab + S.table.at]! >> 2;
  const trash = (words[keg + K.flags.at]! & InternalFlag.TRASH) !== 0;
  let bits = 0;
  let liveBits = 0;
  for (let index = 0; index < ipers; index++) {
    const item = data + index * rsize;
    const isFree = ((words[slab + SlabHeader.words + (index >> 5)]! >>> (index & 31)) & 1) === 1;
    if (isFree) bits++;
    if (isFree && trash) checkTrash(uma, keg, item, where, census);
    const damaged = damagedBytes(uma, keg, item);
    if (damaged > 0) {
      census.violations.push(`12: ${where}: ${damaged} bytes written behind item ${item}`);
    }
    if (census.cached.has(item)) census.placed.add(item);
    if (isFree && census.cached.has(item)) {
      census.violations.push(`3: ${where}: item ${item} is free and in ${census.cached.get(item)}`);
    }
    if (slabOfPage(uma.arena, item) !== slab << 2) {
      census.violations.push(`2: ${where}: page of item ${item} maps elsewhere`);
    }
    if (table !== 0 && isLive(uma, table + index * ItemEntry.words)) {
      liveBits++;
      if (isFree || census.cached.has(item))
        census.violations.push(`4: ${where}: item ${item} is live and free`);
    }
  }
  if (bits !== words[slab + S.freeCount.at]) {
    census.violations.push(`2: ${where}: ${bits} bits, free count ${words[slab + S.freeCount.at]}`);
  }
  return liveBits;
}

function kegOf(uma: Uma, zone: number): number {
  return uma.words[zone + ZoneRecord.fields.keg.at]!;
}
