/**
 * `vm.uma.<zone>`: the nodes of one zone (spec 5.2), with the kernel's names, types, descriptions and
 * order. Behind them, in subtrees of their own, what the kernel does not have: why allocations
 * failed, stranded items, occupancy of partial slabs, lock contention.
 */

import {
  type Cpu,
  limitCount,
  limitMax,
  limitSleepers,
  LockBusyError,
  MUTEX_COLUMNS,
  PAGE_SIZE,
  readMutex,
} from '@umbuf/memory';
import type { SysctlNode, SysctlType, SysctlValue } from '@umbuf/stats';
import { BUCKET_MAX_UNLIMITED } from '../create.ts';
import { formatZoneFlags, InternalFlag, ZoneFlag } from '../flags.ts';
import { kegDomain } from '../keg.ts';
import {
  CacheRecord,
  EventRecord,
  KegDomain,
  KegRecord,
  ZoneDomain,
  ZoneRecord,
} from '../layout.ts';
import { zoneDomain } from '../zone-domain.ts';
import { zoneLocks } from './contention.ts';
import { type FailureName, FailureReason, sumEvents } from './failures.ts';
import { readOccupancy } from './occupancy.ts';
import { strandedItems, wasOnline } from './stranded.ts';
import { isFirstOfKeg, type UmaView, zoneKeg, zoneName } from './view.ts';
import { limitSleeps, sumCpus } from './zone-stats.ts';

const Z = ZoneRecord.fields;
const K = KegRecord.fields;
const C = CacheRecord.fields;
const ULONG_MAX = 2n ** 64n - 1n;

/** Adds a leaf below the zone. */
type Add = (
  leaf: string,
  type: SysctlType,
  description: string,
  read: () => SysctlValue,
  counter?: boolean,
) => void;

/**
 * The nodes of the zone under `vm.uma.<name>`; `name` is its sysctl name. `cpu` is the caller's, for
 * what is read under a lock; undefined for a dump.
 */
export function zoneSysctl(
  view: UmaView,
  zone: number,
  name: string,
  cpu: Cpu | undefined,
): SysctlNode[] {
  const nodes: SysctlNode[] = [];
  const add: Add = (leaf, type, description, read, counter = false) => {
    const readFirst = leaf === 'stats.frees';
    nodes.push({ path: `vm.uma.${name}.${leaf}`, type, description, read, counter, readFirst });
  };
  addBasics(add, view, zone);
  addKeg(add, view, zone);
  addLimit(add, view, zone);
  for (let domain = 0; domain < view.arena.domains; domain++) addDomain(add, view, zone, domain);
  addStats(add, view, zone);
  addFailures(add, view, zone);
  addStranded(add, view, zone);
  addOccupancy(add, view, zone, cpu);
  addLocks(add, view, zone);
  return nodes;
}

/** The zone's sysctl name: what is special becomes `_`, and a later zone of that name has `_N`. */
export function sysctlName(name: string, duplicates: number): string {
  const text = duplicates === 0 ? name : `${name}_${duplicates}`;
  return text.replace(/[./\\ -]/g, '_');
}

function addBasics(add: Add, view: UmaView, zone: number): void {
  const hint = (field: number): number => Atomics.load(view.words, zone + field);
  add('size', 'u32', 'Allocation size', () => view.words[zone + Z.size.at]!);
  add('flags', 'string', 'Allocator configuration flags', () => formatZoneFlags(hint(Z.flags.at)));
  add('bucket_size', 'u16', 'Desired per-cpu cache size', () => hint(Z.bucketSize.at));
  add('bucket_size_max', 'u16', 'Maximum allowed per-cpu cache size', () =>
    hint(Z.bucketSizeMax.at),
  );
}

