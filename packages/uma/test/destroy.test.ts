/**
 * Destroying zones: what is drained, what is reported and lost, who is refused afterwards, and when a
 * record serves again (spec 3.1).
 */
import { expect, test } from 'vitest';
import { answerRequests, enterCpu, freePageCount, leaveCpu, releaseCpu } from '@umbuf/memory';
import {
  defineZone,
  type DestroyReport,
  fsck,
  M_NOWAIT,
  reclaim,
  type Uma,
  UmaRoot,
  type Zone,
  ZoneBusyError,
  type ZoneDefinition,
  ZoneDestroyedError,
  ZoneFlag,
  ZoneRecord,
  ZoneState,
  zoneState,
} from '../src/index.ts';
import {
  allocAll,
  attachCpu,
  expectClean,
  leave,
  thrownBy,
  virtualCpus,
} from './support/virtual.ts';

const done: DestroyReport = {
  complete: true,
  unanswered: [],
  leaked: [],
  items: 0,
  pages: 0,
  warning: undefined,
};
const plain = defineZone({ name: 'z', size: 512 });

function pair(
  definition: ZoneDefinition = plain,
  level: 'none' | 'checks' | 'invariants' = 'none',
): [Zone, Zone] {
  const { umas } = virtualCpus(2, { level, bytes: 2 << 20 });
  const zones = umas.map((uma) => uma.open(definition)) as [Zone, Zone];
  leave(umas[1]!);
  return zones;
}

test.each(['none', 'checks', 'invariants'] as const)(
  'level %s: caches of all CPUs, queues and slabs go; nothing is lost',
  (level) => {
    const [mine, other] = pair(plain, level);
    const { uma } = mine;
    reclaim(uma, 'drain-cpu');
    const pages = freePageCount(uma.arena);
    const items = [...allocAll(mine, 200), ...allocAll(other, 100)];
    items.forEach((item, index) => (index % 2 === 0 ? mine : other).free(item));
    leave(other.uma);
    expect(mine.destroy()).toEqual(done);
    reclaim(uma, 'drain-cpu');
    expect(freePageCount(uma.arena)).toBe(pages);
    expect(zoneState(uma, other.record)).toBe(ZoneState.dead);
    expectClean(uma, other.uma);
  },
);

test('from then on everything throws, in the thread that destroyed it and in the others', () => {
  const [mine, other] = pair(plain, 'checks');
  const [held] = allocAll(other, 1);
  leave(other.uma);
  expect(mine.destroy()).toMatchObject({ complete: true, items: 1 });
  for (const zone of [mine, other]) {
    for (const operation of [
      () => zone.alloc(M_NOWAIT),
      () => zone.free(held!),
      () => zone.allocMany([], 0, 1, M_NOWAIT),
      () => zone.freeMany([held!], 0, 1),
      () => zone.allocDomain(0, M_NOWAIT),
      () => zone.allocWait(0),
      () => zone.adopt(held as never),
      () => zone.setMax(5),
      () => zone.prealloc(5),
      () => zone.reserve(5),
      () => zone.statistics(),
      () => zone.destroy(),
    ]) {
      const error = thrownBy(operation);
      expect(error).toBeInstanceOf(ZoneDestroyedError);
      expect(String(error)).toContain('destroyed');
    }
    expect(zone.isOpen).toBe(false);
    expect(zone.record).toBe(zone.uma.words[zone.uma.root + UmaRoot.fields.grave.at]);
    expect(String(thrownBy(() => zone.free(held!)))).toMatch(
      `zone z, CPU ${zone.uma.cpu.number}: the zone was destroyed, item ${held}`,
    );
  }
  expectClean(mine.uma, other.uma);
});

test('items that are out are listed with holder and age, and lost with their pages', () => {
  const [mine, other] = pair(plain, 'checks');
  const a = allocAll(mine, 3);
  const b = allocAll(other, 2);
  leave(other.uma);
  const report = mine.destroy();
  // Five items of two CPUs' bucketfuls: two slabs of one page.
  expect(report).toMatchObject({ complete: true, items: 5, pages: 2 });
  expect(report.warning).toBe(
    'Freed UMA keg (z) was not empty (5 items).  Lost 2 pages of memory.',
  );
  const byAddress = (left: { address: number }, right: { address: number }): number =>
    left.address - right.address;
  expect(report.leaked.toSorted(byAddress).map(({ address, holder }) => [address, holder])).toEqual(
    [...a.map((item) => [item, 0]), ...b.map((item) => [item, 1])].toSorted(
      ([left], [right]) => left! - right!,
    ),
  );
  for (const { ageMs, owner } of report.leaked) {
    expect(ageMs).toBeGreaterThanOrEqual(0);
    expect(ageMs).toBeLessThan(60_000);
    expect(owner).toBe(0);
  }
  expect(mine.uma.words[mine.uma.root + UmaRoot.fields.lostPages.at]).toBe(2);
  // Who writes to such an item hurts nobody; who frees it elsewhere is told.
  mine.uma.words.fill(-1, a[0]! >> 2, (a[0]! >> 2) + 128);
  const next = mine.uma.open(plain);
  expect(thrownBy(() => next.free(a[0]!))).toHaveProperty('name', 'WildFreeError');
  const fresh = allocAll(next, 20);
  expect(fresh.filter((item) => a.includes(item) || b.includes(item))).toEqual([]);
  for (const item of fresh) next.free(item);
  expectClean(mine.uma, other.uma);
});

