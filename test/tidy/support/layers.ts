/** The layers of docs/architecture/layers.md, read from its table, and what breaks their order. */

import { lineOf, type Node, parse, type Problem, type Source, walk } from './sources.ts';

export interface Layer {
  readonly name: string;
  /** Packages of ours that it may import. */
  readonly ours: readonly string[];
  /** Packages from npm that it may depend on at run time. */
  readonly npm: readonly string[];
}

/** As much of a package.json as the check reads. */
export interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const SCOPE = '@umbuf/';

/** The rows `| rank | package | may import | from npm at run time |`, the lowest rank first. */
export function readLayers(markdown: string): Layer[] {
  const layers: Layer[] = [];
  for (const line of markdown.split('\n')) {
    const [, rank = '', name = '', ours = '', npm = ''] = line
      .split('|')
      .map((cell) => cell.trim());
    if (!/^(\d+|-)$/.test(rank)) continue;
    const above = layers.map((layer) => layer.name);
    layers.push({ name, ours: ours === 'all of the above' ? above : names(ours), npm: names(npm) });
  }
  return layers;
}

/** `memory, stats (not uma); a remark` is memory and stats; `nothing` and `nothing of ours` none. */
function names(cell: string): string[] {
  const plain = cell.replace(/\(.*?\)/g, '').replace(/;.*/, '');
  return plain
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '' && !name.startsWith('nothing'));
}

/** Dependencies of a package that its layer does not have. */
export function manifestProblems(layer: Layer, manifest: Manifest): Problem[] {
  const problems: Problem[] = [];
  for (const name of Object.keys(manifest.dependencies ?? {})) {
    const allowed = name.startsWith(SCOPE)
      ? layer.ours.includes(name.slice(SCOPE.length))
      : layer.npm.includes(name);
    if (!allowed) problems.push(`packages/${layer.name}/package.json: depends on ${name}`);
  }
  return problems;
}

/** Imports of a source that its layer or its package.json does not have. */
export function importProblems(layer: Layer, manifest: Manifest, source: Source): Problem[] {
  const problems: Problem[] = [];
  const { dependencies = {}, peerDependencies = {} } = manifest;
  for (const { name, at } of importsOf(source)) {
    const wrong = (message: string): void => {
      problems.push(`${source.path}:${lineOf(source.text, at)}: ${message}`);
    };
    if (name.startsWith('.')) {
      if (!name.endsWith('.ts')) wrong(`imports ${name} without its .ts ending`);
      continue;
    }
    if (name.startsWith('node:')) continue;
    const [first = '', second = ''] = name.split('/');
    const target = first.startsWith('@') ? `${first}/${second}` : first;
    if (target === SCOPE + layer.name) continue;
    if (target.startsWith(SCOPE) && !layer.ours.includes(second)) wrong(`imports ${target} upward`);
    else if (!(target in dependencies) && !(target in peerDependencies)) {
      wrong(`imports ${target}, which its package.json does not have`);
    }
  }
  return problems;
}

/** Imports of `node:` modules, for sources that browser workers run too. */
export function nodeImportProblems(source: Source): Problem[] {
  return importsOf(source)
    .filter(({ name }) => name.startsWith('node:'))
    .map(({ name, at }) => `${source.path}:${lineOf(source.text, at)}: imports ${name}`);
}

const IMPORTS = new Set([
  'ImportDeclaration',
  'ExportNamedDeclaration',
  'ExportAllDeclaration',
  'ImportExpression',
]);

function importsOf(source: Source): { name: string; at: number }[] {
  const imports: { name: string; at: number }[] = [];
  walk(parse(source), (node) => {
    const from = node['source'] as Node | null | undefined;
    if (IMPORTS.has(node.type) && from?.type === 'Literal') {
      imports.push({ name: String(from['value']), at: node.start });
    }
  });
  return imports;
}
