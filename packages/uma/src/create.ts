/**
 * Creating zones and kegs, and finding them by name (spec 3.1). All of it is under the registry
 * lock; a record is built in static space that nobody else sees, and published in one straight
 * line, so a creator that dies leaves nothing. The record of a destroyed zone is taken first: then the
 * zone exists with the store of its state.
 */

import { DebugLevel, STATIC_NEXT, staticSpace, TableFullError } from '@umbuf/memory';
import { initialBucketSizes } from './bucket-ladder.ts';
import {
  callbackBits,
  encodeName,
  fingerprint,
  UMA_ALIGN_PTR,
  type ZoneDefinition,
} from './definition.ts';
import { checkZoneFlags, INHERITED_FLAGS, InternalFlag, ZoneFlag } from './flags.ts';
import { FailureSite, injected } from './inject.ts';
import { kegLayout } from './keg-layout.ts';
import {
  CacheRecord,
  CallbackBit,
  EventRecord,
  Feature,
  ItemEntry,
  KegDomain,
  KegRecord,
  UmaRoot,
  ZoneDomain,
  ZoneRecord,
  ZONES_MAX,
} from './layout.ts';
import { redzoneBytes } from './redzone.ts';
import { attachSmr, smrOfDefinition } from './smr/create.ts';
import { eraseZone } from './erase.ts';
import { TABLE_ZONE_BYTES, type Uma } from './uma.ts';
import { reusableZone, ZoneState, zoneState } from './zone-life.ts';

const Z = ZoneRecord.fields;
const K = KegRecord.fields;
/** `uz_bucket_max` of a zone without `setMaxcache`: no queue reaches it. */
export const BUCKET_MAX_UNLIMITED = 0x3fffffff;

/** Word index of the live zone of that name, 0 = none. */
export function findZone(uma: Uma, name: string): number {
  const count = uma.zoneCount();
  for (let id = 0; id < count; id++) {
    const zone = uma.zoneAt(id);
    if (zoneState(uma, zone) !== ZoneState.live) continue;
    if (readZoneName(uma.words, zone) === name) return zone;
  }
  return 0;
}

export function readZoneName(words: Int32Array<SharedArrayBuffer>, zone: number): string {
  // Names are ASCII as good as always, and fsck reads a hundred of them.
  let name = '';
  for (let index = 0; index < Z.name.count * 4; index++) {
    const byte = (words[zone + Z.name.at + (index >> 2)]! >>> ((index & 3) * 8)) & 255;
    if (byte === 0) return name;
    if (byte > 127) break;
    name += String.fromCharCode(byte);
  }
  // A private copy: TextDecoder refuses shared views in browsers.
  const bytes = new Uint8Array(words.buffer, (zone + Z.name.at) * 4, Z.name.count * 4).slice();
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(bytes.subarray(0, end < 0 ? bytes.length : end));
}

/**
 * Makes a zone (and its keg, unless it is secondary) and returns its word index. `internal` is
 * the flags of the allocator's own zones. Throws `ZoneDefinitionError` or `TableFullError`;
 * nothing is left then.
 */