test('without an item table the items are known, their holders not', () => {
  const [mine] = pair();
  const [item] = allocAll(mine, 1);
  expect(mine.destroy()).toMatchObject({
    leaked: [{ address: item, holder: -1, owner: 0, ageMs: -1 }],
    items: 1,
  });
});

test('a NOFREE keg loses all its pages, as in the kernel', () => {
  const [mine] = pair(defineZone({ ...plain, flags: ZoneFlag.NOFREE }));
  mine.free(mine.alloc(M_NOWAIT));
  expect(mine.destroy()).toMatchObject({
    complete: true,
    items: 0,
    leaked: [],
    // A bucketful of 30 items, eight to a page.
    pages: 4,
    warning: 'Freed UMA keg (z) was not empty (0 items).  Lost 4 pages of memory.',
  });
  expectClean(mine.uma);
});

test('callbacks run for all that was cached; what they throw comes at the end', () => {
  const finished: number[] = [];
  const zone = defineZone({
    name: 'z',
    size: 2048,
    init: () => 0,
    fini: (_zone, item) => {
      finished.push(item);
      if (finished.length === 1) throw new Error('from fini');
    },
    zfini: () => {},
  });
  const [mine] = pair(zone);
  for (const item of allocAll(mine, 6)) mine.free(item);
  const { inits } = { inits: Number(mine.uma.longs[(mine.keg + 14) >> 1]) };
  expect(() => mine.destroy()).toThrow('from fini');
  expect(finished.length).toBe(inits);
  expect(mine.isOpen).toBe(false);
  expectClean(mine.uma);
});

test('a secondary zone goes first; its items stay with the primary, which may free them', () => {
  const { umas } = virtualCpus(1, { level: 'checks' });
  const primary = umas[0]!.open(plain);
  const second = umas[0]!.open(defineZone({ name: 's', size: 512, primary: plain }));
  const held = allocAll(second, 3);
  expect(thrownBy(() => primary.destroy())).toBeInstanceOf(ZoneBusyError);
  expect(second.destroy()).toEqual({ ...done, items: 3 });
  expectClean(umas[0]!);
  primary.free(held.pop()!);
  expectClean(umas[0]!);
  expect(primary.destroy()).toMatchObject({ complete: true, items: 2 });
  expectClean(umas[0]!);
});

test('not inside a callback, not the allocator’s own', () => {
  const [mine] = pair(defineZone({ ...plain, ctor: (zone) => void zone.destroy() }));
  expect(thrownBy(() => mine.alloc(M_NOWAIT))).toBeInstanceOf(ZoneBusyError);
  expect(zoneState(mine.uma, mine.record)).toBe(ZoneState.live);
  expectClean(mine.uma);
});

test('the name is free at once: the next open makes a fresh zone', () => {
  const [mine, other] = pair();
  const [held] = allocAll(other, 1);
  mine.destroy();
  const next = mine.uma.open(defineZone({ name: 'z', size: 64 }));
  expect(next.size).toBe(64);
  expect(next.statistics()).toMatchObject({ allocs: 0, frees: 0, pages: 0 });
  // The other thread still has the old one open: its record is not used again.
  expect(next.record).not.toBe(other.record);
  expect(thrownBy(() => other.free(held!))).toBeInstanceOf(ZoneDestroyedError);
  expect(other.uma.open(defineZone({ name: 'z', size: 64 })).record).toBe(next.record);
  expectClean(mine.uma, other.uma);
});

