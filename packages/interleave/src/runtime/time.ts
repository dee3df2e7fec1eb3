/**
 * `performance` and `Date` of explored code, which the transform puts in place of the globals: `now`
 * is virtual time (clock.ts), everything else is what it was. Before the first run, and in code
 * that is not explored, time is real.
 */
import { host } from './ops.ts';

/** What a virtual `Date` counts from: 2000-01-01. */
const EPOCH_MS = 946_684_800_000;

const real = { performance: globalThis.performance, Date: globalThis.Date };

function milliseconds(): number {
  return host.now === null ? real.performance.now() : host.now();
}

function date(): number {
  return host.now === null ? real.Date.now() : Math.floor(EPOCH_MS + host.now());
}

/** A method of a built-in works on the built-in only. */
function member(target: object, key: PropertyKey): unknown {
  const value: unknown = Reflect.get(target, key, target);
  return typeof value === 'function' ? value.bind(target) : value;
}

/** `performance` with a virtual `now`. */
export const performance: Performance = new Proxy(real.performance, {
  get: (target, key) => (key === 'now' ? milliseconds : member(target, key)),
});

/** `Date` with a virtual `now`, of which `new Date()` is made. */
export const Date: DateConstructor = new Proxy(real.Date, {
  get: (target, key, receiver) => (key === 'now' ? date : Reflect.get(target, key, receiver)),
  apply: () => new real.Date(date()).toString(),
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [date()] : args, newTarget) as object,
});
