/**
 * A zone at its limit: units go with the items that cross the keg's line, sleepers get what others
 * have cached, and nobody sleeps beside a free unit, whoever frees, gives up, aborts or dies.
 */
import { check } from '@umbuf/interleave/vitest';
import {
  type ArenaOptions,
  checkpoint,
  enterCpu,
  limitCount,
  limitGranted,
  LimitRecord,
  limitSleepers,
  markDead,
  recover,
  registerSleeper,
  releaseSlot,
  reserveSlot,
  WaitCell,
  withdrawSleeper,
} from '@umbuf/memory';
import {
  defineZone,
  isLive,
  itemEntry,
  itemHolder,
  M_WAITOK,
  type ZoneDefinition,
  ZoneFlag,
  ZoneRecord,
} from '@umbuf/uma';
import { BUDGET_MS } from './support/arena.ts';
import { alloc, free, isClean, leave, type ZoneMachine, zoneMachine } from './support/uma.ts';
import { ArenaWords } from './support/words.ts';

/** Buckets of one, slabs of one. */
const CACHED = defineZone({ name: 'cached', size: 8128 });
/** Every item crosses the keg's line by itself. */
const BARE = defineZone({ name: 'bare', size: 1024, flags: ZoneFlag.NOBUCKET });

interface Context extends ZoneMachine {
  /** Items by owner. */
  readonly held: number[];
}

function limitOf({ zones, arena }: ZoneMachine): number {
  return arena.words[zones[0]!.record + ZoneRecord.fields.limit.at]!;
}

/** `cpus` CPUs, a limit of `max`, and `taken` items in the hands of CPU 0. */
function prepare(
  words: ArenaWords,
  cpus: number,
  definition: ZoneDefinition,
  max: number,
  taken: number,
  options: Partial<ArenaOptions> = {},
): Context {
  const made = zoneMachine(words, cpus, definition, options);
  const zone = made.zones[0]!;
  const held: number[] = [];
  if (max > 0) {
    zone.setMax(max);
    // As if the limit were large: buckets of one in the CPUs, and queues.
    if (definition === CACHED) zone.setMaxcache(16);
    const limit = limitOf(made);
    words.place(LimitRecord, limit, 'limit');
    for (let cell = 0; cell < cpus; cell++) {
      words.place(WaitCell, limit + LimitRecord.words + cell * WaitCell.words, `cell ${cell}`);
    }
  }
  for (let index = 0; index < taken; index++) held.push(alloc(made, 0));
  for (let cpu = 0; cpu < cpus; cpu++) leave(made, cpu);
  return { ...made, held };
}

/** M_WAITOK, bounded when `timeoutMs` is finite; writes its CPU into the item. */
function wait(c: Context, number: number, timeoutMs = Number.POSITIVE_INFINITY): number {
  const zone = c.zones[number]!;
  const item =
    timeoutMs === Number.POSITIVE_INFINITY
      ? zone.alloc(M_WAITOK)
      : zone.allocWait(M_WAITOK, { timeoutMs }).item;
  if (item !== 0) zone.uma.words[item >> 2] = number + 1;
  return item;
}

/** Clean, and nobody in the queue or on the way out of it. */
function isWhole(c: Context, live: number, oneMore = false): boolean {
  const limit = limitOf(c);
  if (limitGranted(c.arena, limit) !== 0) throw new Error('a grant was not taken');
  if (limitSleepers(c.arena, limit) !== 0) throw new Error('somebody is in the queue');
  return isClean(c, live, oneMore);
}

const slept = (c: Context): number => c.zones[0]!.limitStatistics().sleeps;
const setup = (made: Context): Context => ({ ...made, held: [...made.held] });

