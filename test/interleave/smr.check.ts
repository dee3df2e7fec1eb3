/**
 * SMR: readers against reuse. A reader follows a pointer inside a section while another CPU unlinks
 * what it points to and uses it for something else as soon as it may. The race detector says what
 * the values alone could miss: the reader's plain look and the next owner's plain write.
 */
import { check } from '@umbuf/interleave/vitest';
import { CpuRecord, leaveCpu, markDead, MutexRecord, recover } from '@umbuf/memory';
import {
  CacheRecord,
  defineZone,
  type Smr,
  smrCpu,
  SmrCpuRecord,
  SmrRecord,
  Uma,
  zoneCache,
  ZoneFlag,
  ZoneRecord,
} from '@umbuf/uma';
import { Entry, entryZone, HashMap } from '../support/hash-map.ts';
import { areHandsEmpty, BUDGET_MS, type Machine, machine } from './support/arena.ts';
import {
  alloc,
  type Inspect,
  inspect,
  isClean,
  leave,
  placeZones,
  type ZoneMachine,
  zoneMachine,
} from './support/uma.ts';
import { ArenaWords } from './support/words.ts';

const OPTIONS = { budgetMs: BUDGET_MS };

interface Context extends Machine {
  readonly smrs: readonly Smr[];
  /** What each CPU saw or did, in words. */
  readonly seen: string[];
}

/** Words of the scratch page: the pointer, and what it points to. */
const POINTER = 0;
const CELL = 32;
const FIRST = 7;
const SECOND = 9;

function placeSmr(words: ArenaWords, { arena }: Machine, { record }: Smr): void {
  words.place(SmrRecord, record, 'smr');
  for (let cpu = 0; cpu < arena.cpus; cpu++) {
    words.place(SmrCpuRecord, smrCpu(record, cpu), `smr cpu ${cpu}`);
  }
}

/** An SMR on every CPU; the pointer leads to the cell, which holds FIRST. */
function smrMachine(words: ArenaWords, cpus: number): Context {
  const made = machine(words, { bytes: 131_072, cpus });
  const smrs: Smr[] = [];
  for (const cpu of made.cpus) {
    smrs.push(Uma.attach(cpu).smr('test'));
    leaveCpu(cpu);
  }
  placeSmr(words, made, smrs[0]!);
  Atomics.store(made.arena.words, made.scratch + POINTER, made.scratch + CELL);
  made.arena.words[made.scratch + CELL] = FIRST;
  return { ...made, smrs, seen: [] };
}

/** A section: whatever the pointer leads to is read plainly, and still is what was published. */
function read({ smrs, arena, scratch, seen }: Context, number: number): void {
  const { words } = arena;
  smrs[number]!.enter();
  const cell = Atomics.load(words, scratch + POINTER);
  if (cell !== 0 && words[cell] !== FIRST) throw new Error(`read ${words[cell]}`);
  seen[number] = cell === 0 ? 'nothing' : 'the cell';
  smrs[number]!.exit();
}

const polled = new ArenaWords();
check(
  'smr: a goal that a poll finds reached, with a reader and another poller',
  {
    prepare: () => smrMachine(polled, 3),
    setup: (made: Context) => ({ ...made, seen: [] as string[] }),
    cpus: {
      reader: (c) => {
        read(c, 0);
        read(c, 0);
        leaveCpu(c.cpus[0]!);
      },
      writer: (c) => {
        const { words } = c.arena;
        Atomics.store(words, c.scratch + POINTER, 0);
        const goal = c.smrs[1]!.advance();
        if (c.smrs[1]!.poll(goal)) {
          words[c.scratch + CELL] = SECOND;
          c.seen[1] = 'reused';
        }
        leaveCpu(c.cpus[1]!);
      },
      poller: (c) => {
        const goal = c.smrs[2]!.advance();
        c.seen[2] = c.smrs[2]!.poll(goal) ? 'reached' : 'not reached';
        leaveCpu(c.cpus[2]!);
      },
    },
    reachable: {
      'reused after it was read': (c) => c.seen[1] === 'reused' && c.seen[0] === 'the cell',
      'reused, and not found': (c) => c.seen[1] === 'reused' && c.seen[0] === 'nothing',
      'the reader was in the way': (c) => c.seen[1] === undefined,
      'in the way of the other': (c) => c.seen[2] === 'not reached',
    },
    words: polled.lookup,
  },
  OPTIONS,
);

