/**
 * Every program that was recorded from NetBSD's own C code (test/vectors/), with the quirks of that
 * revision on: bytes, offsets, flags, identities, sharing, tags, counters, callbacks, injected failures,
 * panics and m_print's text are compared after each operation.
 */

import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { readVectors, runVectors, VectorFileError } from '../src/index.ts';

const file = new URL('../../../test/vectors/mbuf-public.jsonl.gz', import.meta.url);

test('3,000 programs recorded from uipc_mbuf.c 1.191 run the same', () => {
  const programs = readVectors(readFileSync(file), 'mbuf-public.jsonl.gz');
  const { firstFailures, ...counts } = runVectors(programs);
  expect(firstFailures).toEqual([]);
  expect(counts).toEqual({ programs: 3000, passed: 3000, failed: 0, operations: 47397 });
});

test('a program that was changed in one byte fails, and says where', () => {
  const [program] = readVectors(readFileSync(file), 'public').slice(0, 1);
  const text = JSON.stringify(program).replace(
    /"len":(\d+)/,
    (_all, n) => `"len":${Number(n) + 1}`,
  );
  const { failed, firstFailures } = runVectors([JSON.parse(text)]);
  expect(failed).toBe(1);
  expect(firstFailures[0]!.difference).toMatch(/got .*recorded/);
});

test.each([
  ['nothing', '', /v:1: no header line/],
  ['no JSON', '{"header":true}\n{"id":', /v:2: .*JSON/],
  ['no program', '{"header":true}\n{"id":"a"}', /v:2: no program/],
  ['no object', '{"header":true}\n7', /v:2: no object/],
  ['a cut-off gzip', gzipSync('{"header":true}').subarray(0, 15), /v: no vectors: /],
])('a file with %s is an error that names the line', (_what, content, message) => {
  const read = () => readVectors(Buffer.from(content), 'v');
  expect(read).toThrow(VectorFileError);
  expect(read).toThrow(message);
});
