/** Items that another layer holds in a hand slot: freed once, whoever is left to do it. */

import { Arena, claimCpu, recover, reserveSlot } from '@umbuf/memory';
import { attachOwner, readOwnerCounters } from '@umbuf/tracing';
import { defineZone, freeHeld, fsck, HELD_ITEM, HELD_WHOLE, M_NOWAIT, Uma } from '@umbuf/uma';
import { describe, expect, test } from 'vitest';

const HELD = defineZone({ name: 'held', size: 256 });

describe.each(['none', 'checks', 'invariants'] as const)('level %s', (level) => {
  function zones() {
    const arena = Arena.create({ bytes: 4 << 20, cpus: 2, level });
    return [0, 1].map((number) => {
      const cpu = claimCpu(arena, { number, manualLeave: true });
      return Uma.attach(cpu).open(HELD);
    });
  }

  function hold(zone: ReturnType<typeof zones>[number], item: number): number {
    const { words, cpu } = zone.uma;
    const slot = reserveSlot(cpu);
    words[slot + 1] = item;
    words[slot + 2] = zone.record;
    words[slot + 3] = HELD_WHOLE;
    words[slot] = HELD_ITEM;
    return slot;
  }

  test('an item goes back to the cache, and its slot', () => {
    const [zone] = zones();
    const item = zone!.alloc(M_NOWAIT);
    freeHeld(zone!.uma, hold(zone!, item));
    expect(zone!.uma.words[zone!.uma.cpu.handTop]).toBe(0);
    expect(zone!.statistics()).toMatchObject({ live: 0, frees: 1 });
    expect(zone!.alloc(M_NOWAIT)).toBe(item);
    expect(fsck(zone!.uma).violations).toEqual([]);
  });

  test('more than a cache holds go on to the keg', () => {
    const [zone] = zones();
    const items = Array.from({ length: 1000 }, () => zone!.alloc(M_NOWAIT));
    for (const item of items) freeHeld(zone!.uma, hold(zone!, item));
    expect(zone!.statistics().live).toBe(0);
    expect(fsck(zone!.uma).violations).toEqual([]);
  });

  test('one whose CPU died before the free comes back by recovery, once', () => {
    const [first, second] = zones();
    const item = first!.alloc(M_NOWAIT);
    hold(first!, item);
    expect(recover(second!.uma.cpu, 0, first!.uma.cpu.incarnation)).toBe('recovered');
    expect(second!.statistics().live).toBe(0);
    expect(fsck(second!.uma).violations).toEqual([]);
  });

  test.runIf(level !== 'none')('its owner has it no more', () => {
    const [zone] = zones();
    const owner = attachOwner(zone!.uma.cpu, 'somebody');
    const item = zone!.alloc(M_NOWAIT);
    zone!.claim(item, owner);
    freeHeld(zone!.uma, hold(zone!, item));
    expect(readOwnerCounters(zone!.uma.arena, owner)).toMatchObject({
      itemClaims: 1n,
      itemReleases: 1n,
    });
    expect(fsck(zone!.uma).violations).toEqual([]);
  });
});
