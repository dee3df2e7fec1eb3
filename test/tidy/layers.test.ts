/** The order of docs/architecture/layers.md holds in every package.json and every import. */

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  importProblems,
  type Layer,
  type Manifest,
  manifestProblems,
  nodeImportProblems,
  readLayers,
} from './support/layers.ts';
import { packageNames, packageSources, ROOT, sourcesIn } from './support/sources.ts';

const layers = readLayers(readFileSync(`${ROOT}docs/architecture/layers.md`, 'utf8'));

function manifestOf(name: string): Manifest {
  return JSON.parse(readFileSync(`${ROOT}packages/${name}/package.json`, 'utf8')) as Manifest;
}

test('the page names every package, and each only packages above it', () => {
  expect(layers.map((layer) => layer.name).toSorted()).toEqual(packageNames());
  for (const [index, { name, ours }] of layers.entries()) {
    const above = layers.slice(0, index).map((layer) => layer.name);
    for (const other of ours) expect(above, `${name} may import ${other}`).toContain(other);
  }
});

test.each(layers)('$name depends on and imports what its layer has', (layer) => {
  const manifest = manifestOf(layer.name);
  expect(manifestProblems(layer, manifest)).toEqual([]);
  const sources = packageSources(layer.name);
  expect(sources.length).toBeGreaterThan(0);
  expect(sources.flatMap((source) => importProblems(layer, manifest, source))).toEqual([]);
});

test.each([
  'memory/src',
  'stats/src',
  'tracing/src',
  'uma/src',
  'mbuf/src',
  'interleave/src/runtime',
])('%s imports nothing from node:', (folder) => {
  const sources = sourcesIn(`packages/${folder}`, '.ts');
  expect(sources.length).toBeGreaterThan(0);
  expect(sources.flatMap(nodeImportProblems)).toEqual([]);
});

const sample: Layer = { name: 'uma', ours: ['memory', 'stats'], npm: ['piscina'] };

test('the table is read with its remarks left out', () => {
  expect(
    readLayers(
      '| - | x | nothing of ours | a, b; only tests |\n| 3 | y | x (not z) | nothing |\n' +
        '| 4 | z | all of the above | c (why) |\n| rank | package | may import | |\n',
    ),
  ).toEqual([
    { name: 'x', ours: [], npm: ['a', 'b'] },
    { name: 'y', ours: ['x'], npm: [] },
    { name: 'z', ours: ['x', 'y'], npm: ['c'] },
  ]);
});

test('a dependency that the layer does not have is found', () => {
  const dependencies = { '@umbuf/memory': '1', '@umbuf/mbuf': '1', piscina: '1', lodash: '1' };
  expect(manifestProblems(sample, { dependencies })).toEqual([
    'packages/uma/package.json: depends on @umbuf/mbuf',
    'packages/uma/package.json: depends on lodash',
  ]);
});

test('imports upward, undeclared, from node: or without an ending are found', () => {
  const text = [
    "import { a } from '@umbuf/memory';",
    "import type { b } from '@umbuf/mbuf';",
    "export * from '@umbuf/stats';",
    "const c = await import('@umbuf/smp/worker');",
    "import { d } from './d';",
    "export { e } from './e.ts';",
    "import fs from 'node:fs';",
  ].join('\n');
  const source = { path: 'sample.ts', text };
  const manifest = { dependencies: { '@umbuf/memory': '1' } };
  expect(importProblems(sample, manifest, source)).toEqual([
    'sample.ts:2: imports @umbuf/mbuf upward',
    'sample.ts:3: imports @umbuf/stats, which its package.json does not have',
    'sample.ts:4: imports @umbuf/smp upward',
    'sample.ts:5: imports ./d without its .ts ending',
  ]);
  expect(nodeImportProblems(source)).toEqual(['sample.ts:7: imports node:fs']);
});
