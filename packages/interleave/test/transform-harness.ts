/**
 * Runs a piece of source twice, as it stands and transformed, and tells what each did. The
 * transformed one is driven by the simplest executor there is: it performs each op at once.
 */

import * as guards from '../src/transform/guards.ts';
import { type ExploreOptions, transform, type Transformed } from '../src/transform/index.ts';
import * as runtime from '../src/runtime/index.ts';
import {
  BULK,
  KIND_NAMES,
  LOAD,
  NOTIFY,
  type Op,
  PAUSE,
  POINT,
  READ,
  VIEW_GET,
  VIEW_SET,
  WAIT,
  WRITE,
} from '../src/runtime/protocol.ts';

export interface Ran {
  /** `return` value, or the error's name and message. */
  readonly outcome: unknown;
  /** Ops in order, as text; points left out. */
  readonly ops: readonly string[];
}

/** Performs one op on the real memory. */
export function perform(op: Op): unknown {
  const { kind, target, index, value, extra, method, args } = op;
  switch (kind) {
    case POINT:
    case PAUSE:
      return undefined;
    case READ:
      return target[index];
    case WRITE:
      target[index] = value;
      return value;
    case BULK:
    case VIEW_GET:
    case VIEW_SET:
      return target[method](...args);
    case WAIT:
      return Atomics.load(target, index) === value ? 'timed-out' : 'not-equal';
    case NOTIFY:
      return 0;
    case LOAD:
      return Atomics.load(target, index);
  }
  const operation = (Atomics as any)[KIND_NAMES[kind]!];
  return extra === undefined
    ? operation.call(Atomics, target, index, value)
    : operation.call(Atomics, target, index, value, extra);
}

/** Drives a coloured function's result to its end. */
export function drive(result: unknown, ops: string[] = []): unknown {
  if (!(result instanceof runtime.Generator)) return result;
  const steps = result as Generator<Op, unknown, unknown>;
  let next = steps.next();
  while (!next.done) {
    const op = next.value;
    if (op.kind !== POINT) ops.push(describe(op));
    let answer: unknown;
    let failed = false;
    try {
      answer = perform(op);
    } catch (error) {
      failed = true;
      answer = error;
    }
    next = failed ? steps.throw(answer) : steps.next(answer);
  }
  return next.value;
}

function describe(op: Op): string {
  if (op.method !== '' && op.kind >= VIEW_GET && op.kind <= BULK) return op.method;
  const value = op.kind === WRITE ? `=${String(op.value)}` : '';
  return `${KIND_NAMES[op.kind]} ${String(op.index)}${value}`;
}

/** Evaluates a module's text (no imports but ours) and gives back its `exports`. */
export function evaluate(code: string): Record<string, any> {
  const names: string[] = [];
  const body = code
    .replace(/^import \* as __rt from '[^']*'; ?/, '')
    .replace(/^import \* as __xf from '[^']*'; ?/, '')
    .replace(/\bexport default /g, 'exports.default = ')
    .replace(/\bexport (function\*?|class|const|let) ?(\w+)/g, (_all, keyword, name) => {
      names.push(name);
      return `${keyword} ${name}`;
    });
  const assign = names.map((name) => `exports.${name} = ${name};`).join(' ');
  const exported = {};
  new Function('exports', '__rt', '__xf', `'use strict'; ${body}\n${assign}`)(
    exported,
    runtime,
    guards,
  );
  return exported;
}

export function compile(
  code: string,
  options: Partial<ExploreOptions> = {},
  file = '/test/source.js',
): Transformed {
  return transform(code, { file, ...options });
}

/** Calls `main` of the source as it stands. */
export function runPlain(code: string, ...args: unknown[]): Ran {
  return { outcome: outcomeOf(() => evaluate(code)['main'](...args)), ops: [] };
}

/** Calls `main` of the transformed source. */
export function runExplored(code: string, ...args: unknown[]): Ran {
  const ops: string[] = [];
  const main = evaluate(compile(code).code)['main'];
  return { outcome: outcomeOf(() => drive(main(...args), ops)), ops };
}

function outcomeOf(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
}

/** Words of shared memory 1, 2, 3, ... */
export function sharedWords(count = 8): Int32Array {
  const words = new Int32Array(new SharedArrayBuffer(count * 4));
  for (let index = 0; index < count; index++) words[index] = index + 1;
  return words;
}

/**
 * A view that reports its element accesses in the words of `describe`, for a run of the plain
 * source: what the transformed one does must come in the same order.
 */
export function watched(words: Int32Array, log: string[]): Int32Array {
  const isIndex = (key: string | symbol): boolean => typeof key === 'string' && /^-?\d+$/.test(key);
  return new Proxy(words, {
    get(target, key) {
      if (isIndex(key)) log.push(`read ${String(key)}`);
      const value = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
    set(target, key, value) {
      if (isIndex(key)) log.push(`write ${String(key)}=${String(value)}`);
      return Reflect.set(target, key, value, target);
    },
  });
}
