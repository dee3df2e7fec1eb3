/** The maker of the root record dies at any atomic access: the next attach finds it, or makes it there. */

import { Arena, claimCpu, markDead, recover, Root, STATIC_NEXT } from '@umbuf/memory';
import { expect, test } from 'vitest';
import { diedAtAtomic } from '../../memory/test/support/dying-cpu.ts';
import { openRoot, rootPreset } from '../src/root.ts';

test('a root record whose maker died stands once, with the settings of whoever made it', () => {
  const presets = new Set<string>();
  const usedBy = new Set<number>();
  for (let point = 1, dead = true; dead; point++) {
    const arena = Arena.create({ bytes: 1 << 18, cpus: 2, backing: 'shared-array-buffer' });
    const victim = claimCpu(arena, { manualLeave: true });
    const other = claimCpu(arena, { manualLeave: true });
    dead = diedAtAtomic(point, () => openRoot(victim, { preset: 'netbsd' }));
    markDead(other, victim.number, victim.incarnation);
    expect(recover(other, victim.number, victim.incarnation)).toBe('recovered');
    const made = arena.words[Root.mbuf]! >> 2;
    const root = openRoot(other, {});
    if (made !== 0) expect(root, `died at access ${point}`).toBe(made);
    const preset = rootPreset(arena.words, root);
    expect(preset).toBe(made === 0 ? 'freebsd' : 'netbsd');
    presets.add(preset);
    usedBy.add(arena.words[STATIC_NEXT]!);
  }
  expect([...presets], 'deaths before the root existed, and after').toEqual(['freebsd', 'netbsd']);
  expect(usedBy.size, 'static space used, the same after every death').toBe(1);
});
