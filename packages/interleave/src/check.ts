/**
 * `check`: explores a scenario and returns a report. `check.generators` is the same for
 * hand-written generators, `check.outcomes` fills a table of outcomes, `check.ops` generates
 * scenarios from operations. Nothing here throws for a failure of the code under test: the report
 * says it (the vitest extension throws it).
 */
import { isLinearizable } from './oracle/linearizability.ts';
import type { Model } from './oracle/linearizability.ts';
import { html } from './report/html.ts';
import { text } from './report/text.ts';
import { record, type Trace } from './report/trace.ts';
import { Machine } from './runtime/machine.ts';
import type { FailureKind, Outcome, Program, RunOptions } from './runtime/program.ts';
import { compile, describeProgram, type End, type Scenario, without } from './scenario.ts';
import { type Judge, type Phase, search, type SearchOptions } from './search/portfolio.ts';
import { Random } from './search/random.ts';
import { format, parse } from './search/schedule.ts';
import { replay, shrink } from './search/shrink.ts';
import { divergence, signature, type StoredSchedule } from './search/store.ts';

/** How an outcome of a table is judged; one that is not listed is forbidden. */
export type Expectation = 'acceptable' | 'interesting' | 'forbidden';

/** How to explore. Every field has a default. */
export interface CheckOptions {
  /** Milliseconds of search. Default 2000. */
  readonly budgetMs?: number;
  /** Largest preemption bound, -1 for none. Default 2. */
  readonly preemptions?: number;
  /** Partial-order reduction. Default true. */
  readonly reduction?: boolean;
  /** PCT and uniform random. Default true. */
  readonly random?: boolean;
  /** Runs at most. Default: no limit. */
  readonly maxRuns?: number;
  /** Seed of the random strategies; printed. Default 1. */
  readonly seed?: number;
  /** Data race detection. Default true; off, plain accesses are scheduling points. */
  readonly race?: boolean;
  /** Scheduling steps of a run before it is cut (and counted). Default 2000. */
  readonly stepLimit?: number;
  /** Rounds of a spin loop without effect before it is folded. Default 2. */
  readonly spinLimit?: number;
  /** Waits may return without a notify. Default false: the specification has no such wake-up. */
  readonly spurious?: boolean;
  /** Which sleeper a notify wakes. Default 'fifo', as specified. */
  readonly notifyOrder?: 'fifo' | 'any';
  /** CPUs that die: where V8 can stop a worker, or anywhere. Default 'none'. */
  readonly crash?: 'none' | 'interrupt-points' | 'any';
  /** Deaths in a run, at most. Default 1. */
  readonly deaths?: number;
  /** Expectations of a table of outcomes. */
  readonly outcomes?: Readonly<Record<string, Expectation>>;
  /** The i-th of n parts of the search. Default [0, 1]. */
  readonly shard?: readonly [number, number];
  /** Follow this schedule only. */
  readonly replay?: string;
  /** Schedules that failed before; run first. */
  readonly stored?: readonly StoredSchedule[];
  /** Shrink the schedule of a failure. Default true. */
  readonly shrink?: boolean;
  /**
   * Drop operations and CPUs that the failure does not need. Default: for races and
   * linearizability, where every part of a scenario is a valid scenario.
   */
  readonly minimise?: boolean;
}

/** A failure, with the run that shows it. */
export interface CheckFailure {
  readonly kind: FailureKind | 'unreachable';
  readonly message: string;
  readonly error?: unknown;
  readonly schedule: string;
  readonly trace: Trace | null;
  /** The smallest scenario that fails so, when it is smaller than the given one. */
  readonly scenario: string;
  /** One line to paste. */
  replay: string;
}

/** The result of a check. */
export interface CheckReport {
  readonly name: string;
  readonly ok: boolean;
  readonly failure: CheckFailure | null;
  readonly phases: readonly Phase[];
  readonly runs: number;
  readonly steps: number;
  readonly ms: number;
  /** Runs cut at the step limit: not judged. */
  readonly cut: number;
  /** Runs with a folded spin loop. */
  readonly folded: number;
  readonly exhaustive: '' | 'schedules' | 'classes';
  /** What was covered, and what was not, in words. */
  readonly covered: string;
  readonly seed: number;
  readonly reachable: Readonly<Record<string, number>>;
  readonly outcomes: Readonly<Record<string, { readonly count: number; readonly expect: string }>>;
  /** Remarks: schedules that diverged, non-determinism. */
  readonly notes: readonly string[];
  /** To be stored, and run first next time. */
  readonly stored: StoredSchedule | null;
  text(): string;
  /** A self-contained page to step through the failing run. */
  html(): string;
}

