/**
 * What each expression of a module means for shared memory: an access, a call that may run a
 * coloured function, a place that needs a guard at run time, or nothing. Feeds colour.ts (who
 * becomes a generator) and the emitter (what each node is replaced by).
 */

import * as names from './builtins.ts';
import type { Problem } from './error.ts';
import type { Callee, Colour, Fn, Functions } from './functions.ts';
import type { Module } from './graph.ts';
import type { Scope } from './scope.ts';
import { children, isFunction, keyName, type Node, unwrap } from './source.ts';
import { findMember, functionOf, memberType, type Type, typeOf } from './types.ts';

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
  /** A value that must not be a shared view here; `certain` when it surely is one. */
  | { readonly kind: 'guard'; readonly certain: boolean; readonly what: string }
  /** A function handed to code that is not transformed. */
  | { readonly kind: 'callback'; readonly callee: Callee };

export interface Classified {
  readonly info: Map<Node, Info>;
  readonly guards: Map<Node, Guard>;
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

const NONE: Callee = { kind: 'none' };
const MAYBE: Callee = { kind: 'unknown' };

export function classify(module: Module, context: Context): Classified {
  const walker = new Classifier(module, context);
  walker.program();
  return walker.result;
}

class Classifier {
  readonly result: Classified = { info: new Map(), guards: new Map(), warnings: [], problems: [] };
  private readonly module: Module;
  private readonly context: Context;
  private readonly functions: Functions;
  private fn: Fn;
  private scope: Scope;

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

  private walkChildren(node: Node): void {
    for (const child of children(node)) this.walk(child);
  }

  private walk(node: Node): void {
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
        return this.call(node);
      case 'NewExpression':
        return this.construct(node);
      case 'TaggedTemplateExpression':
        this.note(node, { kind: 'call', callee: this.calleeOf(node.tag).callee });
        return this.walkChildren(node);
      case 'MemberExpression':
        return this.member(node);
      case 'AssignmentExpression':
        return this.assignment(node);
      case 'UpdateExpression': {
        const member = this.element(node.argument);
        if (member === undefined) return this.walkChildren(node);
        return this.access(node, 'update', member);
      }
      case 'UnaryExpression':
        if (node.operator === 'delete') return this.target(node.argument, false);
        if (node.operator === 'typeof' && isAtomics(node.argument, this.scope)) return;
        return this.walkChildren(node);
      case 'BinaryExpression':
        if (node.operator === 'in' && isAtomics(node.right, this.scope))
          return this.walk(node.left);
        return this.walkChildren(node);
      case 'SpreadElement':
        this.iterated(node.argument, 'spread');
        return this.walkChildren(node);
      case 'VariableDeclarator':
        if (node.id.type === 'ArrayPattern' && node.init) this.iterated(node.init, 'destructured');
        if (node.id.type === 'ObjectPattern' && node.init && isAtomics(node.init, this.scope)) {
          return this.aliased(node.init);
        }
        return this.walkChildren(node);
      case 'ForOfStatement':
        this.iterated(node.right, 'iterated');
        if (node.left.type !== 'VariableDeclaration') this.target(node.left, true);
        else this.walk(node.left);
        this.walk(node.right);
        return this.walk(node.body);
      case 'ForInStatement':
        if (node.left.type !== 'VariableDeclaration') this.target(node.left, true);
        else this.walk(node.left);
        this.walk(node.right);
        return this.walk(node.body);
      case 'Identifier':
        if (isAtomics(node, this.scope)) this.aliased(node);
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
    if (isFunction(node) && node.id) {
      // Its name is no expression.
      for (const child of children(node)) if (child !== node.id) this.walk(child);
      return;
    }
    this.walkChildren(node);
  }

  // Element access.

  private member(node: Node): void {
    if (isAtomics(node.object, this.scope)) {
      const method = keyName(node);
      if (method === undefined) return this.aliased(node);
      if (names.ATOMICS.has(method)) this.note(node, { kind: 'atomic-value', method });
      return;
    }
    const element = this.element(node);
    if (element === undefined) {
      this.walk(node.object);
      if (node.computed) this.walk(node.property);
      return;
    }
    this.access(node, 'read', element);
  }

  /** The member expression, if `node` is `m[i]` and m may be a shared view. */
  private element(node: Node): Node | undefined {
    const member = unwrap(node);
    if (member.type !== 'MemberExpression' || !member.computed) return undefined;
    const index = unwrap(member.property);
    if (
      index.type === 'Literal' &&
      typeof index.value === 'string' &&
      Number.isNaN(Number(index.value))
    ) {
      return undefined;
    }
    if (index.type === 'MemberExpression' && index.object.name === 'Symbol') return undefined;
    if (member.object.type === 'Super') return undefined;
    return this.mayBeView(this.type(member.object)) ? member : undefined;
  }

