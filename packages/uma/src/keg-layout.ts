/**
 * `keg_layout`: how many items a slab holds, in how many pages, where its header sits and how an
 * item's slab is found. Pure arithmetic, run once per keg: every comparison of efficiencies is in
 * the kernel's 31-bit fixed point, by BigInt (ipers * rsize << 31 passes 2^53), never in floats.
 *
 * Sizes of headers are the kernel's LP64 sizes, whatever the physical records take.
 *
 *   inline    | item 0 | item 1 | ... | item ipers-1 |  slack  | header + bitsets |   (slab end)
 *   offpage   | item 0 | item 1 | ... | item ipers-1 |  slack  |      header in "UMA Slabs 0/1"
 *   internal  inline with one page more: for UMA's own and VM zones, which may not take headers
 *             from another zone
 */

import { PAGE_SIZE } from '@umbuf/memory';
import { ZoneDefinitionError } from './errors.ts';
import { checkZoneFlags, InternalFlag, ZoneFlag } from './flags.ts';

/** Smallest item, bytes (`UMA_SMALLEST_UNIT`). */
export const SMALLEST_ITEM = 8;
/** Most items in a slab (`SLAB_MAX_SETSIZE`). */
export const SLAB_ITEMS_MAX: number = PAGE_SIZE / SMALLEST_ITEM;
/** Largest first slab of a CACHESPREAD keg, bytes (`UMA_CACHESPREAD_MAX_SIZE`). */
export const CACHESPREAD_SLAB_BYTES_MAX: number = 128 * 1024;
/** One in `UMA_FIXPT_SHIFT` fixed point. */
export const EFFICIENCY_ONE: number = 2 ** 31;
/** Waste of at most 10 % (`UMA_MIN_EFF`), fixed point. */
export const EFFICIENCY_MIN: number = efficiencyOf(90, 100);

const slabHeaderBytes = 24;
const offpageHeaderBytes = 48;
/** `uk_ppera` is 16 bits wide. */
const pagesPerSlabMax = 0xffff;

export interface KegShape {
  /** For error messages. */
  readonly name: string;
  /** Bytes per item, as asked for. */
  readonly size: number;
  /** Alignment minus 1: a power of two minus 1, below a page (pages are not aligned further). */
  readonly alignMask: number;
  /** `ZoneFlag` and `InternalFlag` bits. */
  readonly flags: number;
  /** CPUs of the arena: PCPU kegs take their pages once per CPU. */
  readonly cpus: number;
  /** INVARIANTS: a second bitset per slab. */
  readonly invariants: boolean;
  /** Tunable `vm.debug.uma_multipage_slabs`. */
  readonly multipageSlabs: boolean;
}

export type SlabFormat = 'inline' | 'offpage' | 'internal';
export type SlabLookup = 'page-mask' | 'vtoslab' | 'hash';

export interface KegLayout {
  /** Distance of two items, bytes. */
  readonly rsize: number;
  /** Items per slab, 1 to 512. */
  readonly ipers: number;
  /** Pages per slab, all CPUs' copies of a PCPU keg included. */
  readonly ppera: number;
  readonly format: SlabFormat;
  readonly lookup: SlabLookup;
  /** Offset of an inline header from the slab's start; 0 when offpage. */
  readonly pgoff: number;
  /** 31-bit fixed point; may pass 1 when the last item's padding lies beyond the slab. */
  readonly efficiency: number;
  /** ppera pages. */
  readonly slabBytes: number;
}

/** `UMA_FRAC_FIXPT`: numerator / denominator in 31-bit fixed point, truncated. */
export function efficiencyOf(numerator: number, denominator: number): number {
  return Number((BigInt(numerator) << 31n) / BigInt(denominator));
}

/** Bytes of a bitset of `items` bits, once more with INVARIANTS. */
function bitsetBytes(items: number, invariants: boolean): number {
  return Math.ceil(items / 64) * 8 * (invariants ? 2 : 1);
}

/** `slab_sizeof`: bytes of the header at the end of an inline slab of `items` items. */
export function inlineHeaderBytes(items: number, invariants: boolean): number {
  return slabHeaderBytes + bitsetBytes(items, invariants);
}

/** Item size of "UMA Slabs 0" (ipers up to 256) or "UMA Slabs 1": `slabzone`. */
export function offpageHeaderItemBytes(items: number, invariants: boolean): number {
  return offpageHeaderBytes + bitsetBytes(items <= 256 ? 256 : SLAB_ITEMS_MAX, invariants);
}

/**
 * The slab layout of a keg (`keg_layout`). The smallest slab with at least 90 % efficiency wins.
 * Throws `ZoneDefinitionError` naming zone and field for a shape that cannot be.
 */
