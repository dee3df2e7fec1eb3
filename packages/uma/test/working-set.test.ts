import { Arena, claimCpu, reserveSlot } from '@umbuf/memory';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defineZone } from '../src/definition.ts';
import { BucketHeader, ZoneDomain } from '../src/layout.ts';
import { Uma } from '../src/uma.ts';
import { allocBucket, freeBucket } from '../src/bucket.ts';
import {
  idleTrimTarget,
  LIMIN_UNITS,
  LIMIN_UNITS_KERNEL,
  updateWorkingSet,
  WORKING_SET_WORDS,
  WorkingSet,
} from '../src/working-set.ts';
import { fetchBucket, fetchForReclaim, putBucket, zoneDomain } from '../src/zone-domain.ts';
import {
  fetchItems,
  putItems,
  raisePeakUnlocked,
  reclaimItems,
} from './support/working-set-model.ts';

const unlimited = 2 ** 31 - 1;
const at = 5;

function record(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(128));
}

/** nitems, imax, imin, bimin, wss, limin, timin. */
function state(words: Int32Array): number[] {
  return [...words.subarray(at, at + WORKING_SET_WORDS)];
}

describe('the working-set estimator', () => {
  it('lies over the zone domain record in the same order', () => {
    const { fields } = ZoneDomain;
    for (const name of Object.keys(WorkingSet) as (keyof typeof WorkingSet)[]) {
      expect(fields[name].at - fields.nitems.at).toBe(WorkingSet[name]);
    }
    expect([fields.imax.kind, fields.nitems.kind]).toEqual(['atomic', 'statistic']);
  });

  it.each([
    ['whole items, as the kernel', LIMIN_UNITS_KERNEL],
    ['1/256 items', LIMIN_UNITS],
  ])('follows the first vector of the specification, limin in %s', (_name, units) => {
    const words = record();
    for (let i = 0; i < 3; i++) putItems(words, at, 30, unlimited, true);
    expect(state(words)).toEqual([90, 90, 0, 90, 0, 0, 0]);
    fetchItems(words, at, 30);
    fetchItems(words, at, 30);
    expect(state(words)).toEqual([30, 90, 0, 30, 0, 0, 0]);
    putItems(words, at, 30, unlimited, true);
    expect(state(words)).toEqual([60, 90, 0, 30, 0, 0, 0]);
    for (const expected of [
      [60, 75, 60, 60, 60, 0, 0],
      [60, 67, 60, 60, 45, 0, 1],
      [60, 63, 60, 60, 33, 0, 2],
      [60, 61, 60, 60, 24, 0, 3],
    ]) {
      updateWorkingSet(words, at, units);
      expect(state(words)).toEqual(expected);
    }
  });

  it('reaches limin 147 and timin 50 in 50 idle periods after one put of 1000, in whole items', () => {
    const words = record();
    putItems(words, at, 1000, unlimited, true);
    for (let i = 0; i < 50; i++) updateWorkingSet(words, at, LIMIN_UNITS_KERNEL);
    expect([words[at + WorkingSet.limin], words[at + WorkingSet.timin]]).toEqual([147, 50]);
    expect(idleTrimTarget(words, at)).toBe(1000 - 36);
  });

  it('comes nearer to the exact average in 1/256 items than in whole ones', () => {
    // The exact average: no surplus in the period of the put, 1000 in each of the 49 behind it.
    let exact = 0;
    for (let period = 1; period < 50; period++) exact = (1000 + 255 * exact) / 256;
    const words = record();
    putItems(words, at, 1000, unlimited, true);
    for (let i = 0; i < 50; i++) updateWorkingSet(words, at);
    const limin = words[at + WorkingSet.limin]! + words[at + WorkingSet.liminFraction]! / 256;
    expect(Math.abs(limin - exact)).toBeLessThan(0.5);
    expect(words[at + WorkingSet.timin]).toBe(50);
  });

  it('sees the surplus of a small cache, which whole items round to nothing (defect D16)', () => {
    const kernel = record();
    const ours = record();
    for (const words of [kernel, ours]) putItems(words, at, 100, unlimited, true);
    for (let i = 0; i < 2000; i++) {
      updateWorkingSet(kernel, at, LIMIN_UNITS_KERNEL);
      updateWorkingSet(ours, at);
    }
    expect(kernel[at + WorkingSet.limin]).toBe(0);
    expect(ours[at + WorkingSet.limin]).toBe(99);
    expect(idleTrimTarget(kernel, at)).toBe(100);
    expect(idleTrimTarget(ours, at)).toBe(100 - 24);
  });

  it('forgets the fraction with limin', () => {
    const words = record();
    putItems(words, at, 100, unlimited, true);
    for (let i = 0; i < 5; i++) updateWorkingSet(words, at);
    expect(words[at + WorkingSet.liminFraction]).toBeGreaterThan(0);
    // A burst of more than is left: the surplus is gone.
    fetchItems(words, at, 90);
    putItems(words, at, 300, unlimited, true);
    updateWorkingSet(words, at);
    expect([words[at + WorkingSet.limin], words[at + WorkingSet.liminFraction]]).toEqual([0, 0]);
  });

  it('trims nothing voluntarily before 45 periods are over', () => {
    const words = record();
    putItems(words, at, 1000, unlimited, true);
    words[at + WorkingSet.limin] = 100;
    words[at + WorkingSet.timin] = 45;
    expect(idleTrimTarget(words, at)).toBe(1000);
    words[at + WorkingSet.timin] = 46;
    expect(idleTrimTarget(words, at)).toBe(975);
  });

  it('refuses a put that reaches the maximum and changes nothing', () => {
    const words = record();
    expect(putItems(words, at, 30, 61, true)).toBe(true);
    const before = state(words);
    expect(putItems(words, at, 31, 61, true)).toBe(false);
    expect(state(words)).toEqual(before);
    expect(putItems(words, at, 30, 61, true)).toBe(true);
  });

  it('takes long periods of large counts without overflow', () => {
    const words = record();
    putItems(words, at, 2 ** 30, unlimited, true);
    for (let i = 0; i < 400; i++) updateWorkingSet(words, at);
    for (const word of state(words)) expect(word).toBeGreaterThanOrEqual(0);
    expect(words[at + WorkingSet.limin]).toBeGreaterThan(2 ** 29);
  });

  it('keeps imin <= bimin <= nitems <= imax and no negative word through any history', () => {
    const steps = fc.array(
      fc.tuple(
        fc.constantFrom('put', 'shift', 'fetch', 'reclaim', 'import', 'update'),
        fc.integer({ min: 1, max: 254 }),
      ),
      { minLength: 1, maxLength: 60 },
    );
    const check = fc.property(steps, (history) => {
      const words = record();
      const queue: number[] = [];
      for (const [step, count] of history) {
        if (step === 'put' && putItems(words, at, count, 2000, true)) queue.push(count);
        if (step === 'shift' && putItems(words, at, count, 2000, false)) queue.push(count);
        if (step === 'import') raisePeakUnlocked(words, at, count);
        if (step === 'update') updateWorkingSet(words, at);
        if (step === 'fetch' && queue.length > 0) fetchItems(words, at, queue.pop()!);
        if (step === 'reclaim' && queue.length > 0) reclaimItems(words, at, queue.pop()!);
        const [nitems, imax, imin, bimin, wss, limin, timin] = state(words) as [
          number,
          number,
          number,
          number,
          number,
          number,
          number,
        ];
        expect(nitems).toBe(queue.reduce((sum, items) => sum + items, 0));
        expect(Math.min(imin, wss, limin, timin)).toBeGreaterThanOrEqual(0);
        expect(imin).toBeLessThanOrEqual(bimin);
        expect(bimin).toBeLessThanOrEqual(nitems);
        expect(nitems).toBeLessThanOrEqual(imax);
      }
    });
    fc.assert(check, { seed: 18, numRuns: 2000 });
  });
});

