/**
 * `netstat -m` and the owner table of `netstat -mss` as NetBSD prints them. Pure functions over mbstat and
 * the owners' sums.
 */

import type { Mowner } from '@umbuf/tracing';

/** mbstat as the tool sees it: 16 bits per type, so a total wraps at 65,536. */
export interface Mbstat {
  /** mbufs in use by m_type. */
  readonly types: readonly number[];
  /** Reclaims so far. */
  readonly drains: number;
}

/** The types that have a name, in the order of their lines. */
const NAMED: readonly (readonly [type: number, name: string])[] = [
  [1, 'data'],
  [7, 'oob data'],
  [6, 'ancillary data'],
  [2, 'packet headers'],
  [5, 'fragment reassembly queue headers'],
  [3, 'socket names and addresses'],
  [4, 'socket options'],
];
const KNOWN_TYPES = 8;

/** The report as text, a line each. */
export function formatNetbsdNetstatM({ types, drains }: Mbstat): string {
  const count = (type: number): number => (types[type] ?? 0) & 0xffff;
  let total = 0;
  for (let type = 1; type < KNOWN_TYPES; type++) total += count(type);
  const lines = [`${total} mbufs in use:`];
  for (const [type, name] of NAMED) {
    if (count(type) !== 0) lines.push(`\t${count(type)} mbufs allocated to ${name}`);
  }
  for (let type = KNOWN_TYPES; type < types.length; type++) {
    if (count(type) !== 0) lines.push(`\t${count(type)} mbufs allocated to <mbuf type ${type}>`);
  }
  lines.push(`${drains} calls to protocol drain routines`, '');
  return lines.join('\n');
}

const HEADER_EVERY = 24;
const LABEL_BYTES = 31;

/**
 * The owner table of `netstat -mss`. `verbose` 0: owners whose pairs are out of balance; 1: those that ever
 * claimed; 2: all, as -v and -vv. Columns are small, ext, cluster.
 */
export function formatOwners(owners: readonly Mowner[], verbose: 0 | 1 | 2 = 0): string {
  const lines: string[] = [];
  let counter = HEADER_EVERY;
  const row = (label: string, kind: string, values: readonly bigint[]): void => {
    lines.push(`${label.padStart(30)} ${kind.padEnd(8)} ${columns(values)}`);
    counter++;
  };
  for (const owner of owners) {
    if (isSkipped(owner, verbose)) continue;
    if (counter >= HEADER_EVERY) {
      lines.push(`${''.padStart(30)} ${''.padEnd(8)} ${columns(['small', 'ext', 'cluster'])}`);
      counter = 1;
    }
    const label = `${owner.name.padStart(16)} ${owner.description.padEnd(13)}`.slice(
      0,
      LABEL_BYTES,
    );
    const claims = [owner.claims, owner.extClaims, owner.clusterClaims];
    const releases = [owner.releases, owner.extReleases, owner.clusterReleases];
    row(
      label,
      'inuse',
      claims.map((value, at) => BigInt.asUintN(64, value - releases[at]!)),
    );
    if (verbose === 0) continue;
    row('', 'claims', claims);
    row('', 'releases', releases);
  }
  return lines.map((line) => `${line}\n`).join('');
}

function columns(values: readonly (bigint | string)[]): string {
  return values.map((value) => String(value).padStart(10)).join(' ');
}

function isSkipped(owner: Mowner, verbose: 0 | 1 | 2): boolean {
  if (verbose === 2) return false;
  if (verbose === 1) {
    return owner.claims === 0n && owner.extClaims === 0n && owner.clusterClaims === 0n;
  }
  return (
    owner.claims === owner.releases &&
    owner.extClaims === owner.extReleases &&
    owner.clusterClaims === owner.clusterReleases
  );
}
