/**
 * UMA between real threads: four CPUs on few cores allocate, stamp, hand over by rings and free
 * items of several zones, drained by each other and by the main thread meanwhile; and a CPU that
 * frees from timer callbacks, claimed whenever it is idle.
 */
import { afterEach, expect, test } from 'vitest';
import { Arena, claimCpu, freePageCount, initRing } from '@umbuf/memory';
import { allZoneStatistics, fsck, reclaim, Uma } from '@umbuf/uma';
import type { UmaReport, UmaWorkerData } from '../fixtures/uma-worker.ts';
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

const SEED = testSeed(0x0a110c);
const ownCpus = Array.from({ length: CPUS - 1 }, (_, index) => index + 1);

interface Setting {
  readonly arena: Arena;
  readonly uma: Uma;
  readonly control: Int32Array<SharedArrayBuffer>;
}

function setUp(level: 'none' | 'checks' | 'invariants', bytes: number): Setting {
  const arena = Arena.create({ bytes, cpus: CPUS, level });
  const uma = Uma.attach(claimCpu(arena, { number: 0, mayBlock: false }));
  const control = new Int32Array(new SharedArrayBuffer(controlBytes()));
  for (const from of ownCpus)
    for (const to of ownCpus) initRing(control, ringAt(from, to), RING_CAPACITY);
  return { arena, uma, control };
}

function workerData(
  { arena, control }: Setting,
  role: UmaWorkerData['role'],
  cpu: number,
): UmaWorkerData {
  const peers = ownCpus.filter((other) => other !== cpu);
  return { arena: arena.handle(), cpu, seed: SEED + cpu, role, control: control.buffer, peers };
}

/** All CPUs have gone offline: nothing is live, fsck is content, every page comes back. */
function expectAllBack({ arena, uma }: Setting, pagesBefore: number): void {
  const zones = openStressZones(uma);
  expect(fsck(uma)).toEqual({ violations: [], live: expect.anything() });
  for (const zone of zones) expect(zone.statistics().live, zone.name).toBe(0);
  const { unanswered, needOpener } = reclaim(uma, 'drain-cpu');
  expect({ unanswered, needOpener }).toEqual({ unanswered: [], needOpener: [] });
  expect(fsck(uma).violations).toEqual([]);
  expect(allZoneStatistics(uma).filter((zone) => zone.pages > 0)).toEqual([]);
  expect(freePageCount(arena)).toBe(pagesBefore);
}

test.each([
  ['none', 16 << 20],
  ['checks', 1 << 20],
  ['invariants', 16 << 20],
] as const)(
  `four CPUs trade items at level %s in %i bytes (seed ${SEED})`,
  async (level, bytes) => {
    const setting = setUp(level, bytes);
    const { arena, uma, control } = setting;
    const zones = openStressZones(uma);
    reclaim(uma, 'drain-cpu');
    const pagesBefore = freePageCount(arena);
    const workers = startWorkers(
      'uma-worker',
      ownCpus.map((cpu) => workerData(setting, 'trade', cpu)),
    );
    const end = performance.now() + stressMs;
    let drains = 0;
    let own = 0;
    while (performance.now() < end) {
      await sleep(3);
      // The main thread may not block: what it cannot get now is NULL, what it cannot put back waits.
      for (const zone of zones) {
        const item = zone.alloc(1);
        if (item !== 0) {
          own++;
          zone.free(item);
        }
      }
      const zone = zones[drains++ % zones.length]!;
      try {
        reclaim(uma, drains % 2 === 0 ? 'drain-cpu' : 'trim', zone.record);
      } catch (error) {
        expect(error).toHaveProperty('name', 'LockBusyError');
      }
    }
    Atomics.store(control, Control.stop, 1);
    const reports = await watchdog(arena, 20, allResults<UmaReport>(workers));
    await watchdog(arena, 20, Promise.all(workers.map((worker) => worker.exited)));
    expect(reports.flatMap((report) => report.violations)).toEqual([]);
    const sum = (key: 'allocs' | 'frees' | 'foreign' | 'nulls'): number =>
      reports.reduce((total, report) => total + report[key], 0);
    expect(sum('allocs')).toBe(sum('frees'));
    expect(sum('foreign')).toBeGreaterThan(100);
    expect(own).toBeGreaterThan(0);
    if (bytes === 1 << 20) expect(sum('nulls')).toBeGreaterThan(0);
    expectAllBack(setting, pagesBefore);
  },
);

test('a timer of an idle CPU frees items while its caches are claimed again and again', async () => {
  const setting = setUp('checks', 4 << 20);
  const { arena, uma } = setting;
  openStressZones(uma);
  reclaim(uma, 'drain-cpu');
  const pagesBefore = freePageCount(arena);
  const [worker] = startWorkers('uma-worker', [workerData(setting, 'timer', 1)]);
  await watchdog(arena, 20, worker!.ready);
  let finished = false;
  void worker!.result.then(() => {
    finished = true;
  });
  let drained = 0;
  while (!finished) {
    const result = reclaim(uma, 'drain-cpu');
    if (!result.unanswered.includes(1)) drained++;
    await sleep(1);
  }
  const [report] = await watchdog(arena, 20, allResults<UmaReport>([worker!]));
  await worker!.exited;
  expect(report!.violations).toEqual([]);
  expect(report!.frees).toBe(report!.allocs);
  // As often as a busy machine lets us: once would be luck.
  expect(drained).toBeGreaterThan(1);
  expectAllBack(setting, pagesBefore);
});