function addKeg(add: Add, view: UmaView, zone: number): void {
  const { words } = view;
  const keg = zoneKeg(view, zone);
  if (keg === 0) {
    add('keg.name', 'string', 'Keg name', () => 'cache zone');
    return;
  }
  const first = words[keg + K.zone.at]!;
  add('keg.name', 'string', 'Keg name', () => zoneName(view, first));
  for (const [leaf, field, type, description] of [
    ['rsize', K.rsize.at, 'u32', 'Real object size with alignment'],
    ['ppera', K.ppera.at, 'u16', 'pages per-slab allocation'],
    ['ipers', K.ipers.at, 'u16', 'items available per-slab'],
    ['align', K.align.at, 'u32', 'item alignment mask'],
    ['reserve', K.reserve.at, 'u32', 'number of reserved items'],
  ] as const) {
    add(`keg.${leaf}`, type, description, () => Atomics.load(words, keg + field));
  }
  add('keg.efficiency', 'int', 'Slab utilization (100 - internal fragmentation %)', () =>
    slabEfficiency(view, keg),
  );
  const domains = (words[keg + K.flags.at]! & InternalFlag.HASH) === 0 ? view.arena.domains : 1;
  for (let domain = 0; domain < domains; domain++) {
    const record = kegDomain(keg, domain);
    for (const [leaf, field, description] of [
      ['pages', KegDomain.fields.pages.at, 'Total pages currently allocated from VM'],
      ['free_items', KegDomain.fields.freeItems.at, 'Items free in the slab layer'],
      ['free_slabs', KegDomain.fields.freeSlabs.at, 'Unused slabs'],
    ] as const) {
      add(`keg.domain.${domain}.${leaf}`, 'u32', description, () =>
        Atomics.load(words, record + field),
      );
    }
  }
}

/** Percent of a slab, with its offpage header, that is bytes which users asked for. */
function slabEfficiency(view: UmaView, keg: number): number {
  const { words, arena } = view;
  const flags = words[keg + K.flags.at]!;
  const align = words[keg + K.align.at]!;
  let total = words[keg + K.ppera.at]! * PAGE_SIZE;
  const slabZone = words[keg + K.slabZone.at]!;
  if (slabZone !== 0) total += words[zoneKeg(view, slabZone) + K.rsize.at]!;
  const rounded = (words[keg + K.size.at]! + align) & ~align;
  const copies = (flags & ZoneFlag.PCPU) === 0 ? 1 : arena.cpus;
  return Math.floor((100 * words[keg + K.ipers.at]! * rounded * copies) / total);
}

function addLimit(add: Add, view: UmaView, zone: number): void {
  /** What `read` says of the zone's limit; 0 without one. */
  const ofLimit = (read: (limit: number) => number): number => {
    const limit = Atomics.load(view.words, zone + Z.limit.at);
    return limit === 0 || limitMax(view, limit) === 0 ? 0 : read(limit);
  };
  add('limit.items', 'u64', 'Current number of allocated items if limit is set', () =>
    BigInt(ofLimit((limit) => limitCount(view, limit))),
  );
  add('limit.max_items', 'u64', 'Maximum number of allocated and cached items', () =>
    BigInt(ofLimit((limit) => limitMax(view, limit))),
  );
  add('limit.sleepers', 'u32', 'Number of threads sleeping at limit', () =>
    ofLimit((limit) => limitSleepers(view, limit)),
  );
  add('limit.sleeps', 'u64', 'Total zone limit sleeps', () => limitSleeps(view, zone), true);
  add('limit.bucket_max', 'u64', "Maximum number of items in each domain's bucket cache", () => {
    const most = Atomics.load(view.words, zone + Z.bucketMax.at);
    return most === BUCKET_MAX_UNLIMITED ? ULONG_MAX : BigInt(most);
  });
}

function addDomain(add: Add, view: UmaView, zone: number, domain: number): void {
  const record = zoneDomain(view, zone, domain);
  const D = ZoneDomain.fields;
  for (const [leaf, field, description] of [
    ['nitems', D.nitems.at, 'number of items in this domain'],
    ['imax', D.imax.at, 'maximum item count in this period'],
    ['imin', D.imin.at, 'minimum item count in this period'],
    ['bimin', D.bimin.at, 'Minimum item count in this batch'],
    ['wss', D.wss.at, 'Working set size'],
    ['limin', D.limin.at, 'Long time minimum item count'],
  ] as const) {
    add(`domain.${domain}.${leaf}`, 'long', description, () =>
      BigInt(Atomics.load(view.words, record + field)),
    );
  }
  add(`domain.${domain}.timin`, 'int', 'Time since zero long time minimum item count', () =>
    Atomics.load(view.words, record + D.timin.at),
  );
}

