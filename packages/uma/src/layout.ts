/**
 * The records of UMA in the arena: root, zone, per-CPU cache, zone domain, keg, keg domain, slab
 * header, bucket. See @umbuf/memory's layout tables for the kinds of words.
 *
 * Sizes that users see (slab headers, bucket items, spec 1.3 and 1.6) are the kernel's LP64 sizes;
 * physically an address is four bytes here, so some of that space is spare.
 *
 * A zone record is followed by one cache per CPU and one zone domain per NUMA domain, a keg record
 * by one keg domain per NUMA domain: one static record each, found by index from the first word.
 */

import { checkLayout } from '@umbuf/memory';

/** Zones that one arena can hold; the table of a fixed size is what others traverse lock-free. */
export const ZONES_MAX = 256;

/** One per arena, found through memory's `Root.uma`. */
export const UmaRoot = {
  name: 'uma root',
  words: 320,
  fields: {
    zoneCount: {
      at: 0,
      type: 'i32',
      kind: 'atomic',
      what: 'zones made; entries below it never change',
    },
    bucketDisable: { at: 1, type: 'i32', kind: 'hint', what: 'pages are short: no new buckets' },
    waits: {
      at: 2,
      type: 'i32',
      kind: 'hint',
      what: 'word index of the histograms of waits, 0 = not recorded; stored once',
    },
    limitedZones: { at: 4, type: 'i32', kind: 'atomic', what: 'zones that have a limit' },
    warningsOff: { at: 5, type: 'i32', kind: 'atomic', what: '1: vm.zone_warnings is 0' },
    lowMemoryOwner: {
      at: 8,
      type: 'i32',
      kind: 'atomic',
      what: 'CPU + 1 | incarnation << 9 that handles a shortage of pages, 0 = none',
    },
    lowMemoryEvents: { at: 9, type: 'i32', kind: 'atomic', what: 'shortages handled' },
    lowMemoryInVain: {
      at: 10,
      type: 'i64',
      kind: 'atomic',
      what: 'end of the last one if it brought no page, milliseconds since 1970; 0 = it did',
    },
    periodBegan: {
      at: 12,
      type: 'i64',
      kind: 'atomic',
      what: 'begin of the period of voluntary trims, milliseconds since 1970',
    },
    periodMs: { at: 14, type: 'i32', kind: 'atomic', what: 'its length; 0 = no voluntary trims' },
    periods: { at: 15, type: 'i32', kind: 'atomic', what: 'periods ended, made up ones too' },
    lostPages: { at: 16, type: 'i32', kind: 'locked', what: 'pages that destroyed zones lost' },
    grave: { at: 17, type: 'i32', kind: 'owned', what: 'record that buried Zone objects point to' },
    destroyed: { at: 18, type: 'i32', kind: 'locked', what: 'zones destroyed (registry lock)' },
    smrs: {
      at: 20,
      type: 'i32',
      kind: 'atomic',
      what: 'word index of the SMR made last, 0 = none; the others follow by their links',
    },
    divisor: {
      at: 24,
      type: 'i32',
      kind: 'owned',
      what: 'vm.debug.divisor: 0 no item, 1 all, N every Nth is trashed and verified',
    },
    made: {
      at: 25,
      type: 'i32',
      kind: 'locked',
      what: 'zones ever made, those that were destroyed too (registry lock)',
    },
    zones: {
      at: 32,
      type: 'i32',
      kind: 'owned',
      count: 256,
      what: 'zone records by number, published by zoneCount',
    },
  },
} as const;

