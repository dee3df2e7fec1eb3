/**
 * Owners of items (mowner(9) for any zone): in a zone with an item table each item in use may belong to
 * an owner, who claims it and gives it back. The owner stands in the item's entry and is written by
 * whoever holds the item, like the item itself; the counters are the calling CPU's.
 *
 * Each step moves the word and the counters in one straight line, so at every point of death an owner's
 * claims less its releases are the entries that name it: what fsck checks (owner/check.ts). An item that
 * is free names nobody, or `revoked`.
 */

import { type Address, ArgumentError, enterCpu, lockRegistry, unlockRegistry } from '@umbuf/memory';
import {
  attachOwner,
  OWNER_NAME_BYTES,
  OwnerCounter,
  ownerCounterAt,
  publishRevoked,
  requireOwner,
  revokedOwner,
} from '@umbuf/tracing';
import { encodeName } from '../definition.ts';
import { findEntry, isLive } from '../item-table.ts';
import { ItemEntry, KegRecord, ZoneRecord } from '../layout.ts';
import type { Uma } from '../uma.ts';

const OWNER = ItemEntry.fields.owner.at;
const Z = ZoneRecord.fields;
const { itemClaims, itemReleases } = OwnerCounter;

/** mowner_init: an item that was just allocated belongs to its zone's default owner. */
export function initItemOwner(uma: Uma, zone: number, entry: number): void {
  const { words, longs } = uma;
  // Plain: a stale default is the owner before, who is then both named and counted.
  const owner = words[zone + Z.defaultOwner.at]!;
  if (owner === 0) {
    words[entry + OWNER] = 0;
    return;
  }
  const claims = ownerCounterAt(owner, uma.cpu.number, itemClaims);
  // straight
  words[entry + OWNER] = owner;
  longs[claims]! += 1n;
  // end
}

/** mowner_revoke of all: the item is being freed, and in this CPU's hands. Repeatable. */
export function revokeItemOwner(uma: Uma, entry: number): void {
  const { words, longs } = uma;
  const owner = words[entry + OWNER]!;
  if (owner === 0) return;
  const revoked = revokedOwner(uma.arena);
  if (owner === revoked) return;
  const releases = ownerCounterAt(owner, uma.cpu.number, itemReleases);
  // straight
  words[entry + OWNER] = revoked;
  longs[releases]! += 1n;
  // end
}

/** m_claim of an item: see Zone.claim. */
export function claimItem(uma: Uma, zone: number, item: Address, owner: Address): void {
  const { words, longs, cpu } = uma;
  if (!hasTable(uma, zone)) return;
  const entry = liveEntry(uma, zone, item, 'claim');
  if (owner === 0) return;
  requireOwner(uma.arena, owner);
  const before = words[entry + OWNER]!;
  if (before === owner) return;
  openOwners(uma);
  const claims = ownerCounterAt(owner, cpu.number, itemClaims);
  if (before === 0) {
    // straight
    words[entry + OWNER] = owner;
    longs[claims]! += 1n;
    // end
    return;
  }
  const releases = ownerCounterAt(before as Address, cpu.number, itemReleases);
  // straight
  words[entry + OWNER] = owner;
  longs[releases]! += 1n;
  longs[claims]! += 1n;
  // end
}

/** Owner of a live item; 0 = unattributed. Throws `ArgumentError` for what is no live item of the zone. */
export function itemOwner(uma: Uma, zone: number, item: Address): Address {
  if (!hasTable(uma, zone)) return 0 as Address;
  return Atomics.load(uma.words, liveEntry(uma, zone, item, 'owner') + OWNER) as Address;
}

/** The default owner of the zone's new items: see Zone.setOwner. */
export function setZoneOwner(uma: Uma, zone: number, owner: Address | undefined): Address {
  const { cpu } = uma;
  if (!hasTable(uma, zone)) return 0 as Address;
  if (cpu.words[cpu.entered] === 0) enterCpu(cpu);
  if (owner !== undefined && owner !== 0) requireOwner(uma.arena, owner);
  const wanted = owner ?? attachOwner(cpu, 'unknown', shortName(uma.zoneName(zone)));
  if (wanted !== 0) openOwners(uma);
  Atomics.store(uma.words, zone + Z.defaultOwner.at, wanted);
  return wanted;
}

/** Whether the zone's items can have owners: its keg has an item table. */
export function hasTable({ words }: Pick<Uma, 'words'>, zone: number): boolean {
  return words[words[zone + Z.keg.at]! + KegRecord.fields.tableZone.at] !== 0;
}

function liveEntry(uma: Uma, zone: number, item: Address, what: string): number {
  const entry = findEntry(uma, zone, item);
  if (entry !== 0 && isLive(uma, entry)) return entry;
  throw new ArgumentError(
    `zone ${uma.zoneName(zone)}, CPU ${uma.cpu.number}: ${what} of ${String(item)}: no live item of the zone`,
  );
}

/** Makes `revoked` known before the first item has an owner, so that its release finds it. */
function openOwners(uma: Uma): void {
  const { cpu, arena } = uma;
  if (revokedOwner(arena) !== 0) return;
  const revoked = attachOwner(cpu, 'revoked');
  lockRegistry(cpu);
  publishRevoked(cpu, revoked);
  unlockRegistry(cpu);
}

/** As much of a name as an owner's description holds, cut between characters. */
function shortName(name: string): string {
  let short = '';
  for (const character of name) {
    if (encodeName(short + character).length > OWNER_NAME_BYTES) break;
    short += character;
  }
  return short;
}
