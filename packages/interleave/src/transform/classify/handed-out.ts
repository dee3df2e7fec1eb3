/**
 * What leaves the exploration: functions and views among the arguments of code that is not
 * transformed. A function that is written there becomes rigid, one that is named gets a guard.
 */

import * as names from '../builtins.ts';
import { isFunction, keyName, type Node, unwrap } from '../source.ts';
import { functionOf } from '../types/bindings.ts';
import { findMember } from '../types/members.ts';
import { functionCallee, methodOf } from './callees.ts';
import type { Classifier } from './classifier.ts';

/** Arguments of a call to untransformed code. */
export function handedOut(
  classifier: Classifier,
  args: Node[],
  outside: string,
  callee: string,
): void {
  const reason = `in a callback given to ${outside}`;
  const visit = (argument: Node): void => {
    const value = unwrap(argument);
    if (isFunction(value)) {
      const fn = classifier.functions.of.get(value)!;
      fn.rigid ??= reason;
      return;
    }
    switch (value.type) {
      case 'ObjectExpression':
        for (const one of value.properties) if (one.value) visit(one.value);
        return;
      case 'ArrayExpression':
        for (const one of value.elements) if (one !== null) visit(one);
        return;
      case 'ConditionalExpression':
        visit(value.consequent);
        return visit(value.alternate);
      case 'Identifier': {
        const binding = classifier.scope.find(value.name);
        const fn = binding === undefined ? undefined : functionOf(binding, classifier.module);
        if (fn !== undefined && callee !== 'bind') {
          classifier.result.guards.set(argument, {
            kind: 'callback',
            callee: functionCallee(classifier, fn.node, fn.module),
          });
        }
        return;
      }
      case 'MemberExpression': {
        const name = value.computed ? undefined : keyName(value);
        const found =
          name === undefined ? undefined : findMember(classifier.type(value.object), name);
        const fn = found === undefined ? undefined : methodOf(classifier, found);
        if (fn !== undefined) {
          classifier.result.guards.set(argument, {
            kind: 'callback',
            callee: { kind: 'method', fn, name: name! },
          });
        }
      }
    }
  };
  for (const argument of args) visit(argument);
}

/** Views among the arguments of a call to untransformed code. */
export function viewsHandedOut(
  classifier: Classifier,
  args: Node[],
  outside: string | null,
  callee: string,
): void {
  for (const argument of args) {
    if (argument.type === 'SpreadElement') continue;
    const type = classifier.type(argument);
    // With an offset the first argument is a buffer, which a constructor does not read.
    const copies = names.TYPED_ARRAYS.has(callee) && args.length === 1;
    if (names.READS_ARGUMENTS.has(callee) || copies || callee === 'Set') {
      classifier.guard(argument, type, `read by ${outside ?? `\`${callee}\``}`);
    } else if (type.kind === 'shared' && outside?.startsWith('`')) {
      classifier.warn(
        argument,
        `a shared view is handed to ${outside}, whose accesses are not seen`,
        'Give it a copy, or bring that module under exploration with `include`.',
      );
    }
  }
}
