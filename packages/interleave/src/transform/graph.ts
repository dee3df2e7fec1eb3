/**
 * The modules that one exploration sees: the given file and, through `resolve`, everything it
 * imports (type-only imports too, because they say which classes a receiver may have).
 *
 * Invariant: a module is parsed once per content; `resolve` answers null for a module that stays
 * untransformed, and its functions then count as built-in.
 */

import { readFile } from 'node:fs/promises';
import { buildScopes, type Binding, type Scopes } from './scope.ts';
import { type Node, Source } from './source.ts';

/** The file that `specifier` means in `importer`, or null when that module stays as it is. */
export type Resolve = (
  specifier: string,
  importer: string,
) => string | null | undefined | Promise<string | null | undefined>;

export interface Module {
  readonly file: string;
  readonly source: Source;
  readonly scopes: Scopes;
  /** By specifier; null for a module outside. */
  readonly imports: Map<string, Module | null>;
}

/** A binding of a module's top level, or the module itself for `import * as`. */
export type Target =
  | { readonly kind: 'binding'; readonly module: Module; readonly binding: Binding }
  | { readonly kind: 'default'; readonly module: Module; readonly node: Node }
  | { readonly kind: 'namespace'; readonly module: Module }
  | { readonly kind: 'outside' };

export class Graph {
  /** By file, in the order of loading. */
  readonly modules: Map<string, Module> = new Map();
  /** Grows with every change; an analysis of an older version is stale. */
  version: number = 0;
  private isStale = false;
  private queue: Promise<unknown> = Promise.resolve();
  private readonly resolve: Resolve;

  constructor(resolve: Resolve) {
    this.resolve = resolve;
  }

  /**
   * Adds a file and what it imports, and uses it. With `code`, that text instead of the file's. One
   * after the other: a module is never seen while its imports are missing, nor forgotten in between.
   */
  load<T>(file: string, code: string | undefined, use: (module: Module) => T): Promise<T> {
    const loading = this.queue.then(async () => {
      if (this.isStale) this.modules.clear();
      this.isStale = false;
      return use(await this.enter(file, code));
    });
    this.queue = loading.catch(() => {});
    return loading;
  }

  /** Like `load` for one file whose imports are not looked at. */
  add(file: string, code: string): Module {
    const source = new Source(file, code);
    const module = { file, source, scopes: buildScopes(source), imports: new Map() };
    this.modules.set(file, module);
    this.version++;
    return module;
  }

  /**
   * A file has changed: when the graph holds it, everything is forgotten before the next load (others
   * know what was in it), and the answer is true.
   */
  forget(file: string): boolean {
    this.isStale ||= this.modules.has(file);
    return this.isStale;
  }

  private async enter(file: string, code?: string): Promise<Module> {
    const known = this.modules.get(file);
    if (known !== undefined && (code === undefined || known.source.code === code)) return known;
    const module = this.add(file, code ?? (await readFile(file, 'utf8')));
    // Known to `modules` before its imports, so that import cycles end.
    for (const specifier of specifiers(module.source.program)) {
      const target = await this.resolve(specifier, file);
      module.imports.set(specifier, typeof target === 'string' ? await this.enter(target) : null);
    }
    return module;
  }
}

/** Static import and re-export specifiers, each once. */
export function specifiers(program: Node): string[] {
  const found = new Set<string>();
  for (const statement of program.body) if (statement.source) found.add(statement.source.value);
  return [...found];
}

/** What an import specifier's local name stands for. */
export function importTarget(module: Module, specifier: Node): Target {
  const declaration = module.source.program.body.find(
    (one: Node) => one.type === 'ImportDeclaration' && one.specifiers.includes(specifier),
  );
  const from = module.imports.get(declaration?.source.value);
  if (from === null || from === undefined) return { kind: 'outside' };
  if (specifier.type === 'ImportNamespaceSpecifier') return { kind: 'namespace', module: from };
  const name =
    specifier.type === 'ImportDefaultSpecifier' ? 'default' : exportedName(specifier.imported);
  return findExport(from, name) ?? { kind: 'outside' };
}

