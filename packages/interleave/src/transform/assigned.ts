/**
 * Which bindings are written after their declaration. Called by scope.ts once the scopes stand: a
 * binding that is never marked may be read twice without a temporary.
 */

import type { Scope, Scopes } from './scope.ts';
import { children, type Node } from './source.ts';

/** Marks every binding that is written other than by its declaration. */
export function markAssigned(root: Node, top: Scope, scopes: Scopes): void {
  const target = (node: Node, scope: Scope): void => {
    switch (node.type) {
      case 'Identifier': {
        const binding = scope.find(node.name);
        if (binding !== undefined) binding.assigned = true;
        return;
      }
      case 'ArrayPattern':
        for (const one of node.elements) if (one !== null) target(one, scope);
        return;
      case 'ObjectPattern':
        for (const one of node.properties) target(one.value ?? one.argument, scope);
        return;
      case 'AssignmentPattern':
        target(node.left, scope);
        return;
      case 'RestElement':
        target(node.argument, scope);
        return;
      case 'ParenthesizedExpression':
      case 'TSAsExpression':
      case 'TSNonNullExpression':
        target(node.expression, scope);
        return;
    }
  };
  const walk = (node: Node, outer: Scope): void => {
    const scope = scopes.of.get(node) ?? outer;
    if (node.type === 'AssignmentExpression') target(node.left, scope);
    else if (node.type === 'UpdateExpression') target(node.argument, scope);
    else if (node.type === 'ForInStatement' || node.type === 'ForOfStatement') {
      if (node.left.type !== 'VariableDeclaration') target(node.left, scope);
    }
    for (const child of children(node)) walk(child, scope);
  };
  walk(root, top);
}
