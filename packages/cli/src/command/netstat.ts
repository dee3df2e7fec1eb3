/** `umbuf netstat`: what the mbufs of an arena take, as both kernels' netstat -m prints it. */

import {
  drainCount,
  formatNetbsdNetstatM,
  formatNetstatM,
  formatOwners,
  netstatM,
  readMbstat,
  viewMbufs,
} from '@umbuf/mbuf';
import { readMowners, sysctlMowners } from '@umbuf/tracing';
import { readMemoryTypes, type Uma, type UmaView } from '@umbuf/uma';
import { parse, UsageError } from '../arguments.ts';
import { readArena, sourceHelp, sourceOptions } from '../arena-source.ts';
import type { Command } from '../command.ts';

const help = `umbuf netstat -m [--json] [options]
umbuf netstat -m --netbsd [options]
umbuf netstat -mss [-v [-v]] [options]

  -m               mbufs, clusters and bytes, as netstat -m of FreeBSD; with --json its numbers
  --netbsd         mbufs by type and drains, as netstat -m of NetBSD
  -ss, -v          the table of owners behind that; -v: claims and releases too, -v -v: all owners
${sourceHelp}`;

async function run(args: readonly string[]): Promise<number> {
  const { values, ...rest } = parse(args, {
    ...sourceOptions,
    mbufs: { type: 'boolean', short: 'm' },
    netbsd: { type: 'boolean' },
    owners: { type: 'boolean', short: 's', multiple: true },
    verbose: { type: 'boolean', short: 'v', multiple: true },
    json: { type: 'boolean' },
  });
  if (values['mbufs'] !== true) throw new UsageError('say what to show: -m');
  const owners = count(values['owners']);
  const netbsd = values['netbsd'] === true || owners > 1;
  if (!netbsd && owners === 1) throw new UsageError('-s twice shows the owners');
  if (owners === 0 && values['verbose'] !== undefined) throw new UsageError('-v belongs to -ss');
  if (netbsd && values['json'] === true) throw new UsageError('--json is of the FreeBSD form');
  const verbose = Math.min(2, count(values['verbose']));
  const scenario = values['file'] === undefined ? (values['scenario'] ?? 'refcount') : undefined;
  const source = { ...rest, values: scenario === undefined ? values : { ...values, scenario } };
  const text = await readArena(source, (view) => {
    if (netbsd) return netbsdText(view, owners > 0, verbose as 0 | 1 | 2);
    const numbers = netstatM(readMemoryTypes(view));
    return values['json'] === true ? `${JSON.stringify(numbers)}\n` : formatNetstatM(numbers);
  });
  process.stdout.write(text);
  return 0;
}

function netbsdText({ arena }: UmaView | Uma, owners: boolean, verbose: 0 | 1 | 2): string {
  const view = viewMbufs(arena);
  if (view === undefined) throw new UsageError('the arena has no mbufs');
  const text = formatNetbsdNetstatM({ ...readMbstat(view), drains: drainCount(view) });
  if (!owners) return text;
  return (
    text +
    formatOwners(
      readMowners((old) => sysctlMowners(arena, old)),
      verbose,
    )
  );
}

/** How often an option of several was given. */
function count(values: unknown): number {
  return Array.isArray(values) ? values.length : 0;
}

export const command: Command = { help, run };