const waited = new ArenaWords();
check(
  'smr: two writers that wait for a reader are woken',
  {
    prepare: () => smrMachine(waited, 3),
    setup: (made: Context) => ({ ...made, seen: [] as string[] }),
    cpus: {
      reader: (c) => {
        read(c, 0);
        leaveCpu(c.cpus[0]!);
      },
      writer: (c) => {
        const { words } = c.arena;
        Atomics.store(words, c.scratch + POINTER, 0);
        c.smrs[1]!.synchronize();
        words[c.scratch + CELL] = SECOND;
        leaveCpu(c.cpus[1]!);
      },
      other: (c) => {
        c.smrs[2]!.synchronize();
        leaveCpu(c.cpus[2]!);
      },
    },
    final: (c) => c.arena.words[c.scratch + CELL] === SECOND,
    reachable: {
      'read before it was unlinked': (c) => c.seen[0] === 'the cell',
      'found unlinked': (c) => c.seen[0] === 'nothing',
    },
    words: waited.lookup,
  },
  OPTIONS,
);

/** Buckets of one, slabs of one. */
const LARGE = defineZone({ name: 'read', size: 8128, flags: ZoneFlag.SMR });

interface ZoneContext extends ZoneMachine {
  /** Items that the writer has, the first of which the pointer leads to. */
  readonly held: number[];
  readonly got: number[];
  readonly seen: string[];
}

/** The writer is CPU 1; both CPUs have the zone open. */
function published(words: ArenaWords, cpus: number): ZoneContext {
  const made = zoneMachine(words, cpus, LARGE);
  placeSmr(words, made, made.zones[0]!.getSmr()!);
  const held = [alloc(made, 1), alloc(made, 1)];
  Atomics.store(made.arena.words, made.scratch, held[0]!);
  leave(made, 1);
  return { ...made, held, got: [], seen: [] };
}

/** Reads the item that is published, which its writer stamped with its number + 1. */
function readItem({ zones, arena, scratch, seen, got }: ZoneContext): void {
  const { words } = arena;
  const smr = zones[0]!.getSmr()!;
  smr.enter();
  const item = Atomics.load(words, scratch);
  if (item !== 0) {
    seen.push(got.length > 0 ? 'while there were other items' : 'the item');
    if (words[item >> 2] !== 2) throw new Error(`item ${item} holds ${words[item >> 2]}`);
  }
  smr.exit();
  leaveCpu(zones[0]!.uma.cpu);
}

/** Unlinks and frees the item and one more, so that its bucket is tagged; then allocates two. */
function reuse(c: ZoneContext): void {
  const zone = c.zones[1]!;
  Atomics.store(c.arena.words, c.scratch, 0);
  // Its contents stay as they are: a reader may look at them.
  zone.free(c.held[0]!);
  zone.free(c.held[1]!);
  for (let turn = 0; turn < 2; turn++) {
    const item = zone.alloc(1);
    if (item !== 0) c.arena.words[item >> 2] = 99;
    c.got.push(item);
  }
  leave(c, 1);
}

const zoned = new ArenaWords();
check(
  'smr zone: an item is freed and allocated again while another CPU reads it',
  {
    prepare: () => published(zoned, 2),
    setup: (made: ZoneContext) => ({ ...made, got: [] as number[], seen: [] as string[] }),
    cpus: { reader: readItem, writer: reuse },
    final: (c) => c.got[0] !== c.got[1] && isClean(c, 2),
    reachable: {
      'the item came back': (c) => c.got.includes(c.held[0]!),
      'the item came back after it was read': (c) =>
        c.got.includes(c.held[0]!) && c.seen.length === 1,
      'another item was built while the reader had it': (c) =>
        !c.got.includes(c.held[0]!) && c.seen.length === 1,
    },
    words: zoned.lookup,
  },
  OPTIONS,
);

/** What a supervisor does after an exit event, on the last CPU, until it is done. */
function supervise({ cpus }: Machine, dead: number): void {
  const supervisor = cpus.at(-1)!;
  const { incarnation } = cpus[dead]!;
  markDead(supervisor, dead, incarnation);
  // Ends: what makes a recovery busy is another CPU's progress.
  while (recover(supervisor, dead, incarnation) === 'busy');
  leaveCpu(supervisor);
}

/** No section is open, in no CPU's words. */
function areSectionsEnded({ arena }: Machine, smr: number): boolean {
  const { words, cpuTable } = arena;
  for (let cpu = 0; cpu < arena.cpus; cpu++) {
    const counted = cpuTable + cpu * CpuRecord.words + CpuRecord.fields.sections.at;
    if (words[counted] !== 0 || Atomics.load(words, smrCpu(smr, cpu)) !== 0) return false;
  }
  return true;
}

