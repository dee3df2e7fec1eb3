/**
 * Depth-first search under a preemption bound (CHESS): every schedule with at most `bound` switches
 * away from a CPU that could have gone on. `Infinity` is the naive search, for tests. Switching
 * away from a CPU that sleeps, spins or has ended is free; a time-out while others can run costs
 * one; a death costs nothing (its number is bounded by the machine).
 *
 * No sleep sets here: combined with a bound they would hide schedules.
 */
import { DIE, PICK } from '../runtime/choice.ts';
import { TIMED } from '../runtime/cpu.ts';
import { mortal } from '../runtime/death.ts';
import type { Machine } from '../runtime/machine.ts';
import { picks } from '../runtime/pending.ts';
import { lowest, type Strategy } from './strategy.ts';

/** All schedules with at most `bound` preemptions. */
export class BoundedSearch implements Strategy {
  readonly name: string;
  readonly #bound: number;
  /** Choice at each depth of the current run. */
  readonly #chosen: number[] = [];
  /** Preemptions before each depth. */
  readonly #spent: number[] = [];
  /** Untried choices at each depth; null: none. */
  readonly #rest: (number[] | null)[] = [];
  #length: number = 0;
  #depth: number = 0;
  #started: boolean = false;
  /** Was anything left out because of the bound? If not, this was every schedule. */
  cut: boolean = false;
  /** Spreads the first branch over shards; see `shard`. */
  #shard: readonly [number, number] = [0, 1];

  constructor(bound: number) {
    this.#bound = bound;
    this.name = bound === Infinity ? 'depth first' : `preemption bound ${bound}`;
  }

  /** Explores the i-th of n disjoint parts of the tree. */
  shard(i: number, n: number): void {
    this.#shard = [i, n];
  }

  begin(): boolean {
    this.#depth = 0;
    if (!this.#started) {
      this.#started = true;
      return true;
    }
    while (this.#length > 0) {
      const d = this.#length - 1;
      const next = this.#rest[d]?.pop();
      if (next !== undefined) {
        this.#chosen[d] = next;
        return true;
      }
      this.#length--;
    }
    return false;
  }

  pick(machine: Machine, enabled: number): number {
    const d = this.#depth++;
    if (d < this.#length) {
      const chosen = this.#chosen[d] as number;
      if (d === this.#length - 1) this.#account(machine, enabled, d, chosen);
      return chosen;
    }
    const spent = d === 0 ? 0 : (this.#spent[d] as number);
    // Who goes on without cost?
    const { last } = machine;
    let timed = 0;
    for (let m = enabled; m !== 0; m &= m - 1) {
      const c = lowest(m);
      if (machine.cpus[c]?.status === TIMED) timed |= 1 << c;
    }
    const able = enabled & ~timed;
    // A CPU that spins gives way for nothing, and may go on for nothing.
    const active = able & ~machine.spin.folded;
    const goesOn = last >= 0 && (active >>> last) & 1;
    const first = goesOn ? last : lowest(active !== 0 ? active : able !== 0 ? able : enabled);
    let rest: number[] | null = null;
    const affordable = spent < this.#bound;
    for (let m = enabled; m !== 0; m &= m - 1) {
      const c = lowest(m);
      const isFree = !goesOn && ((timed >>> c) & 1 ? able === 0 : true);
      if (c !== first && (affordable || isFree)) {
        rest ??= [];
        rest.push(c);
      }
      if (c !== first && !affordable && !isFree) {
        this.cut = true;
        continue;
      }
      for (let k = picks(machine, c) - 1; k > 0; k--) {
        rest ??= [];
        rest.push(c + PICK * k);
      }
    }
    for (let m = mortal(machine); m !== 0; m &= m - 1) {
      rest ??= [];
      rest.push(lowest(m) | DIE);
    }
    let chosen = first;
    const [i, n] = this.#shard;
    if (n > 1 && rest !== null) {
      const all: number[] = [first, ...rest];
      const r = all.length;
      // More shards than branches: one branch, and the next branching point divides on.
      const mine = n <= r ? all.filter((_, at) => at % n === i) : [all[i % r] as number];
      this.#shard = n <= r ? [0, 1] : [Math.floor(i / r), Math.ceil((n - (i % r)) / r)];
      chosen = mine.shift() ?? first;
      rest = mine;
    }
    this.#rest[d] = rest;
    this.#chosen[d] = chosen;
    this.#length = d + 1;
    this.#account(machine, enabled, d, chosen);
    return chosen;
  }

  #account(machine: Machine, enabled: number, d: number, choice: number): void {
    const spent = d === 0 ? 0 : (this.#spent[d] as number);
    let cost = 0;
    if ((choice & DIE) === 0 && this.#bound !== Infinity) {
      const c = choice & (DIE - 1);
      const { last } = machine;
      if (c !== last) {
        const couldGoOn =
          last >= 0 &&
          ((enabled & ~machine.spin.folded) >>> last) & 1 &&
          machine.cpus[last]?.status !== TIMED;
        if (couldGoOn) cost = 1;
      }
      if (cost === 0 && machine.cpus[c]?.status === TIMED) {
        for (let m = enabled; m !== 0; m &= m - 1) {
          if (machine.cpus[lowest(m)]?.status !== TIMED) cost = 1;
        }
      }
    }
    this.#spent[d + 1] = spent + cost;
  }

  end(): boolean {
    return false;
  }
}
