/**
 * Reclaim: the end of a period and its one winner, a keg's reserve beside frees and drains, a shortage
 * of pages that one CPU handles while another frees; reclaimers that die.
 */
import { check } from '@umbuf/interleave/vitest';
import { freePageCount, leaveCpu, markDead, recover, reserveSlot, takePages } from '@umbuf/memory';
import {
  defineZone,
  endPeriods,
  KegDomain,
  KegRecord,
  M_NOWAIT,
  PERIOD_MS,
  reclaim,
  reclaimersOf,
  UmaRoot,
  ZoneDomain,
  ZoneFlag,
  zoneDomain,
} from '@umbuf/uma';
import { BUDGET_MS } from './support/arena.ts';
import { alloc, free, isClean, leave, type ZoneMachine, zoneMachine } from './support/uma.ts';
import { ArenaWords } from './support/words.ts';

/** Buckets of one, slabs of one, and no buckets at all. */
const LARGE = defineZone({ name: 'large', size: 8128 });
const BARE = defineZone({ name: 'bare', size: 1024, flags: ZoneFlag.NOBUCKET });
const R = UmaRoot.fields;
const Q = ZoneDomain.fields;

interface Context extends ZoneMachine {
  readonly held: number[];
}

function keg({ zones, arena }: ZoneMachine, field: number): number {
  return arena.words[zones[0]!.keg + KegRecord.words + field]!;
}

const periods = new ArenaWords();
check(
  'period: one CPU ends it, while another caches items',
  {
    prepare: () => {
      const made = zoneMachine(periods, 3, LARGE);
      const held: number[] = [];
      for (let item = 0; item < 7; item++) held.push(alloc(made, 0));
      leave(made, 0);
      const { root, longs } = made.zones[0]!.uma;
      const began = Number(Atomics.load(longs, (root + R.periodBegan.at) >> 1));
      return { ...made, held, ended: [], now: began + PERIOD_MS };
    },
    setup: (made: Context & { readonly ended: number[]; readonly now: number }) => ({
      ...made,
      ended: [] as number[],
    }),
    cpus: {
      a: (c) => {
        for (const item of c.held) free(c, 0, item);
        leave(c, 0);
      },
      b: (c) => {
        c.ended[1] = endPeriods(c.zones[1]!.uma, c.now);
        leave(c, 1);
      },
      c: (c) => {
        c.ended[2] = endPeriods(c.zones[2]!.uma, c.now);
        leave(c, 2);
      },
    },
    final: (c) => {
      const { words, root } = c.zones[0]!.uma;
      return c.ended[1]! + c.ended[2]! === 1 && words[root + R.periods.at] === 1 && isClean(c, 0);
    },
    reachable: {
      'the first': (c) => c.ended[1] === 1,
      'the second': (c) => c.ended[2] === 1,
      'behind the frees': (c) => c.arena.words[queue(c) + Q.imin.at]! > 0,
    },
    words: periods.lookup,
  },
  { budgetMs: BUDGET_MS },
);

function queue({ zones }: ZoneMachine): number {
  return zoneDomain(zones[0]!.uma, zones[0]!.record, 0);
}

const reserves = new ArenaWords();
check(
  'keg: a drain leaves the slabs that the reserve needs, beside frees and another drain',
  {
    prepare: () => {
      const made = zoneMachine(reserves, 3, BARE);
      // Two slabs of four; five items of them are held.
      const held: number[] = [];
      for (let item = 0; item < 5; item++) held.push(alloc(made, 0));
      leave(made, 0);
      // What is not of the partial slab must be of a free one.
      made.arena.words[made.zones[0]!.keg + KegRecord.fields.reserve.at] = 4;
      return { ...made, held };
    },
    setup: (made: Context) => made,
    cpus: {
      frees: (c) => {
        for (const item of c.held) free(c, 0, item);
        leave(c, 0);
      },
      drains: (c) => {
        reclaim(c.zones[1]!.uma, 'drain', c.zones[1]!.record);
        leave(c, 1);
      },
      also: (c) => {
        reclaim(c.zones[2]!.uma, 'drain', c.zones[2]!.record);
        leave(c, 2);
      },
    },
    final: (c) =>
      keg(c, KegDomain.fields.freeItems.at) >= 4 &&
      reclaimersOf(c.zones[0]!.uma, c.zones[0]!.record) === 0 &&
      isClean(c, 0),
    reachable: {
      'a slab went': (c) => keg(c, KegDomain.fields.freeSlabs.at) === 1,
      'both stayed': (c) => keg(c, KegDomain.fields.freeSlabs.at) === 2,
    },
    words: reserves.lookup,
  },
  { budgetMs: BUDGET_MS },
);

