/**
 * What the per-CPU counters cost. They cannot be switched off, so the other side is the same module
 * of the allocator with the two counting statements of the fast path cut out of its text.
 */

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type CacheRecord, M_NOWAIT as NOWAIT, type Uma, type Zone } from '@umbuf/uma';
import { BATCH as BATCH_OPERATIONS } from '../lib/baseline.ts';
import { compare } from '../lib/bench.ts';
import type { Effort, Measurement } from '../lib/row.ts';
import { bootSystem, itemZone } from '../lib/system.ts';

type Operations = Uma['operations'];
type CacheModule = { readonly createCacheOperations: (uma: Uma) => Operations };
type Counter = keyof typeof CacheRecord.fields & ('allocs' | 'frees');

// Constants of this module, as in lib/baseline.ts.
const BATCH: number = BATCH_OPERATIONS;
const M_NOWAIT = NOWAIT;
const COUNTERS: readonly Counter[] = ['allocs', 'frees'];

export async function measure(_name: string, effort: Effort): Promise<Measurement> {
  const { uma } = bootSystem(64);
  const zone = uma.open(itemZone);
  const { createCacheOperations } = await moduleWithoutCounters();
  const before = zone.statistics();
  const measured = compare(
    { name: 'counting', operations: BATCH, pass: countingPass(zone, uma.operations) },
    {
      name: 'the same without its two counters',
      operations: BATCH,
      pass: silentPass(zone, createCacheOperations(uma)),
    },
    effort,
  );
  const { allocs, frees } = zone.statistics();
  return { ...measured, holds: allocs > before.allocs && allocs - frees < BATCH * 2 };
}

function countingPass(zone: Zone, { alloc, free }: Operations): () => void {
  const items = new Int32Array(BATCH);
  const { cache } = zone;
  return () => {
    for (let index = 0; index < BATCH; index++) items[index] = alloc(cache, M_NOWAIT, 0);
    for (let index = 0; index < BATCH; index++) free(cache, items[index]!, 0);
  };
}

/** The same text: a function of its own, so that its call sites see one allocator only. */
function silentPass(zone: Zone, { alloc, free }: Operations): () => void {
  const items = new Int32Array(BATCH);
  const { cache } = zone;
  return () => {
    for (let index = 0; index < BATCH; index++) items[index] = alloc(cache, M_NOWAIT, 0);
    for (let index = 0; index < BATCH; index++) free(cache, items[index]!, 0);
  };
}

async function moduleWithoutCounters(): Promise<CacheModule> {
  const source = new URL('cache.js', import.meta.resolve('@umbuf/uma'));
  let text = readFileSync(source, 'utf8');
  for (const counter of COUNTERS) {
    const statement = new RegExp(
      `^ *longs\\[\\(cache \\+ ${counter.toUpperCase()}\\) >> 1\\] \\+= 1n;$`,
      'gm',
    );
    if (text.match(statement)?.length !== 1)
      throw new Error(`${counter} is not counted in one place`);
    text = text.replace(statement, '');
  }
  text = text.replace(
    /from '([^']+)'/g,
    (_, name: string) =>
      `from '${name.startsWith('.') ? new URL(name, source) : import.meta.resolve(name)}'`,
  );
  const file = join(tmpdir(), `umbuf-bench-${process.pid}.mjs`);
  writeFileSync(file, text);
  try {
    return (await import(pathToFileURL(file).href)) as CacheModule;
  } finally {
    rmSync(file);
  }
}