/** `at` offsets of a zone's fields; one per zone, written at creation. */
export const ZoneRecord = {
  name: 'zone',
  words: 64,
  fields: {
    id: { at: 0, type: 'i32', kind: 'owned', what: "index in the root's table" },
    keg: { at: 1, type: 'i32', kind: 'owned', what: 'word index of the keg, 0 for cache zones' },
    size: { at: 2, type: 'i32', kind: 'owned', what: 'uz_size, bytes' },
    flags: { at: 3, type: 'i32', kind: 'owned', what: 'uz_flags' },
    features: {
      at: 4,
      type: 'i32',
      kind: 'owned',
      what: 'what makes the fast path take its longer form',
    },
    fingerprint: {
      at: 5,
      type: 'i32',
      kind: 'owned',
      what: "of the definition's data, never of function text",
    },
    callbacks: {
      at: 6,
      type: 'i32',
      kind: 'owned',
      what: 'bit per callback that the definition has',
    },
    made: { at: 7, type: 'i32', kind: 'owned', what: 'zones ever made when it was: its age' },
    bucketSize: { at: 8, type: 'i32', kind: 'hint', what: 'uz_bucket_size: grows on contention' },
    bucketSizeMin: { at: 9, type: 'i32', kind: 'hint', what: 'uz_bucket_size_min' },
    bucketSizeMax: { at: 10, type: 'i32', kind: 'hint', what: 'uz_bucket_size_max' },
    bucketMax: { at: 11, type: 'i32', kind: 'hint', what: 'uz_bucket_max: items per domain list' },
    primary: {
      at: 12,
      type: 'i32',
      kind: 'owned',
      what: 'word index of the primary zone, 0 if this is it',
    },
    limit: {
      at: 13,
      type: 'i32',
      kind: 'hint',
      what: 'word index of the limit record, 0 = none; stored once, under all ud_locks: who moves items reads it again under one',
    },
    needsOpener: {
      at: 14,
      type: 'i32',
      kind: 'atomic',
      what: 'reclaims put off because no opener was at hand',
    },
    reclaimWanted: {
      at: 15,
      type: 'i32',
      kind: 'hint',
      what: 'request that waits for a CPU with the zone open, 0 = none',
    },
    name: { at: 16, type: 'i32', kind: 'owned', count: 16, what: 'UTF-8, at most 63 bytes' },
    openers: {
      at: 32,
      type: 'i32',
      kind: 'atomic',
      count: 8,
      what: 'bit per CPU that has the zone open',
    },
    warning: {
      at: 40,
      type: 'i32',
      kind: 'atomic',
      what: 'word index of the warning text, 0 = none',
    },
    lastWarning: {
      at: 41,
      type: 'i32',
      kind: 'atomic',
      what: 'uz_ratecheck: seconds since 1970 of the last warning, 0 = none yet',
    },
    maxaction: {
      at: 42,
      type: 'i32',
      kind: 'atomic',
      what: 'CPU + 1 | incarnation << 9 that has a maxaction queued, 0 = none',
    },
    limitPeak: {
      at: 43,
      type: 'i32',
      kind: 'atomic',
      what: 'the largest that limit or count has been at a setMax: what fsck allows',
    },
    carried: {
      at: 46,
      type: 'i32',
      kind: 'hint',
      what: 'word index of the zone whose items cached items of this one carry, 0 = none; stored once',
    },
    limitHits: { at: 44, type: 'i64', kind: 'atomic', what: 'requests that met the limit' },
    state: { at: 48, type: 'i32', kind: 'atomic', what: 'ZoneState: live, dying, dead' },
    generation: { at: 49, type: 'i32', kind: 'owned', what: 'zones that it has been before' },
    lostParts: {
      at: 50,
      type: 'i32',
      kind: 'locked',
      what: 'items of this internal zone in slabs that destroyed zones lost (registry lock)',
    },
    destroyer: {
      at: 51,
      type: 'i32',
      kind: 'atomic',
      what: 'CPU + 1 | incarnation << 9 that began to destroy it',
    },
    spareLimit: { at: 52, type: 'i32', kind: 'locked', what: 'limit record of an earlier zone' },
    defaultOwner: {
      at: 55,
      type: 'i32',
      kind: 'atomic',
      what: 'address of the owner of new items, 0 = unattributed',
    },
    reclaimers: {
      at: 56,
      type: 'i32',
      kind: 'atomic',
      what: 'uz_reclaimers: reclaims under way, for whoever destroys the zone',
    },
    probes: { at: 57, type: 'i32', kind: 'hint', what: 'enabled probes of the zone, a bit each' },
    smr: { at: 60, type: 'i32', kind: 'owned', what: 'uz_smr: word index of the SMR, 0 = none' },
    events: {
      at: 63,
      type: 'i32',
      kind: 'owned',
      what: 'word index of the event record of CPU 0; the others follow',
    },
  },
} as const;