  private access(node: Node, kind: 'read' | 'assign' | 'update', member: Node): void {
    const certain = this.type(member.object).kind === 'shared';
    this.result.info.set(node, { kind, certain, member });
    this.seed(certain ? 2 : 1);
    this.walk(member.object);
    this.walk(member.property);
  }

  private assignment(node: Node): void {
    const left = unwrap(node.left);
    if (left.type === 'ArrayPattern' || left.type === 'ObjectPattern') {
      if (left.type === 'ArrayPattern') this.iterated(node.right, 'destructured');
      this.target(left, true);
      return this.walk(node.right);
    }
    const member = this.element(left);
    if (member !== undefined) this.access(node, 'assign', member);
    else if (left.type === 'MemberExpression') this.target(left, false);
    this.walk(node.right);
  }

  /** A target that is not assigned by `=` itself: pattern, loop head, `delete`. */
  private target(node: Node, guarded: boolean): void {
    const left = unwrap(node);
    switch (left.type) {
      case 'MemberExpression':
        if (guarded && this.element(left) !== undefined) {
          this.guard(left.object, this.type(left.object), 'assigned by a pattern or loop head');
        }
        this.walk(left.object);
        if (left.computed) this.walk(left.property);
        return;
      case 'ArrayPattern':
        for (const one of left.elements) if (one !== null) this.target(one, guarded);
        return;
      case 'ObjectPattern':
        for (const one of left.properties) {
          if (one.computed) this.walk(one.key);
          this.target(one.value ?? one.argument, guarded);
        }
        return;
      case 'AssignmentPattern':
        this.target(left.left, guarded);
        return this.walk(left.right);
      case 'RestElement':
        return this.target(left.argument, guarded);
      case 'ChainExpression':
        return this.target(left.expression, guarded);
    }
  }

  private iterated(node: Node, what: string): void {
    this.guard(node, this.type(node), what);
  }

  private guard(node: Node, type: Type, what: string): void {
    if (!this.mayBeView(type) || this.result.guards.has(node)) return;
    this.result.guards.set(node, { kind: 'guard', certain: type.kind === 'shared', what });
  }

  // Calls.

  private call(node: Node): void {
    const callee = unwrap(node.callee);
    if (callee.type === 'MemberExpression' && isAtomics(callee.object, this.scope)) {
      const method = keyName(callee);
      if (method === undefined) this.aliased(callee);
      else if (names.ATOMICS.has(method)) {
        this.result.info.set(node, { kind: 'atomic', method });
        this.seed(2);
      }
      for (const argument of node.arguments) this.walk(argument);
      return;
    }
    const { callee: target, outside } = this.calleeOf(node.callee);
    if (outside !== null) this.handedOut(node.arguments, outside, nameOf(callee));
    if (outside !== null || target.kind === 'none') {
      this.viewsHandedOut(node.arguments, outside, nameOf(callee));
    }
    if (callee.type === 'MemberExpression') this.method(node, callee, target);
    else if (callee.type !== 'Super') {
      this.note(node, { kind: 'call', callee: target });
      this.walk(node.callee);
    }
    if (
      callee.type === 'Identifier' &&
      callee.name === 'eval' &&
      this.scope.find('eval') === undefined
    ) {
      this.warn(node, 'code given to eval is not transformed', 'Write it as a function.');
    }
    for (const argument of node.arguments) this.walk(argument);
  }

  private method(node: Node, callee: Node, target: Callee): void {
    const method = keyName(callee);
    const type = callee.object.type === 'Super' ? null : this.type(callee.object);
    const isView = type !== null && this.mayBeView(type);
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
      this.mayBeView(this.type(node.arguments[0]));
    if (op !== undefined && (isView || copies)) {
      this.result.info.set(node, { kind: 'method', op, method: method!, certain, callee: target });
      this.seed(certain ? 2 : 1);
      this.fn.callees.push(target);
    } else {
      if (
        isView &&
        method !== undefined &&
        (names.ITERATION.has(method) || method.includes('ort'))
      ) {
        this.guard(callee.object, type, `iterated by \`${method}\``);
      }
      this.note(node, { kind: 'call', callee: target });
    }
    this.walk(callee.object);
    if (callee.computed) this.walk(callee.property);
  }

  private construct(node: Node): void {
    const callee = unwrap(node.callee);
    const { outside } = this.calleeOf(node.callee);
    const binding = callee.type === 'Identifier' ? this.scope.find(callee.name) : undefined;
    if (outside !== null) this.viewsHandedOut(node.arguments, outside, nameOf(callee));
    const stores = binding === undefined && /^(Weak)?(Map|Set|Ref)$|^Array$/.test(callee.name);
    if (outside !== null && !stores) this.handedOut(node.arguments, outside, nameOf(callee));
    else if (binding?.kind === 'function') {
      const fn = this.functions.of.get(binding.node);
      if (fn !== undefined) fn.rigid ??= 'in a function that is called with `new`';
    }
    if (callee.name === 'Function' && binding === undefined) {
      this.warn(node, 'code given to `new Function` is not transformed', 'Write it as a function.');
    }
    this.walkChildren(node);
  }

