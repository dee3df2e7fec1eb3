/** `vmstat -z` to the last blank, and what libmemstat makes of a stream. */
import { expect, test } from 'vitest';
import {
  decodeZoneStats,
  encodeZoneStats,
  formatVmstatZ,
  MemstatError,
  type MemoryType,
  memoryTypes,
  readMemoryTypes,
  vmstatZ,
  type ZoneStat,
  ZoneFlag,
} from '../../src/index.ts';
import { allocAll, virtualCpus } from '../support/virtual.ts';

function type(name: string, numbers: readonly number[]): MemoryType {
  const [size, limit, count, free, numAllocs, failures, sleeps, xdomain] = numbers;
  return {
    name,
    size: size!,
    limit: limit!,
    count: BigInt(count!),
    bytes: 0n,
    free: BigInt(free!),
    numAllocs: BigInt(numAllocs!),
    numFrees: 0n,
    failures: BigInt(failures!),
    sleeps: BigInt(sleeps!),
    xdomain: BigInt(xdomain!),
  };
}

const EXAMPLE = [
  type('mbuf', [256, 419430, 123, 456, 78901, 0, 0, 0]),
  type('mbuf_packet', [256, 0, 5, 249, 1000, 0, 0, 0]),
];

test('prints the example of the specification', () => {
  expect(formatVmstatZ(EXAMPLE)).toBe(
    'ITEM                   SIZE   LIMIT     USED     FREE      REQ FAIL SLEEP XDOM\n' +
      'mbuf:                   256, 419430,     123,     456,   78901,   0,   0,   0\n' +
      'mbuf_packet:            256,      0,       5,     249,    1000,   0,   0,   0\n',
  );
});

test('figures and names that are too wide push their row to the right, never cut', () => {
  const wide = 123_456_789_012;
  const text = formatVmstatZ([
    type('x'.repeat(31), [8, 12_345_678, wide, wide, wide, 12_345, 12_345, 12_345]),
    type('é', [8, 0, 0, 0, 0, 0, 0, 0]),
  ]);
  expect(text.split('\n').slice(1)).toEqual([
    `${'x'.repeat(31)}:8,12345678,123456789012,123456789012,123456789012,12345,12345,12345`,
    // Two bytes wide, as printf counts.
    'é:                       8,      0,       0,       0,       0,   0,   0,   0',
    '',
  ]);
});

test('the structured output has libxo’s container, list and fields', () => {
  expect(JSON.stringify(vmstatZ(EXAMPLE.slice(0, 1)))).toBe(
    '{"memory-zone-statistics":{"zone":[{"name":"mbuf","size":256,"limit":419430,"used":123,' +
      '"free":456,"requests":78901,"fail":0,"sleep":0,"xdomain":0}]}}',
  );
});

const ZONE: ZoneStat = {
  name: 'z',
  align: 7,
  size: 64,
  rsize: 64,
  maxpages: 0,
  limit: 0,
  pages: 2,
  kegFree: 30,
  zoneFree: 20,
  bucketsize: 0,
  zoneFlags: 0,
  allocs: 5n,
  frees: 2n,
  fails: 1n,
  sleeps: 3n,
  xdomain: 4n,
  perCpu: [
    { allocs: 100n, frees: 40n, cacheFree: 7n },
    { allocs: 10n, frees: 30n, cacheFree: 8n },
  ],
};

test('a zone is the sum of its own counters and those of its CPUs', () => {
  expect(memoryTypes([ZONE])).toEqual([
    {
      name: 'z',
      size: 64,
      limit: 0,
      count: 43n,
      bytes: 43n * 64n,
      free: 65n,
      numAllocs: 115n,
      numFrees: 72n,
      failures: 1n,
      sleeps: 3n,
      xdomain: 4n,
    },
  ]);
});

test('frees that are ahead of the allocations count as as many allocations', () => {
  const [row] = memoryTypes([{ ...ZONE, frees: 200n }]);
  expect(row).toMatchObject({ numAllocs: 270n, numFrees: 270n, count: 0n, bytes: 0n });
});

test('the free items of a keg are its first zone’s, not its secondary zones’', () => {
  expect(memoryTypes([{ ...ZONE, zoneFlags: 1 }])[0]!.free).toBe(35n);
});

test('bytes that are no stream are refused with libmemstat’s messages', () => {
  const { umas } = virtualCpus(1);
  const good = encodeZoneStats(umas[0]!);
  expect(decodeZoneStats(good).length).toBeGreaterThan(0);
  for (const bad of [good.subarray(0, 15), good.subarray(0, -1), new Uint8Array(0)]) {
    expect(() => decodeZoneStats(bad)).toThrow(MemstatError);
    expect(() => decodeZoneStats(bad)).toThrow('Data format error');
  }
  const other = good.slice();
  other[0] = 2;
  expect(() => decodeZoneStats(other)).toThrow('Version mismatch: 2, not 1');
});

test('an arena after a small program', async () => {
  const { umas } = virtualCpus(2, { level: 'checks' });
  const [a, b] = [umas[0]!, umas[1]!];
  const definition = { name: 'session', size: 192 };
  const [here, there] = [a.open(definition), b.open(definition)];
  const plain = a.open({ name: 'Buffer list, plain', size: 24, flags: ZoneFlag.NOBUCKET });
  const items = allocAll(here, 700);
  for (const item of items.slice(0, 600)) there.free(item);
  plain.freeMany(allocAll(plain, 3), 0, 2);
  a.open({ name: 'second', size: 192, primary: definition });
  const types = readMemoryTypes(a);
  expect(types.find((each) => each.name === 'session')).toMatchObject({
    count: 100n,
    numAllocs: 700n,
  });
  await expect(formatVmstatZ(types)).toMatchFileSnapshot('../golden/vmstat-z.txt');
});