test('10,000 zones come and go in the space of a few, with limits and secondary zones', () => {
  const { arena, umas } = virtualCpus(2, { bytes: 2 << 20 });
  const [uma, other] = umas as [Uma, Uma];
  const cycle = (turn: number): void => {
    const definition = defineZone({ name: `z${turn % 7}`, size: 64 + (turn % 5) * 100 });
    const zone = uma.open(definition);
    const second = uma.open(
      defineZone({ name: 's', size: definition.size, primary: definition, version: turn % 3 }),
    );
    if (turn % 10 === 0) zone.setMax(100);
    zone.free(zone.alloc(M_NOWAIT));
    second.free(second.alloc(M_NOWAIT));
    if (turn % 4 === 0) {
      const there = other.open(definition);
      there.free(there.alloc(M_NOWAIT));
      leave(other);
    }
    expect(second.destroy().complete).toBe(true);
    expect(zone.destroy()).toEqual(done);
  };
  for (let turn = 0; turn < 100; turn++) cycle(turn);
  reclaim(uma, 'drain-cpu');
  const pages = freePageCount(arena);
  const zones = uma.zoneCount();
  for (let turn = 100; turn < 10_000; turn++) cycle(turn);
  reclaim(uma, 'drain-cpu');
  expect(uma.zoneCount()).toBe(zones);
  expect(freePageCount(arena)).toBe(pages);
  expect(uma.words[uma.root + UmaRoot.fields.destroyed.at]).toBe(20_000);
  expectClean(uma, other);
});

test('a running CPU that does not answer holds it up, and is named; a second call finishes', () => {
  const [mine, other] = pair();
  // Entered, and in no slow path: nobody may touch its cache.
  const items = allocAll(other, 3);
  const report = mine.destroy({ answerMs: 1 });
  expect(report).toMatchObject({ complete: false, unanswered: [1], leaked: [] });
  expect(zoneState(mine.uma, mine.record)).toBe(ZoneState.dying);
  // It is refused from now on, and lets go when it answers.
  expect(thrownBy(() => other.free(items[0]!))).toBeInstanceOf(ZoneDestroyedError);
  expect(thrownBy(() => mine.alloc(M_NOWAIT))).toBeInstanceOf(ZoneDestroyedError);
  expect(fsck(mine.uma).violations).toEqual([]);
  answerRequests(other.uma.cpu);
  leave(other.uma);
  // The call by which mine was refused made it let go as well: whoever opens next finishes.
  const next = other.uma.open(plain);
  expect(next.record).not.toBe(other.record);
  leaveCpu(other.uma.cpu);
  expectClean(mine.uma, other.uma);
});

test('a thread that answers lets go of its destroyed zones, and then the record serves again', () => {
  const [mine, other] = pair();
  const { record } = other;
  leave(other.uma);
  mine.destroy();
  const second = mine.uma.open(plain);
  expect(second.record).not.toBe(record);
  // Asked by the destroyer: it lets go at the end of its next job.
  enterCpu(other.uma.cpu);
  leave(other.uma);
  expect(other.isOpen).toBe(false);
  const third = mine.uma.open(defineZone({ name: 'third', size: 8 }));
  expect(third.record).toBe(record);
  expect(mine.uma.words[record + ZoneRecord.fields.generation.at]).toBe(1);
  expectClean(mine.uma, other.uma);
});

test('a CPU that went offline keeps nothing; the next thread with its number begins afresh', () => {
  const [mine, other] = pair();
  const { record } = other;
  releaseCpu(other.uma.cpu);
  mine.destroy();
  const next = attachCpu(mine.uma.arena, { number: 1 });
  expect(next.open(plain).record).toBe(record);
  expectClean(mine.uma);
});

test('objects from an earlier definition of the same thread are refused too', () => {
  const { umas } = virtualCpus(1);
  const first = umas[0]!.open(defineZone({ ...plain }));
  const second = umas[0]!.open(defineZone({ ...plain }));
  expect(first).not.toBe(second);
  second.destroy();
  expect(thrownBy(() => first.alloc(M_NOWAIT))).toBeInstanceOf(ZoneDestroyedError);
  expect(first.isOpen).toBe(false);
});

test('who waits for the zone’s limit is woken, and refused', async () => {
  const { umas } = virtualCpus(2);
  const [mine, other] = umas.map((uma) => uma.open(plain)) as [Zone, Zone];
  mine.setMax(1);
  const [held] = allocAll(mine, 1);
  const waiting = other.allocAsync();
  leave(other.uma);
  expect(mine.destroy()).toMatchObject({ complete: true, items: 1, leaked: [{ address: held }] });
  await expect(waiting).rejects.toBeInstanceOf(ZoneDestroyedError);
  leave(other.uma);
  expect(thrownBy(() => other.alloc(M_NOWAIT))).toBeInstanceOf(ZoneDestroyedError);
  leave(other.uma);
  // Nothing waits any more: the thread lets go, and the record serves again, limit and all.
  const next = mine.uma.open(defineZone({ name: 'next', size: 64 }));
  next.setMax(2);
  expect([next.alloc(M_NOWAIT) !== 0, next.alloc(M_NOWAIT) !== 0, next.alloc(M_NOWAIT)]).toEqual([
    true,
    true,
    0,
  ]);
  expectClean(mine.uma, other.uma);
});
