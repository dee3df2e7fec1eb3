/**
 * The machine: virtual CPUs over real memory, one step at a time. A strategy asks which CPUs are
 * enabled and grants one of them a step; the machine performs that CPU's pending op, resumes its
 * generator, and runs on through everything that needs no scheduling (plain accesses, which the
 * race detector watches; pauses; interrupt points) to the CPU's next scheduling point. So every
 * CPU's next op is known before it is granted: that is what partial-order reduction needs.
 *
 * A choice is an integer: the CPU, plus `DIE` for "this CPU dies here", plus `PICK * k` for "this
 * notify wakes the k-th sleeper first".
 *
 * Invariants: one run at a time in a thread; everything a run does is a function of its choices
 * (if the program under test is deterministic). Used by the strategies and the report.
 */
import { RaceDetector } from '../oracle/race.ts';
import {
  ATOMIC_READ,
  ATOMIC_UPDATE,
  ATOMIC_WRITE,
  PLAIN_READ,
  PLAIN_WRITE,
  WORD_ORDINARY,
} from '../oracle/race.ts';
import { AddressSpace } from './memory.ts';
import { Generator, host } from './ops.ts';
import { perform } from './perform.ts';
import type { Outcome, Program, Recorder, RunOptions } from './program.ts';
import {
  BULK,
  COMPARE_EXCHANGE,
  LOAD,
  MARK,
  NOTIFY,
  Op,
  PAUSE,
  POINT,
  READ,
  SPURIOUS,
  STORE,
  type Steps,
  TIMEOUT,
  VIEW_GET,
  WAIT,
  WAIT_ASYNC,
  WAKE,
  WRITE,
} from './protocol.ts';
import { SpinWatch } from './spin.ts';
import { Waiters } from './waiters.ts';

/** Added to the CPU in a choice: it dies at its pending op. */
export const DIE: number = 1 << 8;
/** Multiplied by k in a choice: the notify wakes the k-th sleeper first. */
export const PICK: number = 1 << 9;
/** Mask of the CPU in a choice. */
export const CPU_MASK: number = DIE - 1;

export const READY = 0;
/** Asleep without a timeout. */
export const ASLEEP = 1;
/** Asleep; may time out (or wake spuriously) at any time. */
export const TIMED = 2;
export const DONE = 3;
export const DEAD = 4;
/** The recoverer before the first death. */
export const DORMANT = 5;

/** Accesses without effect after which a loop counts as one without a bound. */
const SPIN_OUT = 4096;
/** Time-outs of one wait, with nothing changed, after which the same holds. */
const TIME_OUTS = 8;
/** Address range of a step that may have read anything. */
export const ANYWHERE: number = 2 ** 50;
/** Accesses in a run, plain ones included, before it is cut: a loop without scheduling points. */
const ACCESS_LIMIT = 500_000;

/** One operation of the history, for linearizability. Times are step numbers. */
export interface HistoryEntry {
  readonly cpu: number;
  readonly name: string;
  readonly args: readonly unknown[];
  result: unknown;
  /** -1: not begun. */
  invoked: number;
  /** -1: not returned (the run ended, or the CPU died). */
  returned: number;
}

interface Job {
  callback: (result: string) => unknown;
  result: string;
}

class Cpu {
  readonly op: Op = new Op();
  status: number = DONE;
  generator: Steps | null = null;
  /** Next body of the CPU's list. */
  next: number = 0;
  entry: HistoryEntry | null = null;
  jobs: Job[] = [];
  /** Asynchronous waits that somebody listens to and nobody has notified. */
  asyncWaits: number = 0;
}

/** Is the stored element what the operand becomes when it is converted to the element type? */
function equals(element: unknown, operand: unknown, size: number): boolean {
  if (element === operand) return true;
  if (typeof element === 'bigint') {
    return typeof operand === 'bigint' && BigInt.asIntN(64, element) === BigInt.asIntN(64, operand);
  }
  const mask = size === 4 ? -1 : (1 << (8 * size)) - 1;
  return ((Number(element) ^ Number(operand)) & mask) === 0;
}

