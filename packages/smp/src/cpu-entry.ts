/**
 * The worker's file (`@umbuf/smp/cpu`): one call of `serve` makes a Piscina worker a CPU until
 * `shutdown`. Started by pool.ts only.
 *
 * The main thread names the number, the worker claims it: so the number and the incarnation of a
 * thread that dies at any point are known without a word from it.
 */

import { setImmediate } from 'node:timers/promises';
import { threadId, workerData } from 'node:worker_threads';
import { Arena, ArgumentError, claimCpu, type Cpu, releaseCpu } from '@umbuf/memory';
import { UnknownTaskError } from './errors.ts';
import type { CpuOrder, CpuWorkerData } from './pool.ts';
import { type BootReport, type CpuControl, exposeControl, type WorkerSnapshot } from './rpc.ts';
import type { AttachHook, Task, TaskContext } from './task.ts';

/** Resolves when the CPU was shut down. */
export async function serve(order: CpuOrder): Promise<void> {
  const { port } = order;
  await new Promise<void>((finish) => exposeControl(new Control(order, finish), port));
  // The answer to `shutdown` is posted in the microtasks behind it.
  await setImmediate();
  port.close();
}

class Control implements CpuControl {
  readonly #order: CpuOrder;
  readonly #finish: () => void;
  readonly #tasks: Map<string, Task<unknown>> = new Map();
  readonly #running: Set<Promise<unknown>> = new Set();
  readonly #from: number = performance.now();
  #cpu: Cpu | undefined;
  #context: TaskContext | undefined;
  #booting: Promise<BootReport> | undefined;

  constructor(order: CpuOrder, finish: () => void) {
    this.#order = order;
    this.#finish = finish;
  }

  boot(): Promise<BootReport> {
    this.#booting ??= this.#boot();
    return this.#booting;
  }

  async #boot(): Promise<BootReport> {
    const data = workerData as CpuWorkerData;
    const { index, number } = this.#order;
    // Modules first: one that cannot be loaded leaves no number claimed.
    const hooks = await loadModules(data.modules, this.#tasks);
    const arena = Arena.attach(data.arena);
    const cpu = claimCpu(arena, { number });
    this.#cpu = cpu;
    for (const attach of hooks) await attach(cpu);
    this.#context = { cpu, arena, number, index, cpus: data.cpus };
    return { number, incarnation: cpu.incarnation, threadId, tasks: [...this.#tasks.keys()] };
  }

  async run(name: string, argument: unknown): Promise<unknown> {
    const task = this.#tasks.get(name);
    if (task === undefined) {
      throw new UnknownTaskError(
        `no task ${name}; there are ${[...this.#tasks.keys()].join(', ')}`,
      );
    }
    const running = invoke(task, this.#context!, argument);
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  snapshot(): Promise<WorkerSnapshot> {
    const { heapUsed, heapTotal } = process.memoryUsage();
    const uptime = (performance.now() - this.#from) / 1000;
    return Promise.resolve({ running: this.#running.size, heapUsed, heapTotal, uptime });
  }

  async shutdown(): Promise<void> {
    // A boot that goes on, because another CPU's has failed, would claim a number behind us.
    await Promise.allSettled([this.#booting, ...this.#running]);
    if (this.#cpu?.online) releaseCpu(this.#cpu);
    this.#finish();
  }
}

/** Makes a synchronous throw a rejection. */
async function invoke(
  task: Task<unknown>,
  context: TaskContext,
  argument: unknown,
): Promise<unknown> {
  return task(context, argument);
}

/** Fills `tasks` with every function that the modules export; returns their `attach` hooks. */
async function loadModules(
  urls: readonly string[],
  tasks: Map<string, Task<unknown>>,
): Promise<AttachHook[]> {
  const hooks: AttachHook[] = [];
  const origin = new Map<string, string>();
  for (const url of urls) {
    const exported = (await import(url)) as Record<string, unknown>;
    for (const [name, value] of Object.entries(exported)) {
      if (typeof value !== 'function') continue;
      if (name === 'attach') {
        hooks.push(value as AttachHook);
        continue;
      }
      const other = origin.get(name);
      if (other !== undefined) {
        throw new ArgumentError(`task ${name} is exported by ${other} and by ${url}`);
      }
      origin.set(name, url);
      tasks.set(name, value as Task<unknown>);
    }
  }
  return hooks;
}
