/**
 * Zone definitions. Callbacks are JavaScript functions and cannot be shared: a zone is defined in
 * a module and opened by name in each worker. The shared record keeps a fingerprint of the
 * definition's data (name, sizes, alignment, flags, which callbacks exist, version), never of
 * function text, so two workers that load different releases of a module are told apart by
 * `version`.
 */

import { type Address, ArgumentError, hashText, requireInteger } from '@umbuf/memory';
import { ZoneDefinitionError } from './errors.ts';
import { ZoneFlag } from './flags.ts';
import { CallbackBit } from './layout.ts';
import type { Zone } from './zone.ts';

/** UMA's alignment masks: a power of two minus 1. */
export const UMA_ALIGN_PTR = 7;
export const UMA_ALIGN_CACHE = 63;

export interface ZoneDefinition {
  /** At most 63 bytes of UTF-8; unique in the arena. */
  readonly name: string;
  /** Bytes per item, 1 to 8 MiB. A secondary zone takes its primary's. */
  readonly size: number;
  /** Alignment mask, a power of two minus 1 up to a page; 7 when absent. */
  readonly align?: number;
  /** `ZoneFlag` bits (spec 3.3). */
  readonly flags?: number;
  /** Number to change whenever the meaning of the callbacks changes. */
  readonly version?: number;
  /**
   * Keeps the item table (live bit, holder, generation) at every debug level; from `checks` on each
   * zone has it. Handles that outlive their item need it. A secondary zone takes its primary's.
   */
  readonly holders?: boolean;
  /**
   * Name of the SMR that protects the items (`uma_zone_set_smr`), made when the arena has none of
   * that name; zones may share one. With `ZoneFlag.SMR` alone the zone has one of its own name.
   */
  readonly smr?: string;
  /**
   * Bytes behind each item, 0 to 256, that at level `invariants` nobody may write: an item that is
   * freed with other bytes there is a `RedzoneError`. 8 when absent, for items below 2048 bytes (0
   * for larger ones). It makes the items larger, at that level only.
   */
  readonly redzone?: number;
  /** Makes this a secondary zone: own caches, counters and callbacks on the primary's keg. */
  readonly primary?: ZoneDefinition;
  /** Runs at every allocation. Non-zero fails it: the item goes back and the caller gets NULL. */
  ctor?(zone: Zone, item: Address, argument: number, flags: number): number | void;
  /**
   * Runs at every free, before the item enters the cache; in an SMR zone (with argument 0) when no
   * reader can see the item any more, in whichever thread finds that out.
   */
  dtor?(zone: Zone, item: Address, argument: number): void;
  /** Keg init: once per item when its slab is built. Non-zero fails the slab. */
  init?(zone: Zone, item: Address, flags: number): number | void;
  /** Keg fini: once per item when its slab is destroyed. */
  fini?(zone: Zone, item: Address): void;
  /** Zone init: the item moves from the keg to the zone. Non-zero refuses the item. */
  zinit?(zone: Zone, item: Address, flags: number): number | void;
  /** Zone fini: the item moves back. */
  zfini?(zone: Zone, item: Address): void;
  /**
   * Makes this a cache zone, without a keg: stores up to `count` items into `store` from index 0 on
   * and returns how many. Items are non-zero int32 values, each the zone's once it is stored. `domain`
   * is -1 for a ROUNDROBIN zone. M_ZERO has no effect: what an item is, the zone does not know.
   */
  importItems?(zone: Zone, store: Int32Array, count: number, domain: number, flags: number): number;
  /** Takes the first `count` items of `store` back; they are the callback's from the call on. */
  releaseItems?(zone: Zone, store: Int32Array, count: number): void;
}

/**
 * Checks a definition and returns it (frozen). Throws `ZoneDefinitionError` naming zone and field.
 * Makes nothing: `uma.open` creates the zone in an arena, or opens it where it exists.
 */
