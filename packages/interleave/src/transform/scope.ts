/**
 * Scopes and bindings of one module, by ECMAScript's rules (var and function hoisting, blocks,
 * parameters, catch, classes). Built once after parsing; read by `types/` and `classify/`.
 *
 * Invariant: `assigned` is true for every binding that is written after its declaration, so a
 * binding with `assigned === false` may be read twice without a temporary.
 */

import { markAssigned } from './assigned.ts';
import { children, isFunction, type Node, type Source } from './source.ts';

export type BindingKind =
  | 'const'
  | 'let'
  | 'var'
  | 'param'
  | 'function'
  | 'class'
  | 'import'
  | 'catch';

export interface Binding {
  readonly name: string;
  readonly kind: BindingKind;
  /** Declarator, function, class or import specifier. */
  readonly node: Node;
  /** The identifier in the pattern; it may carry a type annotation. */
  readonly id: Node;
  readonly scope: Scope;
  /** Keys from the declarator's init (or the parameter) down to this name; null is un-nameable. */
  readonly path: readonly (string | null)[];
  /** The outermost pattern: its annotation is where `path` starts. */
  readonly pattern: Node;
  assigned: boolean;
}

export class Scope {
  readonly parent: Scope | null;
  /** Function (or program, or class part) that the scope belongs to. */
  readonly owner: Node;
  /** The class whose instance (or, with `isStatic`, constructor) `this` is, if known. */
  readonly self: Node | null;
  readonly isStatic: boolean;
  readonly names: Map<string, Binding> = new Map();

  constructor(parent: Scope | null, owner: Node, self: Node | null, isStatic: boolean) {
    this.parent = parent;
    this.owner = owner;
    this.self = self;
    this.isStatic = isStatic;
  }

  find(name: string): Binding | undefined {
    return this.names.get(name) ?? this.parent?.find(name);
  }
}

export interface Scopes {
  /** What the declarator of a `for ... of` loop runs over. */
  readonly iterated: Map<Node, Node>;
  readonly top: Scope;
  /** The scope that a node opens (functions, blocks, loops, catch, classes, the program). */
  readonly of: Map<Node, Scope>;
  /** Interfaces, type aliases and classes of the top level, by name. */
  readonly types: Map<string, Node>;
}

/** Builds all scopes of a module. */
export function buildScopes(source: Source): Scopes {
  const top = new Scope(null, source.program, null, false);
  const scopes: Scopes = {
    top,
    of: new Map([[source.program, top]]),
    types: new Map(),
    iterated: new Map(),
  };
  declareStatements(source.program.body, top, top, scopes);
  for (const statement of source.program.body) {
    collectType(statement.declaration ?? statement, scopes.types);
  }
  markAssigned(source.program, top, scopes);
  return scopes;
}

function collectType(node: Node, types: Map<string, Node>): void {
  if (
    node.type === 'TSInterfaceDeclaration' ||
    node.type === 'TSTypeAliasDeclaration' ||
    node.type === 'ClassDeclaration'
  ) {
    if (node.id !== null) types.set(node.id.name, node);
  }
}

function declareStatements(nodes: Node[], scope: Scope, hoist: Scope, scopes: Scopes): void {
  for (const node of nodes) declare(node, scope, hoist, scopes);
}

