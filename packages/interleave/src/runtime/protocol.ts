/**
 * The op protocol: what transformed (or hand-written) generators yield, and what the scheduler
 * answers. Both halves of the package follow this file.
 *
 * A coloured function is a generator. Each shared access in it is `yield __rt.load(site, ...)`:
 * the factory fills the op record of the virtual CPU that is running and returns it; the scheduler
 * performs the op when that CPU is granted a step and resumes the generator with the result
 * (`gen.next(result)`), or with the error the real operation throws (`gen.throw(error)`).
 *
 * Invariants: one op record per CPU, so at most one op of a CPU is pending at any time and no op
 * may be kept after the `yield`; arguments are evaluated before the factory is called, so nested
 * yields in them are safe. Sites are process-wide numbers: `base + local`, `base` from `module()`.
 */

// Atomics.*: scheduling points. The order matters: see `isAtomic` and `isPlain` below.
export const LOAD = 0;
export const STORE = 1;
export const ADD = 2;
export const SUB = 3;
export const AND = 4;
export const OR = 5;
export const XOR = 6;
export const EXCHANGE = 7;
export const COMPARE_EXCHANGE = 8;
export const WAIT = 9;
export const WAIT_ASYNC = 10;
export const NOTIFY = 11;
// What the scheduler makes of a CPU asleep in WAIT; never yielded by code.
export const WAKE = 12;
export const TIMEOUT = 13;
export const SPURIOUS = 14;
// Unordered accesses: range events, scheduling points only for declared racy words.
export const READ = 15;
export const WRITE = 16;
export const VIEW_GET = 17;
export const VIEW_SET = 18;
export const BULK = 19;
// No access.
export const PAUSE = 20;
export const POINT = 21;
/** Invocation or response of a recorded operation (linearizability); free. */
export const MARK = 22;

/** Names of the kinds above, as reports print them. */
export const KIND_NAMES: readonly string[] = [
  'load',
  'store',
  'add',
  'sub',
  'and',
  'or',
  'xor',
  'exchange',
  'compareExchange',
  'wait',
  'waitAsync',
  'notify',
  'woken',
  'timed out',
  'spurious wake',
  'read',
  'write',
  'DataView get',
  'DataView set',
  'bulk',
  'pause',
  'point',
  'mark',
];

/** A source position that may yield an op. `line` and `column` are 1-based. */
export interface Site {
  readonly line: number;
  readonly column: number;
  /** What the transform saw there: 'load', 'read', 'bulk', 'point', ... */
  readonly kind: string;
  /** The source text of the access, for reports. */
  readonly text: string;
  /** The enclosing function, for reports. */
  readonly function: string;
}

/** What a transformed module registers, once, when it is evaluated. */
export interface ModuleSites {
  readonly file: string;
  readonly sites: readonly Site[];
}

/** A site with its file, as reports look it up. */
export interface LocatedSite extends Site {
  readonly file: string;
}

/** Any receiver of a shared access. */
export type SharedView =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Float64Array;

/**
 * One pending operation. Filled by a factory of `ops.ts`; `address`, `size`, `reads`, `writes` are
 * resolved by the machine when the op becomes pending. Monomorphic on purpose: never add fields.
 */
export class Op {
  kind: number = POINT;
  site: number = 0;
  /** Typed array, DataView or bulk receiver. */
  target: any = null;
  index: any = 0;
  /** Operand; the expected value of compareExchange and wait; the count of notify. */
  value: any = undefined;
  /** Replacement of compareExchange; timeout in ms of wait. */
  extra: any = undefined;
  /** Method name of a DataView or bulk op, the label of a mark. */
  method: string = '';
  /** Arguments of a DataView or bulk op. */
  args: any = null;

  /** Flat byte address (buffer base + byte offset), or -1: not a shared access. */
  address: number = -1;
  /** Bytes. */
  size: number = 0;
}

/** A virtual CPU's code: what a coloured function returns. */
export type Steps<T = any> = Generator<Op, T, any>;
