/**
 * Run-time guards of transformed code, imported as `__xf`: they stand where the transform could
 * not know whether a value is shared memory, or a function a virtual CPU, in a place that cannot be
 * suspended. Each passes its value through, or throws `StrayAccessError` that names the place, so
 * that nothing escapes the exploration silently. Nothing from `node:`.
 */

import { Generator, isShared } from '../runtime/ops.ts';
import { POINT, type Op } from '../runtime/protocol.ts';

/** Shared memory was touched where the explorer cannot suspend. */
export class StrayAccessError extends Error {
  override name = 'StrayAccessError';
  /** `file:line:column` of the place, and what it is. */
  readonly where: string;

  constructor(where: string, what: string) {
    super(
      `${where}: ${what}, where the explorer cannot suspend. Move it into a plain synchronous function ` +
        'that is called from a CPU of the check, or into `setup`.',
    );
    this.where = where;
  }
}

/** Returns `value`, which must not be a view over shared memory. */
export function plain<T>(value: T, where: string): T {
  if (isShared(value)) throw new StrayAccessError(where, 'shared memory is touched');
  return value;
}

/** Returns what a call returned; a virtual CPU's code runs to its end but may touch nothing. */
export function sync(result: unknown, where: string): unknown {
  if (!(result instanceof Generator)) return result;
  const steps = result as globalThis.Generator<Op, unknown, unknown>;
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    if ((value as Op).kind !== POINT) {
      throw new StrayAccessError(where, 'the function called here touches shared memory');
    }
  }
}

const wrapped = new WeakMap<object, unknown>();

/** A function for untransformed code: throws when that code calls it and it would need to suspend. */
export function callback<T>(fn: T, where: string): T {
  if (typeof fn !== 'function') return fn;
  let wrapper = wrapped.get(fn);
  if (wrapper === undefined) {
    wrapper = function (this: unknown, ...args: unknown[]): unknown {
      return sync(fn.apply(this, args), where);
    };
    wrapped.set(fn, wrapper);
  }
  return wrapper as T;
}

/** Throws: an access that the transform was told to let pass (`unsuspendable: 'guard'`). */
export function stray(where: string): never {
  throw new StrayAccessError(where, 'shared memory is touched');
}

/** Whether `receiver.set(...args)` copies from or to shared memory (a Map's `set` does not). */
export function isBulkSet(receiver: unknown, args: readonly unknown[]): boolean {
  return isShared(receiver) || (isShared(args[0]) && ArrayBuffer.isView(receiver));
}
