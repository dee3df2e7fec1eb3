/**
 * One CPU of the pipeline: the loop over its roles, and every way in which a role waits. A role
 * never blocks while another role of the same CPU could go on, so all of them work in one thread.
 *
 * All waiting is bounded: for memory by `memoryMs`, for another CPU by `stallMs`. A wait that
 * reaches its bound throws PipelineError, which the task turns into the abort word; every other
 * wait sees that word within one slice and ends with StoppedError.
 *
 * Sleep comes in slices, each followed by a checkpoint. While some CPU is short of memory the
 * others leave before they sleep, so that it can drain their caches at once; otherwise they stay
 * entered, because entering again queues a microtask that cannot run before the task ends.
 */

import {
  checkpoint,
  type Cpu,
  enterCpu,
  leaveCpu,
  ringPushMany,
  ringWaitNotEmpty,
  ringWaitNotFull,
} from '@umbuf/memory';
import type { Mbufs } from '@umbuf/mbuf';
import { reclaim } from '@umbuf/uma';
import { abortWord, handledWord, type PipelineControl, shortageWord } from './control.ts';
import { PipelineError, StoppedError } from './errors.ts';

/** What runs on a CPU. `busy` is the loop's: true while the role is inside `poll`. */
export interface Role {
  readonly name: string;
  busy: boolean;
  finished: boolean;
  /** Word index of the ring that brings its work; 0 for the driver, which finds its own. */
  readonly input: number;
  /** Does some work; false when there was none. Never called again before it returned. */
  poll(): boolean;
}

/** Bounds of waiting, milliseconds. */
export interface Patience {
  readonly memoryMs: number;
  readonly stallMs: number;
}

/** Longest sleep at a time, milliseconds. */
const SLICE_MS = 5;
/** Looks at a word before sleeping on it. */
const SPINS = 200;
/** Time between two attempts to drain the caches of all CPUs. */
const RECLAIM_MS = 50;

export class PipelineCpu {
  readonly cpu: Cpu;
  readonly mbufs: Mbufs;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly control: PipelineControl;
  readonly patience: Patience;
  readonly roles: Role[] = [];

  constructor(mbufs: Mbufs, control: PipelineControl, patience: Patience) {
    this.cpu = mbufs.cpu;
    this.mbufs = mbufs;
    this.words = mbufs.words;
    this.control = control;
    this.patience = patience;
  }

  /** Runs the roles in turn until all are finished. */
  run(): void {
    let idleSince = 0;
    for (;;) {
      if (this.#pollOthers()) idleSince = 0;
      else {
        const open = this.roles.find((role) => !role.finished);
        if (open === undefined) return;
        idleSince ||= performance.now();
        this.#watch(idleSince, `the ${open.name} got nothing to do`);
        this.#sleep(() => {
          if (open.input !== 0) ringWaitNotEmpty(this.words, open.input, SLICE_MS);
        });
      }
      checkpoint(this.cpu);
    }
  }

  /** Pushes all of `count` words of whole messages, waiting for room as often as it takes. */
  push(ring: number, messages: Int32Array, count: number): void {
    const { words } = this;
    let pushed = ringPushMany(words, ring, messages, 0, count);
    if (pushed === count) return;
    let since = performance.now();
    while (pushed < count) {
      this.#watch(since, 'a ring stayed full');
      if (!this.#pollOthers()) this.#sleep(() => ringWaitNotFull(words, ring, SLICE_MS));
      const more = ringPushMany(words, ring, messages, pushed, count - pushed);
      if (more > 0) since = performance.now();
      pushed += more;
    }
  }

  /** Waits until protocol CPU `protocol` has handled the fragment that is frame `frame`. */
  awaitHandled(protocol: number, frame: number): void {
    const { words } = this;
    const word = handledWord(this.control, protocol);
    for (let spin = 0; spin < SPINS; spin++) if (Atomics.load(words, word) >= frame) return;
    const since = performance.now();
    for (let seen = Atomics.load(words, word); seen < frame; seen = Atomics.load(words, word)) {
      this.#watch(since, `protocol CPU ${protocol} did not come to the fragment at frame ${frame}`);
      if (!this.#pollOthers()) this.#sleep(() => Atomics.wait(words, word, seen, SLICE_MS));
    }
  }

  /**
   * For an allocation that has failed: tries again until it gives something else than `failed`,
   * while the tap lets go of its copies, the other roles go on, and all caches are drained.
   * Throws PipelineError when `memoryMs` pass without success.
   */
  retry<Result>(failed: Result, attempt: () => Result): Result {
    const { words } = this;
    const shortage = shortageWord(this.control);
    const since = performance.now();
    let nextReclaim = since;
    Atomics.add(words, shortage, 1);
    try {
      for (;;) {
        const moved = this.#pollOthers();
        const now = performance.now();
        if (now >= nextReclaim) {
          reclaim(this.mbufs.uma, 'drain-cpu');
          nextReclaim = performance.now() + RECLAIM_MS;
        }
        const result = attempt();
        if (result !== failed) return result;
        if (now - since > this.patience.memoryMs) throw this.#exhausted();
        if (Atomics.load(words, abortWord(this.control)) !== 0) throw new StoppedError('stopped');
        if (!moved) this.#sleep(() => Atomics.wait(words, abortWord(this.control), 0, SLICE_MS));
      }
    } finally {
      Atomics.sub(words, shortage, 1);
    }
  }

  #sleep(nap: () => unknown): void {
    const { cpu, words } = this;
    const short = Atomics.load(words, shortageWord(this.control)) !== 0;
    if (short) leaveCpu(cpu);
    nap();
    if (short) enterCpu(cpu);
    checkpoint(cpu);
  }

  /** One turn of every role that is not waiting itself; whether any did something. */
  #pollOthers(): boolean {
    let moved = false;
    for (const role of this.roles) {
      if (role.busy || role.finished) continue;
      role.busy = true;
      if (role.poll()) moved = true;
      role.busy = false;
    }
    return moved;
  }

  #watch(since: number, what: string): void {
    if (Atomics.load(this.words, abortWord(this.control)) !== 0) throw new StoppedError('stopped');
    const { stallMs } = this.patience;
    if (performance.now() - since > stallMs) {
      throw new PipelineError(`${what} for ${stallMs} ms`);
    }
  }

  #exhausted(): PipelineError {
    const { zones, arena } = this.mbufs;
    const inUse = [zones.mbuf, zones.packet, zones.cluster, zones.jumboPage]
      .map((zone) => `${zone.statistics().live} of ${zone.name}`)
      .join(', ');
    return new PipelineError(
      `the arena of ${arena.bytes.length / 2 ** 20} MiB has been exhausted for ` +
        `${this.patience.memoryMs} ms (in use: ${inUse}). Fragments of incomplete datagrams and ` +
        'TCP segments behind holes are held to the end of the capture: it needs a larger arena',
    );
  }
}
