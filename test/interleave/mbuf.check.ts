/**
 * Shared clusters: whatever the order of the drops, the storage goes back exactly once, the holder
 * that was freed first stays until the last user is gone, and only a sole user may write.
 */
import { check } from '@umbuf/interleave/vitest';
import { type Address, leaveCpu } from '@umbuf/memory';
import { M_PKTHDR, Mbufs, MbufStatistics } from '@umbuf/mbuf';
import { M_NOWAIT, Uma } from '@umbuf/uma';
import { BUDGET_MS, type Machine, machine } from './support/arena.ts';
import { inspect, placeZones, type Inspect } from './support/uma.ts';
import { ArenaWords } from './support/words.ts';

interface Shared extends Machine {
  readonly systems: readonly Mbufs[];
  readonly inspect: Inspect;
  /** One mbuf for each CPU, all on the storage of the first. */
  readonly users: readonly Address[];
  /** Byte address of the storage. */
  readonly storage: number;
}

interface Context extends Shared {
  /** CPUs that found the storage writable. */
  readonly wrote: number[];
}

/** `count` mbufs on one cluster: `packet` with a cluster of its own, or an mbuf and clget. */
function prepare(words: ArenaWords, count: number, packet: boolean): Shared {
  const made = machine(words, { bytes: 2 << 20, cpus: count + 1 }, [], count);
  const systems: Mbufs[] = [];
  for (const cpu of made.cpus) {
    const system = Mbufs.attach(Uma.attach(cpu));
    systems.push(system);
    // Every CPU has a bucket to free into: what is explored is the storage, not the zones.
    system.free(system.get(M_NOWAIT, 1));
    system.free(system.getcl(M_NOWAIT, 1, M_PKTHDR));
    const filled = system.get(M_NOWAIT, 1);
    system.clget(filled, M_NOWAIT);
    system.free(filled);
    leaveCpu(cpu);
  }
  const [first] = systems as [Mbufs];
  const holder = packet ? first.getcl(M_NOWAIT, 1, M_PKTHDR) : first.gethdr(M_NOWAIT, 1);
  if (!packet) first.clget(holder, M_NOWAIT);
  const users = [holder];
  for (let user = 1; user < count; user++) {
    const m = first.get(M_NOWAIT, 1);
    first.addReference(m, holder);
    users.push(m);
  }
  leaveCpu(first.cpu);
  placeZones(words, first.uma);
  for (const [number, { statistics }] of systems.entries()) {
    words.place(MbufStatistics, statistics, `mbstat ${number}`);
  }
  const storage = first.words[(holder >> 2) + 2]!;
  return { ...made, systems, users, storage, inspect: inspect(made.arena, count) };
}

/** Reads the storage, writes it if it may, and drops its reference. */
function use(c: Context, number: number): void {
  const system = c.systems[number]!;
  const { words } = system;
  const m = c.users[number]!;
  const before = words[c.storage >> 2]!;
  if (system.writable(m)) {
    // Plain: a race if anybody else can still read.
    words[c.storage >> 2] = before + 1;
    c.wrote.push(number);
  }
  system.free(m);
  leaveCpu(system.cpu);
}

/** Nothing is live but what the internal zones have. */
function isReleased(c: Shared): boolean {
  const report = c.inspect();
  if (report.violations.length > 0) throw new Error(report.violations.join('; '));
  for (const name of ['mbuf', 'mbuf_packet']) {
    if (report.live[name] !== 0) throw new Error(`${report.live[name]} live in ${name}`);
  }
  return true;
}

for (const count of [2, 3]) {
  for (const packet of [true, false]) {
    const words = new ArenaWords();
    check(
      `mbuf: ${count} CPUs drop one ${packet ? 'packet' : 'cluster'}, writable only when alone`,
      {
        prepare: () => prepare(words, count, packet),
        setup: (made: Shared): Context => ({ ...made, wrote: [] }),
        cpus: Object.fromEntries(
          Array.from({ length: count }, (_, number) => [
            ['holder', 'second', 'third'][number]!,
            (c: Context) => use(c, number),
          ]),
        ),
        final: (c: Context) => c.wrote.length <= 1 && isReleased(c),
        reachable: {
          'the holder wrote, alone': (c: Context) => c.wrote[0] === 0,
          'another wrote after the holder was parked': (c: Context) => c.wrote[0] === 1,
          'both dropped at once': (c: Context) => c.wrote.length === 0,
        },
        words: words.lookup,
      },
      { budgetMs: BUDGET_MS },
    );
  }
}

const adds = new ArenaWords();
check(
  'mbuf: a reference is added while another is dropped',
  {
    prepare: () => prepare(adds, 2, true),
    setup: (made: Shared): Context => ({ ...made, wrote: [] }),
    cpus: {
      holder: (c) => {
        const system = c.systems[0]!;
        const copy = system.get(M_NOWAIT, 1);
        system.addReference(copy, c.users[0]!);
        system.free(c.users[0]!);
        if (system.writable(copy)) {
          system.words[c.storage >> 2] = 1;
          c.wrote.push(0);
        }
        system.free(copy);
        leaveCpu(system.cpu);
      },
      second: (c) => use(c, 1),
    },
    final: (c) => isReleased(c),
    reachable: {
      'the copy was the last user': (c) => c.wrote[0] === 0,
      'the second was the last user': (c) => c.wrote[0] === 1,
    },
    words: adds.lookup,
  },
  { budgetMs: BUDGET_MS },
);
