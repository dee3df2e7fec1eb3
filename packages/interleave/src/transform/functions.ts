/**
 * The functions of a module, and which of them are *rigid*: called by the language or the
 * platform, which would get a generator instead of a value. A rigid function stays as it is, and
 * shared memory in it is an error. Also the rigid regions that are no functions: parameters that
 * are taken apart, class fields, static blocks, the module's top level.
 */

import { IMPLICIT } from './builtins.ts';
import type { Module } from './graph.ts';
import type { Scope } from './scope.ts';
import { children, isFunction, keyName, type Node, unwrap } from './source.ts';

/** 0: touches no shared memory; 1: may, decided at run time; 2: does. */
export type Colour = 0 | 1 | 2;

/** What a call may run. */
export type Callee =
  | { readonly kind: 'none' }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'function'; readonly fn: Fn }
  /** A method of a known class: `fn`, or one of the same name that overrides it. */
  | { readonly kind: 'method'; readonly fn: Fn; readonly name: string };

/** A function or a rigid region. */
export interface Fn {
  readonly node: Node;
  readonly module: Module;
  /** For reports. */
  readonly name: string;
  /** Why it cannot be suspended, as in "in a constructor"; null when it can. */
  rigid: string | null;
  /** From its own accesses. */
  own: Colour;
  readonly callees: Callee[];
  colour: Colour;
}

export interface Functions {
  /** Functions and rigid regions by node. */
  readonly of: Map<Node, Fn>;
  /** Functions by the property or method name that they have. */
  readonly byName: Map<string, Fn[]>;
}

/** Collects the functions and regions of a module. */
export function collectFunctions(module: Module): Functions {
  const result: Functions = { of: new Map(), byName: new Map() };
  const add = (node: Node, name: string, rigid: string | null): Fn => {
    const fn: Fn = { node, module, name, rigid, own: 0, callees: [], colour: 0 };
    result.of.set(node, fn);
    return fn;
  };
  const addNamed = (
    node: Node,
    name: string | undefined,
    rigid: string | null,
    owner: string,
  ): void => {
    const fn = add(node, owner + (name ?? '(computed)'), rigid ?? rigidBySyntax(node));
    if (name === undefined) return;
    const known = result.byName.get(name);
    if (known === undefined) result.byName.set(name, [fn]);
    else known.push(fn);
  };
  // `iterates`: an object made here is what an iteration runs on.
  const walk = (node: Node, name: string | undefined, owner: string, iterates: boolean): void => {
    let inner: string | undefined;
    let innerOwner = owner;
    let within = iterates;
    switch (node.type) {
      case 'ClassDeclaration':
      case 'ClassExpression':
        innerOwner = `${node.id?.name ?? name ?? 'class'}.`;
        break;
      case 'ClassBody':
        within = node.body.some(isIterator);
        break;
      case 'ObjectExpression':
        within ||= node.properties.some(isIterator);
        break;
      case 'MethodDefinition':
        addNamed(node.value, keyName(node), memberReason(node, iterates), owner);
        within = isIterator(node);
        break;
      case 'PropertyDefinition':
      case 'AccessorProperty':
        if (node.value) {
          add(node, `${owner}${keyName(node) ?? '(computed)'}`, 'in a class field initialiser');
          const value = unwrap(node.value);
          if (isFunction(value))
            addNamed(value, keyName(node), memberReason(node, iterates), owner);
        }
        break;
      case 'StaticBlock':
        add(node, `${owner}static`, 'in a static block');
        break;
      case 'Property': {
        if (node.value && isFunction(unwrap(node.value))) {
          addNamed(unwrap(node.value), keyName(node), memberReason(node, iterates), '');
        }
        within = isIterator(node);
        break;
      }
      case 'VariableDeclarator':
        inner = node.id.name;
        break;
      case 'AssignmentExpression': {
        const left = unwrap(node.left);
        if (left.type === 'MemberExpression' && isFunction(unwrap(node.right))) {
          addNamed(unwrap(node.right), keyName(left), null, '');
        } else inner = left.name;
        break;
      }
      case 'ParenthesizedExpression':
      case 'TSAsExpression':
      case 'TSSatisfiesExpression':
        inner = name;
        break;
    }
    if (isFunction(node)) {
      const known = result.of.get(node);
      const own = node.id?.name ?? name ?? '(anonymous)';
      if (known === undefined) add(node, own, rigidBySyntax(node));
      // Defaults are moved into the body where that changes nothing.
      const moves = defaultsMove(node, module.scopes.of.get(node));
      for (const param of moves ? [] : node.params) {
        add(param, known?.name ?? own, 'in a default parameter beside a pattern');
      }
    }
    for (const child of children(node)) walk(child, inner, innerOwner, within);
  };
  add(module.source.program, '(module)', 'at the top level of a module');
  walk(module.source.program, undefined, '', false);
  return result;
}

