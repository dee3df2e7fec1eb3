/**
 * The errors of `smp`. All are `UmbufError`s: the caller's mistake, a task that threw, or a CPU that
 * died. Bad options are `memory`'s `ArgumentError`; a broken invariant met by a recovery is a `Panic`.
 */

import { UmbufError } from '@umbuf/memory';

/** The machine did not come up; `cause` is what the first CPU that failed said. Nothing is left running. */
export class BootError extends UmbufError {
  override name = 'BootError';
}

/** The machine is shut down, or one of its CPUs could not be brought back. */
export class MachineStateError extends UmbufError {
  override name = 'MachineStateError';
}

/** No task module exports a task of this name. */
export class UnknownTaskError extends UmbufError {
  override name = 'UnknownTaskError';
}

/** A task threw. `cause` is a copy of what it threw (an Error keeps name, message and stack). */
export class TaskError extends UmbufError {
  override name = 'TaskError';
  readonly task: string;
  /** CPU number that ran it. */
  readonly cpu: number;

  constructor(task: string, cpu: number, cause: unknown) {
    const said = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    super(`task ${task} on CPU ${cpu}: ${said}`, { cause });
    this.task = task;
    this.cpu = cpu;
  }
}

/** The thread of a CPU ended with calls open. `cause` is its uncaught exception, if that was it. */
export class CpuDiedError extends UmbufError {
  override name = 'CpuDiedError';
  readonly cpu: number;
  readonly incarnation: number;

  constructor(cpu: number, incarnation: number, how: string, cause: unknown) {
    super(`CPU ${cpu} (incarnation ${incarnation}) died: ${how}`, { cause });
    this.cpu = cpu;
    this.incarnation = incarnation;
  }
}

/** Shutdown ended every thread, but these dead CPUs could not be recovered; `causes` in their order. */
export class RecoveryIncompleteError extends UmbufError {
  override name = 'RecoveryIncompleteError';
  readonly cpus: readonly number[];
  readonly causes: readonly unknown[];

  constructor(cpus: readonly number[], causes: readonly unknown[]) {
    super(`CPUs ${cpus.join(', ')} are dead and not recovered: ${causes.map(String).join('; ')}`);
    this.cpus = cpus;
    this.causes = causes;
  }
}
