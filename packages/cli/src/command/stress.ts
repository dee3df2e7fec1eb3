/** `umbuf stress`: many CPUs against the allocator, every invariant judged at the end. */

import { closeSync, existsSync, openSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import {
  runStress,
  scenarioNames,
  selfCheck,
  type StressOptions,
  type StressProgress,
  type StressReport,
  writeArenaFile,
} from '@umbuf/workload';
import { callersPath, isSystemError } from '../arena-source.ts';
import { choice, integer, parse, type Parsed, UsageError } from '../arguments.ts';
import type { Command } from '../command.ts';
import { bad, good, LiveLine, short, table } from '../screen.ts';

const help = `umbuf stress [options]

  --scenario NAME|FILE  ${scenarioNames.join(', ')},
                        or a module of your own (./mine.ts or .js; docs/guide/stress.md)
  --cpus N              worker threads (2)
  --seconds N           how long to run (5)
  --ops N               operations per CPU, instead of --seconds
  --seed N              printed when absent; the same seed repeats each CPU's operations
  --level LEVEL         none, checks or invariants (invariants)
  --divisor N           at level invariants, fill and verify every Nth item only (1: all)
  --snapshot FILE       the whole arena into FILE at the end, before it is drained, for
                        umbuf vmstat and umbuf sysctl
  --json                one JSON object on stdout; progress on stderr
  --self-check          plant six faults and fail unless each is reported within 5 s

Exit code 0: every invariant held. 1: a violation, with a report. 2: the options are off.
`;

const options = {
  scenario: { type: 'string' },
  cpus: { type: 'string' },
  seconds: { type: 'string' },
  ops: { type: 'string' },
  seed: { type: 'string' },
  level: { type: 'string' },
  divisor: { type: 'string' },
  snapshot: { type: 'string' },
  json: { type: 'boolean' },
  'self-check': { type: 'boolean' },
} as const;

async function run(args: readonly string[]): Promise<number> {
  const parsed = parse(args, options);
  if (parsed.values['self-check'] === true) return runSelfCheck(parsed);
  const wanted = stressOptions(parsed);
  const report = await runWithLine(wanted);
  if (parsed.values['json'] === true) process.stdout.write(`${JSON.stringify(report)}\n`);
  else process.stdout.write(describeReport(report));
  return report.ok ? 0 : 1;
}

/** Runs with the live line on stderr; `umbuf start` and `soak` use it too. */
export async function runWithLine(wanted: StressOptions): Promise<StressReport> {
  const live = new LiveLine();
  const report = await runStress({
    ...wanted,
    onProgress: (progress) => live.show(`${wanted.scenario}  ${describeProgress(progress)}`),
  });
  live.end();
  return report;
}

function stressOptions(parsed: Parsed): StressOptions {
  const operations = integer(parsed, 'ops', 0, 1, 2 ** 40);
  return {
    scenario: scenarioReference(parsed.values['scenario']),
    cpus: integer(parsed, 'cpus', 2, 1, 64),
    seconds: integer(parsed, 'seconds', 5, 1, 86_400),
    ...(operations === 0 ? {} : { operations }),
    seed: integer(parsed, 'seed', (Math.random() * 2 ** 31) | 0, 0, 2 ** 31 - 1),
    level: choice(parsed, 'level', 'invariants', ['none', 'checks', 'invariants']),
    divisor: integer(parsed, 'divisor', 1, 0, 2 ** 31 - 1),
    ...snapshotOption(parsed.values['snapshot']),
  };
}

function snapshotOption(file: string | boolean | undefined): Pick<StressOptions, 'onParked'> {
  if (file === undefined) return {};
  const path = callersPath(String(file));
  try {
    // Now rather than after the run: a path that cannot be written is a word that is off.
    closeSync(openSync(path, 'a'));
  } catch (error) {
    throw isSystemError(error) ? new UsageError(`--snapshot: ${error.message}`) : error;
  }
  return {
    onParked: (uma) => {
      writeArenaFile(uma.arena, path);
      process.stderr.write(`the arena is in ${path}\n`);
    },
  };
}

/** A known name stays; anything with a dot or slash is a file, which must exist. */
function scenarioReference(text: string | boolean | undefined): string {
  if (text === undefined) return 'churn';
  if (scenarioNames.includes(String(text))) return String(text);
  const path = callersPath(String(text));
  if (!existsSync(path)) {
    throw new UsageError(
      `--scenario: ${String(text)} is neither a file nor one of ${scenarioNames.join(', ')}`,
    );
  }
  return pathToFileURL(path).href;
}

function describeProgress({ seconds, rates, live, pages }: StressProgress): string {
  const perCpu = rates.map((rate) => `${short(rate)}/s`).join(' ');
  return `${seconds.toFixed(1)} s  ${perCpu}  live ${short(live)}  pages ${short(pages)}`;
}

/** The table at the end, with the violations if there are any. */
export function describeReport(report: StressReport): string {
  const perCpu = table(
    ['CPU', 'operations', 'per second', 'allocs', 'frees', 'heap MiB'],
    report.perCpu.map((cpu) => [
      String(cpu.cpu),
      String(cpu.operations),
      short(cpu.operationsPerSecond),
      String(cpu.allocs),
      String(cpu.frees),
      (cpu.heapUsed / 2 ** 20).toFixed(1),
    ]),
  );
  const zones = table(
    ['ZONE', 'SIZE', 'LIVE', 'CACHED', 'ALLOCS', 'FAILS', 'REFILLS', 'FLUSHES'],
    report.zones.map((zone) => [
      zone.name,
      String(zone.size),
      String(zone.live),
      String(zone.cached + zone.queued),
      String(zone.allocs),
      String(zone.fails),
      String(zone.refills),
      String(zone.flushes),
    ]),
  );
  const head =
    `scenario ${report.scenario}, ${report.cpus} CPUs, level ${report.level}, ` +
    `seed ${report.seed}, ${report.seconds.toFixed(1)} s\n`;
  const violations = report.violations
    .map(
      ({ invariant, cpu, message }) =>
        `  invariant ${invariant}${cpu < 0 ? '' : ` (CPU ${cpu})`}: ${message}\n`,
    )
    .join('');
  const verdict = report.ok
    ? `${good('ok')}: every invariant held; ${report.pagesAtEnd} pages in use at the end\n`
    : `${bad('FAILED')}: ${report.violations.length} violations\n${violations}` +
      `repeat with --scenario ${report.scenario} --cpus ${report.cpus} --seed ${report.seed}\n`;
  return `${head}\n${perCpu}\n${zones}\n${verdict}`;
}

async function runSelfCheck(parsed: Parsed): Promise<number> {
  const seed = integer(parsed, 'seed', 1, 0, 2 ** 31 - 1);
  const results = await selfCheck(seed, (text) => process.stderr.write(`${text}\n`));
  if (parsed.values['json'] === true) {
    process.stdout.write(
      `${JSON.stringify({ ok: results.every((r) => r.found), seed, faults: results })}\n`,
    );
  } else {
    process.stdout.write(
      table(
        ['FAULT', 'REPORTED', 'INVARIANT', 'SECONDS'],
        results.map((result) => [
          result.fault,
          result.found ? 'yes' : 'NO',
          result.invariant,
          result.seconds.toFixed(1),
        ]),
      ),
    );
  }
  return results.every((result) => result.found) ? 0 : 1;
}

export const command: Command = { help, run };
