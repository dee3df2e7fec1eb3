/**
 * External storage: ext_free runs exactly once, on whichever CPU was last, and sees what all others wrote
 * before; chains that share clusters by copy and split; and CPUs that die on the way.
 */
import { check } from '@umbuf/interleave/vitest';
import { type Address, leaveCpu, markDead, recover, refcountInit } from '@umbuf/memory';
import { ExternalRecord, ExtType, M_PKTHDR, Mbufs, MbufStatistics } from '@umbuf/mbuf';
import { M_NOWAIT, Uma } from '@umbuf/uma';
import { areHandsEmpty, BUDGET_MS, type Machine, machine } from './support/arena.ts';
import { inspect, type Inspect, placeZones } from './support/uma.ts';
import { ArenaWords } from './support/words.ts';

const EXTERNAL_FREES = MbufStatistics.fields.externalFrees.at;

interface Shared extends Machine {
  readonly systems: readonly Mbufs[];
  readonly inspect: Inspect;
  /** One mbuf for each CPU, all on one storage. */
  readonly users: readonly Address[];
  /** Word index of the storage. */
  readonly storage: number;
  /** What ext_free saw, each time that it ran. */
  readonly freed: number[];
}

/** CPUs with a bucket of mbufs and of packets each: what is explored is the storage, not the zones. */
function systemsOf(words: ArenaWords, made: Machine): Mbufs[] {
  const systems: Mbufs[] = [];
  for (const cpu of made.cpus) {
    const system = Mbufs.attach(Uma.attach(cpu));
    systems.push(system);
    system.free(system.get(M_NOWAIT, 1));
    system.free(system.getcl(M_NOWAIT, 1, M_PKTHDR));
    leaveCpu(cpu);
  }
  placeZones(words, systems[0]!.uma);
  for (const [number, { statistics }] of systems.entries()) {
    words.place(MbufStatistics, statistics, `mbstat ${number}`);
  }
  return systems;
}

/** The caller's memory (the scratch page), attached to one mbuf for each of `users` CPUs. */
function prepare(words: ArenaWords, users: number, cpus: number, extref: boolean): Shared {
  const made = machine(words, { bytes: 2 << 20, cpus: cpus + 1 }, [], cpus);
  const systems = systemsOf(words, made);
  const freed: number[] = [];
  const storage = made.scratch;
  for (const system of systems) {
    system.registerExternalFree(1, 'sum', () => {
      // Plain reads of what the others wrote plainly.
      const { words: view } = system;
      freed.push(view[storage + 1]! + view[storage + 2]! + view[storage + 3]!);
    });
  }
  const [first] = systems as [Mbufs];
  const buf = (storage << 2) as Address;
  const holder = first.get(M_NOWAIT, 1);
  // The count of EXT_EXTREF is the caller's: here the first word of the storage.
  refcountInit(first.words, storage);
  if (extref) first.extadd(holder, buf, 1024, 1, 0, 0, 0, ExtType.EXT_EXTREF, buf);
  else first.extadd(holder, buf, 1024, 1, 0, 0, 0, ExtType.EXT_NET_DRV);
  const list = [holder];
  for (let user = 1; user < users; user++) {
    const m = first.get(M_NOWAIT, 1);
    first.addReference(m, holder);
    list.push(m);
  }
  leaveCpu(first.cpu);
  return { ...made, systems, users: list, storage, freed, inspect: inspect(made.arena, cpus) };
}

function setup(made: Shared): Shared {
  made.freed.length = 0;
  return made;
}

/** Writes its own word of the storage, and drops its reference. */
function drop(c: Shared, number: number): void {
  const system = c.systems[number]!;
  system.words[c.storage + 1 + number] = 1 << number;
  system.free(c.users[number]!);
  leaveCpu(system.cpu);
}

/** Nothing is live but what the internal zones have. */
function isReleased(c: Shared): boolean {
  const report = c.inspect();
  if (report.violations.length > 0) throw new Error(report.violations.join('; '));
  for (const name of ['mbuf', 'mbuf_packet']) {
    if (report.live[name] !== 0) throw new Error(`${report.live[name]} live in ${name}`);
  }
  return areHandsEmpty(c);
}

for (const count of [2, 3]) {
  for (const extref of [false, true]) {
    const words = new ArenaWords();
    const where = extref ? "the caller's count" : 'a count in the holder';
    check(
      `ext_free: ${count} CPUs drop, ${where}: it runs once, and sees all`,
      {
        prepare: () => prepare(words, count, count, extref),
        setup,
        cpus: Object.fromEntries(
          Array.from({ length: count }, (_, number) => [
            ['holder', 'second', 'third'][number]!,
            (c: Shared) => drop(c, number),
          ]),
        ),
        final: (c: Shared) => c.freed.join() === String((1 << count) - 1) && isReleased(c),
        reachable: {
          'the holder was not the last': (c: Shared) =>
            c.arena.longs[(c.systems[0]!.statistics + EXTERNAL_FREES) >> 1] === 0n,
          'the holder was the last': (c: Shared) =>
            c.arena.longs[(c.systems[0]!.statistics + EXTERNAL_FREES) >> 1] === 1n,
        },
        words: words.lookup,
      },
      { budgetMs: BUDGET_MS },
    );
  }
}

