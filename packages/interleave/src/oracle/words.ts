/**
 * Names and kinds of words, as the user declares them: a table or a function of the address. Kinds
 * `hint` and `statistic` are exempt from race detection as their definition says; every other kind
 * only gives the word its name in reports.
 */

/** How declared words are treated. */
export const WORD_ORDINARY = 0;
/** Written with Atomics, read plainly. */
export const WORD_HINT = 1;
/** Its owner writes plainly, others read with Atomics of the same width. */
export const WORD_STATISTIC = 2;

/** A declared word. `kind` defaults to 'atomic', `size` to 4 bytes, `buffer` to the first one. */
export interface WordDeclaration {
  readonly byteOffset: number;
  readonly name: string;
  readonly kind?: string;
  readonly size?: number;
  /** The buffer's position in the result of `setup`, in order of appearance. */
  readonly buffer?: number;
}

/** A word's name and kind at a byte offset of a buffer, or undefined. */
export type WordLookup = (
  byteOffset: number,
  buffer: number,
) => { readonly name: string; readonly kind?: string; readonly byteOffset?: number } | undefined;

/** A list of words, a map from byte offset to name, or a function. */
export type WordsOption =
  | readonly WordDeclaration[]
  | Readonly<Record<number, string>>
  | WordLookup;

/** Looks words up by buffer and offset. */
export class Words {
  /** Could any word be a hint or a statistic? */
  readonly hasRacy: boolean;
  readonly #lookup: WordLookup;

  constructor(option?: WordsOption) {
    if (option === undefined) {
      this.#lookup = () => undefined;
      this.hasRacy = false;
    } else if (typeof option === 'function') {
      this.#lookup = option;
      this.hasRacy = true;
    } else {
      const list: readonly WordDeclaration[] = Array.isArray(option)
        ? (option as readonly WordDeclaration[])
        : Object.entries(option as Record<number, string>).map(([offset, name]) => ({
            byteOffset: Number(offset),
            name,
          }));
      this.hasRacy = list.some(({ kind }) => kind === 'hint' || kind === 'statistic');
      this.#lookup = (byteOffset, buffer) =>
        list.find(
          (word) =>
            (word.buffer ?? 0) === buffer &&
            word.byteOffset <= byteOffset &&
            byteOffset < word.byteOffset + (word.size ?? 4),
        );
    }
  }

  racyKind(byteOffset: number, buffer: number): number {
    const kind = this.#lookup(byteOffset, buffer)?.kind;
    if (kind === 'hint') return WORD_HINT;
    return kind === 'statistic' ? WORD_STATISTIC : WORD_ORDINARY;
  }

  /** The word's declared name, or `[offset]` (with the buffer when it is not the first). */
  name(byteOffset: number, buffer: number): string {
    const word = this.#lookup(byteOffset, buffer);
    if (word === undefined) return buffer === 0 ? `[${byteOffset}]` : `[${buffer}:${byteOffset}]`;
    const inside = word.byteOffset === undefined ? 0 : byteOffset - word.byteOffset;
    return inside === 0 ? word.name : `${word.name}+${inside}`;
  }
}
