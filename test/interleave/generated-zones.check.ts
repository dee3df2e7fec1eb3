/**
 * Generated scenarios of allocation: items that are allocated, handed to another CPU and freed there,
 * in zones with and without buckets, with drains in between; and mbufs that share storage. The model of
 * a zone is the partition of its items: whoever is given one is given a free one. The model of mbufs
 * is a count of users for each storage: it is written to only by a single user.
 */
import { check } from '@umbuf/interleave/vitest';
import { type Address, leaveCpu } from '@umbuf/memory';
import { ExternalRecord, M_PKTHDR, Mbufs, MbufStatistics } from '@umbuf/mbuf';
import { defineZone, M_NOWAIT, reclaim, Uma, ZoneFlag } from '@umbuf/uma';
import { BUDGET_MS, type Machine, machine } from './support/arena.ts';
// @ts-expect-error -- the query is the explorer's; the types are those of ./models.ts
import { models as native } from './support/models.ts?native';
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

const models: typeof import('./support/models.ts').models = native;

const SCENARIOS: number = Math.max(1, Math.round(BUDGET_MS / 200));
/** Fewer: their arenas take longer to make. */
const MBUF_SCENARIOS: number = Math.max(1, Math.round(BUDGET_MS / 500));

const LARGE = defineZone({ name: 'large', size: 8128 });
const BARE = defineZone({ name: 'bare', size: 1024, flags: ZoneFlag.NOBUCKET });

interface Zones extends ZoneMachine {
  /** Items by the CPU that may free them; an item on its way is in the arena's scratch word. */
  readonly held: number[][];
}

/** The item changes hands by an atomic exchange, its payload with it: written by each holder. */
function exchange({ arena, scratch, held }: Zones, number: number): number {
  const item = held[number]!.shift() ?? 0;
  const got = Atomics.exchange(arena.words, scratch, item);
  if (got !== 0) {
    arena.words[got >> 2] = number + 1;
    held[number]!.push(got);
  }
  return got;
}

/** Frees the oldest item, which nobody else has written meanwhile. */
function freeOldest(c: Zones, number: number): number {
  const item = c.held[number]!.shift() ?? 0;
  if (item === 0) Atomics.load(c.arena.words, c.scratch);
  else {
    if (c.arena.words[item >> 2] !== number + 1) throw new Error(`item ${item} was written`);
    c.zones[number]!.free(item);
  }
  return item;
}

for (const definition of [LARGE, BARE]) {
  for (const threads of [2]) {
    const words = new ArenaWords();
    check.ops(
      `zone of ${definition.name} items: generated allocations and frees, ${threads} CPUs`,
      {
        prepare: () => zoneMachine(words, threads, definition),
        setup: (made: ZoneMachine): Zones => ({ ...made, held: [[], [], []] }),
        operations: {
          alloc: {
            args: (_, cpu) => [cpu],
            run: (c: Zones, number: number) => {
              const item = alloc(c, number);
              c.held[number]!.push(item);
              leave(c, number);
              return item;
            },
          },
          free: {
            args: (_, cpu) => [cpu],
            run: (c: Zones, number: number) => {
              const item = freeOldest(c, number);
              leave(c, number);
              return item;
            },
          },
          // Stays entered: its caches are drained by request, not by claim.
          allocFree: {
            args: (_, cpu) => [cpu],
            run: (c: Zones, number: number) => {
              const given = alloc(c, number);
              c.held[number]!.push(given);
              return [given, freeOldest(c, number)];
            },
          },
          exchange: { args: (_, cpu) => [cpu], run: exchange },
          drain: {
            args: (_, cpu) => [cpu],
            run: (c: Zones, number: number) => {
              reclaim(c.zones[number]!.uma, 'drain-cpu', c.zones[number]!.record, 0);
              leave(c, number);
            },
          },
        },
        linearizable: models.partition,
        final: (c) => {
          for (let number = 0; number < threads; number++) leave(c, number);
          const items = c.held.flat();
          const onItsWay = Atomics.load(c.arena.words, c.scratch);
          if (onItsWay !== 0) items.push(onItsWay);
          return new Set(items).size === items.length && isClean(c, items.length);
        },
        reachable: {
          'an item came from another CPU': (_, { history }) =>
            history.some(({ name, result }) => name === 'exchange' && result !== 0),
        },
        words: words.lookup,
      },
      {
        budgetMs: BUDGET_MS,
        iterations: SCENARIOS,
        threads,
        opsPerThread: 4,
        // One whose first scenarios hand items over.
        seed: 2310,
      },
    );
  }
}

interface Mbuf extends Machine {
  readonly systems: readonly Mbufs[];
  readonly inspect: Inspect;
}

interface Users extends Mbuf {
  readonly held: Address[][];
}

