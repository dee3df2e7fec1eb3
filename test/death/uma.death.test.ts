/**
 * Workers terminated at random moments while they churn through slow paths and callbacks. After
 * each death the main thread recovers the CPU, parks the others, and counts: fsck must find
 * nothing, and the live items must be those of the ledgers, plus at most one per death (the item
 * between an allocation's return and the user's own note of it).
 */
import { afterEach, expect, test } from 'vitest';
import { Arena, claimCpu, markDead } from '@umbuf/memory';
import { fsck, reclaim, Uma, type Zone } from '@umbuf/uma';
import type { UmaWorkerData } from '../fixtures/uma-worker.ts';
import { randomFrom } from '../fixtures/random.ts';
import {
  Control,
  controlBytes,
  CPUS,
  HELD,
  ledgerAt,
  openStressZones,
  stressZones,
} from '../support/uma-zones.ts';
import {
  recoverUntilDone,
  sleep,
  type StartedWorker,
  startWorkers,
  stopWorkers,
  stressMs,
  testSeed,
  watchdog,
} from '../support/workers.ts';

afterEach(stopWorkers);

const SEED = testSeed(0xdead);
/** Rounds per test, of one to three deaths each. */
const ROUNDS = Math.max(22, Math.round((22 * stressMs) / 2000));
const numbers = [1, 2, 3];

class Campaign {
  readonly arena: Arena;
  readonly uma: Uma;
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly workers = new Map<number, StartedWorker>();
  deaths = 0;
  seed = SEED;

  constructor(level: 'none' | 'checks' | 'invariants') {
    this.arena = Arena.create({ bytes: 2 << 20, cpus: CPUS, level });
    this.uma = Uma.attach(claimCpu(this.arena, { number: 0, mayBlock: false }));
    this.control = new Int32Array(new SharedArrayBuffer(controlBytes()));
  }

  async start(cpus: readonly number[]): Promise<void> {
    const data = cpus.map(
      (cpu): UmaWorkerData => ({
        arena: this.arena.handle(),
        cpu,
        seed: this.seed++,
        role: 'churn',
        control: this.control.buffer,
        peers: numbers.filter((other) => other !== cpu),
      }),
    );
    const started = startWorkers('uma-worker', data);
    started.forEach((worker, index) => this.workers.set(cpus[index]!, worker));
    await watchdog(this.arena, 20, Promise.all(started.map((worker) => worker.ready)));
  }

  async kill(cpus: readonly number[]): Promise<void> {
    const victims = cpus.map((cpu) => this.workers.get(cpu)!);
    await Promise.all(victims.map((victim) => victim.worker.terminate()));
    await Promise.all(victims.map((victim) => victim.exited));
    for (const { cpu, incarnation } of victims) markDead(this.uma.cpu, cpu!, incarnation!);
    for (const { cpu, incarnation } of victims) {
      expect(await recoverUntilDone(this.uma.cpu, cpu!, incarnation!)).toBe('recovered');
      this.workers.delete(cpu!);
      Atomics.store(this.control, Control.parked + cpu!, 0);
      this.deaths++;
    }
  }

  async park(): Promise<void> {
    Atomics.store(this.control, Control.pause, 1);
    const parked = async (): Promise<void> => {
      for (const cpu of this.workers.keys()) {
        while (Atomics.load(this.control, Control.parked + cpu) === 0) await sleep(1);
      }
    };
    await watchdog(this.arena, 20, parked());
  }

  resume(): void {
    Atomics.store(this.control, Control.pause, 0);
    Atomics.notify(this.control, Control.pause);
  }

  held(zone: number): number {
    let items = 0;
    for (const cpu of numbers) {
      for (let index = 0; index < HELD; index++) {
        if (this.control[ledgerAt(cpu, zone) + index] !== 0) items++;
      }
    }
    return items;
  }

  /** The dead user's items, given back from its ledger. */
  freeHeld(zones: readonly Zone[], cpu: number): void {
    zones.forEach((zone, index) => {
      for (let at = ledgerAt(cpu, index); at < ledgerAt(cpu, index) + HELD; at++) {
        zone.free(this.control[at]!);
        this.control[at] = 0;
      }
    });
  }
}

test.each(['none', 'checks', 'invariants'] as const)(
  `workers die at random moments and nothing is lost or doubled, level %s (seed ${SEED})`,
  async (level) => {
    const campaign = new Campaign(level);
    const { arena, uma } = campaign;
    const zones = openStressZones(uma);
    const random = randomFrom(SEED);
    await campaign.start(numbers);
    for (let round = 0; round < ROUNDS; round++) {
      const where = `round ${round}, ${campaign.deaths} deaths, seed ${SEED}`;
      await sleep(random(6));
      const victims = numbers.filter(() => random(2) === 0);
      if (victims.length === 0) victims.push(numbers[random(numbers.length)]!);
      await campaign.kill(victims);
      await campaign.park();
      expect(uma.words[uma.cpu.handTop], where).toBe(0);
      const report = fsck(uma);
      expect(report.violations, where).toEqual([]);
      let extra = 0;
      stressZones.forEach(({ name }, zone) => {
        const more = report.live[name]! - campaign.held(zone);
        expect(more, `${name}, ${where}`).toBeGreaterThanOrEqual(0);
        extra += more;
      });
      expect(extra, where).toBeLessThanOrEqual(campaign.deaths);
      for (const cpu of victims) campaign.freeHeld(zones, cpu);
      if (round % 4 === 0) reclaim(uma, 'drain-cpu');
      campaign.resume();
      await campaign.start(victims);
    }
    Atomics.store(campaign.control, Control.stop, 1);
    await watchdog(arena, 20, Promise.all([...campaign.workers.values()].map((one) => one.exited)));
    for (const cpu of numbers) campaign.freeHeld(zones, cpu);
    expect(campaign.deaths).toBeGreaterThanOrEqual(ROUNDS);
    const report = fsck(uma);
    expect(report.violations).toEqual([]);
    const lost = stressZones.reduce((sum, { name }) => sum + report.live[name]!, 0);
    expect(lost).toBeLessThanOrEqual(campaign.deaths);
    reclaim(uma, 'drain-cpu');
    expect(fsck(uma).violations).toEqual([]);
    // Pages that stay are those that the lost items are in (slabs of at most eight pages), and
    // those of their headers and tables.
    const pages = zones.reduce((sum, zone) => sum + zone.statistics().pages, 0);
    expect(pages).toBeLessThanOrEqual(lost * 16);
  },
);
