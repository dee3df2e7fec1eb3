/**
 * A CPU that dies while it gives back a last reference loses neither the storage nor the holder, which may
 * have been parked by another. Death is simulated by an exception in front of each put, after
 * which the other CPU of the arena recovers the first.
 */

import { Arena, claimCpu, recover } from '@umbuf/memory';
import { fsck, M_NOWAIT, Uma, type Zone } from '@umbuf/uma';
import { checkMbufs, Mbufs, type MbufZones } from '@umbuf/mbuf';
import { describe, expect, test } from 'vitest';

class Death extends Error {}

/** From now on the `at`-th put into any zone kills, before the zone has the item. */
function dieAt(zones: MbufZones, at: number): void {
  let count = 0;
  for (const zone of Object.values(zones) as Zone[]) {
    const { record } = zone;
    Object.defineProperty(zone, 'record', {
      get() {
        if (++count === at) throw new Death();
        return record;
      },
    });
  }
}

const storages: [string, number, (mbufs: Mbufs) => number][] = [
  // name, puts on the way, how to get one
  ['a packet', 2, (mbufs) => mbufs.getcl(M_NOWAIT, 1, 0)],
  ['a jumbo cluster', 3, (mbufs) => mbufs.getjcl(M_NOWAIT, 1, 0, 9216)],
];

describe.each(storages)('%s', (_name, puts, get) => {
  test.each(Array.from({ length: puts }, (_, index) => index + 1))(
    'death at put %d of its last reference',
    (at) => {
      const arena = Arena.create({ bytes: 16 << 20, cpus: 2, level: 'checks' });
      const first = claimCpu(arena, { manualLeave: true });
      const second = claimCpu(arena, { manualLeave: true });
      const dying = Mbufs.attach(Uma.attach(first));
      const recoverer = Mbufs.attach(Uma.attach(second));
      const m = get(dying) as ReturnType<typeof dying.get>;
      const copy = dying.get(M_NOWAIT, 1);
      dying.addReference(copy, m);
      dying.free(m); // parked
      dieAt(dying.zones, at);
      expect(() => dying.free(copy)).toThrow(Death);
      expect(recover(second, first.number, first.incarnation)).toBe('recovered');
      expect(fsck(recoverer.uma).violations).toEqual([]);
      const zones = Object.values(recoverer.zones) as Zone[];
      const own = zones.filter((zone) => zone.name !== 'mbuf_cluster');
      const live = own.reduce((sum, zone) => sum + zone.statistics().live, 0);
      expect(live).toBe(0);
      expect(checkMbufs(recoverer, []).some((line) => line.includes('parked'))).toBe(false);
    },
  );

  test('without a death nothing stays in the hand', () => {
    const arena = Arena.create({ bytes: 16 << 20, cpus: 1, level: 'checks' });
    const cpu = claimCpu(arena, { manualLeave: true });
    const mbufs = Mbufs.attach(Uma.attach(cpu));
    const m = get(mbufs) as ReturnType<typeof mbufs.get>;
    const copy = mbufs.get(M_NOWAIT, 1);
    mbufs.addReference(copy, m);
    mbufs.free(m);
    mbufs.free(copy);
    expect(arena.words[cpu.handTop]).toBe(0);
    expect(checkMbufs(mbufs, [])).toEqual([]);
  });
});
