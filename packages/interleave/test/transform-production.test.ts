/**
 * The production sources of the allocator go through the transform: no error, valid code, and
 * nearly every access known statically, so that exploring them is cheap.
 */

import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'oxc-parser';
import { describe, expect, test } from 'vitest';
import { Explorer } from '../src/transform/index.ts';

const packages = fileURLToPath(new URL('../../', import.meta.url));

function filesOf(name: string): string[] {
  const root = join(packages, name, 'src');
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => join(root, file))
    .sort();
}

/** As the Vite plugin would: relative imports, and the allocator's packages by their sources. */
function follow(specifier: string, importer: string): string | null {
  const name = /^@umbuf\/(memory|stats|uma|mbuf)$/.exec(specifier)?.[1];
  const file =
    name === undefined
      ? resolve(dirname(importer), specifier)
      : join(packages, name, 'src/index.ts');
  return (name !== undefined || specifier.startsWith('.')) && existsSync(file) ? file : null;
}

for (const name of ['memory', 'uma', 'mbuf']) {
  describe(name, () => {
    test('every source transforms into valid code', async () => {
      const explorer = new Explorer(follow, { unsuspendable: 'record' });
      let sites = 0;
      for (const file of filesOf(name)) {
        const result = await explorer.transform(file);
        const parsed = parseSync(file, result.code, { lang: 'ts', sourceType: 'module' });
        expect(parsed.errors, file).toEqual([]);
        expect(result.map.sources).toEqual([file]);
        sites += result.sites.length;
      }
      expect(sites).toBeGreaterThan(100);
    });
  });
}

test('the mutex has no access of unknown type, and calls its own functions directly', async () => {
  const explorer = new Explorer(follow);
  const { code, sites } = await explorer.transform(join(packages, 'memory/src/sync/mutex.ts'));
  expect(code).not.toContain('isShared(');
  expect(code).toMatch(/\(yield\* lockContended\(cpu, lock, slot\)\)/);
  expect(sites.filter(({ kind }) => kind === 'compareExchange').length).toBeGreaterThanOrEqual(3);
});