  /** What a callee may be, and, if it is not transformed, how to call it in a message. */
  private calleeOf(node: Node): { callee: Callee; outside: string | null } {
    const callee = unwrap(node);
    const own = { callee: MAYBE, outside: null };
    if (isFunction(callee))
      return { callee: this.functionCallee(callee, this.module), outside: null };
    if (callee.type === 'Identifier') {
      const binding = this.scope.find(callee.name);
      if (binding === undefined)
        return { callee: NONE, outside: `the built-in \`${callee.name}\`` };
      const fn = functionOf(binding, this.module);
      if (fn !== undefined)
        return { callee: this.functionCallee(fn.node, fn.module), outside: null };
      const from = this.outsideImport(callee.name);
      if (from !== undefined) return { callee: NONE, outside: from };
      return this.isDriver(callee.name) ? { callee: NONE, outside: null } : own;
    }
    if (callee.type === 'ChainExpression') return this.calleeOf(callee.expression);
    if (callee.type !== 'MemberExpression') return own;
    return this.memberCallee(callee);
  }

  private memberCallee(callee: Node): { callee: Callee; outside: string | null } {
    const own = { callee: MAYBE, outside: null };
    const name = keyName(callee);
    const object = unwrap(callee.object);
    if (object.type === 'Identifier') {
      const binding = this.scope.find(object.name);
      if (binding === undefined && names.GLOBAL_OBJECTS.has(object.name)) {
        const stores = object.name === 'Object' || object.name === 'console' || name === 'of';
        return { callee: NONE, outside: stores ? null : `the built-in \`${object.name}.${name}\`` };
      }
      const from = binding === undefined ? undefined : this.outsideImport(object.name);
      if (from !== undefined) return { callee: MAYBE, outside: from };
      if (binding !== undefined && this.isDriver(object.name))
        return { callee: NONE, outside: null };
    }
    if (name === undefined) return own;
    // f.call(...), f.apply(...): the function itself.
    if (name === 'call' || name === 'apply')
      return { callee: this.calleeOf(callee.object).callee, outside: null };
    const type = this.typeOfReceiver(callee.object);
    if (type.kind === 'plain' || type.kind === 'shared' || type.kind === 'view') {
      if (callee.computed) return own;
      const outside = names.CALLBACK.has(name) ? `the built-in method \`${name}\`` : null;
      return { callee: NONE, outside };
    }
    if (type.kind === 'namespace') {
      const found = memberType(type, name);
      const target = this.namespaceFunction(type.module, name);
      return target ?? (found.kind === 'unknown' ? own : { callee: MAYBE, outside: null });
    }
    const found = findMember(type, name);
    if (found !== undefined) {
      const fn = this.methodOf(found);
      return fn === undefined ? own : { callee: { kind: 'method', fn, name }, outside: null };
    }
    if (names.CALLBACK.has(name) || !(names.STORING.has(name) || this.context.byName.has(name))) {
      return {
        callee: MAYBE,
        outside: `the method \`${name}\` of something not under exploration`,
      };
    }
    return own;
  }

  /** The function that a member's declaration holds, if it holds one. */
  private methodOf(found: { member: Node; module: Module }): Fn | undefined {
    if (!found.member.value) return undefined;
    const fn = this.context.functions.get(found.module)?.of.get(unwrap(found.member.value));
    return fn !== undefined && isFunction(fn.node) ? fn : undefined;
  }

  private typeOfReceiver(object: Node): Type {
    if (object.type === 'Super') {
      const self = this.scope.self;
      const parent = self?.superClass ? unwrap(self.superClass) : null;
      if (parent === null) return { kind: 'unknown' };
      const type = this.type(parent);
      return type.kind === 'object'
        ? { ...type, isStatic: this.scope.isStatic }
        : { kind: 'unknown' };
    }
    return this.type(object);
  }

  private namespaceFunction(
    module: Module,
    name: string,
  ): { callee: Callee; outside: null } | undefined {
    const binding = module.scopes.top.names.get(name);
    const fn = binding === undefined ? undefined : functionOf(binding, module);
    return fn === undefined
      ? undefined
      : { callee: this.functionCallee(fn.node, fn.module), outside: null };
  }

  private functionCallee(node: Node, module: Module): Callee {
    const fn = this.context.functions.get(module)?.of.get(node);
    return fn === undefined ? MAYBE : { kind: 'function', fn };
  }

