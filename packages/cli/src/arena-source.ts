/**
 * Which arena a command looks at: a file that `umbuf stress --snapshot` wrote, or one in which a
 * short run is under way.
 */

import { resolve } from 'node:path';
import { type SampleOptions, readArenaFile, sampleRun, scenarioNames } from '@umbuf/workload';
import { type Uma, type UmaView, viewUma } from '@umbuf/uma';
import { choice, integer, type Parsed, UsageError } from './arguments.ts';

/** The options of such a command. */
export const sourceOptions = {
  file: { type: 'string' },
  scenario: { type: 'string' },
  cpus: { type: 'string' },
  seconds: { type: 'string' },
  seed: { type: 'string' },
  level: { type: 'string' },
} as const;

export const sourceHelp: string = `  --file FILE      the arena in a file of umbuf stress --snapshot
Without a file a short run is made, and looked at in its middle:
  --scenario NAME  ${scenarioNames.join(', ')} (churn)
  --cpus N         worker threads (2)
  --seconds N      how long it runs (1)
  --seed N         of the run (1)
  --level LEVEL    none, checks or invariants (none)
`;

/** What `read` finds in the arena that the options name. Says on stderr which it is. */
export async function readArena<Result>(
  parsed: Parsed,
  read: (view: UmaView | Uma) => Result,
): Promise<Result> {
  const { file } = parsed.values;
  if (file !== undefined) {
    const others = ['scenario', 'cpus', 'seconds', 'seed', 'level'];
    const other = others.find((name) => parsed.values[name] !== undefined);
    if (other !== undefined) throw new UsageError(`--file and --${other} exclude each other`);
    return read(viewOfFile(String(file)));
  }
  const options = runOptions(parsed);
  const { scenario, seconds, cpus, level, seed } = options;
  process.stderr.write(
    `a run of our own: ${scenario}, ${seconds} s, ${cpus} CPUs, level ${level}, seed ${seed}; ` +
      'looked at after half of it\n',
  );
  return sampleRun(options, read);
}

function runOptions(parsed: Parsed): SampleOptions {
  return {
    scenario: choice(parsed, 'scenario', 'churn', scenarioNames),
    cpus: integer(parsed, 'cpus', 2, 1, 64),
    seconds: integer(parsed, 'seconds', 1, 1, 3600),
    seed: integer(parsed, 'seed', 1, 0, 2 ** 31 - 1),
    level: choice(parsed, 'level', 'none', ['none', 'checks', 'invariants']),
  };
}

function viewOfFile(name: string): UmaView {
  const path = callersPath(name);
  try {
    const view = viewUma(readArenaFile(path));
    if (view === undefined) throw new UsageError(`--file: ${name} holds an arena without zones`);
    return view;
  } catch (error) {
    if (isSystemError(error)) throw new UsageError(`--file: ${error.message}`);
    throw error;
  }
}

/** A path as the caller meant it: pnpm runs us in the root of the workspace. */
export function callersPath(path: string): string {
  return resolve(process.env['INIT_CWD'] ?? process.cwd(), path);
}

/** Whether the file system said no. */
export function isSystemError(error: unknown): error is Error {
  return error instanceof Error && 'syscall' in error;
}
