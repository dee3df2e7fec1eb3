/** Promises with their ends in hand, and bounded waits whose timers never outlive them. */

import { type Cpu, LockBusyError, releaseCpu } from '@umbuf/memory';

export interface Deferred<Value> {
  readonly promise: Promise<Value>;
  readonly settled: boolean;
  resolve(value: Value): void;
  reject(reason: unknown): void;
}

/** `Promise.withResolvers` (Node 22) for Node 20. A rejection that nobody awaits is no error. */
export function deferred<Value>(): Deferred<Value> {
  let settled = false;
  let resolve: (value: Value) => void = () => {};
  let reject: (reason: unknown) => void = () => {};
  const promise = new Promise<Value>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  promise.catch(() => {});
  return {
    promise,
    get settled() {
      return settled;
    },
    resolve(value) {
      settled = true;
      resolve(value);
    },
    reject(reason) {
      settled = true;
      reject(reason);
    },
  };
}

/** The value of `work`, or undefined after `ms` milliseconds. */
export async function within<Value>(ms: number, work: Promise<Value>): Promise<Value | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const bound = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([work, bound]);
  } finally {
    clearTimeout(timer);
  }
}

/** Releases the number of a thread that may not block; again while a lock is busy, at most `ms`. */
export async function releaseSoon(cpu: Cpu, ms: number): Promise<void> {
  for (const end = performance.now() + ms; ; ) {
    try {
      releaseCpu(cpu);
      return;
    } catch (error) {
      if (!(error instanceof LockBusyError) || performance.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
