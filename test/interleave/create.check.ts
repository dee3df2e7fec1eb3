/** Zones made by two CPUs at once: one zone of a name, one root, nobody sees half of either. */
import { check } from '@umbuf/interleave/vitest';
import { leaveCpu, Root } from '@umbuf/memory';
import { defineZone, M_NOWAIT, Uma, type Zone } from '@umbuf/uma';
import { areHandsEmpty, BUDGET_MS, type Machine, machine } from './support/arena.ts';
import { inspect, isClean, leave, type ZoneMachine, zoneMachine } from './support/uma.ts';
import { ArenaWords } from './support/words.ts';

const LARGE = defineZone({ name: 'large', size: 8128 });
const ITEM = defineZone({ name: 'item', size: 256 });
const OTHER = defineZone({ name: 'other', size: 512 });

interface Attached extends Machine {
  readonly umas: Uma[];
  readonly items: number[];
  /** CPUs in the order in which they were attached. */
  readonly order: number[];
}

/** First use of UMA in the arena: root record and internal zones. */
function attach(c: Attached, number: number): void {
  const uma = Uma.attach(c.cpus[number]!);
  c.umas[number] = uma;
  c.order.push(number);
  const zone = uma.open(ITEM);
  const item = zone.alloc(M_NOWAIT);
  // Plain: nobody else may have it.
  if (item !== 0) uma.words[item >> 2] = number + 1;
  c.items[number] = item;
  leaveCpu(c.cpus[number]!);
}

const first = new ArenaWords();
check(
  'uma: two CPUs make the first use of an arena',
  {
    prepare: () => machine(first, { bytes: 262_144, cpus: 3 }, [], 2),
    // Cpu objects of the arena, new in each run: `Uma.attach` knows a Cpu that it has seen.
    setup: (made: Machine): Attached => ({
      ...made,
      cpus: made.cpus.map((cpu) => Object.assign(Object.create(Object.getPrototypeOf(cpu)), cpu)),
      umas: [],
      items: [],
      order: [],
    }),
    cpus: { a: (c) => attach(c, 0), b: (c) => attach(c, 1) },
    final: (c) => {
      const [a, b] = c.umas as [Uma, Uma];
      if (a.root !== b.root || a.zoneCount() !== b.zoneCount()) return false;
      if (Atomics.load(c.arena.words, Root.uma) !== a.root * 4) return false;
      if (a.bucketZones.join() !== b.bucketZones.join()) return false;
      const report = inspect(c.arena, 2)();
      if (report.violations.length > 0) throw new Error(report.violations.join('; '));
      return report.live['item'] === 2 && c.items[0] !== c.items[1] && areHandsEmpty(c);
    },
    reachable: {
      'the second was first': ({ order }) => order[0] === 1,
      'the first was first': ({ order }) => order[0] === 0,
    },
    words: first.lookup,
  },
  { budgetMs: BUDGET_MS },
);

interface Opened extends ZoneMachine {
  readonly opened: Zone[];
  readonly items: number[];
}

function open(c: Opened, number: number, definition: typeof ITEM): void {
  const zone = c.zones[number]!.uma.open(definition);
  c.opened.push(zone);
  c.items[number] = zone.alloc(M_NOWAIT);
  leave(c, number);
}

for (const [what, second] of [
  ['one name', ITEM],
  ['two names', OTHER],
] as const) {
  const words = new ArenaWords();
  check(
    `zone create: two CPUs open ${what} at once`,
    {
      prepare: () => zoneMachine(words, 2, LARGE),
      setup: (made: ZoneMachine): Opened => {
        // What a thread has opened is its own, and no part of the arena.
        for (const { uma } of made.zones) uma.opened.length = uma.zoneCount();
        return { ...made, opened: [], items: [] };
      },
      cpus: {
        a: (c) => open(c, 0, ITEM),
        b: (c) => open(c, 1, second),
      },
      final: (c) => {
        const [a, b] = c.opened as [Zone, Zone];
        if ((a.record === b.record) !== (second === ITEM)) return false;
        const report = c.inspect();
        if (report.violations.length > 0) throw new Error(report.violations.join('; '));
        const live = (report.live['item'] ?? 0) + (report.live['other'] ?? 0);
        return live === 2 && c.items[0] !== c.items[1] && isClean(c, 0);
      },
      reachable: {
        'a was first': (c) => c.opened[0]!.uma.cpu.number === 0,
        'b was first': (c) => c.opened[0]!.uma.cpu.number === 1,
      },
      words: words.lookup,
    },
    { budgetMs: BUDGET_MS },
  );
}
