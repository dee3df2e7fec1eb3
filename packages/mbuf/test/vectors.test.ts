/**
 * Every program that was recorded from NetBSD's own C code (test/vectors/), with the quirks of that
 * revision on: bytes, offsets, flags, identities, sharing, counters, callbacks, injected failures and
 * panics are compared after each operation. Not compared yet: owners, tags, m_print, m_verify_packet.
 */

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { isEmptyDevget, type Program, runProgram } from './vectors/run.ts';
import { World } from './vectors/world.ts';

const file = new URL('../../../test/vectors/mbuf-public.jsonl.gz', import.meta.url);

test('3,000 programs recorded from uipc_mbuf.c 1.191 run the same', () => {
  const lines = gunzipSync(readFileSync(file)).toString().trim().split('\n').slice(1);
  const worlds = new Map<string, World>();
  const problems: string[] = [];
  for (const line of lines) {
    const program = JSON.parse(line) as Program;
    const maxLinkhdr = program.config.max_linkhdr ?? 16;
    const maxProtohdr = program.config.max_protohdr ?? 60;
    const key = `${maxLinkhdr} ${maxProtohdr}`;
    const world = worlds.get(key) ?? new World({ maxLinkhdr, maxProtohdr });
    worlds.set(key, world);
    const problem = runProgram(world, program);
    if (problem !== undefined) problems.push(`${program.id}: ${problem}`);
    // A leak that was recorded (m_devget of nothing), or a difference: the next starts afresh.
    if (problem !== undefined || program.ops.some(isEmptyDevget)) worlds.delete(key);
  }
  expect(lines.length).toBe(3000);
  expect(problems.slice(0, 10)).toEqual([]);
});
