/**
 * Writes a module anew: coloured functions become generators, accesses become yielded ops, calls
 * are followed by `yield*`. Every source text is written once and in its order, so evaluation
 * order stays; what is not touched is copied. This file walks, and keeps what the rooms beside it
 * (functions, accesses, calls, chains, rigid, copy) share; only `emitModule` makes an emitter.
 *
 * Invariant: a temporary (`__rt_0`, ...) is local to its generator, and an expression that is
 * still being evaluated never shares one with its parts; so a switch of CPUs cannot disturb it.
 */

import type { Classified, Guard } from '../classify/facts.ts';
import type { Analysis } from '../colour.ts';
import type { Problem } from '../error.ts';
import type { Fn, Functions } from '../functions.ts';
import type { Module } from '../graph.ts';
import type { Rope } from '../rope.ts';
import type { Scope } from '../scope.ts';
import { isFunction, type Node, type Source, unwrap } from '../source.ts';
import { rawCall, writeMember } from './calls.ts';
import { lowered, needsLowering } from './chains.ts';
import { copy, writeList, writeShorthand } from './copy.ts';
import { writeDefault, writeFunction, writeImport, writeLoop, writeMethod } from './functions.ts';
import { writeInfo } from './info.ts';
import { guarded } from './rigid.ts';

/** An entry of the module's site table. */
export interface EmittedSite {
  readonly line: number;
  readonly column: number;
  readonly kind: string;
  readonly text: string;
  readonly function: string;
}

export interface EmitOptions {
  /** What to do with shared memory that cannot be suspended: see `ExploreOptions`. */
  readonly unsuspendable: 'error' | 'guard' | 'record';
  /** What an import's specifier becomes; undefined keeps it. */
  readonly rewriteImport: (specifier: string) => string | undefined;
}

/** The function (or region) that is being written. */
interface Frame {
  readonly fn: Fn;
  readonly isGenerator: boolean;
  depth: number;
  used: number;
  /** Defaults of parameters that the body evaluates first. */
  readonly defaults: { readonly name: string; readonly value: Rope }[];
}

/** Longest source text kept in a site. */
const SITE_TEXT = 100;

