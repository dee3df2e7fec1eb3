/**
 * Snapshots while three workers allocate, exchange and free: what is in use is never negative, and with
 * `quiesce` every total is exactly what the workers' ledgers say at that moment.
 */
import { Arena, claimCpu } from '@umbuf/memory';
import { differenceOf, type Snapshot, takeSnapshot } from '@umbuf/stats';
import { attachOwner } from '@umbuf/tracing';
import { arenaStatistics, fsck, Uma, walkItems } from '@umbuf/uma';
import { afterEach, expect, test } from 'vitest';
import { CONTROL_WORDS, LEDGER, snapshotZone, STOP } from '../support/snapshot-zone.ts';
import {
  allReady,
  allResults,
  startWorkers,
  stopWorkers,
  stressMs,
  testSeed,
  watchdog,
} from '../support/workers.ts';

const WORKERS = 3;
const seed = testSeed(27);

afterEach(stopWorkers);

test(`running totals are never negative, quiesced ones are exact (seed ${seed})`, async () => {
  const arena = Arena.create({ bytes: 8 << 20, cpus: WORKERS + 1 });
  const cpu = claimCpu(arena, { number: 0, manualLeave: true });
  const uma = Uma.attach(cpu);
  const zone = uma.open(snapshotZone);
  zone.setOwner(attachOwner(cpu, 'worker'));
  const control = new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * 4));
  const ledger = (at: number): number => {
    let sum = 0;
    for (let worker = 1; worker <= WORKERS; worker++) {
      sum += Atomics.load(control, LEDGER + worker * 2 + at);
    }
    return sum;
  };
  const registry = arenaStatistics(uma);
  registry.add({ path: 'ledger.allocs', description: '', kind: 'counter', read: () => ledger(0) });
  registry.add({ path: 'ledger.frees', description: '', kind: 'counter', read: () => ledger(1) });
  const walk = (): number => {
    let live = 0;
    walkItems(uma, zone.keg, 0, () => live++);
    return live;
  };
  registry.add({ path: 'walk.live', description: '', kind: 'gauge', read: walk });
  const workers = startWorkers(
    'snapshot-worker',
    Array.from({ length: WORKERS }, (_, index) => ({
      arena: arena.handle(),
      cpu: index + 1,
      seed: seed + index,
      control: control.buffer,
    })),
  );
  await watchdog(arena, 20, allReady(workers));
  const value = ({ values }: Snapshot, path: string): number => Number(values.get(path));
  const used = (snapshot: Snapshot): number =>
    value(snapshot, 'vm.uma.snapshot.stats.allocs') -
    value(snapshot, 'vm.uma.snapshot.stats.frees');
  const owned = (snapshot: Snapshot): number =>
    value(snapshot, 'owner.worker.itemClaims') - value(snapshot, 'owner.worker.itemReleases');
  let runningLooks = 0;
  let exact = 0;
  let last: Snapshot | undefined;
  const deadline = performance.now() + stressMs;
  // Both kinds at least a few times, however late the machine lets the workers answer.
  while (performance.now() < deadline || exact < 3) {
    const running = takeSnapshot(registry);
    runningLooks++;
    expect(running).toMatchObject({ exact: false, unanswered: [] });
    expect(used(running)).toBeGreaterThanOrEqual(0);
    expect(owned(running)).toBeGreaterThanOrEqual(0);
    const quiesced = takeSnapshot(registry, '', { quiesce: { cpu, answerMs: 2000 } });
    expect(quiesced.unanswered.length === 0).toBe(quiesced.exact);
    if (!quiesced.exact) continue;
    exact++;
    const allocs = value(quiesced, 'ledger.allocs');
    const frees = value(quiesced, 'ledger.frees');
    expect(value(quiesced, 'vm.uma.snapshot.stats.allocs')).toBe(allocs);
    expect(value(quiesced, 'vm.uma.snapshot.stats.frees')).toBe(frees);
    expect(value(quiesced, 'vm.uma.snapshot.stats.current')).toBe(allocs - frees);
    expect(value(quiesced, 'owner.worker.itemClaims')).toBe(allocs);
    // A free that stands still in its slow path has released its owner, and is not counted yet.
    expect(owned(quiesced)).toBe(value(quiesced, 'walk.live'));
    expect(used(quiesced) - owned(quiesced)).toBeLessThanOrEqual(WORKERS);
    expect(used(quiesced) - owned(quiesced)).toBeGreaterThanOrEqual(0);
    if (last !== undefined) {
      const { values } = differenceOf(last, quiesced);
      const grown = Number(values.get('vm.uma.snapshot.stats.allocs'));
      expect(grown).toBe(allocs - value(last, 'ledger.allocs'));
    }
    last = quiesced;
  }
  Atomics.store(control, STOP, 1);
  const allocs = (await watchdog(arena, 20, allResults<number>(workers))).reduce(
    (sum, each) => sum + each,
  );
  expect(allocs).toBeGreaterThan(1000);
  expect(runningLooks).toBeGreaterThan(2);
  expect(zone.statistics()).toMatchObject({ allocs, frees: allocs });
  expect(fsck(uma).violations).toEqual([]);
});
