/**
 * The arena: one shared memory, its header page, CPU table, page table and page pools.
 *
 *   page 0          header, page pools
 *   pages 1..       CPU records (1 KiB each), page table (32 bytes a page)
 *   firstPage..     what the pools serve
 *
 * `create` makes one, `handle` is what goes to workers in a message, `attach` makes this thread's
 * views of it. Each thread sees other buffer objects over the same bytes: nothing is keyed by them.
 * Views have a fixed length (a length-tracking view costs 60-200 times as much). The memory is
 * reserved at its maximum once; pages that were never touched cost nothing, and pages that a keg
 * gives back return to the arena's pools, never to the system.
 */

import { ARENA_BYTES_MAX, LINE_BYTES, PAGE_SIZE } from './address.ts';
import { HandKind } from './cpu/hand-stack.ts';
import { ArenaHooks } from './cpu/hooks.ts';
import { recoverQuiesce } from './cpu/quiesce.ts';
import { ArenaFormatError, ArgumentError } from './errors.ts';
import { createKernels, type Kernels } from './kernel/index.ts';
import { ArenaHeader, CpuRecord, PageEntry, PagePool } from './layout/records.ts';
import { initPagePools, repairPages } from './page/page-pool.ts';
import { recoverPageWaits } from './page/page-sleep.ts';
import { repairUnits } from './sync/limit-recover.ts';

const H = ArenaHeader.fields;

/** 'UMBF' read as a little-endian word. */
export const ARENA_MAGIC = 0x46424d55;
/** Grows with every change of any layout table. */
export const ARENA_VERSION = 2;
export const CPUS_MAX = 250;
export const DOMAINS_MAX = 8;

export const DebugLevel = { none: 0, checks: 1, invariants: 2 } as const;
export type DebugLevelName = keyof typeof DebugLevel;

export interface ArenaOptions {
  /** Size in bytes, 64 KiB to 2 GiB - 64 KiB; rounded up to a multiple of 64 KiB. */
  readonly bytes: number;
  /** CPU numbers to provide, 1 to 250. */
  readonly cpus: number;
  /** What is checked (docs/guide/debug-levels.md); `none` when absent. */
  readonly level?: DebugLevelName;
  /** NUMA domains to simulate by dividing the pages, 1 to 8; 1 when absent. */
  readonly domains?: number;
  /** `wasm` (default) gives the fast kernels; `shared-array-buffer` the JavaScript fallback. */
  readonly backing?: 'wasm' | 'shared-array-buffer';
}

/** What a worker needs to attach; goes through `postMessage` and `workerData` as it is. */
export interface ArenaHandle {
  readonly umbufArena: 1;
  readonly memory: WebAssembly.Memory | SharedArrayBuffer;
}

/** This thread's view of an arena. The constructor only stores fields. */
export class Arena {
  readonly memory: WebAssembly.Memory | SharedArrayBuffer;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly longs: BigInt64Array<SharedArrayBuffer>;
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly kernels: Kernels;
  /** What the layers above registered in this thread: answers, repairs (cpu/hooks.ts). */
  readonly hooks: ArenaHooks;
  readonly pages: number;
  readonly cpus: number;
  readonly level: number;
  readonly domains: number;
  /** Word index of CPU record 0, page table entry 0 and page pool 0. */
  readonly cpuTable: number;
  readonly pageTable: number;
  readonly poolTable: number;
  readonly firstPage: number;

  private constructor(memory: WebAssembly.Memory | SharedArrayBuffer, views: ArenaViews) {
    this.memory = memory;
    this.words = views.words;
    this.longs = views.longs;
    this.bytes = views.bytes;
    this.kernels = views.kernels;
    this.hooks = new ArenaHooks();
    this.hooks.slotRepairs[HandKind.pages] = repairPages;
    this.hooks.cacheRepairs.push(recoverPageWaits, recoverQuiesce);
    this.hooks.slotRepairs[HandKind.units] = repairUnits;
    this.pages = views.header[H.pages.at]!;
    this.cpus = views.header[H.cpus.at]!;
    this.level = views.header[H.level.at]!;
    this.domains = views.header[H.domains.at]!;
    this.cpuTable = views.header[H.cpuTable.at]! >> 2;
    this.pageTable = views.header[H.pageTable.at]! >> 2;
    this.poolTable = views.header[H.poolTable.at]! >> 2;
    this.firstPage = views.header[H.firstPage.at]!;
  }

  /**
   * Reserves and formats an arena. Throws `ArgumentError` for sizes out of range, and what the
   * engine throws when the address space is not to be had.
   */
  static create(options: ArenaOptions): Arena {
    const { cpus, domains = 1, level = 'none', backing = 'wasm' } = options;
    requireInteger('cpus', cpus, 1, CPUS_MAX);
    requireInteger('domains', domains, 1, DOMAINS_MAX);
    requireInteger('bytes', options.bytes, 65536, ARENA_BYTES_MAX);
    if (!Object.hasOwn(DebugLevel, level)) {
      throw new ArgumentError(`level: ${String(level)} is not one of none, checks, invariants`);
    }
    if (backing !== 'wasm' && backing !== 'shared-array-buffer') {
      throw new ArgumentError(`backing: ${String(backing)} is not wasm or shared-array-buffer`);
    }
    const bytes = Math.ceil(options.bytes / 65536) * 65536;
    const memory =
      backing === 'wasm'
        ? new WebAssembly.Memory({ initial: bytes >> 16, maximum: bytes >> 16, shared: true })
        : new SharedArrayBuffer(bytes);
    const buffer = bufferOf(memory)!;
    format(new Int32Array(buffer, 0, bytes >> 2), {
      bytes,
      cpus,
      domains,
      level: DebugLevel[level],
    });
    return Arena.attach({ umbufArena: 1, memory });
  }

