/**
 * Source-set dynamic partial-order reduction with sleep sets (Abdulla, Aronis, Jonsson, Sagonas,
 * POPL 2014): one run for each class of schedules that differ only in the order of independent
 * steps. Two steps are dependent when they are of one CPU, or their ranges overlap and one writes;
 * a compare-exchange that fails only reads; wait and notify write the word they name.
 *
 * Frame d is the state before step d. Invariants: a CPU in `sleep` of a frame needs no exploring
 * there; `back` are the CPUs to explore; `done` those explored. Clocks are vectors of step
 * numbers (1-based) and give happens-before among the steps of the current run.
 *
 * Not for deaths or `notifyOrder: 'any'`: there a CPU has more than one next step.
 */
import { ANYWHERE } from '../runtime/grant.ts';
import type { Machine } from '../runtime/machine.ts';
import { wouldWrite } from '../runtime/pending.ts';
import { lowest, type Strategy } from './strategy.ts';

class Frame {
  enabled: number = 0;
  sleep: number = 0;
  back: number = 0;
  done: number = 0;
  chosen: number = 0;
  /** The step taken from here. */
  address: number = -1;
  end: number = -1;
  wrote: boolean = false;
  /** Pending ops here, by CPU: for waking sleepers of the sleep set. */
  readonly pendingAddress: Float64Array;
  readonly pendingEnd: Float64Array;
  readonly pendingWrites: Uint8Array;
  /** Vector clock of the step taken from here. */
  readonly clock: Int32Array;

  constructor(n: number) {
    this.pendingAddress = new Float64Array(n);
    this.pendingEnd = new Float64Array(n);
    this.pendingWrites = new Uint8Array(n);
    this.clock = new Int32Array(n);
  }
}

/** Explores one schedule of each equivalence class. */
export class PartialOrderSearch implements Strategy {
  readonly name: string = 'partial-order reduction';
  readonly #n: number;
  readonly #frames: Frame[] = [];
  /** Last step (1-based) of each CPU in the current run; the clock is in its frame. */
  readonly #lastStep: Int32Array;
  /** Step whose notify enabled the CPU's wake; 0: none. */
  readonly #wokenBy: Int32Array;
  readonly #clock: Int32Array;
  #length: number = 0;
  #depth: number = 0;
  #started: boolean = false;
  #redundant: boolean = false;
  /** Runs that ended because everything left was asleep. */
  redundant: number = 0;

  constructor(cpus: number) {
    this.#n = cpus;
    this.#lastStep = new Int32Array(cpus);
    this.#wokenBy = new Int32Array(cpus);
    this.#clock = new Int32Array(cpus);
  }

  begin(): boolean {
    this.#depth = 0;
    this.#redundant = false;
    this.#lastStep.fill(0);
    this.#wokenBy.fill(0);
    if (!this.#started) {
      this.#started = true;
      return true;
    }
    while (this.#length > 0) {
      const frame = this.#frames[this.#length - 1] as Frame;
      const open = frame.back & ~frame.done & ~frame.sleep;
      if (open !== 0) {
        frame.chosen = lowest(open);
        frame.done |= 1 << frame.chosen;
        return true;
      }
      this.#length--;
    }
    return false;
  }

