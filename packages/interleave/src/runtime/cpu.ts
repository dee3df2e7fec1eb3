/** A virtual CPU: its status, its pending op, what it still has to run; and the history it writes. */
import { Op, type Steps } from './protocol.ts';

export const READY = 0;
/** Asleep without a timeout. */
export const ASLEEP = 1;
/** Asleep; may time out (or wake spuriously) at any time. */
export const TIMED = 2;
export const DONE = 3;
export const DEAD = 4;
/** The recoverer before the first death. */
export const DORMANT = 5;

/** One operation of the history, for linearizability. Times are step numbers. */
export interface HistoryEntry {
  readonly cpu: number;
  readonly name: string;
  readonly args: readonly unknown[];
  result: unknown;
  /** -1: not begun. */
  invoked: number;
  /** -1: not returned (the run ended, or the CPU died). */
  returned: number;
}

/** A callback of a settled waitAsync. */
export interface Job {
  callback: (result: string) => unknown;
  result: string;
}

/** A virtual CPU. */
export class Cpu {
  readonly op: Op = new Op();
  status: number = DONE;
  generator: Steps | null = null;
  /** Next body of the CPU's list. */
  next: number = 0;
  entry: HistoryEntry | null = null;
  jobs: Job[] = [];
  /** Asynchronous waits that somebody listens to and nobody has notified. */
  asyncWaits: number = 0;
  /** Asleep with a timeout: the virtual time at which it ends. */
  until: number = 0;
  /** A recoverer: whose death it is busy with; null: none. */
  recovers: string | null = null;
  /** Its code has come to `op` and must not go on before it is granted. */
  suspended: boolean = false;

  /** Before a run, and at a death. */
  reset(status: number): void {
    this.status = status;
    this.generator = null;
    this.next = 0;
    this.entry = null;
    if (this.jobs.length > 0) this.jobs = [];
    this.asyncWaits = 0;
    this.recovers = null;
    this.suspended = false;
  }
}
