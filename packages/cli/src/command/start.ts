/**
 * `umbuf start`: the main job in half a minute. A short stress run of two scenarios, then the
 * shipped captures through the mbuf pipeline.
 */

import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { integer, parse } from '../arguments.ts';
import type { Command } from '../command.ts';
import { command as pcap } from './pcap.ts';
import { describeReport, runWithLine } from './stress.ts';

const help = `umbuf start [--seconds N] [--cpus N] [--seed N]

Runs the scenarios churn and refcount under invariants (2 s each), then moves the shipped
captures through mbufs across CPUs.
`;

async function run(args: readonly string[]): Promise<number> {
  const parsed = parse(args, {
    seconds: { type: 'string' },
    cpus: { type: 'string' },
    seed: { type: 'string' },
  });
  const seconds = integer(parsed, 'seconds', 2, 1, 3600);
  const cpus = integer(parsed, 'cpus', 2, 1, 64);
  const seed = integer(parsed, 'seed', (Math.random() * 2 ** 31) | 0, 0, 2 ** 31 - 1);
  for (const scenario of ['churn', 'refcount']) {
    const report = await runWithLine({ scenario, cpus, seconds, seed, level: 'invariants' });
    process.stdout.write(`${describeReport(report)}\n`);
    if (!report.ok) return 1;
  }
  const captures = shippedCaptures();
  if (captures.length === 0) return 0;
  return pcap.run([...captures, '--cpus', String(cpus)]);
}

/** The captures of the checkout; an installed package has none. */
function shippedCaptures(): string[] {
  const here = dirname(fileURLToPath(import.meta.url));
  const folder = join(here, '..', '..', '..', '..', 'test', 'captures');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /\.pcap(ng)?$/.test(name))
    .sort()
    .map((name) => join(folder, name));
}

export const command: Command = { help, run };
