/**
 * What a machine runs, in its normal form: `check()` and its relatives compile scenarios to this.
 */
import type { Race } from '../oracle/race.ts';
import type { Words } from '../oracle/words.ts';
import type { HistoryEntry } from './cpu.ts';
import type { Machine } from './machine.ts';
import type { Op } from './protocol.ts';

/** One body of a CPU: an operation when it has a name. */
export interface Body {
  /** Position in its CPU's script, also when others have been dropped. */
  readonly at: number;
  readonly name?: string;
  readonly args: readonly unknown[];
  readonly run: (context: any, machine: Machine) => unknown;
}

/** One virtual CPU: bodies that run one after the other. */
export interface CpuProgram {
  readonly name: string;
  /** Position in its scenario, also when others have been dropped. */
  readonly at: number;
  readonly bodies: readonly Body[];
}

/** What `final` is told about the run beside its context. */
export interface RunEnd {
  /** Names of the CPUs that died, in order; a recoverer is `onDeath`, the next one `onDeath 2`. */
  readonly dead: readonly string[];
  /** Recorded operations, in order of invocation. */
  readonly history: readonly HistoryEntry[];
}

/** A scenario, compiled. */
export interface Program {
  readonly cpus: readonly CpuProgram[];
  /** Runs once; its shared buffers are restored to what it left before each run. */
  readonly prepare?: (() => unknown) | undefined;
  readonly setup: (prepared: unknown) => unknown;
  readonly always?: ((context: any) => unknown) | undefined;
  readonly final?: ((context: any, end: RunEnd) => unknown) | undefined;
  readonly onDeath?: ((context: any, dead: string, recoverer: number) => unknown) | undefined;
  readonly words: Words;
}

/** How runs are made. */
export interface RunOptions {
  readonly race: boolean;
  /** Plain accesses are scheduling points too (needed when the detector is off). */
  readonly plainPoints: boolean;
  readonly stepLimit: number;
  readonly spinLimit: number;
  readonly spurious: boolean;
  readonly notifyOrder: 'fifo' | 'any';
  readonly crash: 'none' | 'interrupt-points' | 'any';
  /** Deaths in a run, at most. */
  readonly deaths: number;
  /** May recoverers die? */
  readonly recovererDies: boolean;
}

/** Why a run failed. */
export type FailureKind =
  | 'race'
  | 'deadlock'
  | 'livelock'
  | 'step limit'
  | 'exception'
  | 'always'
  | 'final'
  | 'linearizability'
  | 'outcome'
  | 'leak';

/** The end of a run that did not end well. */
export interface Outcome {
  readonly kind: FailureKind;
  readonly message: string;
  readonly error?: unknown;
  readonly race?: Race;
}

/** Sees every access of a run (reports, replay). */
export interface Recorder {
  access(cpu: number, op: Op, old: unknown, now: unknown, result: unknown): void;
  died(cpu: number, op: Op): void;
}
