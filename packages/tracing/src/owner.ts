/**
 * Owners (mowner(9)): who holds the memory. An owner is a name with per-CPU counters of claims and
 * releases; what it holds is their difference, summed over all CPUs.
 *
 * An owner is known by the address of its record, which is the same in every thread. Records are static and
 * never move; a detached one is used again once nothing is claimed by it any more, so that a late release
 * is never counted to a stranger. Attach and detach are under the registry lock; counting is a plain
 * addition of the CPU that does it, and readers stop nobody.
 */

import {
  type Address,
  type Arena,
  ArgumentError,
  type Cpu,
  enterCpu,
  lockRegistry,
  Root,
  STATIC_NEXT,
  staticSpace,
  unlockRegistry,
} from '@umbuf/memory';
import { OWNER_NAME_BYTES, OwnerCounters, OwnerRecord, OWNERS_MAX, TracingRoot } from './layout.ts';

const R = TracingRoot.fields;
const O = OwnerRecord.fields;
const C = OwnerCounters.fields;

/** Word offset of each counter. */
export const OwnerCounter: {
  readonly claims: 0;
  readonly releases: 2;
  readonly clusterClaims: 4;
  readonly clusterReleases: 6;
  readonly extClaims: 8;
  readonly extReleases: 10;
  readonly itemClaims: 12;
  readonly itemReleases: 14;
} = {
  claims: C.claims.at,
  releases: C.releases.at,
  clusterClaims: C.clusterClaims.at,
  clusterReleases: C.clusterReleases.at,
  extClaims: C.extClaims.at,
  extReleases: C.extReleases.at,
  itemClaims: C.itemClaims.at,
  itemReleases: C.itemReleases.at,
};

/** Index among the arena's 64-bit words of an owner's counter on CPU number `cpu`. */
export function ownerCounterAt(owner: number, cpu: number, counter: number): number {
  return ((owner >> 2) + OwnerRecord.words + cpu * OwnerCounters.words + counter) >> 1;
}

/** Adds one to a counter of an owner on CPU number `cpu`, which is the caller's. */
export function countOwner(
  longs: BigInt64Array,
  owner: number,
  cpu: number,
  counter: number,
): void {
  longs[((owner >> 2) + OwnerRecord.words + cpu * OwnerCounters.words + counter) >> 1]! += 1n;
}

/**
 * Attaches an owner, or finds the one of that name and description that is attached (MOWNER_ATTACH).
 * Returns its address; 0 when the arena has no room for another. Texts are at most 15 bytes of UTF-8,
 * the name at least one. Throws `ArgumentError`.
 */
export function attachOwner(cpu: Cpu, name: string, description: string = ''): Address {
  const texts = [encode('name', name, 1), encode('description', description, 0)] as const;
  if (cpu.words[cpu.entered] === 0) enterCpu(cpu);
  lockRegistry(cpu);
  try {
    const root = tracingRoot(cpu);
    if (root === 0) return 0 as Address;
    const known = findAttached(cpu.arena, root, name, description);
    if (known !== 0) return known;
    const record = freeRecord(cpu, root);
    if (record === 0) return 0 as Address;
    writeText(cpu.words, record + O.name.at, texts[0]);
    writeText(cpu.words, record + O.description.at, texts[1]);
    publish(cpu.words, root, record);
    return (record << 2) as Address;
  } finally {
    unlockRegistry(cpu);
  }
}

/** Detaches an owner (MOWNER_DETACH). What it holds still is counted to it, and shows nowhere. */
export function detachOwner(cpu: Cpu, owner: Address): void {
  if (cpu.words[cpu.entered] === 0) enterCpu(cpu);
  lockRegistry(cpu);
  try {
    requireOwner(cpu.arena, owner);
    Atomics.store(cpu.words, (owner >> 2) + O.sequence.at, 0);
  } finally {
    unlockRegistry(cpu);
  }
}

/** Sums over all CPUs. */
export interface OwnerCounts {
  readonly claims: bigint;
  readonly releases: bigint;
  readonly clusterClaims: bigint;
  readonly clusterReleases: bigint;
  readonly extClaims: bigint;
  readonly extReleases: bigint;
  /** Items of zones; the six above are of mbufs. */
  readonly itemClaims: bigint;
  readonly itemReleases: bigint;
}