export class Emitter {
  readonly sites: EmittedSite[] = [];
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];
  /** Whether anything but import specifiers was changed. */
  usesRuntime: boolean = false;
  /** Globals of the module that tell the time. */
  readonly clocks: Set<string> = new Set();
  usesGuards: boolean = false;
  /** Temporaries of code that is never suspended. */
  moduleTemps: number = 0;
  readonly module: Module;
  readonly source: Source;
  readonly classified: Classified;
  readonly functions: Functions;
  readonly analysis: Analysis;
  readonly options: EmitOptions;
  frame: Frame;
  scope: Scope;
  /** Receivers that an optional chain has already put into a temporary. */
  readonly replaced: Map<Node, string> = new Map();
  /** Optional links of a chain whose null test has been written. */
  readonly tested: Set<Node> = new Set();
  /** `f?.()` with receiver: the temporaries of function and receiver. */
  readonly bound: Map<Node, readonly [string, string]> = new Map();
  /** Expressions whose value nobody uses. */
  readonly unused: Set<Node> = new Set();
  /** Nodes whose guard is being written. */
  readonly passed: Set<Node> = new Set();

  constructor(module: Module, analysis: Analysis, options: EmitOptions) {
    this.module = module;
    this.source = module.source;
    this.analysis = analysis;
    this.classified = analysis.classified.get(module)!;
    this.functions = analysis.functions.get(module)!;
    this.options = options;
    this.scope = module.scopes.top;
    this.frame = this.open(this.functions.of.get(module.source.program)!);
  }

  /** The whole module. */
  writeModule(): Rope {
    return this.emit(this.source.program, true);
  }

  /** A node, written anew: what the other rooms call for each part of theirs. */
  emit(node: Node, isRoot = false): Rope {
    const before = this.frame;
    const scope = this.scope;
    const replacement = this.replaced.get(node);
    if (replacement !== undefined) return [replacement];
    const guard = this.classified.guards.get(node);
    if (guard !== undefined && !this.passed.has(node) && this.applies(guard)) {
      return guarded(this, node, guard);
    }
    const region = this.functions.of.get(node);
    if (region !== undefined && !isRoot) this.frame = this.open(region);
    this.scope = this.module.scopes.of.get(node) ?? scope;
    const rope = this.write(node);
    this.frame = before;
    this.scope = scope;
    return rope;
  }

  /** A parameter of the generator that is being written, with a default that may move. */
  private isParameter(node: Node): boolean {
    const { fn, isGenerator } = this.frame;
    return isGenerator && isFunction(fn.node) && fn.node.params.includes(node);
  }

  private applies(guard: Guard): boolean {
    return guard.kind !== 'guard' || guard.weak !== true || this.frame.isGenerator;
  }

  private open(fn: Fn): Frame {
    return { fn, isGenerator: fn.rigid === null && fn.colour > 0, depth: 0, used: 0, defaults: [] };
  }

  private write(node: Node): Rope {
    const info = this.classified.info.get(node);
    if (info !== undefined) {
      const rope = writeInfo(this, node, info);
      if (rope !== undefined) return rope;
    }
    if (isFunction(node)) return writeFunction(this, node);
    switch (node.type) {
      case 'Identifier':
        if (isClock(node.name) && this.scope.find(node.name) === undefined) {
          this.usesRuntime = true;
          this.clocks.add(node.name);
        }
        return copy(this, node);
      case 'ChainExpression':
        return needsLowering(this, node.expression)
          ? lowered(this, node.expression)
          : copy(this, node);
      case 'MemberExpression':
        return this.tested.has(node) ? writeMember(this, node) : copy(this, node);
      case 'CallExpression':
        return rawCall(this, node);
      case 'ExpressionStatement':
        this.unused.add(unwrap(node.expression));
        return copy(this, node);
      case 'Program':
      case 'BlockStatement':
      case 'StaticBlock':
      case 'SwitchCase':
        return writeList(this, node);
      case 'ClassBody':
        return writeList(this, node);
      case 'AssignmentPattern':
        return this.isParameter(node) ? writeDefault(this, node) : copy(this, node);
      case 'MethodDefinition':
        return writeMethod(this, node);
      case 'Property':
        if (node.shorthand) return writeShorthand(this, node);
        return node.method ? writeMethod(this, node) : copy(this, node);
      case 'ForStatement':
        if (node.update) this.unused.add(unwrap(node.update));
        return writeLoop(this, node);
      case 'WhileStatement':
      case 'DoWhileStatement':
      case 'ForInStatement':
      case 'ForOfStatement':
        return writeLoop(this, node);
      case 'ImportDeclaration':
      case 'ExportNamedDeclaration':
      case 'ExportAllDeclaration':
      case 'ImportExpression':
        return writeImport(this, node);
    }
    return copy(this, node);
  }

  /** Are accesses in rigid places performed at once? */
  get records(): boolean {
    return this.options.unsuspendable === 'record';
  }

  /** A name for a value that is used again; free when `frame.depth` is put back. */
  temporary(): string {
    if (!this.frame.isGenerator) {
      // Nothing is suspended here, and each is used before anything else can run.
      return `__rt_s${this.moduleTemps++}`;
    }
    const { frame } = this;
    const name = `__rt_${frame.depth++}`;
    if (frame.depth > frame.used) frame.used = frame.depth;
    return name;
  }

  /** A new entry of the site table, as the expression that transformed code passes. */
  site(node: Node, kind: string): string {
    const { line, column } = this.source.place(node.start);
    const text =
      kind === 'point' ? '' : this.source.text(node).replace(/\s+/g, ' ').slice(0, SITE_TEXT);
    this.sites.push({ line, column, kind, text, function: this.frame.fn.name });
    return `__rt_b + ${this.sites.length - 1}`;
  }

  /** The place of a node, as a literal for the guards. */
  where(node: Node): string {
    const { file, line, column } = this.source.place(node.start);
    return JSON.stringify(`${file}:${line}:${column}`);
  }

  /** Says that something cannot be suspended: an error, or a warning when so asked. */
  refuse(
    node: Node,
    message: string,
    advice = 'Move it into a plain synchronous function (or method) and call that from a CPU of the check.',
  ): void {
    const problem = this.source.problem(node.start, `${message}: it cannot be suspended`, advice);
    (this.options.unsuspendable === 'error' ? this.problems : this.warnings).push(problem);
  }
}

/** A global that virtual CPUs get in another form. */
function isClock(name: string): boolean {
  return name === 'performance' || name === 'Date';
}
