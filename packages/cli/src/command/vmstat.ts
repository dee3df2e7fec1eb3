/** `umbuf vmstat`: the zones as FreeBSD's vmstat -z prints them, and the locks. */

import {
  formatLocks,
  formatVmstatZ,
  lockStatistics,
  readMemoryTypes,
  type Uma,
  type UmaView,
  vmstatZ,
} from '@umbuf/uma';
import { parse, UsageError } from '../arguments.ts';
import { readArena, sourceHelp, sourceOptions } from '../arena-source.ts';
import type { Command } from '../command.ts';

const help = `umbuf vmstat -z [--json] [options]
umbuf vmstat --locks [--json] [options]

  -z               a line per zone, as vmstat -z of FreeBSD; with --json its structured output
  --locks          every lock that was taken, with the columns of jemalloc's mutex table
${sourceHelp}`;

async function run(args: readonly string[]): Promise<number> {
  const { values, ...rest } = parse(args, {
    ...sourceOptions,
    zones: { type: 'boolean', short: 'z' },
    locks: { type: 'boolean' },
    json: { type: 'boolean' },
  });
  if ((values['zones'] === true) === (values['locks'] === true)) {
    throw new UsageError('say what to show: -z or --locks');
  }
  const json = values['json'] === true;
  const show = values['zones'] === true ? showZones : showLocks;
  process.stdout.write(await readArena({ ...rest, values }, (view) => show(view, json)));
  return 0;
}

function showZones(view: UmaView | Uma, json: boolean): string {
  const types = readMemoryTypes(view);
  return json ? `${JSON.stringify(vmstatZ(types))}\n` : formatVmstatZ(types);
}

function showLocks(view: UmaView | Uma, json: boolean): string {
  const locks = lockStatistics(view);
  if (!json) return formatLocks(locks);
  const numbers = (_key: string, value: unknown): unknown =>
    typeof value === 'bigint' ? Number(value) : value;
  return `${JSON.stringify({ locks }, numbers)}\n`;
}

export const command: Command = { help, run };
