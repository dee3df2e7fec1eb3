/**
 * What classification finds out: for each node an `Info` or a `Guard`, for each module its warnings
 * and problems. Read by colour.ts and the emitter; written by the other rooms of `classify/`.
 */

import type { Problem } from '../error.ts';
import type { Callee, Fn, Functions } from '../functions.ts';
import type { Module } from '../graph.ts';
import type { Node } from '../source.ts';

export type Info =
  | { readonly kind: 'atomic'; readonly method: string }
  | { readonly kind: 'atomic-value'; readonly method: string }
  /** `m[i]`, on the member; `m[i] = v`, `m[i] += v`, `m[i]++` on the whole expression. */
  | {
      readonly kind: 'read' | 'assign' | 'update';
      readonly certain: boolean;
      readonly member: Node;
    }
  /** A method that touches elements if its receiver is a shared view. */
  | {
      readonly kind: 'method';
      readonly op: 'viewGet' | 'viewSet' | 'bulk';
      readonly method: string;
      readonly certain: boolean;
      readonly callee: Callee;
    }
  | { readonly kind: 'call'; readonly callee: Callee };

/** Stands beside the node's own info: `...m[0]` is a read and a guard. */
export type Guard =
  /**
   * A value that must not be a shared view here; `certain` when it surely is one, `weak` when it is
   * looked at only in functions that touch shared memory anyway.
   */
  | {
      readonly kind: 'guard';
      readonly certain: boolean;
      readonly what: string;
      readonly weak?: boolean;
    }
  /** A value in which, or at these places of which, there must be no shared view. */
  | { readonly kind: 'deep'; readonly what: string }
  | { readonly kind: 'parts'; readonly paths: readonly (readonly string[])[] }
  /** A receiver that must not be a buffer of shared memory: its `slice` would read it all. */
  | { readonly kind: 'buffer' }
  /** A function handed to code that is not transformed; an unknown one is looked at at run time. */
  | { readonly kind: 'callback'; readonly callee: Callee };

export interface Classified {
  readonly info: Map<Node, Info>;
  readonly guards: Map<Node, Guard>;
  /** Parameters, by index, that a pattern takes apart and that may be views. */
  readonly parameters: Map<Node, readonly number[]>;
  readonly warnings: Problem[];
  /** Found whatever the colours are. */
  readonly problems: Problem[];
}

export interface Context {
  readonly functions: ReadonlyMap<Module, Functions>;
  readonly byName: ReadonlyMap<string, readonly Fn[]>;
  /** Modules whose functions take virtual CPUs (`check`, ...): their arguments may be coloured. */
  readonly isDriver: (specifier: string) => boolean;
}
