/**
 * Element accesses: `m[i]` read, assigned or updated, and the targets and iterations that cannot be
 * suspended element by element and get a guard.
 */

import * as names from '../builtins.ts';
import type { Scope } from '../scope.ts';
import { keyName, type Node, unwrap } from '../source.ts';
import type { Type } from '../types/type.ts';
import type { Classifier } from './classifier.ts';
import { memberName, symbolName } from './keys.ts';
import { destructured } from './patterns.ts';

export function classifyMember(classifier: Classifier, node: Node): void {
  if (isAtomics(node.object, classifier.scope)) {
    const method = keyName(node);
    if (method === undefined) return classifier.aliased(node);
    if (names.ATOMICS.has(method)) classifier.note(node, { kind: 'atomic-value', method });
    return;
  }
  const element = elementAccess(classifier, node);
  if (element === undefined) {
    takenAsValue(classifier, node);
    classifier.walk(node.object);
    if (node.computed) classifier.walk(node.property);
    return;
  }
  noteAccess(classifier, node, 'read', element);
}

/** The member expression, if `node` is `m[i]` and m may be a shared view. */
export function elementAccess(classifier: Classifier, node: Node): Node | undefined {
  const member = unwrap(node);
  if (member.type !== 'MemberExpression' || !member.computed) return undefined;
  const index = unwrap(member.property);
  if (
    index.type === 'Literal' &&
    typeof index.value === 'string' &&
    Number.isNaN(Number(index.value))
  ) {
    return undefined;
  }
  if (symbolName(member) !== undefined) return undefined;
  if (member.object.type === 'Super') return undefined;
  return mayBeView(classifier.type(member.object)) ? member : undefined;
}

export function noteAccess(
  classifier: Classifier,
  node: Node,
  kind: 'read' | 'assign' | 'update',
  member: Node,
): void {
  const certain = classifier.type(member.object).kind === 'shared';
  classifier.result.info.set(node, { kind, certain, member });
  classifier.seed(certain ? 2 : 1);
  classifier.walk(member.object);
  classifier.walk(member.property);
}

export function classifyAssignment(classifier: Classifier, node: Node): void {
  const left = unwrap(node.left);
  if (left.type === 'ArrayPattern' || left.type === 'ObjectPattern') {
    destructured(classifier, left, node.right);
    classifyTarget(classifier, left, true);
    return classifier.walk(node.right);
  }
  const member = elementAccess(classifier, left);
  if (member !== undefined) noteAccess(classifier, node, 'assign', member);
  else if (left.type === 'MemberExpression') classifyTarget(classifier, left, false);
  classifier.walk(node.right);
}

/** A target that is not assigned by `=` itself: pattern, loop head, `delete`. */
export function classifyTarget(classifier: Classifier, node: Node, guarded: boolean): void {
  const left = unwrap(node);
  switch (left.type) {
    case 'MemberExpression':
      if (guarded && elementAccess(classifier, left) !== undefined) {
        classifier.guard(
          left.object,
          classifier.type(left.object),
          'assigned by a pattern or loop head',
        );
      }
      classifier.walk(left.object);
      if (left.computed) classifier.walk(left.property);
      return;
    case 'ArrayPattern':
      for (const one of left.elements) if (one !== null) classifyTarget(classifier, one, guarded);
      return;
    case 'ObjectPattern':
      for (const one of left.properties) {
        if (one.computed) classifier.walk(one.key);
        classifyTarget(classifier, one.value ?? one.argument, guarded);
      }
      return;
    case 'AssignmentPattern':
      classifyTarget(classifier, left.left, guarded);
      return classifier.walk(left.right);
    case 'RestElement':
      return classifyTarget(classifier, left.argument, guarded);
    case 'ChainExpression':
      return classifyTarget(classifier, left.expression, guarded);
  }
}

/** A method of a view (or its iterator) that is not called here, but taken as a value. */
function takenAsValue(classifier: Classifier, member: Node): void {
  if (member.object.type === 'Super') return;
  const name = memberName(member, classifier.scope);
  const symbol = symbolName(member);
  if (name === 'Atomics' && classifier.type(member.object).kind === 'unknown') {
    return classifier.aliased(member);
  }
  const type = classifier.type(member.object);
  // `o.at`, `o.values` of something unknown is nearly always a property of that name.
  const isMeant = type.kind !== 'unknown' || names.isDataViewMethod(name);
  if (name !== undefined && names.isViewMethod(name) && isMeant) {
    iterated(classifier, member.object, `asked for its \`${name}\` as a value`);
  } else if (symbol === 'iterator') iterated(classifier, member.object, 'iterated');
}

/** A value that becomes text: a view would be read to its end. */
export function printed(classifier: Classifier, node: Node): void {
  // Of values of unknown type nearly none is a view, and texts are everywhere.
  const type = classifier.type(node);
  classifier.guard(node, type, 'made a text', type.kind === 'unknown');
}

/** A value whose elements the language reads. */
export function iterated(classifier: Classifier, node: Node, what: string): void {
  classifier.guard(node, classifier.type(node), what);
}

export function mayBeView(type: Type): boolean {
  if (type.kind === 'object') {
    const { node } = type;
    const members: Node[] = node.members ?? node.body?.body ?? [];
    if (members.some((one) => one.type === 'TSIndexSignature')) return true;
    return node.superClass ? names.TYPED_ARRAYS.has(unwrap(node.superClass).name) : false;
  }
  return type.kind === 'shared' || type.kind === 'view' || type.kind === 'unknown';
}

/** Whether a declarator with an object pattern takes `Atomics`, or an operation of it. */
export function takesAtomics(declarator: Node, scope: Scope): boolean {
  if (isAtomics(declarator.init, scope)) return true;
  const init = unwrap(declarator.init);
  return (
    names.GLOBAL_THIS.has(init.name) &&
    scope.find(init.name) === undefined &&
    declarator.id.properties.some((one: Node) => one.key && keyName(one) === 'Atomics')
  );
}

/** `Atomics` or `globalThis.Atomics`, not shadowed. */
export function isAtomics(node: Node, scope: Scope): boolean {
  const inner = unwrap(node);
  if (inner.type === 'Identifier')
    return inner.name === 'Atomics' && scope.find('Atomics') === undefined;
  return (
    inner.type === 'MemberExpression' &&
    keyName(inner) === 'Atomics' &&
    names.GLOBAL_THIS.has(unwrap(inner.object).name)
  );
}
