/** A look at the allocator in the middle of a short stress run, without stopping it. */

import type { Uma } from '@umbuf/uma';
import { type RunOptions, type SessionOptions, StressSession } from './session.ts';

export type SampleOptions = Pick<RunOptions, 'scenario' | 'seconds' | 'seed'> &
  Pick<SessionOptions, 'cpus' | 'level'>;

/**
 * Runs the scenario, calls `sample` once when half of the time is over, in this thread, and resolves
 * with what it returned when the run has ended. Rejects with what `sample` throws.
 */
export async function sampleRun<Result>(
  options: SampleOptions,
  sample: (uma: Uma) => Result,
): Promise<Result> {
  const { scenario, cpus, level } = options;
  await using session = await StressSession.open({ scenarios: [scenario], cpus, level });
  let taken: { readonly result: Result } | undefined;
  await session.run({
    ...options,
    onProgress: ({ seconds, rates }) => {
      // No rates yet: a machine so busy that its CPUs have not begun.
      if (seconds * 2 >= options.seconds && rates.length > 0)
        taken ??= { result: sample(session.uma) };
    },
  });
  return (taken ?? { result: sample(session.uma) }).result;
}
