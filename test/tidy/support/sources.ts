/** The project's files as the tidy checks read them: by package, with their text and syntax tree. */

import { readdirSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync, visitorKeys } from 'oxc-parser';

/** The repository, with a slash at the end. */
export const ROOT: string = fileURLToPath(new URL('../../../', import.meta.url));

export interface Source {
  /** From the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

/** A node of the syntax tree, as much of it as the checks need. */
export interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

/** What a check found: `path:line: message`. */
export type Problem = string;

/** Names of all packages. */
export function packageNames(): string[] {
  return readdirSync(`${ROOT}packages`).toSorted();
}

/** The files under `folder` (from the repository) whose names end in one of `endings`. */
export function sourcesIn(folder: string, ...endings: string[]): Source[] {
  const sources: Source[] = [];
  for (const entry of readdirSync(ROOT + folder, { recursive: true, withFileTypes: true })) {
    const path = relative(ROOT, `${entry.parentPath}/${entry.name}`).replaceAll('\\', '/');
    if (!entry.isFile() || /(^|\/)(dist|node_modules)\//.test(path)) continue;
    if (endings.some((ending) => path.endsWith(ending))) {
      sources.push({ path, text: readFileSync(ROOT + path, 'utf8') });
    }
  }
  return sources.toSorted((a, b) => a.path.localeCompare(b.path));
}

/** TypeScript sources of a package, without generated ones. */
export function packageSources(name: string): Source[] {
  return sourcesIn(`packages/${name}/src`, '.ts').filter(
    (source) => !source.path.endsWith('.generated.ts'),
  );
}

/** The syntax tree of a source; throws where it is none. */
export function parse(source: Source): Node {
  const { program, errors } = parseSync(source.path, source.text, {
    lang: 'ts',
    sourceType: 'module',
  });
  if (errors.length > 0) throw new Error(`${source.path}: ${errors[0]!.message}`);
  return program as unknown as Node;
}

/** The children of a node, in the order of the text. */
export function children(node: Node): Node[] {
  const found: Node[] = [];
  for (const key of visitorKeys[node.type] ?? []) {
    const value = node[key];
    for (const child of Array.isArray(value) ? value : [value]) {
      if (child !== null && typeof child === 'object') found.push(child as Node);
    }
  }
  return found;
}

/** Calls `visit` for the node and all below it; those below are skipped when it returns false. */
export function walk(node: Node, visit: (node: Node) => boolean | void): void {
  if (visit(node) === false) return;
  for (const child of children(node)) walk(child, visit);
}

/** 1-based line of an offset. */
export function lineOf(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at >= 0 && at < offset; at = text.indexOf('\n', at + 1)) line++;
  return line;
}

/** `Atomics.x` of a call's callee: `x`, else undefined. */
export function atomicsMethod(call: Node): string | undefined {
  const callee = call['callee'] as Node | undefined;
  if (callee?.type !== 'MemberExpression' || callee['computed'] === true) return undefined;
  const object = callee['object'] as Node;
  if (object.type !== 'Identifier' || object['name'] !== 'Atomics') return undefined;
  return String((callee['property'] as Node)['name']);
}
