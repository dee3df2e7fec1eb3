/**
 * A machine: worker threads as the CPUs of one arena, with the main thread as their supervisor.
 *
 *   const machine = await Machine.boot({ arena, cpus: 4, tasks: [url], onAttach: (cpu) => ... });
 *   const results = await machine.run('churn', (index) => ({ seed: index }));
 *   await machine.shutdown();
 *
 * - A task module exports functions `(context, argument) => result` (task.ts) and, optionally,
 *   `attach(cpu)`, which attaches the application's layers in the worker.
 * - Recovery of a dead CPU runs here, in the main thread, so the layers' repairs must be known to
 *   *this* thread's Arena object: option `onAttach`. What is missing there is a Panic at the death.
 * - The main thread names the number that a worker claims, and no other thread may claim numbers
 *   of this arena meanwhile. So number and incarnation of a worker that dies before its first word
 *   are known. A replacement waits until its predecessor is recovered and takes the same number,
 *   with the next incarnation: `busy` ends when the holder of the lock goes on or dies, so waiting
 *   needs no spare numbers and cannot deadlock (no lock is held across a callback or message).
 * - A machine keeps the process alive until `shutdown`, as a Worker does.
 */

import {
  type Arena,
  ArgumentError,
  claimCpu,
  type Cpu,
  CpuState,
  requireInteger,
  STATE_KIND_MASK,
} from '@umbuf/memory';
import { Recovery } from './death.ts';
import { releaseSoon, within } from './deferred.ts';
import { readCpu } from './describe.ts';
import {
  BootError,
  MachineStateError,
  RecoveryIncompleteError,
  TaskError,
  UnknownTaskError,
} from './errors.ts';
import type { Life } from './life.ts';
import type { CpuSnapshot, Death, MachineOptions } from './options.ts';
import { ThreadPool } from './pool.ts';
import { type Hall, Seat, stateOf } from './seat.ts';

/** Bound of each stage of a shutdown, milliseconds. */
const SHUTDOWN_MS = 2000;

export class Machine {
  readonly arena: Arena;
  /** Workers, without the main thread. */
  readonly cpus: number;
  readonly #options: MachineOptions;
  readonly #pool: ThreadPool;
  readonly #seats: readonly Seat[];
  #mainCpu: Cpu | undefined;
  #tasks: ReadonlySet<string> = new Set();
  #deaths = 0;
  #closing: Promise<void> | undefined;

