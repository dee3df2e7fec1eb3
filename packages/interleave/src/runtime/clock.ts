/**
 * Virtual time: what `performance.now()` and `Date.now()` say in explored code. A run takes no time
 * of its own; it passes
 *
 * - with a timed wait that times out: that CPU's clock goes to the end of the wait, and any wait may
 *   time out at any scheduling point, whatever the others' clocks say;
 * - with each look at the clock, 0.05 ms; in a loop that goes round in vain twice as much each time,
 *   so that a loop bounded by a deadline comes to its end.
 *
 * Each CPU has its own clock. A SeqCst read or a wake-up brings the reader's clock up to the
 * writer's, so time never runs backwards along happens-before; between CPUs that have not
 * synchronized it says nothing, as in life. So time is a function of the order of dependent steps
 * only, which is what lets the partial-order reduction ignore it. Called by the machine.
 */

/** Where time begins, in ms: not at 0, which code may take for "none". */
const ORIGIN_MS = 1000;
/** What a look at the clock takes. */
const LOOK_MS = 0.05;
/** Longest step of a look in vain, as a power of two of `LOOK_MS`: half a year. */
const DOUBLINGS = 38;

export class Clock {
  /** Has time been asked for, or passed, in this run? */
  used: boolean = false;
  /** By CPU; the last one is that of code outside the CPUs. */
  readonly #times: Float64Array;
  /** By address: the writer's time. */
  readonly #stamps = new Map<number, number>();
  #origin: number = ORIGIN_MS;

  constructor(cpus: number) {
    this.#times = new Float64Array(cpus + 1).fill(ORIGIN_MS);
  }

  reset(): void {
    this.#times.fill(this.#origin);
    if (this.#stamps.size > 0) this.#stamps.clear();
    this.used = false;
  }

  /** What is made once for all runs was made before each of them. */
  keep(): void {
    this.#origin = this.#outside();
  }

  /** The CPUs start now: the set-up is behind them. */
  begin(): void {
    if (this.used) this.#times.fill(this.#outside());
  }

  /** `performance.now()` of CPU c (-1: outside); `spun`: rounds of its loop in vain so far. */
  look(c: number, spun: number): number {
    this.used = true;
    if (c < 0) this.#times[this.#times.length - 1] = this.#outside() + LOOK_MS;
    else this.#times[c] = this.at(c) + LOOK_MS * 2 ** Math.min(spun, DOUBLINGS);
    return c < 0 ? this.#outside() : this.at(c);
  }

  at(c: number): number {
    return this.#times[c] as number;
  }

  /** A wait of CPU c has timed out. */
  reach(c: number, time: number): void {
    this.used = true;
    if (time > this.at(c)) this.#times[c] = time;
  }

  /** CPU c comes behind what `by` has done so far. */
  follow(c: number, by: number): void {
    this.reach(c, this.at(by));
  }

  /** CPU c has performed an Atomics operation: only while `used`. */
  carry(c: number, address: number, reads: boolean, writes: boolean): void {
    const stamp = this.#stamps.get(address);
    if (reads && stamp !== undefined) this.reach(c, stamp);
    if (writes) this.#stamps.set(address, this.at(c));
  }

  /** Behind everybody. */
  #outside(): number {
    return Math.max(...this.#times);
  }
}
