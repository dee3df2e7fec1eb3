/**
 * Destructuring: `const [a] = view` and `const { 0: a } = view` read elements where nothing can be
 * suspended. Where the value may be a view it gets a guard; parts of a value that a nested pattern takes
 * apart are looked at by name at run time.
 */

import * as names from '../builtins.ts';
import { keyName, type Node, unwrap } from '../source.ts';
import { memberType } from '../types/members.ts';
import { elementOf, type Type, UNKNOWN } from '../types/type.ts';
import { mayBeView } from './accesses.ts';
import type { Classifier } from './classifier.ts';

/** A value that a pattern takes apart. */
export function destructured(classifier: Classifier, pattern: Node, value: Node): void {
  const type = classifier.type(value);
  const paths = partsOf(pattern, type);
  if (paths.length === 0 || classifier.result.guards.has(value)) return;
  if (paths.some((path) => path.length === 0)) return classifier.guard(value, type, 'destructured');
  classifier.result.guards.set(value, { kind: 'parts', paths });
}

/** Each element of a list that `for (const pattern of list)` takes apart. */
export function destructuredEach(classifier: Classifier, pattern: Node, list: Node): void {
  if (classifier.result.guards.has(list)) return;
  const type = classifier.type(list);
  const paths = partsOf(pattern, elementOf(type)).map((path) => ['*', ...path]);
  if (paths.length > 0) classifier.result.guards.set(list, { kind: 'parts', paths });
}

/**
 * Parameters that a pattern takes apart: at the call, before the first step. The generator looks at
 * its `arguments` first thing.
 */
export function destructuredParameters(classifier: Classifier, fn: Node): void {
  const risky: number[] = [];
  for (const [index, parameter] of fn.params.entries()) {
    const pattern = parameter.type === 'AssignmentPattern' ? parameter.left : parameter;
    if (!isPattern(pattern)) continue;
    const type = classifier.annotation(pattern);
    if (!partsOf(pattern, type).some((path) => path.length === 0)) continue;
    if (type.kind === 'shared') {
      classifier.problem(
        parameter,
        'a view over shared memory is destructured by a parameter: it cannot be suspended',
        'Take the view as it is, and read its elements in the body.',
      );
    }
    risky.push(index);
  }
  if (risky.length === 0) return;
  classifier.result.parameters.set(fn, risky);
  classifier.seed(1);
}

/** Where a pattern would read elements, as paths of names; `[]` is the value itself. */
function partsOf(pattern: Node, type: Type): string[][] {
  const found: string[][] = [];
  const visit = (part: Node, at: Type, path: string[]): void => {
    const inner = part.type === 'AssignmentPattern' ? part.left : unwrap(part);
    if (inner.type === 'ArrayPattern') {
      if (mayBeView(at)) found.push(path);
      for (const one of inner.elements) {
        if (one !== null && one.type !== 'RestElement') visit(one, elementOf(at), [...path, '*']);
      }
    }
    if (inner.type !== 'ObjectPattern') return;
    if (mayBeView(at) && inner.properties.some((one: Node) => readsElements(one, at)))
      found.push(path);
    for (const one of inner.properties) {
      if (one.type === 'RestElement') continue;
      const name = keyName(one);
      if (name === undefined) visit(one.value, UNKNOWN, [...path, '*']);
      else visit(one.value, memberType(at, name), [...path, name]);
    }
  };
  visit(pattern, type, []);
  return found;
}

/** Whether a property of an object pattern would read an element, or take an accessing method. */
function readsElements(property: Node, type: Type): boolean {
  if (property.type === 'RestElement') return true;
  const name = keyName(property);
  if (name === undefined) return property.key.object?.name !== 'Symbol';
  if (!Number.isNaN(Number(name)) || names.isDataViewMethod(name)) return true;
  return type.kind !== 'unknown' && names.isViewMethod(name);
}

function isPattern(node: Node): boolean {
  return node.type === 'ArrayPattern' || node.type === 'ObjectPattern';
}