export interface OwnerStatistics extends OwnerCounts {
  readonly address: Address;
  readonly name: string;
  readonly description: string;
}

/** An owner's counters, read without stopping anyone; what is held is never negative. */
export function readOwnerCounters(arena: Arena, owner: Address): OwnerCounts {
  const record = owner >> 2;
  // Releases before claims.
  const releases = sumOf(arena, record, C.releases.at);
  const clusterReleases = sumOf(arena, record, C.clusterReleases.at);
  const extReleases = sumOf(arena, record, C.extReleases.at);
  const itemReleases = sumOf(arena, record, C.itemReleases.at);
  return {
    claims: sumOf(arena, record, C.claims.at),
    releases,
    clusterClaims: sumOf(arena, record, C.clusterClaims.at),
    clusterReleases,
    extClaims: sumOf(arena, record, C.extClaims.at),
    extReleases,
    itemClaims: sumOf(arena, record, C.itemClaims.at),
    itemReleases,
  };
}

/** The attached owners, the newest first, with their sums over all CPUs (`kern.mbuf.mowners`). */
export function readOwners(arena: Arena): OwnerStatistics[] {
  const { words } = arena;
  const root = Atomics.load(words, Root.tracing) >> 2;
  if (root === 0) return [];
  const found: (OwnerStatistics & { readonly sequence: number })[] = [];
  const count = Atomics.load(words, root + R.ownerCount.at);
  for (let number = 0; number < count; number++) {
    const record = words[root + R.owners.at + number]!;
    const sequence = Atomics.load(words, record + O.sequence.at);
    if (sequence === 0) continue;
    found.push({
      sequence,
      address: (record << 2) as Address,
      ...ownerName(arena, (record << 2) as Address),
      ...readOwnerCounters(arena, (record << 2) as Address),
    });
  }
  found.sort((left, right) => right.sequence - left.sequence);
  return found.map(({ sequence: _sequence, ...owner }) => owner);
}

/** All owners that were ever attached and are not another's by now, detached ones too; for fsck. */
export function allOwners(arena: Arena): Address[] {
  const { words } = arena;
  const root = Atomics.load(words, Root.tracing) >> 2;
  const count = root === 0 ? 0 : Atomics.load(words, root + R.ownerCount.at);
  return Array.from(
    words.subarray(root + R.owners.at, root + R.owners.at + count),
    (record) => (record << 2) as Address,
  );
}

/** The owner of freed items; 0 while no item has had an owner. */
export function revokedOwner({ words }: Pick<Arena, 'words'>): Address {
  const root = Atomics.load(words, Root.tracing) >> 2;
  return (root === 0 ? 0 : Atomics.load(words, root + R.revoked.at)) as Address;
}

/** Makes an attached owner that of freed items. Under the registry lock; the first one stays. */
export function publishRevoked({ words }: Cpu, owner: Address): void {
  const root = Atomics.load(words, Root.tracing) >> 2;
  if (owner !== 0) Atomics.compareExchange(words, root + R.revoked.at, 0, owner);
}

/** Name and description of an owner. */
export function ownerName(
  arena: Arena,
  owner: Address,
): { readonly name: string; readonly description: string } {
  const record = owner >> 2;
  return {
    name: readText(arena.words, record + O.name.at),
    description: readText(arena.words, record + O.description.at),
  };
}

/** Throws `ArgumentError` unless `owner` is the address of an owner of the arena. */
export function requireOwner(arena: Arena, owner: number): void {
  const { words } = arena;
  const root = Atomics.load(words, Root.tracing) >> 2;
  const count = root === 0 ? 0 : Atomics.load(words, root + R.ownerCount.at);
  for (let number = 0; number < count; number++) {
    if (words[root + R.owners.at + number]! << 2 === owner) return;
  }
  throw new ArgumentError(`owner ${String(owner)}: no owner of this arena`);
}

// Under the registry lock.

