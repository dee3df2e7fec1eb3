/** What a task module exports: its tasks and, optionally, `attach`. Types only; see machine.ts. */

import type { Arena, Cpu } from '@umbuf/memory';

/** What every task gets. Lives as long as the worker. */
export interface TaskContext {
  /** The CPU that this worker has claimed. */
  readonly cpu: Cpu;
  /** This thread's view of the arena. */
  readonly arena: Arena;
  /** CPU number in the arena; equals `cpu.number`. */
  readonly number: number;
  /** Place in the machine, 0 to `cpus` - 1; a replacement has its predecessor's. */
  readonly index: number;
  /** CPUs of the machine (without the main thread). */
  readonly cpus: number;
}

/** Argument and result are cloned (shared memory stays shared). */
export type Task<Argument = never, Result = unknown> = (
  context: TaskContext,
  argument: Argument,
) => Result | Promise<Result>;

/**
 * `export function attach(cpu)`: called once in each worker, right after it has claimed its
 * number and before any task, in the order of the modules. Attach the layers here.
 */
export type AttachHook = (cpu: Cpu) => void | Promise<void>;