/** The arena is full: CPU 1 has items cached and items in use; the rest stays with the last CPU. */
function shortage(words: ArenaWords): Context {
  const made = zoneMachine(words, 3, LARGE);
  const held: number[] = [];
  for (let item = 0; item < 5; item++) held.push(alloc(made, 1));
  free(made, 1, held.pop()!);
  leave(made, 1);
  const last = made.cpus[2]!;
  takePages(last, freePageCount(made.arena), 0, reserveSlot(last));
  return { ...made, held };
}

const short = new ArenaWords();
check(
  'shortage: one CPU brings back what another caches at that moment',
  {
    prepare: () => shortage(short),
    setup: (made: Context) => ({ ...made, got: [] as number[] }),
    cpus: {
      short: (c) => {
        c.got[0] = c.zones[0]!.alloc(M_NOWAIT);
        leave(c, 0);
      },
      frees: (c) => {
        for (const item of c.held) free(c, 1, item);
        c.got[1] = c.zones[1]!.alloc(M_NOWAIT);
        leave(c, 1);
      },
    },
    final: (c) =>
      c.got[0] !== c.got[1] &&
      c.arena.words[c.zones[0]!.uma.root + R.lowMemoryOwner.at] === 0 &&
      leftWith(c, 2, c.got),
    reachable: {
      'both have one': (c) => c.got[0] !== 0 && c.got[1] !== 0,
      'in the place of one that was freed': (c) => c.held.includes(c.got[0]!),
    },
    words: short.lookup,
  },
  { budgetMs: BUDGET_MS },
);

/** Clean, but for the pages that the last CPU keeps in its hand. */
function leftWith(c: Context, number: number, got: readonly number[]): boolean {
  const live = got.filter((item) => item !== 0).length;
  return isClean({ ...c, cpus: c.cpus.filter((cpu) => cpu.number !== number) }, live);
}

const NUMBERS: Readonly<Record<string, number>> = { a: 0, b: 1 };

function supervise(c: ZoneMachine, name: string): void {
  const supervisor = c.cpus[2]!;
  const dead = NUMBERS[name]!;
  const { incarnation } = c.cpus[dead]!;
  markDead(supervisor, dead, incarnation);
  // Ends: what makes a recovery busy is another CPU's progress.
  while (recover(supervisor, dead, incarnation) === 'busy');
  leaveCpu(supervisor);
}

const deaths = new ArenaWords();
check(
  'death: of one that reclaims a zone, or of one that frees its items meanwhile',
  {
    prepare: () => {
      const made = zoneMachine(deaths, 3, LARGE);
      const held = [alloc(made, 1), alloc(made, 1)];
      for (const item of held) free(made, 1, item);
      held.push(alloc(made, 1));
      leave(made, 1);
      return { ...made, held: [held[2]!] };
    },
    setup: (made: Context) => made,
    cpus: {
      a: (c) => {
        reclaim(c.zones[0]!.uma, 'drain-cpu', c.zones[0]!.record, Number.POSITIVE_INFINITY);
        leave(c, 0);
      },
      b: (c) => {
        free(c, 1, c.held[0]!);
        leave(c, 1);
      },
    },
    onDeath: supervise,
    final: (c, { dead }) =>
      reclaimersOf(c.zones[2]!.uma, c.zones[2]!.record) === 0 &&
      // Who frees it may die before he has begun.
      isClean(c, 0, dead.includes('b')),
    reachable: {
      'the reclaimer died': (_, { dead }) => dead[0] === 'a',
      'the other died': (_, { dead }) => dead[0] === 'b',
    },
    words: deaths.lookup,
  },
  { budgetMs: BUDGET_MS, crash: 'interrupt-points' },
);
