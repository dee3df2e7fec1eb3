/** `umbuf vectors`: programs recorded from NetBSD's own C code, run against our mbufs. */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { readVectors, runVectors, VectorFileError } from '@umbuf/workload';
import { parse, UsageError } from '../arguments.ts';
import type { Command } from '../command.ts';
import { good } from '../screen.ts';

const help = `umbuf vectors FILE [options]

Runs every program of a file of recorded mbuf programs (JSON Lines, gzip'd or plain) with the quirks
of uipc_mbuf.c 1.191, and compares all that was recorded after each operation: bytes, flags, identities,
owners, counters, reference counts, callbacks, injected failures, panics, m_print's text.

  --json           { "programs", "passed", "failed", "operations", "firstFailures" } on stdout

Exit code 0: all programs agree. 1: some do not, or the file is none. 2: the options are off.
`;

function run(args: readonly string[]): Promise<number> {
  const parsed = parse(args, { json: { type: 'boolean' } } as const, true);
  const [file, ...more] = parsed.positionals;
  if (file === undefined || more.length > 0) throw new UsageError('one file of vectors, please');
  const path = resolve(process.env['INIT_CWD'] ?? process.cwd(), file);
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new VectorFileError(`${file}: ${(error as Error).message}`);
  }
  const report = runVectors(readVectors(bytes, file));
  if (parsed.values['json'] === true) {
    process.stdout.write(`${JSON.stringify(report)}\n`);
  } else {
    for (const { program, difference } of report.firstFailures) {
      process.stdout.write(`${program}: ${difference}\n`);
    }
    const { programs, passed, operations } = report;
    const verdict = report.failed === 0 ? good('ok') : 'FAILED';
    process.stdout.write(
      `${verdict}: ${passed} of ${programs} programs agree (${operations} operations)\n`,
    );
  }
  return Promise.resolve(report.failed === 0 ? 0 : 1);
}

export const command: Command = { help, run };
