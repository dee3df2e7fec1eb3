/**
 * Zones between real threads: opened, used, destroyed and opened again by all CPUs at once, in an arena
 * of two NUMA domains whose items are freed across them.
 */
import { afterEach, expect, test } from 'vitest';
import { Arena, claimCpu, initRing } from '@umbuf/memory';
import { fsck, reclaim, Uma } from '@umbuf/uma';
import type { UmaReport, UmaWorkerData } from '../fixtures/uma-worker.ts';
import type { ZoneLifeData, ZoneLifeReport } from '../fixtures/zone-life-worker.ts';
import {
  Control,
  controlBytes,
  CPUS,
  openStressZones,
  RING_CAPACITY,
  ringAt,
} from '../support/uma-zones.ts';
import {
  allResults,
  sleep,
  startWorkers,
  stopWorkers,
  stressMs,
  testSeed,
  watchdog,
} from '../support/workers.ts';

afterEach(stopWorkers);

const SEED = testSeed(0x2011e);

test.each(['none', 'checks'] as const)(
  `three CPUs destroy each other's zones at level %s: nobody gets memory that another holds (seed ${SEED})`,
  async (level) => {
    const arena = Arena.create({ bytes: 64 << 20, cpus: 4, level });
    const uma = Uma.attach(claimCpu(arena, { number: 0, mayBlock: false }));
    const control = new Int32Array(new SharedArrayBuffer(64));
    const workers = startWorkers(
      'zone-life-worker',
      [1, 2, 3].map(
        (cpu): ZoneLifeData => ({
          arena: arena.handle(),
          cpu,
          seed: SEED + cpu,
          control: control.buffer,
        }),
      ),
    );
    await watchdog(arena, 20, Promise.all(workers.map(({ ready }) => ready)));
    await sleep(stressMs / 2);
    Atomics.store(control, 0, 1);
    const reports = await watchdog(arena, 30, allResults<ZoneLifeReport>(workers));
    await watchdog(arena, 20, Promise.all(workers.map(({ exited }) => exited)));
    expect(reports.flatMap(({ violations }) => violations)).toEqual([]);
    expect(reports.reduce((sum, { destroyed }) => sum + destroyed, 0)).toBeGreaterThan(2);
    expect(reports.reduce((sum, { refused }) => sum + refused, 0)).toBeGreaterThan(2);
    // A destroy that its CPU left dying is finished by the next open.
    uma.open({ name: 'last', size: 8 });
    expect(fsck(uma).violations).toEqual([]);
    expect(uma.zoneCount()).toBeLessThan(64);
  },
);

test(`four CPUs of two domains trade items (seed ${SEED})`, async () => {
  const arena = Arena.create({ bytes: 16 << 20, cpus: CPUS, level: 'checks', domains: 2 });
  const uma = Uma.attach(claimCpu(arena, { number: 0, mayBlock: false }));
  const control = new Int32Array(new SharedArrayBuffer(controlBytes()));
  const own = [1, 2, 3, 4];
  for (const from of own) for (const to of own) initRing(control, ringAt(from, to), RING_CAPACITY);
  const zones = openStressZones(uma);
  const workers = startWorkers(
    'uma-worker',
    own.map(
      (cpu): UmaWorkerData => ({
        arena: arena.handle(),
        cpu,
        seed: SEED + cpu,
        role: 'trade',
        control: control.buffer,
        peers: own.filter((other) => other !== cpu),
      }),
    ),
  );
  await watchdog(arena, 20, Promise.all(workers.map(({ ready }) => ready)));
  await sleep(stressMs / 2);
  Atomics.store(control, Control.stop, 1);
  const reports = await watchdog(arena, 30, allResults<UmaReport>(workers));
  await watchdog(arena, 20, Promise.all(workers.map(({ exited }) => exited)));
  expect(reports.flatMap(({ violations }) => violations)).toEqual([]);
  const report = fsck(uma);
  expect(report.violations).toEqual([]);
  for (const zone of zones) expect(zone.statistics().live, zone.name).toBe(0);
  reclaim(uma, 'drain-cpu');
  expect(zones.map((zone) => zone.statistics().pages)).toEqual(zones.map(() => 0));
  expect(fsck(uma).violations).toEqual([]);
});
