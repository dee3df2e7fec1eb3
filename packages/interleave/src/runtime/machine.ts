/**
 * The machine: virtual CPUs over real memory, one step at a time. A strategy is asked which of the
 * enabled CPUs takes the next step; that CPU's pending op is performed, and its code runs on through
 * everything that needs no scheduling (plain accesses, which the race detector watches; pauses;
 * interrupt points) to its next scheduling point. So every CPU's next op is known before it is
 * granted: that is what partial-order reduction needs.
 *
 * This file has the state, and the life of a run. The other rooms: `arrive.ts` what happens at an
 * op, `grant.ts` a step, `resume.ts` a CPU's code, `access.ts` and `waiting.ts` the ops, `death.ts`,
 * `direct.ts` code outside any CPU, `verdict.ts`.
 *
 * Invariants: one run at a time in a thread; everything a run does is a function of its choices
 * (if the program under test is deterministic). Used by the strategies and the report.
 */
import { RaceDetector } from '../oracle/race.ts';
import { arrive } from './arrive.ts';
import { NONE, UNDECIDED } from './choice.ts';
import { Clock } from './clock.ts';
import { Cpu, DORMANT, type HistoryEntry, READY } from './cpu.ts';
import { recoverers } from './death.ts';
import { performNow, runDirectly } from './direct.ts';
import { step } from './grant.ts';
import { AddressSpace } from './memory.ts';
import { host } from './ops.ts';
import type { Outcome, Program, Recorder, RunOptions } from './program.ts';
import { Op } from './protocol.ts';
import { resume } from './resume.ts';
import { Snapshots } from './snapshot.ts';
import { SpinWatch } from './spin.ts';
import { invariant, verdict } from './verdict.ts';
import { Waiters } from './waiters.ts';
import { expire, type Timer } from './waiting.ts';
import { WordKinds } from './word-kinds.ts';

/** Who chooses: a search strategy, a replay. */
export interface Chooser {
  /** A choice among the enabled CPUs (bit mask, never 0); negative: give the run up. */
  pick(machine: Machine, enabled: number): number;
}

/** Explores nothing itself: performs what it is told. */
export class Machine {
  readonly program: Program;
  readonly options: RunOptions;
  /** Virtual CPUs, the recoverers included (last). */
  readonly n: number;

  // What a machine has.
  readonly memory: AddressSpace = new AddressSpace();
  readonly kinds: WordKinds;
  readonly races: RaceDetector | null;
  readonly spin: SpinWatch;
  readonly waiters: Waiters = new Waiters();
  readonly clock: Clock;
  readonly cpus: Cpu[] = [];
  readonly direct: Op = new Op();
  recorder: Recorder | null = null;
  /** Has any run touched shared memory from a CPU? */
  touched: boolean = false;
  readonly #snapshots: Snapshots = new Snapshots();
  #chooser: Chooser = { pick: () => NONE };
  prepared: any = null;

  // The state of a run.
  context: any = null;
  readonly choices: number[] = [];
  readonly history: HistoryEntry[] = [];
  /** Scheduling steps so far. */
  steps: number = 0;
  /** Performed ops so far, plain ones included. */
  accesses: number = 0;
  /** CPUs whose pending op can be performed, as a bit mask. */
  ready: number = 0;
  /** The CPU that stepped last; -1 at the beginning. */
  last: number = -1;
  /** The CPU whose code runs right now; -1: none, what runs is outside. */
  running: number = -1;
  /** Code of a CPU runs inside another one's step, or before the first: no scheduling there. */
  nested: boolean = false;
  /** The next choice, when it was made behind the last step: see `arrive`. */
  next: number = UNDECIDED;
  /** A CPU whose pending op is a place to die but not to switch; -1: none. */
  urgent: number = -1;
  /** Names of the CPUs that have died, in order. */
  readonly dead: string[] = [];
  /** A recoverer that the last step has started; -1: none. */
  fresh: number = -1;
  /** Deaths to be recovered, in the order in which they will be. */
  readonly estate: string[] = [];
  readonly spurious: number[] = [];
  /** Time-outs of asynchronous waits: due when nothing else can run, the earliest first. */
  readonly timers: Timer[] = [];
  /** Set as soon as the run has failed. */
  outcome: Outcome | null = null;
  /** The run was given up without a verdict. */
  stopped: boolean = false;
  /** This run found out that a loop has no bound and was given up: search again. */
  learned: boolean = false;
  /** Loops that were folded in this run. */
  folded: number = 0;
  /** Accesses so far of a step in which a folded loop runs to its bound; 0: no such step. */
  spun: number = 0;

