/**
 * Random programs against plain models. Of the sequences: a goal is reached when no section is open
 * that was entered before it was given, no sooner and no later. Of a zone: an item comes back only when
 * no section is open that was open at its free, and until then its contents stand. UMBUF_SEED repeats
 * a program.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkpoint, leaveCpu, LockBusyError, markDead, recover, releaseCpu } from '@umbuf/memory';
import {
  defineZone,
  fsck,
  M_NOWAIT,
  reclaim,
  type Smr,
  type Uma,
  type Zone,
  ZoneFlag,
} from '../src/index.ts';
import { attachCpu, virtualCpus } from './support/virtual.ts';

const CPUS = 3;
const seed = Number(process.env['UMBUF_SEED'] ?? 0x5312);
const effort = Number(process.env['UMBUF_STRESS_SECONDS'] ?? 2) / 2;
const cpu = fc.nat(CPUS - 1);

type Step =
  | { readonly kind: 'enter' | 'exit' | 'advance' | 'die'; readonly cpu: number }
  | { readonly kind: 'poll'; readonly cpu: number; readonly pick: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constantFrom('enter' as const, 'exit' as const, 'advance' as const),
        cpu,
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant('poll' as const), cpu, pick: fc.nat() }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('die' as const), cpu }) },
  ),
  { minLength: 20, maxLength: 200 },
);

test.each(['none', 'invariants'] as const)(
  `goals are reached when the model says so, level %s (seed ${seed})`,
  (level) => {
    let lagged = 0;
    const run = (program: readonly Step[]): void => {
      const { arena, umas } = virtualCpus(CPUS, { level });
      // None of them may block: a lagging reader in the same thread would never go on.
      for (const { cpu: own } of umas) releaseCpu(own);
      const smrs: Smr[] = [];
      const attach = (number: number): void => {
        smrs[number] = attachCpu(arena, { number, mayBlock: false }).smr('model');
      };
      for (let number = 0; number < CPUS; number++) attach(number);
      /** Goals with the moment they were given at, and open sections with that of their entry. */
      const goals: { readonly goal: number; readonly at: number }[] = [];
      const open = new Map<number, number>();
      program.forEach((step, now) => {
        const smr = smrs[step.cpu]!;
        if (step.kind === 'enter' && !open.has(step.cpu)) {
          smr.enter();
          open.set(step.cpu, now);
        } else if (step.kind === 'exit' && open.delete(step.cpu)) {
          smr.exit();
        } else if (step.kind === 'advance' && !open.has(step.cpu)) {
          try {
            goals.push({ goal: smr.advance(), at: now });
          } catch (error) {
            // Only when a reader lags by the limit, which the production constants put far away.
            expect(error).toBeInstanceOf(LockBusyError);
            expect(level).toBe('invariants');
            expect(open.size).toBeGreaterThan(0);
            lagged++;
          }
        } else if (step.kind === 'poll' && goals.length > 0) {
          // Among the last: a goal of 5,000 advances ago may be taken for a later one.
          const { goal, at } = goals.at(-1 - (step.pick % Math.min(goals.length, 20)))!;
          const expected = ![...open.values()].some((entered) => entered < at);
          expect(smr.poll(goal), `step ${now}`).toBe(expected);
        } else if (step.kind === 'die' && !open.has((step.cpu + 1) % CPUS)) {
          const by = smrs[(step.cpu + 1) % CPUS]!.cpu;
          expect(markDead(by, step.cpu, smr.cpu.incarnation)).toBe(true);
          expect(recover(by, step.cpu, smr.cpu.incarnation)).toBe('recovered');
          open.delete(step.cpu);
          attach(step.cpu);
        }
      });
    };
    fc.assert(fc.property(steps, run), { seed, numRuns: Math.round(60 * effort) });
    // A program long enough to lag, so that the limit is met at least once.
    run([
      { kind: 'enter', cpu: 0 },
      ...Array.from({ length: 40 }, (): Step => ({ kind: 'advance', cpu: 1 })),
    ]);
    expect(lagged > 0).toBe(level === 'invariants');
  },
);

type Command =
  | { readonly kind: 'alloc' | 'free'; readonly cpu: number; readonly count: number }
  | {
      readonly kind: 'enter' | 'exit' | 'leave' | 'checkpoint' | 'die' | 'offline' | 'drain';
      readonly cpu: number;
    };

const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constantFrom('alloc' as const, 'free' as const),
        cpu,
        count: fc.integer({ min: 1, max: 12 }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constantFrom('enter' as const, 'exit' as const), cpu }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constantFrom(
          'leave' as const,
          'checkpoint' as const,
          'die' as const,
          'offline' as const,
          'drain' as const,
        ),
        cpu,
      }),
    },
  ),
  { minLength: 10, maxLength: 80 },
);

/** With the programs to run: each free without a bucket looks for its readers for milliseconds. */
const shapes = [
  ['items of 2 KiB', { size: 2048 }, 20],
  ['items of 2 KiB with a dtor', { size: 2048, dtor: () => {} }, 20],
  ['items without buckets', { size: 512, flags: ZoneFlag.SMR | ZoneFlag.NOBUCKET }, 4],
] as const;

/** The zone on CPUs that may not block: what has to wait for a reader is put off. */
class World {
  readonly umas: Uma[] = [];
  readonly zones: Zone[] = [];
  readonly definition: ReturnType<typeof defineZone>;
  readonly arena: Uma['arena'];
  /** Live items, and freed ones with the sections that were open at their free. */
  readonly live = new Map<number, number>();
  readonly freed = new Map<number, { readonly tag: number; readonly sections: Set<object> }>();
  readonly sections = new Map<number, object>();
  tag = 1;
  reused = 0;

