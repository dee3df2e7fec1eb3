/**
 * The runtime that transformed code imports as `__rt`: op factories, the site table, and the few
 * predicates the transform needs. Called only by generators that a machine is driving.
 *
 * Invariant: `host.current` is the op record of the virtual CPU (or of the set-up code) whose
 * generator is running right now; factories overwrite it and allocate nothing. The state hangs on
 * `globalThis` so that two copies of this module (source and dist) still meet.
 */
import {
  ADD,
  AND,
  BULK,
  COMPARE_EXCHANGE,
  EXCHANGE,
  LOAD,
  type LocatedSite,
  type ModuleSites,
  NOTIFY,
  Op,
  OR,
  PAUSE,
  POINT,
  READ,
  STORE,
  SUB,
  VIEW_GET,
  VIEW_SET,
  WAIT,
  WAIT_ASYNC,
  WRITE,
  XOR,
} from './protocol.ts';

/** State shared by every copy of the runtime in this thread. */
export interface Host {
  current: Op;
  readonly sites: LocatedSite[];
  /** Shows the machine an op: true when it is performed already, with its result in `result`. */
  arrive: (op: Op) => boolean;
  result: any;
  /** Virtual time in ms; null before the first run. */
  now: (() => number) | null;
  /** Does anybody ask where CPUs can die? */
  points: boolean;
  /** Performs an op at once, as part of the running CPU's step (see `now`). */
  perform: ((op: Op) => unknown) | null;
}

const key = Symbol.for('@umbuf/interleave runtime 2');
const holder = globalThis as unknown as Record<symbol, Host | undefined>;

/** The state of this thread's runtime. */
export const host: Host = (holder[key] ??= {
  current: new Op(),
  sites: [{ file: '', line: 0, column: 0, kind: 'unknown', text: '(unknown site)', function: '' }],
  arrive: suspend,
  result: undefined,
  points: false,
  now: null,
  perform: null,
});

function suspend(): boolean {
  return false;
}

/**
 * Has the op been performed already? Its result is `host.result` then; else the generator yields
 * it, and gets the result from the `yield`. May throw what the real operation throws.
 */
export function done(op: Op): boolean {
  return host.arrive(op);
}

/** `point` in one: must the generator yield the op here? */
export function stops(site: number): boolean {
  return host.points && !host.arrive(point(site));
}

/** Runs `body` with every op yielded and none performed: for who drives generators himself. */
export function yielding<T>(body: () => T): T {
  const { arrive } = host;
  host.arrive = suspend;
  try {
    return body();
  } finally {
    host.arrive = arrive;
  }
}

function atomic(kind: number, site: number, array: any, index: any, value: any): Op {
  const op = host.current;
  op.kind = kind;
  op.site = site;
  op.target = array;
  op.index = index;
  op.value = value;
  return op;
}

