/** Types of names, imports followed, and the function that a name surely stands for. */

import { GLOBAL_OBJECTS } from '../builtins.ts';
import { importTarget, type Module, type Target } from '../graph.ts';
import type { Binding, Scope } from '../scope.ts';
import { isFunction, type Node, unwrap } from '../source.ts';
import { annotated } from './annotations.ts';
import { typeOf } from './expressions.ts';
import { memberType } from './members.ts';
import { CALLABLE, elementOf, MAX_DEPTH, PLAIN, type Type, UNKNOWN } from './type.ts';

export function typeOfName(name: string, scope: Scope, module: Module, depth: number): Type {
  const binding = scope.find(name);
  if (binding === undefined) {
    return name === 'undefined' || GLOBAL_OBJECTS.has(name) ? PLAIN : UNKNOWN;
  }
  return typeOfBinding(binding, module, depth);
}

function typeOfBinding(binding: Binding, module: Module, depth: number): Type {
  if (depth > MAX_DEPTH) return UNKNOWN;
  if (binding.kind === 'import') return typeOfTarget(importTarget(module, binding.node), depth + 1);
  if (binding.kind === 'function') return binding.assigned ? UNKNOWN : CALLABLE;
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
