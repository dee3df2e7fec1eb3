/**
 * What each expression of a module means for shared memory: an access, a call that may run a
 * coloured function, a place that needs a guard at run time, or nothing. Feeds colour.ts (who
 * becomes a generator) and the emitter (what each node is replaced by). This file walks; the rooms
 * beside it judge (accesses, calls, callees, handed-out).
 */

import type { Colour, Fn, Functions } from '../functions.ts';
import type { Module } from '../graph.ts';
import type { Scope } from '../scope.ts';
import { children, isFunction, type Node, unwrap } from '../source.ts';
import { typeOf } from '../types/expressions.ts';
import { annotated } from '../types/annotations.ts';
import { type Type, UNKNOWN } from '../types/type.ts';
import {
  classifyAssignment,
  classifyMember,
  classifyTarget,
  elementAccess,
  isAtomics,
  iterated,
  mayBeView,
  noteAccess,
  printed,
  takesAtomics,
} from './accesses.ts';
import { calleeOf } from './callees.ts';
import { classifyCall, classifyNew } from './calls.ts';
import type { Classified, Context, Info } from './facts.ts';
import { destructured, destructuredEach, destructuredParameters } from './patterns.ts';

/** Classifies a module whose functions, and those of all its imports, have been collected. */
export function classify(module: Module, context: Context): Classified {
  const classifier = new Classifier(module, context);
  classifier.program();
  return classifier.result;
}

/** The walk over one module; the rooms beside it write into `result` through it. */
export class Classifier {
  readonly result: Classified = {
    info: new Map(),
    guards: new Map(),
    parameters: new Map(),
    warnings: [],
    problems: [],
  };
  readonly module: Module;
  readonly context: Context;
  readonly functions: Functions;
  /** The function (or region) and the scope that the walk is in. */
  fn: Fn;
  scope: Scope;

  constructor(module: Module, context: Context) {
    this.module = module;
    this.context = context;
    this.functions = context.functions.get(module)!;
    this.fn = this.functions.of.get(module.source.program)!;
    this.scope = module.scopes.top;
  }

  program(): void {
    this.walkChildren(this.module.source.program);
  }

  walkChildren(node: Node): void {
    for (const child of children(node)) this.walk(child);
  }

  walk(node: Node): void {
    const fn = this.fn;
    const scope = this.scope;
    this.fn = this.functions.of.get(node) ?? fn;
    this.scope = this.module.scopes.of.get(node) ?? scope;
    this.visit(node);
    this.fn = fn;
    this.scope = scope;
  }

