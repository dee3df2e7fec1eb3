/** The maker of a counter set dies at any atomic access: the set exists whole, or nothing was used. */

import { Arena, claimCpu, markDead, recover, STATIC_NEXT } from '@umbuf/memory';
import { createCounters, findCounters } from '@umbuf/stats';
import { expect, test } from 'vitest';
import { diedAtAtomic } from '../../memory/test/support/dying-cpu.ts';

test('a set whose maker died is made by the next one in the same place', () => {
  let whole = 0;
  let deaths = 0;
  const usedBy = new Set<number>();
  for (let point = 1, dead = true; dead; point++) {
    const arena = Arena.create({ bytes: 1 << 18, cpus: 2, backing: 'shared-array-buffer' });
    const victim = claimCpu(arena, { manualLeave: true });
    const other = claimCpu(arena, { manualLeave: true });
    dead = diedAtAtomic(point, () => createCounters(victim, 'net.rx', 3));
    if (dead) deaths++;
    markDead(other, victim.number, victim.incarnation);
    expect(recover(other, victim.number, victim.incarnation)).toBe('recovered');
    if (findCounters(arena, 'net.rx') !== undefined) whole++;
    const made = createCounters(other, 'net.rx', 3);
    expect(made?.counters, `died at access ${point}`).toHaveLength(3);
    usedBy.add(arena.words[STATIC_NEXT]!);
  }
  expect(usedBy.size, 'static space used, the same after every death').toBe(1);
  expect(deaths).toBeGreaterThan(6);
  expect(whole, 'made before the death, and by it that came to its end').toBeGreaterThan(1);
});
