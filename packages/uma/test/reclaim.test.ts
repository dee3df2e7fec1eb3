import { Arena, claimCpu, type Cpu, freePageCount, leaveCpu } from '@umbuf/memory';
import { expect, it } from 'vitest';
import { BUCKET_ZONES } from '../src/bucket-ladder.ts';
import { defineZone, type ZoneDefinition } from '../src/definition.ts';
import { M_NOWAIT, ZoneFlag } from '../src/flags.ts';
import { fsck } from '../src/fsck.ts';
import { KegDomain, KegRecord, ZoneRecord } from '../src/layout.ts';
import { reclaim } from '../src/reclaim.ts';
import { reclaimersOf } from '../src/reclaim-zone.ts';
import { Uma } from '../src/uma.ts';
import type { Zone } from '../src/zone.ts';

const Z = ZoneRecord.fields;

interface Made {
  readonly cpu: Cpu;
  readonly uma: Uma;
  readonly zone: Zone;
}

function make(definition: Partial<ZoneDefinition> = {}, cpus: number = 1): Made {
  const arena = Arena.create({ bytes: 4 << 20, cpus });
  const cpu = claimCpu(arena, { manualLeave: true });
  const uma = Uma.attach(cpu);
  return { cpu, uma, zone: uma.open(defineZone({ name: 'zone', size: 256, ...definition })) };
}

function allocMany(zone: Zone, count: number): number[] {
  return Array.from({ length: count }, () => {
    const item = zone.alloc(M_NOWAIT);
    expect(item).not.toBe(0);
    return item;
  });
}

function setBucketSizes({ uma, zone }: Made, size: number, least: number): void {
  uma.words[zone.record + Z.bucketSize.at] = size;
  uma.words[zone.record + Z.bucketSizeMin.at] = least;
}

function bucketSize({ uma, zone }: Made): number {
  return uma.words[zone.record + Z.bucketSize.at]!;
}

it('throws for a request and a domain that do not exist, with nothing changed', () => {
  const made = make();
  const before = bucketSize(made);
  expect(() => reclaim(made.uma, 'all' as 'drain')).toThrow(/all is not trim, drain or drain-cpu/);
  expect(() => reclaim(made.uma, 'drain', made.zone.record, 1, 1)).toThrow(/domain: 1/);
  expect(() => reclaim(made.uma, 'drain', made.zone.record, 1, -2)).toThrow(/domain: -2/);
  expect(bucketSize(made)).toBe(before);
});

it.each([
  ['trim', 199],
  ['drain', 199],
  // Halfway between 62 and 200, then one less for the drain.
  ['drain-cpu', 130],
] as const)('a %s of a zone with buckets of 200, at least 62, makes them %i', (request, after) => {
  const made = make();
  setBucketSizes(made, 200, 62);
  reclaim(made.uma, request, made.zone.record);
  expect(bucketSize(made)).toBe(after);
});

it('a global drain-cpu makes buckets one smaller, halfway to the minimum, and one smaller again', () => {
  const made = make();
  setBucketSizes(made, 200, 62);
  reclaim(made.uma, 'drain-cpu');
  // 199, (62 + 199) / 2 rounded down, one less.
  expect(bucketSize(made)).toBe(129);
  reclaim(made.uma, 'drain');
  expect(bucketSize(made)).toBe(128);
});

it('never goes below the minimum, and buckets stay 0 where a zone has none', () => {
  const made = make();
  setBucketSizes(made, 62, 62);
  for (const request of ['trim', 'drain', 'drain-cpu'] as const) reclaim(made.uma, request);
  expect(bucketSize(made)).toBe(62);
  const bare = make({ flags: ZoneFlag.NOBUCKET });
  reclaim(bare.uma, 'drain-cpu', bare.zone.record);
  expect(bucketSize(bare)).toBe(0);
});

