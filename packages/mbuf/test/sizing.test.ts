import { ArgumentError } from '@umbuf/memory';
import { describe, expect, it } from 'vitest';
import { M_EOR, M_EXT, M_PKTHDR, MBUF_PEXT_MAX_BYTES, presets } from '../src/constants.ts';
import {
  FREEBSD_COPYFLAGS,
  FREEBSD_DEMOTEFLAGS,
  FREEBSD_PROTOFLAGS,
  FreebsdCsum,
  FreebsdFlag,
} from '../src/freebsd-flags.ts';
import { NETBSD_COPYFLAGS, NETBSD_EXTCOPYFLAGS, NetbsdFlag } from '../src/netbsd-flags.ts';
import { sizeMbufs } from '../src/sizing.ts';

const gigabyte = 2 ** 30;

function counts(bytes: number, tunables = {}): number[] {
  const limits = sizeMbufs(bytes / 4096, bytes, 256, tunables);
  const { nmbclusters, nmbjumbop, nmbjumbo9, nmbjumbo16, nmbufs } = limits;
  return [nmbclusters, nmbjumbop, nmbjumbo9, nmbjumbo16, nmbufs];
}

describe('sizeMbufs', () => {
  it.each([
    [1, [65536, 32768, 9709, 5461, 419430]],
    [4, [262144, 131072, 38836, 21845, 1677721]],
    [16, [1048576, 524288, 155344, 87381, 6710886]],
  ])('sizes %i GiB as the kernel does', (size, expected) => {
    expect(counts(size * gigabyte)).toEqual(expected);
  });

  it('takes the smaller of physical memory and kernel map, and at most three quarters', () => {
    expect(sizeMbufs(1000, 1001, 256)).toMatchObject({ realmem: 1001, maxmbufmem: 500 });
    expect(sizeMbufs(10, 2 ** 40, 256).realmem).toBe(40960);
    expect(sizeMbufs(1000, 1001, 256, { maxmbufmem: 1001 }).maxmbufmem).toBe(750);
  });

  it('never allows fewer mbufs than clusters', () => {
    expect(counts(gigabyte, { nmbclusters: 500000, nmbufs: 7 })[4]).toBe(547938);
    expect(counts(gigabyte, { nmbufs: 200000 })[4]).toBe(200000);
    expect(counts(gigabyte, { nmbufs: 0, nmbclusters: 0 })[4]).toBe(419430);
  });

  it.each(['nmbclusters', 'nmbufs', 'maxmbufmem'])('refuses a negative %s by name', (name) => {
    expect(() => counts(gigabyte, { [name]: -1 })).toThrow(ArgumentError);
    expect(() => counts(gigabyte, { [name]: -1 })).toThrow(name);
  });
});

describe('presets', () => {
  it.each(['freebsd', 'netbsd'] as const)('of %s fit together', (name) => {
    const preset = presets[name];
    expect(preset.mlen).toBe(preset.msize - preset.headerBytes);
    expect(preset.mhlen).toBe(preset.mlen - preset.packetHeaderBytes);
    expect(preset.offsetOfPacketData).toBe(preset.msize - preset.mhlen);
    const smallest = name === 'freebsd' ? preset.mhlen + 1 : preset.mhlen + preset.mlen + 1;
    expect(preset.minclsize).toBe(smallest);
  });

  it('bounds a page mbuf at 20567 bytes', () => {
    expect(MBUF_PEXT_MAX_BYTES).toBe(20567);
  });
});

describe('flag masks', () => {
  const mask = (flags: Record<string, number>, names: readonly string[]): number =>
    names.reduce((sum, name) => sum | flags[name]!, 0);

  it('of FreeBSD are the sums of their flags', () => {
    const protocol = Object.keys(FreebsdFlag).filter((name) => name.startsWith('M_PROTO'));
    expect(mask(FreebsdFlag, protocol)).toBe(FREEBSD_PROTOFLAGS);
    const copied = 'PKTHDR EOR RDONLY BCAST MCAST PROMISC VLANTAG TSTMP TSTMP_HPREC'.split(' ');
    const names = copied.map((name) => `M_${name}`);
    expect(mask(FreebsdFlag, [...names, ...protocol])).toBe(FREEBSD_COPYFLAGS);
    const demoted = ['M_EXT', 'M_RDONLY', 'M_NOFREE', 'M_EXTPG'];
    expect(mask(FreebsdFlag, demoted)).toBe(FREEBSD_DEMOTEFLAGS);
  });

  it('of NetBSD are those of the recorded vectors', () => {
    const copied =
      'PKTHDR EOR BCAST MCAST CANFASTFWD ANYCAST6 LINK0 LINK1 LINK2 AUTHIPHDR DECRYPTED LOOP';
    const names = copied.split(' ').map((name) => `M_${name}`);
    expect(mask(NetbsdFlag, names)).toBe(NETBSD_COPYFLAGS);
    expect(NETBSD_EXTCOPYFLAGS >>> 0).toBe(0xff000001);
  });

  it('share EXT, PKTHDR and EOR between the kernels', () => {
    for (const flags of [FreebsdFlag, NetbsdFlag]) {
      expect([flags.M_EXT, flags.M_PKTHDR, flags.M_EOR]).toEqual([M_EXT, M_PKTHDR, M_EOR]);
    }
  });

  it('give every checksum bit of FreeBSD one name', () => {
    const bits = Object.values(FreebsdCsum);
    expect(bits.toSorted((a, b) => a - b)).toEqual(bits.map((_, index) => 2 ** index));
  });
});
