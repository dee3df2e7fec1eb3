/** `check.ops`: scenarios generated from operations, as Lincheck does. */
import type { CheckOptions } from './options.ts';
import { explore } from './explore.ts';
import { mergeReports } from './report/merge.ts';
import type { CheckReport } from './report/report.ts';
import { Generator } from './runtime/ops.ts';
import { POINT, type Steps } from './runtime/protocol.ts';
import { compile, describeProgram, type Scenario } from './scenario.ts';
import { Random } from './search/random.ts';

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
  let step = steps.next();
  // Function entries and loop back edges.
  while (step.done !== true && step.value.kind === POINT) step = steps.next();
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
  const random = new Random(options.seed ?? 1);
  const budgetMs = (options.budgetMs ?? 2000) / iterations;
  const reports: CheckReport[] = [];
  for (let i = 0; i < iterations; i++) {
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
