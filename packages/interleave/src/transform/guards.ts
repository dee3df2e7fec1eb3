/**
 * Run-time guards of transformed code, imported as `__xf`: they stand where the transform could
 * not know whether a value is shared memory, or a function a virtual CPU, in a place that cannot be
 * suspended. Each passes its value through, or throws `StrayAccessError` that names the place, so
 * that nothing escapes the exploration silently. Nothing from `node:`.
 */

import * as ops from '../runtime/ops.ts';
import { perform } from '../runtime/perform.ts';
import { NOTIFY, type Op, PAUSE, POINT } from '../runtime/protocol.ts';

const { Generator, isShared } = ops;

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

/** A view that is read out of our sight: refused, or with a site recorded as a read of it all. */
function readUnseen(value: unknown, where: string, site: number | undefined): void {
  if (site === undefined || !isShared(value)) return void plain(value, where);
  const { buffer, byteOffset, byteLength } = value as DataView<SharedArrayBuffer>;
  now(ops.bulk(site, new Uint8Array(buffer, byteOffset, byteLength), 'slice', []));
}

/** Returns `value`, in whose properties there must be no view over shared memory. */
export function deep<T>(value: T, where: string, site?: number): T {
  const seen = new Set<unknown>();
  const visit = (part: unknown): void => {
    readUnseen(part, where, site);
    if (typeof part !== 'object' || part === null || ArrayBuffer.isView(part)) return;
    if (seen.has(part)) return;
    seen.add(part);
    for (const descriptor of Object.values(Object.getOwnPropertyDescriptors(part))) {
      visit(descriptor.value);
    }
  };
  visit(value);
  return value;
}

/** Returns `value`, which must have no view over shared memory at the paths; `*` is each element. */
export function parts<T>(
  value: T,
  paths: readonly (readonly string[])[],
  where: string,
  site?: number,
): T {
  const visit = (part: unknown, path: readonly string[]): void => {
    const [name, ...rest] = path;
    if (name === undefined) readUnseen(part, where, site);
    else if (typeof part !== 'object' || part === null) return;
    else if (name !== '*') visit(Object.getOwnPropertyDescriptor(part, name)?.value, rest);
    else if (Array.isArray(part)) for (const one of part) visit(one, rest);
  };
  for (const path of paths) visit(value, path);
  return value;
}

/** Returns `value`, which must not be a SharedArrayBuffer: its `slice` would read it all. */
export function buffer<T>(value: T, where: string, site?: number): T {
  if (value instanceof SharedArrayBuffer) readUnseen(new Uint8Array(value), where, site);
  return value;
}

/** Returns what a call returned; a virtual CPU's code runs to its end but may touch nothing. */
export function sync(result: unknown, where: string): unknown {
  if (!(result instanceof Generator)) return result;
  const steps = result as globalThis.Generator<Op, unknown, unknown>;
  return ops.yielding(() => {
    for (;;) {
      const { done, value } = steps.next();
      if (done) return value;
      if ((value as Op).kind !== POINT) {
        throw new StrayAccessError(where, 'the function called here touches shared memory');
      }
    }
  });
}

const wrapped = new WeakMap<object, unknown>();

/**
 * Whether a value is a function that the transform made a generator of: such a one yields what
 * the runtime holds. The bound ones that stand for arrows hide their text; a generator function of
 * the user's that is bound and handed out is taken for one of them.
 */
function isColoured(fn: unknown): boolean {
  if (typeof fn !== 'function' || !(fn instanceof GeneratorFunction)) return false;
  const text = Function.prototype.toString.call(fn);
  return /\[native code\]|\byield\s+[\w$.]+\.host\.current\b/.test(text);
}

const GeneratorFunction = function* () {}.constructor as FunctionConstructor;

/** A function for untransformed code: throws when that code calls it and it would need to suspend. */
export function callback<T>(fn: T, where: string): T {
  if (typeof fn !== 'function' || !isColoured(fn)) return fn;
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

// With `unsuspendable: 'record'`: performed at once, recorded, but no scheduling point.

/** Performs an op: recorded by the race detector on a CPU, plainly outside an exploration. */
export function now(op: Op): any {
  if (ops.host.perform !== null) return ops.now(op);
  if (op.kind >= PAUSE) return undefined;
  return op.kind === NOTIFY ? 0 : perform(op);
}

/** `target[index]`. */
export function read(site: number, target: any, index: any): any {
  return isShared(target) ? now(ops.read(site, target, index)) : target[index];
}

/** `target[index] = value`. */
export function write(site: number, target: any, index: any, value: any): any {
  if (isShared(target)) now(ops.write(site, target, index, value));
  else target[index] = value;
  return value;
}

/** `receiver[name](...args)` of a typed array or DataView, or of something else by that name. */
export function method(
  site: number,
  op: 'viewGet' | 'viewSet' | 'bulk',
  receiver: any,
  name: string,
  args: any[],
): any {
  const touches = name === 'set' ? isBulkSet(receiver, args) : isShared(receiver);
  return touches ? now(ops[op](site, receiver, name, args)) : run(receiver[name](...args));
}

/** A view's elements as they are now, for code that reads them one by one; else the value. */
export function snapshot<T>(site: number, value: T): T {
  if (!isShared(value) || value instanceof DataView) return value;
  return now(ops.bulk(site, value, 'slice', []));
}

/** What a call returned; a virtual CPU's code runs to its end at once. */
export function run(result: unknown): unknown {
  if (!(result instanceof Generator)) return result;
  const steps = result as globalThis.Generator<Op, unknown, unknown>;
  return ops.yielding(() => {
    let step = steps.next();
    while (step.done !== true) {
      let answer: unknown;
      try {
        answer = now(step.value);
      } catch (error) {
        step = steps.throw(error);
        continue;
      }
      step = steps.next(answer);
    }
    return step.value;
  });
}

const running = new WeakMap<object, unknown>();

/** A function for untransformed code, run at once when that code calls it. */
export function runner<T>(fn: T): T {
  if (typeof fn !== 'function' || !isColoured(fn)) return fn;
  let wrapper = running.get(fn);
  if (wrapper === undefined) {
    wrapper = function (this: unknown, ...args: unknown[]): unknown {
      return run(fn.apply(this, args));
    };
    running.set(fn, wrapper);
  }
  return wrapper as T;
}
