/**
 * Hooks for Node's module loader: `import('./ring.ts?explore')` gives the module, and what it
 * imports relatively (or from a package in `include`), as code for virtual CPUs; files named
 * `*.check.ts` are explored without the query. Other TypeScript is left to Node; where Node cannot (20),
 * its types are stripped here, so that real workers can run the same scenario. Runs in the loader's
 * thread; see register.ts.
 */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describeProblem, Explorer, GUARDS, RUNTIME } from './transform/index.ts';
import { isTypeScript, stripTypes } from './transform/strip.ts';

export interface LoaderData {
  /** Packages that are explored when explored code imports them. */
  readonly include?: readonly string[];
  readonly unsuspendable?: 'error' | 'guard' | 'record';
}

interface ResolveContext {
  readonly parentURL?: string | undefined;
}
interface Resolved {
  readonly url: string;
  readonly format?: string | null | undefined;
  readonly shortCircuit?: boolean;
}
type NextResolve = (specifier: string, context?: ResolveContext) => Resolved | Promise<Resolved>;
interface Loaded {
  readonly format: string;
  readonly source: string;
  readonly shortCircuit: true;
}

const QUERY = /[?&]explore(?=&|$)/;
const CHECK = /\.check\.[cm]?[jt]sx?$/;

/** Whether this Node runs TypeScript by itself (22.18 and later). */
const loadsTypeScript = Boolean((process.features as { typescript?: unknown }).typescript);

let include: readonly string[] = (process.env['INTERLEAVE_INCLUDE'] ?? '')
  .split(',')
  .filter(Boolean);
let explorer = new Explorer(fileOf);

/** Called by Node with the `data` of `module.register`. */
export function initialize(data: LoaderData | undefined): void {
  if (data?.include !== undefined) include = data.include;
  explorer = new Explorer(fileOf, { unsuspendable: data?.unsuspendable ?? 'error' });
}

/** Node's resolve hook. */
export async function resolve(
  specifier: string,
  context: ResolveContext,
  next: NextResolve,
): Promise<Resolved> {
  // The explored code's own package need not depend on this one.
  if (specifier === RUNTIME || specifier === GUARDS)
    return next(specifier, { ...context, parentURL: import.meta.url });
  const parent = context.parentURL;
  const isFromExplored = parent !== undefined && isExplored(parent);
  if (!isFromExplored && !QUERY.test(specifier)) return next(specifier, context);
  const plain = specifier.replace(QUERY, '');
  const importer = parent === undefined ? process.cwd() + '/' : pathOf(parent);
  const file =
    fileOf(plain, importer) ??
    (QUERY.test(specifier) ? pathOf((await next(plain, context)).url) : null);
  if (file === null) return next(specifier, { ...context, parentURL: parent?.replace(QUERY, '') });
  const url = pathToFileURL(file).href;
  return { url: CHECK.test(url) ? url : `${url}?explore`, format: 'module', shortCircuit: true };
}

/** Node's load hook. */
export async function load<T>(
  url: string,
  context: unknown,
  next: (url: string, context?: unknown) => T | Promise<T>,
): Promise<Loaded | T> {
  if (!url.startsWith('file:')) return next(url, context);
  const file = pathOf(url);
  if (!isExplored(url)) {
    if (loadsTypeScript || !isTypeScript(file)) return next(url, context);
    const plain = await stripTypes(file, await readFile(file, 'utf8'), undefined);
    return { format: 'module', source: plain, shortCircuit: true };
  }
  const { code, map, warnings } = await explorer.transform(file);
  for (const warning of warnings)
    process.emitWarning(describeProblem(warning), 'InterleaveWarning');
  const source = await stripTypes(file, code, map);
  return { format: 'module', source, shortCircuit: true };
}

function isExplored(url: string): boolean {
  return QUERY.test(url) || CHECK.test(url);
}

function pathOf(url: string): string {
  const plain = url.replace(/\?.*$/, '');
  return plain.startsWith('file:') ? fileURLToPath(plain) : plain;
}

/** The file of an import that is followed, or null. */
function fileOf(specifier: string, importer: string): string | null {
  if (/^(\.|\/|file:)/.test(specifier)) {
    const base = pathToFileURL(importer);
    return withExtension(fileURLToPath(new URL(specifier, base)));
  }
  const isIncluded = include.some((one) => specifier === one || specifier.startsWith(`${one}/`));
  if (!isIncluded) return null;
  return createRequire(importer).resolve(specifier);
}

/** A file as named, or the source that a compiled name stands for. */
function withExtension(path: string): string | null {
  const candidates = [
    path,
    path.replace(/\.([cm]?)js$/, '.$1ts'),
    `${path}.ts`,
    `${path}.js`,
    `${path}/index.ts`,
    `${path}/index.js`,
  ];
  return candidates.find((one) => /\.[cm]?[jt]sx?$/.test(one) && existsSync(one)) ?? null;
}
