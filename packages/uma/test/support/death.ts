/**
 * Death by snapshot. A thread can be terminated at the entry of any function, at loop back edges, in
 * waits, and at each call of `Atomics` before its effect (test/death/straight-line.guard). Nearly every
 * slow function of uma and memory begins by reading `words` of its Uma or Cpu, so a getter there and
 * wrappers around `Atomics` mark these points. `deathPoints` runs an operation once and
 * copies the arena at each point; `restore` puts a copy back: the arena is then as the death at that
 * point would have left it, while catch and finally blocks have run on the other, later state
 * only, as on a terminated worker none would. Callbacks mark further points by calling `mark`.
 */

import type { Uma } from '../../src/index.ts';

export interface DeathPoint {
  /** Arena bytes. */
  readonly copy: Uint8Array;
  /** What `owned` said: items in the user's ledger. */
  readonly owned: number;
}

export interface DeathPoints {
  /** In order; points that left arena and ledger as they were are joined. */
  readonly points: readonly DeathPoint[];
  /** What the operation threw, if it did. */
  readonly error: unknown;
}

let record: (() => void) | undefined;

const marked = [
  'load',
  'store',
  'add',
  'sub',
  'and',
  'or',
  'exchange',
  'compareExchange',
  'notify',
] as const;
const originals = Object.fromEntries(marked.map((name) => [name, Atomics[name]]));

/** Makes every call of `Atomics` a point; undone by `unmarkAtomics`. */
function markAtomics(): void {
  for (const name of marked) {
    const original = originals[name] as (...values: unknown[]) => unknown;
    (Atomics as unknown as Record<string, unknown>)[name] = (...values: unknown[]): unknown => {
      record?.();
      return original(...values);
    };
  }
}

function unmarkAtomics(): void {
  Object.assign(Atomics, originals);
}

/** A further point of death, for callbacks. */
export function mark(): void {
  record?.();
}

/**
 * Runs `operation` of `uma`, copying the arena at every function entry: `most` to `2 * most` of
 * these points, evenly spread, where there are more.
 */
export function deathPoints(
  uma: Uma,
  operation: () => void,
  owned: () => number = () => 0,
  most: number = 1000,
): DeathPoints {
  const { arena, cpu } = uma;
  const points: DeathPoint[] = [];
  const { words } = uma;
  const last = Buffer.alloc(arena.bytes.length);
  let lastOwned = -1;
  let stride = 1;
  let seen = 0;
  record = () => {
    if (owned() === lastOwned && last.equals(arena.bytes)) return;
    last.set(arena.bytes);
    lastOwned = owned();
    if (seen++ % stride !== 0) return;
    points.push({ copy: new Uint8Array(last), owned: lastOwned });
    if (points.length < 2 * most) return;
    // Thin out evenly; the first point stays.
    for (let index = 1; index < points.length; index++) points.splice(index, 1);
    stride *= 2;
  };
  const getter = {
    configurable: true,
    get(): Int32Array<SharedArrayBuffer> {
      record?.();
      return words;
    },
  };
  const plain = { configurable: true, writable: false, enumerable: true, value: words };
  Object.defineProperty(uma, 'words', getter);
  Object.defineProperty(cpu, 'words', getter);
  markAtomics();
  let error: unknown;
  try {
    operation();
  } catch (thrown) {
    error = thrown;
  } finally {
    record = undefined;
    unmarkAtomics();
    Object.defineProperty(uma, 'words', plain);
    Object.defineProperty(cpu, 'words', plain);
  }
  return { points, error };
}

/** The arena becomes what it was at that point. */
export function restore(uma: Uma, point: DeathPoint): void {
  uma.arena.bytes.set(point.copy);
}

/** At most `count` of the points, evenly spread, the first and the last among them. */
export function spread<T>(points: readonly T[], count: number): T[] {
  if (points.length <= count) return [...points];
  return Array.from(
    { length: count },
    (_, index) => points[Math.round((index * (points.length - 1)) / (count - 1))]!,
  );
}
