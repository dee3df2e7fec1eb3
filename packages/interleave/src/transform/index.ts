/**
 * `@umbuf/interleave/transform`: turns ordinary synchronous functions that touch shared memory into
 * generators on virtual CPUs. `transform` takes one module alone; `Explorer` takes a graph of
 * modules and knows what a call runs in another one. The Vite plugin and the Node loader use it.
 */

import type { SourceMap } from 'magic-string';
import { type Analysis, analyse } from './colour.ts';
import { Emitter, type EmittedSite } from './emit/emitter.ts';
import { type Problem, TransformError } from './error.ts';
import { Graph, type Module, type Resolve, specifiers } from './graph.ts';
import { insertAt, joinRope, type Rope } from './rope.ts';
import type { Source } from './source.ts';

export { codeFrame, describeProblem, type Place, type Problem, TransformError } from './error.ts';
export type { Resolve } from './graph.ts';
export type { EmittedSite } from './emit/emitter.ts';

/** Where transformed code imports its runtime from. */
export const RUNTIME = '@umbuf/interleave/runtime';
export const GUARDS = '@umbuf/interleave/guards';

export interface ExploreOptions {
  /**
   * Shared memory where nothing can be suspended (a constructor, a getter, an async function):
   * `'error'` (the default) refuses the module; `'guard'` warns, and throws if that code is reached;
   * `'record'` warns, and performs the access at once: fine in `setup` and `final`, while on a CPU the
   * race detector sees it but no other CPU can come between.
   */
  readonly unsuspendable?: 'error' | 'guard' | 'record';
  /**
   * Modules whose functions run virtual CPUs, so that functions given to them may be coloured.
   * Default: this package.
   */
  readonly drivers?: (specifier: string) => boolean;
  /** What an import's specifier becomes; undefined keeps it. */
  readonly rewriteImport?: (specifier: string, importer: string) => string | undefined;
}

export interface TransformOptions extends ExploreOptions {
  /** The name that reports show; its extension says whether it is TypeScript. */
  readonly file: string;
}

export interface Transformed {
  /** TypeScript in, TypeScript out. */
  readonly code: string;
  readonly map: SourceMap;
  readonly sites: readonly EmittedSite[];
  readonly warnings: readonly Problem[];
}

const isDriver = (specifier: string): boolean => /^@umbuf\/interleave(\/|$)/.test(specifier);

/** A graph of modules under exploration. One per Vite server or loader thread. */
export class Explorer {
  readonly graph: Graph;
  private readonly options: ExploreOptions;
  private analysis: Analysis | undefined;
  private analysed = -1;

  /** `resolve` says which imports are transformed too, and where they are. */
  constructor(resolve: Resolve, options: ExploreOptions = {}) {
    this.graph = new Graph(resolve);
    this.options = options;
  }

  /**
   * Transforms one module of the graph; loads it and what it imports when it is not known yet.
   * Throws `TransformError` for what cannot be suspended.
   */
  async transform(file: string, code?: string): Promise<Transformed> {
    return this.graph.load(file, code, (module) => this.emit(module));
  }

  /** A file changed on disk: true if what was transformed so far may no longer fit together. */
  forget(file: string): boolean {
    return this.graph.forget(file);
  }

  /** For a module that `graph` holds. */
  emit(module: Module): Transformed {
    if (this.analysis === undefined || this.analysed !== this.graph.version) {
      this.analysis = analyse(this.graph, this.options.drivers ?? isDriver);
      this.analysed = this.graph.version;
    }
    return emitModule(module, this.analysis, this.options);
  }
}

/**
 * Transforms one module without looking at its imports: what relative imports do is decided at
 * run time, other packages count as untransformed. Throws `TransformError`.
 */
export function transform(code: string, options: TransformOptions): Transformed {
  const explorer = new Explorer(() => null, options);
  const module = explorer.graph.add(options.file, code);
  for (const specifier of specifiers(module.source.program)) {
    if (!/^[./]/.test(specifier)) module.imports.set(specifier, null);
  }
  return explorer.emit(module);
}

function emitModule(module: Module, analysis: Analysis, options: ExploreOptions): Transformed {
  const emitter = new Emitter(module, analysis, {
    unsuspendable: options.unsuspendable ?? 'error',
    rewriteImport: (specifier) => options.rewriteImport?.(specifier, module.file),
  });
  const body = emitter.writeModule();
  const classified = analysis.classified.get(module)!;
  const problems = [...classified.problems, ...emitter.problems];
  if (problems.length > 0) throw new TransformError(problems);
  const rope = withHeader(header(module, emitter), body, module.source);
  const { code, map } = joinRope(rope, module.source);
  return {
    code,
    map,
    sites: emitter.sites,
    warnings: [...classified.warnings, ...emitter.warnings],
  };
}

/** The header on the first line, or the second when the first is `#!`. */
function withHeader(text: string, body: Rope, source: Source): Rope {
  const second = source.code.startsWith('#!') ? source.code.indexOf('\n') + 1 : 0;
  if (second === 0) return [text, ...body];
  insertAt(body, second, text);
  return body;
}

/** Imports, the site table and module temporaries, on one line before the first of the source. */
function header(module: Module, emitter: Emitter): string {
  const parts: string[] = [];
  if (emitter.usesRuntime) parts.push(`import * as __rt from '${RUNTIME}';`);
  if (emitter.usesGuards) parts.push(`import * as __xf from '${GUARDS}';`);
  for (const name of emitter.clocks) parts.push(`var ${name} = __rt.${name};`);
  if (emitter.moduleTemps > 0) {
    const names = Array.from({ length: emitter.moduleTemps }, (_, index) => `__rt_s${index}`);
    parts.push(`let ${names.join(', ')};`);
  }
  if (emitter.sites.length > 0) {
    const table = JSON.stringify({ file: module.file, sites: emitter.sites });
    // var: a function of a module in an import cycle may run before this line.
    parts.push(`var __rt_b = __rt.module(${table});`);
  }
  return parts.length === 0 ? '' : `${parts.join(' ')} `;
}

export { loadExplored } from '../explored.ts';