/** The supervisor is the last CPU. */
function supervise(c: Shared, dead: number): void {
  const supervisor = c.cpus.at(-1)!;
  const { incarnation } = c.cpus[dead]!;
  markDead(supervisor, dead, incarnation);
  // Ends: what makes a recovery busy is another CPU's progress.
  while (recover(supervisor, dead, incarnation) === 'busy');
  leaveCpu(supervisor);
}

/** The count in the holder. */
function references({ arena, systems, users }: Shared): number {
  const count = (users[0]! >> 2) + systems[0]!.ext + ExternalRecord.fields.count.at;
  return Atomics.load(arena.words, count);
}

const dies = new ArenaWords();
check(
  'ext_free: a CPU dies while it drops; never twice, and never lost behind the last drop',
  {
    prepare: () => prepare(dies, 2, 3, false),
    setup,
    cpus: {
      victim: (c) => drop(c, 0),
      other: (c) => drop(c, 1),
    },
    onDeath: (c, dead) => supervise(c, dead === 'victim' ? 0 : 1),
    final: (c, { dead }) => {
      if (c.freed.length > 1) return false;
      if (dead.length === 0) return c.freed.join() === '3' && isReleased(c);
      const report = c.inspect();
      if (report.violations.length > 0) throw new Error(report.violations.join('; '));
      // Its reference, if it died before its drop, keeps storage and both mbufs: a user's leak, as
      // is its own mbuf before the zone has it. With the last reference gone the holder may not stay.
      if (references(c) === 0 && report.live['mbuf']! > 1) return false;
      return areHandsEmpty(c) && report.live['mbuf']! <= 2;
    },
    reachable: {
      'it died before its drop': (c, { dead }) => dead.length === 1 && c.freed.length === 0,
      'it died behind its drop': (c, { dead }) => dead.length === 1 && c.freed.length === 1,
    },
    words: dies.lookup,
  },
  { budgetMs: BUDGET_MS, crash: 'interrupt-points' },
);

/** A packet of 100 bytes in a cluster, and its copy by reference for CPU 1. */
function prepareChains(words: ArenaWords): Shared {
  const made = machine(words, { bytes: 2 << 20, cpus: 3 }, [], 2);
  const systems = systemsOf(words, made);
  const [first] = systems as [Mbufs];
  const packet = first.getcl(M_NOWAIT, 1, M_PKTHDR);
  first.append(packet, 100, new Uint8Array(100));
  const copy = first.copym(packet, 0, 100, M_NOWAIT);
  leaveCpu(first.cpu);
  const storage = first.words[(packet >> 2) + 2]! >> 2;
  return {
    ...made,
    systems,
    users: [packet, copy],
    storage,
    freed: [],
    inspect: inspect(made.arena, 2),
  };
}

/** Writes the storage if it may, plainly: a race if anybody else can still read it. */
function writeIfAlone(c: Shared, number: number): void {
  const system = c.systems[number]!;
  const before = system.words[c.storage]!;
  if (!system.writable(c.users[number]!)) return;
  system.words[c.storage] = before + 1;
  c.freed.push(number);
}

const chains = new ArenaWords();
check(
  'mbuf chains: split on one CPU, copied on the other, written only when alone',
  {
    prepare: () => prepareChains(chains),
    setup,
    cpus: {
      splits: (c) => {
        const system = c.systems[0]!;
        const tail = system.split(c.users[0]!, 50, M_NOWAIT);
        system.freem(tail);
        writeIfAlone(c, 0);
        system.freem(c.users[0]!);
        leaveCpu(system.cpu);
      },
      copies: (c) => {
        const system = c.systems[1]!;
        const copy = system.copym(c.users[1]!, 0, 100, M_NOWAIT);
        system.freem(copy);
        writeIfAlone(c, 1);
        system.freem(c.users[1]!);
        leaveCpu(system.cpu);
      },
    },
    final: (c) => c.freed.length <= 1 && isReleased(c),
    reachable: {
      'the first wrote, alone': (c) => c.freed[0] === 0,
      'the second wrote, alone': (c) => c.freed[0] === 1,
      'both shared it to their ends': (c) => c.freed.length === 0,
    },
    words: chains.lookup,
  },
  { budgetMs: BUDGET_MS },
);
