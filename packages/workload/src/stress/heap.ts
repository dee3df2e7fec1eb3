/** What is left of the JavaScript heap: for runs that compare it over time. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Made once a thread: every context that is made for it would stand on the heap itself. */
let collect: (() => void) | undefined;

/** The JavaScript heap after a full collection, bytes. */
export function heapAfterCollection(): number {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
  return process.memoryUsage().heapUsed;
}

/**
 * The task that measures an idle CPU: a few turns of the event loop, so that what the last task had
 * on the stack and in finalizers is gone, and the smallest of three collections.
 */
export async function heap(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
    least = Math.min(least, heapAfterCollection());
  }
  return least;
}
