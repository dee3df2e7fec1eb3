/**
 * Copying: a node's text as it stands, with its children written anew between. What nothing asks to
 * change ends as one range of the source, byte for byte. Called by the other rooms of `emit/`.
 */

import { firstChar, type Rope } from '../rope.ts';
import { children, type Node } from '../source.ts';
import type { Emitter } from './emitter.ts';
import { isGeneratorMethod } from './functions.ts';

/** Copies a node's text, with its children written anew. */
export function copy(out: Emitter, node: Node): Rope {
  return copyRange(out, node.start, node.end, children(node));
}

export function copyRange(out: Emitter, start: number, end: number, nodes: readonly Node[]): Rope {
  const rope: Rope = [];
  let at = start;
  for (const child of nodes) {
    copyText(rope, at, child.start);
    for (const piece of out.emit(child)) {
      if (typeof piece === 'string') rope.push(piece);
      else copyText(rope, piece.start, piece.end);
    }
    at = child.end;
  }
  copyText(rope, at, end);
  return rope;
}

function copyText(rope: Rope, start: number, end: number): void {
  if (start === end) return;
  const last = rope.at(-1);
  if (last !== undefined && typeof last !== 'string' && last.end === start) {
    rope[rope.length - 1] = { start: last.start, end };
  } else rope.push({ start, end });
}

/** Nodes of a list (arguments) with the text between them. */
export function copyList(out: Emitter, nodes: readonly Node[]): Rope {
  if (nodes.length === 0) return [];
  return copyRange(out, nodes[0].start, nodes.at(-1).end, nodes);
}

/** `{ x }`, where x may have got a guard: then `{ x: ... }`. */
export function writeShorthand(out: Emitter, node: Node): Rope {
  const rope = copy(out, node);
  const [piece] = rope;
  const isChanged = rope.length !== 1 || typeof piece === 'string';
  return isChanged && node.value.type === 'Identifier' ? [`${node.key.name}: `, ...rope] : rope;
}

/** Statements or class members: a new beginning must not continue the line before. */
export function writeList(out: Emitter, node: Node): Rope {
  const rope: Rope = [];
  let at = node.start;
  let before: Node | undefined;
  for (const child of children(node)) {
    copyText(rope, at, child.start);
    const part = out.emit(child);
    const first = firstChar(part, out.source);
    const changed = typeof part[0] === 'string' && '([`+-/*'.includes(first);
    const isStar = child.type === 'MethodDefinition' && isGeneratorMethod(out, child);
    if (changed && child.type === 'ExpressionStatement') rope.push(';');
    else if (isStar && before?.type === 'PropertyDefinition') rope.push(';');
    for (const piece of part) {
      if (typeof piece === 'string') rope.push(piece);
      else copyText(rope, piece.start, piece.end);
    }
    before = child;
    at = child.end;
  }
  copyText(rope, at, node.end);
  return rope;
}
