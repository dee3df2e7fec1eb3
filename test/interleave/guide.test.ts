/**
 * docs/guide/interleave.md, done as it says: its files in a directory of their own, vitest run
 * there against the built package, then the change that it calls a mistake.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';

const here = dirname(fileURLToPath(import.meta.url));
const page = readFileSync(join(here, '../../docs/guide/interleave.md'), 'utf8');
const vitest = join(
  dirname(createRequire(import.meta.url).resolve('vitest/package.json')),
  'vitest.mjs',
);
// Inside test/, from where the package is found by name.
const directory = mkdtempSync(join(here, '../tmp-guide-'));

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** The page's code blocks with a file name, and what stands behind it. */
const blocks = [...page.matchAll(/^```ts file=(\S+)( replace)?\n([\s\S]*?)^```$/gm)].map(
  ([, file, replace, code]) => ({ file: file!, replaces: replace !== undefined, code: code! }),
);

function run(): { readonly status: number | null; readonly output: string } {
  const { CI: _, VITEST: __, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [vitest, 'run', '--root', directory],
    { encoding: 'utf8', env: { ...env, NO_COLOR: '1', EXPLORE_VERBOSE: '1' } },
  );
  return { status, output: stdout + stderr };
}

test('the first check, as the page writes it, passes and says what it explored', () => {
  const files = blocks.filter(({ replaces }) => !replaces);
  expect(files.map(({ file }) => file)).toEqual(['vitest.config.ts', 'ring.ts', 'ring.check.ts']);
  for (const { file, code } of files) writeFileSync(join(directory, file), code);
  const check = files[2]!.code.trimEnd().split('\n');
  expect(check.length, 'a first check in ten lines').toBeLessThanOrEqual(10);
  const { status, output } = run();
  expect(status, output).toBe(0);
  // The report that the page shows.
  const shown = /^```text\n(ok: ring\n)(all \d+ equivalence classes explored)/m.exec(page)!;
  expect(output).toContain(shown[1]!.trim());
  expect(output).toContain(shown[2]!);
});

test('the mistake of the page is a race of the two lines that it names', () => {
  const { code } = blocks.find(({ replaces }) => replaces)!;
  const lines = code.split('\n').filter((line) => line.trim() !== '');
  const before = [...lines].reverse().join('\n');
  const file = join(directory, 'ring.ts');
  const ring = readFileSync(file, 'utf8');
  expect(ring.split(before)).toHaveLength(2);
  writeFileSync(file, ring.replace(before, lines.join('\n')));
  const { status, output } = run();
  expect(status).toBe(1);
  expect(output).toContain('race: ring');
  expect(output).toMatch(/plain read at .*ring\.ts:\d+ in Ring\.pop/);
  expect(output).toMatch(/plain write at .*ring\.ts:\d+ in Ring\.push/);
  expect(output).toMatch(/EXPLORE_REPLAY='ring:[^']+' npx vitest run ring\.check\.ts/);
  expect(existsSync(join(directory, '__schedules__', 'ring.check.ts.json'))).toBe(true);
});
