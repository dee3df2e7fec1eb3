/** `netstat -m` in both kernels' forms, and the owner table. */

import { attachOwner, type Mowner, readOwners } from '@umbuf/tracing';
import { M_NOWAIT, readMemoryTypes } from '@umbuf/uma';
import { expect, test } from 'vitest';
import {
  formatNetbsdNetstatM,
  formatNetstatM,
  formatOwners,
  FreebsdType,
  M_PKTHDR,
  MbufError,
  netstatM,
  readMbstat,
} from '../src/index.ts';
import { makeMbufs } from './support.ts';

const { MT_DATA } = FreebsdType;

test('FreeBSD: what is in use and in caches, by kind, in bytes and in failures', () => {
  const mbufs = makeMbufs({ limits: { nmbjumbo9: 2, nmbclusters: 5000 } }, 'none', 4 << 20);
  for (let turn = 0; turn < 3; turn++) mbufs.get(M_NOWAIT, MT_DATA);
  const packet = mbufs.getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
  mbufs.tagPrepend(packet, mbufs.tagGet(1, 16, M_NOWAIT));
  mbufs.clget(mbufs.get(M_NOWAIT, MT_DATA), M_NOWAIT);
  for (let turn = 0; turn < 3; turn++) mbufs.getjcl(M_NOWAIT, MT_DATA, M_PKTHDR, 9216);
  const numbers = netstatM(readMemoryTypes(mbufs.uma));
  const { cached } = mbufs.zones.packet.statistics();
  expect(numbers).toMatchObject({
    'mbuf-current': 3 + 1 + 1 + 2,
    'packet-count': 1,
    'packet-free': cached,
    'cluster-current': 2,
    'cluster-max': 5000,
    'bytes-in-use': 6 * 256 + (256 + 2048) + 2048 + 2 * 9216 + 32,
    'mbuf-failures': 0,
  });
  expect(numbers.jumbo[1]).toMatchObject({ size: 9216, count: 2, max: 2, sleeps: 0 });
  expect(numbers.jumbo[1]!.failures).toBeGreaterThan(0);
  expect(numbers['bytes-total']).toBe(numbers['bytes-in-use'] + numbers['bytes-in-cache']);
});

test('FreeBSD: the text, line by line', () => {
  const jumbo = (size: number, count: number) => {
    return { size, count, cache: 2, total: count + 2, max: 9, failures: count, sleeps: 7 };
  };
  const text = formatNetstatM({
    'mbuf-current': 1,
    'mbuf-cache': 2,
    'mbuf-total': 3,
    'cluster-current': 4,
    'cluster-cache': 5,
    'cluster-total': 9,
    'cluster-max': 100,
    'packet-count': 6,
    'packet-free': 7,
    jumbo: [jumbo(4096, 1), jumbo(9216, 2), jumbo(16384, 3)],
    'bytes-in-use': 2047,
    'bytes-in-cache': 4096,
    'bytes-total': 6143,
    'mbuf-failures': 1,
    'cluster-failures': 2,
    'packet-failures': 3,
    'mbuf-sleeps': 4,
    'cluster-sleeps': 5,
    'packet-sleeps': 6,
  });
  expect(text).toMatchInlineSnapshot(`
    "1/2/3 mbufs in use (current/cache/total)
    4/5/9/100 mbuf clusters in use (current/cache/total/max)
    6/7 mbuf+clusters out of packet secondary zone in use (current/cache)
    1/2/3/9 4k (page size) jumbo clusters in use (current/cache/total/max)
    2/2/4/9 9k jumbo clusters in use (current/cache/total/max)
    3/2/5/9 16k jumbo clusters in use (current/cache/total/max)
    1K/4K/5K bytes allocated to network (current/cache/total)
    1/2/3 requests for mbufs denied (mbufs/clusters/mbuf+clusters)
    4/5/6 requests for mbufs delayed (mbufs/clusters/mbuf+clusters)
    7/7/7 requests for jumbo clusters delayed (4k/9k/16k)
    1/2/3 requests for jumbo clusters denied (4k/9k/16k)
    "
  `);
});

test('FreeBSD: an arena without mbufs has no report', () => {
  expect(() => netstatM([])).toThrow(MbufError);
});

test("NetBSD: types in the tool's order, unknown ones by number, totals of 16 bits", () => {
  const types = Array.from({ length: 32 }, () => 0);
  Object.assign(types, { 1: 70000, 2: 5, 6: 1, 7: 2, 9: 3, 14: 4 });
  expect(formatNetbsdNetstatM({ types, drains: 12 })).toBe(
    '4472 mbufs in use:\n' +
      '\t4464 mbufs allocated to data\n' +
      '\t2 mbufs allocated to oob data\n' +
      '\t1 mbufs allocated to ancillary data\n' +
      '\t5 mbufs allocated to packet headers\n' +
      '\t3 mbufs allocated to <mbuf type 9>\n' +
      '\t4 mbufs allocated to <mbuf type 14>\n' +
      '12 calls to protocol drain routines\n',
  );
  const mbufs = makeMbufs({ preset: 'netbsd' });
  mbufs.get(M_NOWAIT, MT_DATA);
  mbufs.reclaim();
  expect(formatNetbsdNetstatM({ ...readMbstat(mbufs), drains: mbufs.drains() })).toBe(
    '1 mbufs in use:\n\t1 mbufs allocated to data\n1 calls to protocol drain routines\n',
  );
});

test('NetBSD: owners, by how much is asked for', () => {
  const owner: Mowner = {
    name: 'unknown',
    description: 'data',
    claims: 100n,
    releases: 88n,
    extClaims: 40n,
    extReleases: 37n,
    clusterClaims: 30n,
    clusterReleases: 28n,
  };
  expect(formatOwners([owner], 1)).toBe(
    '                                             small        ext    cluster\n' +
      '         unknown data          inuse            12          3          2\n' +
      '                               claims          100         40         30\n' +
      '                               releases         88         37         28\n',
  );
  const balanced = { ...owner, releases: 100n, extReleases: 40n, clusterReleases: 30n };
  const unused = {
    ...balanced,
    claims: 0n,
    releases: 0n,
    extClaims: 0n,
    extReleases: 0n,
    clusterClaims: 0n,
    clusterReleases: 0n,
  };
  const rows = (verbose: 0 | 1 | 2) =>
    formatOwners([balanced, unused, owner], verbose)
      .split('\n')
      .filter((line) => line.includes('inuse')).length;
  expect([rows(0), rows(1), rows(2)]).toEqual([1, 2, 3]);
  // A header every 24 lines, and an imbalance prints huge.
  const many = formatOwners(Array.from({ length: 40 }, () => owner))
    .trimEnd()
    .split('\n');
  expect(many.flatMap((line, index) => (line.includes('cluster') ? [index] : []))).toEqual([0, 24]);
  expect(formatOwners([{ ...owner, claims: 0n, releases: 1n }])).toContain('18446744073709551615');
});

test('NetBSD: the owners of an arena', () => {
  const mbufs = makeMbufs({ preset: 'netbsd', owners: true });
  const tcp = attachOwner(mbufs.cpu, 'tcp', 'tx');
  const m = mbufs.getcl(M_NOWAIT, MT_DATA, 0);
  mbufs.claim(m, tcp);
  expect(formatOwners(readOwners(mbufs.arena))).toBe(
    '                                             small        ext    cluster\n' +
      '             tcp tx            inuse             1          1          1\n',
  );
});