  // What the last step did, for the reduction.
  stepAddress: number = -1;
  stepSize: number = 0;
  stepWrote: boolean = false;
  stepWoke: number = 0;
  /** Did the last plain access write? */
  plainWrote: boolean = false;

  constructor(program: Program, options: RunOptions) {
    this.program = program;
    this.options = options;
    this.n = program.cpus.length + recoverers(program, options);
    for (let c = 0; c < this.n; c++) this.cpus.push(new Cpu());
    this.kinds = new WordKinds(program.words, this.memory);
    this.races = options.race ? new RaceDetector(this.n, this.kinds) : null;
    this.spin = new SpinWatch(this.n, options.spinLimit);
    this.clock = new Clock(this.n);
  }

  /**
   * Makes one run; what was chosen is left in `choices`. null: no failure. When `learned` is set
   * afterwards, the run was given up and the strategy must begin anew.
   */
  run(chooser: Chooser): Outcome | null {
    this.#chooser = chooser;
    this.start();
    let choice = this.choose();
    while (choice >= 0) {
      step(this, choice);
      choice = this.next === UNDECIDED ? this.choose() : this.next;
    }
    return this.stopped ? null : verdict(this);
  }

  /** Sets everything up and runs each CPU to its first scheduling point. */
  start(): void {
    const { program } = this;
    this.#reset();
    host.current = this.direct;
    host.arrive = this.#arrive;
    host.perform = this.#perform;
    host.now = this.#now;
    host.points = this.options.crash !== 'none';
    if (program.prepare !== undefined) {
      if (this.#snapshots.taken) this.#snapshots.restore();
      else {
        this.prepared = runDirectly(this, program.prepare());
        this.memory.scan(this.prepared);
        this.memory.keep();
        this.clock.keep();
        this.#snapshots.take(this.memory);
      }
    }
    this.context = runDirectly(this, program.setup(this.prepared));
    if (this.context !== this.prepared) this.memory.scan(this.context);
    this.clock.begin();
    this.nested = true;
    for (let c = 0; c < this.n; c++) {
      const cpu = this.cpus[c] as Cpu;
      this.spurious[c] = 0;
      cpu.reset(c < program.cpus.length ? READY : DORMANT);
      if (cpu.status === DORMANT || this.outcome !== null) continue;
      resume(this, c, undefined, false);
      invariant(this);
    }
    this.nested = false;
  }

  #reset(): void {
    this.choices.length = 0;
    this.history.length = 0;
    this.steps = 0;
    this.accesses = 0;
    this.ready = 0;
    this.last = -1;
    this.running = -1;
    this.nested = false;
    this.next = UNDECIDED;
    this.urgent = -1;
    this.dead.length = 0;
    this.estate.length = 0;
    this.fresh = -1;
    this.timers.length = 0;
    this.outcome = null;
    this.stopped = false;
    this.learned = false;
    this.folded = 0;
    this.spun = 0;
    this.waiters.reset();
    this.spin.reset();
    this.races?.reset();
    this.memory.reset();
    this.clock.reset();
  }

  /** Asks for the next choice; negative: the run is over. */
  choose(): number {
    const enabled = this.enabled();
    if (enabled === 0) return NONE;
    const choice = this.#chooser.pick(this, enabled);
    if (choice < 0) return NONE;
    this.choices.push(choice);
    return choice;
  }

  /**
   * CPUs that may be granted a step: ready, and not going round a loop that only another CPU can
   * end. A loop that may have a bound is granted one step in which it runs to that bound.
   */
  enabled(): number {
    if (this.stopped || this.outcome !== null) return 0;
    while (this.ready === 0 && this.timers.length > 0) expire(this.timers);
    const { ready, urgent } = this;
    if (urgent >= 0 && ((ready >>> urgent) & 1) === 1) return 1 << urgent;
    return ready & ~this.spin.awaiting;
  }

  /** Ends the run without a verdict (a redundant one, under sleep sets). */
  stop(): void {
    this.stopped = true;
  }

  name(c: number): string {
    const recoverer = c - this.program.cpus.length;
    return this.program.cpus[c]?.name ?? (recoverer === 0 ? 'onDeath' : `onDeath ${recoverer + 1}`);
  }

  /** Runs code outside any CPU to its end: set-up, invariants, final checks. */
  runDirectly(value: unknown): any {
    return runDirectly(this, value);
  }

  // One closure each for the whole life: the transformed code calls them through `host`.
  readonly #arrive = (op: Op): boolean => arrive(this, op);
  readonly #perform = (op: Op): unknown => performNow(this, op);
  readonly #now = (): number => this.clock.look(this.running, this.spun);
}