export function createZone(uma: Uma, definition: ZoneDefinition, internal: number): number {
  const { words, cpu, arena } = uma;
  const { name, size, primary } = definition;
  const align = definition.align ?? UMA_ALIGN_PTR;
  const asked = (definition.flags ?? 0) | internal;
  checkZoneFlags({ name, size, flags: asked, internal: internal !== 0 });
  const reused = internal === 0 ? reusableZone(uma) : -1;
  const id = reused >= 0 ? reused : uma.zoneCount();
  if (id >= ZONES_MAX) throw new TableFullError(`zone ${name}: all ${ZONES_MAX} zones are in use`);
  const primaryZone = primary === undefined ? 0 : findZone(uma, primary.name);
  const zoneWords =
    ZoneRecord.words + arena.cpus * CacheRecord.words + arena.domains * ZoneDomain.words;
  // Room for a keg in every record: whichever zone comes next can use it.
  const kegWords = KegRecord.words + arena.domains * KegDomain.words;
  const events = arena.cpus * EventRecord.words;
  const bytes = (zoneWords + kegWords + events) * 4;
  const smr = smrOfDefinition(uma, definition, asked);
  const space = (): number => (reused >= 0 ? uma.zoneAt(reused) << 2 : staticSpace(cpu, bytes));
  const address = injected(uma, FailureSite.zoneRecord) ? 0 : space();
  if (address === 0) throw new TableFullError(`zone ${name}: no pages for its record`);
  const zone = address >> 2;
  if (reused >= 0) eraseZone(uma, zone, zone + zoneWords);
  const keg = primaryZone !== 0 ? words[primaryZone + Z.keg.at]! : zone + zoneWords;
  if (definition.importItems !== undefined) writeCacheKeg(uma, keg, zone, definition, asked);
  else if (primaryZone === 0) writeKeg(uma, keg, zone, { definition, align, flags: asked });
  const inherited =
    primaryZone !== 0
      ? (words[keg + K.flags.at]! & ~(InternalFlag.TRASH | ZoneFlag.SMR)) | ZoneFlag.SECONDARY
      : words[keg + K.flags.at]! &
        (INHERITED_FLAGS | InternalFlag.TRASH | InternalFlag.CACHE | ZoneFlag.UNMANAGED);
  const flags = asked | inherited | (smr !== 0 ? ZoneFlag.SMR : 0);
  writeZone(uma, zone, { definition, id, keg, primaryZone, flags });
  if (smr !== 0) attachSmr(uma, zone, smr);
  words[zone + Z.events.at] = zone + zoneWords + kegWords;
  words[zone + Z.made.at] = words[uma.root + UmaRoot.fields.made.at]!++;
  if (reused >= 0) {
    Atomics.store(words, zone + Z.state.at, ZoneState.live);
    return zone;
  }
  const end = address + bytes;
  const next = uma.root + UmaRoot.fields.zones.at + id;
  // Behind the count nobody looks; with the count the zone exists and its space is taken.
  words[next] = zone;
  // straight
  Atomics.store(words, uma.root + UmaRoot.fields.zoneCount.at, id + 1);
  words[STATIC_NEXT] = end;
  // end
  return zone;
}

/** The keg record of a cache zone: without slabs, of one item each. */
function writeCacheKeg(
  uma: Uma,
  keg: number,
  zone: number,
  definition: ZoneDefinition,
  flags: number,
): void {
  const { words } = uma;
  const policy = (flags & ZoneFlag.FIRSTTOUCH) !== 0 ? ZoneFlag.FIRSTTOUCH : ZoneFlag.ROUNDROBIN;
  words[keg + K.zone.at] = zone;
  words[keg + K.size.at] = definition.size;
  words[keg + K.rsize.at] = Math.max(definition.size, 8);
  words[keg + K.ipers.at] = 1;
  words[keg + K.ppera.at] = 1;
  words[keg + K.flags.at] = flags | policy | InternalFlag.CACHE;
}

interface KegParts {
  readonly definition: ZoneDefinition;
  readonly align: number;
  readonly flags: number;
}

function writeKeg(uma: Uma, keg: number, zone: number, parts: KegParts): void {
  const { words, arena } = uma;
  const { definition, align } = parts;
  const { name, size } = definition;
  const invariants = arena.level >= DebugLevel.invariants;
  let flags = parts.flags;
  const own = flags & (InternalFlag.INTERNAL | InternalFlag.BUCKET);
  const callbacks = callbackBits(definition);
  const itemCallbacks = CallbackBit.init | CallbackBit.fini | CallbackBit.zinit | CallbackBit.zfini;
  const untouched = ZoneFlag.ZINIT | ZoneFlag.NOTOUCH | ZoneFlag.NOFREE;
  // INVARIANTS kernels inject trash init and fini where the zone has neither (spec 3.1). A primary
  // zone with zinit keeps state in cached items, which trash would take for a write after free.
  if (invariants && own === 0 && (flags & untouched) === 0 && (callbacks & itemCallbacks) === 0) {
    flags |= InternalFlag.TRASH;
  }
  const redzone = redzoneBytes(arena.level, size, parts.flags, definition.redzone);
  const layout = kegLayout({
    name,
    size: size + redzone,
    alignMask: align,
    flags: parts.flags,
    cpus: arena.cpus,
    invariants,
    multipageSlabs: true,
  });
  // The default of kernels built with NUMA, whatever the number of domains (1.9).
  if ((flags & (ZoneFlag.FIRSTTOUCH | ZoneFlag.ROUNDROBIN | ZoneFlag.NOTPAGE)) === 0) {
    flags |= ZoneFlag.FIRSTTOUCH;
  } else if ((flags & ZoneFlag.FIRSTTOUCH) === 0) {
    flags |= ZoneFlag.ROUNDROBIN;
  }
  if (layout.format === 'offpage') flags |= InternalFlag.OFFPAGE;
  if (layout.lookup !== 'page-mask') flags |= InternalFlag.VTOSLAB;
  words[keg + K.zone.at] = zone;
  words[keg + K.size.at] = size;
  words[keg + K.redzone.at] = redzone;
  words[keg + K.rsize.at] = layout.rsize;
  words[keg + K.ipers.at] = layout.ipers;
  words[keg + K.ppera.at] = layout.ppera;
  words[keg + K.pgoff.at] = layout.format === 'offpage' ? 0 : layout.pgoff;
  words[keg + K.flags.at] = flags;
  words[keg + K.align.at] = align;
  words[keg + K.pageMask.at] = layout.lookup === 'page-mask' ? 1 : 0;
  words[keg + K.slabZone.at] =
    layout.format === 'offpage' ? uma.slabZones[layout.ipers <= 256 ? 0 : 1]! : 0;
  const tableBytes = layout.ipers * ItemEntry.words * 4;
  const row = TABLE_ZONE_BYTES.findIndex((bytes) => bytes >= tableBytes);
  const table = own === 0 && (definition.holders === true || arena.level >= DebugLevel.checks);
  words[keg + K.tableZone.at] = table ? uma.tableZones[row]! : 0;
}

