/**
 * Where shared words may not be touched: in constructors, accessors, async functions, generators
 * and callbacks that the language's own functions call. The schedule explorer can stop a virtual
 * CPU at an access only where the code around it is made a generator, and none of these can be.
 */

import {
  atomicsMethod,
  children,
  lineOf,
  type Node,
  parse,
  type Problem,
  type Source,
} from './sources.ts';

/** The views of an arena, by the names that all code gives them. */
const VIEWS = new Set(['words', 'longs', 'bytes']);
/** Functions and methods of the language and the platform that call what they are given. */
const BUILT_INS = new Set([
  'every',
  'filter',
  'find',
  'findIndex',
  'findLast',
  'findLastIndex',
  'flatMap',
  'forEach',
  'from',
  'map',
  'reduce',
  'reduceRight',
  'some',
  'sort',
  'toSorted',
  'replace',
  'replaceAll',
  'then',
  'catch',
  'finally',
  'Promise',
  'queueMicrotask',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'addEventListener',
]);
const FUNCTIONS = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']);

/** The accesses to shared words that stand where none may. */
export function sharedAccessProblems(source: Source): Problem[] {
  const problems: Problem[] = [];
  descend(parse(source), undefined, source, problems);
  return problems;
}

/** `place` names the kind of function that we are in, when it may touch nothing. */
function descend(node: Node, place: string | undefined, source: Source, problems: Problem[]): void {
  if (place !== undefined && touchesShared(node)) {
    problems.push(`${source.path}:${lineOf(source.text, node.start)}: shared access in ${place}`);
  }
  for (const child of children(node)) {
    const inner = FUNCTIONS.has(child.type) ? placeOf(child, node) : place;
    descend(child, inner, source, problems);
  }
}

function placeOf(fn: Node, parent: Node): string | undefined {
  if (fn['async'] === true) return 'an async function';
  if (fn['generator'] === true) return 'a generator';
  const { kind, type } = parent as Node & { kind?: string };
  if (type === 'MethodDefinition' && kind === 'constructor') return 'a constructor';
  if (kind === 'get' || kind === 'set') return 'an accessor';
  const isCall = type === 'CallExpression' || type === 'NewExpression';
  if (isCall && parent['callee'] !== fn && BUILT_INS.has(calleeName(parent))) {
    return `a callback of ${calleeName(parent)}`;
  }
  return undefined;
}

function calleeName(call: Node): string {
  const callee = call['callee'] as Node;
  const named = callee.type === 'MemberExpression' ? (callee['property'] as Node) : callee;
  return String(named['name']);
}

function touchesShared(node: Node): boolean {
  if (node.type === 'CallExpression') return atomicsMethod(node) !== undefined;
  if (node.type !== 'MemberExpression' || node['computed'] !== true) return false;
  const object = node['object'] as Node;
  const named = object.type === 'MemberExpression' ? (object['property'] as Node) : object;
  return VIEWS.has(String(named['name']));
}
