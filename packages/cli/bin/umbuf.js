#!/usr/bin/env node
// The launcher: builds first when the sources are newer than the build (in a checkout; an installed
// package has no tsconfig), then runs the command. Build output goes to stderr.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const cli = dirname(dirname(fileURLToPath(import.meta.url)));
const root = dirname(dirname(cli));

function newest(folder) {
  let time = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    time = Math.max(time, entry.isDirectory() ? newest(path) : statSync(path).mtimeMs);
  }
  return time;
}

function stale() {
  for (const name of readdirSync(join(root, 'packages'))) {
    const source = join(root, 'packages', name, 'src');
    const built = join(root, 'packages', name, 'dist', '.tsbuildinfo');
    if (!existsSync(source)) continue;
    if (!existsSync(built) || statSync(built).mtimeMs < newest(source)) return true;
  }
  return false;
}

if (existsSync(join(root, 'tsconfig.json')) && stale()) {
  const require = createRequire(join(root, 'package.json'));
  const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc');
  process.stderr.write('building ...\n');
  const { status } = spawnSync(process.execPath, [tsc, '-b'], {
    cwd: root,
    stdio: ['ignore', process.stderr, process.stderr],
  });
  if (status !== 0) process.exit(status ?? 1);
}

const { main } = await import(pathToFileURL(join(cli, 'dist', 'main.js')).href);
process.exitCode = await main(process.argv.slice(2));
