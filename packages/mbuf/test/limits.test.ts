/** Limits are asked for at the first attach: what cannot be kept is refused before anything is made. */

import { Arena, ArgumentError, claimCpu, Root } from '@umbuf/memory';
import { Mbufs } from '@umbuf/mbuf';
import { Uma, Zone } from '@umbuf/uma';
import { expect, test } from 'vitest';

test.runIf(!('setMax' in Zone.prototype))(
  'limits are refused while zones have none, and leave no root record and no zone behind',
  () => {
    const arena = Arena.create({ bytes: 4 << 20, cpus: 2 });
    const uma = Uma.attach(claimCpu(arena, { manualLeave: true }));
    const before = arena.words.slice(0, 256);
    expect(() => Mbufs.attach(uma, { limits: { nmbclusters: 10 } })).toThrow(ArgumentError);
    expect(() => Mbufs.attach(uma, { limits: { nmbclusters: 10 } })).toThrow(/nmbclusters 10/);
    expect(arena.words.slice(0, 256)).toEqual(before);
    expect(arena.words[Root.mbuf]).toBe(0);
    Mbufs.attach(uma, { limits: { nmbclusters: 0 } });
    expect(arena.words[Root.mbuf]).not.toBe(0);
  },
);