/** One per (zone, CPU): 128 bytes. The first half is all that a fast path touches. */
export const CacheRecord = {
  name: 'cache',
  words: 32,
  fields: {
    allocBucket: {
      at: 0,
      type: 'i32',
      kind: 'private',
      what: 'word index of the loaded bucket, 0 = none',
    },
    allocCount: {
      at: 1,
      type: 'i32',
      kind: 'private',
      what: "live count while loaded (the bucket's own is stale)",
    },
    allocEntries: { at: 2, type: 'i32', kind: 'private', what: 'capacity' },
    freeBucket: { at: 3, type: 'i32', kind: 'private', what: 'word index, 0 = none' },
    freeCount: { at: 4, type: 'i32', kind: 'private', what: 'live count' },
    freeEntries: { at: 5, type: 'i32', kind: 'private', what: 'capacity' },
    allocFeatures: {
      at: 6,
      type: 'i32',
      kind: 'hint',
      what: 'features that make an allocation take its longer form',
    },
    zone: { at: 7, type: 'i32', kind: 'owned', what: 'word index of the zone' },
    allocs: { at: 8, type: 'i64', kind: 'statistic', what: 'uc_allocs' },
    frees: { at: 10, type: 'i64', kind: 'statistic', what: 'uc_frees' },
    crossBucket: { at: 12, type: 'i32', kind: 'private', what: 'items of other domains, 0 = none' },
    crossCount: { at: 13, type: 'i32', kind: 'private', what: 'live count' },
    crossEntries: { at: 14, type: 'i32', kind: 'private', what: 'capacity' },
    freeFeatures: {
      at: 15,
      type: 'i32',
      kind: 'hint',
      what: 'features that make a free take its longer form; Feature.limit: its limit is pressed, which whoever answers a request or enters sees (limit/pressure.ts)',
    },
    zoneAllocs: {
      at: 16,
      type: 'i64',
      kind: 'statistic',
      what: 'uz_allocs: single items past the cache',
    },
    zoneFrees: { at: 18, type: 'i64', kind: 'statistic', what: 'uz_frees' },
    fails: { at: 20, type: 'i64', kind: 'statistic', what: 'uz_fails' },
    refills: { at: 22, type: 'i64', kind: 'statistic', what: 'slow-path entries of alloc' },
    flushes: { at: 24, type: 'i64', kind: 'statistic', what: 'slow-path entries of free' },
    crossFrees: { at: 26, type: 'i64', kind: 'statistic', what: 'uz_xdomain' },
    features: { at: 28, type: 'i32', kind: 'owned', what: "copy of the zone's" },
    outside: {
      at: 29,
      type: 'i32',
      kind: 'locked',
      what: 'items that this CPU took from the keg less those it gave back; moved under the ud_lock of the slab, so the sum over CPUs is exact for who holds them all',
    },
  },
} as const;

/**
 * One per (zone, CPU): why allocations failed, and what the debug checks did. The first fields are
 * the reasons, each at the word that `FailureReason` (statistics/failures.ts) names: every failure
 * that `CacheRecord.fails` counts is counted under exactly one of them.
 */
