/**
 * The layout tables as the explorer's words: names for its reports, and kinds for its race detector.
 * A `hint` may race, as its definition says, and so may a `statistic` that other CPUs load on their way
 * (`LOADED`). All other statistics have no readers in the checks (fsck runs behind the end), so they are
 * held to more than their definition: written by one CPU at a time. That is stronger, and saves a
 * scheduling point for each count. A check with a reader of statistics says so (`readers`).
 */
import {
  type Arena,
  ArenaHeader,
  CpuRecord,
  type Layout,
  MutexRecord,
  PageEntry,
  PagePool,
} from '@umbuf/memory';

/** Statistics that an allocation looks at without the lock. */
const LOADED: ReadonlySet<string> = new Set(['zone domain.nitems', 'zone domain.seq']);

/** Private words that readers of statistics load: each a value that was there, deciding nothing. */
const READ: ReadonlySet<string> = new Set([
  'cache.allocCount',
  'cache.freeCount',
  'cache.crossCount',
]);

interface Named {
  readonly name: string;
  readonly kind: string;
}

/** Records placed in one arena. `lookup` is what a scenario takes as `words`. */
export class ArenaWords {
  readonly #words: Map<number, Named> = new Map();
  readonly #readers: boolean;

  /** `readers`: some CPU of the check reads statistics of others. */
  constructor(readers: boolean = false) {
    this.#readers = readers;
  }

  /** The kind that the race detector goes by. */
  #kindOf(name: string, kind: string): string {
    if (this.#readers) return READ.has(name) ? 'statistic' : kind;
    return kind === 'statistic' && !LOADED.has(name) ? 'owned' : kind;
  }

  readonly lookup = (
    byteOffset: number,
    buffer: number,
  ): { name: string; kind: string; byteOffset: number } | undefined => {
    const found = buffer === 0 ? this.#words.get(byteOffset >> 2) : undefined;
    return found === undefined ? undefined : { ...found, byteOffset: byteOffset & ~3 };
  };

  /** Declares the record of `layout` that starts at word `base`; a `lock` field is a mutex. */
  place(layout: Layout, base: number, label: string = layout.name): void {
    for (const [field, { at, type, kind, count = 1 }] of Object.entries(layout.fields)) {
      const width = type === 'i64' ? 2 : 1;
      for (let word = 0; word < width * count; word++) {
        const index = count === 1 ? '' : `[${Math.floor(word / width)}]`;
        const half = width === 2 && word % 2 === 1 ? ' (high)' : '';
        this.#words.set(base + at + word, {
          name: `${label}.${field}${index}${half}`,
          kind: this.#kindOf(`${layout.name}.${field}`, kind),
        });
      }
      if (/lock$/i.test(field) && count === MutexRecord.words) {
        this.place(MutexRecord, base + at, `${label}.${field}`);
      }
    }
  }

  /** Declares what every arena has: header, CPU records, page pools, page table. */
  placeArena(arena: Arena): void {
    this.place(ArenaHeader, 0, 'arena');
    for (let cpu = 0; cpu < arena.cpus; cpu++) {
      this.place(CpuRecord, arena.cpuTable + cpu * CpuRecord.words, `cpu ${cpu}`);
    }
    for (let pool = 0; pool < arena.domains; pool++) {
      this.place(PagePool, arena.poolTable + pool * PagePool.words, `pool ${pool}`);
    }
    for (let page = arena.firstPage; page < arena.pages; page++) {
      this.place(PageEntry, arena.pageTable + page * PageEntry.words, `page ${page}`);
    }
  }
}
