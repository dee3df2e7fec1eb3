/** `check.ops`: scenarios generated from operations, as Lincheck does. */
import { type CheckOptions, PATIENCE } from './options.ts';
import { explore } from './explore.ts';
import { mergeReports } from './report/merge.ts';
import type { CheckFailure, CheckReport } from './report/report.ts';
import { Generator, yielding } from './runtime/ops.ts';
import { POINT, type Steps } from './runtime/protocol.ts';
import { compile, describeProgram, type Scenario } from './scenario.ts';
import { Random } from './search/random.ts';
import { formatReplay, parseReplay, type Replay } from './search/replay.ts';

/** An operation of `check.ops`: a function, or one with a generator of arguments. */
export type GeneratedOperation<C> =
  | ((context: C, ...args: any[]) => unknown)
  | {
      readonly run: (context: C, ...args: any[]) => unknown;
      /** Arguments of one call; `cpu` is the number of the CPU that makes it. Default: none. */
      readonly args?: (random: Random, cpu: number) => readonly unknown[];
      /** CPUs that may call it, such as the one producer of a ring. Default: all. */
      readonly cpus?: readonly number[];
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

/** The value of code that may have been made a generator because of its calls, but shares nothing. */
function pure(name: string, value: unknown): unknown {
  if (!(value instanceof Generator)) return value;
  const steps = value as unknown as Steps;
  const step = yielding(() => {
    let at = steps.next();
    // Function entries and loop back edges.
    while (at.done !== true && at.value.kind === POINT) at = steps.next();
    return at;
  });
  if (step.done === true) return step.value;
  throw new TypeError(`interleave: args of operation '${name}' touch shared memory`);
}

/** Explores generated scenarios until one fails, which is then minimised. */
export function ops(name: string, spec: Operations, options: OperationsOptions = {}): CheckReport {
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
  const callers = (n: string): readonly number[] | undefined => {
    const operation = operations[n] as GeneratedOperation<unknown>;
    return typeof operation === 'function' ? undefined : operation.cpus;
  };
  const namesOf = Array.from({ length: threads }, (_, t) =>
    names.filter((n) => callers(n)?.includes(t) ?? true),
  );
  const idle = namesOf.findIndex((list) => list.length === 0);
  if (idle >= 0) throw new TypeError(`interleave: '${name}' has no operations for CPU ${idle}`);
  const replay = options.replay === undefined ? null : parseReplay(options.replay);
  const wanted = replay === null ? null : generatedOf(name, replay, iterations * PATIENCE);
  const seed = wanted?.seed ?? options.seed ?? 1;
  const random = new Random(seed);
  const budgetMs = (options.budgetMs ?? 2000) / iterations;
  const reports: CheckReport[] = [];
  const most = iterations * Math.max(1, options.patience ?? PATIENCE);
  // Some scenarios more while an outcome has been reached in none.
  const least = wanted === null ? iterations : wanted.iteration + 1;
  for (let i = 0; i < least || (i < most && isWanting(reports, options)); i++) {
    const cpus: Record<string, [string, ...unknown[]][]> = {};
    for (let t = 0; t < threads; t++) {
      cpus[`cpu${t}`] = Array.from({ length: opsPerThread }, () => {
        const own = namesOf[t] as string[];
        const n = own[random.below(own.length)] as string;
        const operation = operations[n] as GeneratedOperation<unknown>;
        if (typeof operation === 'function' || operation.args === undefined) return [n];
        return [n, ...(pure(n, operation.args(random, t)) as readonly unknown[])];
      });
    }
    // All before it are generated too: they take their share of the random numbers.
    if (wanted !== null && i !== wanted.iteration) continue;
    const scenario: Scenario = { ...rest, cpus, operations: callable };
    const report = explore(
      name,
      compile(scenario),
      { ...scenario, reachable: rest.reachable ?? {} },
      {
        minimise: true,
        ...options,
        budgetMs,
        patience: 1,
        // A fresh sample for each scenario.
        seed: seed + i,
        ...(replay === null ? {} : { replay: formatReplay({ ...replay, generated: null }) }),
      },
    );
    const failed = report.failure !== null && report.failure.kind !== 'unreachable';
    reports.push(report);
    if (failed) {
      const failure = report.failure as Mutable<CheckFailure>;
      if (failure.scenario === '') failure.scenario = describeProgram(compile(scenario));
      failure.replay = `${name}:#${i}s${seed}${failure.replay.slice(name.length + 1)}`;
      break;
    }
  }
  return mergeReports(reports, true);
}

/** Whether an outcome was reached in no scenario so far. */
function isWanting(reports: readonly CheckReport[], options: CheckOptions): boolean {
  if (options.replay !== undefined || (options.shard?.[1] ?? 1) !== 1) return false;
  const names = new Set(reports.flatMap((report) => Object.keys(report.reachable)));
  return [...names].some((n) => reports.every((report) => (report.reachable[n] ?? 0) === 0));
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Which of the generated scenarios a replay is of. */
function generatedOf(
  name: string,
  { generated }: Replay,
  iterations: number,
): NonNullable<Replay['generated']> {
  if (generated === null) {
    throw new SyntaxError(
      `interleave: the scenarios of '${name}' are generated, so its replays begin like #17s1`,
    );
  }
  if (generated.iteration < iterations) return generated;
  throw new RangeError(
    `interleave: the replay is of scenario ${generated.iteration} of '${name}', which generates ${iterations}`,
  );
}
