/**
 * A third CPU drains a zone while two use it: one frees and swaps its buckets, the other allocates what
 * the first has freed. What was cached before the drain does not survive it; nothing is lost or twice.
 */
import { check } from '@umbuf/interleave/vitest';
import { CpuRecord, enterCpu } from '@umbuf/memory';
import { CacheRecord, defineZone, reclaim, zoneCache } from '@umbuf/uma';
import { BUDGET_MS } from './support/arena.ts';
import { alloc, free, isClean, leave, type ZoneMachine, zoneMachine } from './support/uma.ts';
import { ArenaWords } from './support/words.ts';

/** Buckets of two items: a few operations swap, fill and flush them. */
const LARGE = defineZone({ name: 'large', size: 8128 });
const C = CacheRecord.fields;

interface Context extends ZoneMachine {
  /** Items that users hold. */
  readonly held: number[];
  readonly got: number[];
  /** CPUs that a drain named as not drained. */
  readonly unanswered: number[];
  /** Whether a drain destroyed slabs. */
  readonly destroyed: boolean[];
}

type Prepared = Omit<Context, 'got' | 'unanswered' | 'destroyed'>;

/** `count` items in the hands of CPU 0, which has as many more cached on both sides. */
function prepare(words: ArenaWords, count: number): Prepared {
  const made = zoneMachine(words, 3, LARGE, { bytes: 524_288 });
  const held: number[] = [];
  for (let n = 0; n < count + 3; n++) held.push(alloc(made, 0));
  // Alloc bucket and free bucket both have something.
  for (let n = 0; n < 3; n++) free(made, 0, held.pop()!);
  leave(made, 0);
  return { ...made, held };
}

const setup = (made: Prepared): Context => ({
  ...made,
  held: [...made.held],
  got: [],
  unanswered: [],
  destroyed: [],
});

function drain(c: Context, how: 'drain' | 'drain-cpu'): void {
  const { uma, record } = c.zones[2]!;
  const result = reclaim(uma, how, record, Number.POSITIVE_INFINITY);
  c.unanswered.push(...result.unanswered);
  c.destroyed.push(result.slabs > 0);
  leave(c, 2);
}

/** Free and full buckets in the caches of a CPU. */
function cached({ arena, zones }: ZoneMachine, number: number): number {
  const cache = zoneCache(zones[0]!.record, number);
  return arena.words[cache + C.allocCount.at]! + arena.words[cache + C.freeCount.at]!;
}

for (const how of ['drain-cpu', 'drain'] as const) {
  const words = new ArenaWords();
  check(
    `zone: a third CPU makes a ${how} while buckets are swapped`,
    {
      prepare: () => prepare(words, 2),
      setup,
      cpus: {
        frees: (c) => {
          free(c, 0, c.held.shift()!);
          free(c, 0, c.held.shift()!);
          leave(c, 0);
        },
        allocates: (c) => {
          c.got.push(alloc(c, 1), alloc(c, 1));
          free(c, 1, c.got.shift()!);
          leave(c, 1);
        },
        drains: (c) => drain(c, how),
      },
      final: (c) => c.unanswered.length === 0 && c.got[0] !== 0 && isClean(c, c.got.length),
      reachable:
        how === 'drain'
          ? { 'slabs were destroyed': (c) => c.destroyed.includes(true) }
          : {
              'the freeing CPU was drained behind its frees': (c) => cached(c, 0) === 0,
              'it cached what it freed after the drain': (c) => cached(c, 0) > 0,
              'the allocating CPU was drained too': (c) => cached(c, 1) === 0,
            },
      words: words.lookup,
    },
    { budgetMs: BUDGET_MS },
  );
}

/** Requests that a CPU has answered itself. */
function answers({ arena }: ZoneMachine, number: number): bigint {
  const at = arena.cpuTable + number * CpuRecord.words + CpuRecord.fields.answers.at;
  return arena.longs[at >> 1]!;
}

const before = new ArenaWords();
check(
  'zone: nothing that was cached before a drain survives it',
  {
    prepare: () => prepare(before, 0),
    setup,
    cpus: {
      // In a job of its own, which does not use the zone: its cache of it must go.
      owner: (c) => {
        enterCpu(c.cpus[0]!);
        leave(c, 0);
      },
      drains: (c) => {
        drain(c, 'drain-cpu');
        c.held.push(cached(c, 0));
      },
    },
    final: (c) => c.held[0] === 0 && c.unanswered.length === 0 && isClean(c, 0),
    reachable: {
      'by an answer': (c) => answers(c, 0) > 0n,
      'by a claim': (c) => answers(c, 0) === 0n,
    },
    words: before.lookup,
  },
  { budgetMs: BUDGET_MS },
);
