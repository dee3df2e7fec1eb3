/**
 * Calls and constructions: `Atomics` operations, methods that touch elements, and everything else
 * as a call of whatever `callees.ts` says it may run.
 */

import * as names from '../builtins.ts';
import type { Callee } from '../functions.ts';
import { keyName, type Node, unwrap } from '../source.ts';
import type { Type } from '../types/type.ts';
import { isAtomics, mayBeView } from './accesses.ts';
import { calleeOf } from './callees.ts';
import type { Classifier } from './classifier.ts';
import { describedProperties, handedOut, nameOf, viewsHandedOut } from './handed-out.ts';
import { memberName, symbolName } from './keys.ts';

export function classifyCall(classifier: Classifier, node: Node): void {
  const callee = unwrap(node.callee);
  if (callee.type === 'MemberExpression' && isAtomics(callee.object, classifier.scope)) {
    const method = keyName(callee);
    if (method === undefined) classifier.aliased(callee);
    else if (names.ATOMICS.has(method)) {
      classifier.result.info.set(node, { kind: 'atomic', method });
      classifier.seed(2);
    }
    for (const argument of node.arguments) classifier.walk(argument);
    return;
  }
  const { callee: target, outside } = calleeOf(classifier, node.callee);
  viewsHandedOut(classifier, node, outside, target.kind === 'none');
  if (outside !== null) handedOut(classifier, node.arguments, outside, nameOf(callee));
  else describedProperties(classifier, node);
  if (callee.type === 'MemberExpression') classifyMethod(classifier, node, callee, target);
  else if (callee.type !== 'Super') {
    classifier.note(node, { kind: 'call', callee: target });
    classifier.walk(node.callee);
  }
  for (const argument of node.arguments) classifier.walk(argument);
}

function classifyMethod(classifier: Classifier, node: Node, callee: Node, target: Callee): void {
  const method = memberName(callee, classifier.scope);
  const type = callee.object.type === 'Super' ? null : classifier.type(callee.object);
  const isView = type !== null && mayBeView(type);
  const certain = type?.kind === 'shared';
  const op =
    method === undefined
      ? undefined
      : names.VIEW_GET.has(method)
        ? 'viewGet'
        : names.VIEW_SET.has(method)
          ? 'viewSet'
          : names.BULK.has(method) && !(/ort/.test(method) && node.arguments.length > 0)
            ? 'bulk'
            : undefined;
  const copies =
    method === 'set' &&
    type?.kind === 'plain' &&
    node.arguments[0] !== undefined &&
    node.arguments[0].type !== 'SpreadElement' &&
    mayBeView(classifier.type(node.arguments[0]));
  if (op !== undefined && (isView || copies)) {
    classifier.result.info.set(node, {
      kind: 'method',
      op,
      method: method!,
      certain,
      callee: target,
    });
    classifier.seed(certain ? 2 : 1);
    classifier.fn.callees.push(target);
  } else {
    if (isView && method !== undefined && (names.ITERATION.has(method) || method.includes('ort'))) {
      classifier.guard(callee.object, type, `iterated by \`${method}\``);
    } else if (isView && symbolName(callee) === 'iterator') {
      classifier.guard(callee.object, type, 'iterated');
    } else if (isView && method === undefined && symbolName(callee) === undefined) {
      classifier.guard(callee.object, type, 'called by a computed name');
    }
    classifier.note(node, { kind: 'call', callee: target });
  }
  if (/^(bind|call|apply)$/.test(method ?? '')) boundMethod(classifier, unwrap(callee.object));
  if (method === 'slice' && type?.kind !== 'shared') buffersSliced(classifier, callee.object, type);
  classifier.walk(callee.object);
  if (callee.computed) classifier.walk(callee.property);
}

/** `view.fill.bind(...)`, `view.fill.call(...)`: an access under another name. */
function boundMethod(classifier: Classifier, fn: Node): void {
  if (fn.type !== 'MemberExpression' || fn.object.type === 'Super') return;
  const name = memberName(fn, classifier.scope);
  if (name === undefined || !names.isViewMethod(name)) return;
  if (classifier.context.byName.has(name)) return;
  const type = classifier.type(fn.object);
  classifier.guard(fn.object, type, `asked for its \`${name}\` as a value`);
}

/** `buffer.slice()` reads all of a SharedArrayBuffer. */
function buffersSliced(classifier: Classifier, receiver: Node, type: Type | null): void {
  if (type?.kind === 'plain' && type.buffer === 'shared') {
    classifier.guard(receiver, { kind: 'shared' }, 'copied by `slice` of its buffer');
  } else if (type?.kind === 'unknown' && !classifier.result.guards.has(receiver)) {
    classifier.result.guards.set(receiver, { kind: 'buffer' });
  }
}

export function classifyNew(classifier: Classifier, node: Node): void {
  const callee = unwrap(node.callee);
  const { outside } = calleeOf(classifier, node.callee);
  const binding = callee.type === 'Identifier' ? classifier.scope.find(callee.name) : undefined;
  viewsHandedOut(classifier, node, outside, false);
  const stores = binding === undefined && /^(Weak)?(Map|Set|Ref)$|^Array$/.test(callee.name);
  if (outside !== null && !stores) handedOut(classifier, node.arguments, outside, nameOf(callee));
  else if (binding?.kind === 'function') {
    const fn = classifier.functions.of.get(binding.node);
    if (fn !== undefined) fn.rigid ??= 'in a function that is called with `new`';
  }
  if (callee.name === 'Function' && binding === undefined) {
    classifier.warn(
      node,
      'code given to `new Function` is not transformed',
      'Write it as a function.',
    );
  }
  classifier.walkChildren(node);
}
