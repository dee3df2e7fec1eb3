/**
 * The table of rows. Ratios are of minima, against the baseline that the row's module names; the
 * first number is the target of the foundation, the second the one to hold at the end.
 *
 * Not here yet, because what they measure is not built: mowner.on (mbuf owners, <= 1.15) and
 * probe.off (a disabled probe, <= 1.01).
 */

import type { Row } from './row.ts';

function row(
  name: string,
  module: string,
  foundation: number | null,
  final: number | null,
  what: string,
  apart = false,
): Row {
  return { name, module, foundation, final, what, apart };
}

const DEBUG = 'micro/debug-levels.js';
const INTERLEAVE = 'micro/interleave.js';

export const ROWS: readonly Row[] = [
  row('zone.batch128', 'micro/zone.js', 2, 1.4, '128 alloc, 128 free, one zone'),
  row('zone.random4096', 'micro/zone.js', 3, 2, '4096 live: free a random one, alloc'),
  row('zone.random4096.empty', 'micro/zone.js', null, 1.5, 'the same, cache exactly empty'),
  row('zone.mixed10', 'micro/zone-mixed.js', 3, 1.8, 'ten zones with ten ctors, one call site'),
  row('zone.scale.live', 'micro/zone-scale-live.js', 1.5, 1.2, 'a random pair, 10^6 items live'),
  row('zone.scale.zones', 'micro/zone-scale-zones.js', null, null, 'the pair over 64 zones'),
  row('zone.scale.cpus', 'micro/zone-scale-cpus.js', 1.2, 1.1, 'the pair while CPU 1 does it too'),
  row('zone.pipe', 'micro/zone-pipe.js', 3.5, 2.2, 'alloc, ring, free on the other CPU, per item'),
  row('zone.burst', 'micro/zone.js', 1.6, 1.2, '2048 alloc, 2048 free: buckets travel'),
  row('zone.zero2048', 'micro/zone.js', 0.2, 0.05, 'alloc of 2048 bytes with M_ZERO, and free'),
  row('mbuf.get', 'micro/mbuf.js', 4, 2, '128 m_get, 128 m_free, headers initialised'),
  row('mbuf.getcl', 'micro/mbuf.js', 5, 2.5, '128 packets with clusters, 128 m_free'),
  row('mbuf.copym4', 'micro/mbuf.js', 2, 1.6, 'share a chain of 4 clusters, free the copy'),
  row('mbuf.free.unshared', 'micro/mbuf.js', 0, 0, 'free of a cluster that was never shared'),
  row('mbuf.copydata5600', 'micro/mbuf.js', 0.7, 0.4, 'copy 5600 bytes out of 4 segments'),
  row('mbuf.checksum1500', 'micro/mbuf-checksum.js', null, 0.3, 'checksum over a chain of 3'),
  row('stats.on', 'micro/statistics.js', null, 1.05, 'the pair with its two 64-bit counters'),
  row('interleave.step', INTERLEAVE, 5, 3, 'a step of the search, race detection on'),
  row('interleave.tagged-stack', INTERLEAVE, 1, 1, 'a schedule of two CPUs on the stack'),
  row('interleave.zone', INTERLEAVE, 1, 1, 'a schedule of two CPUs on a zone, and its fsck'),
  row('items.on', DEBUG, null, null, 'the pair with the item table', true),
  row('checks', DEBUG, null, null, 'a packet, getcl and free, at level checks', true),
  row('invariants', DEBUG, null, null, 'a packet, getcl and free, at level invariants', true),
  row('invariants.pair', DEBUG, null, null, 'the pair at level invariants', true),
  row('invariants.sampled', DEBUG, null, null, 'the same, every 64th item trashed', true),
];

const ALLOCATORS = 'versus/allocators.js';
const CHAINS = 'versus/chains.js';
/** Node 24 made Buffer.allocUnsafe more than twice as fast as Node 20's. */
const UNSAFE = Number.parseInt(process.versions.node, 10) >= 24 ? 1 / 10 : 1 / 25;

/** Against npm peers, with --versus: the ratio is our time by theirs. */
export const VERSUS: readonly Row[] = [
  row('versus.buffer.allocUnsafe', ALLOCATORS, UNSAFE, UNSAFE, 'the pair, items of 2048 bytes'),
  row('versus.uint8array', ALLOCATORS, 1 / 100, 1 / 100, 'the pair, items of 2048 bytes'),
  row('versus.malloc.lifo', ALLOCATORS, 0.333, 0.333, 'alloc and free of one item'),
  row('versus.malloc.batch', ALLOCATORS, 1 / 40, 1 / 40, '128 alloc, 128 free'),
  row('versus.malloc.random', ALLOCATORS, 1 / 1000, 1 / 1000, '4096 live, a random one at a time'),
  row('versus.pool', ALLOCATORS, null, null, 'the pair; a pool cannot be shared by threads'),
  row('versus.bl.chain', CHAINS, 1 / 5, 1 / 5, 'chain of four: build, share, consume, drop'),
  row('versus.uint8arraylist.share', CHAINS, 1, 1, 'share a chain of four, drop the share'),
  row('versus.uint8arraylist.read', CHAINS, 1, 1, 'read 5600 bytes of a chain of four'),
];

export const ALL_ROWS: readonly Row[] = [...ROWS, ...VERSUS];