const died = new ArenaWords();
check(
  'smr: a reader that dies holds up nobody for ever',
  {
    prepare: () => smrMachine(died, 3),
    setup: (made: Context) => ({ ...made, seen: [] as string[] }),
    cpus: {
      reader: (c) => {
        read(c, 0);
        leaveCpu(c.cpus[0]!);
      },
      writer: (c) => {
        const { words } = c.arena;
        Atomics.store(words, c.scratch + POINTER, 0);
        c.smrs[1]!.synchronize();
        words[c.scratch + CELL] = SECOND;
        leaveCpu(c.cpus[1]!);
      },
    },
    onDeath: (c, dead) => supervise(c, dead === 'reader' ? 0 : 1),
    final: (c, { dead }) =>
      areSectionsEnded(c, c.smrs[0]!.record) &&
      (dead.includes('writer') || c.arena.words[c.scratch + CELL] === SECOND),
    reachable: {
      'nobody died': (_, { dead }) => dead.length === 0,
      'the reader died with the cell in its section': (c, { dead }) =>
        dead[0] === 'reader' && c.seen[0] === 'the cell',
      'the writer died': (_, { dead }) => dead[0] === 'writer',
    },
    words: died.lookup,
  },
  { ...OPTIONS, crash: 'interrupt-points' },
);

const deaths = new ArenaWords();
check(
  'smr zone: the writer dies while it frees and allocates',
  {
    prepare: () => published(deaths, 3),
    setup: (made: ZoneContext) => ({ ...made, got: [] as number[], seen: [] as string[] }),
    cpus: { reader: readItem, writer: reuse },
    onDeath: (c, dead) => supervise(c, dead === 'reader' ? 0 : 1),
    final: (c, { dead }) => {
      if (!areHandsEmpty(c) || !areSectionsEnded(c, c.zones[0]!.getSmr()!.record)) return false;
      if (dead.length === 0) return isClean(c, 2);
      const { violations } = c.inspect();
      if (violations.length > 0) throw new Error(violations.join('; '));
      const cache = zoneCache(c.zones[0]!.record, dead[0] === 'reader' ? 0 : 1);
      return c.arena.words[cache + CacheRecord.fields.freeBucket.at] === 0;
    },
    reachable: {
      'nobody died': (_, { dead }) => dead.length === 0,
      'the writer died': (_, { dead }) => dead[0] === 'writer',
    },
    words: deaths.lookup,
  },
  { ...OPTIONS, crash: 'interrupt-points' },
);

interface MapContext extends Machine {
  readonly maps: readonly HashMap[];
  readonly inspect: Inspect;
  /** What the reader found. */
  readonly found: (number | undefined)[];
}

/** Two CPUs with the map of docs/guide/smr.md, one chain, and key 1 in it. */
function mapMachine(words: ArenaWords): MapContext {
  const made = machine(words, { bytes: 262_144, cpus: 3 }, [], 2);
  const first = Uma.attach(made.cpus[0]!);
  const second = Uma.attach(made.cpus[1]!);
  const map = HashMap.create(first, 1)!;
  const zone = first.open(entryZone);
  // No buckets: a free waits for the reader, and the next allocation gets the item.
  Atomics.store(made.arena.words, zone.record + ZoneRecord.fields.bucketSize.at, 0);
  const maps = [map, HashMap.open(second, map.table, 1)];
  map.set(1, 1 << 16);
  for (const cpu of made.cpus) leaveCpu(cpu);
  placeZones(words, first);
  placeSmr(words, made, map.smr);
  words.place(MutexRecord, map.table >> 2, 'chain');
  return { ...made, maps, inspect: inspect(made.arena, 2), found: [] };
}

const mapped = new ArenaWords();
check(
  'smr: the hash map, read while a key is replaced, deleted, and its entry becomes another',
  {
    prepare: () => mapMachine(mapped),
    setup: (made: MapContext) => ({ ...made, found: [] as (number | undefined)[] }),
    cpus: {
      reader: (c) => {
        const value = c.maps[0]!.get(1);
        if (value !== undefined && value >> 16 !== 1) throw new Error(`key 1 has ${value}`);
        c.found.push(value);
        leaveCpu(c.cpus[0]!);
      },
      writer: (c) => {
        c.maps[1]!.set(1, (1 << 16) | 1);
        c.maps[1]!.delete(1);
        c.maps[1]!.set(2, 2 << 16);
        leaveCpu(c.cpus[1]!);
      },
    },
    final: (c) => {
      const { violations, live } = c.inspect();
      return violations.length === 0 && live[Entry.name] === 1;
    },
    reachable: {
      'the first value': (c) => c.found[0] === 1 << 16,
      'the second value': (c) => c.found[0] === ((1 << 16) | 1),
      'no value': (c) => c.found[0] === undefined,
    },
    words: mapped.lookup,
  },
  OPTIONS,
);
