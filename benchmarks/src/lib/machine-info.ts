/** Where and when figures were measured: without it a figure means nothing. */

import { execFileSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem, type } from 'node:os';

/** The environment, one line per fact. */
export function machineInfo(): string[] {
  const [first] = cpus();
  return [
    `machine  ${cpus().length} x ${first?.model ?? 'unknown CPU'}, ${(totalmem() / 2 ** 30).toFixed(1)} GiB, ${type()} ${release()}`,
    `load     ${loadavg()
      .map((load) => load.toFixed(2))
      .join(' ')}`,
    `node     ${process.version}, V8 ${process.versions.v8}`,
    `commit   ${commit()}`,
    `date     ${new Date().toISOString()}`,
  ];
}

function commit(): string {
  const git = (...parts: string[]): string =>
    execFileSync('git', parts, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no') === '' ? '' : ' (changed)';
    return git('rev-parse', '--short', 'HEAD') + changed;
  } catch {
    return 'not in a git checkout';
  }
}
