/**
 * A small static type: is a value surely a view over shared memory, surely not, or unknown?
 * TypeScript annotations are believed, as the type checker believed them; everything that is not
 * understood is `UNKNOWN`, which costs a check at run time and is never wrong.
 */

import { GLOBAL_OBJECTS, PLAIN_TYPES, TYPED_ARRAYS } from './builtins.ts';
import { findExport, findType, importTarget, type Module, type Target } from './graph.ts';
import type { Binding, Scope } from './scope.ts';
import { isFunction, keyName, type Node, unwrap } from './source.ts';

export type Type =
  /** A typed array or DataView: surely over a SharedArrayBuffer, or perhaps. */
  | { readonly kind: 'shared' }
  | { readonly kind: 'view' }
  /** A primitive, function or built-in object; `element` of an array, if known. */
  | { readonly kind: 'plain'; readonly element?: Type; readonly buffer?: 'shared' | 'private' }
  /** An object of a class, interface or type literal; not a view. */
  | {
      readonly kind: 'object';
      readonly module: Module;
      readonly node: Node;
      readonly isStatic?: boolean;
    }
  /** An object that is not a view, of unknown members; `element` of a Record. */
  | { readonly kind: 'record'; readonly element?: Type }
  | { readonly kind: 'namespace'; readonly module: Module }
  | { readonly kind: 'unknown' };

export const SHARED: Type = { kind: 'shared' };
export const VIEW: Type = { kind: 'view' };
export const PLAIN: Type = { kind: 'plain' };
export const UNKNOWN: Type = { kind: 'unknown' };
const SHARED_BUFFER: Type = { kind: 'plain', buffer: 'shared' };
const PRIVATE_BUFFER: Type = { kind: 'plain', buffer: 'private' };

/** A guard against types that refer to themselves. */
const MAX_DEPTH = 24;

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
      return PLAIN;
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

function elementOf(receiver: Type): Type {
  if (receiver.kind === 'plain' || receiver.kind === 'record') return receiver.element ?? UNKNOWN;
  return UNKNOWN;
}

/** The type of a property of a value. */
export function memberType(receiver: Type, name: string, depth = 0): Type {
  if (receiver.kind === 'record') return receiver.element ?? UNKNOWN;
  if (receiver.kind === 'namespace') {
    const target = findExport(receiver.module, name);
    return target === undefined ? UNKNOWN : typeOfTarget(target, depth + 1);
  }
  const found = findMember(receiver, name, depth);
  if (found === undefined) return UNKNOWN;
  const { member, module } = found;
  switch (member.type) {
    case 'PropertyDefinition':
    case 'AccessorProperty':
      if (member.typeAnnotation)
        return annotated(member.typeAnnotation.typeAnnotation, module, depth + 1);
      if (!member.value || !member.readonly) return UNKNOWN;
      return typeOf(member.value, module.scopes.of.get(member)!, module, depth + 1);
    case 'Property':
      return isFunction(member.value) ? PLAIN : UNKNOWN;
    case 'MethodDefinition':
      if (member.kind !== 'get') return PLAIN;
      return returnType(member.value, module, depth);
    case 'TSPropertySignature':
      return member.typeAnnotation
        ? annotated(member.typeAnnotation.typeAnnotation, module, depth + 1)
        : UNKNOWN;
    case 'TSMethodSignature':
      return member.kind === 'get' ? returnType(member, module, depth) : PLAIN;
  }
  return UNKNOWN;
}

