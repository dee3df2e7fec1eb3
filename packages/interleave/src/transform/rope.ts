/**
 * Output text as pieces: strings that we wrote, and ranges of the source that are copied. Joining
 * gives the code and a source map in which every copied word points to where it came from.
 */

import { SourceMap } from 'magic-string';
import type { Source } from './source.ts';

/** A range of the source, or text of our own. */
export type Piece = string | { readonly start: number; readonly end: number };
export type Rope = Piece[];

/** Inserts pieces where the source position `at` was copied to. */
export function insertAt(rope: Rope, at: number, ...inserted: Rope): void {
  for (let index = 0; index < rope.length; index++) {
    const piece = rope[index]!;
    if (typeof piece === 'string' || piece.start > at || piece.end < at) continue;
    const parts: Rope = [];
    if (piece.start < at) parts.push({ start: piece.start, end: at });
    parts.push(...inserted);
    if (at < piece.end) parts.push({ start: at, end: piece.end });
    rope.splice(index, 1, ...parts);
    return;
  }
  throw new Error(`interleave transform: position ${at} was not copied`);
}

/** The first character that the rope will print, or ''. */
export function firstChar(rope: Rope, source: Source): string {
  for (const piece of rope) {
    const text = typeof piece === 'string' ? piece : source.code.slice(piece.start, piece.end);
    const first = text.trimStart()[0];
    if (first !== undefined) return first;
  }
  return '';
}

/** The rope as text, without a map. */
export function plainText(rope: Rope, source: Source): string {
  return rope
    .map((piece) => (typeof piece === 'string' ? piece : source.code.slice(piece.start, piece.end)))
    .join('');
}

/** The rope as text with its source map. */
export function joinRope(rope: Rope, source: Source): { code: string; map: SourceMap } {
  const lines: [number, number, number, number][][] = [[]];
  let column = 0;
  let code = '';
  const advance = (text: string): void => {
    code += text;
    let from = 0;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', from)) {
      lines.push([]);
      from = at + 1;
      column = 0;
    }
    column += text.length - from;
  };
  for (const piece of rope) {
    if (typeof piece === 'string') {
      advance(piece);
      continue;
    }
    // One segment per word: a stack trace then names the exact call.
    const text = source.code.slice(piece.start, piece.end);
    for (const { index, 0: word } of text.matchAll(/[\w$]+|[^\w$\n]+|\n/g)) {
      const { line, column: from } = source.place(piece.start + index);
      lines.at(-1)!.push([column, 0, line - 1, from - 1]);
      advance(word);
    }
  }
  const map = new SourceMap({
    sources: [source.file],
    sourcesContent: [source.code],
    names: [],
    mappings: lines,
  });
  return { code, map };
}
