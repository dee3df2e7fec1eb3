/**
 * Which of the allocator's locks are fought over: the seven columns of jemalloc's mutex table for
 * each lock of a zone, of the page pools and of the registry.
 */

import {
  MUTEX_COLUMNS,
  type MutexStatistics,
  PagePool,
  readMutex,
  REGISTRY_LOCK,
} from '@umbuf/memory';
import { kegDomain } from '../keg.ts';
import { zoneDomain } from '../zone-domain.ts';
import { isFirstOfKeg, type UmaView, zoneKeg, zoneName, zonesOf } from './view.ts';

export interface LockStatistics extends MutexStatistics {
  /** `registry`, `page pool 0`, `mbuf domain 0`, `mbuf keg 0`. */
  readonly name: string;
}

/** A lock's word index under a path below its zone: `domain.0` (`uzd_lock`), `keg.0` (`ud_lock`). */
export interface ZoneLock {
  readonly path: string;
  readonly lock: number;
}

/** The locks of a zone. The keg's belong to its first zone. */
export function zoneLocks(view: UmaView, zone: number): ZoneLock[] {
  const domains = Array.from({ length: view.arena.domains }, (_, domain) => domain);
  const keg = zoneKeg(view, zone);
  const locks = domains.map((domain) => ({
    path: `domain.${domain}`,
    lock: zoneDomain(view, zone, domain),
  }));
  if (keg === 0 || !isFirstOfKeg(view, zone)) return locks;
  const kegLocks = domains.map((domain) => ({
    path: `keg.${domain}`,
    lock: kegDomain(keg, domain),
  }));
  return [...locks, ...kegLocks];
}

/** Every lock of the allocator that was ever taken, the most waited for first. */
export function lockStatistics(view: UmaView): LockStatistics[] {
  const { arena } = view;
  const locks: LockStatistics[] = [];
  const add = (name: string, lock: number): void => {
    const statistics = readMutex(view, lock);
    if (statistics.n_lock_ops > 0n) locks.push({ name, ...statistics });
  };
  add('registry', REGISTRY_LOCK);
  for (let pool = 0; pool < arena.domains; pool++) {
    add(`page pool ${pool}`, arena.poolTable + pool * PagePool.words);
  }
  for (const zone of zonesOf(view)) {
    const name = zoneName(view, zone);
    for (const { path, lock } of zoneLocks(view, zone))
      add(`${name} ${path.replace('.', ' ')}`, lock);
  }
  return locks.sort(byWait);
}

function byWait(left: LockStatistics, right: LockStatistics): number {
  for (const column of ['total_wait_ns', 'n_waiting', 'n_spin_acq', 'n_lock_ops'] as const) {
    if (left[column] !== right[column]) return left[column] > right[column] ? -1 : 1;
  }
  return 0;
}

/** A table: names to the left, then the seven columns. */
export function formatLocks(locks: readonly LockStatistics[]): string {
  const rows = locks.map((lock) => [lock.name, ...MUTEX_COLUMNS.map((name) => String(lock[name]))]);
  const table = [['lock', ...MUTEX_COLUMNS], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!),
      )
      .join('  ');
  return `${table.map(line).join('\n')}\n`;
}
