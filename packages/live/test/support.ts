/** A small arena with a bit of everything, made the same way at each run: two CPUs in one thread. */

import { Arena, claimCpu } from '@umbuf/memory';
import { Mbufs } from '@umbuf/mbuf';
import { createCounters } from '@umbuf/stats';
import { attachOwner } from '@umbuf/tracing';
import { M_NOWAIT, Uma } from '@umbuf/uma';

export interface Sample {
  readonly arena: Arena;
  readonly uma: Uma;
  readonly other: Uma;
}

/** Sessions with a limit of 40 that CPU 0 meets, items freed on another CPU, an owner, counters. */
export function sampleArena(options: { readonly mbufs?: boolean } = {}): Sample {
  const arena = Arena.create({ bytes: 4 << 20, cpus: 3 });
  const [uma, other] = [0, 1].map(() => Uma.attach(claimCpu(arena, { manualLeave: true })));
  const session = { name: 'session', size: 192 };
  const sessions = uma!.open(session);
  sessions.setMax(40);
  const items = Array.from({ length: 41 }, () => sessions.alloc(M_NOWAIT)).filter((at) => at !== 0);
  const there = other!.open(session);
  for (const item of items.slice(0, 15)) there.free(item);
  uma!.open({ name: 'a "b"\\', size: 64 }).alloc(M_NOWAIT);
  if (options.mbufs === true) {
    const mbufs = Mbufs.attach(uma!);
    mbufs.get(M_NOWAIT, 1);
  }
  attachOwner(uma!.cpu, 'tcp', 'input');
  createCounters(uma!.cpu, 'packets', [{ name: 'seen', description: 'Packets seen' }]);
  return { arena, uma: uma!, other: other! };
}
