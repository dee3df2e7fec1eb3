/**
 * The second CPU of the rows that need one: a worker that does what a word tells it to. Both sides
 * look at the word in loops and sleep on it only where nothing is measured.
 *
 * Words of the board, each on a line of its own: `command` (written here, 0 = nothing to do), `done`
 * (written by the worker), and the worker's time stamp beside `done`.
 */

import { Worker } from 'node:worker_threads';
import type { ArenaHandle } from '@umbuf/memory';

export const Board = { command: 0, done: 32, stamp: 64, bytes: 1024 } as const;

/** Commands that every worker knows; others are positive. */
export const IDLE = 0;
export const STOP = -1;

export interface SecondCpuData {
  readonly arena: ArenaHandle;
  readonly board: SharedArrayBuffer;
  /** Word index of something in the arena that the two share. */
  readonly shared: number;
}

export class SecondCpu {
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly stamps: Float64Array<SharedArrayBuffer>;
  private readonly worker: Worker;

  private constructor(worker: Worker, board: SharedArrayBuffer) {
    this.worker = worker;
    this.words = new Int32Array(board);
    this.stamps = new Float64Array(board);
  }

  /** Starts `module` (a file beside the rows) and waits until it is ready. */
  static async start(module: string, arena: ArenaHandle, shared: number): Promise<SecondCpu> {
    const board = new SharedArrayBuffer(Board.bytes);
    const data: SecondCpuData = { arena, board, shared };
    const worker = new Worker(new URL(`../${module}`, import.meta.url), { workerData: data });
    await new Promise<void>((resolve, reject) => {
      worker.once('message', () => resolve());
      worker.once('error', reject);
    });
    return new SecondCpu(worker, board);
  }

  /** Gives a command and wakes the worker. */
  order(command: number): void {
    Atomics.store(this.words, Board.command, command);
    Atomics.notify(this.words, Board.command);
  }

  async stop(): Promise<void> {
    this.order(STOP);
    await new Promise<void>((resolve) => {
      this.worker.once('exit', () => resolve());
    });
  }
}

/** Milliseconds on a clock that all threads of the process share. */
export function sharedNow(): number {
  return performance.timeOrigin + performance.now();
}
