/**
 * Types out, for Node without Vite's server. Node's own `module.stripTypeScriptTypes` (22.13 and
 * later) keeps every position; on Node 20 it is missing, and the compiler that comes with Vite does
 * it.
 */

import * as nodeModule from 'node:module';
import type { SourceMap } from 'magic-string';

type Strip = (code: string, options: { mode: 'strip' }) => string;

type Compile = (
  code: string,
  file: string,
  options: object,
  map: object | undefined,
) => Promise<{ readonly code: string; readonly map: unknown }>;

/** What Vite exports: one of the two is there, or works. */
interface Compilers {
  readonly transformWithOxc?: Compile;
  readonly transformWithEsbuild: Compile;
}

const native = (nodeModule as unknown as { stripTypeScriptTypes?: Strip }).stripTypeScriptTypes;

export function isTypeScript(file: string): boolean {
  return /\.[cm]?tsx?$/.test(file);
}

/** JavaScript of a module, with its source map inline; without a map it is the source itself. */
export async function stripTypes(
  file: string,
  code: string,
  map: SourceMap | undefined,
): Promise<string> {
  if (!isTypeScript(file)) return withMap(code, map?.toString());
  if (native !== undefined && !file.endsWith('x')) {
    return withMap(native(code, { mode: 'strip' }), map?.toString());
  }
  const vite = (await import('vite').catch(() => {
    throw new Error(
      `${file}: TypeScript cannot be stripped here. Use Node 22.13 or later, or install vite (its compiler is used).`,
    );
  })) as unknown as Compilers;
  const lang = file.endsWith('x') ? 'tsx' : 'ts';
  const from: object | undefined = map && JSON.parse(map.toString());
  // Vite 8 comes with oxc, the ones before it with esbuild.
  const result = await (vite.transformWithOxc === undefined
    ? vite.transformWithEsbuild(
        code,
        file,
        {
          loader: lang,
          target: 'esnext',
          sourcemap: true,
          tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
        },
        from,
      )
    : vite.transformWithOxc(
        code,
        file,
        { lang, sourcemap: true, tsconfig: false, typescript: { onlyRemoveTypeImports: true } },
        from,
      ));
  return withMap(result.code, JSON.stringify(result.map));
}

function withMap(code: string, map: string | undefined): string {
  if (map === undefined) return code;
  const data = Buffer.from(map).toString('base64');
  return `${code}\n//# sourceMappingURL=data:application/json;base64,${data}\n`;
}