function prepareMbufs(words: ArenaWords, cpus: number): Mbuf {
  const made = machine(words, { bytes: 2 << 20, cpus: cpus + 1 }, [], cpus);
  const systems: Mbufs[] = [];
  for (const cpu of made.cpus) {
    const system = Mbufs.attach(Uma.attach(cpu));
    // Buckets to allocate from and to free into: what is explored is the storage, not the zones.
    const filled = system.get(M_NOWAIT, 1);
    system.clget(filled, M_NOWAIT);
    system.free(filled);
    system.free(system.getcl(M_NOWAIT, 1, M_PKTHDR));
    leaveCpu(cpu);
    systems.push(system);
  }
  placeZones(words, systems[0]!.uma);
  for (const [number, { statistics }] of systems.entries()) {
    words.place(MbufStatistics, statistics, `mbstat ${number}`);
  }
  return { ...made, systems, inspect: inspect(made.arena, cpus) };
}

/** Byte address of an mbuf's storage. */
function storageOf(c: Users, m: Address): number {
  return c.systems[0]!.words[(m >> 2) + c.systems[0]!.ext + ExternalRecord.fields.buf.at]!;
}

/** An operation without an mbuf: a step all the same, so that no scenario is without one. */
function nothing({ arena, scratch }: Machine): number {
  Atomics.load(arena.words, scratch);
  return 0;
}

for (const threads of [2]) {
  const words = new ArenaWords();
  check.ops(
    `mbufs: generated sharing, writing and freeing of storage, ${threads} CPUs`,
    {
      prepare: () => prepareMbufs(words, threads),
      setup: (made: Mbuf): Users => ({ ...made, held: [[], [], []] }),
      operations: {
        get: {
          args: (random, cpu) => [cpu, random.below(2)],
          run: (c: Users, number: number, packet: number) => {
            const system = c.systems[number]!;
            const m = packet === 1 ? system.getcl(M_NOWAIT, 1, M_PKTHDR) : system.get(M_NOWAIT, 1);
            if (m === 0) return 0;
            if (packet === 0 && !system.clget(m, M_NOWAIT)) {
              system.free(m);
              return 0;
            }
            c.held[number]!.push(m);
            return storageOf(c, m);
          },
        },
        share: {
          args: (_, cpu) => [cpu],
          run: (c: Users, number: number) => {
            const system = c.systems[number]!;
            const [m] = c.held[number]!;
            if (m === undefined) return nothing(c);
            const n = system.get(M_NOWAIT, 1);
            if (n === 0) return 0;
            system.addReference(n, m);
            c.held[number]!.push(n);
            return storageOf(c, m);
          },
        },
        free: {
          args: (_, cpu) => [cpu],
          run: (c: Users, number: number) => {
            const m = c.held[number]!.shift();
            if (m === undefined) return nothing(c);
            const storage = storageOf(c, m);
            c.systems[number]!.free(m);
            return storage;
          },
        },
        // Plain: a race if anybody else may read or write.
        write: {
          args: (_, cpu) => [cpu],
          run: (c: Users, number: number) => {
            const m = c.held[number]!.at(-1);
            if (m === undefined) return [nothing(c), 0];
            const storage = storageOf(c, m);
            const seen = c.arena.words[storage >> 2]!;
            const writable = c.systems[number]!.writable(m);
            if (writable) c.arena.words[storage >> 2] = seen + 1;
            return [storage, writable ? 1 : 0];
          },
        },
        exchange: {
          args: (_, cpu) => [cpu],
          run: (c: Users, number: number) => {
            // The newest: what stays is the holder, or another user of the same storage.
            const m = c.held[number]!.pop() ?? 0;
            const got = Atomics.exchange(c.arena.words, c.scratch, m);
            if (got !== 0) c.held[number]!.push(got as Address);
            return got;
          },
        },
      },
      linearizable: models.users,
      final: (c) => {
        const onItsWay = Atomics.exchange(c.arena.words, c.scratch, 0);
        if (onItsWay !== 0) c.held[0]!.push(onItsWay as Address);
        for (let number = 0; number < threads; number++) {
          for (const m of c.held[number]!) c.systems[number]!.free(m);
          leaveCpu(c.cpus[number]!);
        }
        const report = c.inspect();
        if (report.violations.length > 0) throw new Error(report.violations.join('; '));
        return report.live['mbuf'] === 0 && report.live['mbuf_packet'] === 0;
      },
      reachable: {
        // Three operations of one CPU have to be the right ones: among three CPUs' too seldom.
        'storage with two users was not writable': (_, { history }) =>
          threads === 3 ||
          history.some(({ name, result }) => {
            if (name !== 'write') return false;
            const [storage, writable] = result as readonly [number, number];
            return storage !== 0 && writable === 0;
          }),
        'an mbuf came from another CPU': (_, { history }) =>
          history.some(({ name, result }) => name === 'exchange' && result !== 0),
      },
      words: words.lookup,
    },
    {
      budgetMs: BUDGET_MS,
      iterations: MBUF_SCENARIOS,
      threads,
      opsPerThread: 5,
      seed: 1110,
    },
  );
}
