/** Members of objects: their declarations in classes, interfaces and literals, and their types. */

import { findExport, findType, type Module } from '../graph.ts';
import { isFunction, keyName, type Node, unwrap } from '../source.ts';
import { annotated, returnType } from './annotations.ts';
import { typeOfTarget } from './bindings.ts';
import { typeOf } from './expressions.ts';
import { CALLABLE, MAX_DEPTH, type Type, UNKNOWN } from './type.ts';

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
      return isFunction(member.value) ? CALLABLE : UNKNOWN;
    case 'MethodDefinition':
      if (member.kind !== 'get') return CALLABLE;
      return returnType(member.value, module, depth);
    case 'TSPropertySignature':
      return member.typeAnnotation
        ? annotated(member.typeAnnotation.typeAnnotation, module, depth + 1)
        : UNKNOWN;
    case 'TSMethodSignature':
      return member.kind === 'get' ? returnType(member, module, depth) : CALLABLE;
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
