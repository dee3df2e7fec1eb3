/**
 * Types out, for Node without Vite. Node's own `module.stripTypeScriptTypes` (22.13 and later)
 * keeps every position; on Node 20 it is missing and esbuild, which comes with Vite, does it.
 */

import * as nodeModule from 'node:module';
import type { SourceMap } from 'magic-string';

type Strip = (code: string, options: { mode: 'strip' }) => string;

const native = (nodeModule as unknown as { stripTypeScriptTypes?: Strip }).stripTypeScriptTypes;

/** JavaScript of a transformed module, with its source map inline. */
export async function stripTypes(file: string, code: string, map: SourceMap): Promise<string> {
  if (!/\.[cm]?tsx?$/.test(file)) return withMap(code, map.toString());
  if (native !== undefined && !file.endsWith('x')) {
    return withMap(native(code, { mode: 'strip' }), map.toString());
  }
  const vite = await import('vite').catch(() => {
    throw new Error(
      `${file}: TypeScript cannot be stripped here. Use Node 22.13 or later, or install vite (its esbuild is used).`,
    );
  });
  const options = {
    loader: file.endsWith('x') ? 'tsx' : 'ts',
    target: 'esnext',
    sourcemap: true,
  } as const;
  const result = await vite.transformWithEsbuild(
    code,
    file,
    { ...options, tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } } },
    JSON.parse(map.toString()),
  );
  return withMap(result.code, JSON.stringify(result.map));
}

function withMap(code: string, map: string): string {
  const data = Buffer.from(map).toString('base64');
  return `${code}\n//# sourceMappingURL=data:application/json;base64,${data}\n`;
}