function runOptions(options: CheckOptions): RunOptions {
  const race = options.race ?? true;
  return {
    race,
    plainPoints: !race,
    stepLimit: options.stepLimit ?? 2000,
    spinLimit: options.spinLimit ?? 2,
    spurious: options.spurious ?? false,
    notifyOrder: options.notifyOrder ?? 'fifo',
    crash: options.crash ?? 'none',
    deaths: options.deaths ?? 1,
  };
}

interface Tally {
  readonly reachable: Record<string, number>;
  readonly outcomes: Record<string, { count: number; expect: string }>;
}

function judgeOf(scenario: Scenario, options: CheckOptions, tally: Tally | null): Judge {
  const { linearizable, leaks, outcome, reachable } = scenario;
  const predicates = Object.entries(reachable ?? {});
  if (tally !== null) for (const [name] of predicates) tally.reachable[name] = 0;
  return (machine: Machine): Outcome | null => {
    const end: End = { dead: machine.dead, history: machine.history };
    if (tally !== null) {
      for (const [name, holds] of predicates) {
        if (machine.runDirectly(holds(machine.context, end))) {
          tally.reachable[name] = (tally.reachable[name] ?? 0) + 1;
        }
      }
    }
    if (linearizable !== undefined && !isLinearizable(machine.history, linearizable)) {
      const message = `no order of the operations is that of a ${linearizable.name}`;
      return { kind: 'linearizability', message };
    }
    const lost = leaks === undefined ? undefined : machine.runDirectly(leaks(machine.context, end));
    if (typeof lost === 'string' && lost !== '') return { kind: 'leak', message: lost };
    if (outcome === undefined) return null;
    const id = String(machine.runDirectly(outcome(machine.context, end)));
    const expect = options.outcomes?.[id] ?? (options.outcomes ? 'forbidden' : 'acceptable');
    if (tally !== null) {
      const row = (tally.outcomes[id] ??= { count: 0, expect });
      row.count++;
    }
    return expect === 'forbidden' ? { kind: 'outcome', message: `forbidden outcome ${id}` } : null;
  };
}

function searchOptions(options: CheckOptions): SearchOptions {
  return {
    budgetMs: options.budgetMs ?? 2000,
    preemptions: options.preemptions ?? 2,
    reduction: options.reduction ?? true,
    random: options.random ?? true,
    seed: options.seed ?? 1,
    maxRuns: options.maxRuns ?? Number.POSITIVE_INFINITY,
    shard: options.shard ?? [0, 1],
    stored: (options.stored ?? []).map(({ schedule }) => parse(schedule)),
  };
}

/** Explores a scenario. Throws only for a scenario that is not one. */
function run(name: string, scenario: Scenario, options: CheckOptions = {}): CheckReport {
  return explore(name, compile(scenario), scenario, options);
}

