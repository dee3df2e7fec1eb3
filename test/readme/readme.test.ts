/** The README's program runs as it stands there, and its links lead somewhere. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');

it('the first program prints what the worker reads', () => {
  const program = /```js\n([\s\S]*?)```/.exec(readme)![1]!;
  expect(program.trimEnd().split('\n').length).toBeLessThanOrEqual(15);
  // Inside the workspace, so that the packages are found.
  const folder = mkdtempSync(join(root, 'test', 'readme', 'program-'));
  try {
    writeFileSync(join(folder, 'first.mjs'), program);
    const { stdout, stderr, status } = spawnSync(process.execPath, [join(folder, 'first.mjs')], {
      encoding: 'utf8',
      timeout: 20_000,
    });
    expect(stderr).toBe('');
    expect(stdout).toBe('the worker reads 42\n');
    expect(status).toBe(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it('every file that the README links exists', () => {
  const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map((match) => match[1]!);
  expect(links.length).toBeGreaterThan(4);
  expect(links.filter((link) => !existsSync(join(root, link)))).toEqual([]);
});
