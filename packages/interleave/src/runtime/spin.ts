/**
 * Spin loops. A CPU that repeats an access (same site, address, operands) while no word it has read
 * since has changed is going round a loop without effect; after `limit` rounds it is *folded*.
 * What it does next depends on the loop:
 *
 * - one with a bound (an adaptive mutex spins 60 times, then sleeps) may be granted one step in
 *   which it goes round until it leaves the loop;
 * - one without a bound is an await: not granted until a word it looks at changes. That makes the
 *   search finite, and is what "livelock" is judged by.
 *
 * Which of the two is found out once for each site, by letting it spin thousands of times; the run
 * that finds out is given up and the search starts again (`learn`).
 *
 * Invariant: an entry of CPU c's list names an access that left memory as it was and whose word
 * has not changed since.
 */
import { COMPARE_EXCHANGE, LOAD, type Op, READ, WAIT } from './protocol.ts';

const CAPACITY = 24;

/** Bit of a site or of a word in a mask: a zero says "not in the list". */
function bit(x: number): number {
  return 1 << (x & 31);
}

class Loop {
  count: number = 0;
  /** Masks of the sites and of the words (address / 4) in the list. */
  siteMask: number = 0;
  wordMask: number = 0;
  readonly sites: number[] = Array.from({ length: CAPACITY }, () => 0);
  readonly addresses: number[] = Array.from({ length: CAPACITY }, () => 0);
  readonly kinds: number[] = Array.from({ length: CAPACITY }, () => 0);
  readonly values: unknown[] = Array.from({ length: CAPACITY });
  readonly extras: unknown[] = Array.from({ length: CAPACITY });
  readonly rounds: number[] = Array.from({ length: CAPACITY }, () => 0);
}

function empty(loop: Loop): void {
  loop.count = 0;
  loop.siteMask = 0;
  loop.wordMask = 0;
}

/** The folded CPUs of a machine and what each has read in vain. */
export class SpinWatch {
  /** Bit mask of the CPUs whose pending access is a repetition. */
  folded: number = 0;
  /** Those of them whose loop only another CPU can end. */
  awaiting: number = 0;
  /** Sites of loops without a bound; kept from run to run. */
  readonly #awaits = new Set<number>();
  readonly #loops: Loop[] = [];
  readonly #limit: number;

  constructor(cpus: number, limit: number) {
    this.#limit = limit;
    for (let c = 0; c < cpus; c++) this.#loops.push(new Loop());
  }

  reset(): void {
    this.folded = 0;
    this.awaiting = 0;
    for (const loop of this.#loops) empty(loop);
  }

  /** The loop of CPU c repeats at a site. */
  fold(c: number, site: number): void {
    this.folded |= 1 << c;
    if (this.#awaits.has(site)) this.awaiting |= 1 << c;
  }

  /** Is the loop round this site known to have no bound? */
  isAwait(site: number): boolean {
    return this.#awaits.has(site);
  }

  /** CPU c has gone round for too long: none of its loop's sites has a bound. */
  learn(c: number): void {
    const loop = this.#loops[c] as Loop;
    for (let i = 0; i < loop.count; i++) {
      if ((loop.rounds[i] as number) >= this.#limit) this.#awaits.add(loop.sites[i] as number);
    }
  }

  release(c: number): void {
    this.folded &= ~(1 << c);
    this.awaiting &= ~(1 << c);
  }

  /** CPU c has got on: whatever it read before does not count. */
  progress(c: number): void {
    this.release(c);
    empty(this.#loops[c] as Loop);
  }

  /** CPU c has changed a range: it has got on, and so may all who look at it. */
  changed(c: number, address: number, size: number): void {
    empty(this.#loops[c] as Loop);
    const end = address + size;
    // Entries are of 8 bytes at most, and aligned: the word before may reach into the range.
    const words =
      size > 8 ? -1 : bit((address >>> 2) - 1) | bit(address >>> 2) | bit((end - 1) >>> 2);
    for (let q = 0; q < this.#loops.length; q++) {
      const loop = this.#loops[q] as Loop;
      if ((loop.wordMask & words) === 0) continue;
      for (let i = 0; i < loop.count; i++) {
        const at = loop.addresses[i] as number;
        if (at < end && at + 8 > address) {
          this.progress(q);
          break;
        }
      }
    }
  }

  /** CPU c has performed an access that left memory as it was. */
  unchanged(c: number, op: Op): void {
    const loop = this.#loops[c] as Loop;
    const at = this.#find(loop, op);
    if (at >= 0) {
      loop.rounds[at] = (loop.rounds[at] as number) + 1;
      return;
    }
    if (loop.count === CAPACITY) empty(loop);
    const i = loop.count++;
    loop.siteMask |= bit(op.site);
    loop.wordMask |= bit(op.address >>> 2);
    loop.sites[i] = op.site;
    loop.addresses[i] = op.address;
    loop.kinds[i] = op.kind;
    loop.values[i] = op.value;
    loop.extras[i] = op.extra;
    loop.rounds[i] = 1;
  }

  /** Has the pending op of CPU c been performed `limit` times in vain? */
  repeats(c: number, op: Op): boolean {
    const loop = this.#loops[c] as Loop;
    if (loop.count === 0 || op.address < 0) return false;
    if (op.kind > WAIT && op.kind !== READ) return false;
    const at = this.#find(loop, op);
    return at >= 0 && (loop.rounds[at] as number) >= this.#limit;
  }

  /** How often the op has been performed in vain. */
  rounds(c: number, op: Op): number {
    const loop = this.#loops[c] as Loop;
    const at = this.#find(loop, op);
    return at < 0 ? 0 : (loop.rounds[at] as number);
  }

  #find(loop: Loop, op: Op): number {
    const { site, address, kind } = op;
    if ((loop.siteMask & bit(site)) === 0) return -1;
    for (let i = 0; i < loop.count; i++) {
      if (loop.sites[i] !== site || loop.addresses[i] !== address || loop.kinds[i] !== kind) {
        continue;
      }
      if (kind === LOAD || kind === READ) return i;
      if (loop.values[i] !== op.value) continue;
      if (kind !== COMPARE_EXCHANGE || loop.extras[i] === op.extra) return i;
    }
    return -1;
  }
}
