/**
 * The benchmark program as a user runs it: what it prints, never how fast anything was. One row with
 * a target and a baseline, one whose figure is a count.
 */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const run = promisify(execFile);
const main = fileURLToPath(new URL('../../benchmarks/dist/main.js', import.meta.url));

function bench(...parts: string[]): Promise<{ stdout: string; stderr: string }> {
  return run(process.execPath, [main, ...parts]);
}

const KEYS = ['name', 'unit', 'min', 'median', 'baseline', 'ratio', 'target', 'ok'];

describe('pnpm bench', () => {
  it('prints one JSON object per row, with the keys of the specification', async () => {
    const { stdout } = await bench('--quick', '--json', 'zone.batch128', 'mbuf.free.unshared');
    const [batch, unshared, ...others] = JSON.parse(stdout);
    expect(others).toEqual([]);
    expect(Object.keys(batch)).toEqual(KEYS);
    expect(batch).toMatchObject({ name: 'zone.batch128', unit: 'ns', target: 2 });
    expect(batch.min).toBeGreaterThan(0);
    expect(batch.median).toBeGreaterThanOrEqual(batch.min);
    expect(Object.keys(batch.baseline)).toEqual(['name', 'min', 'median']);
    expect(batch.ratio).toBeCloseTo(batch.min / batch.baseline.min, 1);
    expect(batch.ok).toBe(batch.ratio <= 2);

    expect(Object.keys(unshared)).toEqual(KEYS);
    expect(unshared).toMatchObject({ name: 'mbuf.free.unshared', baseline: null, target: 0 });
    // Not a time: no Atomics call is made by the free of a cluster that was never shared.
    expect(unshared).toMatchObject({ ratio: 0, ok: true });
  });

  it('prints a table with machine, Node version, commit and date for people', async () => {
    const { stdout } = await bench('--quick', 'mbuf.free.unshared');
    for (const fact of [/^machine {2}\d+ x /m, /^commit /m, /^date {5}\d{4}-/m]) {
      expect(stdout).toMatch(fact);
    }
    expect(stdout).toContain(`node     ${process.version}`);
    expect(stdout).toMatch(/^mbuf\.free\.unshared +[\d.]+ +[\d.]+ +- +0\.000 +<= 0 +<= 0 +ok$/m);
  });

  it('refuses a name that is no row, and says which there are', async () => {
    const failure = await bench('--quick', 'zone.batch').catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 2, stdout: '' });
    expect((failure as { stderr: string }).stderr).toMatch(/no row zone\.batch;.*zone\.batch128/s);
  });
});
