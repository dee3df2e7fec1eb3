/** Straight lines hold no call, loop or wait, and at most one atomic access. */

import { expect, test } from 'vitest';
import { packageNames, packageSources } from './support/sources.ts';
import { straightProblems, straightRegions } from './support/straight.ts';

test('no straight line of any package breaks the rule', () => {
  const sources = packageNames().flatMap(packageSources);
  const regions = sources.reduce((sum, source) => sum + straightRegions(source), 0);
  expect(regions, 'straight lines found').toBeGreaterThan(40);
  expect(sources.flatMap(straightProblems)).toEqual([]);
});

function problemsOf(...lines: string[]): string[] {
  return straightProblems({ path: 'sample.ts', text: lines.join('\n') });
}

test.each([
  ['a call', 'put(words);', /^sample.ts:2: a call in a straight line: put\(words\)/],
  ['a method call', 'stack.push(1);', /2: a call/],
  ['an assertion that is made', 'throw new Error();', /2: a call/],
  ['a wait', 'Atomics.wait(words, 0, 0);', /2: a call/],
  ['an await', 'await promise;', /2: a wait/],
  ['a for loop', 'for (;;) words[0] = 1;', /2: a loop/],
  ['a while loop', 'while (words[0]) words[0]--;', /2: a loop/],
  ['a do loop', 'do words[0]--; while (words[0]);', /2: a loop/],
  [
    'two atomic accesses',
    'Atomics.add(words, 0, 1); Atomics.store(words, 1, 2);',
    /2: atomic access 2 in one straight line: Atomics.store/,
  ],
  [
    'two in one statement',
    'Atomics.store(words, 0, Atomics.load(words, 1));',
    /2: atomic access 2/,
  ],
])('%s is found', (_what, statement, message) => {
  expect(problemsOf('// straight', statement, '// end')).toEqual([expect.stringMatching(message)]);
});

test('what may stand there is not found, nor what stands outside', () => {
  expect(
    problemsOf(
      'for (;;) {',
      '  // straight: with a reason',
      '  const old = Atomics.exchange(words, 0, 0);',
      '  if (old !== 0) Atomics.notify(words, 0);',
      '  longs[1] += 1n;',
      '  words[2] = words[3 + old] | 1;',
      '  // end',
      '  // straight',
      '  Atomics.store(words, 0, 0);',
      '  // end',
      '  put(Atomics.load(words, 0), Atomics.load(words, 1));',
      '}',
    ),
  ).toEqual([]);
});

test('marks that do not pair are found', () => {
  expect(problemsOf('// straight', 'words[0] = 1;')).toEqual([
    'sample.ts:1: straight line without an end',
  ]);
  expect(problemsOf('words[0] = 1;', '// end')).toEqual(['sample.ts:2: end of no straight line']);
  expect(problemsOf('// straight', '// straight', '// end')).toEqual([
    'sample.ts:2: straight line inside another',
  ]);
});
