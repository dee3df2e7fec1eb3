import { describe, expect, it } from 'vitest';
import { ZoneDefinitionError } from '../src/errors.ts';
import { checkZoneFlags, formatZoneFlags, InternalFlag, ZoneFlag } from '../src/flags.ts';

describe('formatZoneFlags', () => {
  it('prints names highest bit first, and 0 for none', () => {
    expect(formatZoneFlags(0)).toBe('0');
    expect(formatZoneFlags(ZoneFlag.CONTIG | ZoneFlag.MAXBUCKET | InternalFlag.TRASH)).toBe(
      '0x40000804<TRASH,MAXBUCKET,CONTIG>',
    );
  });

  it('prints every named flag in the order of the kernel', () => {
    const all = [...Object.values(ZoneFlag), ...Object.values(InternalFlag)];
    const flags = all.reduce((sum: number, bit) => sum | bit, 0);
    const names =
      'TRASH INTERNAL BUCKET CACHE LIMIT CTORDTOR VTOSLAB HASH OFFPAGE SMR ROUNDROBIN FIRSTTOUCH ' +
      'PCPU NODUMP CACHESPREAD MAXBUCKET NOBUCKET SECONDARY NOTPAGE VM MTXCLASS NOFREE MALLOC ' +
      'NOTOUCH CONTIG ZINIT';
    expect(formatZoneFlags(flags)).toBe(`0x77efefff<${names.split(' ').join(',')}>`);
  });

  it('prints UNMANAGED and NOKASAN as bits only, as the kernel does', () => {
    expect(formatZoneFlags(ZoneFlag.UNMANAGED)).toBe('0x1');
    expect(formatZoneFlags(ZoneFlag.NOKASAN)).toBe('0x80000');
  });
});

describe('checkZoneFlags', () => {
  it.each([
    ['MAXBUCKET with NOBUCKET', ZoneFlag.MAXBUCKET | ZoneFlag.NOBUCKET, 'flags'],
    ['both NUMA policies', ZoneFlag.FIRSTTOUCH | ZoneFlag.ROUNDROBIN, 'flags'],
    ['PCPU with CACHESPREAD', ZoneFlag.PCPU | ZoneFlag.CACHESPREAD, 'flags'],
    ['VM with NOTOUCH', ZoneFlag.VM | ZoneFlag.NOTOUCH, 'flags'],
    ['VM with PCPU', ZoneFlag.VM | ZoneFlag.PCPU, 'flags'],
    ['MALLOC with NOTPAGE', ZoneFlag.MALLOC | ZoneFlag.NOTPAGE, 'flags'],
    ['a flag that only the allocator sets', InternalFlag.LIMIT, 'flags'],
    ['INTERNAL from outside', InternalFlag.INTERNAL, 'flags'],
    ['an unknown bit', 0x1000, 'flags'],
    ['a negative number', -1, 'flags'],
    ['PCPU items above a page', ZoneFlag.PCPU, 'size'],
  ])('refuses %s', (_what, flags, field) => {
    const refused = (): void => checkZoneFlags({ name: 'sessions', size: 4097, flags });
    expect(refused).toThrow(ZoneDefinitionError);
    expect(refused).toThrow(new RegExp(`^zone sessions: ${field}:`));
  });

  it.each(Object.entries(ZoneFlag).filter(([name]) => name !== 'SECONDARY'))(
    'accepts %s alone',
    (_name, flags) => {
      expect(() => checkZoneFlags({ name: 'sessions', size: 4096, flags })).not.toThrow();
    },
  );

  it("accepts INTERNAL and BUCKET for the allocator's own zones", () => {
    for (const flags of [InternalFlag.INTERNAL, InternalFlag.BUCKET]) {
      expect(() => checkZoneFlags({ name: 'own', size: 80, flags, internal: true })).not.toThrow();
    }
  });
});
