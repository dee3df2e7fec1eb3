/**
 * The records of the `memory` package: arena header, CPU, mutex, page pool, page table entry.
 * Word offsets are literals; see layout.ts for the kinds. 32 words are one 128-byte line pair:
 * words that different threads write are kept that far apart.
 */

import { checkLayout } from './layout.ts';

/** First page of the arena. Everything but `registry*` is written once, before the arena is handed out. */
export const ArenaHeader = {
  name: 'arena header',
  words: 256,
  fields: {
    magic: { at: 0, type: 'i32', kind: 'owned', what: 'ARENA_MAGIC, written last by create' },
    version: { at: 1, type: 'i32', kind: 'owned', what: 'layout version' },
    bytes: { at: 2, type: 'i32', kind: 'owned', what: 'size of the arena in bytes' },
    pages: { at: 3, type: 'i32', kind: 'owned', what: 'size of the arena in pages' },
    cpus: { at: 4, type: 'i32', kind: 'owned', what: 'number of CPU records' },
    level: {
      at: 5,
      type: 'i32',
      kind: 'owned',
      what: 'debug level: 0 none, 1 checks, 2 invariants',
    },
    domains: { at: 6, type: 'i32', kind: 'owned', what: 'number of page pools (NUMA domains)' },
    cpuTable: { at: 7, type: 'i32', kind: 'owned', what: 'address of CPU record 0' },
    pageTable: { at: 8, type: 'i32', kind: 'owned', what: 'address of page table entry 0' },
    poolTable: { at: 9, type: 'i32', kind: 'owned', what: 'address of page pool 0' },
    firstPage: { at: 10, type: 'i32', kind: 'owned', what: 'first page that a pool may serve' },
    identity: { at: 12, type: 'i64', kind: 'owned', what: 'random number that names this arena' },
    roots: {
      at: 16,
      type: 'i32',
      kind: 'atomic',
      count: 16,
      what: "address of each layer's root record, 0 = none",
    },
    registryLock: {
      at: 32,
      type: 'i32',
      kind: 'atomic',
      count: 16,
      what: 'mutex: creation of roots and static records',
    },
    staticNext: {
      at: 64,
      type: 'i32',
      kind: 'locked',
      what: 'next free byte of the static chunk (registry lock)',
    },
    staticEnd: {
      at: 65,
      type: 'i32',
      kind: 'locked',
      what: 'end of the static chunk (registry lock)',
    },
    staticBytes: {
      at: 66,
      type: 'i32',
      kind: 'locked',
      what: 'bytes of all static chunks (registry lock)',
    },
    quiesce: {
      at: 96,
      type: 'i32',
      kind: 'atomic',
      what: 'CPU + 1 | incarnation << 9 that asks the others to stand still, 0 = none',
    },
    probes: {
      at: 104,
      type: 'i32',
      kind: 'hint',
      count: 4,
      what: 'enabled probes, a bit each: of mbufs, of zones (also those made later), of locks',
    },
  },
} as const;

/** Hand slots per CPU, and words per slot (kind, value, detail, more). */
export const HAND_SLOTS = 52;
export const HAND_SLOT_WORDS = 4;

/**
 * One per CPU. Words 0-31 are what others touch; from word 32 on only the thread itself. It can wait
 * for pages twice at once: blocking and asynchronously.
 */
export const CpuRecord = {
  name: 'cpu',
  words: 256,
  fields: {
    state: { at: 0, type: 'i32', kind: 'atomic', what: 'kind | by << 4 | incarnation << 12' },
    posted: { at: 1, type: 'i32', kind: 'atomic', what: 'tickets drawn by drainers' },
    answered: { at: 2, type: 'i32', kind: 'atomic', what: 'last ticket answered' },
    enters: { at: 4, type: 'i64', kind: 'statistic', what: 'times the thread entered' },
    claims: { at: 6, type: 'i64', kind: 'statistic', what: 'claims that this CPU made of others' },
    answers: { at: 8, type: 'i64', kind: 'statistic', what: 'drain requests answered' },
    progress: {
      at: 10,
      type: 'i64',
      kind: 'statistic',
      what: 'operations of the running task, for watchdogs',
    },
    pageState: {
      at: 12,
      type: 'i32',
      kind: 'atomic',
      count: 2,
      what: 'wait for pages: free, waiting or granted; slept on',
    },
    pageWanted: { at: 14, type: 'i32', kind: 'locked', count: 2, what: 'pages of the run' },
    pageNext: {
      at: 16,
      type: 'i32',
      kind: 'locked',
      count: 2,
      what: 'cell behind it in the queue of its pool, 0 = last',
    },
    pageFirst: {
      at: 18,
      type: 'i32',
      kind: 'locked',
      count: 2,
      what: "first page of the run granted; the waiter's from then on",
    },
    pagePool: { at: 20, type: 'i32', kind: 'locked', count: 2, what: 'pool that it waits at' },
    entered: {
      at: 32,
      type: 'i32',
      kind: 'thread-private',
      what: '1 while inside a job that uses the allocator',
    },
    incarnation: {
      at: 33,
      type: 'i32',
      kind: 'thread-private',
      what: 'incarnation of the thread that holds the number',
    },
    handTop: { at: 34, type: 'i32', kind: 'thread-private', what: 'hand slots in use' },
    sections: {
      at: 35,
      type: 'i32',
      kind: 'thread-private',
      what: 'read sections open | 65536 when a leave was refused for it',
    },
    hand: {
      at: 36,
      type: 'i32',
      kind: 'thread-private',
      count: 208,
      what: 'hand slots: kind, value, detail, more',
    },
  },
} as const;

