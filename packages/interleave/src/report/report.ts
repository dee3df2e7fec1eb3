/** The result of a check, as data. */
import type { FailureKind } from '../runtime/program.ts';
import type { Phase } from '../search/portfolio.ts';
import type { StoredSchedule } from '../search/store.ts';
import type { Trace } from './trace.ts';

/** The text of a source file that a report names; undefined when it cannot be had. */
export type ReadSource = (file: string) => string | undefined;

/** A failure, with the run that shows it. */
export interface CheckFailure {
  /**
   * 'unreachable', 'incomplete' (a shard is missing) and 'step limit' (no schedule came to its end)
   * have no run that shows them.
   */
  readonly kind: FailureKind | 'unreachable' | 'incomplete';
  readonly message: string;
  readonly error?: unknown;
  readonly schedule: string;
  readonly trace: Trace | null;
  /** The smallest scenario that fails so, when it is smaller than the given one. */
  readonly scenario: string;
  /** One line to paste. */
  replay: string;
}

/** The result of a check. */
export interface CheckReport {
  readonly name: string;
  readonly ok: boolean;
  readonly failure: CheckFailure | null;
  readonly phases: readonly Phase[];
  readonly runs: number;
  readonly steps: number;
  readonly ms: number;
  /** Runs cut at the step limit: not judged. */
  readonly cut: number;
  /** Runs with a folded spin loop. */
  readonly folded: number;
  readonly exhaustive: '' | 'schedules' | 'classes';
  /** What was covered, and what was not, in words. */
  readonly covered: string;
  readonly seed: number;
  /** Which part of the search this is: the i-th (from 0) of n. */
  readonly shard: readonly [number, number];
  readonly reachable: Readonly<Record<string, number>>;
  readonly outcomes: Readonly<Record<string, { readonly count: number; readonly expect: string }>>;
  /** Remarks: schedules that diverged, non-determinism. */
  readonly notes: readonly string[];
  /** To be stored, and run first next time. */
  readonly stored: StoredSchedule | null;
  text(): string;
  /**
   * A self-contained page to step through the failing run; with `read`, the source lines around each
   * access are in it.
   */
  html(read?: ReadSource): string;
}
