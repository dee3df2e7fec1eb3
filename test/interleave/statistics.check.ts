/**
 * Readers beside CPUs at work: nothing they read is a race, and what they say is true of some moment.
 * A reader that takes a lock (occupancy) sees parts that add up; one that takes none sees no item that
 * is given back before it was handed out.
 */
import { check } from '@umbuf/interleave/vitest';
import {
  decodeZoneStats,
  defineZone,
  encodeZoneStats,
  M_NOVM,
  type Occupancy,
  readOccupancy,
  ZoneFlag,
} from '@umbuf/uma';
import { BUDGET_MS } from './support/arena.ts';
import { alloc, free, isClean, leave, type ZoneMachine, zoneMachine } from './support/uma.ts';
import { ArenaWords } from './support/words.ts';

/** No buckets: every item goes to its keg, and changes the lists there. Four to a slab. */
const BARE = defineZone({ name: 'bare', size: 1024, flags: ZoneFlag.NOBUCKET });

interface Context extends ZoneMachine {
  /** What the reader saw. */
  readonly seen: { live: number; failed: number; occupancy: Occupancy | undefined };
}

const words = new ArenaWords(true);
check(
  'statistics: occupancy of a keg from which another CPU takes and to which it gives',
  {
    prepare: () => zoneMachine(words, 2, BARE),
    setup: (made: ZoneMachine): Context => ({
      ...made,
      seen: { live: 0, failed: 0, occupancy: undefined },
    }),
    cpus: {
      works: (c) => {
        const first = alloc(c, 0);
        const second = alloc(c, 0);
        free(c, 0, first);
        free(c, 0, second);
        leave(c, 0);
      },
      reads: (c) => {
        const { uma, record } = c.zones[1]!;
        c.seen.occupancy = readOccupancy(uma, record, uma.cpu);
        leave(c, 1);
      },
    },
    final: (c) => {
      const { slabs, freeSlabs, partialSlabs } = c.seen.occupancy!;
      return freeSlabs + partialSlabs === slabs && isClean(c, 0);
    },
    reachable: {
      'no slab yet': (c) => c.seen.occupancy!.slabs === 0,
      'one item in use': (c) => c.seen.occupancy!.histogram[2] === 1,
      'two items in use': (c) => c.seen.occupancy!.histogram[5] === 1,
      'none in use': (c) => c.seen.occupancy!.freeSlabs === 1,
    },
    words: words.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const counted = new ArenaWords(true);
check(
  'statistics: counters of a zone while another CPU allocates, frees and fails',
  {
    prepare: () => zoneMachine(counted, 2, BARE),
    setup: (made: ZoneMachine): Context => ({
      ...made,
      seen: { live: 0, failed: 0, occupancy: undefined },
    }),
    cpus: {
      works: (c) => {
        const item = alloc(c, 0);
        free(c, 0, item);
        c.zones[0]!.free(c.zones[0]!.alloc(M_NOVM | 1));
        leave(c, 0);
      },
      reads: (c) => {
        const { live, fails } = c.zones[1]!.statistics();
        c.seen.live = live;
        c.seen.failed = fails;
        const stream = decodeZoneStats(encodeZoneStats(c.zones[1]!.uma));
        const bare = stream.find(({ name }) => name === 'bare')!;
        if (bare.frees > bare.allocs) throw new Error(`${bare.frees} frees of ${bare.allocs}`);
        leave(c, 1);
      },
    },
    final: (c) => c.seen.live >= 0 && isClean(c, 0),
    reachable: {
      'an item live': (c) => c.seen.live === 1,
      'none live': (c) => c.seen.live === 0,
    },
    words: counted.lookup,
  },
  { budgetMs: BUDGET_MS },
);
