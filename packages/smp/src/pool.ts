/**
 * Piscina as the supplier of threads: a fixed number of workers, each running one long task
 * (`serve` in cpu-entry.ts) for as long as it is a CPU. The only import of piscina.
 *
 * - minThreads = maxThreads and idleTimeout Infinity: a worker ends only by death or shutdown, and
 *   Piscina starts the replacement of a dead one by itself (it is no CPU until it gets a task).
 * - atomics 'disabled': otherwise a worker without a task sleeps in Atomics.wait on Piscina's words;
 *   one that serves would not, but nothing of ours shall depend on that.
 * - Piscina cannot say which worker runs a task, and its rejection of the task may come before the
 *   thread's exit event, while recovery must come after it. Its load balancer, though, is called
 *   with both: it listens for the exit of the worker it picks before the task is posted there.
 */

import type { MessagePort, Worker } from 'node:worker_threads';
import type { ArenaHandle } from '@umbuf/memory';
import { Piscina } from 'piscina';

/** `workerData` of every worker of a machine. */
export interface CpuWorkerData {
  readonly arena: ArenaHandle;
  /** URLs of the task modules. */
  readonly modules: readonly string[];
  /** CPUs of the machine. */
  readonly cpus: number;
}

/** What a worker needs to become a CPU: its task's argument. */
export interface CpuOrder {
  readonly port: MessagePort;
  readonly index: number;
  readonly number: number;
}

/**
 * How a thread ended. `finished`: its service ended in order and the thread may still live.
 * `error`: an uncaught exception. `exit`: process.exit in the worker, or the like.
 */
export interface ThreadEnd {
  readonly how: 'finished' | 'killed' | 'error' | 'exit';
  readonly exitCode: number | undefined;
  readonly error: unknown;
}

export interface CpuThread {
  /** Never rejects. Unless `finished`, it comes after the thread's exit event. */
  readonly ended: Promise<ThreadEnd>;
  /** Terminates the thread, wherever it is. */
  kill(): void;
}

/** Rides on the task to the load balancer, which fills it. */
class Assignment {
  worker: Worker | undefined;
  exited: Promise<number> | undefined;
  error: unknown;
}

const ENTRY = new URL('./cpu-entry.js', import.meta.url).href;

export class ThreadPool {
  readonly #pool: Piscina;
  readonly #ends: Set<Promise<ThreadEnd>> = new Set();

  constructor(threads: number, workerData: CpuWorkerData) {
    this.#pool = new Piscina({
      filename: null,
      minThreads: threads,
      maxThreads: threads,
      concurrentTasksPerWorker: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      atomics: 'disabled',
      workerData,
      recordTiming: false,
      loadBalancer: (task, workers) => {
        const free = workers.find((worker) => worker.currentUsage === 0 && !worker.destroyed);
        if (free === undefined) return null;
        const thread = this.#pool.threads.find((worker) => worker.threadId === free.id);
        if (thread === undefined) return null;
        watch(thread, queueOptions(task) as Assignment);
        return free;
      },
    });
    // Errors of threads that are no CPU yet. Those of CPUs come as rejections of their task.
    this.#pool.on('error', () => {});
  }

  /** Makes a thread a CPU. */
  start(order: CpuOrder): CpuThread {
    const abort = new AbortController();
    const assignment = new Assignment();
    const task = { ...order, [Piscina.queueOptionsSymbol]: assignment };
    const served: Promise<void> = this.#pool.run(task, {
      filename: ENTRY,
      name: 'serve',
      transferList: [order.port],
      signal: abort.signal,
    });
    const ended = endOf(served, assignment, abort.signal);
    this.#ends.add(ended);
    void ended.then(() => this.#ends.delete(ended));
    return { ended, kill: () => abort.abort() };
  }

  /**
   * Terminates all threads and waits for their exit events. Give every thread that was killed the
   * time to end before: Piscina replaces a worker whose exit it sees while it is not destroying.
   */
  async destroy(): Promise<void> {
    do {
      await this.#pool.destroy();
      await Promise.all(this.#ends);
    } while (this.#pool.threads.length > 0);
  }
}

function queueOptions(task: object): unknown {
  return (task as Record<symbol, unknown>)[Piscina.queueOptionsSymbol];
}

function watch(worker: Worker, assignment: Assignment): void {
  assignment.worker = worker;
  worker.once('error', (error) => {
    assignment.error = error;
  });
  assignment.exited = new Promise((resolve) => worker.once('exit', resolve));
}

async function endOf(
  served: Promise<void>,
  assignment: Assignment,
  signal: AbortSignal,
): Promise<ThreadEnd> {
  try {
    await served;
    return { how: 'finished', exitCode: undefined, error: undefined };
  } catch (error) {
    // Piscina's own words for an exit say nothing that the exit code does not.
    if (assignment.exited === undefined) assignment.error = error;
  }
  const { worker, exited } = assignment;
  // The task may have failed in a thread that lives on, with a CPU number: it must not.
  if (worker !== undefined) await worker.terminate();
  const exitCode = await exited;
  if (signal.aborted) return { how: 'killed', exitCode, error: undefined };
  return assignment.error === undefined
    ? { how: 'exit', exitCode, error: undefined }
    : { how: 'error', exitCode, error: assignment.error };
}