function explore(
  name: string,
  program: Program,
  scenario: Scenario,
  options: CheckOptions,
): CheckReport {
  const begin = performance.now();
  const machine = new Machine(program, runOptions(options));
  const tally: Tally = { reachable: {}, outcomes: {} };
  const judge = judgeOf(scenario, options, tally);
  const silent = judgeOf(scenario, options, null);
  const settings = searchOptions(options);
  const notes: string[] = [];

  if (options.replay !== undefined) {
    const trace = record(machine, parse(options.replay), judge);
    const replayed = [
      { name: 'replay', runs: 1, steps: machine.steps, ms: 0, complete: true, redundant: 0 },
    ];
    return finish(replayed, 1, machine.steps, 0, 0, '', failureOf(trace, ''));
  }
  for (const stored of options.stored ?? []) {
    const trace = record(machine, parse(stored.schedule), silent);
    const where = divergence(stored, trace);
    if (where !== null) notes.push(`the stored schedule ${stored.schedule} diverges: ${where}`);
  }

  const found = search(machine, settings, judge);
  if (!machine.touched && found.failure === null) {
    throw new Error(
      `interleave: '${name}' made no step: no shared access was seen. Is the code transformed ` +
        '(imported with ?explore, or hand-written generators)?',
    );
  }
  let failure: CheckFailure | null = null;
  if (found.failure !== null) {
    let failing = found.failure;
    if (options.shrink ?? true) failing = shrink(machine, failing, silent);
    // What is replayed: CPUs are numbered otherwise in a minimised scenario.
    const { choices: original } = failing;
    const { kind } = failing.outcome;
    let smallest = '';
    let last: Machine = machine;
    if (options.minimise ?? (kind === 'race' || kind === 'linearizability')) {
      const small = minimise(program, machine.options, kind, settings, silent);
      if (small !== null) {
        smallest = describeProgram(small.program);
        failing = shrink(small.machine, small.failing, silent);
        last = small.machine;
      }
    }
    const trace = record(last, failing.choices, silent);
    const again = record(last, failing.choices, silent);
    const where = divergence(signature(again), trace);
    if (where !== null) {
      notes.push(`not deterministic: two runs of one schedule differ: ${where}`);
    }
    failure = failureOf(trace, smallest);
    failure ??= {
      kind,
      message: `${failing.outcome.message} (did not fail again when replayed)`,
      schedule: format(failing.choices),
      trace,
      scenario: smallest,
      replay: '',
    };
    failure.replay = `${name}:${format(original)}`;
  } else if (settings.budgetMs > 0) {
    const missing = Object.entries(tally.reachable).filter(([, n]) => n === 0);
    if (missing.length > 0) {
      failure = {
        kind: 'unreachable',
        message: `no schedule reached: ${missing.map(([what]) => what).join(', ')}`,
        schedule: '',
        trace: null,
        scenario: '',
        replay: '',
      };
    }
  }
  return finish(
    found.phases,
    found.runs,
    found.steps,
    found.cut,
    found.folded,
    found.exhaustive,
    failure,
  );

  function finish(
    phases: readonly Phase[],
    runs: number,
    steps: number,
    cut: number,
    folded: number,
    exhaustive: CheckReport['exhaustive'],
    failed: CheckFailure | null,
  ): CheckReport {
    const { seed } = settings;
    const report: CheckReport = {
      name,
      ok: failed === null,
      failure: failed,
      phases,
      runs,
      steps,
      ms: performance.now() - begin,
      cut,
      folded,
      exhaustive,
      covered: covered(scenario, phases, failed, exhaustive, runs, cut, folded, seed),
      seed,
      reachable: tally.reachable,
      outcomes: tally.outcomes,
      notes,
      stored: failed?.trace && failed.scenario === '' ? signature(failed.trace) : null,
      text: () => [text(report), ...notes.map((note) => `note: ${note}`)].join('\n'),
      html: () => html(report),
    };
    return report;
  }
}

function failureOf(trace: Trace, scenario: string): CheckFailure | null {
  if (trace.outcome === null) return null;
  const { kind, message, error } = trace.outcome;
  return {
    kind,
    message,
    error,
    schedule: trace.schedule,
    trace,
    scenario,
    replay: trace.schedule,
  };
}

function covered(
  scenario: Scenario,
  phases: readonly Phase[],
  failure: CheckFailure | null,
  exhaustive: CheckReport['exhaustive'],
  runs: number,
  cut: number,
  folded: number,
  seed: number,
): string {
  const parts: string[] = [];
  const spins = folded > 0 ? ' (spin loops taken as awaits)' : '';
  if (failure !== null && failure.kind !== 'unreachable')
    parts.push('stopped at the first failure');
  else if (exhaustive === 'schedules') parts.push(`all ${runs} schedules explored${spins}`);
  else if (exhaustive === 'classes') {
    const n = phases.at(-1)?.runs ?? 0;
    parts.push(`all ${n} equivalence classes explored${spins}`);
    const partial = [
      ...(scenario.always === undefined ? [] : ['always']),
      ...(scenario.linearizable === undefined ? [] : ['linearizable']),
    ];
    if (partial.length > 0) {
      parts.push(`${partial.join(' and ')} judged on one schedule of each class`);
    }
  } else {
    const bounds = phases.filter(({ name, complete }) => complete && name.startsWith('preemption'));
    parts.push(
      bounds.length > 0
        ? `not exhaustive: every schedule within ${bounds.at(-1)?.name}, beyond it a sample`
        : 'not exhaustive: a sample',
    );
    if (phases.some(({ name }) => name.startsWith('PCT'))) parts.push(`seed ${seed}`);
  }
  if (cut > 0) parts.push(`${cut} schedules cut at the step limit, not judged`);
  return parts.join('; ');
}