function addStats(add: Add, view: UmaView, zone: number): void {
  const frees = (): bigint => sumCpus(view, zone, C.frees.at) + sumCpus(view, zone, C.zoneFrees.at);
  const allocs = (): bigint =>
    sumCpus(view, zone, C.allocs.at) + sumCpus(view, zone, C.zoneAllocs.at);
  add('stats.current', 'int', 'Current number of allocated items', () => {
    const freed = frees();
    const allocated = allocs();
    return allocated > freed ? Number(allocated - freed) : 0;
  });
  add('stats.allocs', 'u64', 'Total allocation calls', allocs, true);
  add('stats.frees', 'u64', 'Total free calls', frees, true);
  add(
    'stats.fails',
    'u64',
    'Number of allocation failures',
    () => sumCpus(view, zone, C.fails.at),
    true,
  );
  add(
    'stats.xdomain',
    'u64',
    'Free calls from the wrong domain',
    () => sumCpus(view, zone, C.crossFrees.at),
    true,
  );
}

// From here on: not in the kernel.

/** Leaf and description of each reason. */
const REASONS: Readonly<Record<FailureName, readonly [leaf: string, description: string]>> = {
  limit: ['limit', 'Failures: limit reached'],
  timeout: ['timeout', 'Failures: the wait for the limit was over'],
  tableFull: ['table_full', 'Failures: no cell to wait for the limit in'],
  pages: ['pages', 'Failures: no pages for a slab'],
  novm: ['novm', 'Failures: M_NOVM and no free item'],
  reserve: ['reserve', 'Failures: only the reserve left'],
  init: ['init', 'Failures: keg init refused a slab'],
  zinit: ['zinit', 'Failures: zone init refused'],
  ctor: ['ctor', 'Failures: ctor refused or threw, or a debug check failed'],
  import: ['import', 'Failures: import delivered nothing'],
  busy: ['busy', 'Failures: lock busy on a CPU that may not block'],
};

function addFailures(add: Add, view: UmaView, zone: number): void {
  for (const name of Object.keys(REASONS) as FailureName[]) {
    const [leaf, description] = REASONS[name];
    const read = (): bigint => sumEvents(view, zone, FailureReason[name]);
    add(`failures.${leaf}`, 'u64', description, read, true);
  }
  const buckets = (): bigint => sumEvents(view, zone, EventRecord.fields.bucket.at);
  add('failures.bucket', 'u64', 'Buckets that were not to be had', buckets, true);
}

function addStranded(add: Add, view: UmaView, zone: number): void {
  for (let cpu = 0; cpu < view.arena.cpus; cpu++) {
    if (!wasOnline(view, cpu)) continue;
    add(`stranded.${cpu}`, 'u32', 'Free items in the cache of a CPU that is at rest', () =>
      strandedItems(view, zone, cpu),
    );
  }
}

function addOccupancy(add: Add, view: UmaView, zone: number, cpu: Cpu | undefined): void {
  const keg = zoneKeg(view, zone);
  if (keg === 0 || !isFirstOfKeg(view, zone)) return;
  add('occupancy', 'string', 'Partial slabs by tenths of their items in use', () => {
    try {
      const { histogram, truncated } = readOccupancy(view, zone, cpu)!;
      return `${histogram.join(' ')}${truncated ? ' ...' : ''}`;
    } catch (error) {
      // On a CPU that may not block: a list of all values goes on without this one.
      if (error instanceof LockBusyError) return 'busy';
      throw error;
    }
  });
}

function addLocks(add: Add, view: UmaView, zone: number): void {
  for (const { path, lock } of zoneLocks(view, zone)) {
    for (const column of MUTEX_COLUMNS) {
      const grows = column !== 'max_wait_ns' && column !== 'max_n_thds';
      add(
        `lock.${path}.${column}`,
        'u64',
        'Lock contention, as jemalloc counts it',
        () => readMutex(view, lock)[column],
        grows,
      );
    }
  }
}
