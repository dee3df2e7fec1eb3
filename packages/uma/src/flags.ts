/**
 * Zone flags and malloc(9) flags with the kernel's values, how sysctl prints them, which ones a
 * zone inherits from its keg, and which combinations cannot be. Data and pure functions: anyone
 * may call them; nothing here touches shared memory.
 */

import { PAGE_SIZE } from '@umbuf/memory';
import { ZoneDefinitionError } from './errors.ts';

/** The request may not sleep: exhaustion is NULL. */
export const M_NOWAIT = 0x1;
/** The request may sleep until it is met. */
export const M_WAITOK = 0x2;
/** Clear the item. */
export const M_ZERO = 0x100;
/** Do not go to the page provider. */
export const M_NOVM = 0x200;
/** The request may go below the keg's reserve. */
export const M_USE_RESERVE = 0x400;

/** `UMA_ZONE_*`: flags that whoever defines a zone may set. */
export const ZoneFlag = {
  UNMANAGED: 0x1,
  ZINIT: 0x2,
  CONTIG: 0x4,
  NOTOUCH: 0x8,
  MALLOC: 0x10,
  NOFREE: 0x20,
  MTXCLASS: 0x40,
  VM: 0x80,
  NOTPAGE: 0x100,
  SECONDARY: 0x200,
  NOBUCKET: 0x400,
  MAXBUCKET: 0x800,
  CACHESPREAD: 0x2000,
  NODUMP: 0x4000,
  PCPU: 0x8000,
  FIRSTTOUCH: 0x10000,
  ROUNDROBIN: 0x20000,
  SMR: 0x40000,
  NOKASAN: 0x80000,
} as const;

/** `UMA_ZFLAG_*`: flags that only the allocator sets. */
export const InternalFlag = {
  OFFPAGE: 0x200000,
  HASH: 0x400000,
  VTOSLAB: 0x800000,
  CTORDTOR: 0x1000000,
  LIMIT: 0x2000000,
  CACHE: 0x4000000,
  BUCKET: 0x10000000,
  INTERNAL: 0x20000000,
  TRASH: 0x40000000,
} as const;

/** What a zone copies from its keg (`UMA_ZONE_INHERIT | UMA_ZFLAG_INHERIT`). */
export const INHERITED_FLAGS: number =
  ZoneFlag.NOTOUCH |
  ZoneFlag.MALLOC |
  ZoneFlag.NOFREE |
  ZoneFlag.VM |
  ZoneFlag.NOTPAGE |
  ZoneFlag.PCPU |
  ZoneFlag.FIRSTTOUCH |
  ZoneFlag.ROUNDROBIN |
  ZoneFlag.NOKASAN |
  InternalFlag.OFFPAGE |
  InternalFlag.HASH |
  InternalFlag.VTOSLAB |
  InternalFlag.BUCKET |
  InternalFlag.INTERNAL;

/** `PRINT_UMA_ZFLAGS`, highest bit first. The kernel's list names neither UNMANAGED nor NOKASAN. */
const printed: readonly (readonly [name: string, bit: number])[] = Object.entries({
  ...ZoneFlag,
  ...InternalFlag,
})
  .filter(([name]) => name !== 'UNMANAGED' && name !== 'NOKASAN')
  .sort(([, left], [, right]) => right - left);

/**
 * `vm.uma.<zone>.flags` (`sysctl_handle_uma_zone_flags`): `0x…<NAME,...>` with the highest bit
 * first, `0` for no flags. Bits without a printed name show in the number only.
 */
export function formatZoneFlags(flags: number): string {
  if (flags === 0) return '0';
  const names = printed.filter(([, bit]) => (flags & bit) !== 0).map(([name]) => name);
  const hex = `0x${(flags >>> 0).toString(16)}`;
  return names.length === 0 ? hex : `${hex}<${names.join(',')}>`;
}

/** What the caller of `zone_ctor` may set: SECONDARY is the result of naming a primary. */
const publicFlags = Object.values(ZoneFlag).reduce((all, bit) => all | bit, 0);
const settableFlags = publicFlags & ~ZoneFlag.SECONDARY;
const internalCreationFlags = InternalFlag.BUCKET | InternalFlag.INTERNAL;

export interface ZoneShape {
  readonly name: string;
  /** Bytes per item. */
  readonly size: number;
  readonly flags: number;
  /** True only for the allocator's own zones: permits BUCKET and INTERNAL. */
  readonly internal?: boolean;
}

/**
 * Rejects flags that contradict each other or the size (assertions of `zone_ctor` and `keg_ctor`,
 * which only INVARIANTS kernels make). Throws `ZoneDefinitionError` naming zone and field.
 */
export function checkZoneFlags({ name, size, flags, internal = false }: ZoneShape): void {
  const fail = (field: string, what: string): never => {
    throw new ZoneDefinitionError(`zone ${name}: ${field}: ${what}`);
  };
  if (!Number.isInteger(flags) || flags < 0 || flags > 0x7fffffff) {
    fail('flags', `${flags} is no set of ZoneFlag bits`);
  }
  const refused = flags & ~(settableFlags | (internal ? internalCreationFlags : 0));
  if (refused !== 0) fail('flags', `${formatZoneFlags(refused)} cannot be set by a definition`);
  for (const [left, right] of exclusive) {
    if ((flags & left) !== 0 && (flags & right) !== 0) {
      fail('flags', `${formatZoneFlags(left)} excludes ${formatZoneFlags(right)}`);
    }
  }
  if ((flags & ZoneFlag.PCPU) !== 0 && size > PAGE_SIZE) {
    fail('size', `${size} with PCPU: a copy per CPU must fit a page of ${PAGE_SIZE} bytes`);
  }
}

/**
 * MALLOC with NOTPAGE is ours: MALLOC finds slabs through the page table, NOTPAGE pages are not in
 * it. The rest are the kernel's assertions.
 */
const exclusive: readonly (readonly [number, number])[] = [
  [ZoneFlag.MAXBUCKET, ZoneFlag.NOBUCKET],
  [ZoneFlag.FIRSTTOUCH, ZoneFlag.ROUNDROBIN],
  [ZoneFlag.PCPU, ZoneFlag.CACHESPREAD],
  [ZoneFlag.VM, ZoneFlag.NOTOUCH],
  [ZoneFlag.VM, ZoneFlag.PCPU],
  [InternalFlag.INTERNAL, ZoneFlag.NOTOUCH],
  [InternalFlag.INTERNAL, ZoneFlag.PCPU],
  [ZoneFlag.MALLOC, ZoneFlag.NOTPAGE],
];
