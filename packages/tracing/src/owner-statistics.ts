/** Owners as statistics, for snapshots: `owner.<name>[.<description>].<counter>`. */

import type { Arena } from '@umbuf/memory';
import type { Statistic } from '@umbuf/stats';
import { type OwnerCounts, readOwnerCounters, readOwners } from './owner.ts';

const WHAT: Readonly<Record<keyof OwnerCounts, string>> = {
  claims: 'mbufs claimed',
  releases: 'mbufs released',
  clusterClaims: 'mbufs with a cluster claimed',
  clusterReleases: 'mbufs with a cluster released',
  extClaims: 'mbufs with external storage claimed',
  extReleases: 'mbufs with external storage released',
  itemClaims: 'items of zones claimed',
  itemReleases: 'items of zones released',
};

/** The counters of every attached owner; releases are read first. */
export function ownerStatistics(arena: Arena): Statistic[] {
  const statistics: Statistic[] = [];
  for (const { address, name, description } of readOwners(arena)) {
    const owner = [name, description].filter((part) => part !== '').map(pathPart);
    for (const counter of Object.keys(WHAT) as (keyof OwnerCounts)[]) {
      statistics.push({
        path: ['owner', ...owner, counter].join('.'),
        description: WHAT[counter],
        kind: 'counter',
        ...(counter.endsWith('eleases') ? { readFirst: true } : {}),
        read: () => readOwnerCounters(arena, address)[counter],
      });
    }
  }
  return statistics;
}

/** What may stand between two dots. */
function pathPart(text: string): string {
  return text.replace(/[.\s]/g, '_');
}
