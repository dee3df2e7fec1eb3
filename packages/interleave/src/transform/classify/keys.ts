/** Names of computed members that the source fixes: `o['map']`, and `o[k]` of a constant string. */

import type { Scope } from '../scope.ts';
import { keyName, type Node, unwrap } from '../source.ts';

/** The name of a member expression, or undefined when only run time knows it. */
export function memberName(member: Node, scope: Scope): string | undefined {
  const name = keyName(member);
  if (name !== undefined || !member.computed) return name;
  return constantText(member.property, scope, 0);
}

/** Whether a computed key is one of the language's symbols (`Symbol.iterator`). */
export function symbolName(member: Node): string | undefined {
  const key = member.computed ? unwrap(member.property ?? member.key) : undefined;
  return key?.type === 'MemberExpression' && key.object.name === 'Symbol'
    ? key.property.name
    : undefined;
}

function constantText(node: Node, scope: Scope, depth: number): string | undefined {
  const inner = unwrap(node);
  if (depth > 8) return undefined;
  switch (inner.type) {
    case 'Literal':
      return typeof inner.value === 'string' ? inner.value : undefined;
    case 'TemplateLiteral':
      return inner.expressions.length === 0 ? inner.quasis[0].value.cooked : undefined;
    case 'BinaryExpression': {
      if (inner.operator !== '+') return undefined;
      const left = constantText(inner.left, scope, depth + 1);
      const right = constantText(inner.right, scope, depth + 1);
      return left === undefined || right === undefined ? undefined : left + right;
    }
    case 'Identifier': {
      const binding = scope.find(inner.name);
      const isPlain = binding?.pattern.type === 'Identifier' && binding.kind === 'const';
      const init = isPlain ? binding.node.init : undefined;
      return init ? constantText(init, binding!.scope, depth + 1) : undefined;
    }
  }
  return undefined;
}
