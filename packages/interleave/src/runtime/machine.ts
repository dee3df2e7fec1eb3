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
import { RaceDetector, WORD_ORDINARY } from '../oracle/race.ts';
import { atomic, equals, plain } from './access.ts';
import { ASLEEP, Cpu, DEAD, DONE, DORMANT, type HistoryEntry, READY, TIMED } from './cpu.ts';
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
  type Steps,
  VIEW_GET,
  WAIT,
  WAIT_ASYNC,
  WAKE,
} from './protocol.ts';
import { SpinWatch } from './spin.ts';
import { Waiters } from './waiters.ts';
import { notify, wait, wake } from './waiting.ts';

/** Added to the CPU in a choice: it dies at its pending op. */
export const DIE: number = 1 << 8;
/** Multiplied by k in a choice: the notify wakes the k-th sleeper first. */
export const PICK: number = 1 << 9;
/** Mask of the CPU in a choice. */
export const CPU_MASK: number = DIE - 1;

/** Accesses without effect after which a loop counts as one without a bound. */
const SPIN_OUT = 4096;
/** Address range of a step that may have read anything. */
export const ANYWHERE: number = 2 ** 50;
/** Accesses in a run, plain ones included, before it is cut: a loop without scheduling points. */
const ACCESS_LIMIT = 500_000;

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
  spurious: number[] = [];
  /** Time-outs of asynchronous waits: due when nothing else can run. */
  timers: (() => void)[] = [];
  readonly #direct = new Op();
  running: number = -1;
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
    if (this.timers.length > 0) this.timers = [];
    this.stopped = false;
    this.#urgent = -1;
    this.dead.length = 0;
    this.history.length = 0;
    this.waiters.reset();
    this.spin.reset();
    this.races?.reset();
    memory.reset();
    this.running = -1;
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
      this.spurious[c] = 0;
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
      if (this.outcome === null) this.resume(c, undefined, false);
    }
  }

  /**
   * CPUs that may be granted a step: ready, and not going round a loop that only another CPU can
   * end. A loop that may have a bound is granted one step in which it runs to that bound.
   */
  enabled(): number {
    if (this.stopped || this.outcome !== null) return 0;
    // Virtual time passes when nobody can run.
    while (this.ready === 0 && this.timers.length > 0) this.timers.shift()?.();
    const { ready } = this;
    if (this.#urgent >= 0 && ((ready >>> this.#urgent) & 1) === 1) return 1 << this.#urgent;
    return ready & ~this.spin.awaiting;
  }

  /**
   * CPUs that may die now (crash modes): at an interrupt point (function entry, loop back edge,
   * entry of an Atomics call), or asleep, or about to wake.
   */
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
      // V8 also stops a worker at the entry of an Atomics call, before its effect; never at notify.
      const stops = op.kind === POINT || op.kind <= WAIT_ASYNC;
      if (waits || (arrived && (stops || crash === 'any'))) {
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
    const running = this.running;
    this.running = -1;
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
      this.running = running;
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
    // What runs on behind the granted op is plain: race-free accesses, or the detector says so.
    const { stepWrote } = this;
    this.resume(c, result, failed);
    this.stepWrote = stepWrote;
    if (spinsOut) {
      // It has read whatever its loop looks at.
      this.stepAddress = 0;
      this.stepSize = ANYWHERE;
      this.#spun = 0;
    }
  }

  #execute(c: number, op: Op, pick: number): unknown {
    const { kind } = op;
    if (kind < WAIT) return atomic(this, c, op);
    if (kind === WAIT || kind === WAIT_ASYNC) return wait(this, c, op);
    if (kind === NOTIFY) return notify(this, c, op, pick);
    if (kind >= WAKE && kind <= SPURIOUS) return wake(this, c, op);
    return kind >= PAUSE ? undefined : plain(this, c, op);
  }

  reportRace(): void {
    const race = this.races?.race;
    if (race === null || race === undefined || this.outcome !== null) return;
    this.outcome = { kind: 'race', message: race.mixed ? 'mixed widths' : 'data race', race };
  }

  // ---------------------------------------------------------------- running on

  /** Resumes a CPU and runs it to its next scheduling point, its end, or a failure. */
  resume(c: number, value: unknown, failed: boolean): void {
    const cpu = this.cpus[c] as Cpu;
    const { op } = cpu;
    const bit = 1 << c;
    let result = value;
    let throwing = failed;
    this.running = c;
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
    this.running = -1;
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
    const result = plain(this, c, op);
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
      this.resume(recoverer, undefined, false);
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
    const c = this.running;
    this.memory.resolve(op);
    if (c < 0) return op.kind === NOTIFY ? 0 : perform(op);
    if (op.kind === NOTIFY) return notify(this, c, op, 0);
    return op.kind < WAIT ? atomic(this, c, op) : plain(this, c, op);
  }

  /** Ends the run without a verdict (a redundant one, under sleep sets). */
  stop(): void {
    this.stopped = true;
  }
}
