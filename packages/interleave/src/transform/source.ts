/**
 * One parsed source file: text, syntax tree (ESTree with TypeScript nodes), and positions.
 * Parentheses are kept as nodes, so that text between children can be copied unchanged.
 */

import { extname } from 'node:path';
import { parseSync, visitorKeys } from 'oxc-parser';
import { codeFrame, type Place, type Problem, TransformError } from './error.ts';

/** An ESTree node; its shape follows from `type`. Every node has `start` and `end` (UTF-16). */
export type Node = any;

/** TypeScript nodes that wrap or hold code; all other `TS*` nodes are types and are erased. */
const TS_WITH_CODE = new Set([
  'TSAsExpression',
  'TSSatisfiesExpression',
  'TSNonNullExpression',
  'TSTypeAssertion',
  'TSInstantiationExpression',
  'TSModuleDeclaration',
  'TSModuleBlock',
]);

export class Source {
  readonly file: string;
  readonly code: string;
  readonly program: Node;
  private readonly lineStarts: number[] = [0];

  constructor(file: string, code: string) {
    this.file = file;
    this.code = code;
    for (let at = code.indexOf('\n'); at >= 0; at = code.indexOf('\n', at + 1)) {
      this.lineStarts.push(at + 1);
    }
    const extension = extname(file).slice(1);
    const lang =
      extension === 'tsx' || extension === 'jsx'
        ? extension
        : extension.endsWith('ts')
          ? 'ts'
          : 'js';
    const parsed = parseSync(file, code, { lang, sourceType: 'module', preserveParens: true });
    this.program = parsed.program;
    const error = parsed.errors.find((one) => one.severity === 'Error');
    if (error !== undefined) {
      const at = error.labels[0]?.start ?? 0;
      throw new TransformError([
        this.problem(at, `syntax: ${error.message}`, 'Fix the syntax first.'),
      ]);
    }
  }

  /** The 1-based line and column of an offset. */
  place(offset: number): Place {
    let low = 0;
    let high = this.lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.lineStarts[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return { file: this.file, line: low + 1, column: offset - this.lineStarts[low]! + 1 };
  }

  problem(offset: number, message: string, advice: string): Problem {
    const place = this.place(offset);
    return { ...place, message, advice, frame: codeFrame(this.code, place.line, place.column) };
  }

  text(node: Node): string {
    return this.code.slice(node.start, node.end);
  }
}

/** Child nodes that hold code, in source order; types are left out, shorthand keys too. */
export function children(node: Node): Node[] {
  const found: Node[] = [];
  for (const key of visitorKeys[node.type] ?? []) {
    const value = node[key];
    if (value === null || value === undefined) continue;
    if (Array.isArray(value)) {
      for (const one of value) if (one !== null && isCode(one)) found.push(one);
    } else if (isCode(value)) found.push(value);
  }
  if (node.type === 'Property' && node.shorthand) return [node.value];
  if (node.type === 'ExportSpecifier' || node.type === 'ImportSpecifier') return [];
  return found.sort((a, b) => a.start - b.start);
}

function isCode(node: Node): boolean {
  return !node.type.startsWith('TS') || TS_WITH_CODE.has(node.type);
}

/** The expression inside parentheses and TypeScript's wrappers (`as`, `!`, `satisfies`, `<T>`). */
export function unwrap(node: Node): Node {
  let inner = node;
  while (
    inner.type === 'ParenthesizedExpression' ||
    (inner.type.startsWith('TS') && inner.expression !== undefined && TS_WITH_CODE.has(inner.type))
  ) {
    inner = inner.expression;
  }
  return inner;
}

/** A name for the key of a property, method or member access; undefined when it is computed. */
export function keyName(node: Node): string | undefined {
  const key = node.type === 'MemberExpression' ? node.property : node.key;
  if (key.type === 'PrivateIdentifier') return `#${key.name}`;
  if (!node.computed && key.type === 'Identifier') return key.name;
  if (key.type === 'Literal') return String(key.value);
  return undefined;
}

export function isFunction(node: Node): boolean {
  return (
    node.type === 'FunctionDeclaration' ||
    node.type === 'FunctionExpression' ||
    node.type === 'ArrowFunctionExpression'
  );
}
