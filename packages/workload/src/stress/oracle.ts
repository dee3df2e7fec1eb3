/**
 * The oracle of a stress run: stamps in every item, verified at free. An item of at least 16 bytes
 * carries, while it is live:
 *
 *   word 0   address ^ LIVE     (anything else: not live)
 *   word 1   CPU + 1 << 24 | low bits of the sequence
 *   word 2   sequence
 *   word 3   word 0 ^ word 1 ^ word 2
 *
 * Whoever gets an item that still carries a live stamp got one that is in somebody's hands; whoever
 * frees one without its stamp had it overwritten. All words are owned: only a bug makes two threads
 * touch them at once. Items go from CPU to CPU with their stamp.
 */

import type { Address } from '@umbuf/memory';
import type { Violation } from '../scenario/scenario.ts';

const LIVE = 0x4c495645;
const FREED = 0x46524545;

/** Violations kept per CPU; the rest are only counted. */
const VIOLATIONS_MAX = 20;

export class Oracle {
  readonly violations: Violation[] = [];
  /** All violations, also those not kept. */
  count = 0;
  takes = 0;
  gives = 0;
  private sequence = 0;
  private readonly words: Int32Array<SharedArrayBuffer>;
  private readonly cpu: number;

  constructor(words: Int32Array<SharedArrayBuffer>, cpu: number) {
    this.words = words;
    this.cpu = cpu;
  }

  /** Stamps a fresh item; a live stamp in it is a double hand-out. */
  stamp(zone: string, item: Address): void {
    const at = item >> 2;
    const { words } = this;
    if (words[at] === (item ^ LIVE) && words[at + 3] === sealOf(words, at)) {
      this.report(
        '3: exactly one place',
        `zone ${zone}: item ${item} handed out while CPU ${(words[at + 1]! >>> 24) - 1} holds it (sequence ${words[at + 2]})`,
      );
    }
    this.takes++;
    const sequence = (this.sequence = (this.sequence + 1) | 0);
    words[at] = item ^ LIVE;
    words[at + 1] = ((this.cpu + 1) << 24) | (sequence & 0xffffff);
    words[at + 2] = sequence;
    words[at + 3] = sealOf(words, at);
  }

  /** True when the stamp is whole. */
  verify(zone: string, item: number): boolean {
    const at = item >> 2;
    const { words } = this;
    if (words[at] === (item ^ LIVE) && words[at + 3] === sealOf(words, at)) return true;
    const how = words[at] === (item ^ FREED) ? 'was freed by somebody else' : 'was overwritten';
    this.report(
      '12: contents',
      `zone ${zone}: item ${item} ${how} while in use: ${hex(words[at]!)} ${hex(words[at + 1]!)} ${hex(words[at + 2]!)}`,
    );
    return false;
  }

  /** Takes the stamp off before the free. */
  unstamp(item: number): void {
    this.words[item >> 2] = item ^ FREED;
    this.gives++;
  }

  report(invariant: string, message: string): void {
    this.count++;
    if (this.violations.length < VIOLATIONS_MAX) {
      this.violations.push({ invariant, cpu: this.cpu, message });
    }
  }
}

function sealOf(words: Int32Array<SharedArrayBuffer>, at: number): number {
  return words[at]! ^ words[at + 1]! ^ words[at + 2]!;
}

function hex(word: number): string {
  return `0x${(word >>> 0).toString(16).padStart(8, '0')}`;
}
