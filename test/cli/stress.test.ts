/** `umbuf stress` as a user runs it: exit codes, JSON, seeds, scenarios of one's own, self-check. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { StressReport } from '@umbuf/workload';
import { afterAll, describe, expect, it } from 'vitest';
import { umbuf } from '../support/umbuf.ts';

/** Inside the workspace, so that the scenario finds @umbuf/workload. */
const folder = mkdtempSync(fileURLToPath(new URL('../fixtures/scenario-', import.meta.url)));
afterAll(() => rmSync(folder, { recursive: true }));

async function report(...args: string[]): Promise<StressReport> {
  const { code, stdout, stderr } = await umbuf(['stress', '--json', ...args]);
  // What was violated stands in the report, what went wrong otherwise on stderr.
  expect(code, `${/"violations":\[.+?\]/.exec(stdout)?.[0]}\n${stderr}`).toBe(0);
  return JSON.parse(stdout) as StressReport;
}

const SECONDS = process.env['UMBUF_STRESS_SECONDS'] ?? '2';

describe('umbuf stress', () => {
  for (const scenario of [
    'churn',
    'producer-consumer',
    'refcount',
    'mstress',
    'larson',
    'limit',
    'zone-limit',
  ]) {
    it(`holds every invariant in ${scenario} with 4 CPUs`, async () => {
      const result = await report('--scenario', scenario, '--cpus', '4', '--seconds', SECONDS);
      expect(result).toMatchObject({ ok: true, scenario, cpus: 4, live: 0, violations: [] });
      expect(result.allocs).toBeGreaterThan(1000);
      expect(result.frees).toBe(result.allocs);
      expect(result.perCpu).toHaveLength(4);
    });
  }

  it('prints exactly the documented keys', async () => {
    const result = await report('--scenario', 'churn', '--ops', '1000', '--level', 'none');
    for (const key of ['ok', 'scenario', 'cpus', 'seed', 'seconds', 'allocs', 'frees', 'live']) {
      expect(result).toHaveProperty(key);
    }
    for (const key of ['violations', 'perCpu', 'zones']) expect(result).toHaveProperty(key);
  });

  it('repeats each CPU’s operations with the same seed, and not with another', async () => {
    const options = ['--scenario', 'churn', '--cpus', '2', '--ops', '30000', '--level', 'none'];
    const first = await report(...options, '--seed', '5');
    const again = await report(...options, '--seed', '5');
    const other = await report(...options, '--seed', '6');
    const books = (result: StressReport): unknown =>
      result.perCpu.map(({ cpu, operations, allocs, frees }) => [cpu, operations, allocs, frees]);
    expect(books(again)).toEqual(books(first));
    expect(books(other)).not.toEqual(books(first));
    expect(again.zones.map((zone) => zone.allocs)).toEqual(first.zones.map((zone) => zone.allocs));
  });

  it('runs a scenario of one’s own in TypeScript, and reports what it expects and does not get', async () => {
    const file = join(folder, 'mine.ts');
    writeFileSync(
      file,
      `import { defineScenario } from '@umbuf/workload';
interface State { steps: number }
export default defineScenario<State>({
  name: 'mine', what: 'a scenario', zones: [{ name: 'session', size: 192 }],
  start: (): State => ({ steps: 0 }),
  step(cpu, state: State) {
    const item = cpu.take(cpu.zones[0]!);
    cpu.give(cpu.zones[0]!, item);
    state.steps++;
    cpu.expect(state.steps < 500 || cpu.index > 0, 'mine', 'CPU 0 made 500 steps');
    return 2;
  },
  finish() {},
});
`,
    );
    const { code, stdout } = await umbuf(['stress', '--json', '--scenario', file, '--ops', '2000']);
    expect(code).toBe(1);
    const result = JSON.parse(stdout) as StressReport;
    expect(result.ok).toBe(false);
    expect(result.violations[0]).toEqual({
      invariant: 'mine',
      cpu: 0,
      message: 'CPU 0 made 500 steps',
    });
  });

  it('sees a scenario that writes behind an item’s back', async () => {
    const file = join(folder, 'overwrite.js');
    writeFileSync(
      file,
      `export default {
  name: 'overwrite', what: 'writes into what it freed', zones: [{ name: 'victim', size: 64 }],
  start: () => ({ steps: 0 }),
  step(cpu, state) {
    const item = cpu.take(cpu.zones[0]);
    cpu.give(cpu.zones[0], item);
    if (++state.steps === 300) cpu.uma.words[(item >> 2) + 5] = 1;
    return 2;
  },
  finish() {},
};
`,
    );
    const { code, stdout } = await umbuf([
      'stress',
      '--json',
      '--scenario',
      file,
      '--ops',
      '5000',
      '--cpus',
      '1',
    ]);
    expect(code).toBe(1);
    const { violations } = JSON.parse(stdout) as StressReport;
    expect(violations.map(({ message }) => message).join('\n')).toMatch(/modified after free/i);
  });

  it('says what is wrong with its options, on one line, with exit code 2', async () => {
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [['--cpus', '0'], /--cpus: 0 is not from 1 to 64/],
      [['--cpus', 'two'], /--cpus: two is no integer/],
      [['--level', 'all'], /--level: all is none of none, checks, invariants/],
      [['--scenario', './absent.ts'], /absent\.ts is neither a file nor one of churn/],
      [['--speed', '3'], /--speed/],
    ];
    for (const [args, message] of cases) {
      const { code, stdout, stderr } = await umbuf(['stress', ...args]);
      expect(code).toBe(2);
      expect(stdout).toBe('');
      expect(stderr).toMatch(message);
    }
  });

  it('reports each of six planted faults with its invariant (--self-check)', async () => {
    const { code, stdout } = await umbuf(['stress', '--self-check', '--json', '--seed', '3']);
    const result = JSON.parse(stdout) as { faults: { fault: string; found: boolean }[] };
    expect(result.faults.filter(({ found }) => !found)).toEqual([]);
    expect(result.faults).toHaveLength(6);
    expect(code).toBe(0);
  });
});
