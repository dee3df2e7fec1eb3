/**
 * Who becomes a generator: the least fixpoint over the calls of all modules of a graph. A function
 * has the colour of its strongest access or callee; rigid ones stay colourless (they are not
 * suspended, so their callers need not be). A method of a known class may be overridden, so it
 * has at least colour 1 when any method of its name is coloured.
 */

import { classify } from './classify/classifier.ts';
import type { Classified } from './classify/facts.ts';
import {
  type Callee,
  collectFunctions,
  type Colour,
  type Fn,
  type Functions,
} from './functions.ts';
import type { Graph, Module } from './graph.ts';

export interface Analysis {
  readonly functions: ReadonlyMap<Module, Functions>;
  readonly classified: ReadonlyMap<Module, Classified>;
  readonly byName: ReadonlyMap<string, readonly Fn[]>;
}

/** Analyses all modules that the graph holds now. */
export function analyse(graph: Graph, isDriver: (specifier: string) => boolean): Analysis {
  const modules = [...graph.modules.values()];
  const functions = new Map(modules.map((module) => [module, collectFunctions(module)] as const));
  const byName = new Map<string, Fn[]>();
  for (const one of functions.values()) {
    for (const [name, fns] of one.byName) byName.set(name, [...(byName.get(name) ?? []), ...fns]);
  }
  const context = { functions, byName, isDriver };
  const classified = new Map(modules.map((module) => [module, classify(module, context)] as const));
  propagate(functions, byName);
  return { functions, classified, byName };
}

/** What a call may run, at worst. */
export function colourOf(callee: Callee, byName: ReadonlyMap<string, readonly Fn[]>): Colour {
  switch (callee.kind) {
    case 'none':
      return 0;
    case 'unknown':
      return 1;
    case 'function':
      return callee.fn.colour;
    case 'method': {
      const { colour } = callee.fn;
      if (colour > 0) return colour;
      return byName.get(callee.name)!.some((fn) => fn.colour > 0) ? 1 : 0;
    }
  }
}

function propagate(
  functions: ReadonlyMap<Module, Functions>,
  byName: ReadonlyMap<string, readonly Fn[]>,
): void {
  const all = [...functions.values()].flatMap((one) => [...one.of.values()]);
  for (let changed = true; changed; ) {
    changed = false;
    for (const fn of all) {
      if (fn.rigid !== null || fn.colour === 2) continue;
      let colour = fn.own;
      for (const callee of fn.callees) {
        const other = colourOf(callee, byName);
        if (other > colour) colour = other;
      }
      if (colour !== fn.colour) {
        fn.colour = colour;
        changed = true;
      }
    }
  }
}
