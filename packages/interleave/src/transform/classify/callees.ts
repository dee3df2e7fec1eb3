/**
 * What a callee may be: a function of the graph, a method of a known class, something not known
 * (decided by its result at run time), or code that is not transformed, with its name for messages.
 */

import * as names from '../builtins.ts';
import type { Callee, Fn } from '../functions.ts';
import type { Module } from '../graph.ts';
import { isFunction, type Node, unwrap } from '../source.ts';
import { functionOf } from '../types/bindings.ts';
import { findMember, memberType } from '../types/members.ts';
import type { Type } from '../types/type.ts';
import type { Classifier } from './classifier.ts';
import { memberName } from './keys.ts';

const NONE: Callee = { kind: 'none' };
const MAYBE: Callee = { kind: 'unknown' };

/** What a callee may be, and, if it is not transformed, how to call it in a message. */
export function calleeOf(
  classifier: Classifier,
  node: Node,
): { callee: Callee; outside: string | null } {
  const callee = unwrap(node);
  const own = { callee: MAYBE, outside: null };
  if (isFunction(callee))
    return { callee: functionCallee(classifier, callee, classifier.module), outside: null };
  if (callee.type === 'Identifier') {
    const binding = classifier.scope.find(callee.name);
    if (binding === undefined) return { callee: NONE, outside: `the built-in \`${callee.name}\`` };
    const fn = functionOf(binding, classifier.module);
    if (fn !== undefined)
      return { callee: functionCallee(classifier, fn.node, fn.module), outside: null };
    const from = outsideImport(classifier, callee.name);
    if (from !== undefined) return { callee: NONE, outside: from };
    return isDriver(classifier, callee.name) ? { callee: NONE, outside: null } : own;
  }
  if (callee.type === 'ChainExpression') return calleeOf(classifier, callee.expression);
  if (callee.type !== 'MemberExpression') return own;
  return memberCallee(classifier, callee);
}

function memberCallee(
  classifier: Classifier,
  callee: Node,
): { callee: Callee; outside: string | null } {
  const own = { callee: MAYBE, outside: null };
  const name = memberName(callee, classifier.scope);
  const object = unwrap(callee.object);
  if (object.type === 'Identifier') {
    const binding = classifier.scope.find(object.name);
    if (binding === undefined && names.GLOBAL_OBJECTS.has(object.name)) {
      const stores =
        (object.name === 'Object' && name !== 'groupBy') ||
        object.name === 'console' ||
        name === 'of';
      return { callee: NONE, outside: stores ? null : `the built-in \`${object.name}.${name}\`` };
    }
    const from = binding === undefined ? undefined : outsideImport(classifier, object.name);
    if (from !== undefined) return { callee: MAYBE, outside: from };
    if (binding !== undefined && isDriver(classifier, object.name))
      return { callee: NONE, outside: null };
  }
  if (name === undefined) return own;
  // f.call(...), f.apply(...): the function itself.
  if (name === 'call' || name === 'apply') return appliedCallee(classifier, object);
  const type = typeOfReceiver(classifier, callee.object);
  if (type.kind === 'plain' || type.kind === 'shared' || type.kind === 'view') {
    // An element of an array, called.
    if (callee.computed && !Number.isNaN(Number(name))) return own;
    const outside = names.CALLBACK.has(name) ? `the built-in method \`${name}\`` : null;
    return { callee: NONE, outside };
  }
  if (type.kind === 'namespace') {
    const found = memberType(type, name);
    const target = namespaceFunction(classifier, type.module, name);
    return target ?? (found.kind === 'unknown' ? own : { callee: MAYBE, outside: null });
  }
  const found = findMember(type, name);
  if (found !== undefined) {
    const fn = methodOf(classifier, found);
    return fn === undefined ? own : { callee: { kind: 'method', fn, name }, outside: null };
  }
  if (
    names.CALLBACK.has(name) ||
    !(names.STORING.has(name) || classifier.context.byName.has(name))
  ) {
    return {
      callee: MAYBE,
      outside: `the method \`${name}\` of something not under exploration`,
    };
  }
  return own;
}

/** `Array.prototype.map.call(...)`: the built-in; any other function is what it is when called. */
function appliedCallee(
  classifier: Classifier,
  fn: Node,
): { callee: Callee; outside: string | null } {
  const called = calleeOf(classifier, fn);
  const name = fn.type === 'MemberExpression' ? memberName(fn, classifier.scope) : undefined;
  const isBuiltIn =
    name !== undefined &&
    (names.CALLBACK.has(name) || names.isViewMethod(name)) &&
    !classifier.context.byName.has(name);
  return isBuiltIn ? called : { callee: called.callee, outside: null };
}

/** The function that a member's declaration holds, if it holds one. */
export function methodOf(
  classifier: Classifier,
  found: { member: Node; module: Module },
): Fn | undefined {
  if (!found.member.value) return undefined;
  const fn = classifier.context.functions.get(found.module)?.of.get(unwrap(found.member.value));
  return fn !== undefined && isFunction(fn.node) ? fn : undefined;
}

function typeOfReceiver(classifier: Classifier, object: Node): Type {
  if (object.type === 'Super') {
    const self = classifier.scope.self;
    const parent = self?.superClass ? unwrap(self.superClass) : null;
    if (parent === null) return { kind: 'unknown' };
    const type = classifier.type(parent);
    return type.kind === 'object'
      ? { ...type, isStatic: classifier.scope.isStatic }
      : { kind: 'unknown' };
  }
  return classifier.type(object);
}

function namespaceFunction(
  classifier: Classifier,
  module: Module,
  name: string,
): { callee: Callee; outside: null } | undefined {
  const binding = module.scopes.top.names.get(name);
  const fn = binding === undefined ? undefined : functionOf(binding, module);
  return fn === undefined
    ? undefined
    : { callee: functionCallee(classifier, fn.node, fn.module), outside: null };
}

export function functionCallee(classifier: Classifier, node: Node, module: Module): Callee {
  const fn = classifier.context.functions.get(module)?.of.get(node);
  return fn === undefined ? MAYBE : { kind: 'function', fn };
}

/** The specifier that a local name is imported from, if it is imported. */
function importedFrom(classifier: Classifier, name: string): string | undefined {
  const binding = classifier.scope.find(name);
  if (binding?.kind !== 'import') return undefined;
  const declaration = classifier.module.source.program.body.find(
    (one: Node) => one.type === 'ImportDeclaration' && one.specifiers.includes(binding.node),
  );
  return declaration.source.value;
}

function isDriver(classifier: Classifier, name: string): boolean {
  const specifier = importedFrom(classifier, name);
  return specifier !== undefined && classifier.context.isDriver(specifier);
}

/** How to call an import from a module that stays untransformed and is no driver. */
function outsideImport(classifier: Classifier, name: string): string | undefined {
  const specifier = importedFrom(classifier, name);
  if (specifier === undefined || classifier.context.isDriver(specifier)) return undefined;
  return classifier.module.imports.get(specifier) === null
    ? `\`${name}\` of ${specifier}`
    : undefined;
}
