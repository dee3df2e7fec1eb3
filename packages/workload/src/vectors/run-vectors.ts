/**
 * Runs a file of recorded programs (gzip'd or plain JSON Lines; header line first) and sums up. A line that
 * is no program is an error that names it. Programs are independent; those with the same settings share a
 * world, which a difference or a leak on record throws away.
 */

import { gunzipSync } from 'node:zlib';
import { UmbufError } from '@umbuf/memory';
import type { Program } from './recorded-run.ts';
import { isEmptyDevget, runProgram } from './run-program.ts';
import { World } from './world.ts';

/** The file is no file of vectors; the message names file and line. */
export class VectorFileError extends UmbufError {
  override name = 'VectorFileError';
}

export interface VectorFailure {
  readonly program: string;
  /** Operation, what was got, and what was recorded. */
  readonly difference: string;
}

/** What `umbuf vectors --json` prints. */
export interface VectorReport {
  readonly programs: number;
  readonly passed: number;
  readonly failed: number;
  readonly operations: number;
  readonly firstFailures: readonly VectorFailure[];
}

/** Failures that a report names. */
const FIRST = 10;

/** Reads the programs of a file's bytes; `name` is for messages. Throws `VectorFileError`. */
export function readVectors(bytes: Uint8Array, name: string): Program[] {
  let text: string;
  try {
    const zipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
    text = new TextDecoder('utf-8', { fatal: true }).decode(zipped ? gunzipSync(bytes) : bytes);
  } catch (error) {
    throw new VectorFileError(`${name}: no vectors: ${(error as Error).message}`);
  }
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  const [header, ...programs] = lines.map((line, index) => parse(line, name, index + 1));
  if (header?.['header'] !== true) {
    throw new VectorFileError(`${name}:1: no header line ("header": true)`);
  }
  for (const [index, program] of programs.entries()) {
    if (typeof program['id'] !== 'string' || !Array.isArray(program['ops'])) {
      throw new VectorFileError(`${name}:${index + 2}: no program (id, ops)`);
    }
  }
  return programs as unknown as Program[];
}

function parse(line: string, name: string, number: number): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch (error) {
    throw new VectorFileError(`${name}:${number}: ${(error as Error).message}`);
  }
  throw new VectorFileError(`${name}:${number}: no object`);
}

/** Runs all programs in this thread. */
export function runVectors(programs: readonly Program[]): VectorReport {
  const worlds = new Map<string, World>();
  const failures: VectorFailure[] = [];
  let operations = 0;
  let failed = 0;
  for (const program of programs) {
    const maxLinkhdr = program.config.max_linkhdr ?? 16;
    const maxProtohdr = program.config.max_protohdr ?? 60;
    const key = `${maxLinkhdr} ${maxProtohdr}`;
    const world = worlds.get(key) ?? new World({ maxLinkhdr, maxProtohdr });
    worlds.set(key, world);
    operations += program.ops.length;
    const difference = runProgram(world, program);
    if (difference !== undefined) {
      failed++;
      if (failures.length < FIRST) failures.push({ program: program.id, difference });
    }
    // A leak on record (m_devget of nothing), or a difference: the next program starts afresh.
    if (difference !== undefined || program.ops.some(isEmptyDevget)) worlds.delete(key);
  }
  return {
    programs: programs.length,
    passed: programs.length - failed,
    failed,
    operations,
    firstFailures: failures,
  };
}