export const EventRecord = {
  name: 'zone events',
  words: 32,
  fields: {
    limit: {
      at: 0,
      type: 'i64',
      kind: 'statistic',
      what: "failures: the zone's limit was reached",
    },
    pages: {
      at: 2,
      type: 'i64',
      kind: 'statistic',
      what: 'failures: no free item, and no pages for a slab',
    },
    novm: {
      at: 4,
      type: 'i64',
      kind: 'statistic',
      what: 'failures: no free item, and M_NOVM forbids to ask for pages',
    },
    reserve: {
      at: 6,
      type: 'i64',
      kind: 'statistic',
      what: 'failures: the free items left are the reserve',
    },
    init: { at: 8, type: 'i64', kind: 'statistic', what: 'failures: keg init refused a new slab' },
    zinit: { at: 10, type: 'i64', kind: 'statistic', what: 'failures: zone init refused' },
    ctor: { at: 12, type: 'i64', kind: 'statistic', what: 'failures: the ctor refused or threw' },
    import: {
      at: 14,
      type: 'i64',
      kind: 'statistic',
      what: 'failures: the import function of a cache zone delivered nothing',
    },
    busy: {
      at: 16,
      type: 'i64',
      kind: 'statistic',
      what: 'failures: a lock was busy on a CPU that may not block',
    },
    bucket: {
      at: 18,
      type: 'i64',
      kind: 'statistic',
      what: 'requests for a bucket that failed: items then move one by one',
    },
    timeout: { at: 24, type: 'i64', kind: 'statistic', what: 'failures: a bounded wait was over' },
    tableFull: {
      at: 26,
      type: 'i64',
      kind: 'statistic',
      what: 'failures: all wait cells of the limit were taken',
    },
    trashed: { at: 20, type: 'i64', kind: 'statistic', what: 'items sampled by vm.debug.divisor' },
    skipped: { at: 22, type: 'i64', kind: 'statistic', what: 'items that the divisor left out' },
  },
} as const;

/** One per (zone, domain). The estimator keeps imin <= bimin <= nitems <= imax at every point. */
export const ZoneDomain = {
  name: 'zone domain',
  words: 32,
  fields: {
    lock: { at: 0, type: 'i32', kind: 'atomic', count: 16, what: 'mutex uzd_lock' },
    head: { at: 16, type: 'i32', kind: 'locked', what: 'first full bucket, 0 = none' },
    tail: { at: 17, type: 'i32', kind: 'locked', what: 'last full bucket' },
    buckets: { at: 18, type: 'i32', kind: 'locked', what: 'buckets on the queue' },
    nitems: {
      at: 19,
      type: 'i32',
      kind: 'statistic',
      what: 'items on the queue (written under the lock, loaded before it)',
    },
    imax: {
      at: 20,
      type: 'i32',
      kind: 'atomic',
      what: 'peak of the period; raised without the lock too',
    },
    imin: { at: 21, type: 'i32', kind: 'locked', what: 'minimum of the period' },
    bimin: { at: 22, type: 'i32', kind: 'locked', what: 'minimum since the last peak' },
    wss: { at: 23, type: 'i32', kind: 'locked', what: 'working-set estimate' },
    limin: { at: 24, type: 'i32', kind: 'locked', what: 'long-term minimum' },
    timin: { at: 25, type: 'i32', kind: 'locked', what: 'periods since limin was 0' },
    seq: {
      at: 26,
      type: 'i32',
      kind: 'statistic',
      what: 'SMR tag of the first bucket, 0 = none (written under the lock, loaded before it)',
    },
    cross: { at: 27, type: 'i32', kind: 'locked', what: 'partial bucket of foreign items' },
    liminFraction: { at: 30, type: 'i32', kind: 'locked', what: '1/256 items above limin' },
  },
} as const;

