/**
 * Sequential models of what generated scenarios run. Imported with `?native`: the judge calls them
 * behind a run, as ordinary code. An operation that never returned may have taken effect or not;
 * none of these sleeps for ever, so every one returns unless its run has failed already.
 */
import type { Model } from '@umbuf/interleave';

/**
 * A ring of two: a push says `[value, 0 or 1]` or `[first value, count]`, a pop its values. One value
 * is pushed or popped whenever that is possible. A batch is as large as its caller saw room or
 * values when it looked, which may be less than there is when it is published: at least one, then.
 */
const ring: Model<readonly number[]> = {
  name: 'queue of 2 with batches',
  initial: [],
  apply(items, name, args, result) {
    const count = name === 'push' || name === 'pop' ? 1 : Number(args[0]);
    if (name === 'push' || name === 'pushMany') {
      const [first, pushed] = result as readonly [number, number];
      const fits = Math.min(count, 2 - items.length);
      if (pushed > fits || (pushed === 0 && fits > 0)) return [];
      return [[...items, ...Array.from({ length: pushed }, (_, i) => first + i)]];
    }
    const got = result === '' ? [] : (result as string).split(',').map(Number);
    if (got.length > count || (got.length === 0 && items.length > 0)) return [];
    return got.every((value, i) => items[i] === value) ? [items.slice(got.length)] : [];
  },
};

/** Nodes 16, 32, 48, the first on top; a push says which node it gave back, 0 for none. */
const stack: Model<readonly number[]> = {
  name: 'stack',
  initial: [48, 32, 16],
  apply(items, name, _, result) {
    const node = result as number;
    if (name === 'push') return [node === 0 ? items : [...items, node]];
    return (items.at(-1) ?? 0) === node ? [items.slice(0, -1)] : [];
  },
};

/** Units that are out, two at most: a request gets all that it wants of what is free. */
const limit: Model<number> = {
  name: 'limit of 2',
  initial: 0,
  apply(out, name, args, result) {
    if (name === 'release') return [out - (result as number)];
    const units = Math.min(Number(args[1]), 2 - out);
    return units === result ? [out + units] : [];
  },
};

/** Sections under a lock that add to a number; -1 on CPU 2: the lock was busy. */
const sections: Model<number> = {
  name: 'counter',
  initial: 0,
  apply(value, _, args, result) {
    if (result === -1) return args[0] === 2 ? [value] : [];
    return result === value ? [value + Number(args[1])] : [];
  },
};

/**
 * Items in users' hands: whoever is given one is given a free one. An `allocFree` gives one and
 * takes the oldest: `[given, taken]`, in this order.
 */
const partition: Model<readonly number[]> = {
  name: 'partition of items',
  initial: [],
  apply(live, name, _, result) {
    if (name === 'allocFree') {
      const [given, taken] = result as readonly [number, number];
      if (given === 0 || live.includes(given)) return [];
      return [[...live, given].filter((one) => one !== taken)];
    }
    const item = result as number;
    if (name === 'alloc') return item === 0 || live.includes(item) ? [] : [[...live, item]];
    if (name !== 'free' || item === 0) return [live];
    return live.includes(item) ? [live.filter((one) => one !== item)] : [];
  },
  key: (live) => live.toSorted((a, b) => a - b).join(),
};

/**
 * Users of each storage. `get`, `share` and `free` say which storage, 0 for none; `write` says
 * `[storage, 0 or 1]`: it may write exactly while it is the only user.
 */
const users: Model<readonly number[]> = {
  name: 'users of storage',
  // One entry for each user.
  initial: [],
  apply(entries, name, _, result) {
    if (name === 'write') {
      const [storage, writable] = result as readonly [number, number];
      if (storage === 0) return [entries];
      const count = entries.filter((one) => one === storage).length;
      return count > 0 && (count === 1) === (writable === 1) ? [entries] : [];
    }
    const storage = result as number;
    if (storage === 0 || name === 'exchange') return [entries];
    const at = entries.indexOf(storage);
    if (name === 'get') return at < 0 ? [[...entries, storage]] : [];
    if (at < 0) return [];
    return [name === 'share' ? [...entries, storage] : entries.toSpliced(at, 1)];
  },
  key: (entries) => entries.toSorted((a, b) => a - b).join(),
};

export const models = { ring, stack, limit, sections, partition, users };