/** Word index of the root record, made at the first attach; 0 without pages. */
function tracingRoot(cpu: Cpu): number {
  const { words } = cpu;
  const known = Atomics.load(words, Root.tracing);
  if (known !== 0) return known >> 2;
  const address = staticSpace(cpu, TracingRoot.words * 4);
  if (address === 0) return 0;
  // straight
  Atomics.store(words, Root.tracing, address);
  words[STATIC_NEXT] = address + TracingRoot.words * 4;
  // end
  return address >> 2;
}

function findAttached(arena: Arena, root: number, name: string, description: string): Address {
  const { words } = arena;
  const count = Atomics.load(words, root + R.ownerCount.at);
  for (let number = 0; number < count; number++) {
    const record = words[root + R.owners.at + number]!;
    if (Atomics.load(words, record + O.sequence.at) === 0) continue;
    const owner = (record << 2) as Address;
    const found = ownerName(arena, owner);
    if (found.name === name && found.description === description) return owner;
  }
  return 0 as Address;
}

/** A record that is detached and holds nothing, or a new one; 0 when there is no room. */
function freeRecord(cpu: Cpu, root: number): number {
  const { words, arena } = cpu;
  const count = Atomics.load(words, root + R.ownerCount.at);
  for (let number = 0; number < count; number++) {
    const record = words[root + R.owners.at + number]!;
    if (Atomics.load(words, record + O.sequence.at) === 0 && holdsNothing(arena, record)) {
      return record;
    }
  }
  if (count === OWNERS_MAX) return 0;
  const bytes = (OwnerRecord.words + arena.cpus * OwnerCounters.words) * 4;
  const address = staticSpace(cpu, bytes);
  if (address === 0) return 0;
  const end = address + bytes;
  words[root + R.owners.at + count] = address >> 2;
  // straight
  Atomics.store(words, root + R.ownerCount.at, count + 1);
  words[STATIC_NEXT] = end;
  // end
  return address >> 2;
}

/** The new owner begins with the counters of the one before it, which are in balance. */
function publish(words: Int32Array<SharedArrayBuffer>, root: number, record: number): void {
  const sequence = words[root + R.sequence.at]! + 1;
  // straight
  words[root + R.sequence.at] = sequence;
  Atomics.store(words, record + O.sequence.at, sequence);
  // end
}

function holdsNothing(arena: Arena, record: number): boolean {
  return (
    sumOf(arena, record, C.claims.at) === sumOf(arena, record, C.releases.at) &&
    sumOf(arena, record, C.clusterClaims.at) === sumOf(arena, record, C.clusterReleases.at) &&
    sumOf(arena, record, C.extClaims.at) === sumOf(arena, record, C.extReleases.at) &&
    sumOf(arena, record, C.itemClaims.at) === sumOf(arena, record, C.itemReleases.at)
  );
}

function sumOf(arena: Arena, record: number, counter: number): bigint {
  let sum = 0n;
  for (let cpu = 0; cpu < arena.cpus; cpu++) {
    const block = record + OwnerRecord.words + cpu * OwnerCounters.words;
    sum += Atomics.load(arena.longs, (block + counter) >> 1);
  }
  return sum;
}

function encode(what: string, text: string, least: number): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length < least || bytes.length > OWNER_NAME_BYTES) {
    throw new ArgumentError(
      `owner: ${what} ${JSON.stringify(text)}: ${least} to ${OWNER_NAME_BYTES} bytes of UTF-8`,
    );
  }
  return bytes;
}

function writeText(words: Int32Array<SharedArrayBuffer>, at: number, text: Uint8Array): void {
  for (let word = 0; word < 4; word++) {
    let value = 0;
    for (let byte = 3; byte >= 0; byte--) value = (value << 8) | (text[word * 4 + byte] ?? 0);
    Atomics.store(words, at + word, value);
  }
}

function readText(words: Int32Array<SharedArrayBuffer>, at: number): string {
  const bytes: number[] = [];
  for (let index = 0; index < 16; index++) {
    const byte = (Atomics.load(words, at + (index >> 2)) >>> ((index & 3) * 8)) & 0xff;
    if (byte === 0) break;
    bytes.push(byte);
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}