/** Declares what `node` introduces and descends; `hoist` takes `var`, `scope` the rest. */
function declare(node: Node, scope: Scope, hoist: Scope, scopes: Scopes): void {
  switch (node.type) {
    case 'ImportDeclaration':
      for (const one of node.specifiers) add(scope, one.local, 'import', one, [], one.local);
      return;
    case 'VariableDeclaration':
      for (const declarator of node.declarations) {
        const kind = node.kind === 'let' || node.kind === 'var' ? node.kind : 'const';
        declarePattern(kind === 'var' ? hoist : scope, declarator.id, kind, declarator);
      }
      break;
    case 'ClassDeclaration':
    case 'ClassExpression':
      declareClass(node, scope, scopes);
      return;
    case 'BlockStatement':
    case 'ForStatement':
    case 'ForInStatement':
    case 'ForOfStatement':
    case 'SwitchStatement':
    case 'CatchClause':
    case 'TSModuleBlock': {
      const inner = open(node, scope, scopes, scope.owner);
      if (node.type === 'ForOfStatement' && node.left.type === 'VariableDeclaration') {
        scopes.iterated.set(node.left.declarations[0], node.right);
      }
      if (node.type === 'CatchClause' && node.param !== null) {
        declarePattern(inner, node.param, 'catch', node);
      }
      declareStatements(children(node), inner, hoist, scopes);
      return;
    }
  }
  if (isFunction(node)) {
    if (node.type === 'FunctionDeclaration') add(scope, node.id, 'function', node, [], node.id);
    const isArrow = node.type === 'ArrowFunctionExpression';
    const inner = new Scope(
      scope,
      node,
      isArrow ? scope.self : methodSelf(node, scope),
      scope.isStatic,
    );
    scopes.of.set(node, inner);
    if (node.type === 'FunctionExpression' && node.id !== null) {
      add(inner, node.id, 'function', node, [], node.id);
    }
    for (const param of node.params) declarePattern(inner, param, 'param', node);
    for (const param of node.params) declare(param, inner, inner, scopes);
    if (node.body === null) return;
    if (node.body.type === 'BlockStatement') {
      // Parameters and body share one scope: shadowing a parameter by `var` is the same binding.
      scopes.of.set(node.body, inner);
      declareStatements(node.body.body, inner, inner, scopes);
    } else declare(node.body, inner, inner, scopes);
    return;
  }
  declareStatements(children(node), scope, hoist, scopes);
}

/** A method keeps its class's `this`; any other non-arrow function has an unknown one. */
function methodSelf(node: Node, scope: Scope): Node | null {
  return scope.self !== null && methods.has(node) ? scope.self : null;
}
const methods = new WeakSet<object>();

function declareClass(node: Node, scope: Scope, scopes: Scopes): void {
  if (node.type === 'ClassDeclaration' && node.id !== null)
    add(scope, node.id, 'class', node, [], node.id);
  const inner = new Scope(scope, scope.owner, scope.self, scope.isStatic);
  scopes.of.set(node, inner);
  if (node.id !== null) add(inner, node.id, 'class', node, [], node.id);
  if (node.superClass !== null) declare(node.superClass, inner, inner, scopes);
  for (const member of node.body.body) {
    const body = new Scope(
      inner,
      member,
      node,
      member.type === 'StaticBlock' || member.static === true,
    );
    scopes.of.set(member, body);
    if (member.type === 'MethodDefinition') methods.add(member.value);
    declareStatements(children(member), body, body, scopes);
  }
}

function open(node: Node, parent: Scope, scopes: Scopes, owner: Node): Scope {
  const scope = new Scope(parent, owner, parent.self, parent.isStatic);
  scopes.of.set(node, scope);
  return scope;
}

function add(
  scope: Scope,
  id: Node,
  kind: BindingKind,
  node: Node,
  path: readonly (string | null)[],
  pattern: Node,
): void {
  if (id === null) return;
  const before = scope.names.get(id.name);
  // Two declarations of one name (var, function): treat the value as unknown.
  const assigned = before !== undefined && before.node !== node;
  scope.names.set(id.name, { name: id.name, kind, node, id, scope, path, pattern, assigned });
}

function declarePattern(scope: Scope, pattern: Node, kind: BindingKind, node: Node): void {
  const walk = (part: Node, path: readonly (string | null)[]): void => {
    switch (part.type) {
      case 'Identifier':
        add(scope, part, kind, node, path, pattern);
        return;
      case 'AssignmentPattern':
        // A default makes the type a mixture; only the outermost annotation still holds.
        walk(part.left, path);
        return;
      case 'RestElement':
        walk(part.argument, [...path, null]);
        return;
      case 'ArrayPattern':
        for (const one of part.elements) if (one !== null) walk(one, [...path, null]);
        return;
      case 'ObjectPattern':
        for (const one of part.properties) {
          if (one.type === 'RestElement') walk(one.argument, [...path, null]);
          else
            walk(one.value, [
              ...path,
              one.computed ? null : (one.key.name ?? String(one.key.value)),
            ]);
        }
        return;
    }
  };
  walk(pattern, []);
}
