/**
 * Coloured functions become generators: `function*`, `*method()`, and for an arrow a bound function
 * expression. At each entry and loop back edge, where V8 can stop a worker, stands a `point`.
 *
 * Invariant: temporaries are declared at the entry, so the body is written before its beginning.
 */

import { usesThis } from '../functions.ts';
import { insertAt, type Rope } from '../rope.ts';
import { children, type Node } from '../source.ts';
import { copy, copyList, copyRange } from './copy.ts';
import type { Emitter } from './emitter.ts';
import { pointText } from './step.ts';

export function writeFunction(out: Emitter, node: Node): Rope {
  if (!out.frame.isGenerator) return copy(out, node);
  out.usesRuntime = true;
  if (node.type === 'ArrowFunctionExpression') return writeArrow(out, node);
  const rope = copy(out, node);
  if (out.source.code.startsWith('function', node.start)) insertAt(rope, node.start + 8, '*');
  openBody(out, rope, node.body);
  return rope;
}

function writeArrow(out: Emitter, node: Node): Rope {
  const params = copyList(out, node.params);
  const typeParameters = node.typeParameters ? out.source.text(node.typeParameters) : '';
  const returnType = node.returnType ? out.source.text(node.returnType) : '';
  const head: Rope = [`(function*${typeParameters}(`, ...params, `)${returnType} `];
  const tail = usesThisOf(node) ? ').bind(this)' : ')';
  if (node.body.type === 'BlockStatement') {
    const body = out.emit(node.body);
    openBody(out, body, node.body);
    return [...head, ...body, tail];
  }
  const body = out.emit(node.body);
  return [...head, '{', ...prologue(out, node), ' return ', ...body, `; }`, tail];
}

/** Writes temporaries and the entry point behind the `{` and the directives of a body. */
function openBody(out: Emitter, rope: Rope, body: Node): void {
  let at = body.start + 1;
  for (const statement of body.body) {
    if (!statement.directive) break;
    at = statement.end;
  }
  insertAt(rope, at, at > body.start + 1 ? ';' : '', ...prologue(out, body));
}

/** Temporaries, the entry point, guards of parameters, and their moved defaults. */
function prologue(out: Emitter, node: Node): Rope {
  const names = Array.from({ length: out.frame.used }, (_, index) => `__rt_${index}`);
  const temporaries = names.length > 0 ? ` let ${names.join(', ')};` : '';
  // Destructured at the call, out of our sight: refused now that it can be said.
  const { node: fn } = out.frame.fn;
  const taken = (out.classified.parameters.get(fn) ?? []).map((index) => {
    out.usesGuards = true;
    return ` __xf.plain(arguments[${index}], ${out.where(fn.params[index])});`;
  });
  const defaults = out.frame.defaults.flatMap(({ name, value }) => [
    ` if (${name} === undefined) ${name} = `,
    ...value,
    ';',
  ]);
  return [`${temporaries}${pointText(out.site(node, 'point'))}${taken.join('')}`, ...defaults];
}

/**
 * A parameter with a default. One that touches shared memory is evaluated in the body, where it can
 * be suspended, and so are those behind it, which may use it.
 */
export function writeDefault(out: Emitter, node: Node): Rope {
  const { defaults } = out.frame;
  const { left, right } = node;
  const value = out.emit(right);
  const isChanged = value.length !== 1 || typeof value[0] === 'string';
  const head = { start: node.start, end: right.start };
  if (!isChanged && defaults.length === 0) return [head, ...value];
  defaults.push({ name: left.name, value });
  return [head, 'undefined'];
}

export function writeMethod(out: Emitter, node: Node): Rope {
  const rope = copy(out, node);
  if (isGeneratorMethod(out, node)) {
    const at = node.computed ? out.source.code.lastIndexOf('[', node.key.start) : node.key.start;
    insertAt(rope, at, '*');
  }
  return rope;
}

export function isGeneratorMethod(out: Emitter, node: Node): boolean {
  const fn = node.value && out.functions.of.get(node.value);
  return fn !== undefined && fn !== null && fn.rigid === null && fn.colour > 0;
}

export function writeLoop(out: Emitter, node: Node): Rope {
  if (!out.frame.isGenerator) return copy(out, node);
  const point = pointText(out.site(node.body, 'point'));
  if (node.body.type === 'BlockStatement') {
    const rope = copy(out, node);
    insertAt(rope, node.body.start + 1, point);
    return rope;
  }
  const start = copyRange(out, node.start, node.body.start, childrenBefore(node));
  const body = out.emit(node.body);
  const end = copyRange(out, node.body.end, node.end, childrenAfter(node));
  return [...start, `{${point} `, ...body, ' }', ...end];
}

function childrenBefore(node: Node): Node[] {
  return children(node).filter((child) => child.end <= node.body.start);
}

function childrenAfter(node: Node): Node[] {
  return children(node).filter((child) => child.start >= node.body.end);
}

export function writeImport(out: Emitter, node: Node): Rope {
  const literal = node.source;
  const rope = copy(out, node);
  if (literal === null || literal.type !== 'Literal') return rope;
  const rewritten = out.options.rewriteImport(literal.value);
  if (rewritten === undefined || rewritten === literal.value) return rope;
  insertAt(rope, literal.end - 1, rewritten.slice(literal.value.length));
  return rope;
}

function usesThisOf(arrow: Node): boolean {
  return usesThis(arrow.body) || arrow.params.some(usesThis);
}
