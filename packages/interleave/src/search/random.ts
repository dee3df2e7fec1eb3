/**
 * Randomised strategies: uniform random choice, and PCT (Burckhardt et al., ASPLOS 2010: random
 * priorities, lowered at d - 1 random steps; finds a bug of depth d in n CPUs and k steps with
 * probability at least 1 / (n k^(d-1)) a run). Both are functions of a printed seed.
 */
import { DIE, PICK } from '../runtime/choice.ts';
import { TIMED } from '../runtime/cpu.ts';
import { mortal } from '../runtime/death.ts';
import type { Machine } from '../runtime/machine.ts';
import { picks } from '../runtime/pending.ts';
import { count, lowest, type Strategy } from './strategy.ts';

/** A small generator (mulberry32): the state is the seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** Uniform in [0, 2^32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** Uniform in [0, n). */
  below(n: number): number {
    return Math.floor((this.next() / 4294967296) * n);
  }
}

function nth(mask: number, n: number): number {
  let m = mask;
  for (let i = 0; i < n; i++) m &= m - 1;
  return lowest(m);
}

/** Deaths and wake-up order: common to both. */
abstract class Randomised implements Strategy {
  abstract readonly name: string;
  protected readonly random: Random;
  /** Step of this run at which somebody may die; recomputed for each run. */
  #deathAt: number = 0;
  /** Mean length of runs so far. */
  protected meanSteps: number = 16;

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  begin(): boolean {
    this.#deathAt = this.random.below(Math.max(1, Math.round(this.meanSteps)));
    return true;
  }

  end(machine: Machine): boolean {
    this.meanSteps += (machine.steps - this.meanSteps) / 16;
    return false;
  }

  pick(machine: Machine, enabled: number): number {
    if (machine.options.crash !== 'none' && machine.steps >= this.#deathAt) {
      const mask = mortal(machine);
      if (mask !== 0 && this.random.below(3) === 0) {
        this.#deathAt += this.random.below(Math.max(1, Math.round(this.meanSteps)));
        return nth(mask, this.random.below(count(mask))) | DIE;
      }
    }
    const c = this.choose(machine, enabled);
    const sleepers = picks(machine, c);
    return sleepers > 1 ? c + PICK * this.random.below(sleepers) : c;
  }

  protected abstract choose(machine: Machine, enabled: number): number;
}

/** Uniform random scheduling. */
export class RandomWalk extends Randomised {
  readonly name: string = 'uniform random';

  protected override choose(machine: Machine, enabled: number): number {
    const c = nth(enabled, this.random.below(count(enabled)));
    // Time-outs are rare.
    if (machine.cpus[c]?.status === TIMED && this.random.below(4) !== 0) {
      return nth(enabled, this.random.below(count(enabled)));
    }
    return c;
  }
}

/** Probabilistic concurrency testing of depth d. */
export class PriorityWalk extends Randomised {
  readonly name: string;
  readonly #depth: number;
  readonly #priority: number[] = [];
  #changes: number[] = [];

  constructor(seed: number, depth: number) {
    super(seed);
    this.#depth = depth;
    this.name = `PCT depth ${depth}`;
  }

  override begin(): boolean {
    super.begin();
    this.#priority.length = 0;
    this.#changes = [];
    for (let i = 1; i < this.#depth; i++) {
      this.#changes.push(this.random.below(Math.max(1, Math.round(this.meanSteps))));
    }
    return true;
  }

  protected override choose(machine: Machine, enabled: number): number {
    while (this.#priority.length < machine.n) {
      this.#priority.push(this.#depth + (this.random.next() % 1_000_003));
    }
    let best = -1;
    for (let m = enabled; m !== 0; m &= m - 1) {
      const c = lowest(m);
      if (best < 0 || (this.#priority[c] as number) > (this.#priority[best] as number)) best = c;
    }
    const at = this.#changes.indexOf(machine.steps);
    if (at >= 0) {
      this.#priority[best] = at;
      this.#changes[at] = -1;
      return this.choose(machine, enabled);
    }
    return best;
  }
}
