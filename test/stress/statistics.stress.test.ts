/**
 * Statistics read by the main thread while four CPUs work: every counter grows or stays, at each look;
 * nothing is ever below zero; at rest everything adds up.
 */
import { StressSession } from '@umbuf/workload';
import {
  decodeZoneStats,
  encodeZoneStats,
  fsck,
  lockStatistics,
  memoryTypes,
  readStranded,
  type Uma,
  umaSysctl,
} from '@umbuf/uma';
import { expect, test } from 'vitest';

const SEED = 20_261;

/** Counters of one look, by name; all of them may only grow. */
function look(uma: Uma): Map<string, bigint> {
  const counters = new Map<string, bigint>();
  for (const zone of decodeZoneStats(encodeZoneStats(uma))) {
    const { name, allocs, frees, fails, sleeps, xdomain, perCpu } = zone;
    for (const [leaf, value] of Object.entries({ allocs, frees, fails, sleeps, xdomain })) {
      counters.set(`${name} ${leaf}`, value);
    }
    for (const [cpu, of] of perCpu.entries()) {
      counters.set(`${name} CPU ${cpu} allocs`, of.allocs);
      counters.set(`${name} CPU ${cpu} frees`, of.frees);
    }
  }
  for (const lock of lockStatistics(uma)) counters.set(`lock ${lock.name}`, lock.n_lock_ops);
  for (const { path, counter, read } of umaSysctl(uma).list('vm.uma.churn_64')) {
    if (counter === true) counters.set(path, read() as bigint);
  }
  return counters;
}

test(`counters only grow under four CPUs, and add up at rest (seed ${SEED})`, async () => {
  await using session = await StressSession.open({ scenarios: ['churn'], cpus: 4, level: 'none' });
  const { uma } = session;
  let last = new Map<string, bigint>();
  let looks = 0;
  const wrong: string[] = [];
  const timer = setInterval(() => {
    const now = look(uma);
    for (const [name, value] of now) {
      const before = last.get(name) ?? 0n;
      if (value < before) wrong.push(`${name}: ${before}, then ${value}`);
    }
    for (const { name, count, free } of memoryTypes(decodeZoneStats(encodeZoneStats(uma)))) {
      if (count < 0n || free < 0n) wrong.push(`${name}: ${count} used, ${free} free`);
    }
    last = now;
    looks++;
  }, 2);
  let parked = false;
  const outcome = await session.run({
    scenario: 'churn',
    seconds: 1,
    seed: SEED,
    onParked: () => {
      parked = true;
      clearInterval(timer);
      // Everything was given back: what is free is in the caches of CPUs at rest, on queues, in slabs.
      const types = memoryTypes(decodeZoneStats(encodeZoneStats(uma)));
      for (const zone of types.filter(({ name }) => name.startsWith('churn'))) {
        expect(zone.count, zone.name).toBe(0n);
      }
      expect(readStranded(uma).length).toBeGreaterThan(0);
      expect(fsck(uma).violations).toEqual([]);
    },
  });
  clearInterval(timer);
  expect(wrong).toEqual([]);
  expect(parked).toBe(true);
  expect(outcome.violations).toEqual([]);
  expect(looks).toBeGreaterThan(3);
  const busy = [...last].filter(([name, value]) => / CPU \d allocs$/.test(name) && value > 0n);
  expect(busy.length, 'zones and CPUs at work').toBeGreaterThan(10);
});
