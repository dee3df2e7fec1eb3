/**
 * Runs one recorded program (test/vectors) and compares all of the recorded state after each operation:
 * chains mbuf by mbuf, counters, callbacks, injected failures, panics.
 */

import { isDeepStrictEqual } from 'node:util';
import { UmbufError } from '@umbuf/memory';
import { type Args, type Operation, type Program, RecordedRun } from './recorded-run.ts';
import { readChain, readCounters } from './state.ts';
import type { World } from './world.ts';

/** Runs the program; undefined when all agreed, else what did not. */
export function runProgram(world: World, program: Program): string | undefined {
  world.reset();
  const run = new RecordedRun(world);
  for (const chain of program.init) run.build(chain);
  let expected = new Map<string, unknown>();
  let counters: unknown;
  const compare = (where: string, state: Args): string | undefined => {
    const next = new Map<string, unknown>();
    for (const [name, chain] of Object.entries(state['chains'] as Args)) {
      next.set(name, chain === '=' ? expected.get(name) : chain);
    }
    expected = next;
    if (state['ctr'] !== '=') {
      counters = state['ctr'];
    }
    const names = [...run.handles.keys()].sort();
    if (names.join() !== [...next.keys()].sort().join()) return `${where}: handles ${names.join()}`;
    for (const [name, chain] of next) {
      const got = readChain(world, run.handles.get(name)!);
      const difference = unequal(got, chain);
      if (difference !== undefined) return `${where}: ${name}: ${difference}`;
    }
    const difference = unequal(readCounters(world), counters);
    return difference === undefined ? undefined : `${where}: ctr: ${difference}`;
  };
  let problem = compare('start', program.start);
  for (let index = 0; index < program.ops.length && problem === undefined; index++) {
    const { op, args, fail, result } = program.ops[index]!;
    const where = `op ${index} ${op} ${JSON.stringify(args)}`;
    world.arm(fail);
    try {
      const [ret, out] = run.execute(op, args);
      if (result['panic'] !== undefined) {
        problem = `${where}: no panic`;
        break;
      }
      problem =
        difference(`${where}: ret`, ret, result['ret']) ??
        difference(`${where}: out`, out, result['out']) ??
        difference(`${where}: events`, [...world.events], result['events'] ?? []) ??
        compare(where, result);
      const injected = (result['injected'] ?? 0) as number;
      problem ??= difference(`${where}: injected`, world.injected(), injected);
    } catch (error) {
      if (!(error instanceof UmbufError)) throw error;
      if (result['panic'] === undefined) problem = `${where}: ${error.name}: ${error.message}`;
    }
  }
  world.arm(undefined);
  for (const m of run.handles.values()) world.mbufs.freem(m);
  if (problem !== undefined) return problem;
  if (program.final === null) {
    // Where the C code panicked, we threw before anything was changed: all can be freed, but for
    // the header that each m_devget of nothing leaks (B9).
    const mbufs = program.ops.filter(isEmptyDevget).length;
    const types = mbufs === 0 ? {} : { MT_DATA: mbufs };
    const left = { mbufs, parked: 0, clusters: 0, exts: 0, tags: 0, types };
    const { owners: _owners, ...got } = readCounters(world);
    return difference('after the panic', got, left);
  }
  return (
    difference('final events', [...world.events], program.final['events']) ??
    difference('final ctr', readCounters(world), program.final['ctr'])
  );
}

function difference(where: string, got: unknown, wanted: unknown): string | undefined {
  const unlike = unequal(got, wanted);
  return unlike === undefined ? undefined : `${where}: ${unlike}`;
}

export function isEmptyDevget({ op, args, result }: Operation): boolean {
  const { len, off } = args;
  return op === 'm_devget' && len === (off === 0 ? 0 : 4) && result['injected'] === undefined;
}

/** undefined when equal, else both sides as text. Key order does not matter. */
function unequal(got: unknown, wanted: unknown): string | undefined {
  if (isDeepStrictEqual(got, wanted)) return undefined;
  const left = JSON.stringify(sorted(got));
  const right = JSON.stringify(sorted(wanted));
  return left === right ? undefined : `got ${left}, recorded ${right}`;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}
