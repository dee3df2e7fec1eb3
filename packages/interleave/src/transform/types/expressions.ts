/**
 * Types of expressions: what a name, a construction or a call gives. The entry of `types/`; the
 * classifier asks it about receivers and arguments.
 */

import { PLAIN_TYPES, TYPED_ARRAYS } from '../builtins.ts';
import { findExport, type Module } from '../graph.ts';
import type { Scope } from '../scope.ts';
import { isFunction, keyName, type Node, unwrap } from '../source.ts';
import { annotated, returnType } from './annotations.ts';
import { functionOf, typeOfName } from './bindings.ts';
import { findMember, memberType } from './members.ts';
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
  elementOf,
} from './type.ts';

/** The type of an expression. `scope` is where it stands. */
export function typeOf(node: Node, scope: Scope, module: Module, depth = 0): Type {
  if (depth > MAX_DEPTH) return UNKNOWN;
  const of = (inner: Node): Type => typeOf(inner, scope, module, depth + 1);
  switch (node.type) {
    case 'ParenthesizedExpression':
    case 'TSNonNullExpression':
    case 'TSSatisfiesExpression':
    case 'TSInstantiationExpression':
    case 'ChainExpression':
      return of(node.expression);
    case 'TSAsExpression':
    case 'TSTypeAssertion': {
      const annotation = node.typeAnnotation;
      if (annotation.typeName?.name === 'const') return of(node.expression);
      return annotated(annotation, module, depth + 1);
    }
    case 'Literal':
    case 'TemplateLiteral':
    case 'BinaryExpression':
    case 'UnaryExpression':
    case 'UpdateExpression':
    case 'ObjectExpression':
    case 'ClassExpression':
      return node.type === 'ObjectExpression' ? { kind: 'object', module, node } : PLAIN;
    case 'ArrowFunctionExpression':
    case 'FunctionExpression':
      return CALLABLE;
    case 'ArrayExpression': {
      const first = node.elements[0];
      return { kind: 'plain', element: node.elements.length === 1 && first ? of(first) : UNKNOWN };
    }
    case 'Identifier':
      return typeOfName(node.name, scope, module, depth);
    case 'ThisExpression':
      if (scope.self === null) return UNKNOWN;
      return { kind: 'object', module, node: scope.self, isStatic: scope.isStatic };
    case 'AssignmentExpression':
      return node.operator === '=' ? of(node.right) : join(of(node.right), UNKNOWN);
    case 'SequenceExpression':
      return of(node.expressions.at(-1));
    case 'ConditionalExpression':
      return join(of(node.consequent), of(node.alternate));
    case 'LogicalExpression':
      return join(of(node.left), of(node.right));
    case 'NewExpression':
      return typeOfNew(node, scope, module, depth);
    case 'CallExpression':
      return typeOfCall(node, scope, module, depth);
    case 'MemberExpression': {
      const receiver = of(node.object);
      if (receiver.kind === 'shared' || receiver.kind === 'view') {
        return node.computed || keyName(node) !== 'buffer'
          ? PLAIN
          : receiver.kind === 'shared'
            ? SHARED_BUFFER
            : UNKNOWN;
      }
      const name = keyName(node);
      if (node.computed && name === undefined) return elementOf(receiver);
      if (receiver.kind === 'plain' && name === 'length') return PLAIN;
      return memberType(receiver, name!, depth + 1);
    }
  }
  return UNKNOWN;
}

function typeOfNew(node: Node, scope: Scope, module: Module, depth: number): Type {
  const callee = unwrap(node.callee);
  if (callee.type !== 'Identifier') return UNKNOWN;
  const name: string = callee.name;
  if (scope.find(name) === undefined) {
    if (TYPED_ARRAYS.has(name) || name === 'DataView') {
      const first = node.arguments[0];
      if (first === undefined) return PLAIN;
      if (first.type === 'SpreadElement') return VIEW;
      const argument = typeOf(first, scope, module, depth + 1);
      if (argument.kind !== 'plain') return VIEW;
      return argument.buffer === 'shared' ? SHARED : PLAIN;
    }
    if (name === 'SharedArrayBuffer') return SHARED_BUFFER;
    if (name === 'ArrayBuffer') return PRIVATE_BUFFER;
    return PLAIN_TYPES.has(name) ? PLAIN : UNKNOWN;
  }
  const type = typeOf(callee, scope, module, depth + 1);
  return type.kind === 'object' && type.isStatic === true ? { ...type, isStatic: false } : UNKNOWN;
}

function typeOfCall(node: Node, scope: Scope, module: Module, depth: number): Type {
  const callee = unwrap(node.callee);
  if (isFunction(callee)) return returnType(callee, module, depth);
  if (callee.type === 'Identifier') {
    const binding = scope.find(callee.name);
    if (binding === undefined) {
      return /^(Number|String|Boolean|BigInt|Symbol|parseInt|parseFloat|isNaN)$/.test(callee.name)
        ? PLAIN
        : UNKNOWN;
    }
    const fn = functionOf(binding, module);
    return fn === undefined ? UNKNOWN : returnType(fn.node, fn.module, depth);
  }
  if (callee.type !== 'MemberExpression') return UNKNOWN;
  const name = keyName(callee);
  if (name === undefined) return UNKNOWN;
  const object = unwrap(callee.object);
  if (object.type === 'Identifier' && scope.find(object.name) === undefined) {
    if (/^(Atomics|Math|Number|String|Date|performance)$/.test(object.name)) return PLAIN;
    if (object.name === 'Object' && /^(keys|getOwnPropertyNames|is)$/.test(name)) return PLAIN;
    return UNKNOWN;
  }
  const receiver = typeOf(callee.object, scope, module, depth + 1);
  if (receiver.kind === 'shared' || receiver.kind === 'view')
    return name === 'subarray' ? receiver : PLAIN;
  if (receiver.kind === 'plain') {
    return /^(slice|concat|filter|map|join|split|trim|padStart|padEnd|repeat|toString|keys|entries|values|has|indexOf|includes|some|every|charCodeAt|codePointAt|startsWith|endsWith|toFixed|replace|replaceAll|toUpperCase|toLowerCase|at)$/.test(
      name,
    )
      ? name === 'at'
        ? elementOf(receiver)
        : PLAIN
      : UNKNOWN;
  }
  if (receiver.kind === 'namespace') {
    const target = findExport(receiver.module, name);
    if (target?.kind !== 'binding') return UNKNOWN;
    const fn = functionOf(target.binding, target.module);
    return fn === undefined ? UNKNOWN : returnType(fn.node, fn.module, depth);
  }
  const found = findMember(receiver, name);
  if (found === undefined) return UNKNOWN;
  if (found.member.type === 'MethodDefinition')
    return returnType(found.member.value, found.module, depth);
  if (found.member.type === 'TSMethodSignature')
    return returnType(found.member, found.module, depth);
  return UNKNOWN;
}
