/**
 * Owners of mbufs (MBUFTRACE, spec section 5): a new mbuf belongs to the default owner of its type, and
 * every claim, attach, share and free is counted to its owner, on the CPU that does it. Only where the mbuf
 * system was made with `owners: true`; else m_owner stays 0 and every caller's test is a constant.
 *
 * Conservation, when all is quiet: what an owner's claims and releases leave is the live mbufs that have
 * it as m_owner, those with storage, and those with a cluster.
 */

import { type Address, TableFullError } from '@umbuf/memory';
import { attachOwner, countOwner, OwnerCounter, requireOwner } from '@umbuf/tracing';
import type { Cpu } from '@umbuf/memory';
import { M_EXT as EXT } from './constants.ts';
import type { MbufCore } from './core.ts';
import { ExtType } from './freebsd-flags.ts';
import { ExternalRecord, MbufHeader } from './layout.ts';
import { NetbsdFlag } from './netbsd-flags.ts';

const M_EXT = EXT;
const OWNER = MbufHeader.fields.owner.at;
const FLAGS = MbufHeader.fields.flags.at;
const NEXT = MbufHeader.fields.next.at;
const EXT_TYPE = ExternalRecord.fields.type.at;
const { M_EXT_CLUSTER } = NetbsdFlag;

/** Default owners by type, `unknown.` with these descriptions; other types have the first. */
const UNKNOWN = ['free', 'data', 'header', 'soname', 'soopts', 'ftable', 'control', 'oobdata'];

/** The default owners of a thread's mbufs. */
export interface DefaultOwners {
  /** By type, 0 to 7. */
  readonly unknown: readonly Address[];
  /** Of freed mbufs. */
  readonly revoked: Address;
}

/** What counting needs; get.ts has it as its view. */
export interface OwnerView {
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly longs: BigInt64Array<SharedArrayBuffer>;
  readonly cpu: Cpu;
  readonly ext: number;
  /** Whether flag bits say what is a cluster (NetBSD), or the storage's type. */
  readonly packetZone: boolean;
  /** Undefined where owners are not counted. */
  readonly defaultOwners: DefaultOwners | undefined;
}

/** Attaches the default owners (mbinit). Throws `TableFullError` without room. */
export function attachDefaultOwners(cpu: Cpu): DefaultOwners {
  const attach = (name: string, description: string): Address => {
    const owner = attachOwner(cpu, name, description);
    if (owner === 0) throw new TableFullError(`Mbufs.attach: no room for owner ${name}.`);
    return owner;
  };
  const revoked = attach('revoked', '');
  // The kernel's order, which the list of owners shows: the last attached comes first.
  const unknown = UNKNOWN.toReversed().map((description) => attach('unknown', description));
  return { unknown: unknown.toReversed(), revoked };
}

/** mowner_init: a new mbuf of `type` belongs to the default owner. Nothing without owners. */
export function initOwner(view: OwnerView, m: Address, type: number): void {
  const { defaultOwners } = view;
  if (defaultOwners === undefined) return;
  const owner = defaultOwners.unknown[type]! ?? defaultOwners.unknown[0]!;
  view.words[(m >> 2) + OWNER] = owner;
  countOwner(view.longs, owner, view.cpu.number, OwnerCounter.claims);
}

/** mowner_ref: m's owner claims the storage that m has just got. */
export function refOwner(view: OwnerView, m: Address): void {
  if (view.defaultOwners === undefined) return;
  countStorage(view, m, OwnerCounter.extClaims, OwnerCounter.clusterClaims);
}

/** mowner_revoke of all: m is being freed. Its storage flags still stand. */
export function revokeOwner(view: OwnerView, m: Address): void {
  const { defaultOwners, words, longs, cpu } = view;
  if (defaultOwners === undefined) return;
  countStorage(view, m, OwnerCounter.extReleases, OwnerCounter.clusterReleases);
  countOwner(longs, words[(m >> 2) + OWNER]!, cpu.number, OwnerCounter.releases);
  words[(m >> 2) + OWNER] = defaultOwners.revoked;
}

/**
 * m_claim: `owner` (an address of `attachOwner`) takes the mbuf over; 0 and its own owner change nothing.
 * Throws ArgumentError for what is no owner. Nothing without owners.
 */
export function claim(mbufs: MbufCore, m: Address, owner: Address): void {
  mbufs.checkMbuf('m_claim', m);
  if (owner !== 0) requireOwner(mbufs.arena, owner);
  takeOver(mbufs, m, owner);
}

/** m_claimm: `claim` for each mbuf of the chain. */
export function claimm(mbufs: MbufCore, m: Address, owner: Address): void {
  mbufs.checkChain('m_claimm', m);
  if (owner !== 0) requireOwner(mbufs.arena, owner);
  for (let at: number = m; at !== 0; at = mbufs.words[(at >> 2) + NEXT]!) {
    takeOver(mbufs, at as Address, owner);
  }
}

/** Gives `n` the owner of `m` (MCLAIM). */
export function claimFrom(mbufs: MbufCore, n: Address, m: Address): void {
  takeOver(mbufs, n, mbufs.words[(m >> 2) + OWNER]!);
}

function takeOver(mbufs: MbufCore, m: Address, owner: number): void {
  const { words, longs, cpu, defaultOwners } = mbufs;
  if (defaultOwners === undefined || owner === 0 || words[(m >> 2) + OWNER] === owner) return;
  revokeOwner(mbufs, m);
  words[(m >> 2) + OWNER] = owner;
  countOwner(longs, owner, cpu.number, OwnerCounter.claims);
  countStorage(mbufs, m, OwnerCounter.extClaims, OwnerCounter.clusterClaims);
}

/** Counts what storage m has to its owner. */
function countStorage(view: OwnerView, m: Address, ext: number, cluster: number): void {
  const { words, longs, cpu } = view;
  const flags = words[(m >> 2) + FLAGS]!;
  if ((flags & M_EXT) === 0) return;
  const owner = words[(m >> 2) + OWNER]!;
  countOwner(longs, owner, cpu.number, ext);
  if (isCluster(view, m, flags)) countOwner(longs, owner, cpu.number, cluster);
}

function isCluster(view: OwnerView, m: Address, flags: number): boolean {
  if (!view.packetZone) return (flags & M_EXT_CLUSTER) !== 0;
  const type = view.words[(m >> 2) + view.ext + EXT_TYPE]! & 0xff;
  return type <= ExtType.EXT_PACKET && type !== ExtType.EXT_SFBUF;
}
