/** `umbuf sysctl`: the tree of an arena, as sysctl(8) prints it. */

import {
  encodeSysctl,
  printSysctl,
  SysctlError,
  sysctlFormat,
  type SysctlNode,
  type SysctlTree,
} from '@umbuf/stats';
import { umaSysctl } from '@umbuf/uma';
import { parse, UsageError } from '../arguments.ts';
import { readArena, sourceHelp, sourceOptions } from '../arena-source.ts';
import type { Command } from '../command.ts';

const help = `umbuf sysctl [-n] [-d] [-b] NAME... [options]
umbuf sysctl -a [-n] [-d] [options]

  NAME             a value, or a node: all values below it (vm.uma.mbuf, vm.uma.mbuf.stats.fails)
  -a               all values but the opaque ones
  -d               what each is, instead of its value
  -n               without the names
  -b               the bytes of the values, nothing else (vm.zone_stats)
${sourceHelp}
Exit code 1: there is no such name.
`;

/** Bytes of an opaque value that are shown. */
const DUMP_BYTES = 16;

interface Shape {
  readonly bytes: boolean;
  readonly descriptions: boolean;
  readonly names: boolean;
}

async function run(args: readonly string[]): Promise<number> {
  const parsed = parse(
    args,
    {
      ...sourceOptions,
      all: { type: 'boolean', short: 'a' },
      describe: { type: 'boolean', short: 'd' },
      values: { type: 'boolean', short: 'n' },
      bytes: { type: 'boolean', short: 'b' },
    },
    true,
  );
  const { values, positionals } = parsed;
  if ((values['all'] === true) === positionals.length > 0) {
    throw new UsageError('say what to show: -a, or names');
  }
  const assignment = positionals.find((name) => name.includes('='));
  if (assignment !== undefined) {
    throw new UsageError(`${assignment}: nothing is set; the arena ends with the command`);
  }
  const shape = {
    bytes: values['bytes'] === true,
    descriptions: values['describe'] === true,
    names: values['values'] !== true,
  };
  const names = values['all'] === true ? [''] : positionals;
  const { output, errors } = await readArena(parsed, (view) => show(umaSysctl(view), names, shape));
  process.stdout.write(output);
  process.stderr.write(errors);
  return errors === '' ? 0 : 1;
}

/** The names that exist, in their order; what is said of the others. */
function show(
  tree: SysctlTree,
  names: readonly string[],
  shape: Shape,
): { output: Uint8Array; errors: string } {
  const parts: Uint8Array[] = [];
  let errors = '';
  for (const name of names) {
    try {
      const nodes = tree.list(name);
      const alone = nodes.length === 1 && nodes[0]!.path === name;
      for (const node of nodes) {
        if (alone || node.type !== 'opaque') parts.push(valueOf(node, shape));
      }
    } catch (error) {
      if (!(error instanceof SysctlError)) throw error;
      errors += `${error.message}\n`;
    }
  }
  return { output: Buffer.concat(parts), errors };
}

function valueOf(node: SysctlNode, shape: Shape): Uint8Array {
  if (shape.bytes) return encodeSysctl(node.type, node.read());
  const text = shape.descriptions ? node.description : textOf(node);
  return Buffer.from(shape.names ? `${node.path}: ${text}\n` : `${text}\n`);
}

function textOf({ type, read }: SysctlNode): string {
  const value = read();
  if (!(value instanceof Uint8Array)) return printSysctl(value);
  const dump = Buffer.from(value.subarray(0, DUMP_BYTES)).toString('hex');
  const rest = value.length > DUMP_BYTES ? '...' : '';
  return `Format:${sysctlFormat(type)} Length:${value.length} Dump:0x${dump}${rest}`;
}

export const command: Command = { help, run };