/** Explores nothing itself: performs what it is told. */
export class Machine {
  readonly program: Program;
  readonly options: RunOptions;
  /** Virtual CPUs, the recoverer included (last). */
  readonly n: number;
  readonly memory: AddressSpace = new AddressSpace();
  readonly races: RaceDetector | null;
  readonly spin: SpinWatch;
  readonly waiters: Waiters = new Waiters();
  readonly cpus: Cpu[] = [];
  readonly history: HistoryEntry[] = [];
  /** Scheduling steps so far. */
  steps: number = 0;
  /** Performed ops so far, plain ones included. */
  accesses: number = 0;
  /** CPUs whose pending op can be performed, as a bit mask. */
  ready: number = 0;
  /** The CPU that stepped last; -1 at the beginning. */
  last: number = -1;
  deaths: number = 0;
  /** Set as soon as the run has failed. */
  outcome: Outcome | null = null;
  context: any = null;
  prepared: any = null;
  recorder: Recorder | null = null;
  /** Loops that were folded in this run. */
  folded: number = 0;
  /** This run found out that a loop has no bound and was given up: search again. */
  learned: boolean = false;
  /** What the last step did, for the reduction. */
  stepAddress: number = -1;
  stepSize: number = 0;
  stepWrote: boolean = false;
  stepWoke: number = 0;
  /** The run was given up without a verdict. */
  stopped: boolean = false;
  /** Accesses of a spin-out so far. */
  #spun: number = 0;
  /** A CPU whose pending op is a place to die but not to switch; -1: none. */
  #urgent: number = -1;
  /** Has any run touched shared memory from a CPU? */
  touched: boolean = false;
  /** Names of the CPUs that have died, in order. */
  readonly dead: string[] = [];
  #spurious: number[] = [];
  /** Time-outs of asynchronous waits: due when nothing else can run. */
  #timers: (() => void)[] = [];
  readonly #direct = new Op();
  #running: number = -1;
  readonly #snapshots: { live: Uint8Array; saved: Uint8Array }[] = [];
  #isPrepared: boolean = false;

  constructor(program: Program, options: RunOptions) {
    this.program = program;
    this.options = options;
    this.n = program.cpus.length + (program.onDeath === undefined ? 0 : 1);
    for (let c = 0; c < this.n; c++) this.cpus.push(new Cpu());
    this.races = options.race ? new RaceDetector(this.n) : null;
    this.spin = new SpinWatch(this.n, options.spinLimit);
    if (this.races !== null) this.races.wordAt = this.#wordAt();
  }

