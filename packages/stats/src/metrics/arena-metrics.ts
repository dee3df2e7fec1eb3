/**
 * Metrics of the arena itself: its size, pages, CPUs and the locks below the allocator; and the
 * arena's counter sets. Read by `Atomics.load`, without stopping anyone.
 */

import {
  type Arena,
  ARENA_VERSION,
  CpuRecord,
  CpuState,
  DebugLevel,
  type MutexStatistics,
  PAGE_SIZE,
  PagePool,
  readMutex,
  REGISTRY_LOCK,
  STATE_KIND_MASK,
  stateIncarnation,
} from '@umbuf/memory';
import { counterFetch } from '../counter.ts';
import { listCounters } from '../counter-set.ts';
import { counter, gauge, type MetricFamily, type MetricSample } from './family.ts';

const CPU_STATES = Object.keys(CpuState);
const NS_PER_S = 1e9;

/** Everything that `memory` and `stats` know of an arena, as metrics. */
export function arenaMetrics(arena: Arena): MetricFamily[] {
  return [...sizeMetrics(arena), ...pageMetrics(arena), ...cpuMetrics(arena), counterSets(arena)];
}

function sizeMetrics(arena: Arena): MetricFamily[] {
  const level = Object.keys(DebugLevel)[arena.level] ?? String(arena.level);
  const labels = { layout: String(ARENA_VERSION), level };
  const bytes = [{ labels: {}, value: arena.pages * PAGE_SIZE }];
  return [
    { name: 'umbuf_arena', type: 'info', help: 'Form of the arena', samples: [{ labels }] },
    gauge('umbuf_arena_size_bytes', 'Size of the arena', bytes),
  ];
}

/** What one page pool holds and has refused. */
export interface PoolUsage {
  readonly domain: number;
  readonly pages: number;
  readonly free: number;
  /** Requests that found no run; that waited; whose wait ended without pages. */
  readonly failures: bigint;
  readonly waits: bigint;
  readonly waitsGivenUp: bigint;
}

/** The page pools of all domains. */
export function readPools(arena: Arena): PoolUsage[] {
  return Array.from({ length: arena.domains }, (_, domain) => readPool(arena, domain));
}

function readPool({ poolTable, words, longs }: Arena, domain: number): PoolUsage {
  const P = PagePool.fields;
  const pool = poolTable + domain * PagePool.words;
  return {
    domain,
    pages: words[pool + P.endPage.at]! - words[pool + P.firstPage.at]!,
    free: Atomics.load(words, pool + P.freePages.at),
    failures: Atomics.load(longs, (pool + P.failures.at) >> 1),
    waits: Atomics.load(longs, (pool + P.waits.at) >> 1),
    waitsGivenUp: Atomics.load(longs, (pool + P.waitsGivenUp.at) >> 1),
  };
}

function pageMetrics(arena: Arena): MetricFamily[] {
  const pools = readPools(arena);
  const each = (value: (pool: PoolUsage) => bigint): MetricSample[] =>
    pools.map((pool) => ({ labels: { domain: String(pool.domain) }, value: value(pool) }));
  return [
    gauge(
      'umbuf_pages',
      'Pages of 4096 bytes that the page pools serve',
      pools.flatMap(({ domain, free, pages }) => [
        { labels: { domain: String(domain), state: 'free' }, value: free },
        { labels: { domain: String(domain), state: 'used' }, value: pages - free },
      ]),
    ),
    counter(
      'umbuf_page_failures',
      'Requests for pages that found no run long enough',
      each(({ failures }) => failures),
    ),
    counter(
      'umbuf_page_waits',
      'Requests that waited for pages',
      each(({ waits }) => waits),
    ),
    counter(
      'umbuf_page_waits_given_up',
      'Waits for pages that ended without any',
      each(({ waitsGivenUp }) => waitsGivenUp),
    ),
  ];
}

