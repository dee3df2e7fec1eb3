/**
 * What users write: a scenario (set-up, one script per CPU, oracles), and its compilation to the
 * machine's normal form.
 */
import type { Model } from './oracle/linearizability.ts';
import { Words, type WordsOption } from './oracle/words.ts';
import type { HistoryEntry } from './runtime/cpu.ts';
import type { Body, CpuProgram, Program } from './runtime/program.ts';
import type { Kept } from './search/replay.ts';

/** What the oracles at the end of a run are told beside the context. */
export interface End {
  /** Names of the CPUs that died, in order; a recoverer is `onDeath`, the next one `onDeath 2`. */
  readonly dead: readonly string[];
  /** Recorded operations, in order of invocation. */
  readonly history: readonly HistoryEntry[];
}

/** A CPU's code: an ordinary function (transformed) or a hand-written generator function. */
export type CpuBody<C> = (context: C) => unknown;

/** An operation by name, with its arguments. */
export type Call = readonly [name: string, ...args: unknown[]];

/** One body, or several in a row; named operations are recorded for `linearizable`. */
export type CpuScript<C> = CpuBody<C> | readonly (CpuBody<C> | Call)[];

/** A concurrent test. */
export interface Scenario<C = any, P = any> {
  /**
   * Runs once. Every shared buffer in its result (two levels deep) is restored to its bytes of
   * that moment before each run: for arenas that are expensive to make.
   */
  readonly prepare?: () => P;
  /** Runs before every run, alone. Makes the context of all other functions. */
  readonly setup: (prepared: P) => C;
  /** The virtual CPUs, at most 8. */
  readonly cpus: Readonly<Record<string, CpuScript<C>>>;
  /** Named operations that scripts call. */
  readonly operations?: Readonly<Record<string, (context: C, ...args: any[]) => unknown>>;
  /** After every step, plain accesses included: false or a throw is a failure. */
  readonly always?: (context: C) => unknown;
  /** After every run that ended without deadlock: false or a throw is a failure. */
  readonly final?: (context: C, end: End) => unknown;
  /** Recorded operations must be linearizable to this model. */
  readonly linearizable?: Model;
  /** Each must hold at the end of some run, or the check fails: proof that the case occurred. */
  readonly reachable?: Readonly<Record<string, (context: C, end: End) => unknown>>;
  /** What is lost at the end of a run, if anything. */
  readonly leaks?: (context: C, end: End) => string | undefined;
  /** The run's outcome, for a table of outcomes. */
  readonly outcome?: (context: C, end: End) => string;
  /**
   * Runs on another CPU once for each death (crash modes), told who died, and how many recoverers have
   * died before this one. With `crash.recoverer` it may die itself, and then runs again from the start
   * for the same death, on the next recoverer.
   */
  readonly onDeath?: (context: C, dead: string, recoverer: number) => unknown;
  /** Names and kinds of words. */
  readonly words?: WordsOption;
}

/** Compiles a scenario; throws a TypeError that names what is wrong with it. */
export function compile(scenario: Scenario): Program {
  const names = Object.keys(scenario.cpus);
  if (names.length === 0 || names.length > 8) {
    throw new TypeError(`interleave: a scenario has 1 to 8 CPUs, not ${names.length}`);
  }
  const cpus: CpuProgram[] = names.map((name, at) => {
    const script = scenario.cpus[name] as CpuScript<unknown>;
    const list = typeof script === 'function' ? [script] : script;
    return { name, at, bodies: list.map((item, i) => body(scenario, name, item, i)) };
  });
  const { prepare, setup, always, final, onDeath } = scenario;
  if (typeof setup !== 'function') throw new TypeError('interleave: a scenario needs setup()');
  return { cpus, prepare, setup, always, final, onDeath, words: new Words(scenario.words) };
}

function body(scenario: Scenario, cpu: string, item: CpuBody<unknown> | Call, at: number): Body {
  if (typeof item === 'function') return { at, args: [], run: (context) => item(context) };
  const [name, ...args] = item;
  const operation = scenario.operations?.[name];
  if (operation === undefined) {
    throw new TypeError(`interleave: CPU '${cpu}' calls '${name}', which operations do not have`);
  }
  return { at, name, args, run: (context) => operation(context, ...args) };
}

/** The program without one body (and without a CPU that has none left); null if nothing is left. */
export function without(program: Program, cpu: number, at: number): Program | null {
  const cpus = program.cpus
    .map((c, i) => (i === cpu ? { ...c, bodies: c.bodies.toSpliced(at, 1) } : c))
    .filter(({ bodies }) => bodies.length > 0);
  return cpus.length === 0 ? null : { ...program, cpus };
}

/** What is left of a scenario of `total` CPUs in a program of its parts. */
export function keptOf(program: Program, total: number): Kept {
  return Array.from({ length: total }, (_, at) => {
    const cpu = program.cpus.find((one) => one.at === at);
    return cpu === undefined ? [] : cpu.bodies.map((one) => one.at);
  });
}

/** The program with these bodies only; throws a RangeError when it has not all of them. */
export function only(program: Program, kept: Kept): Program {
  if (kept.length > program.cpus.length) {
    const n = program.cpus.length;
    throw new RangeError(`interleave: the replay is of ${kept.length} CPUs, the scenario has ${n}`);
  }
  const cpus = program.cpus
    .map((cpu) => {
      const bodies = (kept[cpu.at] ?? []).map((at) => {
        const found = cpu.bodies[at];
        if (found !== undefined) return found;
        throw new RangeError(`interleave: CPU '${cpu.name}' of the replay has no body ${at}`);
      });
      return { ...cpu, bodies };
    })
    .filter(({ bodies }) => bodies.length > 0);
  if (cpus.length === 0) throw new RangeError('interleave: the replay keeps nothing');
  return { ...program, cpus };
}

/** The scripts as text, one CPU a line. */
export function describeProgram(program: Program): string {
  return program.cpus
    .map(({ name, bodies }) => {
      const calls = bodies.map((b) =>
        b.name === undefined ? `body ${b.at + 1}` : `${b.name}(${b.args.map(String).join(', ')})`,
      );
      return `  ${name}: ${calls.join('; ')}`;
    })
    .join('\n');
}
