/**
 * The Vite plugin. `import { Ring } from './ring.ts?explore'` gives the module as code for virtual
 * CPUs, and whatever it imports relatively (or from a package in `include`) with it. Files named
 * `*.check.ts` are explored without the query, and so is what they import. Every other module,
 * and every production build, is left as it is, to the byte.
 */

import { fileURLToPath } from 'node:url';
import type { Plugin, ViteDevServer } from 'vite';
import {
  describeProblem,
  type ExploreOptions,
  Explorer,
  GUARDS,
  RUNTIME,
} from './transform/index.ts';

export interface ExplorePluginOptions extends ExploreOptions {
  /**
   * What explored modules import from elsewhere and is explored too: package names (`'my-ring'`
   * covers `'my-ring/sub'`), or patterns of file paths. Relative imports always are.
   */
  readonly include?: readonly (string | RegExp)[];
  /** Files that are explored without `?explore`. Default: `*.check.ts`, `*.check.js`. */
  readonly checks?: RegExp;
}

/** What `resolve` of a plugin context answers. */
type ResolveId = (
  source: string,
  importer: string | undefined,
  options: { skipSelf: boolean },
) => Promise<{ id: string; external?: unknown } | null>;

const CODE = /\.[cm]?[jt]sx?$/;
const QUERY = /[?&]explore(?=&|$)/;

/** Explores `?explore` imports and check files. Put it into `plugins` of the Vitest config. */
export function explore(options: ExplorePluginOptions = {}): Plugin {
  const checks = options.checks ?? /\.check\.[cm]?[jt]sx?$/;
  const include = options.include ?? [];
  const isExplored = (id: string): boolean => QUERY.test(id) || checks.test(id);
  const follows = (specifier: string): boolean =>
    /^[./#]/.test(specifier) ||
    include.some(
      (one) => typeof one === 'string' && (specifier === one || specifier.startsWith(`${one}/`)),
    );
  const matches = (file: string): boolean =>
    include.some((one) => typeof one !== 'string' && one.test(file));

  /** The file that an explored module's import means, if that module is explored too. */
  const target = async (
    resolve: ResolveId,
    specifier: string,
    importer: string,
  ): Promise<string | null> => {
    if (specifier === RUNTIME || specifier === GUARDS) return null;
    const plain = specifier.replace(QUERY, '');
    const resolved = await resolve(plain, importer, { skipSelf: true });
    if (resolved === null || resolved.external) return null;
    const file = withoutQuery(resolved.id);
    if (resolved.id !== file || !CODE.test(file)) return null;
    return follows(plain) || plain !== specifier || matches(file) ? file : null;
  };

  let resolve: ResolveId | undefined;
  let server: ViteDevServer | undefined;
  const explorer = new Explorer(
    (specifier, importer) => target(resolve!, specifier, importer),
    options,
  );

  return {
    name: 'umbuf:interleave',
    enforce: 'pre',
    async resolveId(source, importer) {
      const find = this.resolve.bind(this) as ResolveId;
      if (importer === undefined) return null;
      if (source === RUNTIME || source === GUARDS) {
        // The explored code's own package need not depend on this one.
        const found = await find(source, importer, { skipSelf: true }).catch(() => null);
        return found?.id ?? ownModule(source);
      }
      if (!QUERY.test(source) && !isExplored(importer)) return null;
      const file = await target(find, source, withoutQuery(importer));
      return file === null ? null : checks.test(file) ? file : `${file}?explore`;
    },
    async transform(code, id) {
      if (!isExplored(id)) return null;
      const file = withoutQuery(id);
      if (!CODE.test(file)) return null;
      resolve = this.resolve.bind(this) as ResolveId;
      const result = await explorer.transform(file, code);
      for (const warning of result.warnings) this.warn(describeProblem(warning));
      return { code: result.code, map: JSON.parse(result.map.toString()) };
    },
    configureServer(started) {
      server = started;
    },
    watchChange(id) {
      // A function may have become a generator: who calls it is transformed anew, changed or not.
      if (!explorer.forget(withoutQuery(id))) return;
      for (const { moduleGraph } of Object.values(server?.environments ?? {})) {
        for (const module of moduleGraph.idToModuleMap.values()) {
          if (module.id !== null && isExplored(module.id)) moduleGraph.invalidateModule(module);
        }
      }
    },
  };
}

function withoutQuery(id: string): string {
  const at = id.indexOf('?');
  return at < 0 ? id : id.slice(0, at);
}

/** The runtime or the guards beside this file: sources beside a source, `dist` beside `dist`. */
function ownModule(specifier: string): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const path = specifier === RUNTIME ? 'runtime/index' : 'transform/guards';
  return fileURLToPath(new URL(`./${path}.${extension}`, import.meta.url));
}
