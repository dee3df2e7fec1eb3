/**
 * How a generator takes a step: the access is shown to the machine, which performs it at once where
 * no other CPU may come between, and says so; only otherwise the generator is suspended. A switch of
 * CPUs is what costs, through every `yield*` on the way; most accesses need none.
 */

import type { Rope } from '../rope.ts';

const BEFORE = '(__rt.done(';
const AFTER = ') ? __rt.host.result : yield __rt.host.current)';

/** An access, `__rt.load(...)`, as an expression with its result. */
export function step(...access: Rope): Rope {
  return [BEFORE, ...access, AFTER];
}

/** The same for a text. */
export function stepText(access: string): string {
  return `${BEFORE}${access}${AFTER}`;
}

/** A place where a worker can be stopped, as a statement. */
export function pointText(site: string): string {
  return ` if (__rt.stops(${site})) yield __rt.host.current;`;
}
