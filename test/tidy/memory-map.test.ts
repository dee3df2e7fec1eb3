/** Layout tables say a kind and a meaning of each field, and the memory map says what they say. */

import { readFileSync } from 'node:fs';
import type { Layout } from '@umbuf/memory';
import * as mbuf from '@umbuf/mbuf';
import * as memory from '@umbuf/memory';
import * as stats from '@umbuf/stats';
import * as tracing from '@umbuf/tracing';
import * as uma from '@umbuf/uma';
import { expect, test } from 'vitest';
import { layoutProblems, layoutTables, readKinds } from './support/layout-tables.ts';
import { memoryMap } from './support/memory-map.ts';
import { packageSources, ROOT } from './support/sources.ts';

const packages = new Map(
  Object.entries({ memory, stats, tracing, uma, mbuf }).map(([name, module]) => [
    name,
    layoutTables(module),
  ]),
);
const kinds = readKinds(readFileSync(`${ROOT}docs/architecture/words.md`, 'utf8'));

test('every layout table in the sources is exported by its package', () => {
  for (const [name, tables] of packages) {
    const text = packageSources(name)
      .map((source) => source.text)
      .join('\n');
    const declared = [
      ...text.matchAll(/^export const (\w+) = \{\n {2}name: '[^']+',\n {2}words: /gm),
    ];
    expect(declared.length, name).toBeGreaterThan(0);
    expect([...tables.keys()].toSorted(), name).toEqual(
      declared.map((each) => each[1]!).toSorted(),
    );
  }
});

test('every field has one of the kinds of words.md, a meaning and a place of its own', () => {
  expect(kinds).toHaveLength(7);
  const tables = [...packages.values()].flatMap((each) => [...each.values()]);
  expect(tables.flatMap((layout) => layoutProblems(layout, kinds))).toEqual([]);
});

test('docs/architecture/memory-map.md is current', async () => {
  await expect(memoryMap(packages)).toMatchFileSnapshot(`${ROOT}docs/architecture/memory-map.md`);
});

const sample: Layout = {
  name: 'sample',
  words: 8,
  fields: {
    late: { at: 4, type: 'i64', kind: 'statistic', count: 2, what: 'a | b' },
    early: { at: 0, type: 'i32', kind: 'atomic', what: 'the state' },
  },
};

test('a table becomes rows in the order of its words', () => {
  const page = memoryMap(new Map([['p', new Map([['Sample', sample]])]]));
  expect(page.slice(page.indexOf('## p')).split('\n')).toEqual([
    '## p',
    '',
    '### sample (`Sample`, 8 words)',
    '',
    '| words | field | width | kind | meaning |',
    '| --- | --- | --- | --- | --- |',
    '| 0 | early | i32 | atomic | the state |',
    '| 4-7 | late | i64 x 2 | statistic | a \\| b |',
    '',
  ]);
});

test('fields without a kind, a meaning or a place are found', () => {
  const { early, late } = sample.fields as Record<'early' | 'late', memory.Field>;
  const broken = (fields: Record<string, memory.Field>): string[] =>
    layoutProblems({ ...sample, fields }, kinds);
  expect(broken({ early, late })).toEqual([]);
  expect(broken({ early: { ...early, kind: 'odd' as never } })).toEqual([
    'sample.early: kind odd is none',
  ]);
  expect(broken({ early: { ...early, what: ' ' } })).toEqual(['sample.early: no meaning']);
  expect(broken({ early, late: { ...late, at: 0 } })[0]).toMatch(/overlaps/);
});

test('only layout tables are taken for such', () => {
  const other = { name: 'x', words: 3 };
  expect([...layoutTables({ sample, other, nothing: null, one: 1 }).keys()]).toEqual(['sample']);
});
