/**
 * Death by simulation: a CPU whose thread "is terminated" at the n-th entry of a function that
 * touches the hand stack (reserveSlot, lockMutex, unlockMutex all begin by reading
 * `cpu.handTop`, outside any straight line). The operation is broken off by an exception exactly
 * where `worker.terminate()` could strike, and the shared words stay as they were; another virtual
 * CPU then recovers the number. Code under test must not catch `Death`.
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
        if (++entries === point) throw new Death(`at entry ${point}`);
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
