/**
 * Writes a module anew: coloured functions become generators, accesses become yielded ops, calls
 * are followed by `yield*`. Every source text is written once and in its order, so evaluation
 * order stays; what is not touched is copied.
 *
 * Invariant: a temporary (`__rt_0`, ...) is local to its generator, and an expression that is
 * still being evaluated never shares one with its parts; so a switch of CPUs cannot disturb it.
 */

import type { Classified, Guard, Info } from './classify.ts';
import { type Analysis, colourOf } from './colour.ts';
import type { Problem } from './error.ts';
import { type Callee, type Fn, type Functions, usesThis } from './functions.ts';
import type { Module } from './graph.ts';
import { firstChar, insertAt, type Rope } from './rope.ts';
import type { Scope } from './scope.ts';
import { children, isFunction, type Node, type Source, unwrap } from './source.ts';

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
}

/** Longest source text kept in a site. */
const SITE_TEXT = 100;

export class Emitter {
  readonly sites: EmittedSite[] = [];
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];
  /** Whether anything but import specifiers was changed. */
  usesRuntime = false;
  usesGuards = false;
  moduleTemps = 0;
  private readonly module: Module;
  private readonly source: Source;
  private readonly classified: Classified;
  private readonly functions: Functions;
  private readonly analysis: Analysis;
  private readonly options: EmitOptions;
  private frame: Frame;
  private scope: Scope;
  /** Receivers that an optional chain has already put into a temporary. */
  private readonly replaced = new Map<Node, string>();
  /** Optional links of a chain whose null test has been written. */
  private readonly tested = new Set<Node>();
  /** `f?.()` with receiver: the temporaries of function and receiver. */
  private readonly bound = new Map<Node, readonly [string, string]>();
  /** Expressions whose value nobody uses. */
  private readonly unused = new Set<Node>();
  private readonly passed = new Set<Node>();

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

  module_(): Rope {
    return this.emit(this.source.program, true);
  }

  // The walk.

  private emit(node: Node, isRoot = false): Rope {
    const before = this.frame;
    const scope = this.scope;
    const replacement = this.replaced.get(node);
    if (replacement !== undefined) return [replacement];
    const guard = this.classified.guards.get(node);
    if (guard !== undefined && !this.passed.has(node)) return this.guarded(node, guard);
    const region = this.functions.of.get(node);
    if (region !== undefined && !isRoot) this.frame = this.open(region);
    this.scope = this.module.scopes.of.get(node) ?? scope;
    const rope = this.write(node);
    this.frame = before;
    this.scope = scope;
    return rope;
  }

  private open(fn: Fn): Frame {
    return { fn, isGenerator: fn.rigid === null && fn.colour > 0, depth: 0, used: 0 };
  }

  private write(node: Node): Rope {
    const info = this.classified.info.get(node);
    if (info !== undefined) {
      const rope = this.writeInfo(node, info);
      if (rope !== undefined) return rope;
    }
    if (isFunction(node)) return this.writeFunction(node);
    switch (node.type) {
      case 'ChainExpression':
        return this.needsLowering(node.expression)
          ? this.lowered(node.expression)
          : this.copy(node);
      case 'MemberExpression':
        return this.tested.has(node) ? this.writeMember(node) : this.copy(node);
      case 'CallExpression':
        return this.rawCall(node);
      case 'ExpressionStatement':
        this.unused.add(unwrap(node.expression));
        return this.copy(node);
      case 'Program':
      case 'BlockStatement':
      case 'StaticBlock':
      case 'SwitchCase':
        return this.writeList(node);
      case 'ClassBody':
        return this.writeList(node);
      case 'MethodDefinition':
        return this.writeMethod(node);
      case 'Property':
        return node.method ? this.writeMethod(node) : this.copy(node);
      case 'ForStatement':
        if (node.update) this.unused.add(unwrap(node.update));
        return this.writeLoop(node);
      case 'WhileStatement':
      case 'DoWhileStatement':
      case 'ForInStatement':
      case 'ForOfStatement':
        return this.writeLoop(node);
      case 'ImportDeclaration':
      case 'ExportNamedDeclaration':
      case 'ExportAllDeclaration':
      case 'ImportExpression':
        return this.writeImport(node);
    }
    return this.copy(node);
  }

  /** Copies a node's text, with its children written anew. */
  private copy(node: Node): Rope {
    return this.copyRange(node.start, node.end, children(node));
  }

  private copyRange(start: number, end: number, nodes: readonly Node[]): Rope {
    const rope: Rope = [];
    let at = start;
    for (const child of nodes) {
      this.copyText(rope, at, child.start);
      for (const piece of this.emit(child)) {
        if (typeof piece === 'string') rope.push(piece);
        else this.copyText(rope, piece.start, piece.end);
      }
      at = child.end;
    }
    this.copyText(rope, at, end);
    return rope;
  }

  private copyText(rope: Rope, start: number, end: number): void {
    if (start === end) return;
    const last = rope.at(-1);
    if (last !== undefined && typeof last !== 'string' && last.end === start) {
      rope[rope.length - 1] = { start: last.start, end };
    } else rope.push({ start, end });
  }

  /** Nodes of a list (arguments) with the text between them. */
  private list(nodes: readonly Node[]): Rope {
    if (nodes.length === 0) return [];
    return this.copyRange(nodes[0].start, nodes.at(-1).end, nodes);
  }

  /** Statements or class members: a new beginning must not continue the line before. */
  private writeList(node: Node): Rope {
    const rope: Rope = [];
    let at = node.start;
    let before: Node | undefined;
    for (const child of children(node)) {
      this.copyText(rope, at, child.start);
      const part = this.emit(child);
      const first = firstChar(part, this.source);
      const changed = typeof part[0] === 'string' && '([`+-/*'.includes(first);
      const isStar = child.type === 'MethodDefinition' && this.isGeneratorMethod(child);
      if (changed && child.type === 'ExpressionStatement') rope.push(';');
      else if (isStar && before?.type === 'PropertyDefinition') rope.push(';');
      for (const piece of part) {
        if (typeof piece === 'string') rope.push(piece);
        else this.copyText(rope, piece.start, piece.end);
      }
      before = child;
      at = child.end;
    }
    this.copyText(rope, at, node.end);
    return rope;
  }

  // Functions.

  private writeFunction(node: Node): Rope {
    if (!this.frame.isGenerator) return this.copy(node);
    this.usesRuntime = true;
    if (node.type === 'ArrowFunctionExpression') return this.writeArrow(node);
    const rope = this.copy(node);
    if (this.source.code.startsWith('function', node.start)) insertAt(rope, node.start + 8, '*');
    this.openBody(rope, node.body);
    return rope;
  }

  private writeArrow(node: Node): Rope {
    const params = this.list(node.params);
    const typeParameters = node.typeParameters ? this.source.text(node.typeParameters) : '';
    const returnType = node.returnType ? this.source.text(node.returnType) : '';
    const head: Rope = [`(function*${typeParameters}(`, ...params, `)${returnType} `];
    const tail = usesThisOf(node) ? ').bind(this)' : ')';
    if (node.body.type === 'BlockStatement') {
      const body = this.emit(node.body);
      this.openBody(body, node.body);
      return [...head, ...body, tail];
    }
    const body = this.emit(node.body);
    return [...head, `{${this.prologue(node)} return `, ...body, `; }`, tail];
  }

  /** Writes temporaries and the entry point behind the `{` and the directives of a body. */
  private openBody(rope: Rope, body: Node): void {
    let at = body.start + 1;
    for (const statement of body.body) {
      if (!statement.directive) break;
      at = statement.end;
    }
    insertAt(rope, at, `${at > body.start + 1 ? ';' : ''}${this.prologue(body)}`);
  }

  private prologue(node: Node): string {
    const names = Array.from({ length: this.frame.used }, (_, index) => `__rt_${index}`);
    const temporaries = names.length > 0 ? ` let ${names.join(', ')};` : '';
    return `${temporaries} yield __rt.point(${this.site(node, 'point')});`;
  }

  private writeMethod(node: Node): Rope {
    const rope = this.copy(node);
    if (this.isGeneratorMethod(node)) {
      const at = node.computed ? this.source.code.lastIndexOf('[', node.key.start) : node.key.start;
      insertAt(rope, at, '*');
    }
    return rope;
  }

  private isGeneratorMethod(node: Node): boolean {
    const fn = node.value && this.functions.of.get(node.value);
    return fn !== undefined && fn !== null && fn.rigid === null && fn.colour > 0;
  }

  private writeLoop(node: Node): Rope {
    if (!this.frame.isGenerator) return this.copy(node);
    const point = ` yield __rt.point(${this.site(node.body, 'point')});`;
    if (node.body.type === 'BlockStatement') {
      const rope = this.copy(node);
      insertAt(rope, node.body.start + 1, point);
      return rope;
    }
    const start = this.copyRange(node.start, node.body.start, this.before(node));
    const body = this.emit(node.body);
    const end = this.copyRange(node.body.end, node.end, this.after(node));
    return [...start, `{${point} `, ...body, ' }', ...end];
  }

  private before(node: Node): Node[] {
    return children(node).filter((child) => child.end <= node.body.start);
  }

  private after(node: Node): Node[] {
    return children(node).filter((child) => child.start >= node.body.end);
  }

  private writeImport(node: Node): Rope {
    const literal = node.source;
    const rope = this.copy(node);
    if (literal === null || literal.type !== 'Literal') return rope;
    const rewritten = this.options.rewriteImport(literal.value);
    if (rewritten === undefined || rewritten === literal.value) return rope;
    insertAt(rope, literal.end - 1, rewritten.slice(literal.value.length));
    return rope;
  }

  // Accesses and calls.

  private writeInfo(node: Node, info: Info): Rope | undefined {
    switch (info.kind) {
      case 'atomic':
        return this.atomic(node, info.method);
      case 'atomic-value': {
        this.usesRuntime = true;
        const site = this.site(node, info.method);
        return [`(function* (...args) { return yield __rt.${info.method}(${site}, ...args); })`];
      }
      case 'call':
        return this.call(node, info.callee);
      case 'method':
        if (!this.frame.isGenerator) {
          if (this.records) return this.recordedMethod(node, info);
          return (
            this.rigidAccess(node, unwrap(node.callee).object, info.certain) ??
            this.call(node, info.callee)
          );
        }
        return this.method(node, info);
      case 'read':
      case 'assign':
      case 'update':
        if (!this.frame.isGenerator) {
          const recorded = this.records ? this.recordedAccess(node, info) : undefined;
          return recorded ?? this.rigidAccess(node, info.member.object, info.certain);
        }
        this.usesRuntime = true;
        return info.kind === 'read'
          ? this.read(node, info.certain)
          : info.kind === 'assign'
            ? this.assign(node, info.member, info.certain)
            : this.update(node, info.member, info.certain);
    }
  }

  private atomic(node: Node, method: string): Rope {
    if (!this.frame.isGenerator) {
      this.refuse(node, `\`Atomics.${method}\` stands ${this.frame.fn.rigid}`);
      this.usesGuards = true;
      if (!this.records) return [`(__xf.stray(${this.where(node)}), `, ...this.copy(node), ')'];
    }
    this.usesRuntime = true;
    const args = this.list(node.arguments);
    const comma = args.length > 0 ? ', ' : '';
    if (!this.frame.isGenerator) {
      return [`__xf.now(__rt.${method}(${this.site(node, method)}${comma}`, ...args, '))'];
    }
    return [`(yield __rt.${method}(${this.site(node, method)}${comma}`, ...args, '))'];
  }

  /** An access in a rigid place: refused when certain, else guarded; undefined means "copy". */
  private rigidAccess(node: Node, receiver: Node, certain: boolean): undefined {
    if (certain) this.refuse(node, `shared memory is touched ${this.frame.fn.rigid}`);
    this.classified.guards.set(receiver, { kind: 'guard', certain: false, what: 'touched' });
    return undefined;
  }

  private get records(): boolean {
    return this.options.unsuspendable === 'record';
  }

  private recordedMethod(node: Node, info: Info & { kind: 'method' }): Rope {
    if (info.certain) this.refuse(node, `shared memory is touched ${this.frame.fn.rigid}`);
    this.usesRuntime = this.usesGuards = true;
    const head = `__xf.method(${this.site(node, info.op === 'bulk' ? 'bulk' : 'DataView')}, '${info.op}', `;
    const receiver = this.emit(unwrap(node.callee).object);
    return [head, ...receiver, `, '${info.method}', [`, ...this.list(node.arguments), '])'];
  }

  /** Only `m[i]` and `m[i] = v`; anything else throws when it meets shared memory. */
  private recordedAccess(
    node: Node,
    info: Info & { kind: 'read' | 'assign' | 'update' },
  ): Rope | undefined {
    if (info.kind === 'update' || (info.kind === 'assign' && node.operator !== '='))
      return undefined;
    if (info.certain) this.refuse(node, `shared memory is touched ${this.frame.fn.rigid}`);
    this.usesRuntime = this.usesGuards = true;
    const { object, property } = info.member;
    const name = info.kind === 'read' ? 'read' : 'write';
    const rope: Rope = [`__xf.${name}(${this.site(node, name)}, `, ...this.emit(object), ', '];
    rope.push(...this.emit(property));
    if (info.kind === 'assign') rope.push(', ', ...this.emit(node.right));
    return [...rope, ')'];
  }

  private guarded(node: Node, guard: Guard): Rope {
    this.passed.add(node);
    const rope = this.emit(node);
    this.passed.delete(node);
    if (guard.kind === 'callback') {
      if (colourOf(guard.callee, this.analysis.byName) === 0) return rope;
      this.warnings.push(
        this.source.problem(
          node.start,
          'a function that touches shared memory is handed to code that is not transformed',
          this.records
            ? 'It runs at once when that code calls it: nothing can come between.'
            : 'It throws when that code calls it. Call it from a CPU of the check instead.',
        ),
      );
      this.usesGuards = true;
      if (this.records) return ['__xf.runner(', ...rope, ')'];
      return ['__xf.callback(', ...rope, `, ${this.where(node)})`];
    }
    if (guard.certain) {
      this.refuse(node, `a view over shared memory is ${guard.what}`, 'Write a loop over indices.');
    }
    this.usesGuards = true;
    // What writes through the view (or is written through it) cannot be given a copy.
    if (this.records && !/touched|assigned|encodeInto|getRandomValues|assign/.test(guard.what)) {
      this.usesRuntime = true;
      return [`__xf.snapshot(${this.site(node, 'bulk')}, `, ...rope, ')'];
    }
    return ['__xf.plain(', ...rope, `, ${this.where(node)})`];
  }

  private read(node: Node, certain: boolean): Rope {
    const depth = this.frame.depth;
    const site = this.site(node, 'read');
    if (certain) {
      const rope: Rope = [
        `(yield __rt.read(${site}, `,
        ...this.emit(node.object),
        ', ',
        ...this.emit(node.property),
        '))',
      ];
      return rope;
    }
    const { before, object, index } = this.operands(node, false);
    this.frame.depth = depth;
    return [
      '(',
      ...before,
      `__rt.isShared(${object}) ? yield __rt.read(${site}, ${object}, ${index}) : ${object}[${index}])`,
    ];
  }

  private assign(node: Node, member: Node, certain: boolean): Rope {
    const depth = this.frame.depth;
    const site = this.site(node, 'write');
    const isUnused = this.unused.has(node);
    if (node.operator === '=') {
      if (certain) {
        return [
          `(yield __rt.write(${site}, `,
          ...this.emit(member.object),
          ', ',
          ...this.emit(member.property),
          ', ',
          ...this.emit(node.right),
          '))',
        ];
      }
      const { before, object, index } = this.operands(member, true);
      const right = this.emit(node.right);
      const value = this.stable(node.right) ?? this.temporary();
      const set: Rope = value === this.stable(node.right) ? [] : [`${value} = `, ...right, ', '];
      this.frame.depth = depth;
      const access = `__rt.isShared(${object}) ? yield __rt.write(${site}, ${object}, ${index}, ${value}) : ${object}[${index}] = ${value}`;
      return ['(', ...before, ...set, isUnused ? `${access})` : `(${access}), ${value})`];
    }
    const { before, object, index } = this.operands(member, true);
    const value = this.temporary();
    const shared = certain ? '' : this.temporary();
    const readSite = this.site(member, 'read');
    const get = certain
      ? `${value} = yield __rt.read(${readSite}, ${object}, ${index})`
      : `${shared} = __rt.isShared(${object}), ${value} = ${shared} ? yield __rt.read(${readSite}, ${object}, ${index}) : ${object}[${index}]`;
    const put = certain
      ? `yield __rt.write(${site}, ${object}, ${index}, ${value})`
      : `${shared} ? yield __rt.write(${site}, ${object}, ${index}, ${value}) : ${object}[${index}] = ${value}`;
    const right = this.emit(node.right);
    this.frame.depth = depth;
    const operator: string = node.operator.slice(0, -1);
    if (operator === '&&' || operator === '||' || operator === '??') {
      return [
        '(',
        ...before,
        `${get}, ${value} ${operator} (${value} = `,
        ...right,
        `, (${put}), ${value}))`,
      ];
    }
    return [
      '(',
      ...before,
      `${get}, ${value} = ${value} ${operator} (`,
      ...right,
      `), (${put}), ${value})`,
    ];
  }

  private update(node: Node, member: Node, certain: boolean): Rope {
    const depth = this.frame.depth;
    const site = this.site(node, 'write');
    const readSite = this.site(member, 'read');
    const { before, object, index } = this.operands(member, true);
    const value = this.temporary();
    const isPostfix = !node.prefix && !this.unused.has(node);
    const old = isPostfix ? this.temporary() : '';
    const step = isPostfix ? `${old} = ${value}${node.operator}` : `${node.operator}${value}`;
    const result = isPostfix ? old : value;
    this.frame.depth = depth;
    if (certain) {
      const get = `${value} = yield __rt.read(${readSite}, ${object}, ${index})`;
      return [
        '(',
        ...before,
        `${get}, ${step}, yield __rt.write(${site}, ${object}, ${index}, ${value}), ${result})`,
      ];
    }
    const access = `__rt.isShared(${object}) ? (${value} = yield __rt.read(${readSite}, ${object}, ${index}), ${step}, yield __rt.write(${site}, ${object}, ${index}, ${value})) : (${value} = ${object}[${index}], ${step}, ${object}[${index}] = ${value})`;
    return ['(', ...before, `(${access}), ${result})`];
  }

  /**
   * Object and index of `m[i]` as texts that may be repeated, and what has to be evaluated first.
   * `isLong`: other code runs between evaluation and use.
   */
  private operands(member: Node, isLong: boolean): { before: Rope; object: string; index: string } {
    const before: Rope = [];
    const indexIsSimple = this.simple(member.property) !== undefined;
    let object = isLong || !indexIsSimple ? this.stable(member.object) : this.simple(member.object);
    let index = isLong ? this.stable(member.property) : this.simple(member.property);
    if (object === undefined) {
      const rope = this.emit(member.object);
      object = this.temporary();
      before.push(`${object} = `, ...rope, ', ');
    }
    if (index === undefined) {
      const rope = this.emit(member.property);
      index = this.temporary();
      before.push(`${index} = `, ...rope, ', ');
    }
    return { before, object, index };
  }

  /** The text of an expression that may be evaluated twice without anything between. */
  private simple(node: Node): string | undefined {
    const inner = unwrap(node);
    const replacement = this.replaced.get(node) ?? this.replaced.get(inner);
    if (replacement !== undefined) return replacement;
    if (this.classified.guards.has(node)) return undefined;
    if (inner.type === 'Identifier' && this.scope.find(inner.name)?.kind !== 'import')
      return inner.name;
    if (inner.type === 'ThisExpression') return 'this';
    if (inner.type === 'Literal' && typeof inner.value !== 'object') return inner.raw;
    return undefined;
  }

  /** The same, when other code may run in between. */
  private stable(node: Node): string | undefined {
    const inner = unwrap(node);
    if (inner.type === 'Identifier' && this.replaced.get(node) === undefined) {
      const binding = this.scope.find(inner.name);
      if (binding === undefined || binding.assigned || binding.kind === 'import') return undefined;
    }
    return this.simple(node);
  }

  private method(node: Node, info: Info & { kind: 'method' }): Rope {
    this.usesRuntime = true;
    const depth = this.frame.depth;
    const callee = unwrap(node.callee);
    const site = this.site(
      node,
      info.op === 'bulk' ? 'bulk' : info.op === 'viewGet' ? 'DataView get' : 'DataView set',
    );
    const name = JSON.stringify(info.method);
    const bound = this.bound.get(node);
    const args = bound === undefined ? null : this.list(node.arguments);
    if (info.certain) {
      const receiver: Rope = bound === undefined ? this.emit(callee.object) : [bound[1]];
      return [
        `(yield __rt.${info.op}(${site}, `,
        ...receiver,
        `, ${name}, [`,
        ...(args ?? this.list(node.arguments)),
        ']))',
      ];
    }
    const before: Rope = [];
    let receiver = bound?.[1] ?? this.stable(callee.object);
    if (receiver === undefined) {
      const rope = this.emit(callee.object);
      receiver = this.temporary();
      before.push(`${receiver} = `, ...rope, ', ');
    }
    const given = args ?? this.list(node.arguments);
    const list = this.temporary();
    before.push(`${list} = [`, ...given, '], ');
    const result = this.temporary();
    this.frame.depth = depth;
    let test = `__rt.isShared(${receiver})`;
    if (info.method === 'set') {
      this.usesGuards = true;
      test = `__xf.isBulkSet(${receiver}, ${list})`;
    }
    const plain = `${receiver}.${info.method}(...${list})`;
    const isColoured = colourOf(info.callee, this.analysis.byName) > 0;
    const otherwise = isColoured
      ? `(${result} = ${plain}) instanceof __rt.Generator ? yield* ${result} : ${result}`
      : plain;
    return [
      '(',
      ...before,
      `${test} ? yield __rt.${info.op}(${site}, ${receiver}, ${name}, ${list}) : ${otherwise})`,
    ];
  }

  private call(node: Node, callee: Callee): Rope {
    const colour = colourOf(callee, this.analysis.byName);
    if (colour === 0) return node.type === 'CallExpression' ? this.rawCall(node) : this.copy(node);
    if (!this.frame.isGenerator) {
      if (colour === 2) {
        const name =
          callee.kind === 'function' || callee.kind === 'method' ? callee.fn.name : 'the function';
        this.refuse(
          node,
          `\`${name}\`, which touches shared memory, is called ${this.frame.fn.rigid}`,
        );
      }
      this.usesGuards = true;
      if (this.records) return ['__xf.run(', ...this.rawCall(node), ')'];
      return ['__xf.sync(', ...this.rawCall(node), `, ${this.where(node)})`];
    }
    this.usesRuntime = true;
    const depth = this.frame.depth;
    const rope = this.rawCall(node);
    this.frame.depth = depth;
    if (
      callee.kind === 'function' &&
      callee.fn.rigid === null &&
      (!node.optional || this.tested.has(node))
    ) {
      return ['(yield* ', ...rope, ')'];
    }
    const result = this.temporary();
    this.frame.depth = depth;
    return [
      `((${result} = `,
      ...rope,
      `) instanceof __rt.Generator ? yield* ${result} : ${result})`,
    ];
  }

  /** The call itself, before its result is looked at. */
  private rawCall(node: Node): Rope {
    if (node.type !== 'CallExpression') return this.copy(node);
    const bound = this.bound.get(node);
    if (bound !== undefined) {
      const args = this.list(node.arguments);
      return [`${bound[0]}.call(${bound[1]}${args.length > 0 ? ', ' : ''}`, ...args, ')'];
    }
    if (!this.tested.has(node)) return this.copy(node);
    return [...this.emit(node.callee), '(', ...this.list(node.arguments), ')'];
  }

  private writeMember(node: Node): Rope {
    const property = this.emit(node.property);
    return node.computed
      ? [...this.emit(node.object), '[', ...property, ']']
      : [...this.emit(node.object), '.', ...property];
  }

  // Optional chains.

  /** Whether a chain holds something to replace behind a `?.`. */
  private needsLowering(node: Node): boolean {
    let changes = false;
    for (let link = node; ; link = link.object ?? link.callee ?? link.expression) {
      if (
        link.type !== 'MemberExpression' &&
        link.type !== 'CallExpression' &&
        link.type !== 'TSNonNullExpression'
      ) {
        return false;
      }
      changes ||= this.changes(link);
      if (link.optional === true && changes) return true;
    }
  }

  private changes(node: Node): boolean {
    const info = this.classified.info.get(node);
    if (info === undefined) return false;
    if (info.kind === 'call') return colourOf(info.callee, this.analysis.byName) > 0;
    if (info.kind === 'atomic' || info.kind === 'atomic-value') return false;
    return true;
  }

  /** `a?.b[i]` as `((t = a) == null ? void 0 : t.b[i])`, innermost link first. */
  private lowered(node: Node): Rope {
    const link = this.innermostOptional(node);
    if (link === undefined) return this.emit(node);
    const depth = this.frame.depth;
    const head = this.testLink(link);
    this.tested.add(link);
    const rope: Rope = [...head, ...this.lowered(node), ')'];
    this.frame.depth = depth;
    return rope;
  }

  private testLink(link: Node): Rope {
    const callee = link.type === 'CallExpression' ? unwrap(link.callee) : undefined;
    if (callee?.type === 'MemberExpression' && callee.object.type !== 'Super') {
      const object = this.emit(callee.object);
      const receiver = this.temporary();
      this.replaced.set(callee.object, receiver);
      const property = callee.computed
        ? ['[', ...this.emit(callee.property), ']']
        : ['.', ...this.emit(callee.property)];
      const fn = this.temporary();
      this.bound.set(link, [fn, receiver]);
      return [
        `((${receiver} = `,
        ...object,
        `, ${fn} = ${receiver}`,
        ...property,
        ') == null ? void 0 : ',
      ];
    }
    const target = link.type === 'CallExpression' ? link.callee : link.object;
    const rope = this.emit(target);
    const temporary = this.temporary();
    this.replaced.set(target, temporary);
    return [`((${temporary} = `, ...rope, ') == null ? void 0 : '];
  }

  private innermostOptional(node: Node): Node | undefined {
    let found: Node | undefined;
    for (
      let link = node;
      link !== undefined;
      link = link.object ?? link.callee ?? link.expression
    ) {
      if (link.optional === true && !this.tested.has(link)) found = link;
      if (
        link.type !== 'MemberExpression' &&
        link.type !== 'CallExpression' &&
        link.type !== 'TSNonNullExpression'
      )
        break;
    }
    return found;
  }

  // Helpers.

  private temporary(): string {
    if (!this.frame.isGenerator) {
      // Nothing is suspended here, and each is used before anything else can run.
      return `__rt_s${this.moduleTemps++}`;
    }
    const { frame } = this;
    const name = `__rt_${frame.depth++}`;
    if (frame.depth > frame.used) frame.used = frame.depth;
    return name;
  }

  private site(node: Node, kind: string): string {
    const { line, column } = this.source.place(node.start);
    const text =
      kind === 'point' ? '' : this.source.text(node).replace(/\s+/g, ' ').slice(0, SITE_TEXT);
    this.sites.push({ line, column, kind, text, function: this.frame.fn.name });
    return `__rt_b + ${this.sites.length - 1}`;
  }

  private where(node: Node): string {
    const { file, line, column } = this.source.place(node.start);
    return JSON.stringify(`${file}:${line}:${column}`);
  }

  private refuse(
    node: Node,
    message: string,
    advice = 'Move it into a plain synchronous function (or method) and call that from a CPU of the check.',
  ): void {
    const problem = this.source.problem(node.start, `${message}: it cannot be suspended`, advice);
    (this.options.unsuspendable === 'error' ? this.problems : this.warnings).push(problem);
  }
}

function usesThisOf(arrow: Node): boolean {
  return usesThis(arrow.body) || arrow.params.some(usesThis);
}