  private constructor(options: MachineOptions) {
    this.#options = options;
    this.arena = options.arena;
    this.cpus = options.cpus;
    if (typeof options.mainCpu === 'object') this.#mainCpu = options.mainCpu;
    else if (options.mainCpu !== false) this.#recoverer();
    this.#pool = new ThreadPool(options.cpus, {
      arena: options.arena.handle(),
      modules: (options.tasks ?? []).map(String),
      cpus: options.cpus,
    });
    const hall: Hall = {
      arena: options.arena,
      pool: this.#pool,
      recovery: new Recovery(() => this.#recoverer()),
      replace: options.replace ?? true,
      tell: (death) => this.#tell(death),
      closing: () => this.#closing !== undefined,
    };
    const numbers = offlineNumbers(options.arena).slice(0, options.cpus);
    this.#seats = numbers.map((number, index) => new Seat(hall, index, number));
  }

  /**
   * Starts the workers; resolves when each has claimed its number and loaded the modules. Throws
   * `ArgumentError` for bad options and `BootError` when a worker cannot boot; then all is undone.
   */
  static async boot(options: MachineOptions): Promise<Machine> {
    const { arena, cpus, mainCpu } = options;
    requireInteger('cpus', cpus, 1, arena.cpus);
    if (typeof mainCpu === 'object' && (mainCpu.arena !== arena || mainCpu.mayBlock)) {
      throw new ArgumentError('mainCpu: not a CPU of this arena object with mayBlock: false');
    }
    const numbers = offlineNumbers(arena);
    const needed = typeof mainCpu === 'object' ? cpus : cpus + 1;
    if (numbers.length < needed) {
      throw new ArgumentError(
        `cpus: ${cpus} workers and the main thread need ${needed} CPU numbers, ${numbers.length} of ${arena.cpus} are free`,
      );
    }
    const machine = new Machine(options);
    try {
      const reports = await Promise.all(machine.#seats.map((seat) => seat.life.booted));
      machine.#tasks = new Set(reports[0]!.tasks);
    } catch (error) {
      const more = await machine.shutdown().then(
        () => '',
        (failure: unknown) => `; then ${String(failure)}`,
      );
      throw new BootError(`a CPU did not boot: ${String(error)}${more}`, { cause: error });
    }
    return machine;
  }

  /** The main thread's CPU; undefined as long as it has none. */
  get cpu(): Cpu | undefined {
    return this.#mainCpu;
  }

  /** CPU numbers by index; constant. */
  get numbers(): readonly number[] {
    return this.#seats.map((seat) => seat.number);
  }

  /** Incarnations by index. */
  get incarnations(): readonly number[] {
    return this.#seats.map((seat) => seat.life.incarnation);
  }

  /** CPUs that died since boot and were recovered, or could not be. */
  get deaths(): number {
    return this.#deaths;
  }

  /**
   * Resolves when every CPU is online. Rejects with `MachineStateError` when one cannot come back:
   * its recovery or three boots of replacements failed, `replace` is false, or it is shut down.
   */
  async ready(): Promise<void> {
    if (this.#closing !== undefined) throw new MachineStateError('the machine is shut down');
    let lives: Life[];
    do {
      lives = await Promise.all(this.#seats.map((seat) => seat.online));
    } while (lives.some((life, index) => life !== this.#seats[index]!.life));
  }

  /**
   * Runs a task on every CPU at once; resolves with the results by index. Waits for `ready` first.
   * Rejects at the first failure, `TaskError` (the task threw) or `CpuDiedError`, while the others
   * go on; `runSettled` waits for all. Throws `UnknownTaskError`.
   */
  async run<Argument, Result>(
    task: string,
    argumentByCpu?: (index: number, number: number) => Argument,
  ): Promise<Result[]> {
    return Promise.all(await this.#start<Argument, Result>(task, argumentByCpu));
  }

  /** `run`, with the outcome of each CPU. */
  async runSettled<Argument, Result>(
    task: string,
    argumentByCpu?: (index: number, number: number) => Argument,
  ): Promise<PromiseSettledResult<Result>[]> {
    return Promise.allSettled(await this.#start<Argument, Result>(task, argumentByCpu));
  }

  /** Runs a task on one CPU, by index. Same errors as `run`. */
  async runOn<Argument, Result>(index: number, task: string, argument?: Argument): Promise<Result> {
    requireInteger('index', index, 0, this.cpus - 1);
    this.#requireTask(task);
    await this.ready();
    return this.#call<Result>(this.#seats[index]!.life, task, argument);
  }

  /** State of each CPU by index, with what workers answer within `timeoutMs` (100 when absent). */
  async snapshot(timeoutMs = 100): Promise<CpuSnapshot[]> {
    return Promise.all(
      this.#seats.map(async ({ index, life }) => {
        const answer = life.call((control) => control.snapshot()).catch(() => undefined);
        const worker = await within(timeoutMs, answer);
        return { index, worker, ...readCpu(this.arena, life.number) };
      }),
    );
  }

  /**
   * For tests: terminates the thread of CPU `number` wherever it is; resolves when it is recovered.
   * `ready` then waits for its replacement. Throws `ArgumentError` when no CPU here has the number.
   */
  async kill(number: number): Promise<Death> {
    if (this.#closing !== undefined) throw new MachineStateError('the machine is shut down');
    const seat = this.#seats.find((each) => each.number === number);
    if (seat === undefined) {
      throw new ArgumentError(`kill: CPU ${number} is none of ${this.numbers.join(', ')}`);
    }
    const { death } = seat;
    seat.life.kill();
    return death;
  }

  /**
   * Lets running tasks end, at most `timeoutMs` (2000 when absent), releases the numbers, ends all
   * threads, recovers those that had to be terminated, releases the main thread's number (unless
   * it was given). Afterwards no handle of the machine is left. Throws `RecoveryIncompleteError`
   * when a dead CPU could not be recovered within the same bound. Further calls wait for the first.
   */
  shutdown(timeoutMs: number = SHUTDOWN_MS): Promise<void> {
    this.#closing ??= this.#shutdown(timeoutMs);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  #requireTask(task: string): void {
    if (this.#tasks.has(task)) return;
    throw new UnknownTaskError(`no task ${task}; there are ${[...this.#tasks].join(', ')}`);
  }

  async #start<Argument, Result>(
    task: string,
    argumentByCpu: ((index: number, number: number) => Argument) | undefined,
  ): Promise<Promise<Result>[]> {
    this.#requireTask(task);
    await this.ready();
    const lives = this.#seats.map((seat) => seat.life);
    // All arguments before the first call: if one throws, no CPU has begun.
    const given = lives.map(({ index, number }) => argumentByCpu?.(index, number));
    return lives.map((life, index) => this.#call<Result>(life, task, given[index]));
  }

  async #call<Result>(life: Life, task: string, argument: unknown): Promise<Result> {
    try {
      return (await life.call((control) => control.run(task, argument))) as Result;
    } catch (error) {
      if (life.isReason(error)) throw error;
      throw new TaskError(task, life.number, error);
    }
  }

  #recoverer(): Cpu {
    if (this.#mainCpu === undefined) {
      this.#mainCpu = claimCpu(this.arena, { mayBlock: false });
      this.#options.onAttach?.(this.#mainCpu);
    }
    return this.#mainCpu;
  }

  #tell(death: Death): void {
    this.#deaths++;
    try {
      this.#options.onDeath?.(death);
    } catch (error) {
      // An uncaught exception of the application; supervision goes on.
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  async #shutdown(timeoutMs: number): Promise<void> {
    const asked = this.#seats.map((seat) => seat.life);
    // Answered and ended: a thread terminated between the two would count as a death.
    const orderly = asked.map((life) =>
      life.call((control) => control.shutdown()).then(() => life.ended),
    );
    await within(timeoutMs, Promise.allSettled(orderly));
    await this.#pool.destroy();
    await Promise.all(asked.map((life) => life.ended));
    // Recovery of those that died is under way (#onEnd); none of them is replaced.
    const dead = this.#seats.filter((seat) => seat.isDead());
    const records = await Promise.all(dead.map((seat) => within(timeoutMs, seat.death)));
    const cpu = this.#mainCpu;
    if (cpu !== undefined && typeof this.#options.mainCpu !== 'object') {
      await releaseSoon(cpu, timeoutMs);
    }
    const left = dead.flatMap((seat, index) =>
      seat.isDead() ? [{ seat, why: records[index]?.failure ?? 'busy' }] : [],
    );
    if (left.length > 0) {
      throw new RecoveryIncompleteError(
        left.map(({ seat }) => seat.number),
        left.map(({ why }) => why),
      );
    }
  }
}

function offlineNumbers(arena: Arena): number[] {
  return Array.from({ length: arena.cpus }, (_, number) => number).filter(
    (number) => (stateOf(arena, number) & STATE_KIND_MASK) === CpuState.offline,
  );
}
