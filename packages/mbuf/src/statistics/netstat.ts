/**
 * `netstat -m` as FreeBSD prints it, from the zones' statistics; its lines of sendfile are left out, since
 * there is none. Pure functions over what uma's vmstat reads.
 */

import type { MemoryType } from '@umbuf/uma';
import { MbufError } from '../errors.ts';

/** What the lines are made of, and `umbuf netstat -m --json` prints. */
export interface NetstatM {
  readonly 'mbuf-current': number;
  readonly 'mbuf-cache': number;
  readonly 'mbuf-total': number;
  readonly 'cluster-current': number;
  readonly 'cluster-cache': number;
  readonly 'cluster-total': number;
  readonly 'cluster-max': number;
  readonly 'packet-count': number;
  readonly 'packet-free': number;
  readonly jumbo: readonly JumboCount[];
  readonly 'bytes-in-use': number;
  readonly 'bytes-in-cache': number;
  readonly 'bytes-total': number;
  readonly 'mbuf-failures': number;
  readonly 'cluster-failures': number;
  readonly 'packet-failures': number;
  readonly 'mbuf-sleeps': number;
  readonly 'cluster-sleeps': number;
  readonly 'packet-sleeps': number;
}

/** Jumbo clusters of one size, smallest first. */
export interface JumboCount {
  /** Bytes per cluster. */
  readonly size: number;
  readonly count: number;
  readonly cache: number;
  readonly total: number;
  readonly max: number;
  readonly failures: number;
  readonly sleeps: number;
}

const JUMBO = ['mbuf_jumbo_page', 'mbuf_jumbo_9k', 'mbuf_jumbo_16k'] as const;

/**
 * The numbers of spec 5.5. Throws `MbufError` when a zone is missing, as the tool gives up: the arena has
 * no mbufs.
 */
export function netstatM(types: readonly MemoryType[]): NetstatM {
  const mbuf = typeOf(types, 'mbuf');
  const packet = typeOf(types, 'mbuf_packet');
  const cluster = typeOf(types, 'mbuf_cluster');
  const jumbos = JUMBO.map((name) => typeOf(types, name));
  const tags = types.filter(({ name }) => name.startsWith('mbuf_tag_'));
  const used = ({ count }: MemoryType): number => Number(count);
  const free = (type: MemoryType): number => Number(type.free);
  const sum = (all: readonly MemoryType[], of: (type: MemoryType) => number): number =>
    all.reduce((total, type) => total + of(type), 0);
  const inUse =
    used(mbuf) * mbuf.size +
    used(packet) * (packet.size + cluster.size) +
    (used(cluster) - used(packet) - free(packet)) * cluster.size +
    sum(tags, ({ bytes }) => Number(bytes)) +
    sum(jumbos, (jumbo) => used(jumbo) * jumbo.size);
  const inCache =
    (free(mbuf) + free(packet)) * mbuf.size +
    (free(packet) + free(cluster)) * cluster.size +
    sum(jumbos, (jumbo) => free(jumbo) * jumbo.size);
  return {
    'mbuf-current': used(mbuf) + used(packet),
    'mbuf-cache': free(mbuf) + free(packet),
    'mbuf-total': used(mbuf) + used(packet) + free(mbuf) + free(packet),
    'cluster-current': used(cluster) - free(packet),
    'cluster-cache': free(cluster) + free(packet),
    'cluster-total': used(cluster) + free(cluster),
    'cluster-max': cluster.limit,
    'packet-count': used(packet),
    'packet-free': free(packet),
    jumbo: jumbos.map((jumbo) => ({
      size: jumbo.size,
      count: used(jumbo),
      cache: free(jumbo),
      total: used(jumbo) + free(jumbo),
      max: jumbo.limit,
      failures: Number(jumbo.failures),
      sleeps: Number(jumbo.sleeps),
    })),
    'bytes-in-use': inUse,
    'bytes-in-cache': inCache,
    'bytes-total': inUse + inCache,
    'mbuf-failures': Number(mbuf.failures),
    'cluster-failures': Number(cluster.failures),
    'packet-failures': Number(packet.failures),
    'mbuf-sleeps': Number(mbuf.sleeps),
    'cluster-sleeps': Number(cluster.sleeps),
    'packet-sleeps': Number(packet.sleeps),
  };
}

/** The report as text, a line each. */
export function formatNetstatM(numbers: NetstatM): string {
  const n = numbers;
  const kib = (bytes: number): string => `${Math.floor(bytes / 1024)}K`;
  const jumbo = n.jumbo.map(({ size, count, cache, total, max }, index) => {
    const name = `${Math.floor(size / 1024)}k${index === 0 ? ' (page size)' : ''}`;
    return `${count}/${cache}/${total}/${max} ${name} jumbo clusters in use (current/cache/total/max)`;
  });
  const sizes = n.jumbo.map(({ size }) => `${Math.floor(size / 1024)}k`).join('/');
  return [
    `${n['mbuf-current']}/${n['mbuf-cache']}/${n['mbuf-total']} mbufs in use (current/cache/total)`,
    `${n['cluster-current']}/${n['cluster-cache']}/${n['cluster-total']}/${n['cluster-max']} ` +
      'mbuf clusters in use (current/cache/total/max)',
    `${n['packet-count']}/${n['packet-free']} ` +
      'mbuf+clusters out of packet secondary zone in use (current/cache)',
    ...jumbo,
    `${kib(n['bytes-in-use'])}/${kib(n['bytes-in-cache'])}/${kib(n['bytes-total'])} ` +
      'bytes allocated to network (current/cache/total)',
    `${n['mbuf-failures']}/${n['cluster-failures']}/${n['packet-failures']} ` +
      'requests for mbufs denied (mbufs/clusters/mbuf+clusters)',
    `${n['mbuf-sleeps']}/${n['cluster-sleeps']}/${n['packet-sleeps']} ` +
      'requests for mbufs delayed (mbufs/clusters/mbuf+clusters)',
    `${n.jumbo.map(({ sleeps }) => sleeps).join('/')} requests for jumbo clusters delayed (${sizes})`,
    `${n.jumbo.map(({ failures }) => failures).join('/')} requests for jumbo clusters denied (${sizes})`,
    '',
  ].join('\n');
}

function typeOf(types: readonly MemoryType[], name: string): MemoryType {
  const found = types.find((type) => type.name === name);
  if (found === undefined) throw new MbufError(`netstat -m: the arena has no zone ${name}`);
  return found;
}
