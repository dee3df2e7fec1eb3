/** The page pool: runs of several lengths taken and put by two CPUs, split and joined. */
import { check } from '@umbuf/interleave/vitest';
import {
  checkPagePool,
  type Cpu,
  freePageCount,
  putPages,
  releaseSlot,
  reserveSlot,
  takePages,
} from '@umbuf/memory';
import { areHandsEmpty, BUDGET_MS, type Machine, machine } from './support/arena.ts';
import { ArenaWords } from './support/words.ts';

interface Context extends Machine {
  readonly free: number;
  /** First pages of the runs that each CPU had at once. */
  readonly had: number[][];
}

/** Two runs at once, put back in the order in which they were taken, or in the other. */
function twoRuns(c: Context, number: number, pages: number, more: number, turned: boolean): void {
  const cpu: Cpu = c.cpus[number]!;
  const slots = [reserveSlot(cpu), reserveSlot(cpu)] as const;
  for (const [at, length] of [
    [0, pages],
    [1, more],
  ] as const) {
    const address = takePages(cpu, length, 0, slots[at]);
    c.had[number]!.push(address);
    // Plain: nobody else may have the run.
    if (address !== 0) cpu.words[address >> 2] = number + 1;
  }
  for (const at of turned ? [1, 0] : [0, 1]) {
    const address = c.had[number]![at]!;
    if (address === 0) continue;
    if (cpu.words[address >> 2] !== number + 1) throw new Error(`page ${address} was written`);
    putPages(cpu, slots[at as 0 | 1]);
  }
  releaseSlot(cpu, slots[1]);
  releaseSlot(cpu, slots[0]);
}

const setup = (made: Omit<Context, 'had'>): Context => ({ ...made, had: [[], []] });

for (const [what, left] of [
  ['with room for all', 99],
  ['short of pages', 4],
] as const) {
  const words = new ArenaWords();
  check(
    `page pool: runs of one to three pages are split and joined, ${what}`,
    {
      prepare: () => {
        const made = machine(words, { cpus: 3 });
        // What is too many stays with the third CPU.
        const spare = freePageCount(made.arena) - left;
        if (spare > 0) takePages(made.cpus[2]!, spare, 0, reserveSlot(made.cpus[2]!));
        return { ...made, free: freePageCount(made.arena) };
      },
      setup,
      cpus: {
        a: (c) => twoRuns(c, 0, 1, 3, false),
        b: (c) => twoRuns(c, 1, 2, 1, true),
      },
      final: (c) => {
        const wrong = checkPagePool(c.cpus[0]!, 0);
        if (wrong.length > 0) throw new Error(wrong.join('; '));
        return (
          freePageCount(c.arena) === c.free && areHandsEmpty({ ...c, cpus: c.cpus.slice(0, 2) })
        );
      },
      reachable:
        left > 4
          ? {
              'their runs stood between each other': (c) => {
                const [a, b] = c.had as [number[], number[]];
                return a[0]! < b[0]! && b[0]! < a[1]!;
              },
            }
          : { 'a run was not to be had': (c) => c.had.flat().includes(0) },
      words: words.lookup,
    },
    { budgetMs: BUDGET_MS },
  );
}
