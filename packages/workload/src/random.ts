/**
 * xoshiro128**: the random numbers of every scenario. Written out here, because a seed that is
 * printed today must give the same sequence for ever.
 */

/** A stream of random numbers; two streams of one seed and different `stream` are independent. */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private d: number;

  constructor(seed: number, stream: number = 0) {
    // splitmix32 spreads the seed over the state.
    let state = (seed ^ Math.imul(stream + 1, 0x9e3779b9)) | 0;
    const next = (): number => {
      state = (state + 0x9e3779b9) | 0;
      let z = state;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      return z ^ (z >>> 16);
    };
    this.a = next();
    this.b = next();
    this.c = next();
    this.d = next();
  }

  /** Unsigned 32 bits. */
  next(): number {
    const shifted = Math.imul(this.b, 5);
    const result = Math.imul((shifted << 7) | (shifted >>> 25), 9);
    const t = this.b << 9;
    this.c ^= this.a;
    this.d ^= this.b;
    this.b ^= this.c;
    this.a ^= this.d;
    this.c ^= t;
    this.d = (this.d << 11) | (this.d >>> 21);
    return result >>> 0;
  }

  /** An integer from 0 to `limit` - 1; `limit` from 1 to 2^32. */
  below(limit: number): number {
    return Math.floor((this.next() / 4294967296) * limit);
  }

  /** True with probability `percent` / 100. */
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  /** Pareto-like: mostly near `least`, at most `most`. Sizes of real programs look like this. */
  pareto(least: number, most: number): number {
    const u = (this.next() + 1) / 4294967297;
    return Math.min(most, Math.floor(least / Math.sqrt(u)));
  }
}
