/**
 * Deaths. A CPU dies at any point where V8 can stop a worker: function entries, loop back edges,
 * waits, and the entry of each Atomics call (docs/decisions/0004). Another CPU marks it dead and recovers it,
 * while a third goes on; then nothing is lost and nothing is there twice.
 */
import { check } from '@umbuf/interleave/vitest';
import {
  answerRequests,
  checkPagePool,
  CpuRecord,
  freePageCount,
  leaveCpu,
  lockMutex,
  markDead,
  MutexRecord,
  putPages,
  recover,
  releaseSlot,
  reserveSlot,
  takePages,
  unlockMutex,
} from '@umbuf/memory';
import { CacheRecord, defineZone, zoneCache } from '@umbuf/uma';
import { areHandsEmpty, BUDGET_MS, type Machine, machine } from './support/arena.ts';
import { alloc, isClean, leave, type ZoneMachine, zoneMachine } from './support/uma.ts';
import { ArenaWords } from './support/words.ts';

const OPTIONS = { budgetMs: BUDGET_MS, crash: 'interrupt-points' } as const;
const C = CacheRecord.fields;
const LARGE = defineZone({ name: 'large', size: 8128 });

/** What a supervisor does after an exit event, on the last CPU, until it is done. */
function supervise(made: Machine, dead: number): void {
  const supervisor = made.cpus.at(-1)!;
  const { incarnation } = made.cpus[dead]!;
  markDead(supervisor, dead, incarnation);
  // Ends: what makes a recovery busy is another CPU's progress.
  while (recover(supervisor, dead, incarnation) === 'busy');
  leaveCpu(supervisor);
}

/** Nothing is left in the caches of the dead. */
function areCachesEmpty({ zones, arena }: ZoneMachine, dead: readonly string[]): boolean {
  const { uma } = zones[0]!;
  for (const name of dead) {
    for (let id = 0; id < uma.zoneCount(); id++) {
      const cache = zoneCache(uma.zoneAt(id), NUMBERS[name]!);
      if (arena.words[cache + C.allocBucket.at] !== 0) return false;
      if (arena.words[cache + C.freeBucket.at] !== 0) return false;
    }
  }
  return true;
}

const NUMBERS: Readonly<Record<string, number>> = { victim: 0, other: 1 };

/** Every hand empty, and every CPU idle, or offline by its recovery. */
function isSettled(made: Machine, dead: readonly string[]): boolean {
  const { words, cpuTable } = made.arena;
  for (const { number } of made.cpus) {
    const isDead = dead.some((name) => NUMBERS[name] === number);
    const state = Atomics.load(words, cpuTable + number * CpuRecord.words) & 0xf;
    if (state !== (isDead ? 0 : 1)) return false;
  }
  return areHandsEmpty(made);
}

function section({ cpus, scratch }: Machine, number: number): void {
  const cpu = cpus[number]!;
  lockMutex(cpu, scratch);
  const value = cpu.words[scratch + 32]!;
  cpu.words[scratch + 32] = value + 1;
  unlockMutex(cpu, scratch);
}

const lock = new ArenaWords();
check(
  'death: in and around a lock that another CPU waits for',
  {
    prepare: () => {
      const made = machine(lock, { cpus: 3 });
      lock.place(MutexRecord, made.scratch, 'lock');
      return made;
    },
    setup: (made: Machine) => made,
    cpus: {
      victim: (c) => section(c, 0),
      other: (c) => section(c, 1),
    },
    onDeath: (c, dead) => supervise(c, NUMBERS[dead]!),
    final: (c, { dead }) => {
      const sections = c.arena.words[c.scratch + 32]!;
      if (Atomics.load(c.arena.words, c.scratch) !== 0) return false;
      if (Atomics.load(c.arena.words, c.scratch + MutexRecord.fields.waiting.at) !== 0)
        return false;
      return isSettled(c, dead) && sections >= 2 - dead.length && sections <= 2;
    },
    reachable: {
      'nobody died': (_, { dead }) => dead.length === 0,
      'it died before its section': (c, { dead }) =>
        dead.length === 1 && c.arena.words[c.scratch + 32] === 1,
      'it died behind it': (c, { dead }) =>
        dead.length === 1 && c.arena.words[c.scratch + 32] === 2,
    },
    words: lock.lookup,
  },
  OPTIONS,
);

/** Takes a run of pages and puts it back; another CPU does so too. */
function pagesTakenAndPut({ cpus }: Machine, number: number): void {
  const cpu = cpus[number]!;
  const slot = reserveSlot(cpu);
  if (takePages(cpu, 2, 0, slot) !== 0) putPages(cpu, slot);
  releaseSlot(cpu, slot);
}

const pool = new ArenaWords();
check(
  'death: while pages are taken and put back',
  {
    prepare: () => {
      const made = machine(pool, { cpus: 3 });
      return { ...made, free: freePageCount(made.arena) };
    },
    setup: (made: Machine & { readonly free: number }) => made,
    cpus: {
      victim: (c) => pagesTakenAndPut(c, 0),
      other: (c) => pagesTakenAndPut(c, 1),
    },
    onDeath: (c, dead) => supervise(c, NUMBERS[dead]!),
    final: (c, { dead }) =>
      isSettled(c, dead) &&
      freePageCount(c.arena) === c.free &&
      checkPagePool(c.cpus[2]!, 0).length === 0,
    reachable: { 'a CPU died': (_, { dead }) => dead.length === 1 },
    words: pool.lookup,
  },
  OPTIONS,
);

const bucket = new ArenaWords();
check(
  'death: while cached buckets are put on the queue that another CPU takes from',
  {
    prepare: () => {
      const made = zoneMachine(bucket, 3, LARGE);
      const item = alloc(made, 0);
      made.zones[0]!.free(item);
      leave(made, 0);
      return made;
    },
    setup: (made: ZoneMachine) => ({ ...made, got: [] as number[] }),
    cpus: {
      victim: (c) => {
        // The cached item to the queue, as a drain request would have it.
        answerRequests(c.cpus[0]!);
        leave(c, 0);
      },
      other: (c) => {
        c.got.push(alloc(c, 1));
        leave(c, 1);
      },
    },
    onDeath: (c, dead) => supervise(c, NUMBERS[dead]!),
    final: (c, { dead }) =>
      isSettled(c, dead) &&
      areCachesEmpty(c, dead) &&
      isClean(c, c.got.length, dead.includes('other')),
    reachable: {
      'the victim died': (_, { dead }) => dead[0] === 'victim',
      'the other died': (_, { dead }) => dead[0] === 'other',
    },
    words: bucket.lookup,
  },
  OPTIONS,
);

const slow = new ArenaWords();
check(
  'death: on the slow path of an allocation, slab and all',
  {
    prepare: () => zoneMachine(slow, 3, LARGE),
    setup: (made: ZoneMachine) => ({ ...made, got: [] as number[] }),
    cpus: {
      victim: (c) => {
        c.got.push(alloc(c, 0));
        leave(c, 0);
      },
      other: (c) => {
        c.got.push(alloc(c, 1));
        leave(c, 1);
      },
    },
    onDeath: (c, dead) => supervise(c, NUMBERS[dead]!),
    final: (c, { dead }) =>
      isSettled(c, dead) && areCachesEmpty(c, dead) && isClean(c, c.got.length, dead.length > 0),
    reachable: {
      'a CPU died': (_, { dead }) => dead.length === 1,
      'nobody died': (_, { dead }) => dead.length === 0,
    },
    words: slow.lookup,
  },
  OPTIONS,
);