/** The declaration of a member in a class, interface, type or object literal, inherited included. */
export function findMember(
  receiver: Type,
  name: string,
  depth = 0,
): { member: Node; module: Module } | undefined {
  if (receiver.kind !== 'object' || depth > MAX_DEPTH) return undefined;
  const { node, module } = receiver;
  const isStatic = receiver.isStatic === true;
  const members: Node[] =
    node.type === 'ObjectExpression'
      ? node.properties
      : node.type === 'TSInterfaceDeclaration'
        ? node.body.body
        : node.type === 'TSTypeLiteral'
          ? node.members
          : (node.body?.body ?? []);
  for (const member of members) {
    if (member.key === undefined || keyName(member) !== name) continue;
    if ((member.static === true) === isStatic) return { member, module };
  }
  const parents: Type[] = [];
  if (node.superClass) {
    const parent = unwrap(node.superClass);
    const target = parent.type === 'Identifier' ? findType(module, parent.name) : undefined;
    if (target !== undefined) parents.push({ kind: 'object', ...target, isStatic });
  }
  if (node.type === 'TSInterfaceDeclaration') {
    for (const one of node.extends ?? []) {
      const target =
        one.expression.type === 'Identifier' ? findType(module, one.expression.name) : undefined;
      if (target !== undefined) parents.push({ kind: 'object', ...target });
    }
  }
  for (const parent of parents) {
    const found = findMember(parent, name, depth + 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

function typeOfName(name: string, scope: Scope, module: Module, depth: number): Type {
  const binding = scope.find(name);
  if (binding === undefined) {
    return name === 'undefined' || GLOBAL_OBJECTS.has(name) ? PLAIN : UNKNOWN;
  }
  return typeOfBinding(binding, module, depth);
}

function typeOfBinding(binding: Binding, module: Module, depth: number): Type {
  if (depth > MAX_DEPTH) return UNKNOWN;
  if (binding.kind === 'import') return typeOfTarget(importTarget(module, binding.node), depth + 1);
  if (binding.kind === 'function') return binding.assigned ? UNKNOWN : PLAIN;
  if (binding.kind === 'class')
    return { kind: 'object', module, node: binding.node, isStatic: true };
  if (binding.path.includes(null)) return UNKNOWN;
  const outer =
    binding.pattern.type === 'AssignmentPattern' ? binding.pattern.left : binding.pattern;
  let type: Type;
  if (outer.typeAnnotation)
    type = annotated(outer.typeAnnotation.typeAnnotation, module, depth + 1);
  else if (binding.pattern.type === 'AssignmentPattern' || binding.kind === 'var') return UNKNOWN;
  else if (binding.node.type === 'VariableDeclarator' && binding.node.init && !binding.assigned) {
    type = typeOf(binding.node.init, binding.scope, module, depth + 1);
  } else if (module.scopes.iterated.has(binding.node) && !binding.assigned) {
    const list = module.scopes.iterated.get(binding.node)!;
    type = elementOf(typeOf(list, binding.scope.parent!, module, depth + 1));
  } else return UNKNOWN;
  for (const key of binding.path) type = memberType(type, key!, depth + 1);
  return type;
}

/** The type of a top-level name of some module. */
export function typeOfTarget(target: Target, depth = 0): Type {
  if (target.kind === 'namespace') return target;
  if (target.kind === 'binding') return typeOfBinding(target.binding, target.module, depth + 1);
  if (target.kind === 'default' && target.node.type === 'ClassDeclaration') {
    return { kind: 'object', module: target.module, node: target.node, isStatic: true };
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

/** The function that a never-reassigned name stands for, imports followed. */
export function functionOf(
  binding: Binding,
  module: Module,
): { node: Node; module: Module } | undefined {
  if (binding.assigned) return undefined;
  if (binding.kind === 'function') return { node: binding.node, module };
  if (binding.kind === 'import') {
    const target = importTarget(module, binding.node);
    if (target.kind === 'binding') return functionOf(target.binding, target.module);
    if (target.kind === 'default' && isFunction(unwrap(target.node))) {
      return { node: unwrap(target.node), module: target.module };
    }
    return undefined;
  }
  if (binding.node.type !== 'VariableDeclarator' || binding.path.length > 0) return undefined;
  if (binding.pattern.type !== 'Identifier' || !binding.node.init) return undefined;
  const init = unwrap(binding.node.init);
  if (isFunction(init)) return { node: init, module };
  if (init.type !== 'Identifier' || binding.kind !== 'const') return undefined;
  const next = binding.scope.find(init.name);
  return next === undefined || next === binding ? undefined : functionOf(next, module);
}

function returnType(fn: Node, module: Module, depth: number): Type {
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
    case 'TSTupleType':
    case 'TSFunctionType':
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

function join(a: Type, b: Type): Type {
  if (a === b) return a;
  if (a.kind === 'unknown' || b.kind === 'unknown') return UNKNOWN;
  if (a.kind === 'shared' && b.kind === 'shared') return SHARED;
  if (a.kind === 'plain' && b.kind === 'plain') return PLAIN;
  const views = ['shared', 'view', 'plain'];
  if (views.includes(a.kind) && views.includes(b.kind)) return VIEW;
  if (a.kind === 'object' && b.kind === 'object' && a.node === b.node) return a;
  return UNKNOWN;
}
