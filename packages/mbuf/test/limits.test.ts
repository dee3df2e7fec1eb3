/** The limits of the mbuf zones: given at the first attach, kept by UMA. */

import { Arena, ArgumentError, claimCpu, leaveCpu, LIMIT_MAX, NULL, Root } from '@umbuf/memory';
import { Mbufs } from '@umbuf/mbuf';
import { fsck, M_NOWAIT, M_WAITOK, Uma } from '@umbuf/uma';
import { expect, test } from 'vitest';

function attachUma(): Uma {
  const arena = Arena.create({ bytes: 4 << 20, cpus: 2 });
  const uma = Uma.attach(claimCpu(arena, { manualLeave: true }));
  uma.warn = () => {};
  return uma;
}

test('a limit out of range is refused, and leaves no root record behind', () => {
  const uma = attachUma();
  const before = uma.words.slice(0, 256);
  for (const nmbclusters of [-1, 1.5, LIMIT_MAX + 1]) {
    expect(() => Mbufs.attach(uma, { limits: { nmbclusters } })).toThrow(ArgumentError);
  }
  expect(uma.words.slice(0, 256)).toEqual(before);
  expect(uma.words[Root.mbuf]).toBe(0);
});

test('clusters end at nmbclusters, in packets and by themselves; mbufs at nmbufs', () => {
  const uma = attachUma();
  const mbufs = Mbufs.attach(uma, { limits: { nmbclusters: 10, nmbufs: 25 } });
  const { cluster, mbuf, jumbo9 } = mbufs.zones;
  expect([cluster.getMax(), mbuf.getMax(), jumbo9.getMax()]).toEqual([10, 25, 0]);
  const packets: number[] = [];
  for (let m = mbufs.getcl(M_NOWAIT, 1, 0); m !== NULL; m = mbufs.getcl(M_NOWAIT, 1, 0)) {
    packets.push(m);
  }
  expect(packets).toHaveLength(10);
  expect(cluster.limitStatistics().items).toBe(10);
  // Packets are not counted against nmbufs (spec 6.4).
  const plain: number[] = [];
  for (let m = mbufs.get(M_NOWAIT, 1); m !== NULL; m = mbufs.get(M_NOWAIT, 1)) plain.push(m);
  expect(plain).toHaveLength(25);
  for (const m of [...packets, ...plain]) mbufs.freem(m as never);
  expect(fsck(uma).violations).toEqual([]);
});

test('a limit that is met is warned of, and who sleeps for a cluster gets that of a freed packet', async () => {
  const uma = attachUma();
  const printed: string[] = [];
  uma.warn = (text) => printed.push(text);
  const mbufs = Mbufs.attach(uma, { limits: { nmbclusters: 8 } });
  const packets = Array.from({ length: 8 }, () => mbufs.getcl(M_NOWAIT, 1, 0));
  expect(packets).not.toContain(NULL);
  mbufs.free(packets.pop()!);
  expect(mbufs.zones.packet.statistics()).toMatchObject({ live: 7 });
  // The cached packet's cluster is had at once, the next when a packet is freed.
  const first = await mbufs.zones.cluster.allocAsync();
  expect(first.failure).toBeUndefined();
  const waiting = mbufs.zones.cluster.allocAsync();
  await new Promise((resolve) => setTimeout(resolve, 1));
  expect(mbufs.zones.cluster.exhausted()).toBe(true);
  mbufs.free(packets.pop()!);
  const second = await waiting;
  expect(second.failure).toBeUndefined();
  expect(printed).toEqual(['[zone: mbuf_cluster] kern.ipc.nmbclusters limit reached']);
  expect(mbufs.getcl(M_NOWAIT, 1, 0)).toBe(NULL);
  mbufs.zones.cluster.free(first.item);
  mbufs.zones.cluster.free(second.item);
  for (const m of packets) mbufs.free(m);
  expect(fsck(uma).violations).toEqual([]);
});

test('M_WAITOK gets the clusters of packets that an idle CPU has cached', () => {
  const uma = attachUma();
  const mbufs = Mbufs.attach(uma, { limits: { nmbclusters: 8, nmbufs: 8 } });
  const other = Mbufs.attach(Uma.attach(claimCpu(uma.arena, { manualLeave: true })));
  const packets = Array.from({ length: 8 }, () => other.getcl(M_NOWAIT, 1, 0));
  expect(packets).not.toContain(NULL);
  for (const m of packets.splice(0, 3)) other.free(m);
  leaveCpu(other.cpu);
  const m = mbufs.get(M_NOWAIT, 1);
  expect(mbufs.clget(m, M_WAITOK)).toBe(true);
  const more = mbufs.getcl(M_WAITOK, 1, 0);
  expect(more).not.toBe(NULL);
  expect(mbufs.zones.cluster.limitStatistics()).toMatchObject({ items: 8, sleepers: 0 });
  expect(mbufs.zones.cluster.limitStatistics().sleeps).toBeGreaterThan(0);
  for (const held of [...packets, m, more]) mbufs.free(held);
  leaveCpu(mbufs.cpu);
  expect(fsck(uma).violations).toEqual([]);
});

test('a limit that was changed since stays when the next CPU attaches', () => {
  const uma = attachUma();
  const mbufs = Mbufs.attach(uma, { limits: { nmbclusters: 10 } });
  mbufs.zones.cluster.setMax(20);
  const other = Uma.attach(claimCpu(uma.arena, { manualLeave: true }));
  expect(Mbufs.attach(other).zones.cluster.getMax()).toBe(20);
});
