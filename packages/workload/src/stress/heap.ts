/** What is left of the JavaScript heap: for runs that compare it over time. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** The JavaScript heap after a full collection, bytes. */
export function heapAfterCollection(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().heapUsed;
}
