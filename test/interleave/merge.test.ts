/** `interleave merge`: the reports of the shards of a campaign, added up by the command. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { check, type CheckReport, op, serializeReport, type Steps } from '@umbuf/interleave';
import { afterAll, expect, test } from 'vitest';

const bin = fileURLToPath(new URL('../../packages/interleave/dist/bin.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'interleave-merge-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Two CPUs add; with a mistake one of them reads and writes instead. */
function explored(name: string, shard: readonly [number, number], mistake: boolean): CheckReport {
  return check(
    name,
    {
      setup: () => new Int32Array(new SharedArrayBuffer(4)),
      cpus: Object.fromEntries(
        ['a', 'b'].map((cpu) => [
          cpu,
          function* (m: Int32Array): Steps {
            if (!mistake) return yield* [op.add('add', m, 0, 1)];
            const seen: number = yield op.load('load', m, 0);
            return yield op.store('store', m, 0, seen + 1);
          },
        ]),
      ),
      final: (m: Int32Array) => Atomics.load(m, 0) === 2,
    },
    { budgetMs: 500, shard },
  );
}

/** A directory as `EXPLORE_REPORT` leaves it. */
function campaign(name: string, shards: readonly number[], mistake = false): string {
  const path = join(directory, name);
  mkdirSync(path, { recursive: true });
  for (const i of shards) {
    const report = explored(name, [i - 1, 3], mistake);
    writeFileSync(join(path, `ring.check.ts.${name}.${i}-of-3.json`), serializeReport(report));
  }
  return path;
}

function merge(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args], {
    encoding: 'utf8',
  });
  return { status, output: stdout + stderr };
}

test('complete campaigns that found nothing pass, one report for each check', () => {
  const { status, output } = merge('merge', campaign('one', [1, 2, 3]), campaign('two', [1, 2, 3]));
  expect(status, output).toBe(0);
  expect(output).toMatch(/^ok: one\n\n\d+ schedules, .*3 shards: together all \d+ schedules/m);
  expect(output).toMatch(/^ok: two/m);
  expect(output).toContain('2 checks, 0 failed');
});

test('a missing shard fails, by name; so does a failure, with its lanes and a page', () => {
  const pages = join(directory, 'pages');
  const { status, output } = merge(
    'merge',
    '--html',
    pages,
    campaign('holed', [1, 3]),
    campaign('broken', [1, 2, 3], true),
  );
  expect(status).toBe(1);
  expect(output).toContain(
    'incomplete: holed\nnot explored, their reports are missing: shards 2/3',
  );
  expect(output).toMatch(/final: broken\nfinal returned false/);
  expect(output).toMatch(/load \[0\] = 0/);
  expect(output).toContain('2 checks, 2 failed');
  expect(readdirSync(pages)).toContain('ring.check.ts.broken.html');
});

test('what is no report, or nothing at all, is said and is no success', () => {
  expect(merge('merge', join(directory, 'nowhere')).status).toBe(2);
  const empty = join(directory, 'empty');
  mkdirSync(empty);
  expect(merge('merge', empty)).toEqual({ status: 2, output: 'interleave: no reports there\n' });
  writeFileSync(join(empty, 'other.json'), '{}');
  expect(merge('merge', empty).output).toMatch(/other\.json: interleave: not a report/);
  expect(merge().status).toBe(2);
});