interface Small {
  program: Program;
  machine: Machine;
  failing: { outcome: Outcome; choices: number[] };
}

/** Drops bodies as long as a short search still finds the same kind of failure. */
function minimise(
  program: Program,
  options: RunOptions,
  kind: FailureKind,
  settings: SearchOptions,
  judge: Judge,
): Small | null {
  const until = performance.now() + 1000;
  let best: Small | null = null;
  let improved = true;
  while (improved && performance.now() < until) {
    improved = false;
    const current: Program = best?.program ?? program;
    for (let c = 0; c < current.cpus.length && !improved; c++) {
      const { bodies } = current.cpus[c] as Program['cpus'][number];
      for (let i = 0; i < bodies.length && !improved; i++) {
        const candidate = without(current, c, i);
        if (candidate === null || performance.now() > until) continue;
        const machine = new Machine(candidate, options);
        const { failure } = search(machine, { ...settings, stored: [], budgetMs: 100 }, judge);
        if (failure === null || failure.outcome.kind !== kind) continue;
        best = { program: candidate, machine, failing: failure };
        improved = true;
      }
    }
  }
  return best;
}

/** An operation of `check.ops`: a function, or one with a generator of arguments. */
export type GeneratedOperation<C> =
  | ((context: C, ...args: any[]) => unknown)
  | {
      readonly run: (context: C, ...args: any[]) => unknown;
      readonly args: (random: Random) => readonly unknown[];
    };

/** What `check.ops` needs: a scenario without its scripts. */
export interface Operations<C = any, P = any> extends Omit<Scenario<C, P>, 'cpus' | 'operations'> {
  readonly operations: Readonly<Record<string, GeneratedOperation<C>>>;
}

/** Options of `check.ops`. */
export interface OperationsOptions extends CheckOptions {
  /** Default 2. */
  readonly threads?: number;
  /** Default 3. */
  readonly opsPerThread?: number;
  /** Generated scenarios; the budget is divided among them. Default 100. */
  readonly iterations?: number;
}

function ops(name: string, spec: Operations, options: OperationsOptions = {}): CheckReport {
  const { threads = 2, opsPerThread = 3, iterations = 100 } = options;
  const { operations, ...rest } = spec;
  const names = Object.keys(operations);
  if (names.length === 0) throw new TypeError(`interleave: '${name}' has no operations`);
  const callable = Object.fromEntries(
    names.map((n) => {
      const operation = operations[n] as GeneratedOperation<unknown>;
      return [n, typeof operation === 'function' ? operation : operation.run];
    }),
  );
  const random = new Random(options.seed ?? 1);
  const budgetMs = (options.budgetMs ?? 2000) / iterations;
  const reports: CheckReport[] = [];
  for (let i = 0; i < iterations; i++) {
    const cpus: Record<string, [string, ...unknown[]][]> = {};
    for (let t = 0; t < threads; t++) {
      cpus[`cpu${t}`] = Array.from({ length: opsPerThread }, () => {
        const n = names[random.below(names.length)] as string;
        const operation = operations[n] as GeneratedOperation<unknown>;
        return [n, ...(typeof operation === 'function' ? [] : operation.args(random))];
      });
    }
    const scenario: Scenario = { ...rest, cpus, operations: callable };
    const report = explore(
      name,
      compile(scenario),
      { ...scenario, reachable: rest.reachable ?? {} },
      {
        minimise: true,
        ...options,
        budgetMs,
        // A fresh sample for each scenario.
        seed: (options.seed ?? 1) + i,
      },
    );
    const failed = report.failure !== null && report.failure.kind !== 'unreachable';
    reports.push(report);
    if (failed) {
      const shown = describeProgram(compile(scenario));
      if (report.failure?.scenario === '') {
        (report.failure as { scenario: string }).scenario = shown;
      }
      break;
    }
  }
  return mergeReports(reports, true);
}