export function defineZone(definition: ZoneDefinition): ZoneDefinition {
  const { name, size, align = UMA_ALIGN_PTR, primary } = definition;
  if (typeof name !== 'string' || name.length === 0 || encodeName(name).length > 63) {
    throw new ZoneDefinitionError(`zone name ${JSON.stringify(name)}: 1 to 63 bytes of UTF-8`);
  }
  const fail = (what: string): never => {
    throw new ZoneDefinitionError(`zone ${name}: ${what}`);
  };
  try {
    requireInteger('size', size, 1, 8 << 20);
    requireInteger('align', align, 0, 4095);
    requireInteger('version', definition.version ?? 0, 0, 2 ** 31 - 1);
    requireInteger('redzone', definition.redzone ?? 0, 0, 256);
  } catch (error) {
    if (error instanceof ArgumentError) fail(error.message);
    throw error;
  }
  const { smr } = definition;
  if (smr !== undefined && (smr.length === 0 || encodeName(smr).length > 63)) {
    fail(`smr ${JSON.stringify(smr)}: 1 to 63 bytes of UTF-8`);
  }
  if ((align & (align + 1)) !== 0) fail(`align ${align} is no power of two minus 1`);
  for (const key of [
    'ctor',
    'dtor',
    'init',
    'fini',
    'zinit',
    'zfini',
    'importItems',
    'releaseItems',
  ] as const) {
    if (definition[key] !== undefined && typeof definition[key] !== 'function') {
      fail(`${key} is no function`);
    }
  }
  if (((definition.flags ?? 0) & ZoneFlag.ZINIT) !== 0 && definition.init !== undefined) {
    fail('ZINIT is the init of the keg: not with init');
  }
  if ((definition.importItems === undefined) !== (definition.releaseItems === undefined)) {
    fail('importItems and releaseItems come together');
  }
  if (definition.importItems !== undefined) {
    if (primary !== undefined) fail('a cache zone has no primary');
    if (definition.init !== undefined || definition.fini !== undefined) {
      fail('init and fini belong to a keg; a cache zone has zinit and zfini');
    }
    if (definition.holders === true || definition.redzone !== undefined || smr !== undefined) {
      fail('holders, redzone and smr belong to a keg, which a cache zone has not');
    }
    const { SMR, PCPU, ZINIT } = ZoneFlag;
    if (((definition.flags ?? 0) & (SMR | PCPU | ZINIT)) !== 0) {
      fail('SMR, PCPU and ZINIT belong to a keg, which a cache zone has not');
    }
  }
  if (primary !== undefined) {
    if (primary.importItems !== undefined) fail('a cache zone has no secondary zones');
    if (primary.primary !== undefined) fail('a secondary zone cannot be a primary');
    if (definition.init !== undefined || definition.fini !== undefined) {
      fail('init and fini belong to the primary; a secondary zone has zinit and zfini');
    }
    if (definition.holders === true && primary.holders !== true) {
      fail('holders belongs to the primary, which has the keg');
    }
    if (definition.redzone !== undefined) fail('redzone belongs to the primary, which has the keg');
    if (size !== primary.size) fail(`size ${size} is not the primary's ${primary.size}`);
  }
  return Object.freeze(definition);
}

/** Which callbacks a definition has, as `CallbackBit`s. */
export function callbackBits(definition: ZoneDefinition): number {
  let bits = 0;
  for (const [key, bit] of Object.entries(CallbackBit)) {
    if (definition[key as keyof typeof CallbackBit] !== undefined) bits |= bit;
  }
  return bits;
}

/** 31-bit FNV-1a over the definition's data. */
export function fingerprint(definition: ZoneDefinition): number {
  const data = JSON.stringify([
    definition.name,
    definition.size,
    definition.align ?? UMA_ALIGN_PTR,
    definition.flags ?? 0,
    definition.version ?? 0,
    callbackBits(definition),
    definition.primary?.name ?? '',
    definition.holders ?? false,
    definition.smr ?? '',
    definition.redzone ?? -1,
  ]);
  return (hashText(data) >>> 1) | 1;
}

export function encodeName(name: string): Uint8Array {
  return new TextEncoder().encode(name);
}