/**
 * Whether defaults of parameters may be evaluated in the body: no parameter is a pattern, and no
 * name in a default means something else there.
 */
function defaultsMove(fn: Node, scope: Scope | undefined): boolean {
  const isSimple = ({ type, left, argument }: Node): boolean =>
    type === 'Identifier' || (left ?? argument)?.type === 'Identifier';
  const keeps = (node: Node): boolean => {
    const binding = node.type === 'Identifier' ? scope?.names.get(node.name) : undefined;
    const isOther = binding !== undefined && binding.kind !== 'param' && binding.node !== fn;
    return !isOther && children(node).every(keeps);
  };
  const defaults = fn.params.filter(({ type }: Node) => type === 'AssignmentPattern');
  return fn.params.every(isSimple) && defaults.every(({ right }: Node) => keeps(right));
}

/** The reason why a class or object member is rigid. */
function memberReason(node: Node, iterates: boolean): string | null {
  if (node.kind === 'constructor') return 'in a constructor';
  if (node.kind === 'get') return 'in a getter';
  if (node.kind === 'set') return 'in a setter';
  const name = keyName(node);
  if (iterates && (name === 'next' || name === 'return' || name === 'throw')) {
    return `in \`${name}\` of an iterator, which the language calls by itself`;
  }
  if (name !== undefined && !name.startsWith('#') && IMPLICIT.has(name)) {
    return `in \`${name}\`, which the language calls by itself`;
  }
  if (
    node.computed &&
    /^Symbol\s*\./.test(node.key.type === 'MemberExpression' ? `${node.key.object.name}.` : '')
  ) {
    return `in [Symbol.${node.key.property.name}], which the language calls by itself`;
  }
  return null;
}

/** A member by which the language iterates. */
function isIterator(node: Node): boolean {
  return (
    node.computed === true &&
    node.key.type === 'MemberExpression' &&
    node.key.object.name === 'Symbol' &&
    /^(asyncIterator|iterator)$/.test(node.key.property.name)
  );
}

function rigidBySyntax(node: Node): string | null {
  if (node.async && node.generator) return 'in an async generator';
  if (node.async) return 'in an async function';
  if (node.generator) return 'in a generator';
  if (node.type === 'ArrowFunctionExpression' && borrows(node.body)) {
    return 'in an arrow function that uses the `arguments`, `super` or `new.target` of its surroundings';
  }
  return null;
}

/** Whether an arrow's body uses what a bound generator cannot give it. */
function borrows(node: Node): boolean {
  if (node.type === 'Identifier' && node.name === 'arguments') return true;
  if (node.type === 'Super' || (node.type === 'MetaProperty' && node.meta.name === 'new'))
    return true;
  if (isFunction(node) && node.type !== 'ArrowFunctionExpression') return false;
  if (node.type === 'ClassBody') return false;
  if (node.type === 'MemberExpression' && !node.computed) return borrows(node.object);
  return children(node).some(borrows);
}

/** Whether a function body uses `this` of its surroundings (arrows only). */
export function usesThis(node: Node): boolean {
  if (node.type === 'ThisExpression') return true;
  if (isFunction(node) && node.type !== 'ArrowFunctionExpression') return false;
  if (node.type === 'ClassBody') return false;
  return children(node).some(usesThis);
}
