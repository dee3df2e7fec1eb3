/**
 * SMR between real threads: the hash map of docs/guide/smr.md, read without locks while others set and
 * delete; readers killed in their sections meanwhile.
 */
import { readFileSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { Arena, claimCpu } from '@umbuf/memory';
import { fsck, reclaim, Uma } from '@umbuf/uma';
import type { HashMapReport, HashMapWorkerData } from '../fixtures/hash-map-worker.ts';
import { Entry, entryZone, HashMap } from '../support/hash-map.ts';
import {
  allGoOn,
  allReady,
  allResults,
  recoverUntilDone,
  scratchPage,
  sleep,
  startWorkers,
  stopWorkers,
  stressMs,
  terminateAndRecover,
  testSeed,
  watchdog,
} from '../support/workers.ts';

afterEach(stopWorkers);

const SEED = testSeed(0x5e41);
const KEYS = 200;
const CHAINS = 16;
const CPUS = 5;

interface Setting {
  readonly arena: Arena;
  readonly uma: Uma;
  readonly map: HashMap;
  readonly stop: number;
}

function setUp(level: 'none' | 'invariants'): Setting {
  const arena = Arena.create({ bytes: 8 << 20, cpus: CPUS, level });
  const cpu = claimCpu(arena, { number: 0, mayBlock: false });
  const uma = Uma.attach(cpu);
  const map = HashMap.create(uma, CHAINS)!;
  for (let key = 0; key < KEYS; key++) map.set(key, key << 16);
  return { arena, uma, map, stop: scratchPage(cpu) };
}

function data(
  { arena, map, stop }: Setting,
  role: HashMapWorkerData['role'],
  cpu: number,
): HashMapWorkerData {
  const { table, chains } = map;
  return { arena: arena.handle(), cpu, seed: SEED + cpu, role, table, chains, keys: KEYS, stop };
}

/** Every other CPU is offline: what is linked is live, and nothing else. */
function expectConsistent({ uma, map }: Setting): void {
  let linked = 0;
  for (let key = 0; key < KEYS; key++) {
    const value = map.get(key);
    if (value === undefined) continue;
    expect(value >> 16, `key ${key}`).toBe(key);
    linked++;
  }
  const report = fsck(uma);
  expect(report.violations).toEqual([]);
  expect(report.live[Entry.name]).toBe(linked);
  for (let key = 0; key < KEYS; key++) map.delete(key);
  map.smr.synchronize();
  reclaim(uma, 'drain');
  expect(fsck(uma)).toMatchObject({ violations: [], live: { [Entry.name]: 0 } });
}

test.each(['none', 'invariants'] as const)(
  `readers never see an entry that became another one, level %s (seed ${SEED})`,
  async (level) => {
    const setting = setUp(level);
    const { arena, uma, map, stop } = setting;
    const workers = startWorkers('hash-map-worker', [
      data(setting, 'read', 1),
      data(setting, 'read', 2),
      data(setting, 'write', 3),
      data(setting, 'write', 4),
    ]);
    await watchdog(arena, 30, allReady(workers));
    await sleep(stressMs / 4);
    // Entries are reused while they are read: each of them several times over.
    const enough = async (): Promise<void> => {
      while (uma.open(entryZone).statistics().frees < 20 * KEYS) await sleep(5);
      await allGoOn(arena, [1, 2, 3, 4]);
    };
    await watchdog(arena, 60, enough());
    Atomics.store(uma.words, stop, 1);
    const reports = await watchdog(arena, 30, allResults<HashMapReport>(workers));
    await watchdog(arena, 30, Promise.all(workers.map((worker) => worker.exited)));
    expect(reports.flatMap((report) => report.violations)).toEqual([]);
    expect(reports[0]!.found + reports[1]!.found).toBeGreaterThan(100);
    // Reused, not imported: the zone has not grown with the work.
    const { frees, pages } = uma.open(entryZone).statistics();
    expect(frees).toBeGreaterThan(20 * KEYS);
    expect(pages).toBeLessThan(200);
    expect(map.smr.statistics().advances).toBeGreaterThan(5);
    expectConsistent(setting);
  },
);

test('readers that are killed in their sections hold up nobody for ever', async () => {
  const setting = setUp('none');
  const { arena, uma, map, stop } = setting;
  const [writer] = startWorkers('hash-map-worker', [data(setting, 'write', 4)]);
  await watchdog(arena, 30, writer!.ready);
  for (let round = 0; round < 3; round++) {
    const [reader] = startWorkers('hash-map-worker', [data(setting, 'hold', 1)]);
    await watchdog(arena, 30, reader!.ready);
    const entered = async (): Promise<number> => {
      for (;;) {
        // The section is there when a goal from now is not reached.
        const goal = map.smr.advance();
        if (!map.smr.poll(goal)) return goal;
        await sleep(1);
      }
    };
    const goal = await watchdog(arena, 30, entered());
    await watchdog(arena, 30, allGoOn(arena, [4]));
    expect(map.smr.poll(goal)).toBe(false);
    expect(await terminateAndRecover(uma.cpu, reader!)).toBe('recovered');
    expect(map.smr.poll(goal)).toBe(true);
  }
  Atomics.store(uma.words, stop, 1);
  await watchdog(arena, 30, allResults([writer!]));
  await writer!.exited;
  expectConsistent(setting);
});

test('readers and writers are killed anywhere; what is linked stays whole', async () => {
  const setting = setUp('none');
  const { arena, uma, map, stop } = setting;
  let leaked = 0;
  for (let round = 0; round < 4; round++) {
    const role = round % 2 === 0 ? 'read' : 'write';
    const [victim, other] = startWorkers('hash-map-worker', [
      data(setting, role, 1),
      data(setting, 'write', 2),
    ]);
    await watchdog(arena, 30, allReady([victim!, other!]));
    await watchdog(arena, 30, allGoOn(arena, [1, 2]));
    for (const worker of [victim!, other!]) {
      await worker.worker.terminate();
      expect(await recoverUntilDone(uma.cpu, worker.cpu!, worker.incarnation!)).toBe('recovered');
    }
    // What a user held between its lock and its free is his: attributed, not recovered.
    let linked = 0;
    for (let key = 0; key < KEYS; key++) {
      const value = map.get(key);
      if (value !== undefined) expect(value >> 16).toBe(key);
      if (value !== undefined) linked++;
    }
    const report = fsck(uma);
    expect(report.violations).toEqual([]);
    const held = report.live[Entry.name]! - linked;
    expect(held).toBeGreaterThanOrEqual(leaked);
    expect(held).toBeLessThanOrEqual(leaked + 2);
    leaked = held;
  }
  Atomics.store(uma.words, stop, 1);
});

test('the page shows the map as it is', () => {
  const page = readFileSync(new URL('../../docs/guide/smr.md', import.meta.url), 'utf8');
  const source = readFileSync(new URL('../support/hash-map.ts', import.meta.url), 'utf8');
  expect(/^```ts file=hash-map.ts\n([\s\S]*?)^```$/m.exec(page)![1]).toBe(source);
});
