/**
 * Death by simulation. The operation is broken off by an exception exactly where
 * `worker.terminate()` could strike, and the shared words stay as they were; another virtual CPU
 * then recovers the number. Two kinds of points (see cpu/hand-stack.ts):
 *
 * - the entry of a function that touches the hand stack (reserveSlot, lockMutex, unlockMutex all
 *   begin by reading `cpu.handTop`, outside any straight line): `dyingAt`;
 * - the entry of an atomic access, before its effect: `diedAtAtomic`.
 *
 * Code under test must not catch `Death`; a catch or finally block of it that runs all the same
 * gets no further than its first such point.
 */
import type { Cpu } from '../../src/index.ts';

export class Death extends Error {
  override name = 'Death';
}

/** `cpu`, dying at the `point`-th entry from now (1 = the first). */
export function dyingAt(cpu: Cpu, point: number): Cpu {
  let entries = 0;
  return Object.create(cpu, {
    handTop: {
      get(): number {
        if (++entries >= point) throw new Death(`at entry ${point}`);
        return cpu.handTop;
      },
    },
  }) as Cpu;
}

/** Runs `operation`; true when it died, false when it came to its end. Other errors pass. */
export function died(operation: () => void): boolean {
  try {
    operation();
  } catch (error) {
    if (error instanceof Death) return true;
    throw error;
  }
  return false;
}

/** The accesses that V8 may end a thread at; `Atomics.notify` is none. */
const ATOMICS = [
  'load',
  'store',
  'add',
  'sub',
  'and',
  'or',
  'xor',
  'exchange',
  'compareExchange',
] as const;

/** What another thread does right before the `at`-th atomic access of the operation. */
export interface Meanwhile {
  readonly at: number;
  readonly run: () => void;
}

/**
 * Runs `operation`, which dies at the entry of its `point`-th atomic access (1 = the first); true
 * when it died, false when it came to its end before. Synchronous operations only.
 */
export function diedAtAtomic(point: number, operation: () => void, meanwhile?: Meanwhile): boolean {
  const real = realAtomics();
  let calls = 0;
  let elsewhere = false;
  let dead = false;
  const wrap =
    (name: (typeof ATOMICS)[number]) =>
    (...args: unknown[]): unknown => {
      if (!elsewhere) {
        calls++;
        if (calls === meanwhile?.at) {
          elsewhere = true;
          meanwhile.run();
          elsewhere = false;
        }
        // Not only at the point: a thread that is gone does nothing in its catch blocks either.
        if (calls >= point) {
          dead = true;
          throw new Death(`at atomic access ${point}, Atomics.${name}`);
        }
      }
      return Reflect.apply(real[name], Atomics, args);
    };
  for (const name of ATOMICS) Reflect.set(Atomics, name, wrap(name));
  try {
    operation();
    return dead;
  } catch (error) {
    // A finally block may have thrown something else over the death.
    if (dead) return true;
    throw error;
  } finally {
    for (const name of ATOMICS) Reflect.set(Atomics, name, real[name]);
  }
}

function realAtomics(): Record<(typeof ATOMICS)[number], (...args: never[]) => unknown> {
  const { load, store, add, sub, and, or, xor, exchange, compareExchange } = Atomics;
  return { load, store, add, sub, and, or, xor, exchange, compareExchange };
}
