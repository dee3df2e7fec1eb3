/** Header comments, lengths of files, loose ends, decisions. */

import { expect, test } from 'vitest';
import { packageNames, packageSources, type Source, sourcesIn } from './support/sources.ts';
import {
  decisionProblems,
  DECISION_LINES_MAX,
  headerProblems,
  lengthProblems,
  LINES_MAX,
  looseEndProblems,
  workplaceProblems,
} from './support/text.ts';

const packages = packageNames().flatMap(packageSources);
const sources = [...packages, ...sourcesIn('benchmarks/src', '.ts')];
const texts = [
  ...sourcesIn('packages', '.ts', '.mjs', '.mts', '.js', '.json', '.md', '.wat', '.html'),
  ...sourcesIn('benchmarks', '.ts', '.md', '.json'),
  ...sourcesIn('test', '.ts'),
  ...sourcesIn('docs', '.md'),
];

/** Longer than the rest, at most so long: one machine, all records of UMA. */
const LONG: Readonly<Record<string, number>> = {
  'packages/uma/src/layout.ts': 600,
};

test('every source opens with a header comment', () => {
  expect(sources.flatMap(headerProblems)).toEqual([]);
});

test('no source is longer than the limit, but for those that are known', () => {
  expect(lengthProblems(sources, LONG)).toEqual([]);
  const paths = sources.map((source) => source.path);
  for (const path of Object.keys(LONG)) expect(paths, 'still there').toContain(path);
});

test('no text leaves a loose end or names a path of one machine', () => {
  expect(texts.length).toBeGreaterThan(200);
  expect(texts.flatMap(looseEndProblems)).toEqual([]);
  expect(texts.flatMap(workplaceProblems)).toEqual([]);
});

test('decisions are numbered, titled and short', () => {
  const decisions = sourcesIn('docs/decisions', '');
  expect(decisions.length).toBeGreaterThan(9);
  expect(decisionProblems(decisions)).toEqual([]);
});

function sample(text: string, path = 'sample.ts'): Source {
  return { path, text };
}

test('a source without a header, or with an empty one, is found', () => {
  expect(headerProblems(sample('/** What it is. */\nexport {};'))).toEqual([]);
  expect(headerProblems(sample('#!/usr/bin/env node\n/**\n * What it is.\n */'))).toEqual([]);
  for (const text of ['', 'export {};', '// what it is', '\n/** late */', '/** */']) {
    expect(headerProblems(sample(text)), text).toEqual(['sample.ts:1: no header comment']);
  }
});

test('long files are found, the longest first, and known ones when they grow', () => {
  const long = sample('x\n'.repeat(LINES_MAX + 1), 'long.ts');
  const longer = sample('x\n'.repeat(LINES_MAX + 9), 'longer.ts');
  const fits = sample('x\n'.repeat(LINES_MAX), 'fits.ts');
  const names = (known?: Record<string, number>): string[] =>
    lengthProblems([long, fits, longer], known).map((problem) => problem.split(':')[0]!);
  expect(names()).toEqual(['longer.ts', 'long.ts']);
  expect(names({ 'longer.ts': LINES_MAX + 9 })).toEqual(['long.ts']);
  expect(names({ 'longer.ts': LINES_MAX + 8 })).toEqual(['longer.ts', 'long.ts']);
});

test('loose ends and machine paths are found with their line', () => {
  const mark = ['TO', 'DO'].join('');
  expect(looseEndProblems(sample(`a\n// ${mark}: later`))).toEqual([
    `sample.ts:2: loose end: // ${mark}: later`,
  ]);
  expect(looseEndProblems(sample('a method for todos'))).toEqual([]);
  const path = ['', 'home', 'somebody', 'notes'].join('/');
  expect(workplaceProblems(sample(`see ${path}`))).toEqual([
    `sample.ts:1: path of one machine: see ${path}`,
  ]);
  expect(workplaceProblems(sample('packages/work/src and https://host/home/x'))).toEqual([]);
});

test('decisions with the number of another, no title or too many lines are found', () => {
  const good = sample('# 0001 Tools\n', 'd/0001-tools.md');
  expect(decisionProblems([good, sample('# 0002 B\n', 'd/0002-b.md')])).toEqual([]);
  expect(decisionProblems([good, sample('# 0001 B\n', 'd/0001-b.md')])).toEqual([
    "d/0001-b.md: its number is another's",
  ]);
  expect(decisionProblems([sample('# Tools\n', 'd/0001-tools.md')])).toEqual([
    'd/0001-tools.md:1: not titled # 0001 ...',
  ]);
  expect(decisionProblems([sample('# One\n', 'd/notes.md')])).toHaveLength(2);
  const long = sample(`# 0001 T\n${'x\n'.repeat(DECISION_LINES_MAX)}`, 'd/0001-t.md');
  expect(decisionProblems([long])).toEqual([`d/0001-t.md: ${DECISION_LINES_MAX + 1} lines`]);
});