/**
 * Adds up the reports of one check: of shards, or of generated scenarios. The first failure wins;
 * `reachable` is reached when any part reached it.
 */
export function mergeReports(
  reports: readonly CheckReport[],
  generated: boolean = false,
): CheckReport {
  const first = reports[0];
  if (first === undefined) throw new TypeError('interleave: no reports to merge');
  const reachable: Record<string, number> = {};
  const outcomes: Record<string, { count: number; expect: string }> = {};
  const phases = new Map<string, Phase>();
  for (const report of reports) {
    for (const [what, n] of Object.entries(report.reachable)) {
      reachable[what] = (reachable[what] ?? 0) + n;
    }
    for (const [id, { count, expect }] of Object.entries(report.outcomes)) {
      const row = (outcomes[id] ??= { count: 0, expect });
      row.count += count;
    }
    for (const phase of report.phases) {
      const sum = phases.get(phase.name);
      if (sum === undefined) phases.set(phase.name, { ...phase });
      else {
        sum.runs += phase.runs;
        sum.steps += phase.steps;
        sum.ms += phase.ms;
        sum.redundant += phase.redundant;
        sum.complete &&= phase.complete;
      }
    }
  }
  const sum = (pick: (report: CheckReport) => number): number =>
    reports.reduce((total, report) => total + pick(report), 0);
  const missing = Object.entries(reachable).filter(([, n]) => n === 0);
  let failure: CheckFailure | null =
    reports.find((r) => r.failure !== null && r.failure.kind !== 'unreachable')?.failure ?? null;
  if (failure === null && missing.length > 0) {
    failure = reports.find((r) => r.failure !== null)?.failure ?? null;
  }
  const exhaustive = reports.every((r) => r.exhaustive !== '');
  const what = generated ? 'generated scenarios' : 'shards';
  const covered = exhaustive
    ? `${reports.length} ${what}, each explored completely`
    : `${reports.length} ${what}; ${reports.find((r) => r.exhaustive === '')?.covered}`;
  const merged: CheckReport = {
    ...first,
    ok: failure === null,
    failure,
    phases: [...phases.values()],
    runs: sum((r) => r.runs),
    steps: sum((r) => r.steps),
    ms: sum((r) => r.ms),
    cut: sum((r) => r.cut),
    folded: sum((r) => r.folded),
    exhaustive: generated && exhaustive ? 'classes' : '',
    covered,
    reachable,
    outcomes,
    notes: reports.flatMap((r) => r.notes),
    stored: generated ? null : (reports.find((r) => r.stored !== null)?.stored ?? null),
    text: () => text(merged),
    html: () => html(merged),
  };
  return merged;
}

/** A table of outcomes (jcstress): the check fails on a forbidden or unlisted one. */
function outcomes<C>(
  name: string,
  scenario: Scenario<C> & { readonly outcome: (context: C, end: End) => string },
  table: Readonly<Record<string, Expectation>>,
  options: CheckOptions = {},
): CheckReport {
  return run(name, scenario as Scenario, { ...options, outcomes: table });
}

/** Explores; see each part's own documentation. */
export interface Check {
  <C, P>(name: string, scenario: Scenario<C, P>, options?: CheckOptions): CheckReport;
  /** The same, for hand-written generator functions. */
  generators<C, P>(name: string, scenario: Scenario<C, P>, options?: CheckOptions): CheckReport;
  /** With a table of outcomes. */
  outcomes: typeof outcomes;
  /** Scenarios generated from operations, minimised when one fails. */
  ops<C, P>(name: string, spec: Operations<C, P>, options?: OperationsOptions): CheckReport;
}

/** Explores a scenario and reports. */
export const check: Check = Object.assign(
  ((name, scenario, options) => run(name, scenario as Scenario, options)) as Check,
  {
    generators: ((name, scenario, options) =>
      run(name, scenario as Scenario, options)) as Check['generators'],
    outcomes,
    ops: ((name, spec, options) => ops(name, spec as Operations, options)) as Check['ops'],
  },
);

export type { Model };
export { replay };