interface ZoneParts {
  readonly definition: ZoneDefinition;
  readonly id: number;
  readonly keg: number;
  readonly primaryZone: number;
  readonly flags: number;
}

function writeZone(uma: Uma, zone: number, parts: ZoneParts): void {
  const { words, arena } = uma;
  const { definition, id, keg, primaryZone } = parts;
  const callbacks = callbackBits(definition);
  let features = 0;
  if ((callbacks & CallbackBit.ctor) !== 0) features |= Feature.ctor;
  if ((callbacks & CallbackBit.dtor) !== 0) features |= Feature.dtor;
  if (words[keg + K.tableZone.at] !== 0) features |= Feature.items;
  if ((parts.flags & InternalFlag.TRASH) !== 0) features |= Feature.trash;
  const flags = parts.flags | ((features & ~Feature.items) !== 0 ? InternalFlag.CTORDTOR : 0);
  if (words[keg + K.redzone.at] !== 0) features |= Feature.redzone;
  // An SMR zone's free side is its own (2.11): its items are not sorted by domain.
  // Nor are a cache zone's, which need not be addresses.
  const kinds = ZoneFlag.FIRSTTOUCH | ZoneFlag.SMR | InternalFlag.CACHE;
  const sorted = (flags & kinds) === ZoneFlag.FIRSTTOUCH;
  if (sorted && arena.domains > 1) features |= Feature.domain;
  const sizes = initialBucketSizes(flags, definition.size);
  words[zone + Z.id.at] = id;
  words[zone + Z.keg.at] = keg;
  words[zone + Z.size.at] = definition.size;
  words[zone + Z.flags.at] = flags;
  words[zone + Z.features.at] = features;
  words[zone + Z.fingerprint.at] = fingerprint(definition);
  words[zone + Z.callbacks.at] = callbacks;
  words[zone + Z.primary.at] = primaryZone;
  Atomics.store(words, zone + Z.bucketSize.at, sizes.bucketSize);
  Atomics.store(words, zone + Z.bucketSizeMin.at, sizes.bucketSizeMin);
  Atomics.store(words, zone + Z.bucketSizeMax.at, sizes.bucketSizeMax);
  Atomics.store(words, zone + Z.bucketMax.at, BUCKET_MAX_UNLIMITED);
  uma.bytes.set(encodeName(definition.name), (zone + Z.name.at) * 4);
  for (let cpu = 0; cpu < arena.cpus; cpu++) {
    const cache = zone + ZoneRecord.words + cpu * CacheRecord.words;
    words[cache + CacheRecord.fields.zone.at] = zone;
    words[cache + CacheRecord.fields.features.at] = features;
    // A ctor makes no free longer, a dtor no allocation.
    words[cache + CacheRecord.fields.allocFeatures.at] =
      features & ~(Feature.dtor | Feature.domain);
    words[cache + CacheRecord.fields.freeFeatures.at] = features & ~Feature.ctor;
  }
}