/** Follows `name` through re-exports to where it is declared. */
export function findExport(
  module: Module,
  name: string,
  seen: Set<Module> = new Set(),
): Target | undefined {
  if (seen.has(module)) return undefined;
  seen.add(module);
  for (const statement of module.source.program.body) {
    if (statement.type === 'ExportDefaultDeclaration' && name === 'default') {
      const node = statement.declaration;
      const binding = node.id ? module.scopes.top.names.get(node.id.name) : undefined;
      if (binding !== undefined) return { kind: 'binding', module, binding };
      if (node.type === 'Identifier') return local(module, node.name);
      return { kind: 'default', module, node };
    }
    if (statement.type === 'ExportNamedDeclaration') {
      if (statement.declaration !== null) {
        const declared = statement.declaration.declarations === undefined;
        if (
          declared ? statement.declaration.id?.name === name : declares(statement.declaration, name)
        ) {
          return local(module, name);
        }
      }
      for (const one of statement.specifiers) {
        if (exportedName(one.exported) !== name) continue;
        if (statement.source === null) return local(module, exportedName(one.local));
        const from = module.imports.get(statement.source.value);
        return from ? findExport(from, exportedName(one.local), seen) : { kind: 'outside' };
      }
    }
    if (statement.type === 'ExportAllDeclaration') {
      const from = module.imports.get(statement.source.value);
      if (statement.exported !== null) {
        if (exportedName(statement.exported) !== name) continue;
        return from ? { kind: 'namespace', module: from } : { kind: 'outside' };
      }
      const found = from ? findExport(from, name, seen) : undefined;
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

/** A name of a module's own top level, imports followed. */
export function local(module: Module, name: string): Target | undefined {
  const binding = module.scopes.top.names.get(name);
  if (binding === undefined) return undefined;
  if (binding.kind === 'import') return importTarget(module, binding.node);
  return { kind: 'binding', module, binding };
}

/** The declaration of a type name (class, interface, alias) and its module. */
export function findType(module: Module, name: string): { module: Module; node: Node } | undefined {
  const own = module.scopes.types.get(name);
  if (own !== undefined) return { module, node: own };
  const binding = module.scopes.top.names.get(name);
  if (binding?.kind !== 'import' || binding.node.type === 'ImportNamespaceSpecifier')
    return undefined;
  const declaration = module.source.program.body.find(
    (one: Node) => one.type === 'ImportDeclaration' && one.specifiers.includes(binding.node),
  );
  const from = module.imports.get(declaration.source.value);
  const imported =
    binding.node.type === 'ImportDefaultSpecifier'
      ? 'default'
      : exportedName(binding.node.imported);
  return from ? exportedType(from, imported, new Set()) : undefined;
}

function exportedType(
  module: Module,
  name: string,
  seen: Set<Module>,
): { module: Module; node: Node } | undefined {
  if (seen.has(module)) return undefined;
  seen.add(module);
  const own = findType(module, name);
  if (own !== undefined) return own;
  for (const statement of module.source.program.body) {
    if (!statement.source) continue;
    const from = module.imports.get(statement.source.value);
    if (!from) continue;
    if (statement.type === 'ExportAllDeclaration' && statement.exported === null) {
      const found = exportedType(from, name, seen);
      if (found !== undefined) return found;
    }
    if (statement.type !== 'ExportNamedDeclaration') continue;
    for (const one of statement.specifiers) {
      if (exportedName(one.exported) === name)
        return exportedType(from, exportedName(one.local), seen);
    }
  }
  return undefined;
}

function exportedName(node: Node): string {
  return node.name ?? String(node.value);
}

function declares(declaration: Node, name: string): boolean {
  const has = (pattern: Node): boolean => {
    if (pattern === null) return false;
    if (pattern.type === 'Identifier') return pattern.name === name;
    if (pattern.type === 'AssignmentPattern') return has(pattern.left);
    if (pattern.type === 'RestElement') return has(pattern.argument);
    if (pattern.type === 'ArrayPattern') return pattern.elements.some(has);
    return pattern.properties.some((one: Node) => has(one.value ?? one.argument));
  };
  return declaration.declarations.some((one: Node) => has(one.id));
}
