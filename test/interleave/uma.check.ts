/**
 * Zones: allocation and free on several CPUs, buckets that change CPUs through the zone domain,
 * frees of other CPUs' items, the life of slabs, drains in between. Items of more than a page have
 * buckets of one and slabs of one, so that every slow path is met within a few operations.
 */
import { check } from '@umbuf/interleave/vitest';
import { answerRequests } from '@umbuf/memory';
import { defineZone, KegDomain, KegRecord, reclaim, ZoneFlag } from '@umbuf/uma';
import { BUDGET_MS } from './support/arena.ts';
import { alloc, free, isClean, leave, type ZoneMachine, zoneMachine } from './support/uma.ts';
import { ArenaWords } from './support/words.ts';

const LARGE = defineZone({ name: 'large', size: 8128 });
/** Sixteen to a bucket, three to a slab. */
const SMALL = defineZone({ name: 'small', size: 1024 });

/** No buckets: every item goes to its keg. */
const BARE = defineZone({ ...SMALL, name: 'bare', flags: ZoneFlag.NOBUCKET });

interface Context extends ZoneMachine {
  readonly held: number[];
}

/** Pages that the zone's keg holds. */
function pages({ zones, arena }: ZoneMachine): number {
  return arena.words[zones[0]!.keg + KegRecord.words + KegDomain.fields.pages.at]!;
}

for (const definition of [LARGE, SMALL]) {
  const words = new ArenaWords();
  check(
    `zone of ${definition.name} items: two CPUs allocate and free, from nothing`,
    {
      prepare: () => zoneMachine(words, 2, definition),
      setup: (made: ZoneMachine): Context => ({ ...made, held: [] }),
      cpus: {
        a: (c) => {
          const item = alloc(c, 0);
          free(c, 0, item);
          c.held[0] = alloc(c, 0);
          leave(c, 0);
        },
        b: (c) => {
          c.held[1] = alloc(c, 1);
          leave(c, 1);
        },
      },
      final: (c) => c.held[0] !== c.held[1] && c.held[0] !== 0 && isClean(c, 2),
      reachable: {
        'each built a slab': (c) => {
          const perSlab = definition === LARGE ? 2 : 1;
          return pages(c) >= 2 * perSlab;
        },
      },
      words: words.lookup,
    },
    { budgetMs: BUDGET_MS },
  );
}

const exchange = new ArenaWords();
check(
  'zone: buckets change CPUs through the zone domain',
  {
    prepare: () => {
      const made = zoneMachine(exchange, 2, LARGE);
      const held = [alloc(made, 0), alloc(made, 0), alloc(made, 0), alloc(made, 0), alloc(made, 0)];
      leave(made, 0);
      return { ...made, held };
    },
    setup: (made: Context) => ({ ...made, got: [] as number[] }),
    cpus: {
      frees: (c) => {
        // Two buckets of two are full after four: the fifth puts one on the queue.
        for (let index = 0; index < 5; index++) free(c, 0, c.held[index]!);
        leave(c, 0);
      },
      allocates: (c) => {
        c.got.push(alloc(c, 1));
        c.got.push(alloc(c, 1));
        leave(c, 1);
      },
    },
    final: (c) => c.got[0] !== c.got[1] && isClean(c, 2),
    reachable: {
      "it got the other CPU's items": (c) =>
        c.held.includes(c.got[0]!) && c.held.includes(c.got[1]!),
      'it built a slab': (c) => !c.held.includes(c.got[0]!),
    },
    words: exchange.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const cross = new ArenaWords();
check(
  "zone: a CPU frees another's item, whose payload is published both ways",
  {
    prepare: () => {
      const made = zoneMachine(cross, 2, LARGE);
      const item = alloc(made, 0);
      leave(made, 0);
      return { ...made, held: [item] };
    },
    setup: (made: Context) => ({ ...made, again: [] as number[] }),
    cpus: {
      owner: (c) => {
        const { words } = c.arena;
        const item = c.held[0]!;
        words[(item >> 2) + 1] = 7;
        Atomics.store(words, c.scratch, item);
        Atomics.notify(words, c.scratch);
        const next = alloc(c, 0);
        // Plain, and perhaps the same item: race-free only by way of the zone's locks.
        words[(next >> 2) + 1] = 8;
        c.again.push(next);
        leave(c, 0);
      },
      other: (c) => {
        const { words } = c.arena;
        Atomics.wait(words, c.scratch, 0);
        const item = Atomics.load(words, c.scratch);
        if (words[(item >> 2) + 1] !== 7) throw new Error('payload not published');
        words[(item >> 2) + 1] = 9;
        c.zones[1]!.free(item);
        // From the cache to the queue, as a drain request would have it.
        answerRequests(c.cpus[1]!);
        leave(c, 1);
      },
    },
    final: (c) => isClean(c, 1),
    reachable: {
      'the item came back to its first owner': (c) => c.again[0] === c.held[0],
      'another item': (c) => c.again[0] !== c.held[0],
    },
    words: cross.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const slabs = new ArenaWords();
check(
  'keg: the last free of a slab, an allocation and a reclaim meet',
  {
    prepare: () => {
      const made = zoneMachine(slabs, 3, BARE);
      const held = [alloc(made, 0)];
      leave(made, 0);
      return { ...made, held };
    },
    setup: (made: Context) => ({ ...made, got: [] as number[], destroyed: [] as number[] }),
    cpus: {
      frees: (c) => {
        free(c, 0, c.held[0]!);
        leave(c, 0);
      },
      allocates: (c) => {
        c.got.push(alloc(c, 1));
        leave(c, 1);
      },
      reclaims: (c) => {
        c.destroyed.push(reclaim(c.zones[2]!.uma, 'drain', c.zones[2]!.record).slabs);
        leave(c, 2);
      },
    },
    final: (c) => c.got[0] !== 0 && isClean(c, 1),
    reachable: {
      'the slab was destroyed': (c) => c.destroyed[0] === 1,
      'the slab lived on': (c) => c.destroyed[0] === 0,
      'and was allocated from': (c) => c.got[0] === c.held[0],
    },
    words: slabs.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const drains = new ArenaWords();
check(
  'zone: drained while another CPU allocates and frees',
  {
    prepare: () => {
      const made = zoneMachine(drains, 2, LARGE);
      const held = [alloc(made, 0), alloc(made, 0)];
      leave(made, 0);
      return { ...made, held };
    },
    setup: (made: Context) => ({ ...made, unanswered: [] as number[] }),
    cpus: {
      works: [
        (c) => {
          free(c, 0, c.held[0]!);
          free(c, 0, c.held[1]!);
          leave(c, 0);
        },
        (c) => {
          c.held[2] = alloc(c, 0);
          leave(c, 0);
        },
      ],
      drains: (c) => {
        const { uma, record } = c.zones[1]!;
        const result = reclaim(uma, 'drain-cpu', record, Number.POSITIVE_INFINITY);
        c.unanswered.push(result.unanswered.length);
        leave(c, 1);
      },
    },
    final: (c) => c.unanswered[0] === 0 && isClean(c, 1),
    reachable: {
      'both slabs went, and the allocation built one': (c) => pages(c) === 2,
      'the free items stayed': (c) => pages(c) === 4,
    },
    words: drains.lookup,
  },
  { budgetMs: BUDGET_MS },
);
