/** The `umbuf` command: picks the command, prints what went wrong, returns the exit code. */

import { UsageError } from './arguments.ts';
import type { Command } from './command.ts';

const commands: Readonly<Record<string, () => Promise<{ readonly command: Command }>>> = {
  start: () => import('./command/start.ts'),
  stress: () => import('./command/stress.ts'),
  pcap: () => import('./command/pcap.ts'),
  soak: () => import('./command/soak.ts'),
  vmstat: () => import('./command/vmstat.ts'),
  sysctl: () => import('./command/sysctl.ts'),
  netstat: () => import('./command/netstat.ts'),
  vectors: () => import('./command/vectors.ts'),
};

const summaries: Readonly<Record<string, string>> = {
  start: 'the main job: a short stress run, then the shipped captures through the mbuf pipeline',
  stress: 'run many CPUs against the allocator and judge every invariant',
  pcap: 'move captures through mbufs across CPUs; checksums, reassembly, TCP streams',
  soak: 'the longer campaign: every scenario, memory compared minute by minute',
  vmstat: 'the zones of an arena as vmstat -z prints them; its locks',
  netstat: "what an arena's mbufs take, as netstat -m of both kernels prints it",
  vectors: "programs recorded from NetBSD's C code, run against our mbufs",
  sysctl: 'the values of an arena: vm.uma.<zone> and the rest of the tree',
};

/** Runs one command line (without node and script). Exit code 2: the call's words are off. */
export async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(usage());
    return name === undefined ? 2 : 0;
  }
  const load = commands[name];
  if (load === undefined) {
    process.stderr.write(`umbuf: no command ${name}\n${usage()}`);
    return 2;
  }
  try {
    const { command } = await load();
    if (rest.includes('--help') || rest.includes('-h')) {
      process.stdout.write(command.help);
      return 0;
    }
    return await command.run(rest);
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`umbuf ${name}: ${error.message}\n`);
      return 2;
    }
    // A failure that the user can do something about is one line; a bug shows its stack.
    const expected = error instanceof Error && EXPECTED.includes(error.name);
    process.stderr.write(
      `umbuf ${name}: ${expected ? (error as Error).message : ((error as Error).stack ?? String(error))}\n`,
    );
    return 1;
  }
}

const EXPECTED = [
  'ScenarioError',
  'CaptureError',
  'VectorFileError',
  'MbufError',
  'ArgumentError',
  'ArenaFormatError',
  'CpuUnavailableError',
];

function usage(): string {
  const lines = Object.entries(summaries).map(([name, what]) => `  ${name.padEnd(8)} ${what}`);
  return `umbuf: BSD's memory allocator for shared memory between JavaScript workers\n\n${lines.join('\n')}\n\numbuf COMMAND --help tells the options.\n`;
}