it('a trim leaves the working set, a drain nothing, and both leave the per-CPU caches', () => {
  const { uma, zone } = make({ size: 4096 });
  const items = allocMany(zone, 40);
  for (const item of items) zone.free(item);
  const { queued, cached } = zone.statistics();
  expect(queued).toBeGreaterThan(30);
  // The burst of 40 is the working set of this period.
  reclaim(uma, 'trim', zone.record);
  expect(zone.statistics().queued).toBe(queued);
  const left: number[] = [];
  for (let period = 0; period < 25; period++) {
    reclaim(uma, 'trim', zone.record);
    left.push(zone.statistics().queued);
  }
  expect(left).toEqual([...left].sort((a, b) => b - a));
  expect(left.at(-1)).toBeLessThan(4);
  expect(zone.statistics().cached).toBe(cached);
  reclaim(uma, 'drain', zone.record);
  expect(zone.statistics()).toMatchObject({ queued: 0, cached, pages: cached });
  reclaim(uma, 'drain-cpu', zone.record);
  expect(zone.statistics()).toMatchObject({ queued: 0, cached: 0, pages: 0 });
});

it('a global trim leaves UNMANAGED zones alone, a global drain and a zone trim do not', () => {
  const { uma, zone } = make({ size: 4096, flags: ZoneFlag.UNMANAGED });
  for (const item of allocMany(zone, 20)) zone.free(item);
  const { queued } = zone.statistics();
  for (let period = 0; period < 25; period++) reclaim(uma, 'trim');
  expect(zone.statistics().queued).toBe(queued);
  for (let period = 0; period < 25; period++) reclaim(uma, 'trim', zone.record);
  expect(zone.statistics().queued).toBeLessThan(queued);
  for (const item of allocMany(zone, 20)) zone.free(item);
  reclaim(uma, 'drain');
  expect(zone.statistics().queued).toBe(0);
});

it('a zone of NOFREE keeps its slabs', () => {
  const { uma, zone } = make({ size: 4096, flags: ZoneFlag.NOFREE });
  for (const item of allocMany(zone, 10)) zone.free(item);
  expect(reclaim(uma, 'drain-cpu', zone.record).slabs).toBe(0);
  expect(zone.statistics()).toMatchObject({ cached: 0, queued: 0 });
  expect(zone.statistics().pages).toBeGreaterThan(0);
});

// Slabs of eight items: reserve, live items, slabs that are kept free and items that stay free.
it.each([
  { reserve: 0, live: 0, kept: 0 },
  { reserve: 1, live: 0, kept: 1 },
  { reserve: 8, live: 0, kept: 1 },
  { reserve: 9, live: 0, kept: 2 },
  { reserve: 80, live: 0, kept: 4 },
  // Three live items in one slab: its five free ones count for the reserve.
  { reserve: 5, live: 3, kept: 0 },
  { reserve: 6, live: 3, kept: 1 },
  { reserve: 13, live: 3, kept: 1 },
  { reserve: 14, live: 3, kept: 2 },
])(
  'a keg with a reserve of $reserve and $live items in use keeps $kept free slabs',
  ({ reserve, live, kept }) => {
    const flags = ZoneFlag.NOBUCKET | ZoneFlag.NOTOUCH;
    const { uma, zone } = make({ size: 512, flags });
    const items = allocMany(zone, 32);
    for (const item of items.slice(live)) zone.free(item);
    uma.words[zone.keg + KegRecord.fields.reserve.at] = reserve;
    const domain = zone.keg + KegRecord.words;
    expect(reclaim(uma, 'drain', zone.record).slabs).toBe(4 - (live > 0 ? 1 : 0) - kept);
    expect(uma.words[domain + KegDomain.fields.freeSlabs.at]).toBe(kept);
    expect(fsck(uma).violations).toEqual([]);
  },
);

it('a secondary zone gives its keg back too', () => {
  const { uma, zone } = make({ size: 4096 });
  const secondary = uma.open(
    defineZone({ name: 'secondary', size: 4096, primary: zone.definition }),
  );
  for (const item of allocMany(secondary, 10)) secondary.free(item);
  expect(reclaim(uma, 'drain-cpu', secondary.record).slabs).toBe(10);
});