const two = new ArenaWords();
check(
  'zone limit: two sleepers, one item at a time',
  {
    prepare: () => prepare(two, 3, BARE, 1, 1),
    setup,
    cpus: {
      holder: (c) => {
        free(c, 0, c.held[0]!);
        leave(c, 0);
      },
      a: (c) => {
        free(c, 1, wait(c, 1));
        leave(c, 1);
      },
      b: (c) => {
        free(c, 2, wait(c, 2));
        leave(c, 2);
      },
    },
    final: (c) => isWhole(c, 0),
    reachable: {
      'both slept': (c) => slept(c) === 2,
      'nobody slept': (c) => slept(c) === 0,
    },
    words: two.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const cached = new ArenaWords();
check(
  'zone limit: a sleeper gets what the other CPU has cached, idle or running',
  {
    prepare: () => prepare(cached, 2, CACHED, 2, 2),
    setup,
    cpus: {
      frees: [
        (c) => {
          free(c, 0, c.held[0]!);
          leave(c, 0);
        },
        (c) => {
          free(c, 0, c.held[1]!);
          checkpoint(c.cpus[0]!);
          const item = alloc(c, 0);
          free(c, 0, item);
          leave(c, 0);
        },
      ],
      sleeps: (c) => {
        c.held[2] = wait(c, 1);
        leave(c, 1);
      },
    },
    final: (c) => c.held[2] !== 0 && isWhole(c, 1),
    reachable: {
      'it registered': (c) => slept(c) === 1,
      'an item is cached at the end': (c) => limitCount(c.arena, limitOf(c)) === 2,
    },
    words: cached.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const timed = new ArenaWords();
check(
  'zone limit: a sleeper gives up while its item comes',
  {
    prepare: () => prepare(timed, 2, CACHED, 1, 1),
    setup,
    cpus: {
      hasty: (c) => {
        c.held[1] = wait(c, 1, 0);
        leave(c, 1);
      },
      holder: (c) => {
        free(c, 0, c.held[0]!);
        leave(c, 0);
      },
    },
    final: (c) => isWhole(c, c.held[1] === 0 ? 0 : 1),
    reachable: {
      'it gave up': (c) => c.held[1] === 0,
      'it registered and got it': (c) => c.held[1] !== 0 && slept(c) === 1,
    },
    words: timed.lookup,
  },
  { budgetMs: BUDGET_MS },
);

/** What an aborted `allocAsync` does, in the jobs before and behind its wait. */
function abort(c: Context, number: number): void {
  const cpu = c.cpus[number]!;
  enterCpu(cpu);
  const cell = registerSleeper(cpu, limitOf(c), 1);
  leave(c, number);
  enterCpu(cpu);
  const slot = reserveSlot(cpu);
  withdrawSleeper(cpu, limitOf(c), cell, slot);
  releaseSlot(cpu, slot);
  leave(c, number);
}

const aborted = new ArenaWords();
check(
  'zone limit: an aborted request in front of a sleeper gives the unit on',
  {
    prepare: () => prepare(aborted, 3, BARE, 1, 1),
    setup,
    cpus: {
      aborts: (c) => abort(c, 2),
      holder: (c) => {
        free(c, 0, c.held[0]!);
        leave(c, 0);
      },
      sleeps: (c) => {
        c.held[1] = wait(c, 1);
        leave(c, 1);
      },
    },
    final: (c) => c.held[1] !== 0 && isWhole(c, 1),
    reachable: { 'both waited': (c) => slept(c) === 2 },
    words: aborted.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const first = new ArenaWords();
check(
  'zone limit: the first limit of a zone in use begins with all that is outside',
  {
    prepare: () => prepare(first, 3, BARE, 0, 1),
    setup,
    cpus: {
      limits: (c) => {
        c.zones[2]!.setMax(2);
        leave(c, 2);
      },
      frees: (c) => {
        free(c, 0, c.held[0]!);
        leave(c, 0);
      },
      allocates: (c) => {
        c.held[1] = alloc(c, 1);
        leave(c, 1);
      },
    },
    // fsck compares the count with what is outside.
    final: (c) => c.held[1] !== 0 && limitCount(c.arena, limitOf(c)) === 1 && isWhole(c, 1),
    reachable: { 'the limit was met': (c) => limitOf(c) !== 0 },
    words: first.lookup,
  },
  { budgetMs: BUDGET_MS },
);

const NUMBERS: Readonly<Record<string, number>> = { holder: 0, sleeper: 1 };

function supervise(c: Context, dead: number): void {
  const supervisor = c.cpus[2]!;
  const { incarnation } = c.cpus[dead]!;
  markDead(supervisor, dead, incarnation);
  // Ends: what makes a recovery busy is another CPU's progress.
  while (recover(supervisor, dead, incarnation) === 'busy');
  // The dead user's item, from his ledger, unless it is another's by now.
  const { uma, keg } = c.zones[2]!;
  const item = c.held[dead] ?? 0;
  const entry = item === 0 ? 0 : itemEntry(uma, keg, item);
  if (entry !== 0 && isLive(uma, entry) && itemHolder(uma, entry) === dead) c.zones[2]!.free(item);
  leave(c, 2);
}

for (const definition of [BARE, CACHED]) {
  const words = new ArenaWords();
  check(
    `zone limit: who frees ${definition.name} items dies, or who sleeps for one`,
    {
      prepare: () => prepare(words, 3, definition, 1, 1, { level: 'checks' }),
      setup,
      cpus: {
        holder: (c) => {
          free(c, 0, c.held[0]!);
          leave(c, 0);
        },
        sleeper: (c) => {
          c.held[1] = wait(c, 1);
          free(c, 1, c.held[1]);
          leave(c, 1);
        },
      },
      onDeath: (c, dead) => supervise(c, NUMBERS[dead]!),
      // The item that he had not noted may be lost with him, and its unit with it; never more.
      final: (c, { dead }) => isWhole(c, 0, dead[0] === 'sleeper'),
      reachable: {
        'the sleeper died': (c, { dead }) => dead[0] === 'sleeper' && slept(c) === 1,
        'the holder died, and somebody slept': (c, { dead }) =>
          dead[0] === 'holder' && slept(c) === 1,
      },
      words: words.lookup,
    },
    { budgetMs: BUDGET_MS, crash: 'interrupt-points' },
  );
}
