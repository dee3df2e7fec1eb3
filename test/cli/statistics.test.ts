/** `umbuf vmstat` and `umbuf sysctl` as a user runs them, over a run of their own and over a file. */

import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeZoneStats, formatVmstatZ, memoryTypes } from '@umbuf/uma';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { umbuf } from '../support/umbuf.ts';
import { umbufHere } from '../support/umbuf-here.ts';

const folder = mkdtempSync(join(tmpdir(), 'umbuf-statistics-'));
const file = join(folder, 'churn.arena');
afterAll(() => rmSync(folder, { recursive: true }));

const HEAD = 'ITEM                   SIZE   LIMIT     USED     FREE      REQ FAIL SLEEP XDOM';
const ROW = /^[^:]+: *\d+,[ \d]{7,},[ \d]{8,},[ \d]{8,},[ \d]{8,},[ \d]{4,},[ \d]{4,},[ \d]{4,}$/;

/** stdout of a call that must succeed. */
async function output(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await umbufHere(args);
  expect(code, stderr).toBe(0);
  return stdout.toString();
}

describe('over a run of their own', () => {
  it('vmstat -z prints a line per zone on stdout, and what it ran on stderr', async () => {
    const { code, stdout, stderr } = await umbuf(['vmstat', '-z', '--level', 'checks']);
    expect(code).toBe(0);
    expect(stderr).toContain(
      'a run of our own: churn, 1 s, 2 CPUs, level checks, seed 1; looked at after half of it\n',
    );
    const [head, ...rows] = stdout.trimEnd().split('\n');
    expect(head).toBe(HEAD);
    for (const row of rows) expect(row).toMatch(ROW);
    const churn = rows.filter((row) => row.startsWith('churn '));
    expect(churn.length).toBeGreaterThan(3);
    // Requests: CPUs were at work.
    expect(churn.some((row) => Number(row.split(',')[4]) > 100)).toBe(true);
  });
});

describe('over a file of umbuf stress --snapshot', () => {
  let report: { zones: { name: string; allocs: number; live: number }[]; ok: boolean };

  beforeAll(async () => {
    const args = ['stress', '--json', '--ops', '3000', '--seed', '5', '--snapshot', file];
    args.push('--divisor', '8');
    const { code, stdout, stderr } = await umbuf(args);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain(`the arena is in ${file}`);
    report = JSON.parse(stdout) as typeof report;
  });

  it('the file has the size of the arena, and holes where nothing was written', () => {
    const { size, blocks } = statSync(file);
    expect(size).toBeGreaterThan(64 << 20);
    expect(blocks * 512).toBeLessThan(size / 4);
  });

  it('vmstat -z --json has what the stress run reported', async () => {
    const text = await output('vmstat', '-z', '--json', '--file', file);
    const parsed = JSON.parse(text) as {
      'memory-zone-statistics': { zone: Record<string, number | string>[] };
    };
    const zones = parsed['memory-zone-statistics'].zone;
    expect(report.ok).toBe(true);
    expect(report.zones.length).toBeGreaterThan(3);
    for (const { name, allocs } of report.zones) {
      const zone = zones.find((each) => each['name'] === name);
      expect(zone, name).toMatchObject({ requests: allocs, used: 0, limit: 0 });
      expect(Object.keys(zone!)).toEqual([
        'name',
        'size',
        'limit',
        'used',
        'free',
        'requests',
        'fail',
        'sleep',
        'xdomain',
      ]);
    }
  });

  it('sysctl -b vm.zone_stats is the stream that vmstat -z prints', async () => {
    const zones = await output('vmstat', '-z', '--file', file);
    const hex = await output('sysctl', 'vm.zone_stats', '--file', file);
    const count = Number(await output('sysctl', '-n', 'vm.zone_count', '--file', file));
    expect(zones.trimEnd().split('\n')).toHaveLength(count + 1);
    expect(hex).toMatch(
      /^vm\.zone_stats: Format:S Length:\d+ Dump:0x01000000030000001[0-9a-f]000000/,
    );
    const raw = await umbufHere(['sysctl', '-b', 'vm.zone_stats', '--file', file]);
    expect(formatVmstatZ(memoryTypes(decodeZoneStats(raw.stdout)))).toBe(zones);
  });

  it('sysctl prints values, what is below a node, descriptions; everything with -a', async () => {
    const name = 'vm.uma.churn_16';
    const described = await output('sysctl', '-d', `${name}.stats`, '--file', file);
    const bare = await output('sysctl', '-n', `${name}.size`, `${name}.keg.name`, '--file', file);
    const all = await output('sysctl', '-a', '--file', file);
    expect(described).toMatch(/^vm\.uma\.churn_16\.stats\.fails: Number of allocation failures$/m);
    expect(described.trimEnd().split('\n')).toHaveLength(5);
    expect(bare).toBe('16\nchurn 16\n');
    expect(all).toContain('\nvm.debug.divisor: 8\n');
    expect(all).toMatch(/^vm\.debug\.skipped: [1-9]\d*$/m);
    expect(all).toContain(`\n${name}.size: 16\n`);
    // Nobody runs in a file: what the CPUs left in their caches is stranded.
    expect(all).toMatch(/^vm\.uma\.churn_16\.stranded\.\d: [1-9]\d*$/m);
    expect(all).not.toContain('vm.zone_stats');
  });

  it('vmstat --locks has the seven columns of each lock', async () => {
    const text = await output('vmstat', '--locks', '--file', file);
    const [head, ...rows] = text.trimEnd().split('\n');
    expect(head!.split(/ {2,}/)).toHaveLength(8);
    expect(rows.every((row) => /( +\d+){7}$/.test(row))).toBe(true);
    expect(text).toMatch(/^registry +[1-9]/m);
  });
});

it('what is off is said on one line: exit code 2 for options, 1 for names and files', async () => {
  const foreign = join(folder, 'foreign');
  writeFileSync(foreign, 'x'.repeat(100_000));
  const cases: readonly (readonly [number, RegExp, ...string[]])[] = [
    [2, /say what to show: -z or --locks/, 'vmstat'],
    [2, /say what to show: -z or --locks/, 'vmstat', '-z', '--locks'],
    [2, /say what to show: -a, or names/, 'sysctl'],
    [2, /--level: all/, 'vmstat', '-z', '--level', 'all'],
    [2, /--divisor: -1/, 'stress', '--divisor=-1'],
    [2, /--snapshot: ENOENT/, 'stress', '--snapshot', join(folder, 'no', 'file')],
    [2, /say what to show: -a, or names/, 'sysctl', '-a', 'vm'],
    [2, /debug\.uma_reclaim=2: nothing is set/, 'sysctl', 'debug.uma_reclaim=2'],
    [2, /--file and --cpus exclude/, 'vmstat', '-z', '--file', file, '--cpus', '3'],
    [2, /--file: ENOENT/, 'vmstat', '-z', '--file', join(folder, 'absent')],
    [1, /foreign: Arena\.attach: no arena magic/, 'vmstat', '-z', '--file', foreign],
    [1, /^sysctl: unknown oid 'vm\.none'$/m, 'sysctl', 'vm.none', '--file', file],
  ];
  for (const [exit, message, ...args] of cases) {
    const { code, stdout, stderr } = await umbufHere(args);
    expect(stderr, args.join(' ')).toMatch(message);
    expect(stderr.trimEnd().split('\n'), args.join(' ')).toHaveLength(1);
    expect(stdout).toHaveLength(0);
    expect(code).toBe(exit);
  }
});
