/** The program of docs/guide/typed-zones.md runs as it stands there, on real workers. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

it('an item goes round three workers and ends everywhere', () => {
  const page = readFileSync(join(root, 'docs/guide/typed-zones.md'), 'utf8');
  const program = /```js\n([\s\S]*?)```/.exec(page)![1]!;
  const output = /prints\n\n```\n([\s\S]*?)```/.exec(page)![1]!;
  const folder = mkdtempSync(join(root, 'test', 'readme', 'program-'));
  try {
    writeFileSync(join(folder, 'session.mjs'), program);
    const { stdout, stderr, status } = spawnSync(process.execPath, [join(folder, 'session.mjs')], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    expect(stderr).toBe('');
    expect(stdout).toBe(output);
    expect(status).toBe(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
