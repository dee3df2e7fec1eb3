/**
 * Layouts as data. Each structure in the arena is one `as const` table: field, word offset,
 * width, kind and meaning. Offsets in code, dumps, the documentation page and the race detector's
 * exceptions all come from these tables; `checkLayout` proves at load time that no two fields
 * overlap and that 64-bit fields are aligned.
 *
 * Offsets are explicit literals, so that straight lines (see cpu/hand-stack.ts) can use them
 * without a call: `const STATE = CpuRecord.fields.state.at`.
 */

import { Panic } from '../errors.ts';

/**
 * Who may touch a word, and how (docs/architecture/words.md):
 * - private: the CPU that owns it while entered, or whoever has claimed that CPU; plain
 * - thread-private: the thread in every state of its CPU; the recoverer after its exit; plain
 * - owned: whoever holds the item, bucket or record; moves only by a synchronising hand-over; plain
 * - locked: the holder of the named lock; plain
 * - atomic: anyone, by `Atomics` only, always at the same width
 * - hint: written by `Atomics`, read plain on fast paths; may be stale for ever
 * - statistic: its owner adds plainly; others `Atomics.load` at the same width
 */
export type WordKind =
  | 'private'
  | 'thread-private'
  | 'owned'
  | 'locked'
  | 'atomic'
  | 'hint'
  | 'statistic';

export interface Field {
  /** Word (int32) offset from the start of the record. */
  readonly at: number;
  /** `i64` fields occupy two words and start at an even one. */
  readonly type: 'i32' | 'i64';
  readonly kind: WordKind;
  /** How many elements of `type` follow each other; 1 when absent. */
  readonly count?: number;
  readonly what: string;
}

export interface Layout {
  readonly name: string;
  /** Size of the record in words. */
  readonly words: number;
  readonly fields: Readonly<Record<string, Field>>;
}

/** Width of a field in words. */
export function fieldWords(field: Field): number {
  return (field.type === 'i64' ? 2 : 1) * (field.count ?? 1);
}

/** Proves that the fields fit, do not overlap and are aligned; a Panic names the culprit. */
export function checkLayout(layout: Layout): void {
  const owner: (string | undefined)[] = Array.from({ length: layout.words });
  for (const [name, field] of Object.entries(layout.fields)) {
    const width = fieldWords(field);
    if (field.type === 'i64' && field.at % 2 !== 0) {
      throw new Panic(`layout ${layout.name}: 64-bit field ${name} at odd word ${field.at}`);
    }
    if (field.at < 0 || field.at + width > layout.words) {
      throw new Panic(`layout ${layout.name}: field ${name} leaves the record`);
    }
    for (let word = field.at; word < field.at + width; word++) {
      if (owner[word] !== undefined) {
        throw new Panic(`layout ${layout.name}: ${name} overlaps ${owner[word]} at word ${word}`);
      }
      owner[word] = name;
    }
  }
}

/** The field that covers a word of the record, or undefined for padding. */
export function fieldAt(
  layout: Layout,
  word: number,
): { readonly name: string; readonly field: Field } | undefined {
  for (const [name, field] of Object.entries(layout.fields)) {
    if (word >= field.at && word < field.at + fieldWords(field)) return { name, field };
  }
  return undefined;
}
