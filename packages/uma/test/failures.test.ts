/** Each way in which an allocation can fail is counted under its reason, once per counted failure. */
import { expect, test } from 'vitest';
import { Arena, lockMutex, NULL, unlockMutex } from '@umbuf/memory';
import {
  CacheRecord,
  defineZone,
  fsck,
  KegRecord,
  M_NOVM,
  M_NOWAIT,
  readZoneFailures,
  UmaRoot,
  type Zone,
  type ZoneDefinition,
  ZoneFlag,
} from '../src/index.ts';
import { kegDomainOf } from './support/inspect.ts';
import { allocAll, attachCpu, takeAllPages, virtualCpus } from './support/virtual.ts';

const BASE = { name: 'z', size: 256, flags: ZoneFlag.NOBUCKET };

/** The reasons counted so far, zeros left out; they always add up to `fails`. */
function reasons(zone: Zone): Record<string, number> {
  const failures = readZoneFailures(zone.uma, zone.record);
  const counted = Object.entries(failures.reasons).filter(([, count]) => count > 0n);
  const sum = counted.reduce((all, [, count]) => all + Number(count), 0);
  expect(sum).toBe(zone.statistics().fails);
  return Object.fromEntries(counted.map(([name, count]) => [name, Number(count)]));
}

function zoneOf(definition: Partial<ZoneDefinition> = {}): Zone {
  return virtualCpus(1).umas[0]!.open(defineZone({ ...BASE, ...definition }));
}

test('no pages for a slab', () => {
  const zone = zoneOf();
  takeAllPages(zone.uma, 0);
  expect(zone.alloc(M_NOWAIT)).toBe(NULL);
  expect(reasons(zone)).toEqual({ pages: 1 });
});

test('no pages: the fill of a bucket and the single item each count, as in the kernel', () => {
  const zone = zoneOf({ flags: 0 });
  // One item first, so that the bucket zones have buckets.
  allocAll(zone, 1);
  takeAllPages(zone.uma, 0);
  // As inside the handling of a shortage: without another one, which would bring items one by one.
  zone.uma.reclaiming = true;
  while (zone.alloc(M_NOWAIT) !== NULL);
  expect(reasons(zone)).toEqual({ pages: 2 });
});

test('M_NOVM keeps a request from asking for pages', () => {
  const zone = zoneOf();
  expect(zone.alloc(M_NOWAIT | M_NOVM)).toBe(NULL);
  expect(reasons(zone)).toEqual({ novm: 1 });
});

test('only the reserve is left', () => {
  const zone = zoneOf();
  const [first] = allocAll(zone, 1);
  zone.free(first!);
  zone.uma.words[zone.keg + KegRecord.fields.reserve.at] = 1000;
  expect(zone.alloc(M_NOWAIT | M_NOVM)).toBe(NULL);
  expect(reasons(zone)).toEqual({ reserve: 1 });
});

test('keg init, zone init and ctor refuse', () => {
  for (const reason of ['init', 'zinit', 'ctor'] as const) {
    const zone = zoneOf({ [reason]: () => 1 });
    expect(zone.alloc(M_NOWAIT)).toBe(NULL);
    expect(reasons(zone), reason).toEqual({ [reason]: 1 });
    expect(zone.statistics().live).toBe(0);
  }
});

test('a ctor that throws counts as a ctor that refuses', () => {
  const zone = zoneOf({
    ctor: () => {
      throw new Error('no');
    },
  });
  expect(() => zone.alloc(M_NOWAIT)).toThrow('no');
  expect(reasons(zone)).toEqual({ ctor: 1 });
});

test('a zone init that refuses the first item of a bucket fails the fill', () => {
  const zone = zoneOf({ flags: 0, zinit: () => 1 });
  expect(zone.alloc(M_NOWAIT)).toBe(NULL);
  // The bucket's first item, then the single item.
  expect(reasons(zone)).toEqual({ zinit: 2 });
});

test('a busy lock on a CPU that may not block', () => {
  const arena = Arena.create({ bytes: 1 << 20, cpus: 2 });
  const holder = attachCpu(arena).cpu;
  const zone = attachCpu(arena, { mayBlock: false }).open(defineZone(BASE));
  const lock = kegDomainOf(zone);
  lockMutex(holder, lock);
  expect(zone.alloc(M_NOWAIT)).toBe(NULL);
  unlockMutex(holder, lock);
  expect(reasons(zone)).toEqual({ busy: 1 });
  expect(zone.alloc(M_NOWAIT)).not.toBe(NULL);
});

test('a bucket that is not to be had is counted apart: the items move one by one', () => {
  const zone = zoneOf({ flags: 0 });
  const { words, root } = zone.uma;
  const disabled = root + UmaRoot.fields.bucketDisable.at;
  // The keg has free items, the bucket zones have none and find no pages.
  words[disabled] = 1;
  zone.free(zone.alloc(M_NOWAIT));
  words[disabled] = 0;
  takeAllPages(zone.uma, 0);
  expect(zone.alloc(M_NOWAIT)).not.toBe(NULL);
  expect(readZoneFailures(zone.uma, zone.record).bucket).toBeGreaterThan(0n);
  expect(reasons(zone)).toEqual({});
});

test('each CPU counts its own', () => {
  const { umas } = virtualCpus(2);
  const zones = umas.map((uma) => uma.open(defineZone(BASE)));
  zones[0]!.alloc(M_NOWAIT | M_NOVM);
  zones[1]!.alloc(M_NOWAIT | M_NOVM);
  zones[1]!.alloc(M_NOWAIT | M_NOVM);
  expect(reasons(zones[0]!)).toEqual({ novm: 3 });
});

test('fsck finds a failure without a reason', () => {
  const zone = zoneOf();
  zone.alloc(M_NOWAIT | M_NOVM);
  expect(fsck(zone.uma).violations).toEqual([]);
  zone.uma.longs[(zone.cache + CacheRecord.fields.fails.at) >> 1]! += 2n;
  expect(fsck(zone.uma).violations).toEqual(['5: zone z: 3 failures, 1 with a reason']);
});

test('a zone in the place of a destroyed one begins with no failures', () => {
  const zone = zoneOf();
  const { uma } = zone;
  zone.alloc(M_NOWAIT | M_NOVM);
  expect(reasons(zone)).toEqual({ novm: 1 });
  const { record } = zone;
  expect(zone.destroy().complete).toBe(true);
  const next = uma.open(defineZone({ ...BASE, name: 'next' }));
  expect(next.record).toBe(record);
  expect(reasons(next)).toEqual({});
  expect(fsck(uma).violations).toEqual([]);
});
