/**
 * TypeScript annotations, believed as the type checker believed them: a `Int32Array<ArrayBuffer>` is
 * no shared view, a plain `Int32Array` may be one.
 */

import { PLAIN_TYPES, TYPED_ARRAYS } from '../builtins.ts';
import { findType, type Module } from '../graph.ts';
import type { Node } from '../source.ts';
import { typeOfName } from './bindings.ts';
import { memberType } from './members.ts';
import {
  CALLABLE,
  join,
  MAX_DEPTH,
  PLAIN,
  PRIVATE_BUFFER,
  SHARED,
  SHARED_BUFFER,
  type Type,
  UNKNOWN,
  VIEW,
} from './type.ts';

export function returnType(fn: Node, module: Module, depth: number): Type {
  return fn.returnType && !fn.async && !fn.generator
    ? annotated(fn.returnType.typeAnnotation, module, depth + 1)
    : UNKNOWN;
}

/** The type that a TypeScript annotation means. */
export function annotated(node: Node, module: Module, depth = 0): Type {
  if (depth > MAX_DEPTH) return UNKNOWN;
  const of = (inner: Node): Type => annotated(inner, module, depth + 1);
  switch (node.type) {
    case 'TSAnyKeyword':
    case 'TSUnknownKeyword':
    case 'TSObjectKeyword':
      return UNKNOWN;
    case 'TSArrayType':
      return { kind: 'plain', element: of(node.elementType) };
    case 'TSFunctionType':
      return CALLABLE;
    case 'TSTupleType':
    case 'TSConstructorType':
    case 'TSLiteralType':
    case 'TSTemplateLiteralType':
    case 'TSTypePredicate':
      return PLAIN;
    case 'TSTypeLiteral':
      return { kind: 'object', module, node };
    case 'TSTypeOperator':
      return node.operator === 'readonly' ? of(node.typeAnnotation) : PLAIN;
    case 'TSParenthesizedType':
      return of(node.typeAnnotation);
    case 'TSUnionType': {
      const members = node.types.filter(
        (one: Node) => one.type !== 'TSNullKeyword' && one.type !== 'TSUndefinedKeyword',
      );
      return members.length === 0 ? PLAIN : members.map(of).reduce(join);
    }
    case 'TSIntersectionType': {
      const members: Type[] = node.types.map(of);
      return (
        members.find((one) => one.kind === 'plain' || one.kind === 'shared') ?? { kind: 'unknown' }
      );
    }
    case 'TSTypeQuery': {
      if (node.exprName.type !== 'Identifier') return UNKNOWN;
      return typeOfName(node.exprName.name, module.scopes.top, module, depth + 1);
    }
    case 'TSIndexedAccessType': {
      const index = node.indexType;
      if (index.type !== 'TSLiteralType') return UNKNOWN;
      return memberType(of(node.objectType), String(index.literal.value), depth + 1);
    }
    case 'TSTypeReference':
      return reference(node, module, depth);
  }
  return node.type.endsWith('Keyword') ? PLAIN : UNKNOWN;
}

function reference(node: Node, module: Module, depth: number): Type {
  if (node.typeName.type !== 'Identifier') return UNKNOWN;
  const name: string = node.typeName.name;
  const parameters: Node[] = node.typeArguments?.params ?? [];
  const found = findType(module, name);
  if (found !== undefined) {
    if (found.node.type !== 'TSTypeAliasDeclaration') return { kind: 'object', ...found };
    return annotated(found.node.typeAnnotation, found.module, depth + 1);
  }
  if (TYPED_ARRAYS.has(name) || name === 'DataView') {
    const buffer = parameters[0]?.typeName?.name;
    return buffer === 'SharedArrayBuffer' ? SHARED : buffer === 'ArrayBuffer' ? PLAIN : VIEW;
  }
  if (name === 'Array' || name === 'ReadonlyArray') {
    return {
      kind: 'plain',
      element: parameters[0] ? annotated(parameters[0], module, depth + 1) : UNKNOWN,
    };
  }
  if (name === 'SharedArrayBuffer') return SHARED_BUFFER;
  if (name === 'ArrayBuffer') return PRIVATE_BUFFER;
  if (name === 'Function') return CALLABLE;
  if (PLAIN_TYPES.has(name)) return PLAIN;
  if (/^(Readonly|Partial|Required|NonNullable)$/.test(name) && parameters[0]) {
    return annotated(parameters[0], module, depth + 1);
  }
  if (name === 'Record') {
    return {
      kind: 'record',
      element: parameters[1] ? annotated(parameters[1], module, depth + 1) : UNKNOWN,
    };
  }
  return UNKNOWN;
}
