/**
 * The size of a zone's buckets, which contention raises and reclaim lowers (spec 1.7). A lock is
 * contended here because a CPU that is known to be dead holds it: it is taken over at once.
 */
import { Arena, claimCpu, markDead, MutexRecord, recover, reserveSlot } from '@umbuf/memory';
import { expect, it } from 'vitest';
import { allocBucket, freeBucket } from '../src/bucket.ts';
import { BUCKET_MAX, bucketSelect } from '../src/bucket-ladder.ts';
import {
  BucketHeader,
  defineZone,
  reclaim,
  type Uma,
  type Zone,
  type ZoneDefinition,
  ZoneFlag,
  ZoneRecord,
} from '../src/index.ts';
import { fetchBucket, fetchForReclaim, putBucket, zoneDomain } from '../src/zone-domain.ts';
import { allocAll, attachCpu, expectClean } from './support/virtual.ts';

const Z = ZoneRecord.fields;

interface Made {
  readonly uma: Uma;
  readonly zone: Zone;
  /** Runs `step` with the queue's lock held by a CPU that has died. */
  contended(step: () => void): void;
}

function make(definition: Partial<ZoneDefinition> = {}): Made {
  const uma = attachCpu(Arena.create({ bytes: 1 << 20, cpus: 2 }));
  const zone = uma.open(defineZone({ name: 'z', size: 256, ...definition }));
  const contended = (step: () => void): void => {
    const dead = claimCpu(uma.arena, { number: 1, manualLeave: true });
    markDead(uma.cpu, 1, dead.incarnation);
    uma.words[zoneDomain(uma, zone.record, 0)] = dead.lockWord;
    step();
    expect(recover(uma.cpu, 1, dead.incarnation)).toBe('recovered');
  };
  return { uma, zone, contended };
}

function bucketSize({ uma, zone }: Made): number {
  return uma.words[zone.record + Z.bucketSize.at]!;
}

/** A bucket that claims to hold one item, into a hand slot of its own; only its count matters. */
function bucketOfOne({ uma, zone }: Made): number {
  const slot = reserveSlot(uma.cpu);
  expect(allocBucket(uma, zone.record, slot, 0)).toBe(true);
  uma.words[uma.words[slot + 1]! + BucketHeader.fields.count.at] = 1;
  return slot;
}

function dispose({ uma }: Made, slot: number): void {
  uma.words[uma.words[slot + 1]! + BucketHeader.fields.count.at] = 0;
  freeBucket(uma, slot, 0);
  uma.words[uma.cpu.handTop]! -= 1;
}

it('grows by one with each put and fetch that finds the lock taken, and with no other', () => {
  const made = make();
  const { uma, zone, contended } = made;
  const size = bucketSelect(256);
  expect(bucketSize(made)).toBe(size);
  const slot = bucketOfOne(made);
  contended(() => expect(putBucket(uma, zone.record, 0, slot, true)).toBe(true));
  expect(bucketSize(made)).toBe(size + 1);
  contended(() => expect(fetchBucket(uma, zone.record, 0, slot)).toBe(true));
  expect(bucketSize(made)).toBe(size + 2);
  expect(putBucket(uma, zone.record, 0, slot, true)).toBe(true);
  // A reclaim is no use of the cache.
  contended(() => expect(fetchForReclaim(uma, zone.record, 0, 0, slot)).toBe(true));
  expect(bucketSize(made)).toBe(size + 2);
  dispose(made, slot);
  expectClean(uma);
});

it.each([
  ['BUCKET_MAX', BUCKET_MAX],
  ['that of its limit', 6],
])('grows up to the maximum, %s, and no further', (_what, maximum) => {
  const made = make();
  const { uma, zone, contended } = made;
  uma.words[zone.record + Z.bucketSizeMax.at] = maximum;
  uma.words[zone.record + Z.bucketSize.at] = maximum - 1;
  const slot = bucketOfOne(made);
  for (let step = 0; step < 3; step++) {
    contended(() => expect(putBucket(uma, zone.record, 0, slot, true)).toBe(true));
    contended(() => expect(fetchBucket(uma, zone.record, 0, slot)).toBe(true));
    expect(bucketSize(made)).toBe(maximum);
  }
  dispose(made, slot);
});

it('a zone without buckets has no queue that could be contended', () => {
  const { uma, zone } = make({ flags: ZoneFlag.NOBUCKET });
  const lock = zoneDomain(uma, zone.record, 0);
  for (const item of allocAll(zone, 40)) zone.free(item);
  expect(uma.longs[(lock + MutexRecord.fields.operations.at) >> 1]).toBe(0n);
  expect(uma.words[zone.record + Z.bucketSize.at]).toBe(0);
});

it('larger buckets are made from then on, and a reclaim leads back to the minimum', () => {
  const made = make({ size: 2048 });
  const { uma, zone } = made;
  const least = bucketSize(made);
  const capacity = (): number => {
    const items = allocAll(zone, 200);
    for (const item of items) zone.free(item);
    const queue = zoneDomain(uma, zone.record, 0);
    const head = uma.words[queue + 16]!;
    return uma.words[head + BucketHeader.fields.entries.at]! & 0xffff;
  };
  const before = capacity();
  uma.words[zone.record + Z.bucketSize.at] = least * 4;
  const after = capacity();
  expect(after).toBeGreaterThan(before);
  for (let step = 1; step <= least * 4; step++) {
    const expected = Math.max(least, least * 4 - step);
    reclaim(uma, 'trim', zone.record);
    expect(bucketSize(made)).toBe(expected);
  }
  expectClean(uma);
});
