/** `umbuf vectors` as a user runs it. (packages/workload/test has all of the recorded programs.) */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, expect, it } from 'vitest';
import { umbuf } from '../support/umbuf.ts';

const recorded = fileURLToPath(new URL('../vectors/mbuf-public.jsonl.gz', import.meta.url));
const lines = gunzipSync(readFileSync(recorded)).toString().split('\n');
const folder = mkdtempSync(join(tmpdir(), 'umbuf-vectors-'));
const file = join(folder, 'some.jsonl');
afterAll(() => rmSync(folder, { recursive: true }));

it('counts programs and operations, and exits 0 when all agree', async () => {
  writeFileSync(file, lines.slice(0, 21).join('\n'));
  const { code, stdout } = await umbuf(['vectors', file, '--json']);
  const operations = lines
    .slice(1, 21)
    .reduce((sum, line) => sum + (JSON.parse(line) as { ops: unknown[] }).ops.length, 0);
  expect(JSON.parse(stdout)).toEqual({
    programs: 20,
    passed: 20,
    failed: 0,
    operations,
    firstFailures: [],
  });
  expect(code).toBe(0);
  expect((await umbuf(['vectors', file])).stdout).toBe(
    `ok: 20 of 20 programs agree (${operations} operations)\n`,
  );
});

it('exits 1 and names the operation when one does not', async () => {
  writeFileSync(
    file,
    lines
      .slice(0, 2)
      .join('\n')
      .replace(/"len":(\d+),"off"/, '"len":9999,"off"'),
  );
  const { code, stdout } = await umbuf(['vectors', file]);
  expect(code).toBe(1);
  expect(stdout).toMatch(/^pub-00001: .*got .*recorded .*\nFAILED: 0 of 1 programs agree/s);
});

it('says what is wrong with a file, and with the words', async () => {
  writeFileSync(file, 'no');
  expect(await umbuf(['vectors', file])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(':1: '),
  });
  expect(await umbuf(['vectors', join(folder, 'none')])).toMatchObject({ code: 1 });
  expect(await umbuf(['vectors'])).toMatchObject({ code: 2 });
});
