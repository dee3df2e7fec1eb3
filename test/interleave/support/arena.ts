/**
 * Arenas and CPUs for checks: a small arena, plain JavaScript kernels over it, CPUs that leave by
 * hand (a virtual CPU has no microtasks). Made in `prepare`: the explorer restores the arena's bytes
 * before each run, so one arena serves all schedules of a check.
 */
import { Arena, type ArenaOptions, claimCpu, type Cpu, type CpuOptions } from '@umbuf/memory';
import { ArenaWords } from './words.ts';

/** What `prepare` makes: an arena and one CPU for each virtual one. */
export interface Machine {
  readonly arena: Arena;
  readonly cpus: readonly Cpu[];
  /** Word index of 1,024 words on the last page, which no check takes from the pool. */
  readonly scratch: number;
}

/** Milliseconds of search for each check; `UMBUF_EXPLORE_BUDGET_MS` gives it more (nightly). */
export const BUDGET_MS: number = Number(process.env['UMBUF_EXPLORE_BUDGET_MS'] ?? 2000);

/** An arena without WebAssembly, its words, and the CPUs of its first `claimed` numbers. */
export function machine(
  words: ArenaWords,
  options: Partial<ArenaOptions> = {},
  cpuOptions: readonly CpuOptions[] = [],
  claimed: number = options.cpus ?? 2,
): Machine {
  const arena = Arena.create({
    bytes: 65536,
    cpus: 2,
    backing: 'shared-array-buffer',
    ...options,
  });
  words.placeArena(arena);
  const cpus: Cpu[] = [];
  for (let number = 0; number < claimed; number++) {
    cpus.push(claimCpu(arena, { number, manualLeave: true, ...cpuOptions[number] }));
  }
  return { arena, cpus, scratch: (arena.pages - 1) << 10 };
}

/** Whether no CPU has anything in its hands. */
export function areHandsEmpty({ cpus }: Machine): boolean {
  for (const { words, handTop } of cpus) if (words[handTop] !== 0) return false;
  return true;
}
