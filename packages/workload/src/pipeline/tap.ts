/**
 * The tap: gets a copy of every frame that shares its clusters, as bpf(4) listeners do, holds the
 * last ones while protocol CPUs parse, trim, join and free the originals, and lets each go only
 * after it has seen that its bytes are what the driver sent. It holds nothing back while memory is
 * short, so it never keeps others waiting.
 */

import { type Address, ringPopMany } from '@umbuf/memory';
import {
  CHAIN,
  DETAIL,
  FRAME,
  KIND,
  Kind,
  MESSAGE_WORDS,
  shortageWord,
  tapRing,
} from './control.ts';
import { PipelineError } from './errors.ts';
import type { PipelineCpu, Role } from './pipeline-cpu.ts';

export interface TapResult {
  /** Copies that were verified and freed. */
  readonly copies: number;
  /** Most that were held at once. */
  readonly held: number;
}

/** Copies held at most. */
const HOLD = 64;
/** Messages per turn. */
const TURN = 32;

export class Tap implements Role {
  readonly name = 'tap';
  readonly input: number;
  busy = false;
  finished = false;

  readonly #cpu: PipelineCpu;
  readonly #inbox = new Int32Array(TURN * MESSAGE_WORDS);
  /** The held messages, as they came: a queue in a circle. */
  readonly #queue = new Int32Array(HOLD * MESSAGE_WORDS);
  #first = 0;
  #count = 0;
  #copies = 0;
  #most = 0;

  constructor(cpu: PipelineCpu) {
    this.#cpu = cpu;
    this.input = tapRing(cpu.control);
  }

  poll(): boolean {
    const { words, control } = this.#cpu;
    const inbox = this.#inbox;
    const taken = ringPopMany(words, this.input, inbox, 0, inbox.length);
    for (let at = 0; at < taken; at += MESSAGE_WORDS) {
      if (inbox[at + KIND] === Kind.end) {
        this.#releaseAll();
        this.finished = true;
        return true;
      }
      if (this.#count === HOLD) this.#release();
      this.#hold(at);
    }
    if (this.#count === 0 || Atomics.load(words, shortageWord(control)) === 0) return taken > 0;
    this.#releaseAll();
    return true;
  }

  result(): TapResult {
    return { copies: this.#copies, held: this.#most };
  }

  #hold(message: number): void {
    const place = ((this.#first + this.#count) % HOLD) * MESSAGE_WORDS;
    for (let word = 0; word < MESSAGE_WORDS; word++) {
      this.#queue[place + word] = this.#inbox[message + word]!;
    }
    this.#count++;
    if (this.#count > this.#most) this.#most = this.#count;
  }

  #releaseAll(): void {
    while (this.#count > 0) this.#release();
  }

  /** Verifies and frees the oldest. */
  #release(): void {
    const { mbufs } = this.#cpu;
    const at = this.#first * MESSAGE_WORDS;
    const chain = this.#queue[at + CHAIN]! as Address;
    const sum = this.#queue[at + DETAIL]!;
    const frame = this.#queue[at + FRAME]!;
    const found = mbufs.checksumPartial(chain, 0, mbufs.length(chain));
    if (found !== sum) {
      throw new PipelineError(
        `the tap's copy of frame ${frame} changed: it sums to ${found} instead of ${sum}`,
      );
    }
    mbufs.freem(chain);
    this.#first = (this.#first + 1) % HOLD;
    this.#count--;
    this.#copies++;
  }
}
