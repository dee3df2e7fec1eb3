/**
 * Death at every point of what creation brings: frees to other domains, sorting, a domain that is
 * exhausted, zones made over a destroyed one's record, and destruction. Another CPU recovers; then fsck
 * finds nothing, and a destroy that was broken off is finished by the next open.
 */
import { expect, test } from 'vitest';
import { answerRequests, markDead, recover } from '@umbuf/memory';
import {
  defineZone,
  fsck,
  M_NOWAIT,
  reclaim,
  type Uma,
  type Zone,
  ZoneState,
  zoneState,
} from '../src/index.ts';
import { deathPoints, mark, restore, spread } from './support/death.ts';
import { allocAll, handTop, leave, virtualCpus } from './support/virtual.ts';

/** Points tried per operation; all of them in a soak. */
const POINTS = Number(process.env['UMBUF_STRESS_SECONDS'] ?? 2) > 10 ? 100_000 : 60;
const items = defineZone({ name: 'z', size: 2048 });

function recovered(supervisor: Uma, victim: Uma): void {
  const { number, incarnation } = victim.cpu;
  markDead(supervisor.cpu, number, incarnation);
  expect(recover(supervisor.cpu, number, incarnation)).toBe('recovered');
  expect(handTop(supervisor)).toBe(0);
}

interface Scenario {
  readonly name: string;
  /** `zones` are victim's, supervisor's, and the others', each of its own domain. */
  prepare(zones: readonly Zone[]): number[];
  operation(zone: Zone, held: number[]): void;
}

const acrossDomains: readonly Scenario[] = [
  {
    name: 'frees that fill the cross bucket and sort it',
    prepare: (zones) => zones.slice(1).flatMap((zone) => allocAll(zone, 10)),
    operation(zone, held) {
      while (held.length > 2) zone.free(held.splice(held.length % 2, 1)[0]!);
    },
  },
  {
    name: 'an answer that sends the cross bucket home',
    prepare(zones) {
      const held = zones.slice(1).flatMap((zone) => allocAll(zone, 3));
      while (held.length > 2) zones[0]!.free(held.pop()!);
      return held;
    },
    operation: (zone) => answerRequests(zone.uma.cpu),
  },
  {
    name: 'a drain of partial buckets',
    prepare(zones) {
      const held = zones.slice(1).flatMap((zone) => allocAll(zone, 8));
      while (held.length > 0) zones[0]!.free(held.shift()!);
      return held;
    },
    operation: (zone) => void reclaim(zone.uma, 'drain-cpu', zone.record),
  },
  {
    name: 'an allocation from a domain that is named',
    prepare(zones) {
      const held = allocAll(zones[1]!, 9);
      while (held.length > 1) zones[1]!.free(held.pop()!);
      answerRequests(zones[1]!.uma.cpu);
      return held;
    },
    operation(zone) {
      zone.allocDomain(1, M_NOWAIT);
    },
  },
];

test.each(acrossDomains)('three domains: $name', (scenario) => {
  const { umas } = virtualCpus(3, { domains: 3, level: 'checks', bytes: 1 << 19 });
  const zones = umas.map((uma) => uma.open(items));
  const [victim, supervisor] = umas as [Uma, Uma];
  const held = scenario.prepare(zones);
  for (const uma of umas.slice(1)) leave(uma);
  const { points, error } = deathPoints(
    victim,
    () => scenario.operation(zones[0]!, held),
    () => held.length,
    POINTS,
  );
  expect(error).toBeUndefined();
  expect(points.length).toBeGreaterThan(10);
  spread(points, POINTS).forEach((point, index) => {
    restore(victim, point);
    recovered(supervisor, victim);
    const report = fsck(supervisor);
    expect(report.violations, `point ${index}`).toEqual([]);
    const more = report.live['z']! - point.owned;
    expect(more, `point ${index}`).toBeGreaterThanOrEqual(0);
    expect(more, `point ${index}`).toBeLessThanOrEqual(1);
    reclaim(supervisor, 'drain-cpu');
    expect(fsck(supervisor).violations, `point ${index}, drained`).toEqual([]);
  });
});

test.each([
  ['with nothing out', 0],
  ['with items out', 3],
])('destroying a zone %s: the next open finishes it', (_what, out) => {
  const { umas } = virtualCpus(2, { level: 'checks', bytes: 1 << 19 });
  const [victim, supervisor] = umas as [Uma, Uma];
  const definition = defineZone({ ...items, fini: () => mark(), zfini: () => mark() });
  const zone = victim.open(definition);
  const held = allocAll(zone, 12);
  for (const item of held.splice(out)) zone.free(item);
  leave(supervisor);
  const { record } = zone;
  const { points, error } = deathPoints(victim, () => void zone.destroy(), undefined, 4 * POINTS);
  expect(error).toBeUndefined();
  expect(points.length).toBeGreaterThan(20);
  let finished = 0;
  spread(points, 2 * POINTS).forEach((point, index) => {
    restore(victim, point);
    recovered(supervisor, victim);
    expect(fsck(supervisor).violations, `point ${index}`).toEqual([]);
    const began = zoneState(supervisor, record) !== ZoneState.live;
    const next = supervisor.open(defineZone({ name: 'next', size: 64 }));
    if (began) {
      expect(zoneState(supervisor, record) === ZoneState.dying, `point ${index}`).toBe(false);
      finished++;
    }
    next.free(next.alloc(M_NOWAIT));
    expect(fsck(supervisor).violations, `point ${index}, finished`).toEqual([]);
    next.destroy();
  });
  expect(finished).toBeGreaterThan(10);
});

test('making a zone over the record of a destroyed one', () => {
  const { umas } = virtualCpus(2, { level: 'checks', bytes: 1 << 19 });
  const [victim, supervisor] = umas as [Uma, Uma];
  const old = victim.open(items);
  old.setMax(100);
  for (const item of allocAll(old, 5)) old.free(item);
  old.destroy();
  leave(supervisor);
  const definition = defineZone({ name: 'new', size: 128 });
  const { points } = deathPoints(
    victim,
    () => void victim.open(definition).setMax(10),
    undefined,
    POINTS,
  );
  expect(points.length).toBeGreaterThan(20);
  spread(points, POINTS).forEach((point, index) => {
    restore(victim, point);
    recovered(supervisor, victim);
    expect(fsck(supervisor).violations, `point ${index}`).toEqual([]);
    const zone = supervisor.open(definition);
    zone.setMax(10);
    const held = allocAll(zone, 10);
    expect(zone.alloc(M_NOWAIT)).toBe(0);
    for (const item of held) zone.free(item);
    expect(fsck(supervisor).violations, `point ${index}, used`).toEqual([]);
    expect(zone.destroy().complete, `point ${index}`).toBe(true);
  });
});
