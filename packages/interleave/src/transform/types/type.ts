/**
 * A small static type: is a value surely a view over shared memory, surely not, or unknown?
 * Everything that is not understood is `UNKNOWN`, which costs a check at run time and is never wrong.
 */

import type { Module } from '../graph.ts';
import type { Node } from '../source.ts';

export type Type =
  /** A typed array or DataView: surely over a SharedArrayBuffer, or perhaps. */
  | { readonly kind: 'shared' }
  | { readonly kind: 'view' }
  /** A primitive, function or built-in object; `element` of an array, if known. */
  | {
      readonly kind: 'plain';
      readonly element?: Type;
      readonly buffer?: 'shared' | 'private';
      readonly callable?: true;
    }
  /** An object of a class, interface or type literal; not a view. */
  | {
      readonly kind: 'object';
      readonly module: Module;
      readonly node: Node;
      readonly isStatic?: boolean;
    }
  /** An object that is not a view, of unknown members; `element` of a Record. */
  | { readonly kind: 'record'; readonly element?: Type }
  | { readonly kind: 'namespace'; readonly module: Module }
  | { readonly kind: 'unknown' };

export const SHARED: Type = { kind: 'shared' };
export const VIEW: Type = { kind: 'view' };
export const PLAIN: Type = { kind: 'plain' };
export const CALLABLE: Type = { kind: 'plain', callable: true };
export const UNKNOWN: Type = { kind: 'unknown' };
export const SHARED_BUFFER: Type = { kind: 'plain', buffer: 'shared' };
export const PRIVATE_BUFFER: Type = { kind: 'plain', buffer: 'private' };

/** A guard against types that refer to themselves. */
export const MAX_DEPTH = 24;

/** The type of a value that has one of two types. */
export function join(a: Type, b: Type): Type {
  if (a === b) return a;
  if (a.kind === 'unknown' || b.kind === 'unknown') return UNKNOWN;
  if (a.kind === 'shared' && b.kind === 'shared') return SHARED;
  if (a.kind === 'plain' && b.kind === 'plain') return a.callable || b.callable ? CALLABLE : PLAIN;
  const views = ['shared', 'view', 'plain'];
  if (views.includes(a.kind) && views.includes(b.kind)) return VIEW;
  if (a.kind === 'object' && b.kind === 'object' && a.node === b.node) return a;
  return UNKNOWN;
}

/** The type of `receiver[i]` of an array or record. */
export function elementOf(receiver: Type): Type {
  if (receiver.kind === 'plain' || receiver.kind === 'record') return receiver.element ?? UNKNOWN;
  return UNKNOWN;
}

/** Could a value of this type be called? */
export function mayBeFunction(type: Type): boolean {
  if (type.kind === 'object') {
    const members: Node[] = type.node.members ?? type.node.body?.body ?? [];
    return (
      Array.isArray(members) && members.some((one) => one.type === 'TSCallSignatureDeclaration')
    );
  }
  return type.kind === 'unknown' || (type.kind === 'plain' && type.callable === true);
}
