/**
 * A limit whose user dies: between its units and their settle, asleep, granted, on its way out.
 * Another CPU recovers it; then no unit is lost or counted twice, and nobody sleeps beside a free one.
 */
import { check } from '@umbuf/interleave/vitest';
import {
  checkLimit,
  enterCpu,
  HAND_SLOT_WORDS,
  leaveCpu,
  LimitRecord,
  limitCount,
  limitInit,
  markDead,
  recover,
  recoverLimit,
  releaseSlot,
  releaseUnits,
  reserveSlot,
  reserveUnits,
  sleepForUnits,
  WaitCell,
} from '@umbuf/memory';
import { areHandsEmpty, BUDGET_MS, type Machine, machine } from './support/arena.ts';
import { ArenaWords } from './support/words.ts';

const L = LimitRecord.fields;
const OPTIONS = { budgetMs: BUDGET_MS, crash: 'interrupt-points' } as const;
const NUMBERS: Readonly<Record<string, number>> = { victim: 0, other: 1 };

/** Three CPUs, the last of which supervises. */
function prepare(words: ArenaWords, max: number): Machine {
  const made = machine(words, { cpus: 3 });
  const limit = made.scratch;
  words.place(LimitRecord, limit, 'limit');
  for (let cell = 0; cell < 3; cell++) {
    words.place(WaitCell, limit + LimitRecord.words + cell * WaitCell.words, `cell ${cell}`);
  }
  limitInit(made.cpus[2]!, limit, max, 3);
  made.arena.hooks.cacheRepairs.push((by, dead) => {
    recoverLimit(by, limit, dead, made.cpus[dead]!.incarnation);
  });
  return made;
}

/** Takes a unit, asleep if need be, and gives it back from its hand slot. */
function use(c: Machine, number: number, timeoutMs: number): void {
  const cpu = c.cpus[number]!;
  const slot = reserveSlot(cpu);
  let units = reserveUnits(cpu, c.scratch, 1, slot);
  if (units === 0) units = sleepForUnits(cpu, c.scratch, 1, slot, timeoutMs);
  if (units > 0) releaseUnits(cpu, c.scratch, units, slot);
  releaseSlot(cpu, slot);
  leaveCpu(cpu);
}

function supervise(c: Machine, dead: number): void {
  const supervisor = c.cpus[2]!;
  const { incarnation } = c.cpus[dead]!;
  markDead(supervisor, dead, incarnation);
  // Ends: what makes a recovery busy is another CPU's progress.
  while (recover(supervisor, dead, incarnation) === 'busy');
  leaveCpu(supervisor);
}

/** The limit's own invariants, nobody asleep, nothing in hands, and so many units out. */
function isWhole(c: Machine, count: number): boolean {
  const wrong = checkLimit(c.cpus[2]!, c.scratch);
  if (wrong.length > 0) throw new Error(wrong.join('; '));
  return limitCount(c.arena, c.scratch) === count && areHandsEmpty(c);
}

const slept = (c: Machine): bigint => c.arena.longs[(c.scratch + L.sleeps.at) >> 1]!;
const setup = (made: Machine): Machine => made;

const shared = new ArenaWords();
check(
  'death: over the one unit of a limit that another CPU waits for',
  {
    prepare: () => prepare(shared, 1),
    setup,
    cpus: {
      victim: (c) => use(c, 0, Number.POSITIVE_INFINITY),
      other: (c) => use(c, 1, Number.POSITIVE_INFINITY),
    },
    onDeath: (c, dead) => supervise(c, NUMBERS[dead]!),
    final: (c) => isWhole(c, 0),
    reachable: {
      'a CPU slept and one died': (c, { dead }) => dead.length === 1 && slept(c) > 0n,
      'nobody died': (_, { dead }) => dead.length === 0,
    },
    words: shared.lookup,
  },
  OPTIONS,
);

/** Another CPU holds all `units`, each in a hand slot of its own, from before the first step. */
function held(words: ArenaWords, units: number): Machine {
  const made = prepare(words, units);
  const cpu = made.cpus[1]!;
  enterCpu(cpu);
  for (let n = 0; n < units; n++) reserveUnits(cpu, made.scratch, 1, reserveSlot(cpu));
  leaveCpu(cpu);
  return made;
}

/** Gives them back, the topmost slot first. */
function giveHeld(c: Machine, units: number): void {
  const cpu = c.cpus[1]!;
  for (let n = units - 1; n >= 0; n--) {
    const slot = cpu.hand + n * HAND_SLOT_WORDS;
    releaseUnits(cpu, c.scratch, 1, slot);
    releaseSlot(cpu, slot);
  }
  leaveCpu(cpu);
}

for (const [how, timeoutMs, units] of [
  ['granted', Number.POSITIVE_INFINITY, 1],
  ['granted, while more come back', Number.POSITIVE_INFINITY, 2],
  ['or giving up', 0, 1],
] as const) {
  const words = new ArenaWords();
  check(
    `death: asleep for a unit, ${how}`,
    {
      prepare: () => held(words, units),
      setup,
      cpus: {
        victim: (c) => use(c, 0, timeoutMs),
        other: (c) => giveHeld(c, units),
      },
      onDeath: (c, dead) => supervise(c, NUMBERS[dead]!),
      final: (c) => isWhole(c, 0),
      reachable: {
        'the sleeper died': (c, { dead }) => dead[0] === 'victim' && slept(c) === 1n,
        'the holder died, and somebody slept for its unit': (c, { dead }) =>
          dead[0] === 'other' && slept(c) === 1n,
      },
      words: words.lookup,
    },
    OPTIONS,
  );
}
