/**
 * The vitest extension, as a user meets it: a check file on ordinary code, run by vitest in a
 * directory of its own with the Vite plugin; what it prints, stores and replays.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const here = dirname(fileURLToPath(import.meta.url));
const vitest = join(
  dirname(createRequire(import.meta.url).resolve('vitest/package.json')),
  'vitest.mjs',
);
let directory = '';

beforeAll(() => {
  // Inside the package: a copy elsewhere could not import it by name.
  directory = mkdtempSync(join(here, 'fixtures', 'tmp-ring-'));
  cpSync(join(here, 'fixtures', 'ring'), directory, { recursive: true });
  const config = join(directory, 'vitest.config.ts');
  expect(existsSync(config)).toBe(true);
});
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

function run(env: Record<string, string>): { status: number | null; output: string } {
  const { CI: _, VITEST: __, ...rest } = process.env;
  const result = spawnSync(process.execPath, [vitest, 'run', '--root', directory], {
    encoding: 'utf8',
    env: { ...rest, NO_COLOR: '1', ...env },
  });
  return { status: result.status, output: result.stdout + result.stderr };
}

describe('check() in vitest, through the Vite plugin', () => {
  test('correct code passes', () => {
    const { status, output } = run({ EXPLORE_VERBOSE: '1' });
    expect(status, output).toBe(0);
    expect(output).toContain('ok: spsc ring');
    expect(output).toMatch(/reached \d+ times: the ring was full/);
    expect(existsSync(join(directory, '__schedules__'))).toBe(false);
  });

  test('a failure shows both lines, stores its schedule, and replays from one line', () => {
    const first = run({ INTERLEAVE_TEST_BROKEN: '1' });
    expect(first.status).toBe(1);
    expect(first.output).toContain('race: early');
    expect(first.output).toMatch(/plain read at .*ring\.ts:\d+ in Ring\.popEarly/);
    expect(first.output).toMatch(/plain write at .*ring\.ts:\d+ in Ring\.push/);

    const stored = join(directory, '__schedules__', 'ring.check.ts.json');
    const [entry] = JSON.parse(readFileSync(stored, 'utf8')).early;
    expect(entry.kind).toBe('race');
    expect(
      readFileSync(join(directory, '__schedules__', 'ring.check.ts.early.html'), 'utf8'),
    ).toContain('<table');

    const line = /EXPLORE_REPLAY='([^']+)'/.exec(first.output)?.[1] ?? '';
    const replayed = run({ INTERLEAVE_TEST_BROKEN: '1', EXPLORE_REPLAY: line });
    expect(replayed.status).toBe(1);
    expect(replayed.output).toContain('replay: 1 schedules');
    expect(replayed.output).toContain('race: early');

    // The other checks did not run, and do not say they passed.
    expect(replayed.output).toMatch(/1 failed \| 2 skipped/);

    const again = run({ INTERLEAVE_TEST_BROKEN: '1' });
    expect(again.output).toContain('replay: 1 schedules');
  });

  test('an exception is shown with the lines of the TypeScript source that it came from', () => {
    const reports = join(directory, 'reports');
    const { status, output } = run({
      INTERLEAVE_TEST_THROWS: '1',
      // As the second job of a matrix of two, which leaves its reports.
      EXPLORE_SHARD: '2/2',
      EXPLORE_REPORT: reports,
    });
    expect(status).toBe(1);
    expect(readdirSync(reports).toSorted()).toEqual([
      'ring.check.ts.counts.2-of-2.json',
      'ring.check.ts.spsc-ring.2-of-2.json',
      'ring.check.ts.throws.2-of-2.json',
    ]);
    const lines = readFileSync(join(directory, 'ring.ts'), 'utf8').split('\n');
    const thrown = lines.findIndex((line) => line.includes('throw new')) + 1;
    expect(output).toContain('exception: throws');
    expect(output).toMatch(new RegExp(`at Ring\\.take \\(.*/ring\\.ts:${thrown}:\\d+\\)`));
    const check = readFileSync(join(directory, 'ring.check.ts'), 'utf8').split('\n');
    const called = check.findIndex((line) => line.includes('ring.take()')) + 1;
    expect(output).toMatch(new RegExp(`/ring\\.check\\.ts:${called}:\\d+`));
  });
});
