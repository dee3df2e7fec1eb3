/**
 * Recovery of dead CPUs from a thread that must not block.
 *
 * - All that are known dead are marked before any is recovered: the recovery of one may meet a
 *   lock that another holds, and takes it over only from a CPU that is marked. The first attempt
 *   waits for the end of the event loop's turn, so that exit events that come together are marked
 *   together.
 * - A lock held by a living CPU makes the attempt `busy`; it is repeated by a timer. The timer does
 *   not keep the process alive: the CPU that holds the lock, or has yet to be seen dead, does.
 * - Every death is recovered with the incarnation that died, at most once: afterwards the number
 *   is offline, and another incarnation's.
 */

import { type Cpu, leaveCpu, markDead, recover, type RecoverResult } from '@umbuf/memory';

/** How a recovery ended; `nothing`: that incarnation had not claimed its number, or released it. */
export type Recovered = Exclude<RecoverResult, 'busy'>;

interface DeadCpu {
  readonly number: number;
  readonly incarnation: number;
  readonly settle: (result: Recovered) => void;
  readonly fail: (error: unknown) => void;
}

const RETRY_MS = 1;
const RETRY_MS_MAX = 50;

export class Recovery {
  readonly #recoverer: () => Cpu;
  readonly #dead: Set<DeadCpu> = new Set();
  #attempting = false;
  #retryMs: number = RETRY_MS;

  /** `recoverer`: this thread's CPU, with `mayBlock: false`; asked for at every attempt. */
  constructor(recoverer: () => Cpu) {
    this.#recoverer = recoverer;
  }

  /** CPU numbers that await recovery. */
  get pending(): readonly number[] {
    return [...this.#dead].map((dead) => dead.number);
  }

  /**
   * After the thread's exit event. Resolves with `recovered`, or `nothing` when that incarnation
   * had not claimed the number or had released it. Rejects with what a layer's repair threw, or
   * when this thread can get no CPU; the CPU then stays dead and may be given here again.
   */
  add(number: number, incarnation: number): Promise<Recovered> {
    return new Promise((settle, fail) => {
      this.#dead.add({ number, incarnation, settle, fail });
      if (this.#attempting) return;
      this.#attempting = true;
      this.#retryMs = RETRY_MS;
      setImmediate(() => this.#attempt());
    });
  }

  #attempt(): void {
    try {
      const cpu = this.#recoverer();
      const entered = cpu.words[cpu.entered] !== 0;
      for (const { number, incarnation } of this.#dead) markDead(cpu, number, incarnation);
      for (const dead of this.#dead) this.#recoverOne(cpu, dead);
      if (cpu.queueLeave === undefined && !entered) leaveCpu(cpu);
    } catch (error) {
      for (const dead of this.#dead) dead.fail(error);
      this.#dead.clear();
    }
    this.#attempting = this.#dead.size > 0;
    if (!this.#attempting) return;
    setTimeout(() => this.#attempt(), this.#retryMs).unref();
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS_MAX);
  }

  #recoverOne(cpu: Cpu, dead: DeadCpu): void {
    try {
      const result = recover(cpu, dead.number, dead.incarnation);
      if (result === 'busy') return;
      dead.settle(result);
    } catch (error) {
      dead.fail(error);
    }
    this.#dead.delete(dead);
  }
}
