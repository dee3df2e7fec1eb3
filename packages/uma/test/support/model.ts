/**
 * Random programs over several zones and virtual CPUs against a plain model: a map of live items
 * with what their owners wrote. After each batch fsck must be clean and count the same live items.
 * Used by model.test.ts, and with failures injected by inject.test.ts.
 */
import fc from 'fast-check';
import { expect } from 'vitest';
import {
  Arena,
  checkpoint,
  leaveCpu,
  markDead,
  recover,
  releaseCpu,
  TableFullError,
} from '@umbuf/memory';
import {
  defineZone,
  fsck,
  M_NOWAIT,
  M_ZERO,
  reclaim,
  type Uma,
  type Zone,
  type ZoneDefinition,
  ZoneFlag,
} from '../../src/index.ts';
import { attachCpu, handTop } from './virtual.ts';

const CPUS = 3;
/** The zone whose maximum is set. */
const LIMITED = 7;

export type Command =
  | {
      readonly kind: 'alloc';
      readonly cpu: number;
      readonly zone: number;
      readonly count: number;
      readonly zero: boolean;
      readonly refuse: boolean;
    }
  | { readonly kind: 'free'; readonly cpu: number; readonly pick: number; readonly count: number }
  | { readonly kind: 'max'; readonly cpu: number; readonly max: number }
  | { readonly kind: 'open'; readonly cpu: number; readonly name: number }
  | { readonly kind: 'leave' | 'checkpoint' | 'die' | 'offline' | 'check'; readonly cpu: number }
  | {
      readonly kind: 'reclaim';
      readonly cpu: number;
      readonly zone: number;
      readonly request: 'trim' | 'drain' | 'drain-cpu';
    };

const cpu = fc.nat(CPUS - 1);
const zone = fc.nat(8);
/** What an injector throws where a callback could. */
export class InjectedError extends Error {}

/** A step of a program. */
export const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('alloc' as const),
      cpu,
      zone,
      count: fc.integer({ min: 1, max: 40 }),
      zero: fc.boolean(),
      refuse: fc.nat(9).map((n) => n === 0),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('free' as const),
      cpu,
      pick: fc.nat(),
      count: fc.integer({ min: 1, max: 50 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'leave' as const,
        'checkpoint' as const,
        'die' as const,
        'offline' as const,
        'check' as const,
      ),
      cpu,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('max' as const),
      cpu,
      max: fc.integer({ min: 1, max: 400 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('open' as const), cpu, name: fc.nat(2) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('reclaim' as const),
      cpu,
      zone,
      request: fc.constantFrom('trim' as const, 'drain' as const, 'drain-cpu' as const),
    }),
  },
);

/** An arena with its zones, and what must be in it. */
export class Model {
  readonly arena: Arena;
  readonly umas: Uma[] = [];
  readonly zones: Zone[][] = [];
  /** Live items: zone and what the owner wrote. */
  readonly live = new Map<number, { readonly zone: number; readonly tag: number }>();
  readonly definitions: readonly ZoneDefinition[];
  /** The next ctor refuses. */
  refuse = false;
  tag = 1;

  constructor(level: 'none' | 'checks' | 'invariants', bytes: number) {
    this.arena = Arena.create({ bytes, cpus: CPUS, level });
    const { words } = this.arena;
    const count = (_zone: Zone, item: number): void => {
      words[(item >> 2) + 1]! += 1;
    };
    const primary = defineZone({ name: 'primary', size: 64 });
    this.definitions = [
      primary,
      defineZone({ name: 'secondary', size: 64, primary, zinit: count, zfini: count }),
      defineZone({ name: 'page', size: 4096 }),
      defineZone({
        name: 'uncached',
        size: 1000,
        flags: ZoneFlag.NOBUCKET,
        zinit: count,
        zfini: count,
        dtor: count,
        ctor: () => (this.refuse ? 1 : 0),
      }),
      defineZone({
        name: 'pages',
        size: 9000,
        init: count,
        fini: count,
        ctor: () => (this.refuse ? 1 : 0),
      }),
      defineZone({ name: 'odd', size: 60, align: 3, flags: ZoneFlag.MAXBUCKET }),
      defineZone({ name: 'alone', size: 40, ctor: () => (this.refuse ? 1 : 0) }),
      defineZone({ name: 'limited', size: 200, zinit: count, zfini: count }),
      defineZone({
        name: 'read by others',
        size: 1500,
        smr: 'readers',
        zinit: count,
        zfini: count,
        dtor: count,
      }),
    ];
    for (let number = 0; number < CPUS; number++) this.attach(number);
  }

