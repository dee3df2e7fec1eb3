/**
 * The allocator's part of the sysctl tree (spec 5.1, 5.2): the global nodes, and `vm.uma.<zone>` for
 * every zone that exists at the moment of a look.
 */

import { DebugLevel, PAGE_SIZE } from '@umbuf/memory';
import { type SysctlNode, SysctlTree } from '@umbuf/stats';
import { EventRecord, KegDomain, UmaRoot } from '../layout.ts';
import type { Uma } from '../uma.ts';
import { sumEvents } from './failures.ts';
import { requestNodes } from './sysctl-requests.ts';
import { isFirstOfKeg, type UmaView, zoneKeg, zoneName, zonesOf } from './view.ts';
import { encodeZoneStats, sumDomains } from './zone-stats.ts';
import { sysctlName, zoneSysctl } from './zone-sysctl.ts';

/** LONG_MAX: what the kernel shows where nobody set a limit; here the arena's size is the limit. */
const NO_LIMIT = 2n ** 63n - 1n;

/**
 * The tree of an arena. With a `Uma` what may be written can be; with a view (a dump of an arena) all
 * is read-only, and what is kept under a lock is read without it.
 */
export function umaSysctl(view: UmaView | Uma): SysctlTree {
  const tree = new SysctlTree();
  addUmaSysctl(tree, view);
  return tree;
}

/** Adds the allocator's nodes to a tree that other layers share. */
export function addUmaSysctl(tree: SysctlTree, view: UmaView | Uma): void {
  const uma = 'cpu' in view ? view : undefined;
  for (const node of globalNodes(view, uma !== undefined)) tree.add(node);
  tree.provide('vm.uma', () => allZones(view, uma));
  tree.add(multipageSlabs);
  if (view.arena.level >= DebugLevel.invariants) {
    for (const node of debugNodes(view)) tree.add(node);
  }
  for (const node of requestNodes(uma)) tree.add(node);
}

function allZones(view: UmaView, uma: Uma | undefined): SysctlNode[] {
  const nodes: SysctlNode[] = [];
  const seen = new Map<string, number>();
  for (const zone of zonesOf(view)) {
    const name = zoneName(view, zone);
    const duplicates = seen.get(name) ?? 0;
    seen.set(name, duplicates + 1);
    nodes.push(...zoneSysctl(view, zone, sysctlName(name, duplicates), uma?.cpu));
  }
  return nodes;
}

/** Sum over all zones of a counter of `EventRecord`. */
function sumZones(view: UmaView, field: number): bigint {
  let sum = 0n;
  for (const zone of zonesOf(view)) sum += sumEvents(view, zone, field);
  return sum;
}

function globalNodes(view: UmaView, writable: boolean): SysctlNode[] {
  return [
    {
      path: 'vm.zone_count',
      type: 'int',
      description: 'Number of UMA zones',
      read: () => zonesOf(view).length,
    },
    {
      path: 'vm.zone_stats',
      type: 'opaque',
      description: 'Zone Stats',
      read: () => encodeZoneStats(view),
    },
    warningsNode(view, writable),
    {
      path: 'vm.uma_kmem_limit',
      type: 'ulong',
      description: 'UMA kernel memory soft limit',
      read: () => NO_LIMIT,
    },
    {
      path: 'vm.uma_kmem_total',
      type: 'ulong',
      description: 'UMA kernel memory usage',
      read: () => BigInt(slabPages(view)) * BigInt(PAGE_SIZE),
    },
  ];
}

/** Any value but 0 turns them on. */
function warningsNode(view: UmaView, writable: boolean): SysctlNode {
  const off = view.root + UmaRoot.fields.warningsOff.at;
  const node: SysctlNode = {
    path: 'vm.zone_warnings',
    type: 'int',
    description: 'Warn when UMA zones becomes full',
    read: () => (Atomics.load(view.words, off) === 0 ? 1 : 0),
  };
  if (!writable) return node;
  return { ...node, write: (value) => void Atomics.store(view.words, off, value === 0 ? 1 : 0) };
}

/** The layout tunable: slabs of several pages are always considered. */
const multipageSlabs: SysctlNode = {
  path: 'vm.debug.uma_multipage_slabs',
  type: 'int',
  description: 'UMA may choose larger slab sizes for better efficiency',
  read: () => 1,
};

/** Pages that all kegs hold (`uma_size`, in pages). */
function slabPages(view: UmaView): number {
  let pages = 0;
  for (const zone of zonesOf(view)) {
    const keg = zoneKeg(view, zone);
    if (keg !== 0 && isFirstOfKeg(view, zone)) {
      pages += sumDomains(view, keg, KegDomain.fields.pages.at);
    }
  }
  return pages;
}

/** What only an INVARIANTS kernel has. */
function debugNodes(view: UmaView): SysctlNode[] {
  return [
    {
      path: 'vm.debug.divisor',
      type: 'uint',
      description: 'Debug & thrash every this item in memory allocator',
      read: () => view.words[view.root + UmaRoot.fields.divisor.at]!,
    },
    {
      path: 'vm.debug.trashed',
      type: 'u64',
      description: 'memory items debugged',
      counter: true,
      read: () => sumZones(view, EventRecord.fields.trashed.at),
    },
    {
      path: 'vm.debug.skipped',
      type: 'u64',
      description: 'memory items skipped, not debugged',
      counter: true,
      read: () => sumZones(view, EventRecord.fields.skipped.at),
    },
  ];
}
