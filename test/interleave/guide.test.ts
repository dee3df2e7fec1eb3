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

function run(): {
  readonly status: number | null;
  readonly output: string;
} {
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
  expect(files.map(({ file }) => file)).toEqual([
    'vitest.config.ts',
    'ring.ts',
    'ring.check.ts',
    'scenario.ts',
    'stress.mjs',
    'lockstep.mjs',
  ]);
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

/** A command of the page that runs a file with Node. */
function command(file: string): string {
  const line = new RegExp(`^node (.*) ${file}$`, 'm').exec(page)![1]!;
  const { status, stdout, stderr } = spawnSync(process.execPath, [...line.split(' '), file], {
    cwd: directory,
    encoding: 'utf8',
  });
  expect(status, stdout + stderr).toBe(0);
  return stdout;
}

test('the scenario of the page runs on real workers as a stress loop', () => {
  const output = command('stress.mjs');
  expect(output).toContain('ok: true');
  expect(output).toContain("'7,undefined': { count: ");
  expect(output).toContain("expect: 'acceptable'");
  expect(output).toContain('failure: null');
});

test('what the explorer finds in it is replayed in lock step, and is the same', () => {
  const output = command('lockstep.mjs');
  const shown = /^```text\n(outcome: two consumers)\n(.*)\n(same: true), (runs: 20)$/m.exec(page)!;
  for (const text of shown.slice(1)) expect(output).toContain(text);
  expect(output).toContain('divergence: null');
});

test('two shards and their merge, as the page writes them', () => {
  const bin = join(here, '../../packages/interleave/dist/bin.js');
  const { CI: _, VITEST: __, ...env } = process.env;
  const interleave = (line: string): { status: number | null; output: string } => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...line.split(' ')], {
      cwd: directory,
      encoding: 'utf8',
      env: { ...env, NO_COLOR: '1', EXPLORE_VERBOSE: '1' },
    });
    return { status, output: stdout + stderr };
  };
  const lines = [...page.matchAll(/^npx interleave (run .*)$/gm)].map(([, line]) => line!);
  expect(lines).toHaveLength(2);
  for (const line of lines) {
    // Not for a minute in a test.
    const { status, output } = interleave(line.replace('60000', '300'));
    expect(status, output).toBe(0);
    const [, shard, reports] = /--shard (\S+) .*--report (\S+)/.exec(line)!;
    const report = `ring.check.ts.ring.${shard!.replace('/', '-of-')}.json`;
    expect(existsSync(join(directory, reports!, report))).toBe(true);
  }
  const { status, output } = interleave(/^npx interleave (merge .*)$/m.exec(page)![1]!);
  expect(status, output).toBe(0);
  expect(output).toMatch(/^ok: ring$/m);
  expect(output).toContain('2 shards: ');
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
  // Where the page says that things are.
  for (const [, file] of page.matchAll(/`(__schedules__\/[^`]+)`/g)) {
    expect(existsSync(join(directory, file!)), file).toBe(true);
  }
});