function cpuMetrics(arena: Arena): MetricFamily[] {
  const F = CpuRecord.fields;
  const online = cpusEverOnline(arena);
  const long = (at: number): MetricSample[] =>
    online.map((cpu) => ({
      labels: { cpu: String(cpu) },
      value: cpuStatistic(arena, cpu, at),
    }));
  return [
    {
      name: 'umbuf_cpu_state',
      type: 'stateset',
      help: 'What the CPU is doing; running: inside a job that has used the allocator',
      states: CPU_STATES,
      samples: online.map((cpu) => ({
        labels: { cpu: String(cpu) },
        state: cpuStateName(arena, cpu),
      })),
    },
    counter('umbuf_cpu_enters', 'Jobs in which the CPU has used the allocator', long(F.enters.at)),
    counter('umbuf_cpu_claims', 'Claims of other CPUs that the CPU has made', long(F.claims.at)),
    counter('umbuf_cpu_answers', 'Drain requests that the CPU has answered', long(F.answers.at)),
  ];
}

function cpuStatistic(arena: Arena, cpu: number, at: number): bigint {
  return Atomics.load(arena.longs, (arena.cpuTable + cpu * CpuRecord.words + at) >> 1);
}

/** Numbers of the CPUs that a thread has ever held. */
export function cpusEverOnline(arena: Arena): number[] {
  return Array.from({ length: arena.cpus }, (_, cpu) => cpu).filter(
    (cpu) => stateIncarnation(stateOf(arena, cpu)) > 0,
  );
}

/** `idle`, `running`, ...: the state of a CPU as a word. */
export function cpuStateName(arena: Arena, cpu: number): string {
  return CPU_STATES[stateOf(arena, cpu) & STATE_KIND_MASK] ?? 'offline';
}

function stateOf(arena: Arena, cpu: number): number {
  return Atomics.load(arena.words, arena.cpuTable + cpu * CpuRecord.words);
}

/** The locks below the allocator by name: the registry's, and one per page pool. */
export function arenaLocks(arena: Arena): (MutexStatistics & { readonly name: string })[] {
  const locks = [{ name: 'registry', ...readMutex(arena, REGISTRY_LOCK) }];
  for (let pool = 0; pool < arena.domains; pool++) {
    const lock = arena.poolTable + pool * PagePool.words;
    locks.push({ name: `page pool ${pool}`, ...readMutex(arena, lock) });
  }
  return locks;
}

/** jemalloc's seven columns as metrics, a label `lock` each. The names must differ. */
export function lockMetrics(
  locks: readonly (MutexStatistics & { readonly name: string })[],
): MetricFamily[] {
  type Lock = (typeof locks)[number];
  const each = (value: (lock: Lock) => number | bigint): MetricSample[] =>
    locks.map((lock) => ({ labels: { lock: lock.name }, value: value(lock) }));
  return [
    counter(
      'umbuf_lock_operations',
      'Times the lock was taken',
      each((l) => l.n_lock_ops),
    ),
    counter(
      'umbuf_lock_waits',
      'Times a thread had to sleep for it',
      each((l) => l.n_waiting),
    ),
    counter(
      'umbuf_lock_spins',
      'Times it was had after spinning',
      each((l) => l.n_spin_acq),
    ),
    counter(
      'umbuf_lock_owner_switches',
      'Times its holder was another CPU than the one before',
      each((l) => l.n_owner_switch),
    ),
    counter(
      'umbuf_lock_wait_seconds',
      'Time slept for it, all threads together',
      each((l) => Number(l.total_wait_ns) / NS_PER_S),
    ),
    gauge(
      'umbuf_lock_longest_wait_seconds',
      'Longest sleep for it so far',
      each((l) => Number(l.max_wait_ns) / NS_PER_S),
    ),
    gauge(
      'umbuf_lock_most_waiting',
      'Most threads that slept for it at once',
      each((l) => l.max_n_thds),
    ),
  ];
}

/** The arena's counter(9) sets, whichever worker made them. */
function counterSets(arena: Arena): MetricFamily {
  const samples: MetricSample[] = [];
  for (const set of listCounters(arena)) {
    for (const [index, { name }] of set.counters.entries()) {
      const value = counterFetch(arena, set.words[index]!);
      samples.push({ labels: { set: set.name, counter: name }, value });
    }
  }
  // counter(9) takes negative additions too.
  return gauge('umbuf_counter', 'Counters that the program has made (counter(9))', samples);
}
