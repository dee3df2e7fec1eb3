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
  CpuRecord,
  CpuState,
  type RecoverResult,
  requireInteger,
  STATE_KIND_MASK,
  stateIncarnation,
} from '@umbuf/memory';
import { Recovery } from './death.ts';
import { deferred, type Deferred, releaseSoon, within } from './deferred.ts';
import { type CpuDescription, readCpu } from './describe.ts';
import {
  BootError,
  MachineStateError,
  RecoveryIncompleteError,
  TaskError,
  UnknownTaskError,
} from './errors.ts';
import { Life } from './life.ts';
import { type ThreadEnd, ThreadPool } from './pool.ts';
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
  readonly recovery: Exclude<RecoverResult, 'busy'> | 'failed';
  readonly failure?: unknown;
}

export interface CpuSnapshot extends CpuDescription {
  readonly index: number;
  /** Undefined when the worker did not answer in time: it is in a loop, asleep or dead. */
  readonly worker: WorkerSnapshot | undefined;
}

/** One per `index`, for the life of the machine; `life` is its present CPU. */
interface Seat {
  readonly index: number;
  life: Life;
  /** Resolves when `life` has booted. */
  online: Deferred<Life>;
  /** Resolves when `life` is dead and recovered. */
  death: Deferred<Death>;
  /** Lives in succession that ended before they had booted. */
  failures: number;
}

const BOOT_FAILURES_MAX = 3;
const SHUTDOWN_MS = 2000;

export class Machine {
  readonly arena: Arena;
  /** Workers, without the main thread. */
  readonly cpus: number;
  readonly #options: MachineOptions;
  readonly #pool: ThreadPool;
  readonly #recovery: Recovery;
  readonly #seats: Seat[] = [];
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
    this.#recovery = new Recovery(() => this.#recoverer());
    this.#pool = new ThreadPool(options.cpus, {
      arena: options.arena.handle(),
      modules: (options.tasks ?? []).map(String),
      cpus: options.cpus,
    });
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
    const left = offlineNumbers(arena);
    for (let index = 0; index < cpus; index++) machine.#seat(index, left[index]!);
    try {
      const reports = await Promise.all(machine.#seats.map((seat) => seat.life.booted));
      machine.#tasks = new Set(reports[0]!.tasks);
    } catch (error) {
      await machine.shutdown();
      throw new BootError(`a CPU did not boot: ${String(error)}`, { cause: error });
    }
    return machine;
  }

  /** The main thread's CPU; undefined as long as it has none. */
  get cpu(): Cpu | undefined {
    return this.#mainCpu;
  }

  /** CPU numbers by index; constant. */
  get numbers(): readonly number[] {
    return this.#seats.map((seat) => seat.life.number);
  }

  /** Incarnations by index. */
  get incarnations(): readonly number[] {
    return this.#seats.map((seat) => seat.life.incarnation);
  }

  /** CPUs that died since boot. */
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
      lives = await Promise.all(this.#seats.map((seat) => seat.online.promise));
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
    const seat = this.#seats.find((each) => each.life.number === number);
    if (seat === undefined) {
      throw new ArgumentError(`kill: CPU ${number} is none of ${this.numbers.join(', ')}`);
    }
    const { death } = seat;
    seat.life.kill();
    return death.promise;
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

  #seat(index: number, number: number): void {
    const seat: Seat = {
      index,
      life: this.#life(index, number),
      online: deferred<Life>(),
      death: deferred<Death>(),
      failures: 0,
    };
    this.#seats.push(seat);
    this.#supervise(seat);
  }

  #life(index: number, number: number): Life {
    const seen = stateOf(this.arena, number);
    // As `claimCpu` counts; 20 bits, so that it wraps with it.
    const incarnation = stateIncarnation(seen + (1 << 12));
    return new Life(this.#pool, { index, number, incarnation });
  }

  #supervise(seat: Seat): void {
    const { life, online } = seat;
    life.booted.then(
      () => {
        seat.failures = 0;
        online.resolve(life);
      },
      () => life.kill(), // a thread that failed to boot is of no use, and may hold a number
    );
    void life.ended.then((end) => this.#onEnd(seat, end));
  }

  async #onEnd(seat: Seat, end: ThreadEnd): Promise<void> {
    if (end.how === 'finished') return;
    const { life, online, death } = seat;
    const { index, number, incarnation } = life;
    if (!online.settled) seat.failures++;
    else seat.online = deferred<Life>();
    this.#deaths++;
    const what = { index, number, incarnation, ...end };
    let record: Death;
    try {
      const result = await this.#recovery.add(number, incarnation);
      record = { ...what, recovery: result === 'busy' ? 'failed' : result };
    } catch (failure) {
      record = { ...what, recovery: 'failed', failure };
    }
    this.#tell(record);
    const reason = this.#whyNotReplaced(seat, record);
    if (reason !== undefined) {
      seat.online.reject(
        new MachineStateError(`CPU ${number}: ${reason}`, { cause: record.failure }),
      );
    } else {
      seat.life = this.#life(index, number);
      seat.death = deferred<Death>();
      this.#supervise(seat);
    }
    death.resolve(record);
  }

  /** What `onDeath` throws is an uncaught exception; supervision goes on. */
  #tell(death: Death): void {
    try {
      this.#options.onDeath?.(death);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #whyNotReplaced(seat: Seat, death: Death): string | undefined {
    if (this.#closing !== undefined) return 'the machine is shut down';
    if (death.recovery === 'failed') return `its recovery failed: ${String(death.failure)}`;
    if (this.#options.replace === false) return 'it died, and is not to be replaced';
    return seat.failures >= BOOT_FAILURES_MAX ? `${seat.failures} boots failed` : undefined;
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
    const dead = this.#seats.filter((seat) => isDead(this.arena, seat.life));
    const records = await Promise.all(dead.map((seat) => within(timeoutMs, seat.death.promise)));
    const cpu = this.#mainCpu;
    if (cpu !== undefined && typeof this.#options.mainCpu !== 'object') {
      await releaseSoon(cpu, timeoutMs);
    }
    const left = dead.flatMap((seat, index) =>
      isDead(this.arena, seat.life) ? [{ seat, why: records[index]?.failure ?? 'busy' }] : [],
    );
    if (left.length > 0) {
      throw new RecoveryIncompleteError(
        left.map(({ seat }) => seat.life.number),
        left.map(({ why }) => why),
      );
    }
  }
}

function stateOf(arena: Arena, number: number): number {
  return Atomics.load(arena.words, arena.cpuTable + number * CpuRecord.words);
}

function offlineNumbers(arena: Arena): number[] {
  return Array.from({ length: arena.cpus }, (_, number) => number).filter(
    (number) => (stateOf(arena, number) & STATE_KIND_MASK) === CpuState.offline,
  );
}

/** Whether this life's thread, which has ended, left its number claimed. */
function isDead(arena: Arena, life: Life): boolean {
  const state = stateOf(arena, life.number);
  return (
    stateIncarnation(state) === life.incarnation && (state & STATE_KIND_MASK) !== CpuState.offline
  );
}
