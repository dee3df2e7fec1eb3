/**
 * A scenario on real workers: what a module must export so that every thread can take part, on its
 * untransformed source. Threads share bytes, not objects: `share` says what is sent to a worker
 * (buffers and plain data), `attach` makes a context of it there.
 */
import type { Call, CpuBody, CpuScript, Scenario } from '../scenario.ts';

/** A scenario that can leave its thread. Without `share` and `attach` the context is cloned. */
export interface SharedScenario<C = any, S = any> extends Scenario<C> {
  readonly share?: (context: C) => S;
  readonly attach?: (shared: S) => C;
}

/** Name of the CPU that runs `onDeath`: no scenario's own, which comes from source. */
export const ON_DEATH = '(onDeath)';

/** What a worker is told when it starts. */
export interface WorkerSetup {
  /** URL of the module with the scenario. */
  readonly module: string;
  /** Name of the export. */
  readonly name: string;
  readonly cpu: string;
  readonly index: number;
  readonly cpus: number;
  /** Control words, see `control.ts`. */
  readonly control: SharedArrayBuffer;
  readonly mode: 'stress' | 'lockstep';
  readonly seed: number;
}

/** One body's end in a worker: its value, or what it threw. */
export interface BodyResult {
  readonly name: string;
  readonly args: readonly unknown[];
  readonly value?: unknown;
  readonly error?: string;
}

/** Runs a CPU's script as it stands; stops at the first throw. */
export function runScript(
  scenario: SharedScenario,
  script: CpuScript<unknown>,
  context: unknown,
): BodyResult[] {
  const results: BodyResult[] = [];
  const list: readonly (CpuBody<unknown> | Call)[] =
    typeof script === 'function' ? [script] : script;
  for (const item of list) {
    const [name, ...args] = typeof item === 'function' ? [''] : item;
    try {
      const value =
        typeof item === 'function'
          ? item(context)
          : scenario.operations?.[name]?.(context, ...args);
      results.push({ name, args, value });
    } catch (error) {
      results.push({ name, args, error: String(error) });
      break;
    }
  }
  return results;
}
