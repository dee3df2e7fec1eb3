/**
 * Reading what mutexes count: jemalloc's seven columns. Written by whoever holds the lock, read
 * without it: each figure is one that was there, they need not be of one moment.
 */

import { MutexRecord } from '../layout/records.ts';

const M = MutexRecord.fields;

/** Under the names of jemalloc's mutex table (`stats.mutexes`). */
export interface MutexStatistics {
  /** Times it was taken. */
  readonly n_lock_ops: bigint;
  /** Times a thread had to sleep for it. */
  readonly n_waiting: bigint;
  /** Times it was had after spinning. */
  readonly n_spin_acq: bigint;
  /** Times its holder was another than the one before. */
  readonly n_owner_switch: bigint;
  /** Nanoseconds slept for it, all together and at most at once. */
  readonly total_wait_ns: bigint;
  readonly max_wait_ns: bigint;
  /** Most threads that slept for it at once. */
  readonly max_n_thds: bigint;
}

/** The seven columns, in jemalloc's order. */
export const MUTEX_COLUMNS: readonly (keyof MutexStatistics)[] = [
  'n_lock_ops',
  'n_waiting',
  'n_spin_acq',
  'n_owner_switch',
  'total_wait_ns',
  'max_wait_ns',
  'max_n_thds',
];

/** The statistics of the mutex at word index `lock`. */
export function readMutex(
  memory: { readonly words: Int32Array; readonly longs: BigInt64Array },
  lock: number,
): MutexStatistics {
  const long = (field: number): bigint => Atomics.load(memory.longs, (lock + field) >> 1);
  return {
    n_lock_ops: long(M.operations.at),
    n_waiting: long(M.waits.at),
    n_spin_acq: long(M.spins.at),
    n_owner_switch: long(M.ownerSwitches.at),
    total_wait_ns: long(M.totalWaitNs.at),
    max_wait_ns: long(M.maxWaitNs.at),
    max_n_thds: BigInt(Atomics.load(memory.words, lock + M.maxThreads.at)),
  };
}