describe('the queue of a zone domain', () => {
  it('moves the estimate as the model does (seed 71)', () => {
    const arena = Arena.create({ bytes: 8 << 20, cpus: 1 });
    const cpu = claimCpu(arena, { manualLeave: true });
    const uma = Uma.attach(cpu);
    const zone = uma.open(defineZone({ name: 'queue', size: 64 })).record;
    const real = zoneDomain(uma, zone, 0) + ZoneDomain.fields.nitems.at;
    const words = record();
    const queued: number[] = [];
    const slots: number[] = [];
    let seed = 71;
    const below = (limit: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed >>> 8) % limit;
    };
    for (let step = 0; step < 3000; step++) {
      const kind = below(5);
      const slot = slots.pop() ?? reserveSlot(cpu);
      let filled = false;
      if (kind < 2 && queued.length < 40) {
        // A bucket that claims to hold `count` items: only its count matters here.
        expect(allocBucket(uma, zone, slot, 0)).toBe(true);
        const count = 1 + below(254);
        uma.words[uma.words[slot + 1]! + BucketHeader.fields.count.at] = count;
        expect(putBucket(uma, zone, 0, slot, kind === 0)).toBe(true);
        putItems(words, at, count, unlimited, kind === 0);
        queued.unshift(count);
      } else if (kind === 2) {
        filled = fetchBucket(uma, zone, 0, slot);
        if (filled) fetchItems(words, at, queued.shift()!);
      } else if (kind === 3) {
        filled = fetchForReclaim(uma, zone, 0, 0, slot);
        if (filled) reclaimItems(words, at, queued.shift()!);
      } else {
        updateWorkingSet(uma.words, real);
        updateWorkingSet(words, at);
      }
      if (filled) {
        uma.words[uma.words[slot + 1]! + BucketHeader.fields.count.at] = 0;
        freeBucket(uma, slot, 0);
      }
      slots.push(slot);
      const found = [...uma.words.subarray(real, real + WORKING_SET_WORDS)];
      expect(found, `step ${step}`).toEqual(state(words));
    }
  });
});
