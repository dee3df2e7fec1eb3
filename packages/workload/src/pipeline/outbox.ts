/**
 * The sending side of a ring: collects messages and pushes several at once, so that a sleeping
 * receiver is woken once for them. Whoever has one must `flush` it before waiting for anything
 * that the receiver's work could bring about.
 */

import { CHAIN, DETAIL, FRAME, KIND, MESSAGE_WORDS } from './control.ts';
import type { PipelineCpu } from './pipeline-cpu.ts';

/** Messages that go together; fewer than a peer ring holds (docs/decisions/0010-pipeline-order.md). */
const BATCH = 16;

export class Outbox {
  readonly #cpu: PipelineCpu;
  readonly #ring: number;
  readonly #messages = new Int32Array(BATCH * MESSAGE_WORDS);
  #count = 0;

  constructor(cpu: PipelineCpu, ring: number) {
    this.#cpu = cpu;
    this.#ring = ring;
  }

  send(chain: number, frame: number, detail: number, kind: number): void {
    const messages = this.#messages;
    const at = this.#count;
    messages[at + CHAIN] = chain;
    messages[at + FRAME] = frame;
    messages[at + DETAIL] = detail;
    messages[at + KIND] = kind;
    this.#count = at + MESSAGE_WORDS;
    if (this.#count === messages.length) this.flush();
  }

  flush(): void {
    if (this.#count === 0) return;
    this.#cpu.push(this.#ring, this.#messages, this.#count);
    this.#count = 0;
  }
}