export const KegRecord = {
  name: 'keg',
  words: 64,
  fields: {
    zone: { at: 0, type: 'i32', kind: 'owned', what: 'word index of the primary zone' },
    size: { at: 1, type: 'i32', kind: 'owned', what: 'uk_size' },
    rsize: { at: 2, type: 'i32', kind: 'owned', what: 'uk_rsize' },
    ipers: { at: 3, type: 'i32', kind: 'owned', what: 'items per slab' },
    ppera: { at: 4, type: 'i32', kind: 'owned', what: 'pages per slab' },
    pgoff: { at: 5, type: 'i32', kind: 'owned', what: 'offset of an inline header in the slab' },
    flags: { at: 6, type: 'i32', kind: 'owned', what: 'uk_flags' },
    align: { at: 7, type: 'i32', kind: 'owned', what: 'alignment mask' },
    slabZone: { at: 8, type: 'i32', kind: 'owned', what: 'zone of offpage headers, 0 = inline' },
    tableZone: { at: 9, type: 'i32', kind: 'owned', what: 'zone of item tables, 0 = none' },
    reserve: { at: 10, type: 'i32', kind: 'hint', what: 'uk_reserve' },
    round: { at: 11, type: 'i32', kind: 'hint', what: 'uk_dr: round-robin domain' },
    pageMask: {
      at: 12,
      type: 'i32',
      kind: 'owned',
      what: '1: slab found by masking, 0: by the page map',
    },
    inits: {
      at: 14,
      type: 'i64',
      kind: 'statistic',
      what: 'keg init calls that succeeded (any CPU, atomic add)',
    },
    finis: { at: 16, type: 'i64', kind: 'statistic', what: 'keg fini calls (any CPU, atomic add)' },
    orphans: {
      at: 18,
      type: 'i32',
      kind: 'locked',
      what: 'items out when their secondary zone was destroyed (registry lock)',
    },
    lostSlabs: { at: 19, type: 'i32', kind: 'locked', what: 'slabs that its destroy lost' },
    lostItems: { at: 20, type: 'i32', kind: 'locked', what: 'items out in them (registry lock)' },
    redzone: {
      at: 40,
      type: 'i32',
      kind: 'owned',
      what: 'bytes behind each item that nobody may write',
    },
  },
} as const;

export const KegDomain = {
  name: 'keg domain',
  words: 32,
  fields: {
    lock: { at: 0, type: 'i32', kind: 'atomic', count: 16, what: 'mutex ud_lock' },
    partial: { at: 16, type: 'i32', kind: 'locked', what: 'ud_part_slab' },
    free: { at: 17, type: 'i32', kind: 'locked', what: 'ud_free_slab' },
    full: { at: 18, type: 'i32', kind: 'locked', what: 'ud_full_slab' },
    pages: { at: 19, type: 'i32', kind: 'statistic', what: 'ud_pages (written under the lock)' },
    freeItems: {
      at: 20,
      type: 'i32',
      kind: 'statistic',
      what: 'ud_free_items (written under the lock)',
    },
    freeSlabs: {
      at: 21,
      type: 'i32',
      kind: 'statistic',
      what: 'ud_free_slabs (written under the lock)',
    },
  },
} as const;

/** 24 bytes; the free bitset (1 = free) follows. Same inline and offpage. */
export const SlabHeader = {
  name: 'slab',
  words: 6,
  fields: {
    next: { at: 0, type: 'i32', kind: 'locked', what: 'next slab of its list (keg domain lock)' },
    previous: { at: 1, type: 'i32', kind: 'locked', what: 'previous slab, 0 = list head' },
    freeCount: { at: 2, type: 'i32', kind: 'locked', what: 'us_freecount' },
    domain: { at: 3, type: 'i32', kind: 'owned', what: 'us_domain' },
    data: { at: 4, type: 'i32', kind: 'owned', what: 'address of item 0' },
    table: { at: 5, type: 'i32', kind: 'owned', what: 'address of the item table, 0 = none' },
  },
} as const;

/** 16 bytes; the item addresses follow. Owned by whoever holds the bucket; the link by the list. */
export const BucketHeader = {
  name: 'bucket',
  words: 4,
  fields: {
    link: {
      at: 0,
      type: 'i32',
      kind: 'locked',
      what: 'next bucket of the queue (zone domain lock)',
    },
    count: { at: 1, type: 'i32', kind: 'owned', what: 'ub_cnt; stale while loaded in a cache' },
    entries: {
      at: 2,
      type: 'i32',
      kind: 'owned',
      what: 'ub_entries | row of the bucket zone << 16',
    },
    seq: { at: 3, type: 'i32', kind: 'owned', what: 'ub_seq: SMR tag, 0 = none' },
  },
} as const;

