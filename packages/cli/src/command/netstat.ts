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
import { readOwners } from '@umbuf/tracing';
import { readMemoryTypes, type Uma, type UmaView } from '@umbuf/uma';
import { parse, UsageError } from '../arguments.ts';
import { readArena, sourceHelp, sourceOptions } from '../arena-source.ts';
import type { Command } from '../command.ts';

const help = `umbuf netstat -m [--json] [options]
umbuf netstat -m --netbsd [-s [-v [-v]]] [options]

  -m               mbufs, clusters and bytes, as netstat -m of FreeBSD; with --json its numbers
  --netbsd         mbufs by type and drains, as netstat -m of NetBSD
  -s, -v           the table of owners behind it; -v: claims and releases too, -v -v: all owners
${sourceHelp}`;

async function run(args: readonly string[]): Promise<number> {
  const { values, ...rest } = parse(args, {
    ...sourceOptions,
    mbufs: { type: 'boolean', short: 'm' },
    netbsd: { type: 'boolean' },
    owners: { type: 'boolean', short: 's' },
    verbose: { type: 'boolean', short: 'v', multiple: true },
    json: { type: 'boolean' },
  });
  if (values['mbufs'] !== true) throw new UsageError('say what to show: -m');
  const netbsd = values['netbsd'] === true;
  if (!netbsd && (values['owners'] === true || values['verbose'] !== undefined)) {
    throw new UsageError('-s and -v belong to --netbsd');
  }
  if (netbsd && values['json'] === true)
    throw new UsageError('--json and --netbsd exclude each other');
  const verbose = Math.min(2, (values['verbose'] as unknown as boolean[] | undefined)?.length ?? 0);
  const scenario = values['file'] === undefined ? (values['scenario'] ?? 'refcount') : undefined;
  const source = { ...rest, values: scenario === undefined ? values : { ...values, scenario } };
  const text = await readArena(source, (view) => {
    if (netbsd) return netbsdText(view, values['owners'] === true, verbose as 0 | 1 | 2);
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
  return owners ? text + formatOwners(readOwners(arena), verbose) : text;
}

export const command: Command = { help, run };
