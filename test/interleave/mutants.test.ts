/**
 * The table of mutants (mutants.json) fits the sources as they are: `pnpm test:mutants` takes minutes, a
 * line that was edited away shows here at once.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

interface Table {
  readonly mutants: Record<string, { readonly file: string; readonly before: string }>;
  readonly checks: { readonly file: string; readonly name: string; readonly kills: string[] }[];
}

const root = new URL('../../', import.meta.url);
const read = (file: string): string => readFileSync(new URL(file, root), 'utf8');
const table = JSON.parse(read('test/interleave/mutants.json')) as Table;

test('the text of each mutant stands in its file exactly once', () => {
  const wrong = Object.entries(table.mutants)
    .map(([name, { file, before }]) => `${read(file).split(before).length - 1} of ${name}`)
    .filter((line) => !line.startsWith('1 '));
  expect(wrong).toEqual([]);
});

test('each check in the table kills two mutants at least, all of them known', () => {
  const wrong = table.checks.filter(
    ({ kills }) => kills.length < 2 || kills.some((name) => table.mutants[name] === undefined),
  );
  expect(wrong.map(({ name }) => name)).toEqual([]);
});