/** One per item of a keg with an item table: 16 bytes, outside the item. */
export const ItemEntry = {
  name: 'item',
  words: 4,
  fields: {
    state: { at: 0, type: 'i32', kind: 'atomic', what: 'live bit | generation << 1' },
    holder: { at: 1, type: 'i32', kind: 'atomic', what: 'CPU + 1 that holds it; 0 = none' },
    owner: {
      at: 2,
      type: 'i32',
      kind: 'statistic',
      what: 'address of its owner (tracing), 0 = unattributed; written by whoever holds the item',
    },
    time: {
      at: 3,
      type: 'i32',
      kind: 'atomic',
      what: 'milliseconds since the epoch, low 32 bits, at alloc',
    },
  },
} as const;

/** What makes an operation leave the plain fast path: bits of `features`. */
export const Feature = {
  ctor: 1,
  dtor: 2,
  limit: 4,
  items: 8,
  trash: 16,
  smr: 32,
  /** FIRSTTOUCH in an arena of several domains: a free looks where its item is at home. */
  domain: 64,
  /** The zone was destroyed: allocations and frees are refused. */
  dead: 128,
  redzone: 1024,
  /** Its probe zone:alloc (in allocFeatures) or zone:free (in freeFeatures) is enabled. */
  probe: 2048,
} as const;

/** Bits of `callbacks`. */
export const CallbackBit = {
  ctor: 1,
  dtor: 2,
  init: 4,
  fini: 8,
  zinit: 16,
  zfini: 32,
  importItems: 64,
  releaseItems: 128,
} as const;

/** Hand slot kinds of this package (memory's cpu/hand-stack.ts: 16-31). */
export const Hand = {
  /** value: word index of a bucket, detail: word index of its zone, more: items that zinit saw. */
  bucket: 16,
  /** value: address of an item, detail: word index of its zone, more: its `ItemState`. */
  item: 17,
  /** value: word index of a slab on no list, detail: word index of its keg, more: items initialised. */
  slab: 18,
  /** value: word index of a zone, one of whose `reclaimers` is this CPU. */
  reclaimer: 19,
  /** value: what this CPU has stored in `lowMemoryOwner`. */
  lowMemory: 20,
  /**
   * A bucket (or with more -1 this slot's value) that `importItems` stores into; fields as for
   * `bucket`. What stands in it from its count on, up to the first 0, has been imported.
   */
  importing: 24,
  /** A bucket of an SMR zone that has left its cache and has no goal yet; fields as for `bucket`. */
  visible: 28,
  /**
   * A bucket whose goal is reached, while the dtor runs over its items; fields as for `bucket`, but
   * more: twice the items that the dtor has returned from, + 1 inside a dtor.
   */
  expiring: 29,
} as const;

/**
 * How far an item in hand has come. From `unfinished` on it is counted as allocated, so whoever
 * puts it back counts a free.
 */
export const ItemState = {
  /** Taken from the keg; zinit has not returned. Goes back to the keg as it is. */
  raw: 0,
  /** Its ctor or dtor has begun and not returned: fit for nothing but zone fini and the keg. */
  unfinished: 1,
  /** As the cache keeps items. */
  whole: 2,
  /** Freed to an SMR zone: readers may still see it, dtor and trash are due when they cannot. */
  visible: 3,
  /** Its zone fini has begun, and does not run again: on to the keg. */
  finished: 4,
} as const;

for (const layout of [
  UmaRoot,
  ZoneRecord,
  CacheRecord,
  EventRecord,
  ZoneDomain,
  KegRecord,
  KegDomain,
  SlabHeader,
  BucketHeader,
  ItemEntry,
]) {
  checkLayout(layout);
}