  /** The specifier that a local name is imported from, if it is imported. */
  private importedFrom(name: string): string | undefined {
    const binding = this.scope.find(name);
    if (binding?.kind !== 'import') return undefined;
    const declaration = this.module.source.program.body.find(
      (one: Node) => one.type === 'ImportDeclaration' && one.specifiers.includes(binding.node),
    );
    return declaration.source.value;
  }

  private isDriver(name: string): boolean {
    const specifier = this.importedFrom(name);
    return specifier !== undefined && this.context.isDriver(specifier);
  }

  /** How to call an import from a module that stays untransformed and is no driver. */
  private outsideImport(name: string): string | undefined {
    const specifier = this.importedFrom(name);
    if (specifier === undefined || this.context.isDriver(specifier)) return undefined;
    return this.module.imports.get(specifier) === null ? `\`${name}\` of ${specifier}` : undefined;
  }

  /** Arguments of a call to untransformed code. */
  private handedOut(args: Node[], outside: string, callee: string): void {
    const reason = `in a callback given to ${outside}`;
    const visit = (argument: Node): void => {
      const value = unwrap(argument);
      if (isFunction(value)) {
        const fn = this.functions.of.get(value)!;
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
        case 'Identifier': {
          const binding = this.scope.find(value.name);
          const fn = binding === undefined ? undefined : functionOf(binding, this.module);
          if (fn !== undefined && callee !== 'bind') {
            this.result.guards.set(argument, {
              kind: 'callback',
              callee: this.functionCallee(fn.node, fn.module),
            });
          }
          return;
        }
        case 'MemberExpression': {
          const name = value.computed ? undefined : keyName(value);
          const found = name === undefined ? undefined : findMember(this.type(value.object), name);
          const fn = found === undefined ? undefined : this.methodOf(found);
          if (fn !== undefined) {
            this.result.guards.set(argument, {
              kind: 'callback',
              callee: { kind: 'method', fn, name: name! },
            });
          }
        }
      }
    };
    for (const argument of args) visit(argument);
  }

  /** Views among the arguments of a call to untransformed code. */
  private viewsHandedOut(args: Node[], outside: string | null, callee: string): void {
    for (const argument of args) {
      if (argument.type === 'SpreadElement') continue;
      const type = this.type(argument);
      // With an offset the first argument is a buffer, which a constructor does not read.
      const copies = names.TYPED_ARRAYS.has(callee) && args.length === 1;
      if (names.READS_ARGUMENTS.has(callee) || copies || callee === 'Set') {
        this.guard(argument, type, `read by ${outside ?? `\`${callee}\``}`);
      } else if (type.kind === 'shared' && outside?.startsWith('`')) {
        this.warn(
          argument,
          `a shared view is handed to ${outside}, whose accesses are not seen`,
          'Give it a copy, or bring that module under exploration with `include`.',
        );
      }
    }
  }

  // Helpers.

  private note(node: Node, info: Info): void {
    if (info.kind === 'call') {
      if (info.callee.kind === 'none') return;
      this.fn.callees.push(info.callee);
    }
    this.result.info.set(node, info);
  }

  private seed(colour: Colour): void {
    if (this.fn.own < colour) this.fn.own = colour;
  }

  private type(node: Node): Type {
    return typeOf(node, this.scope, this.module);
  }

  private mayBeView(type: Type): boolean {
    if (type.kind === 'object') {
      const { node } = type;
      const members: Node[] = node.members ?? node.body?.body ?? [];
      if (members.some((one) => one.type === 'TSIndexSignature')) return true;
      return node.superClass ? names.TYPED_ARRAYS.has(unwrap(node.superClass).name) : false;
    }
    return type.kind === 'shared' || type.kind === 'view' || type.kind === 'unknown';
  }

  private aliased(node: Node): void {
    this.result.problems.push(
      this.module.source.problem(
        node.start,
        '`Atomics` is used as a value, so the operations through it cannot be seen',
        'Write `Atomics.load(...)` and so on at the place of use.',
      ),
    );
  }

  private warn(node: Node, message: string, advice: string): void {
    this.result.warnings.push(this.module.source.problem(node.start, message, advice));
  }
}

/** `Atomics` or `globalThis.Atomics`, not shadowed. */
function isAtomics(node: Node, scope: Scope): boolean {
  const inner = unwrap(node);
  if (inner.type === 'Identifier')
    return inner.name === 'Atomics' && scope.find('Atomics') === undefined;
  return (
    inner.type === 'MemberExpression' &&
    keyName(inner) === 'Atomics' &&
    unwrap(inner.object).name === 'globalThis'
  );
}

function nameOf(callee: Node): string {
  return callee.type === 'MemberExpression' ? (keyName(callee) ?? '') : (callee.name ?? '');
}
