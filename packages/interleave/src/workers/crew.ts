/** Starts one worker per CPU of a scenario and talks to them; used by stress and lock step. */
import { Worker } from 'node:worker_threads';
import { OVER, POSITION } from './control.ts';
import type { BodyResult, WorkerSetup } from './scenario.ts';

/** A message of a worker. */
export type CrewMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'results'; readonly results: BodyResult[][] }
  /** Lock step: the worker stands where its CPU died, and waits to be terminated. */
  | { readonly kind: 'dying' }
  | { readonly kind: 'diverged'; readonly expected: string; readonly got: string };

/** The workers of a scenario; `stop` ends them. */
export class Crew {
  readonly control: Int32Array;
  readonly #workers: Worker[];
  readonly #inbox: CrewMessage[][];
  readonly #wakers: ((() => void) | null)[];

  private constructor(workers: Worker[], control: Int32Array) {
    this.#workers = workers;
    this.control = control;
    this.#inbox = workers.map(() => []);
    this.#wakers = workers.map(() => null);
    workers.forEach((worker, i) => {
      worker.on('message', (message: CrewMessage) => {
        this.#inbox[i]?.push(message);
        this.#wakers[i]?.();
      });
      worker.on('error', (error) => {
        this.#failed = error as Error;
        this.#wakers[i]?.();
      });
    });
  }

  #failed: Error | null = null;

  static async start(
    module: string,
    name: string,
    cpus: readonly string[],
    mode: WorkerSetup['mode'],
    seed: number,
  ): Promise<Crew> {
    const control = new SharedArrayBuffer(64);
    const workers = cpus.map((cpu, index) => {
      const workerData: WorkerSetup = {
        module,
        name,
        cpu,
        index,
        cpus: cpus.length,
        control,
        mode,
        seed: seed + index,
      };
      return new Worker(new URL('./worker.js', import.meta.url), { workerData });
    });
    const crew = new Crew(workers, new Int32Array(control));
    for (let i = 0; i < workers.length; i++) await crew.receive(i, 10_000);
    return crew;
  }

  send(message: unknown): void {
    for (const worker of this.#workers) worker.postMessage(message);
  }

  /** The next message of a worker; null after so many ms. Throws what the worker died of. */
  async receive(i: number, ms: number): Promise<CrewMessage | null> {
    const until = performance.now() + ms;
    for (;;) {
      if (this.#failed !== null) throw this.#failed;
      const message = this.#inbox[i]?.shift();
      if (message !== undefined) return message;
      const left = until - performance.now();
      if (left <= 0) return null;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wakers[i] = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Terminates one worker and waits until its thread is gone. */
  async kill(i: number): Promise<void> {
    await this.#workers[i]?.terminate();
  }

  async stop(): Promise<void> {
    Atomics.store(this.control, OVER, 1);
    Atomics.notify(this.control, POSITION);
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
