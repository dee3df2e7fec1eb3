/**
 * Our own structures on real workers: the scenarios that interleaving checks explore
 * (test/interleave/shared.check.ts), as stress with the same tables of outcomes; and failing
 * schedules of broken copies of our sources, replayed in lock step. `UMBUF_STRESS_MS` is the time for
 * each scenario (150): minutes, for a nightly run, with `UMBUF_STRESS_SEED`.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { stress, stressTable } from '@umbuf/interleave/workers';
import { beforeAll, describe, expect, test } from 'vitest';
import type { CaseResult } from '../fixtures/lockstep-program.ts';
import { OUTCOMES } from '../support/own-outcomes.ts';

const MODULE = new URL('../dist/fixtures/own-scenarios.js', import.meta.url);
const PROGRAM = fileURLToPath(new URL('../dist/fixtures/lockstep-program.js', import.meta.url));
const MS = Number(process.env['UMBUF_STRESS_MS'] ?? 150);
const SEED = Number(process.env['UMBUF_STRESS_SEED'] ?? 1);

describe('stress on real workers', () => {
  test.each(Object.entries(OUTCOMES))(
    '%s keeps to the outcomes that its check allows',
    async (name, outcomes) => {
      const report = await stress(MODULE, {
        name,
        ms: MS,
        seed: SEED,
        outcomes,
        // Each run of the mutex has an arena of its own.
        batch: name === 'mutex' ? 16 : 64,
        hangMs: 60_000,
      });
      const table = stressTable(name, report);
      if (MS > 1000) console.log(table);
      expect(report.failure, table).toBe(null);
      expect(report.runs).toBeGreaterThan(0);
      expect(table).toMatch(/^ok: \w+: \d+ runs in \d+ ms, seed \d+\n {2}outcome +runs +share/);
    },
    MS + 120_000,
  );
});

describe('lock step on real workers', () => {
  let results: Record<string, CaseResult>;
  beforeAll(() => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--no-warnings', PROGRAM, '2'],
      {
        encoding: 'utf8',
      },
    );
    expect(status, stderr).toBe(0);
    results = JSON.parse(stdout) as Record<string, CaseResult>;
  }, 120_000);

  test('ABA in the tagged stack without its tag ends in the same corrupt memory', () => {
    const { kind, report } = results['a tagged stack without its tag']!;
    expect(kind).toBe('outcome');
    expect(report).toMatchObject({ same: true, runs: 2, divergence: null });
  });

  test('the wake-up that a broken mutex loses is lost there: the same CPU sleeps for ever', () => {
    const { kind, report } = results['a mutex that forgets to notify']!;
    expect(kind).toBe('deadlock');
    expect(report).toMatchObject({ same: true, runs: 2, divergence: null });
    expect(report.asleep).toHaveLength(1);
  });

  test('the production mutex, with a sleeper that is woken, takes the same steps', () => {
    const { kind, report } = results['a sleeper of the mutex']!;
    expect(kind).toBe('final');
    expect(report).toMatchObject({ same: true, runs: 2, asleep: [], divergence: null });
    expect(report.events).toBeGreaterThan(20);
  });

  test('a worker is terminated where its CPU died, and is recovered from there', () => {
    const { kind, schedule, report } = results['a death over the mutex']!;
    expect(kind).toBe('final');
    expect(schedule).toContain('!');
    expect(report).toMatchObject({ same: true, runs: 2, asleep: [], divergence: null });
  });
});