  #wordAt(): ((address: number) => number) | null {
    const { words } = this.program;
    if (!words.hasRacy) return null;
    const known = new Map<number, number>();
    return (address) => {
      let kind = known.get(address);
      if (kind === undefined) {
        const buffer = this.memory.bufferAt(address);
        kind =
          buffer === undefined
            ? WORD_ORDINARY
            : words.racyKind(address - buffer.base, buffer.index);
        known.set(address, kind);
      }
      return kind;
    };
  }

  // ---------------------------------------------------------------- a run

  /** Sets everything up and runs each CPU to its first scheduling point. */
  start(): void {
    const { program, memory } = this;
    this.steps = 0;
    this.accesses = 0;
    this.ready = 0;
    this.last = -1;
    this.deaths = 0;
    this.outcome = null;
    this.folded = 0;
    this.learned = false;
    if (this.#timers.length > 0) this.#timers = [];
    this.stopped = false;
    this.#urgent = -1;
    this.dead.length = 0;
    this.history.length = 0;
    this.waiters.reset();
    this.spin.reset();
    this.races?.reset();
    memory.reset();
    this.#running = -1;
    host.current = this.#direct;
    host.perform = this.#now;
    if (program.prepare !== undefined) {
      if (!this.#isPrepared) {
        this.prepared = this.runDirectly(program.prepare());
        memory.scan(this.prepared);
        for (const { buffer } of memory.buffers) {
          const live = new Uint8Array(buffer);
          this.#snapshots.push({ live, saved: live.slice() });
        }
        this.#isPrepared = true;
      } else {
        for (const { live, saved } of this.#snapshots) live.set(saved);
      }
      memory.scan(this.prepared);
    }
    this.context = this.runDirectly(program.setup(this.prepared));
    memory.scan(this.context);
    for (let c = 0; c < this.n; c++) {
      const cpu = this.cpus[c] as Cpu;
      this.#spurious[c] = 0;
      cpu.status = READY;
      cpu.generator = null;
      cpu.next = 0;
      cpu.entry = null;
      cpu.asyncWaits = 0;
      if (cpu.jobs.length > 0) cpu.jobs = [];
      if (c === program.cpus.length) {
        cpu.status = DORMANT;
        continue;
      }
      if (this.outcome === null) this.#resume(c, undefined, false);
    }
  }

  /**
   * CPUs that may be granted a step: ready, and not going round a loop that only another CPU can
   * end. A loop that may have a bound is granted one step in which it runs to that bound.
   */
  enabled(): number {
    if (this.stopped || this.outcome !== null) return 0;
    // Virtual time passes when nobody can run.
    while (this.ready === 0 && this.#timers.length > 0) this.#timers.shift()?.();
    const { ready } = this;
    if (this.#urgent >= 0 && ((ready >>> this.#urgent) & 1) === 1) return 1 << this.#urgent;
    return ready & ~this.spin.awaiting;
  }

  /** CPUs that may die now (crash modes): at an interrupt point, or asleep, or about to wake. */
  mortal(): number {
    const { crash, deaths } = this.options;
    if (crash === 'none' || this.deaths >= deaths || this.outcome !== null) return 0;
    let mask = 0;
    for (let c = 0; c < this.program.cpus.length; c++) {
      const { status, op } = this.cpus[c] as Cpu;
      if (status === DONE || status === DEAD) continue;
      const waits = status === ASLEEP || status === TIMED || op.kind === WAKE;
      // Later is the same as now, except for those who can be woken meanwhile.
      const arrived = c === this.last || this.steps === 0;
      if (waits || (arrived && (op.kind === POINT || op.kind === WAIT || crash === 'any'))) {
        mask |= 1 << c;
      }
    }
    return mask;
  }

  /** Would the pending op of a CPU write, if it were performed now? (A failing CAS only reads.) */
  wouldWrite(c: number): boolean {
    const { op } = this.cpus[c] as Cpu;
    switch (op.kind) {
      case LOAD:
      case READ:
      case VIEW_GET:
      case WAKE:
      case POINT:
        return false;
      case COMPARE_EXCHANGE:
      case WAIT:
        return op.address < 0 || equals(op.target[op.index], op.value, op.size);
      default:
        return true;
    }
  }

  /** Sleepers a notify of CPU c could wake first, when `notifyOrder` is 'any'; 0 or 1: no choice. */
  picks(c: number): number {
    const { op, status } = this.cpus[c] as Cpu;
    if (this.options.notifyOrder !== 'any' || op.kind !== NOTIFY || status !== READY) return 0;
    const waiting = this.waiters.count(op.address);
    return op.value === undefined || Number(op.value) >= waiting ? 0 : waiting;
  }

  /** Performs one choice. */
  step(choice: number): void {
    const c = choice & CPU_MASK;
    this.last = c;
    this.steps++;
    if (this.steps > this.options.stepLimit || this.accesses > ACCESS_LIMIT) {
      this.outcome = { kind: 'step limit', message: `cut after ${this.steps - 1} steps` };
      return;
    }
    if ((choice & DIE) !== 0) this.#die(c);
    else this.#grant(c, choice >>> 9);
  }

  /** The verdict of a run in which no CPU is enabled any more. */
  finish(): Outcome | null {
    if (this.outcome !== null) return this.outcome;
    let asleep = '';
    let spinning = '';
    for (let c = 0; c < this.n; c++) {
      const { status, op, asyncWaits } = this.cpus[c] as Cpu;
      if (status === ASLEEP) asleep += ` ${this.name(c)}`;
      else if (status === READY || status === TIMED) spinning += ` ${this.name(c)}`;
      else if (status === DONE && asyncWaits > 0) asleep += ` ${this.name(c)} (waitAsync)`;
      void op;
    }
    if (spinning !== '') {
      this.outcome = {
        kind: 'livelock',
        message: `spinning with nobody left to end it:${spinning}${
          asleep === '' ? '' : `; asleep:${asleep}`
        }`,
      };
    } else if (asleep !== '') {
      this.outcome = { kind: 'deadlock', message: `asleep with nobody left to wake:${asleep}` };
    } else {
      this.#attempt('final', () => {
        const { final } = this.program;
        if (
          final !== undefined &&
          this.runDirectly(final(this.context, { dead: this.dead, history: this.history })) ===
            false
        ) {
          throw new Error('final returned false');
        }
      });
    }
    return this.outcome;
  }

  name(c: number): string {
    return this.program.cpus[c]?.name ?? 'onDeath';
  }

  /** Runs code outside any CPU to its end: set-up, invariants, final checks. */
  runDirectly(value: unknown): any {
    if (!(value instanceof Generator)) return value;
    const before = host.current;
    const running = this.#running;
    this.#running = -1;
    host.current = this.#direct;
    try {
      const generator = value as Steps;
      let step = generator.next();
      while (step.done !== true) {
        let result: unknown;
        try {
          result = this.#performNow(step.value);
        } catch (error) {
          step = generator.throw(error);
          continue;
        }
        step = generator.next(result);
      }
      return step.value;
    } finally {
      host.current = before;
      this.#running = running;
    }
  }

  // ---------------------------------------------------------------- a step

  #grant(c: number, pick: number): void {
    const cpu = this.cpus[c] as Cpu;
    const { op } = cpu;
    const spinsOut = ((this.spin.folded >>> c) & 1) === 1;
    this.#spun = spinsOut ? 1 : 0;
    this.spin.release(c);
    this.#urgent = -1;
    if (cpu.entry !== null && cpu.entry.invoked < 0) cpu.entry.invoked = this.steps;
    this.stepAddress = op.address;
    this.stepSize = op.size;
    this.stepWrote = false;
    this.stepWoke = 0;
    let result: unknown;
    let failed = false;
    try {
      result = this.#execute(c, op, pick);
      if (cpu.status !== READY) {
        this.#invariant();
        return;
      }
    } catch (error) {
      failed = true;
      result = error;
    }
    this.#resume(c, result, failed);
    if (spinsOut) {
      // It has read whatever its loop looks at.
      this.stepAddress = 0;
      this.stepSize = ANYWHERE;
      this.#spun = 0;
    }
  }

  #execute(c: number, op: Op, pick: number): unknown {
    const { kind } = op;
    if (kind < WAIT) return this.#atomic(c, op);
    if (kind === WAIT || kind === WAIT_ASYNC) return this.#wait(c, op);
    if (kind === NOTIFY) return this.#notify(c, op, pick);
    if (kind >= WAKE && kind <= SPURIOUS) return this.#wake(c, op);
    return kind >= PAUSE ? undefined : this.#plain(c, op);
  }

  #atomic(c: number, op: Op): unknown {
    const { target, index, address, kind } = op;
    this.accesses++;
    if (address < 0) return perform(op);
    this.touched = true;
    const old = target[index];
    const result = perform(op);
    const now = target[index];
    const wrote = kind !== LOAD && (kind !== COMPARE_EXCHANGE || equals(old, op.value, op.size));
    this.stepWrote = wrote;
    if (now !== old) this.spin.changed(c, address, op.size);
    else this.spin.unchanged(c, op);
    if (this.races !== null) {
      const mode = !wrote ? ATOMIC_READ : kind === STORE ? ATOMIC_WRITE : ATOMIC_UPDATE;
      this.races.access(c, address, op.size, mode, op.site);
      if (this.races.race !== null) this.#race();
    }
    if (this.recorder !== null) this.recorder.access(c, op, old, now, result);
    return result;
  }

  #plain(c: number, op: Op): unknown {
    this.accesses++;
    const { kind, address, races } = { kind: op.kind, address: op.address, races: this.races };
    if (address < 0) return perform(op);
    this.touched = true;
    if (kind === BULK) return this.#bulk(c, op);
    const reads = kind === READ || kind === VIEW_GET;
    const old = this.recorder !== null || kind === WRITE ? this.#peek(op) : undefined;
    const result = perform(op);
    this.stepWrote = !reads;
    if (!reads) this.spin.changed(c, address, op.size);
    else if (kind === READ) this.spin.unchanged(c, op);
    if (races !== null) {
      races.access(c, address, op.size, reads ? PLAIN_READ : PLAIN_WRITE, op.site);
      if (races.race !== null) this.#race();
    }
    if (this.recorder !== null) {
      this.recorder.access(c, op, old, reads ? result : this.#peek(op), result);
    }
    return result;
  }

  #peek(op: Op): unknown {
    if (op.kind === READ || op.kind === WRITE) return op.target[op.index];
    const getter = `get${op.method.slice(3)}`;
    const { args } = op;
    return op.target[getter](args[0], args[op.kind === VIEW_GET ? 1 : 2]);
  }

  #bulk(c: number, op: Op): unknown {
    const ranges = this.memory.ranges(op);
    const result = perform(op);
    for (const { address, size, write } of ranges) {
      if (write) {
        this.spin.changed(c, address, size);
        this.stepWrote = true;
      }
      this.races?.access(c, address, size, write ? PLAIN_WRITE : PLAIN_READ, op.site);
    }
    if (this.races !== null && this.races.race !== null) this.#race();
    if (this.recorder !== null) this.recorder.access(c, op, undefined, undefined, result);
    return result;
  }

  #race(): void {
    const race = this.races?.race;
    if (race === null || race === undefined || this.outcome !== null) return;
    this.outcome = { kind: 'race', message: race.mixed ? 'mixed widths' : 'data race', race };
  }

  // ---------------------------------------------------------------- waiting

  #wait(c: number, op: Op): unknown {
    const { target, index, address } = op;
    const cpu = this.cpus[c] as Cpu;
    const asynchronous = op.kind === WAIT_ASYNC;
    // The real operation's checks: an Int32Array or BigInt64Array over shared memory, in range.
    if (!(target instanceof Int32Array || target instanceof BigInt64Array) || address < 0) {
      Atomics.notify(target as Int32Array, index, 0);
      throw new TypeError('Atomics.wait needs an Int32Array or BigInt64Array on shared memory');
    }
    this.accesses++;
    this.touched = true;
    const value = Atomics.load(target as Int32Array, index);
    const { races } = this;
    races?.enterList(c, address);
    races?.access(c, address, op.size, ATOMIC_READ, op.site);
    if (races !== null && races.race !== null) this.#race();
    const given = op.extra === undefined ? Number.NaN : Number(op.extra);
    const timeout = Number.isNaN(given) ? Number.POSITIVE_INFINITY : Math.max(given, 0);
    const differs = !equals(value, op.value, op.size);
    if (differs || timeout === 0) {
      races?.leaveList(c, address);
      const result = differs ? 'not-equal' : 'timed-out';
      this.spin.unchanged(c, op);
      if (this.recorder !== null) this.recorder.access(c, op, value, value, result);
      return asynchronous ? { async: false, value: result } : result;
    }
    this.stepWrote = true;
    races?.leaveList(c, address);
    if (asynchronous) {
      if (this.recorder !== null) this.recorder.access(c, op, value, value, 'waits');
      const timed = timeout !== Number.POSITIVE_INFINITY;
      return { async: true, value: this.#listen(c, address, timed) };
    }
    this.waiters.add(address, c);
    this.ready &= ~(1 << c);
    const spurious = this.options.spurious && (this.#spurious[c] as number) < 1;
    if (timeout !== Number.POSITIVE_INFINITY) {
      cpu.status = TIMED;
      this.ready |= 1 << c;
      if (this.recorder !== null) this.recorder.access(c, op, value, value, 'sleeps');
      // Time-outs with nothing changed in between are a loop.
      if (this.spin.repeats(c, op)) {
        if (this.spin.isAwait(op.site)) {
          this.spin.fold(c, op.site);
          this.folded++;
        } else if (this.spin.rounds(c, op) > TIME_OUTS) {
          this.spin.learn(c);
          this.learned = true;
          this.stopped = true;
        }
      }
      op.kind = TIMEOUT;
    } else if (spurious) {
      cpu.status = TIMED;
      this.ready |= 1 << c;
      if (this.recorder !== null) this.recorder.access(c, op, value, value, 'sleeps');
      op.kind = SPURIOUS;
    } else {
      cpu.status = ASLEEP;
      if (this.recorder !== null) this.recorder.access(c, op, value, value, 'sleeps');
    }
    return undefined;
  }

  /** The thenable of waitAsync: its callback is a job of the CPU, after its bodies. */
  #listen(c: number, address: number, timed: boolean): object {
    const cpu = this.cpus[c] as Cpu;
    let callback: ((result: string) => unknown) | null = null;
    let settled: string | null = null;
    const settle = (result: string): void => {
      if (settled !== null) return;
      settled = result;
      if (callback !== null) this.#call(c, address, callback, result);
    };
    this.waiters.addAsync(address, c, settle);
    if (timed) this.#timers.push(() => settle('timed-out'));
    return {
      // oxlint-disable-next-line unicorn/no-thenable -- it stands in for the promise of waitAsync
      then: (resolved: (result: string) => unknown): void => {
        callback = resolved;
        cpu.asyncWaits++;
        if (settled !== null) this.#call(c, address, callback, settled);
      },
    };
  }

  /** Queues a settled waitAsync's callback; an idle CPU takes it up at once. */
  #call(c: number, address: number, callback: Job['callback'], result: string): void {
    const cpu = this.cpus[c] as Cpu;
    cpu.asyncWaits--;
    cpu.jobs.push({ callback, result });
    this.races?.enterList(c, address);
    this.stepWoke |= 1 << c;
    if (cpu.status !== DONE) return;
    const { current } = host;
    const running = this.#running;
    cpu.status = READY;
    this.#resume(c, undefined, false);
    host.current = current;
    this.#running = running;
  }

  #notify(c: number, op: Op, pick: number): number {
    const { address } = op;
    this.accesses++;
    // Checks the arguments as the real one does; nobody really sleeps.
    Atomics.notify(op.target as Int32Array, op.index, 0);
    if (address < 0) return 0;
    const count =
      op.value === undefined
        ? Number.POSITIVE_INFINITY
        : Math.max(Math.trunc(Number(op.value)) || 0, 0);
    this.stepWrote = true;
    this.races?.enterList(c, address);
    this.races?.leaveList(c, address);
    let woken = 0;
    while (woken < count) {
      const waiter = this.waiters.take(address, woken === 0 ? pick : 0);
      if (waiter === undefined) break;
      woken++;
      if (waiter.wake !== null) {
        waiter.wake('ok');
        continue;
      }
      const cpu = this.cpus[waiter.cpu] as Cpu;
      cpu.status = READY;
      cpu.op.kind = WAKE;
      this.ready |= 1 << waiter.cpu;
      this.stepWoke |= 1 << waiter.cpu;
      this.spin.progress(waiter.cpu);
    }
    if (this.recorder !== null) this.recorder.access(c, op, undefined, undefined, woken);
    return woken;
  }

  #wake(c: number, op: Op): string {
    const cpu = this.cpus[c] as Cpu;
    const { kind } = op;
    this.accesses++;
    this.races?.enterList(c, op.address);
    if (kind !== WAKE) {
      this.waiters.remove(op.address, c);
      this.stepWrote = true;
      if (kind === SPURIOUS) this.#spurious[c] = (this.#spurious[c] as number) + 1;
      else {
        op.kind = WAIT;
        this.spin.unchanged(c, op);
        op.kind = kind;
      }
    }
    this.races?.leaveList(c, op.address);
    cpu.status = READY;
    const result = kind === TIMEOUT ? 'timed-out' : 'ok';
    if (this.recorder !== null) this.recorder.access(c, op, undefined, undefined, result);
    return result;
  }

  // ---------------------------------------------------------------- running on

  /** Resumes a CPU and runs it to its next scheduling point, its end, or a failure. */
  #resume(c: number, value: unknown, failed: boolean): void {
    const cpu = this.cpus[c] as Cpu;
    const { op } = cpu;
    const bit = 1 << c;
    let result = value;
    let throwing = failed;
    this.#running = c;
    host.current = op;
    for (;;) {
      if (this.outcome !== null) break;
      if (cpu.generator === null && !this.#begin(c, cpu)) {
        cpu.status = DONE;
        this.ready &= ~bit;
        this.spin.progress(c);
        break;
      }
      const generator = cpu.generator as unknown as Steps;
      let step: IteratorResult<Op, unknown>;
      try {
        step = throwing ? generator.throw(result) : generator.next(result);
      } catch (error) {
        this.outcome ??= {
          kind: 'exception',
          message: `${this.name(c)} threw ${String(error)}`,
          error,
        };
        break;
      }
      throwing = false;
      if (step.done === true) {
        this.#return(cpu, step.value);
        result = undefined;
        continue;
      }
      if (step.value !== op) {
        this.outcome = {
          kind: 'exception',
          message: `${this.name(c)} yielded something that is not its op (is it a generator of your own?)`,
        };
        break;
      }
      const isPoint = this.#isPoint(c, op);
      if (isPoint) {
        this.ready |= bit;
        const repeats = this.spin.repeats(c, op) && (op.kind !== WAIT || !this.wouldWrite(c));
        if (!repeats) break;
        if (this.#spun === 0 || this.spin.isAwait(op.site)) {
          this.spin.fold(c, op.site);
          this.folded++;
          break;
        }
        if (this.#spun++ > SPIN_OUT) {
          this.spin.learn(c);
          this.learned = true;
          this.stopped = true;
          break;
        }
      }
      try {
        result = isPoint ? this.#execute(c, op, 0) : this.#free(c, op);
      } catch (error) {
        throwing = true;
        result = error;
      }
    }
    this.#running = -1;
    this.#invariant();
  }

  /** Takes up the CPU's next body or job. */
  #begin(c: number, cpu: Cpu): boolean {
    const program = this.program.cpus[c];
    for (;;) {
      let value: unknown;
      try {
        if (program === undefined) {
          // Once for each death.
          const dead = this.dead[cpu.next];
          if (dead === undefined) return false;
          cpu.next++;
          value = this.program.onDeath?.(this.context, dead);
        } else if (cpu.next < program.bodies.length) {
          const body = program.bodies[cpu.next++];
          if (body === undefined) return false;
          if (body.name !== undefined) {
            cpu.entry = {
              cpu: c,
              name: body.name,
              args: body.args,
              result: undefined,
              invoked: -1,
              returned: -1,
            };
            this.history.push(cpu.entry);
          }
          value = body.run(this.context, this);
        } else {
          const job = cpu.jobs.shift();
          if (job === undefined) return false;
          value = job.callback(job.result);
        }
      } catch (error) {
        this.outcome ??= {
          kind: 'exception',
          message: `${this.name(c)} threw ${String(error)}`,
          error,
        };
        return false;
      }
      if (value instanceof Generator) {
        cpu.generator = value as unknown as Steps;
        return true;
      }
      this.#return(cpu, value);
    }
  }

  #return(cpu: Cpu, value: unknown): void {
    cpu.generator = null;
    const { entry } = cpu;
    if (entry === null) return;
    if (entry.invoked < 0) entry.invoked = this.steps;
    entry.returned = this.steps;
    entry.result = value;
    cpu.entry = null;
  }

  /** Is the pending op a scheduling point? Everything else runs on. */
  #isPoint(c: number, op: Op): boolean {
    const { kind } = op;
    if (kind <= NOTIFY) {
      this.memory.resolve(op);
      // Unshared memory: no other CPU can see it. waits go through, to fail as they should.
      return op.address >= 0 || kind >= WAIT;
    }
    if (kind === POINT || kind === PAUSE || kind === MARK) {
      if (kind !== POINT) return false;
      op.address = -1;
      return this.#isMortal(c);
    }
    this.memory.resolve(op);
    if (op.address < 0) return false;
    if (this.options.plainPoints) return true;
    const wordAt = this.races?.wordAt;
    if (wordAt !== null && wordAt !== undefined && kind !== BULK) {
      if (wordAt(op.address) !== WORD_ORDINARY) return true;
    }
    return this.options.crash === 'any' && this.#isMortal(c);
  }

  /** Stops a CPU for the one question whether it dies here. */
  #isMortal(c: number): boolean {
    const { crash, deaths } = this.options;
    if (crash === 'none' || this.deaths >= deaths || c >= this.program.cpus.length) return false;
    // Going round once more changes nothing: dying earlier is the same.
    if (this.#spun > 0) return false;
    this.#urgent = c;
    return true;
  }

  #free(c: number, op: Op): unknown {
    if (op.kind >= PAUSE) return undefined;
    if (op.kind < WAIT) {
      this.accesses++;
      return perform(op);
    }
    const result = this.#plain(c, op);
    if (this.accesses > ACCESS_LIMIT) {
      this.outcome = { kind: 'step limit', message: `cut after ${ACCESS_LIMIT} plain accesses` };
    }
    if (this.program.always !== undefined) this.#invariant();
    return result;
  }

  #invariant(): void {
    const { always } = this.program;
    if (always === undefined || this.outcome !== null) return;
    this.#attempt('always', () => {
      const value = this.runDirectly(always(this.context));
      if (value === false) throw new Error('always returned false');
    });
  }

  #attempt(kind: 'always' | 'final', body: () => void): void {
    const current = host.current;
    try {
      body();
    } catch (error) {
      this.outcome ??= {
        kind,
        message: error instanceof Error ? error.message : String(error),
        error,
      };
    }
    host.current = current;
  }

  #die(c: number): void {
    const cpu = this.cpus[c] as Cpu;
    // Abandoned where it stands: `finally` does not run.
    cpu.generator = null;
    cpu.jobs = [];
    cpu.asyncWaits = 0;
    this.waiters.removeAll(c);
    cpu.status = DEAD;
    this.ready &= ~(1 << c);
    this.spin.progress(c);
    this.deaths++;
    this.dead.push(this.name(c));
    this.#urgent = -1;
    this.stepAddress = -1;
    this.stepWrote = false;
    if (this.recorder !== null) this.recorder.died(c, cpu.op);
    const recoverer = this.program.cpus.length;
    if (recoverer >= this.n) {
      this.#invariant();
      return;
    }
    this.races?.fork(c, recoverer);
    const { status } = this.cpus[recoverer] as Cpu;
    if (status === DORMANT || status === DONE) {
      (this.cpus[recoverer] as Cpu).status = READY;
      this.#resume(recoverer, undefined, false);
    }
  }

  // ---------------------------------------------------------------- without a scheduler

  readonly #now = (op: Op): unknown => this.#performNow(op);

  #performNow(op: Op): unknown {
    if (op.kind >= PAUSE) return undefined;
    if (op.kind === WAIT || op.kind === WAIT_ASYNC) {
      const equal = Atomics.load(op.target, op.index) === op.value;
      if (equal) throw new Error('interleave: Atomics.wait would block where nothing can run');
      return op.kind === WAIT ? 'not-equal' : { async: false, value: 'not-equal' };
    }
    const c = this.#running;
    this.memory.resolve(op);
    if (c < 0) return op.kind === NOTIFY ? 0 : perform(op);
    if (op.kind === NOTIFY) return this.#notify(c, op, 0);
    return op.kind < WAIT ? this.#atomic(c, op) : this.#plain(c, op);
  }

  /** Ends the run without a verdict (a redundant one, under sleep sets). */
  stop(): void {
    this.stopped = true;
  }
}