  constructor(level: 'none' | 'checks' | 'invariants', shape: (typeof shapes)[number][1]) {
    const { arena, umas } = virtualCpus(CPUS, { level });
    for (const { cpu: own } of umas) releaseCpu(own);
    this.arena = arena;
    this.definition = defineZone({ name: 'z', flags: ZoneFlag.SMR, ...shape });
    for (let number = 0; number < CPUS; number++) this.attach(number);
  }

  attach(number: number): void {
    this.umas[number] = attachCpu(this.arena, { number, mayBlock: false });
    this.zones[number] = this.umas[number]!.open(this.definition);
  }

  run({ kind, cpu: number, ...rest }: Command & { readonly count?: number }): void {
    const uma = this.umas[number]!;
    const inside = this.sections.get(number);
    if (kind === 'alloc') for (let turn = 0; turn < rest.count!; turn++) this.alloc(number);
    else if (kind === 'enter' && inside === undefined) this.enter(number);
    else if (kind === 'exit' && inside !== undefined) this.exit(number, inside);
    else if (kind === 'checkpoint') checkpoint(uma.cpu);
    else if (kind === 'die') this.die(number);
    else if (inside !== undefined) return;
    else if (kind === 'free') for (let turn = 0; turn < rest.count!; turn++) this.free(number);
    else if (kind === 'leave') leaveCpu(uma.cpu);
    else if (kind === 'drain') this.tolerate(() => void reclaim(uma, 'drain-cpu', undefined, 0));
    else if (kind === 'offline') this.offline(number);
  }

  alloc(number: number): void {
    const { words } = this.arena;
    const item = this.zones[number]!.alloc(M_NOWAIT);
    if (item === 0) return;
    expect(this.live.has(item)).toBe(false);
    const before = this.freed.get(item);
    if (before !== undefined) {
      const open = new Set(this.sections.values());
      for (const section of before.sections) expect(open.has(section), 'seen').toBe(false);
      this.freed.delete(item);
      this.reused++;
    }
    const tag = this.tag++;
    this.live.set(item, tag);
    words.fill(tag, item >> 2, (item + this.definition.size) >> 2);
  }

  free(number: number): void {
    const [item, tag] = [...this.live][(this.tag * 7) % Math.max(this.live.size, 1)] ?? [0, 0];
    if (item === 0) return;
    this.tolerate(() => {
      this.zones[number]!.free(item);
      this.live.delete(item);
      this.freed.set(item, { tag, sections: new Set(this.sections.values()) });
    });
  }

  enter(number: number): void {
    this.zones[number]!.getSmr()!.enter();
    this.sections.set(number, {});
  }

  exit(number: number, section: object): void {
    this.lookAround(section);
    this.zones[number]!.getSmr()!.exit();
    this.sections.delete(number);
  }

  /** What a section may have found is as it was. */
  lookAround(section: object): void {
    for (const [item, { tag, sections }] of this.freed) {
      if (!sections.has(section)) continue;
      const contents = this.arena.words.subarray(item >> 2, (item + this.definition.size) >> 2);
      if (!contents.every((word) => word === tag)) throw new Error(`item ${item} was changed`);
    }
  }

  die(number: number): void {
    const next = (number + 1) % CPUS;
    const by = this.umas[next]!;
    const own = this.sections.get(next);
    if (own !== undefined) this.exit(next, own);
    const { incarnation } = this.umas[number]!.cpu;
    expect(markDead(by.cpu, number, incarnation)).toBe(true);
    this.sections.delete(number);
    // Busy while a free of the dead has to wait for a reader: then the reader goes on.
    while (recover(by.cpu, number, incarnation) === 'busy') {
      const [reader, section] = [...this.sections][0]!;
      this.exit(reader, section);
    }
    this.attach(number);
  }

  offline(number: number): void {
    this.tolerate(() => {
      releaseCpu(this.umas[number]!.cpu);
      this.attach(number);
    });
  }

  tolerate(operation: () => void): void {
    try {
      operation();
    } catch (error) {
      if (!(error instanceof LockBusyError)) throw error;
      expect(this.sections.size).toBeGreaterThan(0);
    }
  }

  finish(): void {
    for (const [number, section] of this.sections) this.exit(number, section);
    for (const { cpu: own } of this.umas) {
      // What was put off is done when the CPU next leaves.
      checkpoint(own);
      leaveCpu(own);
    }
    const { violations, live } = fsck(this.umas[0]!);
    expect(violations).toEqual([]);
    expect(live['z']).toBe(this.live.size);
    for (let number = 0; this.live.size > 0; number = (number + 1) % CPUS) this.free(number);
    for (const { cpu: own } of this.umas) releaseCpu(own);
    this.attach(0);
    reclaim(this.umas[0]!, 'drain');
    expect(fsck(this.umas[0]!)).toMatchObject({ violations: [], live: { z: 0 } });
    expect(this.zones[0]!.statistics().pages).toBe(0);
  }
}

for (const level of ['none', 'checks', 'invariants'] as const) {
  test.each(level === 'checks' ? shapes : shapes.slice(0, 2))(
    `%s, level ${level}: nothing that can be seen is reused (seed ${seed})`,
    (_what, shape, runs) => {
      let reused = 0;
      const property = fc.property(commands, (program) => {
        const world = new World(level, shape);
        for (const command of program) world.run(command);
        world.finish();
        reused += world.reused;
      });
      fc.assert(property, { seed, numRuns: Math.round(runs * effort) });
      expect(reused).toBeGreaterThan(0);
    },
  );
}
