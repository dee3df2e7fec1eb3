/**
 * What leaves the exploration: functions and views among the arguments of code that is not
 * transformed. A function that is written there becomes rigid, one that is named gets a guard.
 */

import * as names from '../builtins.ts';
import type { Callee } from '../functions.ts';
import { isFunction, keyName, type Node, unwrap } from '../source.ts';
import { functionOf } from '../types/bindings.ts';
import { findMember } from '../types/members.ts';
import { mayBeFunction } from '../types/type.ts';
import { mayBeView } from './accesses.ts';
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
  const guard = (argument: Node, fn: Callee): void => {
    // `f.bind(...)` is f with arguments of its own; the result is looked at where it goes.
    if (callee === 'bind' || classifier.result.guards.has(argument)) return;
    classifier.result.guards.set(argument, { kind: 'callback', callee: fn });
  };
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
      case 'LogicalExpression':
        visit(value.left);
        return visit(value.right);
      case 'SequenceExpression':
        return visit(value.expressions.at(-1));
      case 'SpreadElement':
        if (value.argument.type === 'ArrayExpression') visit(value.argument);
        return;
      case 'Identifier': {
        const binding = classifier.scope.find(value.name);
        const fn = binding === undefined ? undefined : functionOf(binding, classifier.module);
        if (fn === undefined) break;
        return guard(argument, functionCallee(classifier, fn.node, fn.module));
      }
      case 'MemberExpression': {
        const name = value.computed ? undefined : keyName(value);
        const found =
          name === undefined ? undefined : findMember(classifier.type(value.object), name);
        const fn = found === undefined ? undefined : methodOf(classifier, found);
        if (fn === undefined) break;
        return guard(argument, { kind: 'method', fn, name: name! });
      }
    }
    // Not known here: looked at when it is handed out.
    if (!callsNothing(callee, outside) && mayBeFunction(classifier.type(argument))) {
      guard(argument, { kind: 'unknown' });
    }
  };
  for (const argument of args) visit(argument);
}

/** Getters and setters that `Object.defineProperty` and the like are given in a literal. */
export function describedProperties(classifier: Classifier, call: Node): void {
  const callee = unwrap(call.callee);
  if (nameOf(callee.object ?? callee) !== 'Object') return;
  const name = nameOf(callee);
  if (!/^(defineProperty|defineProperties|create)$/.test(name)) return;
  const visit = (node: Node, depth: number): void => {
    const literal = literalOf(classifier, node);
    for (const one of literal?.properties ?? []) {
      const fn = one.value ? classifier.functions.of.get(unwrap(one.value)) : undefined;
      const key = one.key === undefined ? undefined : keyName(one);
      if (fn !== undefined && (key === 'get' || key === 'set')) {
        fn.rigid ??= `in a ${key}ter given to \`Object.${name}\``;
      } else if (depth > 0 && one.value) visit(one.value, depth - 1);
    }
  };
  for (const argument of call.arguments.slice(1))
    visit(argument, name === 'defineProperty' ? 0 : 1);
}

/** The object literal that an expression is, or that a constant of that name was given. */
function literalOf(classifier: Classifier, node: Node): Node | undefined {
  const value = unwrap(node);
  if (value.type === 'ObjectExpression') return value;
  const binding = value.type === 'Identifier' ? classifier.scope.find(value.name) : undefined;
  const init = binding?.path.length === 0 && !binding.assigned ? binding.node.init : undefined;
  return init && unwrap(init).type === 'ObjectExpression' ? unwrap(init) : undefined;
}

/** Whether what is called is known to call nothing that it is given. */
function callsNothing(callee: string, outside: string): boolean {
  const global = /^the built-in `(\w+)/.exec(outside)?.[1];
  return global === undefined ? callee === 'bind' : names.NEVER_CALLS.has(global);
}

/** Views among the arguments of a call or construction that may go to untransformed code. */
export function viewsHandedOut(
  classifier: Classifier,
  node: Node,
  outside: string | null,
  isBuiltIn: boolean,
): void {
  const callee = unwrap(node.callee);
  const args: Node[] = node.arguments;
  const name = nameOf(callee);
  const receiver = callee.type === 'MemberExpression' ? nameOf(unwrap(callee.object)) : '';
  const isOutside = outside !== null || isBuiltIn;
  // With an offset the first argument is a buffer, which a constructor does not read.
  const copies = names.TYPED_ARRAYS.has(name) && args.length === 1;
  const read = copies
    ? [0]
    : isOutside || name === 'apply'
      ? names.readArguments(name, receiver)
      : [];
  // Array.prototype.slice.call(view)
  const isReceiver = isAppliedViewMethod(classifier, callee);
  for (const [index, argument] of args.entries()) {
    if (argument.type === 'SpreadElement') continue;
    const type = classifier.type(argument);
    const what = `read by ${outside ?? `\`${name}\``}`;
    if (read.includes(index) && names.READS_DEEPLY.has(name))
      readDeeply(classifier, argument, what);
    else if (read.includes(index) || (isReceiver && index === 0))
      classifier.guard(argument, type, what);
    else if (type.kind === 'shared' && outside?.startsWith('`')) {
      classifier.warn(
        argument,
        `a shared view is handed to ${outside}, whose accesses are not seen`,
        'Give it a copy, or bring that module under exploration with `include`.',
      );
    }
  }
  if (name === 'Proxy' && node.type === 'NewExpression' && args[1] !== undefined) {
    const handler = literalOf(classifier, args[1]);
    if (handler !== undefined) handedOut(classifier, [handler], outside ?? '', name);
  }
}

/** `Array.prototype.slice.call`, `Int32Array.prototype.fill.apply`, and what looks like them. */
function isAppliedViewMethod(classifier: Classifier, callee: Node): boolean {
  if (!/^(call|apply)$/.test(nameOf(callee)) || callee.type !== 'MemberExpression') return false;
  const method = nameOf(unwrap(callee.object));
  return names.isViewMethod(method) && !classifier.context.byName.has(method);
}

function readDeeply(classifier: Classifier, argument: Node, what: string): void {
  const type = classifier.type(argument);
  if (mayBeView(type)) classifier.guard(argument, type, what);
  if (type.kind === 'shared' || classifier.result.guards.get(argument)?.kind === 'callback') return;
  if (type.kind === 'plain' && type.element === undefined) return;
  classifier.result.guards.set(argument, { kind: 'deep', what });
}

/** The name of a callee: of the function, or of the method. */
export function nameOf(callee: Node): string {
  return callee.type === 'MemberExpression' ? (keyName(callee) ?? '') : (callee.name ?? '');
}