  pick(machine: Machine, enabled: number): number {
    if (this.#depth > 0) this.#record(machine, this.#depth - 1);
    const d = this.#depth++;
    if (d < this.#length) return (this.#frames[d] as Frame).chosen;
    let frame = this.#frames[d];
    if (frame === undefined) {
      frame = new Frame(this.#n);
      this.#frames.push(frame);
    }
    frame.enabled = enabled;
    frame.sleep = d === 0 ? 0 : this.#inherit(this.#frames[d - 1] as Frame);
    frame.done = 0;
    for (let c = 0; c < this.#n; c++) {
      const op = machine.cpus[c]?.op;
      if (op === undefined || ((machine.ready >>> c) & 1) === 0) continue;
      // A loop that spins to its bound looks at several words.
      const spins = (machine.spin.folded >>> c) & 1;
      frame.pendingAddress[c] = spins ? 0 : op.address;
      frame.pendingEnd[c] = spins ? ANYWHERE : op.address + op.size;
      frame.pendingWrites[c] = wouldWrite(machine, c) ? 1 : 0;
    }
    const free = enabled & ~frame.sleep;
    if (free === 0) {
      this.#redundant = true;
      this.redundant++;
      machine.stop();
      return -1;
    }
    const { last } = machine;
    frame.chosen = last >= 0 && (free >>> last) & 1 ? last : lowest(free);
    frame.back = 1 << frame.chosen;
    frame.done = frame.back;
    this.#length = d + 1;
    return frame.chosen;
  }

  end(machine: Machine): boolean {
    if (!this.#redundant && this.#depth > 0) this.#record(machine, this.#depth - 1);
    // The run may have ended above frames of an earlier, longer one.
    return this.#redundant;
  }

  /** Sleep set after a frame's step: those whose next step is independent of it. */
  #inherit(frame: Frame): number {
    const others = (frame.sleep | frame.done) & ~(1 << frame.chosen);
    let sleep = 0;
    for (let m = others; m !== 0; m &= m - 1) {
      const c = lowest(m);
      const writes = frame.wrote || frame.pendingWrites[c] === 1;
      const apart =
        frame.address < 0 ||
        (frame.pendingAddress[c] as number) < 0 ||
        (frame.pendingAddress[c] as number) >= frame.end ||
        (frame.pendingEnd[c] as number) <= frame.address;
      if (apart || !writes) sleep |= 1 << c;
    }
    return sleep;
  }

  /** Takes in the step made from frame d: its clock, and the races it is in. */
  #record(machine: Machine, d: number): void {
    const frame = this.#frames[d] as Frame;
    const p = frame.chosen;
    const n = this.#n;
    frame.address = machine.stepAddress;
    frame.end = machine.stepAddress + machine.stepSize;
    frame.wrote = machine.stepWrote;
    const clock = this.#clock;
    const before = this.#lastStep[p] as number;
    if (before === 0) for (let c = 0; c < n; c++) clock[c] = 0;
    else copy(clock, (this.#frames[before - 1] as Frame).clock, n);
    const waker = this.#wokenBy[p] as number;
    if (waker > 0) {
      join(clock, (this.#frames[waker - 1] as Frame).clock, n);
      this.#wokenBy[p] = 0;
    }
    if (frame.address >= 0) {
      for (let i = d - 1; i >= 0; i--) {
        const other = this.#frames[i] as Frame;
        const q = other.chosen;
        if (q === p || (clock[q] as number) > i) continue;
        if (other.address < 0 || other.address >= frame.end || other.end <= frame.address) continue;
        if (!other.wrote && !frame.wrote) continue;
        join(clock, other.clock, n);
        this.#reverse(i, d, p);
      }
    }
    clock[p] = d + 1;
    copy(frame.clock, clock, n);
    this.#lastStep[p] = d + 1;
    for (let m = machine.stepWoke; m !== 0; m &= m - 1) this.#wokenBy[lowest(m)] = d + 1;
  }

  /** Steps i and d (of CPU p) race: sees to it that the other order is explored from frame i. */
  #reverse(i: number, d: number, p: number): void {
    const target = this.#frames[i] as Frame;
    const q = target.chosen;
    // v = the steps after i that do not happen after it, then p's step d. Its initials:
    let initials = 0;
    let seen = 0;
    for (let k = i + 1; k < d; k++) {
      const step = this.#frames[k] as Frame;
      const c = step.chosen;
      if ((step.clock[q] as number) > i) continue;
      if ((seen >>> c) & 1) continue;
      seen |= 1 << c;
      if (!this.#follows(step.clock, i, k, q, c)) initials |= 1 << c;
    }
    if (((seen >>> p) & 1) === 0 && !this.#follows(this.#clock, i, d, q, p)) initials |= 1 << p;
    initials &= target.enabled;
    if (initials === 0 || (initials & target.back) !== 0) return;
    target.back |= (initials >>> p) & 1 ? 1 << p : initials & -initials;
  }

  /** Does a clock know of a step of v between i and k by a CPU other than c? */
  #follows(clock: Int32Array, i: number, k: number, q: number, c: number): boolean {
    for (let m = i + 1; m < k; m++) {
      const step = this.#frames[m] as Frame;
      if (step.chosen === c || (step.clock[q] as number) > i) continue;
      if ((clock[step.chosen] as number) > m) return true;
    }
    return false;
  }
}

/** A loop: clocks are short, and a call of `set` is long. */
function copy(into: Int32Array, from: Int32Array, n: number): void {
  for (let c = 0; c < n; c++) into[c] = from[c] as number;
}

function join(into: Int32Array, from: Int32Array, n: number): void {
  for (let c = 0; c < n; c++)
    if ((from[c] as number) > (into[c] as number)) into[c] = from[c] as number;
}
