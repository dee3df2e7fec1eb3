/** The Vite plugin and Node's loader hooks: what they transform, what they leave, and the maps. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createServer, type ViteDevServer } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { initialize, load, resolve } from '../src/loader.ts';
import { explore } from '../src/vite.ts';

const FILES: Record<string, string> = {
  'ring.ts': `import { next } from './next.ts';
import type { Words } from './words.ts';
export class Ring {
  words: Words;
  constructor(words: Words) { this.words = words; }
  push(value: number): number {
    Atomics.store(this.words, next(this.words), value);
    return value;
  }
}
`,
  'next.ts': `import type { Words } from './words.ts';
export function next(words: Words): number { return words[0]!++ + 1; }
`,
  'words.ts': `export type Words = Int32Array<SharedArrayBuffer>;\n`,
  'plain.ts': `import { next } from './next.ts';\nexport const plain = (w: Int32Array<SharedArrayBuffer>): number => next(w);\n`,
  'bad.ts': `export class Bad {\n  constructor(w: Int32Array) { Atomics.store(w, 0, 1); }\n}\n`,
  'ring.check.ts': `import { Ring } from './ring.ts';\nexport const run = (r = new Ring(null!)): number => r.push(3);\n`,
};

let root = '';
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'interleave-'));
  for (const [name, code] of Object.entries(FILES)) writeFileSync(join(root, name), code);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('Vite', () => {
  let server: ViteDevServer;
  beforeAll(async () => {
    const quiet = { root, configFile: false, logLevel: 'silent' } as const;
    server = await createServer({
      ...quiet,
      plugins: [explore()],
      server: { middlewareMode: true, ws: false },
    });
  });
  afterAll(() => server.close());

  const transformed = async (path: string): Promise<string> =>
    (await server.transformRequest(join(root, path), { ssr: true }))!.code;

  test('a plain import stays as it is, beside an explored one', async () => {
    const bare = await createServer({
      root,
      configFile: false,
      logLevel: 'silent',
      server: { middlewareMode: true, ws: false },
    });
    const expected = (await bare.transformRequest(join(root, 'ring.ts'), { ssr: true }))!.code;
    await bare.close();
    expect(await transformed('ring.ts?explore')).toContain('*push(');
    expect(await transformed('ring.ts')).toBe(expected);
    expect(expected).not.toContain('yield');
  });

  test('relative imports of an explored module are explored too', async () => {
    expect(await transformed('ring.ts?explore')).toContain('next.ts?explore');
    expect(await transformed('next.ts?explore')).toContain('__rt');
    expect(await transformed('plain.ts')).not.toContain('?explore');
  });

  test('a check file is explored without the query, and so is what it imports', async () => {
    const code = await transformed('ring.check.ts');
    expect(code).toContain('ring.ts?explore');
    expect(code).toMatch(/function\* ?\(r = /);
  });

  test('when a function begins to touch shared memory, its unchanged callers follow', async () => {
    const use = 'next.ts';
    writeFileSync(
      join(root, 'caller.ts'),
      "import { add } from './added.ts';\nexport const caller = (w: Int32Array): number => add(w);\n",
    );
    const added = (body: string): void =>
      writeFileSync(
        join(root, 'added.ts'),
        `export function add(w: Int32Array): number { return ${body}; }\n`,
      );
    added('w.length');
    expect(await transformed('caller.ts?explore')).not.toContain('yield*');
    expect(await transformed('added.ts?explore')).not.toContain('yield');
    added('Atomics.load(w, 0)');
    await server.environments.ssr.pluginContainer.watchChange(join(root, 'added.ts'), {
      event: 'update',
    });
    server.environments.ssr.moduleGraph.onFileChange(join(root, 'added.ts'));
    expect(await transformed('added.ts?explore')).toContain('yield');
    expect(await transformed('caller.ts?explore')).toContain('yield*');
    expect(await transformed(use)).not.toContain('yield');
  });

  test('what cannot be suspended fails with its place', async () => {
    await expect(transformed('bad.ts?explore')).rejects.toThrow(/bad\.ts:2:\d+: .*constructor/);
  });

  test('the source map leads back to the original line', async () => {
    const result = (await server.transformRequest(join(root, 'next.ts?explore'), { ssr: true }))!;
    const map = result.map as { sources: string[]; sourcesContent?: string[]; mappings: string };
    expect(map.sources[0]).toMatch(/next\.ts/);
    expect(map.sourcesContent?.[0]).toBe(FILES['next.ts']);
    expect(map.mappings.split(';').some((line) => line.length > 0)).toBe(true);
  });
});

describe('Node', () => {
  const url = (name: string): string => pathToFileURL(join(root, name)).href;
  const never = (): never => {
    throw new Error('not followed');
  };

  test('imports of an explored module resolve to explored ones, also by compiled names', async () => {
    const context = { parentURL: `${url('ring.ts')}?explore` };
    expect((await resolve('./next.ts', context, never)).url).toBe(`${url('next.ts')}?explore`);
    expect((await resolve('./next.js', context, never)).url).toBe(`${url('next.ts')}?explore`);
  });

  test('other imports are left to Node', async () => {
    const answer = { url: 'node:fs' };
    expect(await resolve('node:fs', { parentURL: `${url('ring.ts')}?explore` }, () => answer)).toBe(
      answer,
    );
    expect(await resolve('./next.ts', { parentURL: url('plain.ts') }, () => answer)).toBe(answer);
    const loaded = { format: 'module', source: '' };
    expect(await load(url('plain.js'), {}, () => loaded)).toBe(loaded);
  });

  test('plain TypeScript is left to a Node that can run it, and is otherwise stripped of types', async () => {
    const byNode = { format: 'module', source: 'by Node' };
    const { source } = (await load(url('next.ts'), {}, () => byNode)) as { source: string };
    if ('typescript' in process.features && process.features.typescript) {
      expect(source).toBe('by Node');
    } else
      expect(source).toMatch(/^export function next\(words\) \{\s*return words\[0\]\+\+ \+ 1;/);
  });

  test('an explored module loads as JavaScript with an inline map', async () => {
    const loaded = (await load(`${url('ring.ts')}?explore`, {}, never)) as {
      source: string;
      format: string;
    };
    expect(loaded.format).toBe('module');
    expect(loaded.source).toContain('*push(value)');
    expect(loaded.source).toContain('sourceMappingURL=data:application/json;base64,');
    expect(loaded.source).not.toContain(': number');
  });

  test('what cannot be suspended is an error, or a warning when asked', async () => {
    await expect(load(`${url('bad.ts')}?explore`, {}, never)).rejects.toThrow(/bad\.ts:2:\d+/);
    initialize({ unsuspendable: 'record' });
    const loaded = (await load(`${url('bad.ts')}?explore`, {}, never)) as { source: string };
    expect(loaded.source).toContain('__xf.now(');
    initialize(undefined);
  });
});
