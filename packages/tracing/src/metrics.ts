/** Owners as metrics: what each has claimed and given back, and holds. Stops nobody. */

import type { Arena } from '@umbuf/memory';
import { counter, gauge, type MetricFamily, type MetricSample } from '@umbuf/stats';
import { type OwnerCounts, type OwnerStatistics, readOwners } from './owner.ts';

/** The pairs of an owner's counters, by the column of `netstat -mss` that they are. */
const PAIRS: readonly (readonly [
  kind: string,
  claims: keyof OwnerCounts,
  releases: keyof OwnerCounts,
])[] = [
  ['small', 'claims', 'releases'],
  ['ext', 'extClaims', 'extReleases'],
  ['cluster', 'clusterClaims', 'clusterReleases'],
];

/** The attached owners. Labels `owner` and `description` together are unique; `kind`: small, ext, cluster. */
export function ownerMetrics(arena: Arena): MetricFamily[] {
  const owners = readOwners(arena);
  const each = (
    value: (owner: OwnerStatistics, claims: bigint, releases: bigint) => bigint,
  ): MetricSample[] =>
    owners.flatMap((owner) =>
      PAIRS.map(([kind, claims, releases]) => ({
        labels: { owner: owner.name, description: owner.description, kind },
        value: value(owner, owner[claims], owner[releases]),
      })),
    );
  return [
    gauge(
      'umbuf_owner_held',
      'Claims that have not been released',
      each((_owner, claims, releases) => claims - releases),
    ),
    counter(
      'umbuf_owner_claims',
      'Claims by the owner',
      each((_owner, claims) => claims),
    ),
    counter(
      'umbuf_owner_releases',
      'Releases, and claims by another owner',
      each((_owner, _claims, releases) => releases),
    ),
  ];
}