/** `Atomics.load(array, index)`. */
export function load(site: number, array: any, index: any): Op {
  return atomic(LOAD, site, array, index, undefined);
}
/** `Atomics.store(array, index, value)`. */
export function store(site: number, array: any, index: any, value: any): Op {
  return atomic(STORE, site, array, index, value);
}
/** `Atomics.add(array, index, value)`. */
export function add(site: number, array: any, index: any, value: any): Op {
  return atomic(ADD, site, array, index, value);
}
/** `Atomics.sub(array, index, value)`. */
export function sub(site: number, array: any, index: any, value: any): Op {
  return atomic(SUB, site, array, index, value);
}
/** `Atomics.and(array, index, value)`. */
export function and(site: number, array: any, index: any, value: any): Op {
  return atomic(AND, site, array, index, value);
}
/** `Atomics.or(array, index, value)`. */
export function or(site: number, array: any, index: any, value: any): Op {
  return atomic(OR, site, array, index, value);
}
/** `Atomics.xor(array, index, value)`. */
export function xor(site: number, array: any, index: any, value: any): Op {
  return atomic(XOR, site, array, index, value);
}
/** `Atomics.exchange(array, index, value)`. */
export function exchange(site: number, array: any, index: any, value: any): Op {
  return atomic(EXCHANGE, site, array, index, value);
}
/** `Atomics.compareExchange(array, index, expected, replacement)`. */
export function compareExchange(
  site: number,
  array: any,
  index: any,
  expected: any,
  replacement: any,
): Op {
  const op = atomic(COMPARE_EXCHANGE, site, array, index, expected);
  op.extra = replacement;
  return op;
}
/** `Atomics.wait(array, index, value, timeout)`; the timeout runs on virtual time. */
export function wait(site: number, array: any, index: any, value: any, timeout?: any): Op {
  const op = atomic(WAIT, site, array, index, value);
  op.extra = timeout;
  return op;
}
/** `Atomics.waitAsync(array, index, value, timeout)`. */
export function waitAsync(site: number, array: any, index: any, value: any, timeout?: any): Op {
  const op = atomic(WAIT_ASYNC, site, array, index, value);
  op.extra = timeout;
  return op;
}
/** `Atomics.notify(array, index, count)`. */
export function notify(site: number, array: any, index: any, count?: any): Op {
  return atomic(NOTIFY, site, array, index, count);
}
/** `Atomics.pause(n)`. */
export function pause(site: number): Op {
  const op = host.current;
  op.kind = PAUSE;
  op.site = site;
  return op;
}
/** `array[index]`. */
export function read(site: number, array: any, index: any): Op {
  return atomic(READ, site, array, index, undefined);
}
/** `array[index] = value`; the result is `value`. */
export function write(site: number, array: any, index: any, value: any): Op {
  return atomic(WRITE, site, array, index, value);
}
/** `view[method](...args)` where method is `getInt32`, ... of a DataView. */
export function viewGet(site: number, view: any, method: string, args: readonly any[]): Op {
  const op = atomic(VIEW_GET, site, view, 0, undefined);
  op.method = method;
  op.args = args;
  return op;
}
/** `view[method](...args)` where method is `setInt32`, ... of a DataView. */
export function viewSet(site: number, view: any, method: string, args: readonly any[]): Op {
  const op = atomic(VIEW_SET, site, view, 0, undefined);
  op.method = method;
  op.args = args;
  return op;
}
/**
 * `receiver[method](...args)`, a bulk method of a typed array: fill, set, copyWithin, slice,
 * indexOf, includes, join, ... Receiver or argument or both may be shared.
 */
export function bulk(site: number, receiver: any, method: string, args: readonly any[]): Op {
  const op = atomic(BULK, site, receiver, 0, undefined);
  op.method = method;
  op.args = args;
  return op;
}
/** A place where V8 can stop a worker: a function's entry, a loop's back edge. Result undefined. */
export function point(site: number): Op {
  const op = host.current;
  op.kind = POINT;
  op.site = site;
  return op;
}
/**
 * Performs an op at once, for code that cannot be suspended (a callback of a built-in): seen by
 * the race detector, not a scheduling point. A blocking wait throws there.
 */
export function now(op: Op): any {
  if (host.perform === null) throw new Error('interleave: an op outside any exploration');
  return host.perform(op);
}

let lastView: unknown = null;
let olderView: unknown = null;

/** True for a typed array or DataView over shared memory. */
export function isShared(x: unknown): boolean {
  if (x === lastView || x === olderView) return x !== null;
  if (typeof x !== 'object' || x === null || !ArrayBuffer.isView(x)) return false;
  if (!(x.buffer instanceof SharedArrayBuffer)) return false;
  olderView = lastView;
  lastView = x;
  return true;
}

/** `x instanceof Generator`: true for every generator object. */
export const Generator: { new (): unknown; readonly prototype: unknown } = function Generator() {
  throw new TypeError('Generator is for instanceof only');
} as unknown as { new (): unknown; readonly prototype: unknown };
Object.defineProperty(Generator, 'prototype', {
  value: Object.getPrototypeOf(Object.getPrototypeOf((function* () {})())),
});

/** Registers a module's sites; a site of its code is `base + index`. */
export function module(sites: ModuleSites): number {
  const base = host.sites.length;
  for (const site of sites.sites) host.sites.push({ ...site, file: sites.file });
  return base;
}
