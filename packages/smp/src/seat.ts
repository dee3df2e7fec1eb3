/**
 * A seat: one place of the machine, with one CPU after another in it. Sees to it that the dead are
 * recovered, told of, and replaced: in this order, so that a replacement finds the number offline.
 */

import {
  type Arena,
  CpuRecord,
  CpuState,
  packState,
  STATE_KIND_MASK,
  stateIncarnation,
} from '@umbuf/memory';
import type { Recovery } from './death.ts';
import { deferred, type Deferred } from './deferred.ts';
import { MachineStateError } from './errors.ts';
import { Life } from './life.ts';
import type { Death } from './options.ts';
import type { ThreadEnd, ThreadPool } from './pool.ts';

/** What the seats of a machine share. */
export interface Hall {
  readonly arena: Arena;
  readonly pool: ThreadPool;
  readonly recovery: Recovery;
  readonly replace: boolean;
  /** Called once per death, after its recovery. */
  tell(death: Death): void;
  closing(): boolean;
}

const BOOT_FAILURES_MAX = 3;

export class Seat {
  readonly index: number;
  readonly number: number;
  readonly #hall: Hall;
  #life: Life;
  #online: Deferred<Life> = deferred<Life>();
  #death: Deferred<Death> = deferred<Death>();
  /** Lives in succession that ended before they had booted. */
  #failures = 0;

  /** Starts the first life; `number` is offline. */
  constructor(hall: Hall, index: number, number: number) {
    this.index = index;
    this.number = number;
    this.#hall = hall;
    this.#life = this.#begin();
  }

  /** The present CPU, or the last. */
  get life(): Life {
    return this.#life;
  }

  /** Resolves when the present CPU has booted; rejects when the seat stays empty. */
  get online(): Promise<Life> {
    return this.#online.promise;
  }

  /** Resolves when the present CPU is dead and recovered, or its recovery failed. */
  get death(): Promise<Death> {
    return this.#death.promise;
  }

  /** Whether the last thread, which has ended, left the number claimed. */
  isDead(): boolean {
    const state = stateOf(this.#hall.arena, this.number);
    return (
      stateIncarnation(state) === this.#life.incarnation &&
      (state & STATE_KIND_MASK) !== CpuState.offline
    );
  }

  #begin(): Life {
    const { arena, pool } = this.#hall;
    const { index, number } = this;
    // As `claimCpu` counts: the incarnation fills the word's upper bits and wraps with it.
    const next = stateOf(arena, number) + packState(CpuState.offline, 1);
    const life = new Life(pool, { index, number, incarnation: stateIncarnation(next) });
    const online = this.#online;
    life.booted.then(
      () => {
        this.#failures = 0;
        online.resolve(life);
      },
      () => life.kill(), // a thread that failed to boot is of no use, and may hold the number
    );
    void life.ended.then((end) => this.#onEnd(life, end));
    return life;
  }

  async #onEnd(life: Life, end: ThreadEnd): Promise<void> {
    if (end.how === 'finished') return;
    if (this.#online.settled) this.#online = deferred<Life>();
    else this.#failures++;
    const death = await this.#recover(life, end);
    this.#hall.tell(death);
    const told = this.#death;
    const reason = this.#whyNotReplaced(death);
    if (reason === undefined) {
      this.#death = deferred<Death>();
      this.#life = this.#begin();
    } else {
      const message = `CPU ${this.number}: ${reason}`;
      this.#online.reject(new MachineStateError(message, { cause: death.failure }));
    }
    told.resolve(death);
  }

  async #recover(life: Life, end: ThreadEnd): Promise<Death> {
    const { index, number, incarnation } = life;
    const what = { index, number, incarnation, ...end };
    try {
      return { ...what, recovery: await this.#hall.recovery.add(number, incarnation) };
    } catch (failure) {
      return { ...what, recovery: 'failed', failure };
    }
  }

  #whyNotReplaced(death: Death): string | undefined {
    if (this.#hall.closing()) return 'the machine is shut down';
    if (death.recovery === 'failed') return `its recovery failed: ${String(death.failure)}`;
    if (!this.#hall.replace) return 'it died, and is not to be replaced';
    return this.#failures >= BOOT_FAILURES_MAX ? `${this.#failures} boots failed` : undefined;
  }
}

/** State word of a CPU number. */
export function stateOf(arena: Arena, number: number): number {
  return Atomics.load(arena.words, arena.cpuTable + number * CpuRecord.words);
}
