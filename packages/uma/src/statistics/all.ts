/** Everything that an arena counts, as one registry for snapshots. */

import { StatisticRegistry, SysctlTree, sysctlStatistics } from '@umbuf/stats';
import { ownerStatistics } from '@umbuf/tracing';
import type { Uma } from '../uma.ts';
import { addUmaSysctl } from './sysctl.ts';
import type { UmaView } from './view.ts';

/**
 * Counter sets, zones (`vm.uma`), owners (`owner`), and what `more` adds to the sysctl tree: the mbuf
 * layer's nodes, an application's. All are found anew at each snapshot.
 */
export function arenaStatistics(
  view: UmaView | Uma,
  more: (tree: SysctlTree) => void = () => {},
): StatisticRegistry {
  const tree = new SysctlTree();
  addUmaSysctl(tree, view);
  more(tree);
  const registry = new StatisticRegistry(view.arena);
  registry.include(() => sysctlStatistics(tree));
  registry.include(() => ownerStatistics(view.arena));
  return registry;
}
