/**
 * What statistics exist, by path with description: what snapshots are taken of. A registry is an
 * ordinary object of one thread; it holds how to read, never a value. Counter sets of the arena are
 * found by themselves, whichever worker made them; the layers add their other statistics with `add`,
 * or a whole sysctl tree with `include(() => sysctlStatistics(tree))`.
 */

import { type Arena, ArgumentError } from '@umbuf/memory';
import { counterFetch } from './counter.ts';
import { listCounters } from './counter-set.ts';
import { isAtOrBelow } from './sysctl.ts';

export type StatisticValue = bigint | number | string;

export interface Statistic {
  /** `vm.uma.<zone>.stats.allocs`. */
  readonly path: string;
  readonly description: string;
  /** A counter only grows, so two reads can be subtracted; gauges and texts are of the moment. */
  readonly kind: 'counter' | 'gauge' | 'text';
  /**
   * It counts ends of what another statistic counts the begins of (frees, releases): snapshots read it
   * before the others, so that the difference is never negative.
   */
  readonly readFirst?: boolean;
  readonly read: () => StatisticValue;
}

export class StatisticRegistry {
  readonly arena: Arena;
  readonly #statistics: Map<string, Statistic> = new Map();
  readonly #included: (() => Iterable<Statistic>)[] = [];

  constructor(arena: Arena) {
    this.arena = arena;
  }

  /** Throws `ArgumentError` when the path is taken. */
  add(statistic: Statistic): void {
    if (this.#statistics.has(statistic.path)) {
      throw new ArgumentError(`statistics: ${statistic.path} exists already`);
    }
    this.#statistics.set(statistic.path, statistic);
  }

  /** Adds what `statistics` names, at each look anew; a path that is taken stays as it is. */
  include(statistics: () => Iterable<Statistic>): void {
    this.#included.push(statistics);
  }

  /** Removes a path and everything below it; returns how many. */
  remove(path: string): number {
    let removed = 0;
    for (const each of this.#statistics.keys()) {
      if (isAtOrBelow(each, path) && this.#statistics.delete(each)) removed++;
    }
    return removed;
  }

  /** The statistic at exactly this path. */
  get(path: string): Statistic | undefined {
    return this.#discover().get(path);
  }

  /** All statistics at and below `path` (all when empty), sorted by path. */
  list(path: string = ''): Statistic[] {
    return [...this.#discover().values()]
      .filter((statistic) => isAtOrBelow(statistic.path, path))
      .sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  /** Adds the arena's counters; a path that a layer has taken stays the layer's. */
  #discover(): Map<string, Statistic> {
    const all = new Map(this.#statistics);
    for (const statistics of this.#included) {
      for (const each of statistics()) if (!all.has(each.path)) all.set(each.path, each);
    }
    for (const set of listCounters(this.arena)) {
      for (const [index, { name, description }] of set.counters.entries()) {
        const path = `${set.name}.${name}`;
        const word = set.words[index]!;
        const read = (): bigint => counterFetch(this.arena, word);
        if (!all.has(path)) all.set(path, { path, description, kind: 'counter', read });
      }
    }
    return all;
  }
}
