/**
 * Which addresses hold declared words that may race: a page table filled on first use, since it is
 * asked at every plain access. Kept from run to run: a buffer's place among the others, and so its
 * base, is the same in each.
 */
import { WORD_ORDINARY, type Words } from '../oracle/words.ts';
import type { AddressSpace } from './memory.ts';

const PAGE_BITS = 12;
const PAGE_MASK = (1 << PAGE_BITS) - 1;

export class WordKinds {
  readonly #words: Words;
  readonly #memory: AddressSpace;
  /** 1 + kind of each byte; 0: not asked yet. */
  readonly #pages: (Uint8Array | undefined)[] = [];
  /** Could any word race? */
  readonly any: boolean;

  constructor(words: Words, memory: AddressSpace) {
    this.#words = words;
    this.#memory = memory;
    this.any = words.hasRacy;
  }

  /** `WORD_ORDINARY`, `WORD_HINT` or `WORD_STATISTIC`. */
  at(address: number): number {
    if (!this.any) return WORD_ORDINARY;
    const page = this.#pages[address >>> PAGE_BITS];
    const known = page === undefined ? 0 : (page[address & PAGE_MASK] as number);
    return known === 0 ? this.#lookUp(address) : known - 1;
  }

  #lookUp(address: number): number {
    const buffer = this.#memory.bufferAt(address);
    if (buffer === undefined) return WORD_ORDINARY;
    const kind = this.#words.racyKind(address - buffer.base, buffer.index);
    const page = (this.#pages[address >>> PAGE_BITS] ??= new Uint8Array(1 << PAGE_BITS));
    page[address & PAGE_MASK] = kind + 1;
    return kind;
  }
}