it('all pages come back after everything was freed and a drain of the CPUs', () => {
  const { uma, zone } = make({ size: 64 });
  const free = freePageCount(uma.arena);
  const large = uma.open(defineZone({ name: 'large', size: 9000 }));
  for (let round = 0; round < 3; round++) {
    const items = allocMany(zone, 20000);
    const others = allocMany(large, 100);
    for (const item of items) zone.free(item);
    for (const item of others) large.free(item);
    reclaim(uma, 'drain-cpu');
    // The static chunk of the second zone is the only thing that may have been taken meanwhile.
    expect(free - freePageCount(uma.arena)).toBeLessThanOrEqual(16);
    for (const each of [zone, large]) expect(each.statistics().pages).toBe(0);
  }
});

it('counts its reclaims for whoever destroys the zone, also in a fini', () => {
  const seen: number[] = [];
  const { uma, zone } = make({
    size: 4096,
    fini: (own) => {
      seen.push(reclaimersOf(own.uma, own.record));
    },
  });
  zone.free(zone.alloc(M_NOWAIT));
  reclaim(uma, 'drain-cpu', zone.record);
  expect([...new Set(seen)]).toEqual([1]);
  expect(reclaimersOf(uma, zone.record)).toBe(0);
});

it('counts no reclaim that a throwing fini ends', () => {
  const { uma, zone } = make({
    size: 4096,
    fini: () => {
      throw new Error('fini');
    },
  });
  zone.free(zone.alloc(M_NOWAIT));
  expect(() => reclaim(uma, 'drain-cpu', zone.record)).toThrow('fini');
  expect(reclaimersOf(uma, zone.record)).toBe(0);
  expect(uma.words[uma.cpu.handTop]).toBe(0);
});

it('a CPU without the callbacks leaves a note, and one that has them does it at a slow path', () => {
  const { cpu, uma, zone } = make({ size: 4096, zfini: () => undefined }, 2);
  const stranger = Uma.attach(claimCpu(uma.arena, { manualLeave: true }));
  for (const item of allocMany(zone, 20)) zone.free(item);
  const { queued } = zone.statistics();
  leaveCpu(cpu);
  expect(reclaim(stranger, 'drain', zone.record).needOpener).toEqual(['zone']);
  expect(zone.statistics().queued).toBe(queued);
  leaveCpu(stranger.cpu);
  // Ten items over a bucket's end: at least one slow path.
  for (const item of allocMany(zone, 10)) zone.free(item);
  expect(zone.statistics().queued).toBeLessThan(10);
  expect(fsck(uma).violations).toEqual([]);
});

it('the internal zones become one smaller in their buckets, however many rounds they take', () => {
  const { uma } = make();
  const bucketZone = uma.bucketZones[0]!;
  uma.words[bucketZone + Z.bucketSizeMin.at] = 10;
  uma.words[bucketZone + Z.bucketSize.at] = 100;
  reclaim(uma, 'drain');
  // Once among all zones, once as an internal one, as in the kernel.
  expect(uma.words[bucketZone + Z.bucketSize.at]).toBe(98);
  expect(BUCKET_ZONES).toHaveLength(uma.bucketZones.length);
});

it.each(['older', 'younger'])(
  'a drain of everything gets what zone finis give back to an %s zone',
  (age) => {
    const made = make();
    const { uma, zone } = made;
    const parts: number[] = [];
    const whole = defineZone({
      name: 'whole',
      size: 64,
      zinit: (_zone, item) => {
        const part = (age === 'older' ? zone : younger()).alloc(M_NOWAIT);
        uma.words[item >> 2] = part;
        parts.push(part);
        return part === 0 ? 1 : 0;
      },
      zfini: (_zone, item) => {
        (age === 'older' ? zone : younger()).free(uma.words[item >> 2]!);
      },
    });
    const wholes = uma.open(whole);
    const younger = (): Zone => uma.open(youngerDefinition);
    uma.open(youngerDefinition);
    wholes.freeMany(allocMany(wholes, 300), 0, 300);
    expect(parts.length).toBeGreaterThanOrEqual(300);
    reclaim(uma, 'drain-cpu');
    for (const each of [zone, wholes, younger()]) expect(each.statistics().pages).toBe(0);
  },
);

const youngerDefinition = defineZone({ name: 'younger', size: 256 });
