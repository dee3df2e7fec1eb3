/**
 * One life of a CPU: a thread, its control connection and the calls that are open on it. Ends with
 * the thread; open calls are then rejected, since comlink alone would leave them pending for ever.
 */

import { once } from 'node:events';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { CpuDiedError, MachineStateError } from './errors.ts';
import type { CpuThread, ThreadEnd, ThreadPool } from './pool.ts';
import { type BootReport, type CpuControl, wrapControl } from './rpc.ts';

export interface LifeOptions {
  readonly index: number;
  readonly number: number;
  /** The incarnation that claiming the number will give. */
  readonly incarnation: number;
}

export class Life {
  readonly index: number;
  readonly number: number;
  readonly incarnation: number;
  readonly booted: Promise<BootReport>;
  /** After the exit event, unless `finished`. Open calls are rejected by then. */
  readonly ended: Promise<ThreadEnd>;
  readonly #thread: CpuThread;
  readonly #control: CpuControl;
  readonly #port: MessagePort;
  readonly #drained: Promise<unknown>;
  readonly #open: Set<(reason: unknown) => void> = new Set();
  /** Why calls are rejected, once the thread has ended. */
  #ending: Error | undefined;

  constructor(pool: ThreadPool, options: LifeOptions) {
    this.index = options.index;
    this.number = options.number;
    this.incarnation = options.incarnation;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#control = wrapControl(port1);
    this.#drained = once(port1, 'close');
    this.#thread = pool.start({ port: port2, index: this.index, number: this.number });
    this.ended = this.#thread.ended.then((end) => this.#close(end));
    this.booted = this.call((control) => control.boot());
  }

  /** One call of the CPU's control; rejected when the thread ends before the answer. */
  call<Result>(operation: (control: CpuControl) => Promise<Result>): Promise<Result> {
    if (this.#ending !== undefined) return Promise.reject(this.#ending);
    return new Promise((resolve, reject) => {
      this.#open.add(reject);
      operation(this.#control)
        .then(resolve, reject)
        .finally(() => this.#open.delete(reject));
    });
  }

  /** Whether `error` says that this life ended, and is not what a call threw. */
  isReason(error: unknown): boolean {
    return this.#ending !== undefined && error === this.#ending;
  }

  /** Terminates the thread wherever it is. */
  kill(): void {
    this.#thread.kill();
  }

  async #close(end: ThreadEnd): Promise<ThreadEnd> {
    // The end came through another port: answers given before may still be on their way in this
    // one. The worker has closed its side, so the event comes, and comes behind them.
    if (end.how === 'finished') await this.#drained;
    this.#ending = this.#reason(end);
    this.#port.close();
    for (const reject of this.#open) reject(this.#ending);
    this.#open.clear();
    return end;
  }

  #reason({ how, exitCode, error }: ThreadEnd): Error {
    if (how === 'finished') return new MachineStateError(`CPU ${this.number} was shut down`);
    const what = how === 'exit' ? `exit with code ${exitCode}` : how;
    return new CpuDiedError(this.number, this.incarnation, what, error);
  }
}
