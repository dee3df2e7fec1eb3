/**
 * What a row of the benchmark is and what measuring it gives. Data only; `rows.ts` has the table.
 */

/** How long to measure. */
export interface Effort {
  /** Samples of each side per round. */
  readonly samples: number;
  readonly rounds: number;
  /** No round begins later than this (a busy machine), but for the first few. */
  readonly seconds: number;
  /** Processes that measure the row, one after the other: V8's inlining is not the same in each. */
  readonly processes: number;
}

export const QUICK: Effort = { samples: 12, rounds: 30, seconds: 0.8, processes: 2 };
export const FULL: Effort = { samples: 20, rounds: 100, seconds: 15, processes: 3 };

/** Rounds of a row that began at `start` (performance.now()), of which `done` are done: is there another? */
export function anotherRound({ rounds, seconds }: Effort, done: number, start: number): boolean {
  return done < rounds && (done < 3 || performance.now() - start < seconds * 1000);
}

/** Nanoseconds per operation. */
export interface Figures {
  readonly min: number;
  readonly median: number;
}

export interface Measurement extends Figures {
  readonly baseline: (Figures & { readonly name: string }) | null;
  /** min / baseline.min, unless the row says that it is something else; null without a baseline. */
  readonly ratio: number | null;
  /** False when a condition beside the ratio does not hold; `note` says which. */
  readonly holds?: boolean;
  readonly note?: string;
}

export type SideName = 'subject' | 'baseline';

/** What a row's module exports. It runs in a process of its own. */
export interface RowModule {
  /** `side`: of a row whose sides are apart, the one to measure alone. */
  readonly measure: (
    name: string,
    effort: Effort,
    side: SideName,
  ) => Measurement | Promise<Measurement>;
}

export interface Row {
  readonly name: string;
  readonly what: string;
  /** Module with `measure`, relative to `benchmarks/dist`. */
  readonly module: string;
  /** Largest ratio: for the foundation, and to hold at the end. null: printed only. */
  readonly foundation: number | null;
  readonly final: number | null;
  /**
   * The two sides run in processes of their own, in turn: one thread that attaches two arenas has
   * two sets of hot closures, which V8 then compiles for neither.
   */
  readonly apart: boolean;
}

/** One object of `--json`, exactly. */
export interface Result extends Figures {
  readonly name: string;
  readonly unit: 'ns';
  readonly baseline: (Figures & { readonly name: string }) | null;
  readonly ratio: number | null;
  readonly target: number | null;
  readonly ok: boolean;
}