  attach(number: number): void {
    this.umas[number] = attachCpu(this.arena, { number });
    this.zones[number] = this.definitions.map((definition) => this.umas[number]!.open(definition));
  }

  run(step: Command): void {
    const uma = this.umas[step.cpu]!;
    switch (step.kind) {
      case 'alloc':
        for (let turn = 0; turn < step.count; turn++) this.alloc(step);
        break;
      case 'free':
        for (let turn = 0; turn < step.count; turn++) this.free(step.cpu, step.pick + turn * 7);
        break;
      case 'leave':
        leaveCpu(uma.cpu);
        break;
      case 'checkpoint':
        checkpoint(uma.cpu);
        break;
      case 'max':
        this.tolerate(() => this.zones[step.cpu]![LIMITED]!.setMax(step.max));
        break;
      case 'open':
        this.tolerate(() => {
          const smr = step.name === 2 ? { smr: 'extra' } : {};
          uma.open(defineZone({ name: `extra ${step.name}`, size: 16, ...smr }));
        });
        break;
      case 'reclaim':
        reclaim(uma, step.request, this.zones[step.cpu]![step.zone]!.record, 0);
        break;
      case 'offline':
        releaseCpu(uma.cpu);
        this.attach(step.cpu);
        break;
      case 'die': {
        const by = this.umas[(step.cpu + 1) % CPUS]!.cpu;
        expect(markDead(by, step.cpu, uma.cpu.incarnation)).toBe(true);
        expect(recover(by, step.cpu, uma.cpu.incarnation)).toBe('recovered');
        this.attach(step.cpu);
        break;
      }
      case 'check':
        this.check();
    }
    for (const own of this.umas) {
      if (handTop(own) !== 0) throw new Error(`hand of CPU ${own.cpu.number} is not empty`);
    }
  }

  alloc(step: Command & { kind: 'alloc' }): void {
    const { words } = this.arena;
    this.refuse = step.refuse;
    const flags = M_NOWAIT | (step.zero ? M_ZERO : 0);
    const item = this.tolerate(() => this.zones[step.cpu]![step.zone]!.alloc(flags)) ?? 0;
    this.refuse = false;
    if (item === 0) return;
    const { size, ctor } = this.definitions[step.zone]!;
    expect(step.refuse && ctor !== undefined).toBe(false);
    expect(this.live.has(item)).toBe(false);
    if (step.zero) this.expectWords(item, size, 0);
    const tag = this.tag++;
    this.live.set(item, { zone: step.zone, tag });
    // Every word is the owner's: an overlap with another item shows when either is freed.
    words.fill(tag, item >> 2, (item + size) >> 2);
  }

  free(number: number, pick: number): void {
    if (this.live.size === 0) return;
    const [item, { zone: index, tag }] = [...this.live][pick % this.live.size]!;
    const { size } = this.definitions[index]!;
    this.expectWords(item, size, tag);
    this.live.delete(item);
    this.zones[number]![index]!.free(item);
  }

  /** Runs what may fail for want of pages, or by an injected throw; undefined when it did. */
  tolerate<Result>(operation: () => Result): Result | undefined {
    try {
      return operation();
    } catch (error) {
      if (error instanceof TableFullError || error instanceof InjectedError) return undefined;
      throw error;
    }
  }

  expectWords(item: number, size: number, value: number): void {
    const contents = this.arena.words.subarray(item >> 2, (item + size) >> 2);
    if (!contents.every((word) => word === value)) {
      throw new Error(`item ${item}: [${contents.join()}] is not all ${value}`);
    }
  }

  check(): void {
    const { violations, live } = fsck(this.umas[0]!);
    expect(violations).toEqual([]);
    this.definitions.forEach(({ name }, index) => {
      const held = [...this.live.values()].filter((owner) => owner.zone === index).length;
      expect(live[name], name).toBe(held);
    });
  }

  finish(): void {
    this.check();
    while (this.live.size > 0) this.free(this.live.size % CPUS, 0);
    for (const { cpu: own } of this.umas.slice(1)) leaveCpu(own);
    const { unanswered } = reclaim(this.umas[0]!, 'drain-cpu');
    expect(unanswered).toEqual([]);
    this.check();
    // What an SMR zone leaves in the caches goes with the CPUs.
    for (let number = 0; number < CPUS; number++) {
      releaseCpu(this.umas[number]!.cpu);
      this.attach(number);
    }
    reclaim(this.umas[0]!, 'drain');
    this.check();
    for (const open of this.zones[0]!) expect(open.statistics().pages, open.name).toBe(0);
    expect(handTop(this.umas[0]!)).toBe(0);
  }
}
