/**
 * Sequential models for `linearizable`. Operation names are the usual ones; each model also takes
 * the other usual names (`push`/`enqueue`/`put`, `pop`/`dequeue`/`take`). `empty` is what a pop of
 * nothing returns (default undefined).
 */
import type { Model } from './linearizability.ts';

/** Options of the collection models. */
export interface CollectionOptions {
  /** Result of taking from an empty collection. */
  readonly empty?: unknown;
  /** At most so many elements; a push beyond returns `full`. */
  readonly capacity?: number;
  /** Result of a push that does not fit. Default false. */
  readonly full?: unknown;
}

const ADDS = new Set(['push', 'enqueue', 'put', 'insert', 'send', 'free']);
const TAKES = new Set(['pop', 'dequeue', 'take', 'shift', 'receive', 'alloc']);

function same(a: unknown, b: unknown): boolean {
  return Object.is(a, b) || (typeof a === 'object' && JSON.stringify(a) === JSON.stringify(b));
}

function unknownOperation(model: string, name: string): never {
  throw new TypeError(`interleave: the ${model} model has no operation '${name}'`);
}

type Items = readonly unknown[];

function collection(
  model: string,
  options: CollectionOptions,
  positions: (items: Items) => readonly number[],
  key?: (items: Items) => string,
): Model<Items> {
  const capacity = options.capacity ?? Infinity;
  const full = options.full ?? false;
  return {
    name: model,
    initial: [],
    apply(items, name, args, result, returned) {
      if (ADDS.has(name)) {
        if (items.length >= capacity) return !returned || same(result, full) ? [items] : [];
        return returned && options.capacity !== undefined && same(result, full)
          ? []
          : [[...items, args[0]]];
      }
      if (!TAKES.has(name)) return unknownOperation(model, name);
      if (items.length === 0) return !returned || same(result, options.empty) ? [items] : [];
      const states: Items[] = [];
      for (const at of positions(items)) {
        if (!returned || same(result, items[at])) states.push(items.toSpliced(at, 1));
      }
      return states;
    },
    ...(key === undefined ? {} : { key }),
  };
}

function show(value: unknown): string {
  return typeof value === 'bigint' ? `${value}n` : JSON.stringify(value);
}

/** The models that come with the package. */
export const model: {
  stack(options?: CollectionOptions): Model<Items>;
  queue(options?: CollectionOptions): Model<Items>;
  bag(options?: CollectionOptions): Model<Items>;
  register(initial?: unknown): Model<unknown>;
  set(initial?: readonly unknown[]): Model<Items>;
  counter(initial?: number): Model<number>;
} = {
  /** Last in, first out. */
  stack: (options = {}) => collection('stack', options, (items) => [items.length - 1]),
  /** First in, first out. */
  queue: (options = {}) => collection('queue', options, () => [0]),
  /** Any order; equal elements are alike. */
  bag: (options = {}) =>
    collection(
      'bag',
      options,
      (items) => items.map((_, i) => i),
      (items) => items.map(show).sort().join(),
    ),
  /** read(), write(v), cas(from, to) -> boolean, exchange(v) -> old. */
  register: (initial = 0) => ({
    name: 'register',
    initial,
    apply(value, name, args, result, returned) {
      if (name === 'read' || name === 'load' || name === 'get') {
        return !returned || same(result, value) ? [value] : [];
      }
      if (name === 'write' || name === 'store' || name === 'set') return [args[0]];
      if (name === 'exchange') return !returned || same(result, value) ? [args[0]] : [];
      if (name === 'cas') {
        const hit = same(value, args[0]);
        return !returned || result === hit ? [hit ? args[1] : value] : [];
      }
      return unknownOperation('register', name);
    },
  }),
  /** add(v), remove(v), has(v), each -> boolean. */
  set: (initial = []) => ({
    name: 'set',
    initial,
    apply(items, name, args, result, returned) {
      const at = items.findIndex((item) => same(item, args[0]));
      const has = at >= 0;
      if (name === 'add') {
        if (returned && result !== !has) return [];
        return [has ? items : [...items, args[0]]];
      }
      if (name === 'remove' || name === 'delete') {
        if (returned && result !== has) return [];
        return [has ? items.toSpliced(at, 1) : items];
      }
      if (name === 'has') return returned && result !== has ? [] : [items];
      return unknownOperation('set', name);
    },
    key: (items) => items.map(show).sort().join(),
  }),
  /** add(n), sub(n), increment(), decrement() -> value before, or undefined; get() -> value. */
  counter: (initial = 0) => ({
    name: 'counter',
    initial,
    apply(value, name, args, result, returned) {
      if (name === 'get' || name === 'load') return returned && result !== value ? [] : [value];
      if (returned && result !== undefined && result !== value) return [];
      if (name === 'increment') return [value + 1];
      if (name === 'decrement') return [value - 1];
      if (name === 'add') return [value + Number(args[0])];
      if (name === 'sub') return [value - Number(args[0])];
      return unknownOperation('counter', name);
    },
  }),
};
