/** What `Machine.boot` takes, and what a machine tells of its CPUs. Types only. */

import type { Arena, Cpu } from '@umbuf/memory';
import type { Recovered } from './death.ts';
import type { CpuDescription } from './describe.ts';
import type { ThreadEnd } from './pool.ts';
import type { WorkerSnapshot } from './rpc.ts';

export interface MachineOptions {
  /** This thread's object of the arena; it needs one CPU number more than `cpus`. */
  readonly arena: Arena;
  /** Workers to run, 1 to arena.cpus - 1; more than cores is fine. */
  readonly cpus: number;
  /** URLs (`file:`, `data:`) of task modules; JavaScript, or TypeScript on Node >= 22.18. */
  readonly tasks?: readonly (string | URL)[];
  /**
   * The main thread's CPU, with `mayBlock: false`: true (default) claims one at boot; false only
   * when there is a dead CPU to recover; a Cpu is one that this thread has, and keeps.
   */
  readonly mainCpu?: boolean | Cpu;
  /** Attaches the layers to the main thread's CPU, once, right after it was claimed. */
  readonly onAttach?: (cpu: Cpu) => void;
  /** Told of each death, after its recovery and before its replacement starts. */
  readonly onDeath?: (death: Death) => void;
  /** False: the dead are recovered, not replaced. True when absent. */
  readonly replace?: boolean;
}

/** The end of a CPU that was not shut down. */
export interface Death {
  readonly index: number;
  readonly number: number;
  readonly incarnation: number;
  readonly how: ThreadEnd['how'];
  readonly exitCode: number | undefined;
  /** The uncaught exception, with `how: 'error'`. */
  readonly error: unknown;
  /** `nothing`: it had not claimed its number yet. `failed`: see `failure`; it is not replaced. */
  readonly recovery: Recovered | 'failed';
  readonly failure?: unknown;
}

export interface CpuSnapshot extends CpuDescription {
  readonly index: number;
  /** Undefined when the worker did not answer in time: it is in a loop, asleep or dead. */
  readonly worker: WorkerSnapshot | undefined;
}