  /**
   * Makes this thread's views. Throws `ArenaFormatError` when the handle's memory is no arena,
   * is shorter than its header says, or has another layout version.
   */
  static attach(handle: ArenaHandle): Arena {
    const memory = handle?.memory;
    const buffer = bufferOf(memory);
    if (handle?.umbufArena !== 1 || buffer === undefined) {
      throw new ArenaFormatError('Arena.attach: not an arena handle (pass arena.handle())');
    }
    const header = checkHeader(buffer);
    const bytes = header[H.bytes.at]!;
    const views: ArenaViews = {
      header,
      words: new Int32Array(buffer, 0, bytes >> 2),
      longs: new BigInt64Array(buffer, 0, bytes >> 3),
      bytes: new Uint8Array(buffer, 0, bytes),
      kernels: createKernels(
        memory instanceof WebAssembly.Memory ? memory : undefined,
        new Uint8Array(buffer, 0, bytes),
      ),
    };
    return new Arena(memory, views);
  }

  /** What to send to a worker. */
  handle(): ArenaHandle {
    return { umbufArena: 1, memory: this.memory };
  }
}

interface ArenaViews {
  readonly header: Int32Array;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly longs: BigInt64Array<SharedArrayBuffer>;
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly kernels: Kernels;
}

/** The shared buffer of a handle's memory; undefined when it is none. */
function bufferOf(memory: unknown): SharedArrayBuffer | undefined {
  if (memory instanceof WebAssembly.Memory) {
    const buffer: unknown = memory.buffer;
    return buffer instanceof SharedArrayBuffer ? buffer : undefined;
  }
  return memory instanceof SharedArrayBuffer ? memory : undefined;
}

/** A private copy of the header page's words, checked. */
function checkHeader(buffer: SharedArrayBuffer): Int32Array {
  if (buffer.byteLength < PAGE_SIZE) {
    throw new ArenaFormatError(`Arena.attach: ${buffer.byteLength} bytes cannot hold an arena`);
  }
  const header = new Int32Array(buffer, 0, ArenaHeader.words).slice();
  if (header[H.magic.at] !== ARENA_MAGIC) {
    throw new ArenaFormatError('Arena.attach: no arena magic at byte 0: a foreign buffer');
  }
  if (header[H.version.at] !== ARENA_VERSION) {
    throw new ArenaFormatError(
      `Arena.attach: layout version ${header[H.version.at]}, this release reads ${ARENA_VERSION}`,
    );
  }
  if (
    header[H.bytes.at]! > buffer.byteLength ||
    header[H.bytes.at]! < 65536 ||
    header[H.pages.at]! * PAGE_SIZE !== header[H.bytes.at]
  ) {
    throw new ArenaFormatError(
      `Arena.attach: truncated: header says ${header[H.bytes.at]} bytes, buffer has ${buffer.byteLength}`,
    );
  }
  return header;
}

interface Geometry {
  readonly bytes: number;
  readonly cpus: number;
  readonly domains: number;
  readonly level: number;
}

/** Writes header, pools and page table into fresh (zeroed) memory; the magic word last. */
function format(words: Int32Array<SharedArrayBuffer>, geometry: Geometry): void {
  const { bytes, cpus, domains, level } = geometry;
  const pages = bytes / PAGE_SIZE;
  const poolTable = ArenaHeader.words * 4;
  const cpuTable = roundUp(poolTable + domains * PagePool.words * 4, LINE_BYTES * 4);
  const pageTable = cpuTable + cpus * CpuRecord.words * 4;
  const firstPage = Math.ceil((pageTable + pages * PageEntry.words * 4) / PAGE_SIZE);
  if (firstPage + domains > pages) {
    throw new ArgumentError(`Arena.create: ${bytes} bytes leave no pages for ${cpus} CPUs`);
  }
  words[H.version.at] = ARENA_VERSION;
  words[H.bytes.at] = bytes;
  words[H.pages.at] = pages;
  words[H.cpus.at] = cpus;
  words[H.level.at] = level;
  words[H.domains.at] = domains;
  words[H.cpuTable.at] = cpuTable;
  words[H.pageTable.at] = pageTable;
  words[H.poolTable.at] = poolTable;
  words[H.firstPage.at] = firstPage;
  words[H.identity.at] = (Math.random() * 2 ** 31) | 0;
  words[H.identity.at + 1] = (Math.random() * 2 ** 31) | 0;
  initPagePools(words, {
    poolTable: poolTable >> 2,
    pageTable: pageTable >> 2,
    firstPage,
    pages,
    domains,
  });
  words[H.magic.at] = ARENA_MAGIC;
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** Throws `ArgumentError` unless `value` is an integer in [least, most]. */
export function requireInteger(name: string, value: unknown, least: number, most: number): void {
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) {
    throw new ArgumentError(`${name}: ${String(value)} is not an integer from ${least} to ${most}`);
  }
}