/** An owner-carrying mutex with jemalloc's seven columns of contention. */
export const MutexRecord = {
  name: 'mutex',
  words: 16,
  fields: {
    word: {
      at: 0,
      type: 'i32',
      kind: 'atomic',
      what: '0, or CPU + 1 | waiters << 8 | incarnation << 9',
    },
    lastOwner: { at: 1, type: 'i32', kind: 'locked', what: 'CPU + 1 of the last holder' },
    waiting: { at: 2, type: 'i32', kind: 'atomic', what: 'threads waiting now' },
    maxThreads: {
      at: 3,
      type: 'i32',
      kind: 'statistic',
      what: 'max_n_thds: most threads waiting at once',
    },
    operations: { at: 4, type: 'i64', kind: 'statistic', what: 'n_lock_ops' },
    waits: {
      at: 6,
      type: 'i64',
      kind: 'statistic',
      what: 'n_waiting: times a thread had to sleep',
    },
    spins: { at: 8, type: 'i64', kind: 'statistic', what: 'n_spin_acq: taken while spinning' },
    ownerSwitches: { at: 10, type: 'i64', kind: 'statistic', what: 'n_owner_switch' },
    totalWaitNs: { at: 12, type: 'i64', kind: 'statistic', what: 'total_wait_ns' },
    maxWaitNs: { at: 14, type: 'i64', kind: 'statistic', what: 'max_wait_ns' },
  },
} as const;

/** Free lists of one domain's pages: 32 exact bins, then one bin per power of two. */
export const PAGE_BINS = 48;

export const PagePool = {
  name: 'page pool',
  words: 96,
  fields: {
    lock: { at: 0, type: 'i32', kind: 'atomic', count: 16, what: 'mutex of the pool' },
    firstPage: { at: 16, type: 'i32', kind: 'owned', what: 'first page of the domain' },
    endPage: { at: 17, type: 'i32', kind: 'owned', what: 'page behind the domain' },
    freePages: {
      at: 18,
      type: 'i32',
      kind: 'statistic',
      what: 'pages on the free lists (written under the lock)',
    },
    failures: {
      at: 20,
      type: 'i64',
      kind: 'statistic',
      what: 'requests that found no run (written under the lock)',
    },
    occupied: {
      at: 22,
      type: 'i32',
      kind: 'locked',
      count: 2,
      what: 'bit per bin that is not empty',
    },
    waitHead: { at: 24, type: 'i32', kind: 'locked', what: 'cell of the first waiter, 0 = none' },
    waitTail: { at: 25, type: 'i32', kind: 'locked', what: 'cell of the last waiter' },
    waits: {
      at: 26,
      type: 'i64',
      kind: 'statistic',
      what: 'requests that waited for pages (written under the lock)',
    },
    waitsGivenUp: {
      at: 28,
      type: 'i64',
      kind: 'statistic',
      what: 'waits that ended without pages (written under the lock)',
    },
    bins: {
      at: 32,
      type: 'i32',
      kind: 'locked',
      count: 48,
      what: 'first page of the first free run, 0 = none',
    },
  },
} as const;

/** One per page. `run` is exact on the first and last page of every run, undefined inside it. */
export const PageEntry = {
  name: 'page',
  words: 8,
  fields: {
    run: {
      at: 0,
      type: 'i32',
      kind: 'locked',
      what: 'length of the free run (> 0) or of the run in use (< 0)',
    },
    next: {
      at: 1,
      type: 'i32',
      kind: 'locked',
      what: 'next free run of the bin (first page of a free run)',
    },
    previous: { at: 2, type: 'i32', kind: 'locked', what: 'previous free run of the bin' },
    slab: {
      at: 4,
      type: 'i32',
      kind: 'atomic',
      what: 'slab header of the page (VTOSLAB), 0 = none',
    },
    keg: { at: 5, type: 'i32', kind: 'atomic', what: 'keg that holds the page, 0 = none' },
    epoch: {
      at: 6,
      type: 'i32',
      kind: 'atomic',
      what: 'grows whenever the page changes hands; never reset',
    },
  },
} as const;

for (const layout of [ArenaHeader, CpuRecord, MutexRecord, PagePool, PageEntry])
  checkLayout(layout);