  private visit(node: Node): void {
    switch (node.type) {
      case 'CallExpression':
        return classifyCall(this, node);
      case 'NewExpression':
        return classifyNew(this, node);
      case 'TemplateLiteral':
        for (const one of node.expressions) printed(this, one);
        return this.walkChildren(node);
      case 'YieldExpression':
        if (node.delegate) iterated(this, node.argument, 'iterated by `yield*`');
        return this.walkChildren(node);
      case 'TaggedTemplateExpression':
        return this.tagged(node);
      case 'MemberExpression':
        return classifyMember(this, node);
      case 'AssignmentExpression':
        return classifyAssignment(this, node);
      case 'UpdateExpression': {
        const member = elementAccess(this, node.argument);
        if (member === undefined) return this.walkChildren(node);
        return noteAccess(this, node, 'update', member);
      }
      case 'UnaryExpression':
        if (node.operator === 'delete') return classifyTarget(this, node.argument, false);
        if (node.operator === 'typeof' && isAtomics(node.argument, this.scope)) return;
        return this.walkChildren(node);
      case 'BinaryExpression':
        if (node.operator === 'in' && isAtomics(node.right, this.scope))
          return this.walk(node.left);
        if (node.operator === '+' && isText(node.left)) printed(this, node.right);
        if (node.operator === '+' && isText(node.right)) printed(this, node.left);
        return this.walkChildren(node);
      case 'SpreadElement':
        iterated(this, node.argument, 'spread');
        return this.walkChildren(node);
      case 'VariableDeclarator':
        if (node.id.type === 'ObjectPattern' && node.init && takesAtomics(node, this.scope)) {
          return this.aliased(node.init);
        }
        if (node.init) destructured(this, node.id, node.init);
        return this.walkChildren(node);
      case 'ForOfStatement':
        iterated(this, node.right, 'iterated');
        if (node.left.type !== 'VariableDeclaration') classifyTarget(this, node.left, true);
        else {
          destructuredEach(this, node.left.declarations[0].id, node.right);
          this.walk(node.left);
        }
        this.walk(node.right);
        return this.walk(node.body);
      case 'ForInStatement':
        if (node.left.type !== 'VariableDeclaration') classifyTarget(this, node.left, true);
        else this.walk(node.left);
        this.walk(node.right);
        return this.walk(node.body);
      case 'Identifier':
        if (isAtomics(node, this.scope)) this.aliased(node);
        if (node.name === 'eval' && this.scope.find('eval') === undefined) {
          this.warn(node, 'code given to eval is not transformed', 'Write it as a function.');
        }
        return;
      case 'ImportExpression':
        if (node.source.type !== 'Literal') {
          this.warn(
            node,
            'a dynamic import of a computed name is not followed',
            'Import it statically.',
          );
        }
        return this.walkChildren(node);
      case 'Property':
        if (node.shorthand) return this.walk(node.value);
        if (node.computed) this.walk(node.key);
        return this.walk(node.value);
      case 'MethodDefinition':
      case 'PropertyDefinition':
      case 'AccessorProperty':
        if (node.computed) this.walk(node.key);
        if (node.value) this.walk(node.value);
        return;
      case 'LabeledStatement':
        return this.walk(node.body);
      case 'BreakStatement':
      case 'ContinueStatement':
      case 'ImportDeclaration':
      case 'ExportAllDeclaration':
      case 'MetaProperty':
        return;
    }
    if (isFunction(node)) destructuredParameters(this, node);
    if (isFunction(node) && node.id) {
      // Its name is no expression.
      for (const child of children(node)) if (child !== node.id) this.walk(child);
      return;
    }
    this.walkChildren(node);
  }

  private tagged(node: Node): void {
    const { callee, outside } = calleeOf(this, node.tag);
    this.note(node, { kind: 'call', callee });
    this.walk(node.tag);
    // Arguments, not texts: unless the tag is a built-in.
    if (outside !== null) return this.walk(node.quasi);
    for (const one of node.quasi.expressions) this.walk(one);
  }

  /** A guard, where the type allows a view. */
  guard(node: Node, type: Type, what: string, weak = false): void {
    if (!mayBeView(type) || this.result.guards.has(node)) return;
    this.result.guards.set(node, { kind: 'guard', certain: type.kind === 'shared', what, weak });
  }

  /** Notes what a node is; a call counts for the colour of its function. */
  note(node: Node, info: Info): void {
    if (info.kind === 'call') {
      if (info.callee.kind === 'none') return;
      this.fn.callees.push(info.callee);
    }
    this.result.info.set(node, info);
  }

  /** The function that the walk is in has at least this colour. */
  seed(colour: Colour): void {
    if (this.fn.own < colour) this.fn.own = colour;
  }

  type(node: Node): Type {
    return typeOf(node, this.scope, this.module);
  }

  /** `Atomics` other than as the receiver of an operation. */
  aliased(node: Node): void {
    this.result.problems.push(
      this.module.source.problem(
        node.start,
        '`Atomics` is used as a value, so the operations through it cannot be seen',
        'Write `Atomics.load(...)` and so on at the place of use.',
      ),
    );
  }

  /** The type that a pattern is annotated with. */
  annotation(pattern: Node): Type {
    const annotation = pattern.typeAnnotation?.typeAnnotation;
    return annotation ? annotated(annotation, this.module) : UNKNOWN;
  }

  /** An error whatever the colours are. */
  problem(node: Node, message: string, advice: string): void {
    this.result.problems.push(this.module.source.problem(node.start, message, advice));
  }

  warn(node: Node, message: string, advice: string): void {
    this.result.warnings.push(this.module.source.problem(node.start, message, advice));
  }
}

function isText(node: Node): boolean {
  const { type, value } = unwrap(node);
  return type === 'TemplateLiteral' || (type === 'Literal' && typeof value === 'string');
}