export function kegLayout(shape: KegShape): KegLayout {
  checkShape(shape);
  const { size, alignMask, flags, cpus, invariants } = shape;
  const rsize = itemStride(size, alignMask, flags);
  const step = firstStep(size, rsize, alignMask, flags);
  const formats = candidateFormats(flags);
  let best: Candidate = { format: 'inline', ipers: 0, slabBytes: 0, efficiency: 0 };
  for (let i = step; ; i++) {
    const slabBytes = rsize <= PAGE_SIZE ? i * PAGE_SIZE : roundPage((i - 1) * rsize + size);
    for (const format of formats) {
      if (format === 'internal' && best.ipers > 0) continue;
      const candidate = evaluate(format, size, rsize, slabBytes, invariants);
      if (candidate.efficiency > best.efficiency) best = candidate;
      // An adequate inline slab wins even where an offpage one would be denser (mbuf: 15, not 16).
      if (best.efficiency >= EFFICIENCY_MIN) break;
    }
    if (best.efficiency >= EFFICIENCY_MIN || !shape.multipageSlabs) break;
    if (slabBytes >= SLAB_ITEMS_MAX * rsize) break;
    if ((flags & (ZoneFlag.PCPU | ZoneFlag.CONTIG)) !== 0) break;
  }
  const copies = (flags & ZoneFlag.PCPU) !== 0 ? cpus : 1;
  const slabBytes = best.slabBytes * copies;
  const ppera = slabBytes / PAGE_SIZE;
  if (ppera > pagesPerSlabMax) {
    throw new ZoneDefinitionError(
      `zone ${shape.name}: size: ${size} needs slabs of ${ppera} pages, at most ${pagesPerSlabMax}`,
    );
  }
  const { ipers, format, efficiency } = best;
  const pgoff = format === 'offpage' ? 0 : slabBytes - inlineHeaderBytes(ipers, invariants);
  const lookup = lookupOf(format, (ipers - 1) * rsize, flags);
  return { rsize, ipers, ppera, format, lookup, pgoff, efficiency, slabBytes };
}

interface Candidate {
  readonly format: SlabFormat;
  readonly ipers: number;
  readonly slabBytes: number;
  readonly efficiency: number;
}

/** `uk_rsize`. CACHESPREAD wants an odd number of alignment units, so that starts wander. */
function itemStride(size: number, alignMask: number, flags: number): number {
  const align = alignMask + 1;
  const rsize = Math.ceil(Math.max(size, SMALLEST_ITEM) / align) * align;
  const spread = (flags & ZoneFlag.CACHESPREAD) !== 0 && (rsize & align) === 0;
  return spread ? rsize + align : rsize;
}

/** Number of the first slab size to try: pages for small items, items for large ones. */
function firstStep(size: number, rsize: number, alignMask: number, flags: number): number {
  const smallest =
    (flags & ZoneFlag.CACHESPREAD) !== 0
      ? Math.min(
          (rsize * PAGE_SIZE) / (alignMask + 1),
          rsize * SLAB_ITEMS_MAX,
          CACHESPREAD_SLAB_BYTES_MAX,
        )
      : size;
  const unit = Math.max(PAGE_SIZE, rsize);
  return Math.max(Math.floor((roundPage(smallest) + rsize - size) / unit), 1);
}

function candidateFormats(flags: number): readonly SlabFormat[] {
  const own = (flags & (InternalFlag.INTERNAL | ZoneFlag.VM)) !== 0;
  const last: SlabFormat = own ? 'internal' : 'offpage';
  return (flags & (ZoneFlag.NOTOUCH | ZoneFlag.PCPU)) === 0 ? ['inline', last] : [last];
}

/** `keg_layout_one`: items and efficiency of one format in a slab of `slabBytes`. */
function evaluate(
  format: SlabFormat,
  size: number,
  rsize: number,
  slabBytes: number,
  invariants: boolean,
): Candidate {
  const bytes = format === 'internal' ? slabBytes + PAGE_SIZE : slabBytes;
  // The last item needs no padding behind it.
  const room = bytes + rsize - size;
  let ipers = Math.min(Math.floor(room / rsize), SLAB_ITEMS_MAX);
  let total = bytes;
  if (format === 'offpage') {
    total += offpageHeaderItemBytes(ipers, invariants);
  } else {
    while (ipers > 0 && ipers * rsize + inlineHeaderBytes(ipers, invariants) > room) ipers--;
  }
  return { format, ipers, slabBytes: bytes, efficiency: efficiencyOf(ipers * rsize, total) };
}

/** Masking to the page finds the header only if every item starts in the slab's first page. */
function lookupOf(format: SlabFormat, lastItemOffset: number, flags: number): SlabLookup {
  if ((flags & ZoneFlag.MALLOC) !== 0) return 'vtoslab';
  if (format !== 'offpage' && lastItemOffset < PAGE_SIZE) return 'page-mask';
  return (flags & ZoneFlag.NOTPAGE) !== 0 ? 'hash' : 'vtoslab';
}

function roundPage(bytes: number): number {
  return Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
}

function checkShape({ name, size, alignMask, flags, cpus }: KegShape): void {
  const fail = (field: string, what: string): never => {
    throw new ZoneDefinitionError(`zone ${name}: ${field}: ${what}`);
  };
  if (!Number.isInteger(size) || size < 1 || size > 2 ** 31 - 1) {
    fail('size', `${size} is no size in bytes`);
  }
  if (!Number.isInteger(alignMask) || alignMask < 0 || alignMask >= PAGE_SIZE) {
    fail('align', `${alignMask} is not in 0..${PAGE_SIZE - 1}`);
  }
  if ((alignMask & (alignMask + 1)) !== 0) {
    fail('align', `${alignMask} is no power of two minus 1`);
  }
  if (!Number.isInteger(cpus) || cpus < 1) fail('cpus', `${cpus} is no number of CPUs`);
  checkZoneFlags({ name, size, flags, internal: true });
}
